"""Every answer check passes on the right answer and fails on planted wrong ones."""

import numpy as np
import pytest
import torch

from helpers import checks
from helpers.checks import CheckError


def passes(capsys, check) -> None:
    check()
    assert capsys.readouterr().out.startswith("✓ ")


def fails(check, *words) -> None:
    with pytest.raises(CheckError) as caught:
        check()
    for word in words:
        assert word in str(caught.value)
    assert caught.value._render_traceback_() == [f"✗ {caught.value}"]


def test_equal(capsys):
    passes(capsys, lambda: checks.equal("side", 3, 3))
    passes(capsys, lambda: checks.equal("shape", (2, 3), (2, 3)))
    fails(lambda: checks.equal("side", 4, 3), "side", "expected 3", "got 4")
    fails(lambda: checks.equal("shape", [2, 3], (2, 3)), "expected (2, 3)", "got [2, 3]")
    fails(lambda: checks.equal("side", None, 3), "got None")
    fails(lambda: checks.equal("side", np.full(2, 3), 3), "got array")


def test_shape(capsys):
    passes(capsys, lambda: checks.shape("maps", np.zeros((2, 3)), (2, 3)))
    passes(capsys, lambda: checks.shape("maps", torch.zeros(2, 3), [2, 3]))
    fails(lambda: checks.shape("maps", np.zeros((3, 2)), (2, 3)), "(2, 3)", "(3, 2)")
    fails(lambda: checks.shape("maps", np.zeros(6), (2, 3)), "got (6,)")
    fails(lambda: checks.shape("maps", None, (2, 3)), "got None")


def test_close(capsys):
    right = np.arange(6.0).reshape(2, 3)
    passes(capsys, lambda: checks.close("w", right + 1e-12, right))
    passes(capsys, lambda: checks.close("w", torch.tensor(2.0, requires_grad=True), 2.0))
    passes(capsys, lambda: checks.close("w", 0.3, 0.1 + 0.2))
    one_wrong = right.copy()
    one_wrong[1, 2] += 1e-3
    fails(lambda: checks.close("w", one_wrong, right), "index (1, 2)", "1 of 6 values differ")
    fails(lambda: checks.close("w", right.T, right), "shape (2, 3)", "shape (3, 2)")
    fails(lambda: checks.close("w", 1.0, np.ones(3)), "shape (3,)", "shape ()")
    fails(lambda: checks.close("w", right * np.nan, right), "6 of 6 values are not finite")
    fails(lambda: checks.close("w", np.full(3, np.inf), np.ones(3)), "not finite")
    fails(lambda: checks.close("w", None, 1.0), "got None")
    fails(lambda: checks.close("w", "one", 1.0), "'one'")
    fails(lambda: checks.close("w", -2.0, 2.0), "expected 2", "got -2")
    with pytest.raises(ValueError, match="expected values are not finite"):
        checks.close("w", 1.0, float("nan"))


def test_true(capsys):
    passes(capsys, lambda: checks.true("fits", np.bool_(True), "it does not fit"))
    fails(lambda: checks.true("fits", False, "loss ended at 0.3"), "fits", "loss ended at 0.3")
