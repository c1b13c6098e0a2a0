"""Means over prompts with bootstrap intervals: prompts are drawn again, not stories.

Stories of one prompt resemble each other (an easy beginning is easy for each of them), so ten of them tell less than
ten of different prompts do; an interval that draws single stories again would be too narrow by far.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tinyscale.spec import Interval

LEAST_PROMPTS = 5
"""No interval from fewer: even one that spans all of n means covers a symmetric one with 1 - 2^(1 - n) at best."""

Floats = NDArray[np.float64]


def by_prompt(values: Iterable[tuple[str, float]]) -> dict[str, float]:
    """The mean of each prompt's values; a prompt then weighs the same however many of its stories were graded."""
    groups: dict[str, list[float]] = defaultdict(list)
    for prompt, value in values:
        groups[prompt].append(value)
    return {prompt: sum(found) / len(found) for prompt, found in groups.items()}


def mean_interval(means: Mapping[str, float], bootstraps: int, seed: int) -> Interval | None:
    """Mean over prompts and its 95 % interval; None below :data:`LEAST_PROMPTS`.

    :param means: one value a prompt.
    """
    if len(means) < LEAST_PROMPTS:
        return None
    values = np.array([means[prompt] for prompt in sorted(means)])
    return Interval(
        value=float(values.mean()), **_ends(values[drawn(len(values), bootstraps, seed)].mean(1), len(values))
    )


def ratio_interval(sums: Sequence[tuple[float, float]], bootstraps: int, seed: int) -> Interval | None:
    """Sum over sum, such as the slope of a regression, with its 95 % interval; None where it can't be told.

    :param sums: (numerator, denominator) of each prompt.
    """
    parts = np.array(sums, dtype=np.float64).reshape(-1, 2)
    if len(parts) < LEAST_PROMPTS or parts[:, 1].sum() <= 0:
        return None
    totals = parts[drawn(len(parts), bootstraps, seed)].sum(1)
    totals = totals[totals[:, 1] > 0]
    top, bottom = parts.sum(0)
    return Interval(value=float(top / bottom), **_ends(totals[:, 0] / totals[:, 1], len(parts)))


def drawn(prompts: int, bootstraps: int, seed: int) -> NDArray[np.int64]:
    """Indices of prompts drawn with replacement, (bootstraps, prompts)."""
    return np.random.default_rng(seed).integers(prompts, size=(bootstraps, prompts))


def _ends(draws: Floats, prompts: int) -> dict[str, float]:
    """Ends of the percentile interval, a little further out than 2.5 %: a bootstrap of n values is too narrow by
    sqrt((n - 1) / n), and takes a normal for a t distribution (expanded percentiles: Hesterberg 2015, section 5.3)."""
    from scipy import stats

    outer = float(stats.norm.cdf(-math.sqrt(prompts / (prompts - 1)) * stats.t.ppf(0.975, prompts - 1)))
    low, high = np.quantile(draws, (outer, 1 - outer))
    return {"low": float(low), "high": float(high)}
