"""Width and depth beside the count of parameters: does the shape of a model matter beyond its N?"""

from collections.abc import Sequence

import numpy as np

from tinyscale.laws.aspect import Effect, aspect_effect, stray_together
from tinyscale.laws.bootstrap import interval, refit
from tinyscale.laws.chinchilla import fit_chinchilla
from tinyscale.laws.form import Floats
from tinyscale.laws.regime import LEAST_FREEDOM
from tinyscale.laws.select import loss_of, params_of
from tinyscale.laws.solver import EXPONENT_BOUNDS, Problem
from tinyscale.laws.verdict import MOST_CORRELATION, NEGLIGIBLE, WIDEST_EXPONENT
from tinyscale.spec import Interval, LawFit, Point, ShapeLaw

PARAMETERS = 6
"""Of the law of shape: E, A, gamma, delta, B, beta."""
LEAST_OWN = 0.2
"""Of the aspect ratios' spread that N must leave unexplained: below it the two are one axis."""
SIGNIFICANCE = 0.01
"""Chance of saying that shape matters where it does not."""
SMALL = 0.01
"""An effect whose interval stays within this fraction of the loss is a small one."""
WORDS = {
    "total": "all parameters counted",
    "non_embedding": "embeddings not counted",
    "effective": "FLOPs a token over 6",
}


def fit_shape(points: Sequence[Point], law: LawFit, *, bootstraps: int = 1_000) -> ShapeLaw:
    """loss = E + A / (hidden^gamma layers^delta) + B / D^beta, and whether shape tells more than N does.

    The law is fitted as L(N, D) is: least Huber sum of the log residuals, intervals from resampled trials. Whether
    shape matters is tested on what L(N, D) misses (:func:`tinyscale.laws.aspect.aspect_effect`), over trials; over
    shapes, where the trials of one shape stray together from L(N, D) and from this law, as a poor learning rate makes
    them. Kaplan et al. 2020 (section 3.1) found a few percent over a factor of 40 in the aspect ratio.

    :param points: those that the law was fitted on.
    :raises ValueError: width and depth cannot be told apart in these points, or from N; says what to add.
    """
    hidden, layers, N, D = (np.array(column, dtype=np.float64) for column in zip(*(
        (point.hidden_size, point.num_layers, params_of(point, law.params), point.tokens) for point in points
    ), strict=True))  # fmt: skip
    loss = np.array([loss_of(point, law.unit) for point in points])
    _check(hidden, layers)
    if len(points) < PARAMETERS + LEAST_FREEDOM:
        lacking = PARAMETERS + LEAST_FREEDOM - len(points)
        raise ValueError(f"{len(points)} points for a law of {PARAMETERS} parameters: add {lacking} or more trials")
    trials = [point.trial_id for point in points]
    shapes = [f"{point.hidden_size} x {point.num_layers}" for point in points]
    log_aspect = np.log(hidden / layers)
    plain = fit_chinchilla(N, D, loss, seed=range(len(N)))
    problem = Problem.of(np.column_stack([hidden, layers, D]), loss, terms=(0, 0, 1))
    theta, _ = problem.solve()
    strays = all(
        stray_together(columns_np, residuals_n, trials, shapes)
        for columns_np, residuals_n in (
            (np.column_stack([plain.problem.jacobian(plain.theta), log_aspect]), plain.residuals),
            (problem.jacobian(theta), problem.residuals(theta)),
        )
    )
    effect = aspect_effect(plain, log_aspect, shapes if strays else trials)
    if effect.freedom < LEAST_FREEDOM:
        units = "shapes, whose trials stray from the law together," if strays else "trials"
        raise ValueError(
            f"{effect.units} {units} leave {effect.freedom} to tell an effect of shape from chance: "
            f"add {LEAST_FREEDOM - effect.freedom} or more, of other shapes"
        )
    if effect.own < LEAST_OWN:
        raise ValueError(
            "hidden / layers follows from N in these points, so shape cannot be told from size: add trials of nearly "
            "equal N, one wide and shallow, the other narrow and deep"
        )
    draws = refit(problem, theta, trials, draws=bootstraps)
    floor, (A, B), exponents = problem.natural(theta)
    gamma, delta, beta = (interval(float(e), column) for e, column in zip(exponents, draws.T[-3:], strict=True))
    matters = effect.chance < SIGNIFICANCE
    return ShapeLaw(
        E=floor,
        A=float(A),
        B=float(B),
        gamma=gamma,
        delta=delta,
        beta=beta,
        ratio=interval(gamma.value / delta.value, draws[:, -3] / draws[:, -2]),
        residual_rms=float(np.sqrt(np.mean(problem.residuals(theta) ** 2))),
        law_residual_rms=plain.residual_rms,
        matters=matters,
        said=_said(effect, matters, hidden / layers, law.params),
        warnings=tuple(_warnings(law, floor, loss, layers, (gamma, delta, beta))),
    )


