"""Paired comparisons: against an analysis of variance, and against simulated chance."""

import numpy as np
import pytest
from scipy import stats

from helpers import paired

RESULTS = {"a": [0.97, 0.98, 0.99], "b": [0.96, 0.985, 0.98], "c": [0.95, 0.96, 0.975]}


def test_the_limit_is_that_of_an_analysis_of_variance():
    comparison = paired.compare(RESULTS)
    table = np.array(list(RESULTS.values()))
    residual = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    error = np.sqrt(2 * (residual**2).sum() / 4 / 3)
    assert comparison.freedom == 4
    assert comparison.limit == pytest.approx(stats.t.ppf(1 - 0.05 / 6, 4) * error)
    assert comparison.mean("a", "c") == pytest.approx(0.98 - (0.95 + 0.96 + 0.975) / 3)
    assert list(comparison.differences) == [("a", "b"), ("a", "c"), ("b", "c")]


def test_two_models_get_the_usual_paired_t_test():
    comparison = paired.compare({"a": RESULTS["a"], "b": RESULTS["b"]})
    low, high = stats.ttest_rel(RESULTS["a"], RESULTS["b"]).confidence_interval(0.95)
    assert comparison.limit == pytest.approx((high - low) / 2)


def test_fewer_pairs_have_a_lower_limit_and_the_same_spread():
    every, one = paired.compare(RESULTS), paired.compare(RESULTS, [("c", "a")])
    assert one.deviation == every.deviation and one.limit < every.limit
    assert one.mean("c", "a") == -every.mean("a", "c")


def test_chance_alone_goes_beyond_the_limit_in_one_table_of_twenty():
    rng = np.random.default_rng(0)
    beyond = 0
    for _ in range(2000):
        seeds = rng.normal(size=4)  # what a seed does to all models alike drops out
        comparison = paired.compare({name: seeds + 0.3 * rng.normal(size=4) for name in "abc"})
        means = [abs(values.mean()) for values in comparison.differences.values()]
        beyond += max(means) > comparison.limit
    assert 0.025 < beyond / 2000 < 0.06  # Bonferroni is a little strict


@pytest.mark.parametrize(
    "results", [{"a": [1.0, 2]}, {"a": [1.0], "b": [2.0]}, {"a": [1.0, 2], "b": [1.0, 2, 3]}]
)
def test_what_cannot_be_compared_is_refused(results):
    with pytest.raises(ValueError, match="two models or more with two seeds or more"):
        paired.compare(results)


def test_the_table_shows_seeds_means_deviations_and_the_limit(capsys):
    paired.show(RESULTS, paired.compare(RESULTS, [("a", "b")]), range(3), caption="accuracy in %")
    shown = capsys.readouterr().out
    assert "98.00 ± 1.00" in shown and "a − b" in shown and "+0.50" in shown
    assert f"± {100 * paired.compare(RESULTS, [('a', 'b')]).limit:.2f}" in shown
