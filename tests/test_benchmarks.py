"""The benchmarks: every version makes a step, a busy machine is told, and the page shows the rest.

No test here says how fast anything is.
"""

import importlib.util
import json
import math
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pages
import prose
import publish
import pytest
import speed
from catalogue import CatalogueError, Project
from conftest import ROOT

from helpers import runtime

sys.path.insert(0, str(ROOT / "benchmarks"))

import measuring  # noqa: E402
import run  # noqa: E402
import worker  # noqa: E402
from measuring import Job, Measured, Turn, Version, summary, take_turns  # noqa: E402
from versions import cells, cifar10, custom_lenet5, numpy_lenet, training_loop  # noqa: E402
from versions.unavailable import Unavailable  # noqa: E402

JOBS = measuring.read_jobs()


# --- the versions


def small(version: Version) -> bool:
    """Tell whether a test can afford a step of the version."""
    return version.name != "compiled" and version.size in (0, 1, 4) and version.name != "width_4"


STEPS = sorted(
    {
        (job.module, version.name, version.threads)
        for job in JOBS.values()
        for version in job.versions
        if job.module != "start_up" and small(version)
    }
)


@pytest.fixture
def few_batches(monkeypatch):
    """Epochs of one batch, and the test's own threads."""
    monkeypatch.setattr(runtime, "set_threads", lambda count: None)
    monkeypatch.setattr(cifar10, "BATCHES", 1)
    monkeypatch.setattr(training_loop, "BATCHES", 1)


def has_cells(notebook: str, cell_ids: tuple[str, ...]) -> bool:
    try:
        return bool(cells.sources(notebook, cell_ids))
    except cells.MissingCells:
        return False


@pytest.mark.parametrize(("module", "name", "threads"), STEPS, ids=lambda value: str(value))
def test_each_version_makes_a_step(module, name, threads, few_batches):
    needs_own = name in ("own", "window_rows", "batch_first")
    if module == "custom_lenet5" and needs_own and not has_cells(module, custom_lenet5.CELLS):
        with pytest.raises(cells.MissingCells, match="custom_lenet5.ipynb has no cell"):
            custom_lenet5.make(name, threads)
        return
    modules = {m.__name__: m for m in (cifar10, custom_lenet5, numpy_lenet, training_loop)}
    try:
        call, steps = modules[f"versions.{module}"].make(name, threads)
    except Unavailable as reason:
        assert "bfloat16" in name and "bfloat16" in str(reason)
        return
    assert worker.turn(call, steps, seconds=0, least=1) > 0


def test_the_forms_of_the_numpy_step_compute_the_same_gradient():
    expected, *others = (
        numpy_lenet.make(form, 1)[0]()
        for form in ("numpy64", "batch_first64", "loops64", "handout64")
    )
    for gradient in others:
        for i, own in expected.items():
            for name, values in own.items():
                assert gradient[i][name] == pytest.approx(values, rel=1e-9, abs=1e-12)


def test_the_forms_of_the_second_convolution_compute_the_same_gradient():
    forms = ("torch", "handout", "batch_first", "batch_last")
    expected, *others = (numpy_lenet.make(f"convolution_{form}", 1)[0]()[2] for form in forms)
    for gradient in others:
        assert gradient == pytest.approx(expected.numpy(), rel=1e-3, abs=1e-3)


def test_resnet_20_has_the_papers_size():
    assert sum(p.numel() for p in cifar10.ResNet(3).parameters()) == 269_722


def test_without_a_compiler_the_compiled_version_is_left_out(monkeypatch, few_batches):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unavailable, match="no C\\+\\+ compiler"):
        numpy_lenet.make("compiled", 1)


def test_the_imports_of_every_chapter_are_measured():
    names = [version.name for version in JOBS["start_up"].versions]
    chapters = [name.removeprefix("chapter_") for name in names if name.startswith("chapter_")]
    assert chapters == [entry.name for entry in Project().ready()]
    for chapter in chapters:
        lines = cells.imports(chapter).splitlines()
        assert lines and all(line.startswith(("import ", "from ")) for line in lines)