def _check(hidden: Floats, layers: Floats) -> None:
    for name, mine, other, others in (
        ("num_layers", layers, "hidden_size", hidden),
        ("hidden_size", hidden, "num_layers", layers),
    ):
        if len(np.unique(mine)) < 2:
            raise ValueError(
                f"every point fitted has {name} {mine[0]:.0f}: add trials of another {name} at each of two or more "
                f"values of {other}, such as {other} {others.min():.0f} and {others.max():.0f}"
            )
    correlation = float(np.corrcoef(np.log(hidden), np.log(layers))[0, 1])
    if abs(correlation) > MOST_CORRELATION:
        raise ValueError(
            f"hidden_size and num_layers move together (correlation of their logs {correlation:.2f}), so their effects "
            f"cannot be told apart: {_crossing(hidden, layers)}"
        )


def _crossing(hidden: Floats, layers: Floats) -> str:
    """The trials that would set width and depth apart: the empty corners of the plan."""
    shapes = set(zip(hidden, layers, strict=True))
    corners = [(h, n) for h in (hidden.min(), hidden.max()) for n in (layers.min(), layers.max())]
    lacking = [f"hidden_size {h:.0f} with num_layers {n:.0f}" for h, n in corners if (h, n) not in shapes]
    return f"add {' and '.join(lacking or ['more shapes'])}"


def _said(effect: Effect, matters: bool, aspect: Floats, params: str) -> str:
    low, high = effect.value - effect.half_width, effect.value + effect.half_width
    small = max(-low, high) <= SMALL
    if matters:
        head = f"Shape matters {'a little ' if small else ''}beyond N"
    elif small:
        head = "Shape explains nothing that N does not"
    else:
        head = "These runs cannot tell whether shape matters beyond N"
    return (
        f"{head} ({WORDS.get(params, params)}): from hidden / layers = {aspect.min():.3g} to {aspect.max():.3g} the "
        f"loss moves by {np.expm1(effect.value):+.2%} at equal N and tokens (95 % interval {np.expm1(low):+.2%} to "
        f"{np.expm1(high):+.2%}; F test, p = {effect.chance:.2g})."
    )


def _warnings(law: LawFit, floor: float, loss: Floats, layers: Floats, known: Sequence[Interval]) -> list[str]:
    said: list[str] = []
    if not law.forecast_holds:
        said.append("L(N, D) misses these points, so what it says of shape beyond N hangs on a law that does not hold.")
    if floor < NEGLIGIBLE * loss.min():
        said.append("The fitted floor E is zero, so the exponents stand in for it. Add larger models and more tokens.")
    depths = np.unique(layers)
    if len(depths) == 2:
        few, many = depths
        said.append(f"Two depths only, {few:.0f} and {many:.0f}: delta is the slope between them. Add a third.")
    (low, high), names = EXPONENT_BOUNDS, ("gamma", "delta", "beta")
    for name, exponent, what in zip(names, known, ("widths", "depths", "token budgets"), strict=True):
        if not low * 1.01 < exponent.value < high * 0.99:
            said.append(
                f"{name} = {exponent.value:.3g} lies at the bound of the search ({low:g} .. {high:g}): "
                f"the loss is no power law of the {what} in these points."
            )
        elif exponent.high > WIDEST_EXPONENT * exponent.low:
            said.append(
                f"{name} is not pinned down: its 95 % interval runs from {exponent.low:.3g} to {exponent.high:.3g}. "
                f"Add {what} over a wider range, or more seeds."
            )
    return said
