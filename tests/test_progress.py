"""The lines that long work shows while it runs."""

import re
from concurrent.futures import ThreadPoolExecutor

from helpers.progress import JointProgress, Progress


def test_a_log_gets_a_line_only_after_some_seconds_and_a_last_word(capsys):
    progress = Progress("work", 10, log_seconds=1000)
    progress.update(3)
    progress.finish("done")
    assert capsys.readouterr().out == "work: done\n"


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