def test_all_missing_cells_are_named_in_one_error(monkeypatch, tmp_path):
    monkeypatch.setattr(cells, "NOTEBOOKS", tmp_path)
    notebook = {"cells": [{"id": "setup", "source": ["import math\n", "x = 1 / 0"]}]}
    (tmp_path / "some.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    assert cells.definitions("some", [])["math"] is math
    with pytest.raises(cells.MissingCells, match="some.ipynb has no cell convolve, pooling, which"):
        cells.definitions("some", ["convolve", "setup", "pooling"])


# --- the rule that tells a busy machine


@pytest.fixture(autouse=True)
def limits(monkeypatch):
    """Limits to which the made-up times of these tests belong."""
    monkeypatch.setattr(measuring, "PRODUCT_LIMIT", 1.10)
    monkeypatch.setattr(measuring, "OTHERS_LIMIT", 0.10)


class Products:
    """Known products whose times the test makes up: `slow` says which of them took long."""

    def __init__(self, slow: Callable[[int], float] = lambda number: 1.0):
        self.slow, self.number, self.best = slow, -1, math.inf

    def __call__(self) -> list[float]:
        self.number += 1
        self.best = min(self.best, self.slow(self.number))
        return [self.slow(self.number)]


class Versions:
    """Versions a and b of a job, which always take as long; `others` says what others used."""

    def __init__(self, others: Callable[[int], float | None] = lambda number: 0.0):
        self.others, self.taken = others, []

    def __call__(self, key: str) -> dict:
        self.taken.append(key)
        seconds = {"a": 2.0, "b": 1.0}[key]
        return {"seconds": seconds, "others": self.others(len(self.taken)), "megabytes": 5.0}


def test_on_a_quiet_machine_each_version_has_its_turn_in_each_round():
    versions = Versions()
    measured = take_turns("ab", versions, Products(), rounds=3)
    assert versions.taken == ["a", "b"] * 3
    assert [len(measured.quiet(key)) for key in "ab"] == [3, 3]
    assert measured.discarded == [] and measured.disturbance([("a", "b")]) == ""


def test_a_turn_beside_a_slow_product_is_discarded_and_repeated():
    # Products 2 and 3 stand around the third turn.
    products = Products(lambda number: 1.3 if number in (2, 3) else 1.0)
    versions = Versions()
    measured = take_turns("ab", versions, products, rounds=3)
    # The median of one slow and one quick product is 1.15: the turns next to it go too.
    assert versions.taken == ["a", "b", "b", "b", "a", "b", "a", "b"]
    assert len(measured.discarded) == 2 and measured.disturbance([("a", "b")]) == ""


def test_a_turn_during_which_others_worked_is_discarded_and_repeated():
    versions = Versions(lambda number: 0.4 if number == 1 else 0.02)
    measured = take_turns("ab", versions, Products(), rounds=2)
    assert versions.taken == ["a", "a", "b", "a", "b"]
    assert [turn.others for turn in measured.discarded] == [0.4]


def test_where_the_system_does_not_tell_what_others_use_the_product_decides():
    measured = take_turns("ab", Versions(lambda number: None), Products(), rounds=2)
    assert measured.disturbance([]) == "" and measured.discarded == []


def test_a_busy_machine_is_named_and_turns_are_not_repeated_for_nothing():
    versions = Versions(lambda number: 0.9)
    measured = take_turns("ab", versions, Products(lambda n: 1.0 + n % 2), rounds=5)
    # Five rounds need three quiet ones: with the third disturbed one, a version cannot count.
    assert len(versions.taken) < measuring.TRIES * 10
    assert versions.taken.count("a") == 3 * measuring.TRIES + 2
    reason = measured.disturbance([])
    assert reason.startswith("the machine was busy: ")
    assert "took up to 1.50 times as long as at its best (limit 1.10)" in reason
    assert "others used up to 0.90 of a core (limit 0.10)" in reason


def test_a_turn_is_judged_by_the_best_product_of_the_whole_run():
    # The machine becomes free only in the last round; one turn of it is repeated, for the product
    # before it was slow.
    products = Products(lambda number: 1.0 if number > 4 else 1.5)
    measured = take_turns("ab", Versions(), products, rounds=3)
    assert measured.turns["a"][0].product == 1.5 and 0 not in measured.quiet("a")
    assert "5 of 7 turns were disturbed" in measured.disturbance([])


def test_versions_that_were_quiet_in_different_rounds_give_no_ratio():
    def turns(quiet: set[int]) -> dict[int, Turn]:
        return {n: Turn(1.0, 1.0 if n in quiet else 2.0) for n in range(5)}

    measured = Measured({"a": turns({0, 1, 2}), "b": turns({2, 3, 4})}, rounds=5, best=1.0)
    assert measured.disturbance([]) == ""
    assert measured.disturbance([("a", "b")]).startswith("the machine was busy: 4 of 10 turns")


JOB = Job(
    "job",
    "A job",
    (Version("a", 1, "A", beside="b_1"), Version("b", 1, "`B`"), Version("c", 2, "C")),
    "step",
    module="job",
    compared="B",
    ratios={"b_over_a": ("b_1", "a_1")},
)


def test_the_results_are_medians_with_ranges_of_undisturbed_turns_and_of_ratios_in_a_round():
    seconds = {"a_1": [0.1, 0.2, 0.6], "b_1": [0.1, 0.1, 0.2]}
    turns = {
        key: {n: Turn(value, 1.0, 0.01) for n, value in enumerate(values)}
        for key, values in seconds.items()
    }
    turns["a_1"][3], turns["b_1"][3] = Turn(9.0, 1.2, 0.01), Turn(0.1, 1.0, 0.01)
    turns["b_1"][4], turns["a_1"][4] = Turn(0.1, 1.05, 0.01), Turn(0.3, 1.0, 0.01)
    left_out = {"c_2": "no compiler"}
    results = summary(JOB, Measured(turns, 5, 1.0, left_out=left_out))
    assert results["milliseconds"] == pytest.approx({"a_1": 250.0, "b_1": 100.0})
    assert results["millisecond_ranges"]["a_1"] == pytest.approx([100, 600])
    assert results["ratios"] == pytest.approx({"a_1_over_b_1": 2.5, "b_over_a": 0.41666667})
    assert results["ratio_ranges"]["a_1_over_b_1"] == pytest.approx([1, 3])
    assert (results["turns"], results["discarded"]) == (9, 1)
    assert results["left_out"] == left_out


@pytest.mark.skipif(measuring.used_in_all() is None, reason="the system does not tell")
def test_the_processor_time_of_a_session_holds_that_of_its_children():
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}]); input()"
    before = measuring.used_in_all()
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, start_new_session=True
    ) as process:
        end = time.monotonic() + 60
        while measuring.used_in_session(process.pid) < 0.25 and time.monotonic() < end:
            time.sleep(0.05)
        used = measuring.used_in_session(process.pid)
        process.stdin.close()
    assert 0.25 <= used <= measuring.used_in_all() - before + 0.1


