"""How far one run falls from the law: what seeds differ by, and what the residuals of a fit say of a new run."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from tinyscale.laws.form import Floats

SEED_NOISE = 0.003
"""Standard deviation of log losses between seeds where a study repeats none. Small models on TinyStories measured 0.1
to 0.3 %; those of the quickstart's sizes and recipe 0.8 % (seven seeds, two widths)."""
SEED_NOISE_FREEDOM = 10
"""Degrees of freedom that this default is worth beside a study's own runs."""
LEAST_TRIALS = 7
"""With fewer, nearly every resample that carries a law holds each trial once, and residuals hardly show what the
points of one trial share."""
PARAMETERS = 5
"""Of the law L(N, D)."""


@dataclass(frozen=True)
class Noise:
    """A standard deviation of log losses, and the degrees of freedom behind it."""

    deviation: float
    freedom: int
    measured: bool = True
    """False: it is the default alone."""


USUAL = Noise(SEED_NOISE, SEED_NOISE_FREEDOM, measured=False)
CAUTIOUS = Noise(0.008, 4, measured=False)
"""The most seen so far, for where luck must not pass for a better model; a few runs of a study's own outweigh it.
"""


def seed_noise(log_loss_n: Floats, cells: Sequence[Hashable], default: Noise = USUAL) -> Noise:
    """From runs that differ by the seed alone, pooled with a default.

    Pooling keeps one lucky pair of seeds from making every misfit look large.

    :param cells: what a run is but for its seed, (n,).
    """
    groups = [log_loss_n[[cell == other for other in cells]] for cell in dict.fromkeys(cells)]
    squares = sum(float(np.sum((group - group.mean()) ** 2)) for group in groups)
    return _pooled(squares, sum(len(group) - 1 for group in groups), default)


def run_noise(residual_rms: float, points: int, trials: int, parameters: int = PARAMETERS) -> Noise:
    """Of one new run about the law, from the residuals of a fit, its parameters taken off.

    Residuals of few trials with several points each understate it, as the law follows what a trial's points share:
    there it is pooled with the default.
    """
    freedom = max(points - parameters, 1)
    if trials < LEAST_TRIALS:
        return _pooled(points * residual_rms**2, freedom, USUAL)
    return Noise(residual_rms * float(np.sqrt(points / freedom)), freedom)


def _pooled(squares: float, freedom: int, default: Noise) -> Noise:
    """The moderated variance of Smyth 2004: (d0 s0^2 + d s^2) / (d0 + d), with d s^2 the squares."""
    together = default.freedom + freedom
    variance = (default.freedom * default.deviation**2 + squares) / together
    return Noise(float(np.sqrt(variance)), together, measured=freedom > 0)
