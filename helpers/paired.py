"""Comparisons over seeds: paired differences, and how large a difference chance alone can make.

Two trainings are a pair when they share a seed: the same images in the same order, and where they
can the same initial weights. What the seed does to both alike then drops out of their difference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from helpers import figures

Pair = tuple[str, str]


@dataclass(frozen=True)
class Comparison:
    """Paired differences of several models over the same seeds.

    `differences` maps a pair of names to the first one's results minus the second one's `[seeds]`.
    `deviation` is the standard deviation of one difference, estimated from all pairs together, with
    `freedom` degrees of freedom. A mean difference beyond `limit` is more than chance: if seeds
    were the only cause, no more than one such comparison in twenty would hold a mean beyond it, all
    its pairs taken together.
    """

    differences: dict[Pair, np.ndarray]
    deviation: float
    freedom: int
    limit: float

    def mean(self, one: str, other: str) -> float:
        """Return the mean difference of the pair `(one, other)`."""
        return float(self.differences[one, other].mean())


def compare(
    results: Mapping[str, Sequence[float]],
    pairs: Sequence[Pair] | None = None,
    *,
    level: float = 0.05,
) -> Comparison:
    """Compare models over the seeds that they share; `results` maps a name to one value per seed.

    `pairs` are the comparisons that will be looked at, by default all; the limit of chance grows
    with their number (Bonferroni) and comes from a t-test whose estimate of the spread is that of
    an analysis of variance with models and seeds as its factors. It assumes that the differences
    are normally distributed and vary equally in all pairs. A ValueError says when there are fewer
    than two models or two seeds, or when the numbers of seeds differ.
    """
    table = {name: np.asarray(values, dtype=float) for name, values in results.items()}
    counts = {len(values) for values in table.values()}
    if len(table) < 2 or len(counts) != 1 or min(counts) < 2:
        shown = {name: len(values) for name, values in table.items()}
        raise ValueError(f"a comparison needs two models or more with two seeds or more: {shown}")
    seeds = counts.pop()
    every = [table[one] - table[other] for one, other in combinations(table, 2)]
    # With all pairs, this is twice the residual mean square of the analysis of variance.
    deviation = float(np.sqrt(np.mean([values.var(ddof=1) for values in every])))
    freedom = (len(table) - 1) * (seeds - 1)
    pairs = list(combinations(table, 2)) if pairs is None else list(pairs)
    quantile = stats.t.ppf(1 - level / (2 * len(pairs)), freedom)
    return Comparison(
        {(one, other): table[one] - table[other] for one, other in pairs},
        deviation,
        freedom,
        float(quantile * deviation / np.sqrt(seeds)),
    )


def show(
    results: Mapping[str, Sequence[float]],
    comparison: Comparison,
    seeds: Sequence[int],
    *,
    caption: str,
    scale: float = 100,
    digits: int = 2,
) -> None:
    """Display a row for each model and for each pair: every seed, mean ± standard deviation, limit.

    Values are multiplied by `scale`, 100 for accuracies in per cent.
    """

    def row(name: str, values: Sequence[float], sign: str) -> dict[str, str]:
        values = scale * np.asarray(values)
        each = {f"seed {s}": f"{v:{sign}.{digits}f}" for s, v in zip(seeds, values, strict=True)}
        summary = f"{values.mean():{sign}.{digits}f} ± {values.std(ddof=1):.{digits}f}"
        return {"": name} | each | {"mean ± standard deviation": summary}

    rows = [row(name, values, "") | {"limit of chance": ""} for name, values in results.items()]
    limit = f"± {scale * comparison.limit:.{digits}f}"
    rows += [
        row(f"{one} − {other}", values, "+") | {"limit of chance": limit}
        for (one, other), values in comparison.differences.items()
    ]
    figures.table(rows, caption=caption)
