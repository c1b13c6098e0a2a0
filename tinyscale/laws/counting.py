"""How the exponents move with what N counts."""

from collections.abc import Sequence
from typing import get_args

import numpy as np

from tinyscale.laws.fit import fit_columns
from tinyscale.laws.select import Params, cell_of, loss_of, params_of
from tinyscale.spec import CountedLaw, LawFit, Point


def fit_countings(points: Sequence[Point], law: LawFit, *, bootstraps: int = 1_000) -> tuple[CountedLaw, ...]:
    """The law refitted with N = all parameters, those outside the embeddings, and the effective ones.

    The effective N is C / (6 D), with C the FLOPs of training (:func:`tinyscale.accounting.flops_per_token`): the head
    counts, looking up an embedding does not, attention does. With it C = 6 N D holds, on which the exponent a rests.
    Porian et al. 2024 explain by it how Kaplan et al. 2020 came to a = 0.88: counting the last layer alone took their
    own from 0.835 to 0.706. The smaller the models, the larger the part of the embeddings, and the difference.

    :param points: those that the law was fitted on.
    :raises ValueError: one of the counts carries no law; says which and what to add.
    """
    return tuple(_counted(points, law, kind, bootstraps) for kind in get_args(Params))


def _counted(points: Sequence[Point], law: LawFit, kind: str, bootstraps: int) -> CountedLaw:
    try:
        fit = law if kind == law.params else fit_columns(
            np.array([params_of(point, kind) for point in points], dtype=np.float64),
            np.array([point.tokens for point in points], dtype=np.float64),
            np.array([loss_of(point, law.unit) for point in points]),
            trial_ids=[point.trial_id for point in points],
            cells=[cell_of(point) for point in points],
            params=kind,
            unit=law.unit,
            vocab_size=law.vocab_size,
            bootstraps=bootstraps,
        )  # fmt: skip
    except ValueError as error:
        raise ValueError(f"with N = {kind}: {error}") from error
    return CountedLaw(
        params=kind,
        alpha=fit.intervals["alpha"],
        beta=fit.intervals["beta"],
        a=fit.intervals["a"],
        residual_rms=fit.residual_rms,
        warnings=fit.warnings,
    )