# --- jobs in processes

FAKES = {
    "sleeps": """
import time
import tomllib
def make(version, threads):
    print("what a library prints is no answer")
    return lambda: time.sleep(0.001), 2
""",
    "lacks": """
from versions.unavailable import Unavailable
def make(version, threads):
    if version == "slow":
        raise Unavailable("no such machine")
    return lambda: None, 1
""",
    "fails": """
def make(version, threads):
    if version == "slow":
        raise ValueError("the planted mistake")
    return lambda: None, 1
""",
    "dies": """
import os
import re
def make(version, threads):
    calls = []
    def call():
        calls.append(1)
        if len(calls) > 4 and version == "slow":
            os._exit(3)
    return call, 1
""",
}


def fake_job(name: str) -> Job:
    versions = (Version("quick", 1, "quick"), Version("slow", 1, "slow", beside="quick_1"))
    return Job(name, f"What {name}", versions, "step", module=name, compared="quick")


@pytest.fixture
def fakes(monkeypatch, tmp_path) -> Path:
    """Jobs whose versions the test makes up, on a machine that counts as quiet; their results."""
    (tmp_path / "versions").mkdir()
    for name, source in FAKES.items():
        (tmp_path / "versions" / f"{name}.py").write_text(source, encoding="utf-8")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setattr(run, "read_jobs", lambda: {name: fake_job(name) for name in FAKES})
    monkeypatch.setattr(run, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(measuring, "PRODUCT_LIMIT", 1e9)
    monkeypatch.setattr(measuring, "OTHERS_LIMIT", 1e9)
    return tmp_path / "results"


QUICKLY = ("--rounds", "3", "--seconds", "0")


def test_a_job_is_measured_in_processes_of_its_versions_and_saved(fakes, capfd):
    assert run.main(["sleeps", *QUICKLY, "--save"]) == 0
    results = json.loads((fakes / "sleeps.json").read_text(encoding="utf-8"))
    assert set(results["milliseconds"]) == {"quick_1", "slow_1"}
    assert all(value >= 0.5 for value in results["milliseconds"].values())  # 1 ms is two steps
    low, high = results["ratio_ranges"]["slow_1_over_quick_1"]
    assert low <= results["ratios"]["slow_1_over_quick_1"] <= high
    assert results["device"] == runtime.device_name("cpu") and "python" in results["versions"]
    assert (results["rounds"], results["turns"], results["discarded"]) == (3, 6, 0)
    shown = capfd.readouterr().out
    assert "What sleeps, step" in shown and "is no answer" not in shown


def test_a_version_that_this_machine_cannot_run_is_left_out(fakes, capsys):
    assert run.main(["lacks", *QUICKLY, "--save"]) == 0
    results = json.loads((fakes / "lacks.json").read_text(encoding="utf-8"))
    assert results["left_out"] == {"slow_1": "no such machine"}
    assert set(results["milliseconds"]) == {"quick_1"} and results["ratios"] == {}
    assert "no such machine" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("fails", "fails, slow_1: ValueError: the planted mistake"),
        ("dies", "dies, slow_1: it ended"),
    ],
)
def test_a_job_that_fails_leaves_nothing_and_the_others_as_they_are(name, reason, fakes, capsys):
    before = run.main([name, "lacks", *QUICKLY, "--save"])
    assert before == 1 and [path.name for path in fakes.iterdir()] == ["lacks.json"]
    assert reason in capsys.readouterr().err


