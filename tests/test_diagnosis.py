"""The patterns that every check recognises: each is named, and the right value never is."""

import re

import numpy as np
import pytest
import torch

from helpers.checks import CheckError
from helpers.checks.diagnosis import common_mistakes, consistent, expect, recognise

RIGHT = np.random.default_rng(0).normal(size=(4, 3, 5))


def hint(got: object, expected: object = RIGHT, **options) -> str:
    with pytest.raises(CheckError) as caught:
        expect("the maps", "four images", got, expected, **options)
    text = str(caught.value)
    assert text.startswith("the maps: not what the reference gives\n  given: four images\n")
    assert "\n  expected: " in text and "\n  got: " in text
    assert ("Likely mistake" in text) == bool(caught.value.hint)
    return caught.value.hint


@pytest.mark.parametrize(
    "got, words",
    [
        (-RIGHT, "the sign is wrong"),
        (4 * RIGHT, "a sum over the batch where the mean is asked for"),
        (RIGHT / 4, "divided by the batch size once too often"),
        (2.5 * RIGHT, "every value is 2.5 times what it should be"),
        (np.maximum(RIGHT, 0), "ReLU is applied"),
        (RIGHT.swapaxes(1, 2), "transposed: axes 1 and 2 are swapped"),
        (RIGHT[::-1], "flipped: axis 0 runs backwards"),
        (RIGHT[..., ::-1], "flipped: axis 2 runs backwards"),
        (np.roll(RIGHT, 1, 2), "off by one along axis 2"),
        (RIGHT[-1], "only the last of 4 is returned"),
        (RIGHT[:1], "only the first of 4 is returned"),
        (RIGHT.mean(0), "the mean over the batch"),
        (RIGHT.reshape(4, 15), "only the shape is not"),
        (RIGHT * 0, "nothing but zeros"),
        (RIGHT * np.nan, "division by zero"),
        (RIGHT + 0.5, r"off by \+0.5, as when a bias is missing"),
        (RIGHT - np.array([1.0, 2.0, 3.0])[:, None], "each channel is off by a number of its own"),
        (np.sort(RIGHT, 2), "their order is not"),
    ],
)
def test_patterns_of_arrays_are_named(got, words):
    assert re.search(words, hint(got, batch_size=4))


def test_other_wrong_values_are_refused_without_a_guess():
    one_wrong = RIGHT.copy()
    one_wrong[1, 2, 3] += 0.1
    assert hint(one_wrong) == ""
    assert hint(0.7, 0.5) == "" and hint(1.5, 0.5) == "the result is 3 times what it should be"
    assert hint(RIGHT[:, :2]) == ""
    with pytest.raises(CheckError, match="expected numbers, got 'three'"):
        expect("the mean", "", "three", 3.0)


def test_mistakes_of_the_exercise_come_first_and_are_computed_when_needed():
    def mistakes():
        yield "the largest is taken", RIGHT * 0 + RIGHT.max()
        raise AssertionError("one more was asked for")

    expect("the maps", "", RIGHT, RIGHT, mistakes())  # asks for none
    got = torch.full(RIGHT.shape, RIGHT.max(), requires_grad=True)
    assert hint(got, mistakes=mistakes()) == "the largest is taken"


def test_right_values_match_no_common_mistake():
    assert recognise(RIGHT, common_mistakes(RIGHT, 4)) == ""
    expect("the maps", "", torch.tensor(RIGHT).float(), RIGHT)
    expect("zero", "", 0, 0.0)


def test_the_rows_of_a_small_matrix_stand_below_each_other():
    with pytest.raises(CheckError) as caught:
        expect("w", "2 units", [[1.0, 2.0], [3.0, 4.5]], [[1.0, 2.0], [3.0, 4.0]])
    lines = str(caught.value).splitlines()
    assert lines[2:6] == [
        "  expected: [[1., 2.],",
        "             [3., 4.]]",
        "  got: [[1. , 2. ],",
        "        [3. , 4.5]]",
    ]


def test_a_small_error_is_not_explained_by_a_mistake_that_shows_nowhere():
    right = np.array([0.5, 0.0, 0.25])
    unseen = [("large numbers are clipped at 1", np.minimum(right, 1))]
    got = right + np.array([0, -1e-6, 0])
    with pytest.raises(CheckError) as caught:
        expect("x", "numbers", got, right, unseen, tolerance=1e-9)
    assert "Likely mistake" not in str(caught.value)
    many = np.tile(right, 4)
    with pytest.raises(CheckError, match=r"\(4 of 12 values differ\)"):
        expect("x", "numbers", np.tile(got, 4), many, tolerance=1e-9)


def test_one_mistake_has_to_explain_every_case():
    def cases(*values):
        return [
            (np.array(got), [("the first", first), ("the second", second), ("the second", third)])
            for got, first, second, third in values
        ]

    assert consistent(cases((1.0, 1.0, 1.0, 9.0), (2.0, 2.0, 2.0, 9.0))) == "the first"
    # By chance, the first mistake agrees with one case; the second has two forms.
    assert consistent(cases((1.0, 1.0, 1.0, 9.0), (2.0, 3.0, 9.0, 2.0))) == "the second"
    assert consistent(cases((1.0, 1.0, 1.0, 9.0), (2.0, 3.0, 9.0, 9.0))) == ""
    assert consistent([(np.array(1.0), [("only here", 1.0)]), (np.array(2.0), [])]) == "only here"
