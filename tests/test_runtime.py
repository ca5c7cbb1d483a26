"""Seeds, clocks, provenance, and how progress shows in a notebook and in a log."""

import io
import json
import platform
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from helpers import progress, runtime
from helpers.data import mnist


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


def test_seed_fixes_torch_and_numpy():
    drawn = []
    for seed in (1, 1, 2):
        runtime.set_seed(seed)
        drawn.append((torch.rand(3).tolist(), np.random.rand(3).tolist()))
    assert drawn[0] == drawn[1] != drawn[2]


def test_threads():
    before = torch.get_num_threads()
    runtime.set_threads(1)
    assert torch.get_num_threads() == 1
    runtime.set_threads(before)


def test_a_stopwatch_adds_up():
    watch = runtime.Stopwatch()
    for _ in range(2):
        with watch:
            time.sleep(0.02)
    assert 0.04 <= watch.seconds < 1.0


def test_progress_in_a_log_is_plain_lines(capsys):
    bar = progress.Progress("M_max", 100, log_seconds=0.0)
    bar.update(50, "loss 0.5")
    bar.finish("done")
    first, last = capsys.readouterr().out.splitlines()
    assert "50 of 100" in first and "loss 0.5" in first
    assert last == "M_max: done"
    assert "\r" not in first


def test_progress_in_a_log_is_not_chatty(capsys):
    bar = progress.Progress("M_max", 1000)
    for step in range(1000):
        bar.update(step)
    assert capsys.readouterr().out == ""


def test_progress_in_a_notebook_rewrites_one_line(monkeypatch):
    lines = []

    class Handle:
        def update(self, line):
            lines[-1] = str(line)

    def display(line, display_id):
        lines.append(str(line))
        return Handle()

    kernel = type("Shell", (), {"kernel": object()})()
    monkeypatch.setattr(progress, "get_ipython", lambda: kernel)
    monkeypatch.setattr(progress, "display", display)
    bar = progress.Progress("M_max", 100)
    bar._every = 0.0
    for step in (10, 50, 100):
        bar.update(step)
    assert len(lines) == 1 and "100 of 100" in lines[0]
    bar.finish("done")
    assert lines == ["M_max: done"]


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