def test_of_a_busy_machine_the_figures_are_shown_and_not_saved(fakes, monkeypatch, capsys):
    monkeypatch.setattr(measuring, "PRODUCT_LIMIT", 0.5)
    assert run.main(["sleeps", *QUICKLY, "--save"]) == 1
    assert not fakes.exists()
    shown = capsys.readouterr()
    assert "NOT TO BE TRUSTED: the machine was busy: " in shown.out and "quick" in shown.out
    assert "sleeps is not saved: the machine was busy" in shown.err
    assert run.main(["sleeps", *QUICKLY]) == 0  # nothing was to be saved


def test_results_are_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "job.json"
    run.save(path, {"a": 1})
    with pytest.raises(TypeError):
        run.save(path, {"a": object()})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": 1}
    assert list(path.parent.iterdir()) == [path]


def test_another_machines_results_are_not_replaced(fakes, capsys):
    run.save(fakes / "lacks.json", {"device": "an older machine"})
    with pytest.raises(SystemExit):
        run.main(["lacks", *QUICKLY, "--save"])
    assert "lacks.json was measured on an older machine" in capsys.readouterr().err
    assert run.main(["lacks", *QUICKLY, "--save", "laptop"]) == 0
    assert json.loads((fakes / "lacks.json").read_text("utf-8")) == {"device": "an older machine"}
    assert (fakes / "laptop" / "lacks.json").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["unknown"], "no job is called unknown; there are: sleeps, lacks"),
        (["--save", "sleeps"], "names a job, not a machine"),
        (["--save", "../laptop"], "a machine's name has letters, digits and _"),
        (["--save", "--rounds", "2"], "--rounds 2: it must be at least 3"),
        (["--rounds", "0"], "--rounds 0: it must be at least 1"),
    ],
)
def test_an_impossible_command_is_refused_before_anything_is_measured(
    arguments, reason, fakes, capsys
):
    with pytest.raises(SystemExit):
        run.main(arguments)
    assert reason in capsys.readouterr().err


