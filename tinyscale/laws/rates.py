"""What another learning rate would have cost."""

from collections import defaultdict
from collections.abc import Iterable
from statistics import fmean

from tinyscale.spec import Point, RateCell


def rate_cells(points: Iterable[Point]) -> tuple[RateCell, ...]:
    """The shapes, vocabularies and token budgets at which several learning rates were tried, in ascending order.

    Hold-outs are left out: nobody looks at them before their forecast is locked. The best rate of a cell is the one
    whose points the law sees (:func:`tinyscale.laws.select.select`), by the mean over seeds.
    """
    cells: dict[tuple[int, int, int, int], dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for point in points:
        if not point.holdout:
            shape = point.hidden_size, point.num_layers, point.vocab_size, point.tokens
            cells[shape][point.learning_rate].append(point.bpb)
    return tuple(_cell(*shape, cells[shape]) for shape in sorted(cells) if len(cells[shape]) > 1)


def _cell(hidden_size: int, num_layers: int, vocab_size: int, tokens: int, tried: dict[float, list[float]]) -> RateCell:
    rates = tuple(sorted(tried))
    losses = tuple(fmean(tried[rate]) for rate in rates)
    best = rates[losses.index(min(losses))]
    return RateCell(
        hidden_size=hidden_size,
        num_layers=num_layers,
        vocab_size=vocab_size,
        tokens=tokens,
        rates=rates,
        losses=losses,
        best=best,
        at_edge=best in (rates[0], rates[-1]),
    )
