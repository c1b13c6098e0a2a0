"""What a table of runs must be before a law is fitted to it."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from tinyscale.laws.form import Floats

LEAST_POINTS = 5
"""Distinct (N, D): as many as the law has parameters."""
LEAST_VALUES = 3
"""Distinct N, and distinct D: a floor, a scale and an exponent along each axis."""


def check_table(
    N: ArrayLike, D: ArrayLike, loss: ArrayLike, seed: Sequence[int] | None = None
) -> tuple[Floats, Floats, Floats]:
    """The three columns as float arrays of shape (n,).

    :param seed: tells repeated runs of one (N, D) apart; without it a repeated (N, D) counts as an error.
    :raises ValueError: the table cannot carry a law: which row or column is at fault, and what to add.
    """
    columns = {name: np.asarray(column, dtype=np.float64) for name, column in (("N", N), ("D", D), ("loss", loss))}
    lengths = {name: column.shape for name, column in columns.items()}
    if any(column.ndim != 1 for column in columns.values()) or len(set(lengths.values())) != 1:
        raise ValueError(f"N, D and loss must be columns of one length, but their shapes are {lengths}")
    if seed is not None and len(seed) != len(columns["N"]):
        raise ValueError(f"{len(seed)} seeds for {len(columns['N'])} rows: give one seed a row, or none")
    for name, column in columns.items():
        for fault, wrong in (("not finite", ~np.isfinite(column)), ("not positive", column <= 0)):
            if wrong.any():
                row = int(np.argmax(wrong))
                raise ValueError(
                    f"{name} is {fault} in {int(wrong.sum())} of {len(column)} rows, first in row {row}: "
                    f"{column[row]!r}; drop those runs, and name them as left out"
                )
    _check_repeats(columns["N"], columns["D"], seed)
    _check_variety(columns["N"], columns["D"], columns["loss"])
    return columns["N"], columns["D"], columns["loss"]


def _check_repeats(N: Floats, D: Floats, seed: Sequence[int] | None) -> None:
    keys = zip(N, D, seed if seed is not None else [0] * len(N), strict=True)
    (n, d, s), count = max(Counter(keys).items(), key=lambda item: item[1], default=((0, 0, 0), 0))
    if count > 1:
        which = f" with seed {s}" if seed is not None else ""
        raise ValueError(
            f"N = {n:g}, D = {d:g}{which} stands in {count} rows: "
            "keep one of them, or give each run its seed if they are repeats"
        )


def _check_variety(N: Floats, D: Floats, loss: Floats) -> None:
    points, sizes, budgets = len(set(zip(N, D, strict=True))), len(set(N)), len(set(D))
    lacking = [
        f"{least - have} more {what}"
        for what, have, least in (
            ("distinct model size(s) N", sizes, LEAST_VALUES),
            ("distinct token budget(s) D", budgets, LEAST_VALUES),
            ("distinct point(s) (N, D)", points, LEAST_POINTS),
        )
        if have < least
    ]
    if lacking:
        raise ValueError(
            f"{points} distinct point(s) over {sizes} model size(s) N and {budgets} token budget(s) D cannot carry "
            f"a law of five parameters: add at least {', '.join(lacking)}"
        )
    if np.ptp(loss) == 0:
        raise ValueError(f"the loss is {loss[0]:g} in every row: a constant column carries no law")