def test_a_ratio_of_a_version_that_is_not_there_is_refused(tmp_path):
    path = tmp_path / "jobs.toml"
    path.write_text(
        '[job]\ntitle = "A"\nunit = "step"\n'
        'versions = [{ name = "a", threads = 1, label = "A", beside = "b_1" }]',
        encoding="utf-8",
    )
    with pytest.raises(ValueError, match="jobs.toml, job: versions .*a_1.* ratios of .*b_1"):
        measuring.read_jobs(path)


def test_the_ratios_that_prose_may_name_are_there():
    pairs = JOBS["numpy_lenet"].pairs(version.key for version in JOBS["numpy_lenet"].versions)
    assert pairs["numpy_over_torch_1"] == ("numpy_1", "torch_1")
    assert pairs["products_over_numpy"] == ("products_1", "numpy_1")
    assert pairs["handout_over_numpy_2"] == ("handout64_1", "numpy_2")
    # What could not be measured has no ratio either.
    assert "numpy_over_torch_1" not in JOBS["numpy_lenet"].pairs(["numpy_1"])


# --- the page


def made_up(job: Job, device: str = "A machine", left_out: str = "") -> dict:
    """Return results as a run would save them, of made-up times."""
    keys = [version.key for version in job.versions if version.key != left_out]
    turns = {
        key: {n: Turn(0.01 * (i + 1) + 0.001 * n, 1.0, 0.02, 10.0 * (i + 1)) for n in range(3)}
        for i, key in enumerate(keys)
    }
    reasons = {left_out: "no compiler"} if left_out else {}
    results = summary(job, Measured(turns, 3, 1.0, left_out=reasons))
    return {"date": "2026-01-02", "device": device, "versions": {"torch": "2"}} | results


def test_the_page_has_a_place_for_each_job_and_says_which_were_not_measured(project):
    text = (project.book / "speed.md").read_text(encoding="utf-8")
    for name in JOBS:
        assert f"<!-- block: speed of {name} -->\nThis was not measured yet;" in text


def test_what_was_saved_stands_on_the_page(project):
    folder = project.root / "benchmarks" / "results"
    job = JOBS["numpy_lenet"]
    run.save(folder / "numpy_lenet.json", made_up(job, left_out="compiled_1"))
    run.save(folder / "laptop" / "cifar10.json", made_up(JOBS["cifar10"], "A laptop"))
    run.save(folder / "resnet_batch.json", made_up(JOBS["resnet_batch"]))
    assert any("speed of numpy_lenet" in fault for fault in prose.faults(project))
    prose.write(project)
    assert prose.faults(project) == []
    blocks = pages.blocks(project)
    lenet = blocks["speed of numpy_lenet"]
    assert "| PyTorch | 1 | 11.0\u00a0ms (10.0–12.0) | 1 |" in lenet
    assert "| ours, NumPy | 1 | 21.0\u00a0ms (20.0–22.0) | 1.9 (1.8–2.0) |" in lenet
    assert "| not measured: no compiler | |" in lenet
    assert "Measured on 2026-01-02: A machine, torch 2. Rounds: 3; turns: 51" in lenet
    assert blocks["speed of cifar10"].startswith("This was not measured yet")
    assert "<summary>On another machine: laptop</summary>" in blocks["speed of cifar10"]
    assert "3.87\u00a0s" in blocks["speed of cifar10"]  # 11 ms for each of an epoch's steps
    growth = blocks["speed of resnet_batch"]
    assert "| 4 | 21.0\u00a0ms (20.0–22.0) | × 1.9 | 20.0\u00a0MB | × 2.0 |" in growth


