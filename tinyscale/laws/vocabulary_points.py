"""Which of a study's points the law of vocabularies is fitted to, and whether they can carry it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinyscale.laws.form import Floats
from tinyscale.laws.select import cell_of, select
from tinyscale.laws.table import LEAST_VALUES
from tinyscale.laws.vocabulary_form import Terms
from tinyscale.spec import Point

LEAST_POINTS = 12
"""Distinct (N_nv, V, D): five more than the law has parameters."""
MOST_CORRELATION = 0.95
"""Of the log of one input with what the other two say of it."""


@dataclass(frozen=True, kw_only=True)
class VocabularyPoints:
    """The points as columns of shape (n,)."""

    params_non_vocab: Floats
    """N_nv."""
    hidden: Floats
    """d."""
    vocab_size: Floats
    """V."""
    tokens: Floats
    """D."""
    text_bytes: Floats
    """UTF-8 bytes of training text."""
    bpb: Floats
    trial_ids: tuple[str, ...]
    cells: tuple[tuple[int, ...], ...]
    """What each run is but for its seed."""

    @property
    def inputs_nk(self) -> Floats:
        """N_nv, V d and bytes, (n, 3)."""
        return np.column_stack([self.params_non_vocab, self.vocab_size * self.hidden, self.text_bytes])

    @property
    def flops(self) -> Floats:
        """C = 6 (N_nv + V d) D, as the optimum counts it."""
        return 6 * (self.params_non_vocab + self.vocab_size * self.hidden) * self.tokens


def choose_points(points: Sequence[Point]) -> VocabularyPoints:
    """Those at the best learning rate of each shape, vocabulary and token budget, with all their seeds; no hold-out.

    :raises ValueError: they cannot carry the law; says what to add.
    """
    chosen: list[Point] = []
    for vocab_size in sorted({point.vocab_size for point in points if not point.holdout}):
        chosen += select(points, unit="bpb", params="non_embedding", vocab_size=vocab_size)[0]
    fields = ("params_non_embedding", "hidden_size", "vocab_size", "tokens", "text_bytes", "bpb")
    columns = [np.array([getattr(point, field) for point in chosen], dtype=np.float64) for field in fields]
    found = VocabularyPoints(
        **dict(zip(("params_non_vocab", "hidden", "vocab_size", "tokens", "text_bytes", "bpb"), columns, strict=True)),
        trial_ids=tuple(point.trial_id for point in chosen),
        cells=tuple(cell_of(point) for point in chosen),
    )
    _check_numbers(found)
    _check_variety(found)
    _check_separable(found)
    return found


def _check_numbers(found: VocabularyPoints) -> None:
    for name, column in (("bpb", found.bpb), ("text_bytes", found.text_bytes)):
        wrong = ~(np.isfinite(column) & (column > 0))
        if wrong.any():
            first = int(np.argmax(wrong))
            raise ValueError(
                f"{name} is {column[first]:g} in trial {found.trial_ids[first]}, where a positive number is needed: "
                "drop that trial"
            )


def _check_variety(found: VocabularyPoints) -> None:
    # The same token budgets are other bytes under each vocabulary, so they are counted within one.
    budgets = max((len(set(found.text_bytes[v == found.vocab_size])) for v in set(found.vocab_size)), default=0)
    places = set(zip(found.params_non_vocab, found.vocab_size, found.tokens, strict=True))
    counted = (
        ("vocabularies", len(set(found.vocab_size)), LEAST_VALUES),
        ("model sizes N_nv", len(set(found.params_non_vocab)), LEAST_VALUES),
        ("amounts of text", budgets, LEAST_VALUES),
        ("points (N_nv, V, D)", len(places), LEAST_POINTS),
    )
    if lacking := [f"{least} {what} instead of {have}" for what, have, least in counted if have < least]:
        raise ValueError(
            f"{len(found.bpb)} point(s) that are no hold-outs cannot carry a law of the vocabulary, which has "
            f"{len(Terms._fields)} parameters: it takes at least {', '.join(lacking)}"
        )
    if np.ptp(found.bpb) == 0:
        raise ValueError(f"bpb is {found.bpb[0]:g} in every point: a constant column carries no law")


def _check_separable(found: VocabularyPoints) -> None:
    logs_nk = np.log(found.inputs_nk)
    names = ("N_nv", "V d", "the amount of text")
    remedies = ("other sizes at the same V d", "other vocabularies at the same size", "other token budgets at one size")
    for axis, (name, remedy) in enumerate(zip(names, remedies, strict=True)):
        others = np.column_stack([np.ones(len(logs_nk)), np.delete(logs_nk, axis, axis=1)])
        left = logs_nk[:, axis] - others @ np.linalg.lstsq(others, logs_nk[:, axis], rcond=None)[0]
        correlation = float(np.sqrt(max(1 - left.var() / logs_nk[:, axis].var(), 0)))
        if correlation > MOST_CORRELATION:
            rest = " and ".join(other for other in names if other != name)
            raise ValueError(
                f"{name} is all but given by {rest} (multiple correlation of their logs {correlation:.2f}), so its "
                f"effect on the loss cannot be told apart: add trials with {remedy}"
            )
