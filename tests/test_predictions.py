"""The predictions file: what is written is read, and each fault is named."""

import numpy as np
import pytest

from helpers import data, predictions
from helpers.predictions import PredictionsError


def test_written_labels_are_read_back_in_order(tmp_path):
    path = tmp_path / "out" / "predictions.csv"
    predictions.write(path, np.array([3, 0, 9]))
    assert path.read_text() == "id,label\n0,3\n1,0\n2,9\n"
    assert predictions.read(path, 3, 10).tolist() == [3, 0, 9]
    assert predictions.score(path, np.array([3, 1, 9]), 10) == pytest.approx(2 / 3)
    assert [file.name for file in path.parent.iterdir()] == ["predictions.csv"]


def test_a_failed_write_leaves_the_older_file(tmp_path):
    path = tmp_path / "predictions.csv"
    predictions.write(path, [1, 2])
    with pytest.raises(ValueError):
        predictions.write(path, [1, "cat"])
    assert predictions.read(path, 2, 10).tolist() == [1, 2]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("", "first line must be id,label"),
        ("0,3\n1,0\n2,9\n", "first line must be id,label, not '0,3'"),
        ("id,label\n0,3\n1,0\n", "expected 3 predictions, got 2"),
        ("id,label\n0,3\n2,9\n", "line 3: expected id 1, got 2"),
        ("id,label\n0,3\n1,0\n1,9\n", "line 4: id 1 stands there twice"),
        ("id,label\n0,3\n1,10\n2,9\n", "line 3: label '10' must be a whole number from 0 to 9"),
        ("id,label\n0,3\n1,-1\n2,9\n", "label '-1' must be a whole number from 0 to 9"),
        ("id,label\n0,3\n1,cat\n2,9\n", "label 'cat' must be a whole number"),
        ("id,label\n0,3\n1,1.0\n2,9\n", "label '1.0' must be a whole number"),
        ("id,label\n0,3\n1\n2,9\n", "line 3: expected id,label, got '1'"),
        ("id,label\n0,3\n1,0\n2,9\n3,1\n", "id '3' must be a whole number from 0 to 2"),
    ],
)
def test_faults_are_named(tmp_path, text, sentence):
    path = tmp_path / "predictions.csv"
    path.write_text(text)
    with pytest.raises(PredictionsError, match=sentence):
        predictions.read(path, 3, 10)


def test_a_file_from_a_spreadsheet_is_read(tmp_path):
    path = tmp_path / "predictions.csv"
    path.write_bytes(b"\xef\xbb\xbfid,label\r\n0,3\r\n1, 4\r\n\r\n")
    assert predictions.read(path, 2, 10).tolist() == [3, 4]


def test_the_graders_command(tmp_path, capsys):
    path = tmp_path / "predictions.csv"
    truth = data.cifar10("stand-in").test_labels
    predictions.write(path, np.where(np.arange(len(truth)) < 50, (truth + 1) % 10, truth))
    assert predictions.main([str(path), "--dataset", "stand-in"]) == 0
    assert capsys.readouterr().out == "0.9000 of the 500 test images of stand-in shapes\n"
    assert predictions.main([str(tmp_path / "none.csv"), "--dataset", "stand-in"]) == 1
    assert "none.csv cannot be read" in capsys.readouterr().err
