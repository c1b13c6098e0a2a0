"""How far bits per byte differ by the luck of the seed alone, and so what lead is none of it.

Models are compared by kind: what a trial is but for its seed. The mean of n runs of a kind scatters by sd / sqrt(n), so
between equal kinds of n and m runs the means differ by more than

    t(0.975, freedom) * sd * sqrt(1 / n + 1 / m)

in one of twenty comparisons (Student's two-sample t, in log bits per byte; for two single runs the root is sqrt(2)).
Where several equal kinds compete, the best is certain yet more rarely: it must lead each of the others by so much.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import t as t_distribution

from tinyscale.laws.noise import CAUTIOUS, Noise, seed_noise
from tinyscale.spec import Trial

QUANTILE = 0.975
"""Of Student's t: 5 % of the differences of equal kinds lie beyond it, both sides together."""


@dataclass(frozen=True)
class Luck:
    """The seed noise of a study."""

    noise: Noise
    """Of log bits per byte."""
    runs: int
    """Of the kinds that more than one seed was trained of; 0: there is none."""
    kinds: int
    """Those kinds."""

    def needed(self, runs: int = 1, rivals: int = 1) -> float:
        """Smallest lead, in log bits per byte, that luck does not explain, of a mean of ``runs`` over one of
        ``rivals``."""
        return float(t_distribution.ppf(QUANTILE, self.noise.freedom)) * self.noise.deviation * spread(runs, rivals)

    @property
    def said(self) -> str:
        """What it comes from."""
        sd = percent(self.noise.deviation)
        if not self.noise.measured:
            return f"assumed {sd} between seeds, the most seen so far: no trial of this study was repeated"
        where = f"{self.runs} runs of {self.kinds} kind(s)"
        return f"measured {sd} between seeds on {where}, pooled with an assumed {percent(CAUTIOUS.deviation)}"


def spread(runs: int, rivals: int) -> float:
    """Standard deviation of the difference of two means, in those of a single run."""
    return math.sqrt(1 / runs + 1 / rivals)


def seed_luck(bpb: Sequence[float], kinds: Sequence[str]) -> Luck:
    """Measure it on a study's runs, as :func:`tinyscale.laws.noise.seed_noise` does, from a cautious default.

    :param bpb: bits per byte of each run, all on the same text, (n,).
    :param kinds: what :func:`kind_of` says of each run, (n,).
    """
    repeated = [count for count in Counter(kinds).values() if count > 1]
    noise = seed_noise(np.log(np.asarray(bpb, dtype=np.float64)), kinds, default=CAUTIOUS)
    return Luck(noise, sum(repeated), len(repeated))


def kind_of(trial: Trial) -> str:
    """What the trial is but for its seed: equal for trials that differ by nothing else."""
    return replace(trial, train=replace(trial.train, seed=0)).id


def mean_log(values: Iterable[float]) -> float:
    """Mean of the logarithms."""
    logs = [math.log(value) for value in values]
    return sum(logs) / len(logs)


def percent(log_difference: float) -> str:
    """A difference of logarithms in words: ``0.95 %``, ``18.2 %``."""
    share = 100 * math.expm1(log_difference)
    return f"{share:.1f} %" if abs(share) >= 10 else f"{share:.2f} %"
