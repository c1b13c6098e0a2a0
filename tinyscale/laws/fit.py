"""A study's points, or any table's columns, to their law."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from tinyscale.laws.bootstrap import bootstrap, interval
from tinyscale.laws.chinchilla import fit_chinchilla
from tinyscale.laws.frontier import Frontier, frontier_exponents
from tinyscale.laws.select import Unit, cell_of, loss_of, params_of, select
from tinyscale.laws.verdict import judge
from tinyscale.spec import LawFit, Point
from tinyscale.spec.study import LawOptions


def fit_points(
    points: Sequence[Point],
    *,
    unit: Unit = "bpb",
    options: LawOptions | None = None,
    excluded: Mapping[str, str] | None = None,
) -> LawFit:
    """The law L(N, D) of one vocabulary, with 95 % bootstrap intervals, exclusions and a verdict.

    Hold-outs, other vocabularies and worse learning rates at the same size and token budget stay out, each named
    in ``excluded``; all seeds enter.

    :param unit: ``bpb`` or ``nats per token``: the loss that is fitted.
    :param options: which N, which vocabulary (0: the most common), how many resamples.
    :param excluded: trials that yielded no point, with the reason; they go into ``excluded`` with the others.
    :raises ValueError: the points cannot carry a law; says what to add.
    """
    options = options or LawOptions()
    chosen, left_out, vocab_size = select(points, unit=unit, params=options.params, vocab_size=options.vocab_size)
    N = np.array([params_of(point, options.params) for point in chosen], dtype=np.float64)
    D = np.array([point.tokens for point in chosen], dtype=np.float64)
    loss = np.array([loss_of(point, unit) for point in chosen])
    return fit_columns(
        N,
        D,
        loss,
        trial_ids=[point.trial_id for point in chosen],
        cells=[cell_of(point) for point in chosen],
        params=options.params,
        unit=unit,
        vocab_size=vocab_size,
        bootstraps=options.bootstraps,
        excluded={**(excluded or {}), **left_out},
    )


def fit_columns(
    N: ArrayLike,
    D: ArrayLike,
    loss: ArrayLike,
    *,
    trial_ids: Sequence[str] | None = None,
    cells: Sequence[Hashable] | None = None,
    params: str = "",
    unit: str = "loss",
    vocab_size: int = 0,
    bootstraps: int = 1_000,
    excluded: Mapping[str, str] | None = None,
) -> LawFit:
    """The law of any runs, with 95 % bootstrap intervals and a verdict: ``fit_columns(N, D, loss)``; every row enters.

    ``params``, ``unit``, ``vocab_size`` and ``excluded`` go into the fit as they are.

    :param N: parameters of each run, (n,).
    :param D: training tokens of each run, (n,).
    :param loss: in any unit, (n,).
    :param trial_ids: the trial of each run; a bootstrap draws whole trials, (n,). None: a trial a run, and a repeated
        (N, D) is an error.
    :param cells: what each run is but for its seed, (n,). None: its N and D.
    :raises ValueError: the runs cannot carry a law; says what to add.
    """
    N, D, loss = (np.asarray(column, dtype=np.float64) for column in (N, D, loss))
    # Shapes may share N and D; to the table they are repeats, told apart by their place in it.
    fit = fit_chinchilla(N, D, loss, seed=None if trial_ids is None else range(len(trial_ids)))
    trial_ids = trial_ids or [f"row {row}" for row in range(1, len(N) + 1)]
    cells = cells or list(zip(N, D, strict=True))
    draws = bootstrap(fit, trial_ids, draws=bootstraps)
    columns = {name: (value, draws[:, i]) for i, (name, value) in enumerate(fit.parameters._asdict().items())}
    columns["a"] = (Frontier(fit.parameters).a, frontier_exponents(draws))
    intervals = {name: interval(value, column) for name, (value, column) in columns.items()}
    verdict = judge(fit, draws, intervals, N, D, loss, cells, trial_ids)
    return LawFit(
        params=params,
        unit=unit,
        vocab_size=vocab_size,
        **fit.parameters._asdict(),
        intervals=intervals,
        draws=tuple(tuple(float(number) for number in draw) for draw in draws),
        objective=fit.objective,
        residual_rms=fit.residual_rms,
        trial_ids=tuple(trial_ids),
        excluded=excluded or {},
        **verdict._asdict(),
    )
