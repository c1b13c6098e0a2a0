"""The points that a study's law was fitted on, as a table from which anybody fits it again."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np

from tinyscale.laws.chinchilla import fit_chinchilla
from tinyscale.laws.select import Params, Unit, loss_of, params_of, select
from tinyscale.spec import LawFit, Point

POINTS, LAW, REFIT = "points.csv", "law.json", "refit.json"
PARAMETERS = ("E", "A", "B", "alpha", "beta")
COLUMNS = (
    "trial", "N", "params_total", "params_non_embedding", "tokens", "flops", "vocab_size", "hidden_size", "num_layers",
    "seed", "learning_rate", "loss", "bpb",
)  # fmt: skip
"""N: parameters as the law counts them. tokens: D. loss: nats per token. bpb: bits per byte."""
MOST_DIFFERENCE = 1e-6
"""Relative difference of the parameters from which a refit is of other points: rounding of the losses' last bit moves
them by 6e-9 at most (quickstart, 4 draws)."""


def law_points(law: LawFit, points: Sequence[Point]) -> tuple[Point, ...]:
    """The points that ``law`` was fitted on, in its order.

    :param points: all of the study, in the order of its results.
    :raises ValueError: the law is of other points: trials ended, or left the study, since it was fitted.
    """
    unit, params = cast(Unit, law.unit), cast(Params, law.params)
    chosen, _, _ = select(points, unit=unit, params=params, vocab_size=law.vocab_size)
    if tuple(point.trial_id for point in chosen) != law.trial_ids:
        raise ValueError(
            f"{LAW} is of {len(law.trial_ids)} points, and the study's results now give {len(chosen)}, or others: "
            "fit the law again (`tinyscale fit STUDY`)"
        )
    return tuple(chosen)


def refit_difference(law: LawFit, points: Sequence[Point]) -> float:
    """Largest relative difference of E, A, B, alpha and beta when the law is fitted to these points again, here.

    :raises ValueError: it is above :data:`MOST_DIFFERENCE`, so the law is of other points.
    """
    columns = (
        [params_of(point, law.params) for point in points],
        [point.tokens for point in points],
        [loss_of(point, law.unit) for point in points],
    )
    again = fit_chinchilla(*columns, seed=range(len(points))).parameters
    stored = np.array([getattr(law, name) for name in PARAMETERS])
    difference = float(np.abs(np.array(again) / stored - 1).max())
    if not difference <= MOST_DIFFERENCE:
        raise ValueError(
            f"the points give other parameters than {LAW}, by {difference:.2g}: fit the law again "
            "(`tinyscale fit STUDY`)"
        )
    return difference


def points_csv(points: Sequence[Point], names: Mapping[str, str], params: str) -> str:
    """The table: a row a point, in their order, each number with all its digits.

    :param names: of the trials, by id.
    :param params: what N counts, as :attr:`tinyscale.spec.LawFit.params`.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for point in points:
        numbers = (repr(getattr(point, name)) for name in COLUMNS[2:])
        writer.writerow([names[point.trial_id], params_of(point, params), *numbers])
    return text.getvalue()


def refit_command(law: LawFit, points: Sequence[Point]) -> str:
    """What fits the law again from the table, and writes :data:`REFIT`.

    Runs of one N, D and seed are told apart by the trial's name: shapes of equal N are no repeats.
    """
    keys = Counter((params_of(point, law.params), point.tokens, point.seed) for point in points)
    seed = "seed" if max(keys.values()) == 1 else "trial"
    loss = "bpb" if law.unit == "bpb" else "loss"
    return f"tinyscale fit --points {POINTS} --columns N=N,D=tokens,loss={loss},seed={seed} --save {REFIT}"
