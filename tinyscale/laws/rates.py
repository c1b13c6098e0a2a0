"""What another learning rate would have cost."""

from collections import defaultdict
from collections.abc import Iterable
from statistics import fmean

from tinyscale.spec import Point, RateCell, Trial

Shape = tuple[int, int, int, int]
"""Hidden size, layers, vocabulary and token budget."""


def rate_cells(points: Iterable[Point], pruned: Iterable[Trial] = ()) -> tuple[RateCell, ...]:
    """The shapes, vocabularies and token budgets at which several learning rates were tried, in ascending order.

    Hold-outs are left out: nobody looks at them before their forecast is locked. The best rate of a cell is the one
    whose points the law sees (:func:`tinyscale.laws.select.select`), by the mean over seeds.

    :param pruned: trials that were stopped early. Their rates have no loss, but the best one is at no edge for them.
    """
    cells: dict[Shape, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for point in points:
        if not point.holdout:
            shape = point.hidden_size, point.num_layers, point.vocab_size, point.tokens
            cells[shape][point.learning_rate].append(point.bpb)
    stopped: dict[Shape, set[float]] = defaultdict(set)
    for trial in pruned:
        for tokens in trial.budgets:
            shape = trial.model.hidden_size, trial.model.num_layers, trial.model.vocab_size, tokens
            stopped[shape].add(trial.train.learning_rate)
    return tuple(
        _cell(shape, cells[shape], tuple(sorted(stopped[shape] - cells[shape].keys())))
        for shape in sorted(cells)
        if len(stopped[shape] | cells[shape].keys()) > 1
    )


def _cell(shape: Shape, tried: dict[float, list[float]], pruned: tuple[float, ...]) -> RateCell:
    rates = tuple(sorted(tried))
    losses = tuple(fmean(tried[rate]) for rate in rates)
    best = rates[losses.index(min(losses))]
    hidden_size, num_layers, vocab_size, tokens = shape
    return RateCell(
        hidden_size=hidden_size,
        num_layers=num_layers,
        vocab_size=vocab_size,
        tokens=tokens,
        rates=rates,
        losses=losses,
        best=best,
        at_edge=best in (min(rates + pruned), max(rates + pruned)),
        pruned=pruned,
    )
