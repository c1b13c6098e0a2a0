"""Runs of equal training compute: a parabola a level, and the exponent that their minima give."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from tinyscale.laws.bootstrap import interval, shared_noise
from tinyscale.laws.form import Chinchilla, Floats, predict
from tinyscale.laws.noise import Noise
from tinyscale.laws.select import cell_of, loss_of, params_of
from tinyscale.spec import Interval, IsoFlop, IsoFlops, LawFit, Point

SPREAD = 1.15
"""Largest over smallest compute of the cells of one level."""
LEAST_SIZES = 5
"""Model sizes N that a parabola is drawn through: its three coefficients, and two to show a misfit."""
SHOWN_SIZES = 3
"""Model sizes from which on cells of equal compute count as a level, if a refused one."""
LEAST_LEVELS = 3
"""Minima that an exponent is drawn through."""


@dataclass(frozen=True)
class _Cell:
    """Runs that differ by the seed alone."""

    params: float
    flops: float
    tokens: float
    loss: float
    trials: Hashable


@dataclass(frozen=True)
class _Level:
    """Cells of one compute, their losses moved to it."""

    flops: float
    log_n: Floats
    """ln N of each cell, (m,), ascending."""
    loss: Floats
    cells: Sequence[_Cell]

    def parabola(self, losses_dm: Floats) -> Floats:
        """c0, c1, c2 for each row of losses, (draws, 3), by least squares. ln N is centred on the way, for accuracy."""
        middle = self.log_n.mean()
        c2, c1, c0 = np.polyfit(self.log_n - middle, losses_dm.T, 2)
        return np.stack([c0 - c1 * middle + c2 * middle**2, c1 - 2 * c2 * middle, c2], axis=1)


def fit_isoflops(points: Sequence[Point], law: LawFit, *, draws: int = 1_000) -> IsoFlops:
    """The best model size of each level of training compute (Hoffmann et al. 2022, approach 2), and N* = const C^a.

    Cells whose compute (:attr:`Point.flops`) agrees within 15 % make a level; the fullest are taken first. What is left
    of the differences is taken out along the law: a cell's loss is multiplied by L(N, D c / C) / L(N, D), with c the
    level's compute, so the losses of a level are those of its c. A level needs 5 model sizes, a positive curvature and
    a minimum between the smallest and the largest size.

    The exponent is the slope of ln N* on ln C, each minimum weighted by the inverse of its variance. Its interval and
    these variances come from parabolas refitted to their own losses with noise: a parametric bootstrap of the runs,
    whose deviation is that of all parabolas' residuals. Runs of one trial share half of it.

    :param points: those that the law was fitted on.
    :raises ValueError: no 3 model sizes have equal compute; says what to add.
    """
    levels = _levels(_cells(points, law), Chinchilla(law.E, law.A, law.B, law.alpha, law.beta))
    if not levels:
        raise ValueError(
            f"no {SHOWN_SIZES} of the model sizes fitted were trained with equal compute (within {SPREAD - 1:.0%}): "
            f"add trials of {LEAST_SIZES} sizes or more whose tokens fall as their FLOPs a token rise, at "
            f"{LEAST_LEVELS} computes or more"
        )
    shown = [_described(level) for level in levels]
    accepted = [level for level, told in zip(levels, shown, strict=True) if not told.refused]
    value = law.beta / (law.alpha + law.beta)
    return IsoFlops(
        levels=tuple(shown),
        a=_exponent(accepted, draws) if len(accepted) >= LEAST_LEVELS else None,
        law_a=law.intervals.get("a", Interval(value=value, low=value, high=value)),
    )


def _cells(points: Sequence[Point], law: LawFit) -> list[_Cell]:
    runs: dict[Hashable, list[Point]] = defaultdict(list)
    for point in points:
        runs[cell_of(point)].append(point)
    return [
        _Cell(
            params_of(group[0], law.params),
            fmean(point.flops for point in group),
            group[0].tokens,
            fmean(loss_of(point, law.unit) for point in group),
            tuple(sorted(point.trial_id for point in group)),
        )
        for group in runs.values()
    ]


def _levels(cells: Sequence[_Cell], law: Chinchilla) -> list[_Level]:
    """Levels in order of their compute."""
    rest, found = sorted(cells, key=lambda cell: cell.flops), []
    while rest:
        windows = [[cell for cell in rest[i:] if cell.flops <= SPREAD * rest[i].flops] for i in range(len(rest))]
        fullest = max(windows, key=lambda window: len({cell.params for cell in window}))
        if len({cell.params for cell in fullest}) < SHOWN_SIZES:
            break
        found.append(_level(fullest, law))
        rest = [cell for cell in rest if cell not in fullest]
    return sorted(found, key=lambda level: level.flops)


def _level(cells: Sequence[_Cell], law: Chinchilla) -> _Level:
    cells = sorted(cells, key=lambda cell: cell.params)
    N, C, D, loss = np.array([(cell.params, cell.flops, cell.tokens, cell.loss) for cell in cells]).T
    level = float(np.exp(np.log(C).mean()))
    return _Level(level, np.log(N), loss * predict(*law, N=N, D=D * level / C) / predict(*law, N=N, D=D), cells)


def _described(level: _Level) -> IsoFlop:
    sizes = len(np.unique(level.log_n))
    coefficients, best, refused = None, None, ""
    if sizes < LEAST_SIZES:
        refused = f"{sizes} model sizes: add {LEAST_SIZES - sizes} or more of this compute"
    else:
        c0, c1, c2 = (float(c) for c in level.parabola(level.loss[None])[0])
        lowest = -c1 / (2 * c2) if c2 else np.inf
        if c2 <= 0:
            refused = "the loss has no minimum: its parabola opens downwards. Add sizes further apart, or more seeds"
        elif not level.log_n[0] < lowest < level.log_n[-1]:
            side = "smaller" if lowest <= level.log_n[0] else "larger"
            refused = f"the minimum lies outside the sizes trained: add {side} models of this compute"
        else:
            coefficients, best = (c0, c1, c2), float(np.exp(lowest))
    return IsoFlop(
        flops=level.flops,
        params=tuple(float(n) for n in np.exp(level.log_n)),
        loss=tuple(float(y) for y in level.loss),
        coefficients=coefficients,
        best_params=best,
        refused=refused,
    )


def _exponent(levels: Sequence[_Level], draws: int) -> Interval:
    smooth = [_values(level, level.parabola(level.loss[None]))[0] for level in levels]
    squares = sum(float(np.sum((level.loss / fit - 1) ** 2)) for level, fit in zip(levels, smooth, strict=True))
    freedom = sum(len(level.cells) - 3 for level in levels)
    noise = Noise(float(np.sqrt(squares / freedom)), freedom)
    trials = list(dict.fromkeys(cell.trials for level in levels for cell in level.cells))
    cluster_n = np.array([trials.index(cell.trials) for level in levels for cell in level.cells])
    noise_dn = shared_noise(np.random.default_rng(0), noise, cluster_n, draws)
    noise_by_level = np.split(noise_dn, np.cumsum([len(level.cells) for level in levels])[:-1], axis=1)
    lowest_dl = np.stack(
        [_lowest(level, fit * np.exp(mine)) for level, fit, mine in zip(levels, smooth, noise_by_level, strict=True)],
        axis=1,
    )
    lowest_l = np.array([_lowest(level, level.loss[None])[0] for level in levels])
    weights_l = 1 / np.maximum(lowest_dl.var(axis=0), 1e-12)
    log_c_l = np.log([level.flops for level in levels])
    centred_l = log_c_l - np.average(log_c_l, weights=weights_l)
    slope_l = weights_l * centred_l / np.sum(weights_l * centred_l**2)
    return interval(float(lowest_l @ slope_l), lowest_dl @ slope_l)


def _values(level: _Level, coefficients_d3: Floats) -> Floats:
    """Of the parabolas at the level's sizes, (draws, m)."""
    values: Floats = coefficients_d3 @ np.stack([level.log_n**power for power in range(3)])
    return values


def _lowest(level: _Level, losses_dm: Floats) -> Floats:
    """ln N at the minimum of each row's parabola, (draws,); the better end where it has none between the sizes."""
    coefficients = level.parabola(losses_dm)
    values = _values(level, coefficients)
    ends = np.where(values[:, 0] < values[:, -1], level.log_n[0], level.log_n[-1])
    _, c1, c2 = coefficients.T
    inside: Floats = np.clip(-c1 / np.where(c2 > 0, 2 * c2, 1.0), level.log_n[0], level.log_n[-1])
    return np.where(c2 > 0, inside, ends)
