"""Devices, threads, seeds, clocks and provenance."""

import datetime
import io
import json
import os
import platform
import random
import subprocess
import sys
import time
from importlib import metadata

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from helpers import runtime, sources
from helpers.data import mnist
from helpers.parameters import ParameterError


@pytest.fixture
def shown(monkeypatch):
    outputs = []
    monkeypatch.setattr(runtime, "display", lambda data, raw=False: outputs.append(data))
    return outputs


def start(**changes):
    options = dict(seed=3, dataset=mnist("stand-in"), device="cpu", parameters={"steps": 2})
    return runtime.Run("sample", **(options | changes))


def test_stand_in_data_are_announced_first(shown):
    start()
    assert "Not the real data set" in shown[0].data


def test_finish_hands_over_results_and_provenance(shown):
    run = start()
    run.record("model", {"accuracy": 0.5})
    run.record("model", {"seconds": 2})
    run.finish()
    bundle = shown[-1][runtime.RESULTS_MIME]
    assert json.loads(json.dumps(bundle)) == bundle
    assert bundle["notebook"] == "sample"
    assert bundle["results"] == {"model": {"accuracy": 0.5, "seconds": 2}}
    provenance = bundle["provenance"]
    assert provenance["dataset"]["is_real"] is False
    assert provenance["dataset"]["checksum"].startswith("sha256:")
    assert provenance["seed"] == 3 and provenance["parameters"] == {"steps": 2}
    assert provenance["versions"]["torch"] == torch.__version__.split("+")[0]
    assert provenance["seconds"] >= 0 and provenance["threads"] >= 1
    assert "stand-in" in shown[-1]["text/html"]


def test_provenance_names_numpys_blas_and_the_processor_it_computes_for(monkeypatch):
    loaded = [
        {"user_api": "openmp", "internal_api": "openmp", "version": None},
        {"user_api": "blas", "internal_api": "openblas", "version": "1.2", "architecture": "Zen"},
        {"user_api": "blas", "internal_api": "openblas", "version": "1.1", "architecture": "Core2"},
    ]
    monkeypatch.setattr(runtime, "threadpool_info", lambda: loaded)
    assert start().provenance()["versions"]["openblas"] == "1.2 (Zen)"
    loaded[1] = {"user_api": "blas", "internal_api": "mkl", "version": "2026.1"}
    assert start().provenance()["versions"]["mkl"] == "2026.1 (processor unknown)"
    del loaded[1:]
    assert not {"openblas", "mkl"} & start().provenance()["versions"].keys()


@pytest.mark.parametrize("value", [float("nan"), np.float32(0.5), torch.ones(1), {1, 2}])
def test_a_result_that_json_cannot_hold_is_named(shown, value):
    with pytest.raises(ValueError, match=r"result model\.accuracy = "):
        start().record("model", {"accuracy": value})


GENERATORS = {
    "python": random.random,
    "numpy": np.random.rand,
    "torch": lambda: torch.rand(()).item(),
}


@pytest.mark.parametrize("draw", GENERATORS.values(), ids=GENERATORS)
def test_the_seed_alone_decides_what_each_generator_draws(draw):
    drawn = []
    for seed in (1, 1, 2):
        draw()  # wherever a generator stood before
        runtime.set_seed(seed)
        drawn.append(draw())
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("seed", [-1, 2**32, 0.5])
def test_a_seed_that_numpy_does_not_take_is_refused_in_one_sentence(seed):
    with pytest.raises(ParameterError, match=rf"^seed = {seed}: .* at most 4294967295\.$"):
        runtime.set_seed(seed)


@pytest.fixture
def threads():
    """Put the numbers of threads back as they were, and return those of all BLAS libraries."""
    torch_threads = torch.get_num_threads()
    with threadpool_limits():
        yield lambda: {
            library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
        }
    torch.set_num_threads(torch_threads)


@pytest.mark.parametrize("before, count", [(1, 2), (2, 1)])
def test_threads_of_torch_and_of_numpys_blas_are_set(threads, before, count):
    threadpool_limits(before)
    torch.set_num_threads(before)
    runtime.set_threads(count)
    assert torch.get_num_threads() == count
    # An empty set is that of Accelerate, which is told nothing.
    assert threads() in ({count}, set())


@pytest.mark.parametrize("count", [0, 10**9])
def test_threads_that_the_machine_cannot_keep_busy_are_refused_and_not_tried(monkeypatch, count):
    monkeypatch.setattr(torch, "set_num_threads", lambda count: pytest.fail("tried"))
    with pytest.raises(ParameterError, match=f"^threads = {count}: it must be "):
        runtime.set_threads(count)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_provenance_has_the_threads_that_were_used(threads, shown, count):
    runtime.set_threads(count)
    run = start(parameters={"threads": 7})
    assert run.provenance()["threads"] == count
    run.finish()
    assert f"threads: {count}<" in shown[-1]["text/html"]


