"""The lines that long work shows while it runs."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from helpers import progress
from helpers.progress import JointProgress, Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still but for what a test adds to its only element."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_a_plain_line_every_ten_seconds_and_a_last_word(clock, capsys):
    bar = Progress("M_max", 1200)
    clock[0] += 9.9
    bar.update(100)
    assert capsys.readouterr().out == ""
    clock[0] += 0.1
    bar.update(2)
    bar.update(100)
    assert capsys.readouterr().out == f"M_max {'░' * 20} 2 of 1,200, about 5990 s left\n"
    clock[0] += 10
    bar.update(300, "loss 0.5")
    line = f"M_max {'█' * 5}{'░' * 15} 300 of 1,200, about 60 s left; loss 0.5\n"
    assert capsys.readouterr().out == line
    bar.finish("done")
    assert capsys.readouterr().out == "M_max: done\n"


def test_a_resumed_run_is_as_fast_as_since_it_goes_on(clock, capsys):
    bar = Progress("M", 1000, done=900, log_seconds=10)
    clock[0] += 10
    bar.update(900)  # nothing was done, but some time is left
    clock[0] += 10
    bar.update(920)
    first, second = capsys.readouterr().out.splitlines()
    assert "900 of 1,000, about 1000 s left" in first
    assert "920 of 1,000, about 80 s left" in second


@pytest.fixture
def outputs(monkeypatch):
    """What stands in a notebook's outputs, each with the lines that it was rewritten with."""
    shown = []

    class Handle:
        def __init__(self, lines):
            self.lines = lines

        def update(self, line):
            self.lines.append(repr(line))

    def display(line, display_id):
        assert display_id is True
        shown.append([repr(line)])
        return Handle(shown[-1])

    kernel = type("Shell", (), {"kernel": object()})()
    monkeypatch.setattr(progress, "get_ipython", lambda: kernel)
    monkeypatch.setattr(progress, "display", display)
    return shown


def test_a_notebook_rewrites_one_line_twice_a_second(outputs, clock, capsys):
    bar = Progress("M_max", 100, log_seconds=1000)
    for _ in range(10):
        clock[0] += 0.25
        bar.update(50)
    bar.finish("done")
    ((*lines, last),) = outputs
    assert len(lines) == 5 and last == "M_max: done"  # as text, without quotes
    assert lines[0] == f"M_max {'█' * 10}{'░' * 10} 50 of 100, about 0 s left"
    assert capsys.readouterr().out == ""


def test_a_shell_without_a_kernel_is_a_log(monkeypatch, capsys):
    monkeypatch.setattr(progress, "get_ipython", lambda: object())
    Progress("work", 10).finish("done")
    assert capsys.readouterr().out == "work: done\n"


def test_pieces_count_what_each_has_added(clock, capsys):
    whole = JointProgress("two trials", 400)
    first, second = whole.piece(), whole.piece()
    clock[0] += 2.0
    first.update(20)
    clock[0] += 8.0
    second.update(40)
    first.update(60)
    clock[0] += 10.0
    first.update(160)
    clock[0] += 5.0
    second.update(240)
    assert capsys.readouterr().out.splitlines() == [
        f"two trials {'█' * 3}{'░' * 17} 60 of 400, about 57 s left",
        f"two trials {'█' * 10}{'░' * 10} 200 of 400, about 20 s left",
        "two trials: 400 steps in 25 s",
    ]


def test_pieces_side_by_side_share_one_line_and_end_once(capsys):
    whole = JointProgress("four trials", 400)

    def work(piece):
        for done in range(1, 101):
            piece.update(done, "a note")
        piece.finish("one of many")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, [whole.piece() for _ in range(4)]))
    assert re.fullmatch(r"four trials: 400 steps in \d+ s\n", capsys.readouterr().out)


def test_an_unfinished_piece_leaves_the_last_word_unsaid(capsys):
    whole = JointProgress("two trials", 20)
    whole.piece().update(10)
    whole.piece().update(9)
    assert capsys.readouterr().out == ""