def test_damaged_results_are_told_by_name(project):
    path = project.root / "benchmarks" / "results" / "cifar10.json"
    path.parent.mkdir(parents=True)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(CatalogueError, match="benchmarks/results/cifar10.json is not JSON"):
        prose.write(project)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.4567, "0.457"), (9.996, "10.0"), (12.34, "12.3"), (1234.5, "1\u00a0230"), (0, "0")],
)
def test_a_figure_has_three_digits_that_count(value, text):
    assert speed.significant(value) == text


@pytest.fixture(scope="module")
def drawing():
    path = ROOT / "book" / "_ext" / "speed_figures.py"
    spec = importlib.util.spec_from_file_location("speed_figures", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entry_of(name: str) -> dict:
    return tomllib.loads(measuring.JOBS.read_text(encoding="utf-8"))[name]


def test_a_figure_has_a_line_for_each_version_that_was_measured(drawing):
    results = made_up(JOBS["numpy_lenet"], left_out="compiled_1")
    (axes,) = drawing.comparison(entry_of("numpy_lenet"), results).axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert len(labels) == len(JOBS["numpy_lenet"].versions) - 1
    assert labels[1] == "ours, NumPy, 1" and "PyTorch, torch.compile, 2" in labels
    assert axes.get_xlabel() == "time per step of 64 images (ms)"
    points = [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 1]
    assert points == pytest.approx(list(results["milliseconds"].values()))


def test_a_figure_of_growth_shows_time_and_memory(drawing):
    results = made_up(JOBS["resnet_batch"])
    time_axes, memory_axes = drawing.growth(entry_of("resnet_batch"), results).axes
    for axes, values in ((time_axes, results["milliseconds"]), (memory_axes, results["megabytes"])):
        (line,) = axes.lines
        assert list(line.get_xdata()) == [1, 4, 16, 64, 256]
        assert list(line.get_ydata()) == pytest.approx(list(values.values()))
    without = {key: value for key, value in results.items() if key != "megabytes"}
    assert len(drawing.growth(entry_of("resnet_batch"), without).axes) == 1


@pytest.mark.long
def test_the_site_shows_the_figures_of_what_was_saved(project):
    folder = project.root / "benchmarks"
    run.save(folder / "results" / "resnet_batch.json", made_up(JOBS["resnet_batch"]))
    (folder / "jobs.toml").write_bytes(measuring.JOBS.read_bytes())
    prose.write(project)
    html = publish.build_site(project).parent
    text = (html / "speed.html").read_text(encoding="utf-8")
    (picture,) = re.findall(r'<img alt="ResNet-20: more images[^"]*" src="([^"]*)"', text)
    assert (html / picture).read_text(encoding="utf-8").lstrip().startswith("<?xml")
    assert "<!-- speed" not in text


def test_a_figure_of_results_that_are_gone_stops_the_build(project):
    page = project.book / "speed.md"
    (project.root / "benchmarks").mkdir()
    (project.root / "benchmarks" / "jobs.toml").write_bytes(measuring.JOBS.read_bytes())
    with page.open("a", encoding="utf-8") as file:
        file.write("\n<!-- speed: cifar10 benchmarks/results/cifar10.json -->\n")
    with pytest.raises(publish.Refused, match="no figure of benchmarks/results/cifar10.json"):
        publish.build_site(project)