def test_the_provenance_has_the_device_that_was_used(monkeypatch):
    provenance = start(device="cpu").provenance()
    assert provenance["device_type"] == "cpu"
    assert provenance["device"].endswith(f"({os.cpu_count()} cores)")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"H200 as {device}")
    provenance = start(device="cuda:1").provenance()
    assert (provenance["device"], provenance["device_type"]) == ("H200 as cuda:1", "cuda")


def test_the_provenance_has_data_versions_seconds_and_date(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(runtime.time, "perf_counter", lambda: now[0])
    digits = mnist("stand-in")
    run = start(dataset=digits)
    now[0] += 12.34
    before = datetime.datetime.now(datetime.UTC).date()
    provenance = run.provenance()
    after = datetime.datetime.now(datetime.UTC).date()
    assert (provenance["seconds"], provenance["resumed"]) == (12.3, False)
    assert before.isoformat() <= provenance["date"] <= after.isoformat()
    for entry in ("name", "is_real", "checksum", "source"):
        assert provenance["dataset"][entry] == getattr(digits, entry)
    versions = provenance["versions"]
    assert versions["python"] == platform.python_version()
    assert {metadata.version(name) == versions[name] for name in runtime.PACKAGES} == {True}


def test_the_provenance_has_the_hash_of_the_helpers_as_they_were_at_the_start(monkeypatch):
    run = start()
    before = sources.package_hash()
    monkeypatch.setattr(sources, "package_hash", lambda: "those of a later edit")
    assert run.provenance()["helpers_sha256"] == before


def test_a_run_that_goes_on_says_so_and_counts_the_earlier_time_once(monkeypatch, shown):
    now = [0.0]
    monkeypatch.setattr(runtime.time, "perf_counter", lambda: now[0])
    run = start()
    run.go_on_after(600.0)
    run.go_on_after(200.0)
    now[0] += 30
    provenance = run.provenance()
    assert (provenance["seconds"], provenance["resumed"]) == (630.0, True)
    run.finish()
    assert "630 s, in more than one part, on " in shown[-1]["text/html"]


def test_a_stopwatch_adds_up():
    watch = runtime.Stopwatch()
    for _ in range(2):
        with watch:
            time.sleep(0.02)
    assert 0.04 <= watch.seconds < 1.0


def test_a_stopwatch_waits_for_the_device_before_each_reading(monkeypatch):
    """What a GPU still has to do belongs to the block that gave it the work."""
    now = [0.0]
    waits = iter([5.0, 7.0, 100.0])  # seconds of work that each synchronisation finds

    def synchronize(device):
        assert device == torch.device("cuda", 1)
        now[0] += next(waits)

    monkeypatch.setattr(runtime, "synchronize", synchronize)
    monkeypatch.setattr(runtime.time, "perf_counter", lambda: now[0])
    watch = runtime.Stopwatch("cuda:1")
    with watch:
        now[0] += 1.0
    assert watch.seconds == 8.0
    # After an error the device may never answer.
    with pytest.raises(KeyboardInterrupt), watch:
        now[0] += 2.0
        raise KeyboardInterrupt
    assert watch.seconds == 10.0


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_synchronising_waits_for_the_device(monkeypatch, name):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: waited.append(device.type))
    monkeypatch.setattr(torch.mps, "synchronize", lambda: waited.append("mps"))
    runtime.synchronize(torch.device(name))
    runtime.synchronize(torch.device("cpu"))
    assert waited == [name]


@pytest.mark.parametrize(
    "flags, fast", [("fpu avx512f", False), ("avx512f avx512_bf16", True), ("amx_bf16", True)]
)
def test_bfloat16_is_fast_only_where_the_processor_has_it(monkeypatch, flags, fast):
    text = f"processor : 0\nflags : {flags}\n"
    monkeypatch.setattr("builtins.open", lambda *_, **__: io.StringIO(text))
    assert runtime.has_fast_bfloat16("cpu") is fast


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
def test_freed_memory_is_kept():
    """A step that frees 64 MiB and takes them again must not fetch their 16384 pages anew."""
    code = (
        "import resource, torch\n"
        "from helpers import runtime\n"
        "runtime.set_threads(1)\n"
        "for _ in range(12):\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    torch.zeros(2**24)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 16384 / 10
