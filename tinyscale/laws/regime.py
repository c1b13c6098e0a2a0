"""Whether the points obey a power law yet, and from which token budget on they do."""

import numpy as np

from tinyscale.laws.chinchilla import ChinchillaFit, fit_chinchilla
from tinyscale.laws.form import Floats
from tinyscale.laws.misfit import misses, pattern, residual_deviation, steepening
from tinyscale.laws.noise import PARAMETERS, Noise
from tinyscale.laws.table import LEAST_VALUES
from tinyscale.spec import short_count

LEAST_FREEDOM = 3
"""Points beyond the five parameters that a fit needs before its word counts."""
MOST_REFITS = 8
"""Budgets tried as the smallest, evenly spread where a study has more."""


def regime(
    fit: ChinchillaFit, N: Floats, D: Floats, loss: Floats, noise: Noise, *, shared: bool
) -> tuple[bool, list[str]]:
    """Whether the points follow another curve than the law's, and the sentences that say so.

    Scatter without a pattern, and a pattern no larger than the seeds' noise, speak against the exponents but leave
    forecasts usable: then the first is False.

    :param shared: some trial holds several points.
    """
    # Points that share a trial share its N and part of its noise, which then looks like a pattern along N.
    far, along_n, along_d = misses(fit, noise), not shared and pattern(fit, 0), pattern(fit, 1)
    if not (far or along_n or along_d):
        return False, []
    source = "measured" if noise.measured else "assumed"
    missed = (
        f"the law misses its own points by {residual_deviation(fit):.2%}, where seeds differ by {noise.deviation:.2%} "
        f"({source})"
    )
    axes = " and ".join(name for name, found in (("N", along_n), ("D", along_d)) if found)
    if not far and residual_deviation(fit) <= noise.deviation:
        return False, [
            f"A faint curve: {missed}, but in a pattern along {axes} that no such law can follow, so the exponents "
            f"hang on which points are fitted. Train longer, or add points at other {axes}."
        ]
    step = steepening(N, D, np.log(loss))
    if not (along_n or along_d or step):
        return False, [
            f"Scatter: {missed}, without a pattern along N or D. Check the learning rate of each size, and repeat "
            "some runs with other seeds."
        ]
    if along_d or step:
        advice = f"Not yet a power law: forecast withheld; {_remedy(N, D, loss, noise, shared)}."
    else:
        advice = "Not a power law of N: forecast withheld; check the learning rate of each size, or fit fewer sizes."
    said = f"{missed}, in a pattern along {axes} that no such law can follow" if axes else missed
    if step:
        low, high = (short_count(round(tokens)) for tokens in step)
        said += f"; it falls faster from {low} to {high} tokens than before, as when attention learns to copy"
    return True, [f"{advice} {said[0].upper()}{said[1:]}."]


def _remedy(N: Floats, D: Floats, loss: Floats, noise: Noise, shared: bool) -> str:
    """What to do: the fewest of the smallest budgets whose going mends the misfit, where that helps."""
    budgets = np.unique(D)
    candidates = budgets[1 : len(budgets) - LEAST_VALUES + 1]
    for least in candidates[:: -(-len(candidates) // MOST_REFITS) or 1]:
        kept = least <= D
        if kept.sum() < PARAMETERS + LEAST_FREEDOM or len(np.unique(N[kept])) < LEAST_VALUES:
            break
        rest = fit_chinchilla(N[kept], D[kept], loss[kept], seed=range(int(kept.sum())))
        if not (misses(rest, noise) or (not shared and pattern(rest, 0)) or pattern(rest, 1)):
            return f"train longer, drop the points below {short_count(round(float(least)))} tokens"
    return (
        f"train longer than {short_count(round(float(budgets[-1])))} tokens and drop the points below the change: "
        "without the smallest budgets of this study the misfit stays"
    )
