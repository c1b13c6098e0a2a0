"""Which of a study's points one law is fitted to; every other is named with its reason."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Literal

from tinyscale.spec import LawFit, Point, short_count

Unit = Literal["bpb", "nats per token"]
Params = Literal["total", "non_embedding", "effective"]


def params_of(point: Point, kind: Params | str) -> int:
    """N of a point, of the kind that a law counts; effective is FLOPs a token over 6 (Porian et al. 2024)."""
    counts = {
        "total": point.params_total,
        "non_embedding": point.params_non_embedding,
        "effective": round(point.flops / point.tokens / 6),
    }
    if kind not in counts:
        raise ValueError(f"params is {kind!r}; it can be {' or '.join(counts)}")
    return counts[kind]


def loss_of(point: Point, unit: Unit | str) -> float:
    """Loss of a point, in a law's unit."""
    losses = {"bpb": point.bpb, "nats per token": point.loss}
    if unit not in losses:
        raise ValueError(f"unit is {unit!r}; it can be {' or '.join(losses)}")
    return losses[unit]


def cell_of(point: Point) -> tuple[int, ...]:
    """What runs of one vocabulary share that differ by the seed alone: shape and token budget."""
    return point.params_total, point.tokens, point.hidden_size, point.num_layers


def fitted_points(fit: LawFit, points: Iterable[Point]) -> list[Point]:
    """The points that a fit saw, found again by trial and by not being named as left out."""
    seen = set(fit.trial_ids)
    points = list(points)
    labels = label_points(points)
    return [point for point, label in zip(points, labels, strict=True) if point.trial_id in seen
            and label not in fit.excluded]  # fmt: skip


def label_points(points: Sequence[Point]) -> list[str]:
    """The trial's id, with the token budget behind it where a trial has several points."""
    counts = Counter(point.trial_id for point in points)
    return [p.trial_id if counts[p.trial_id] == 1 else f"{p.trial_id} at D={short_count(p.tokens)}" for p in points]


def select(
    points: Sequence[Point], *, unit: Unit, params: Params, vocab_size: int
) -> tuple[list[Point], dict[str, str], int]:
    """Points that enter, those left out with the reason, and the vocabulary (0 asks for the most common one).

    Hold-outs never enter. Of the points at one shape and token budget, those at the best learning rate enter (by
    the mean over seeds), with all their seeds: a law of N and D speaks of well-tuned models.

    :raises ValueError: no point is left, or a trial gives the same point twice.
    """
    labels = label_points(points)
    doubles = [label for label, count in Counter(labels).items() if count > 1]
    if doubles:
        raise ValueError(f"the point {doubles[0]} stands twice in the table: keep one of them")
    open_points = [point for point in points if not point.holdout]
    if not open_points:
        raise ValueError(f"none of the {len(points)} point(s) can be fitted: finish trials that are not hold-outs")
    # Ties go to the larger vocabulary, so that the choice does not hang on the order of the table.
    counts = Counter(point.vocab_size for point in open_points)
    vocab_size = vocab_size or max(counts, key=lambda size: (counts[size], size))
    if vocab_size not in counts:
        raise ValueError(f"no finished trial has law.vocab_size {vocab_size}; there are {sorted(counts)}")

    excluded: dict[str, str] = {}
    cells: dict[tuple[int, ...], list[tuple[str, Point]]] = defaultdict(list)
    for label, point in zip(labels, points, strict=True):
        if point.holdout:
            excluded[label] = "hold-out: forecast, never fitted"
        elif point.vocab_size != vocab_size:
            excluded[label] = f"vocabulary {point.vocab_size}: this law is of vocabulary {vocab_size}"
        else:
            cells[params_of(point, params), point.tokens, point.hidden_size, point.num_layers].append((label, point))

    chosen: list[Point] = []
    for cell in cells.values():
        best, losers = _best_of_cell(cell, unit)
        chosen += best
        excluded |= losers
    return chosen, excluded, vocab_size


def _best_of_cell(cell: Sequence[tuple[str, Point]], unit: Unit) -> tuple[list[Point], dict[str, str]]:
    rates: dict[float, list[Point]] = defaultdict(list)
    for _, point in cell:
        rates[point.learning_rate].append(point)
    best_rate = min(rates, key=lambda rate: fmean(loss_of(point, unit) for point in rates[rate]))
    winners: dict[int, Point] = {}
    for point in sorted(rates[best_rate], key=lambda point: loss_of(point, unit)):
        winners.setdefault(point.seed, point)
    losers: dict[str, str] = {}
    for label, point in cell:
        if point.learning_rate != best_rate:
            losers[label] = (
                f"learning rate {point.learning_rate:g}: at this size and token budget {best_rate:g} did better"
            )
        elif winners[point.seed] is not point:
            losers[label] = (
                f"another trial of this size, token budget and seed did better: {winners[point.seed].trial_id}"
            )
    return list(winners.values()), losers
