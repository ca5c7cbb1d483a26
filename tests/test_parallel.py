"""Work side by side: order, processes, what is kept, and what goes wrong."""

import os
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from helpers import checkpoints, convnet, numpy_layers, parallel, runtime, sources, training


def square(n):
    print("a worker's own words")
    return {"square": np.array([n * n]), "process": os.getpid()}


def fail(n):
    if n == 1:
        raise ValueError(f"job {n}")
    return square(n)


def diverge(n):
    if n == 1:
        raise convnet.Diverged(3, {"epsilon": 9.0}, numpy_layers.NotFiniteError("layer 2: NaN"))
    return square(n)


def threads():
    blas = [library["num_threads"] for library in threadpool_info()]
    return {"torch": torch.get_num_threads(), "most": max(blas, default=1)}


def jobs(compute, count=4):
    return [
        parallel.Job(f"job {n}", {"compute": compute, "n": n}, partial(compute, n))
        for n in range(count)
    ]


def end_of_the_process():
    for held in list(checkpoints._held.values()):
        checkpoints._give_up(held._lock)
    checkpoints._held.clear()


class Clock:
    """A run that starts at second 0 of a clock that stands still."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(runtime.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(runtime.time, "advance", self.advance, raising=False)
        data = SimpleNamespace(is_real=True)
        self.run = runtime.Run("a", seed=0, dataset=data, device="cpu", parameters={})

    def advance(self, seconds):
        self.now += seconds


def take_five_seconds(n):
    runtime.time.advance(5)  # a clock of its own would make it another function each time
    return {"n": n}


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_from_as_many_processes_as_asked_for(workers, tmp_path, capfd):
    found = parallel.results("squares", jobs(square), workers=workers, folder=tmp_path)
    assert [int(result["square"][0]) for result in found] == [0, 1, 4, 9]
    processes = {result["process"] for result in found}
    assert (processes == {os.getpid()}) == (workers == 1)
    assert len(processes) <= workers
    said = capfd.readouterr().out
    assert "squares: 4 done in" in said
    assert ("own words" in said) == (workers == 1)
    checkpoints.remove_checkpoints(tmp_path)


def test_each_process_computes_with_one_thread(tmp_path):
    two = [parallel.Job(f"job {n}", {"n": n}, threads) for n in range(2)]
    for found in parallel.results("threads", two, workers=2, folder=tmp_path):
        assert found == {"torch": 1, "most": 1}
    checkpoints.remove_checkpoints(tmp_path)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_expected_exception_stands_in_the_place_of_its_result(workers, tmp_path):
    found = parallel.results(
        "runs", jobs(diverge, 3), workers=workers, folder=tmp_path, expected=convnet.Diverged
    )
    assert [isinstance(result, convnet.Diverged) for result in found] == [False, True, False]
    assert "step 3, layer 2: NaN. The settings were epsilon = 9" in str(found[1])
    assert len(list(tmp_path.glob("*.pt"))) == 2  # and is not kept
    checkpoints.remove_checkpoints(tmp_path)


@pytest.mark.parametrize("workers", [1, 2])
def test_another_exception_is_raised_and_what_was_finished_is_taken_over(workers, tmp_path, capsys):
    with pytest.raises(ValueError, match="job 1"):
        parallel.results("runs", jobs(fail, 2), workers=workers, folder=tmp_path)
    end_of_the_process()
    one = jobs(fail, 1)
    result = parallel.results("runs", one, workers=workers, folder=tmp_path)
    assert int(result[0]["square"][0]) == 0
    assert f"runs: 1 taken over from {tmp_path}" in capsys.readouterr().out
    checkpoints.remove_checkpoints(tmp_path)


def test_a_result_of_other_code_is_not_taken_over(tmp_path, capsys):
    def by(factor):
        def compute(n):
            return {"product": factor * n}

        return [parallel.Job("a job", {"n": 3}, partial(compute, 3))]

    for factor in (2, 2, 5):
        (found,) = parallel.results("runs", by(factor), workers=1, folder=tmp_path)
        assert found == {"product": 3 * factor}
        end_of_the_process()
    assert capsys.readouterr().out.count("1 taken over") == 1


def test_a_result_of_another_package_is_not_taken_over(tmp_path, capsys, monkeypatch):
    for package in ("this", "this", "another"):
        monkeypatch.setattr(sources, "package_hash", lambda package=package: package)
        parallel.results("runs", jobs(square, 1), workers=1, folder=tmp_path)
        end_of_the_process()
    assert capsys.readouterr().out.count("1 taken over") == 1


def test_a_run_counts_the_time_of_its_parts_up_to_what_each_had_finished(tmp_path, monkeypatch):
    def part(count, idle=0.0):
        """Start, do nothing for a while, and go on with the first `count` of the jobs."""
        clock = Clock(monkeypatch)
        clock.advance(idle)
        made = [
            parallel.Job(f"job {n}", {"n": n}, partial(take_five_seconds, n)) for n in range(count)
        ]
        found = parallel.results("five", made, workers=1, folder=tmp_path, run=clock.run)
        assert [result["n"] for result in found] == list(range(count))
        clock.advance(100)  # lost: nothing is finished in this time
        end_of_the_process()
        return clock.run.seconds - 100, clock.run._earlier > 0

    assert part(2) == (10, False)
    assert part(3, idle=1) == (16, True)
    assert part(4, idle=2) == (23, True)
    assert part(4, idle=3) == (26, True)


def test_no_jobs_have_no_results(tmp_path):
    assert parallel.results("nothing", [], workers=2, folder=tmp_path) == []


def test_a_divergence_of_torch_comes_back_from_a_process_too(tmp_path):
    def diverge():
        raise training.TrainingDiverged("net", 7, float("nan"), "rate 9", training.History())

    found = parallel.results(
        "runs",
        [parallel.Job(f"job {n}", {"n": n}, diverge) for n in range(2)],
        workers=2,
        folder=tmp_path,
        expected=training.TrainingDiverged,
    )
    assert [error.step for error in found] == [7, 7]
    assert str(found[0]).startswith("net: the loss became nan at step 7")
