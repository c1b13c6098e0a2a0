"""Whether a judge agrees with itself: quadratic-weighted kappa of repeated grades (Cohen 1968)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from tinyscale.spec import CRITERIA, Grade

SCORES = 10
"""Scores are 1 to 10."""


def kappa(counts: NDArray[np.float64]) -> float | None:
    """1 - (weighted disagreement seen) / (expected by chance from the margins), weights (i - j)^2.

    :param counts: pairs of scores, (SCORES, SCORES).
    :returns: 1: same each time, 0: as by chance; None where all scores are one and nothing can be told.
    """
    total = counts.sum()
    apart = np.subtract.outer(np.arange(len(counts)), np.arange(len(counts))) ** 2.0
    expected = (apart * np.outer(counts.sum(1), counts.sum(0))).sum() / total if total else 0.0
    return 1.0 - float((apart * counts).sum() / expected) if expected else None


def repeatability(grades: Iterable[Grade]) -> tuple[Mapping[str, float], int]:
    """Kappa by criterion over all pairs of grades of one story, and how many stories have more than one grade.

    The judge's own test is left out: between its sessions lie days, and they tell of drift.

    No repeat comes before another, so a pair counts in both orders.
    """
    scored: dict[tuple[str, str], list[Grade]] = defaultdict(list)
    for grade in grades:
        if grade.scores and grade.kind == "model":
            scored[grade.model, grade.story_id].append(grade)
    repeated = [again for again in scored.values() if len(again) > 1]
    found: dict[str, float] = {}
    for criterion in CRITERIA:
        counts = np.zeros((SCORES, SCORES))
        for again in repeated:
            values = [grade.scores[criterion] for grade in again if criterion in grade.scores]
            for one, other in permutations(values, 2):
                counts[one - 1, other - 1] += 1
        agreed = kappa(counts)
        if agreed is not None:
            found[criterion] = agreed
    return found, len(repeated)
