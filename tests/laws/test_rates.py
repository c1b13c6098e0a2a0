"""What another learning rate would have cost."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tinyscale.laws import fit_points
from tinyscale.laws.rates import rate_cells
from tinyscale.plan.recipe import resolve
from tinyscale.spec import Point, Trial
from tinyscale.spec.study import LawOptions

MakePoints = Callable[..., list[Point]]


def at_rates(point: Point, losses: dict[float, float], seeds: int = 1) -> list[Point]:
    """One trial a rate and seed; seeds lie evenly around the rate's loss."""
    return [
        replace(
            point,
            trial_id=f"{point.trial_id}-{rate}-{seed}",
            learning_rate=rate,
            seed=seed,
            bpb=point.bpb * ratio * (1 + 0.01 * (seed - (seeds - 1) / 2)),
        )
        for rate, ratio in losses.items()
        for seed in range(seeds)
    ]


def test_the_best_of_each_cell_and_what_the_others_cost(points: MakePoints) -> None:
    first, *others = points()
    tried = at_rates(first, {4e-3: 1.0, 1e-3: 1.05, 8e-3: 1.02}, seeds=2)
    (cell,) = rate_cells([*tried, *others])
    assert (cell.rates, cell.best, cell.at_edge) == ((1e-3, 4e-3, 8e-3), 4e-3, False)
    assert (cell.hidden_size, cell.vocab_size, cell.tokens) == (first.hidden_size, 512, first.tokens)
    assert cell.losses[1] == pytest.approx(first.bpb)
    assert cell.regrets == pytest.approx((0.05, 0.0, 0.02))


def test_the_law_sees_the_points_of_the_best_rate(points: MakePoints) -> None:
    first, *others = points()
    tried = at_rates(first, {4e-3: 1.0, 1e-3: 1.05}, seeds=2)
    law = fit_points([*tried, *others], options=LawOptions(bootstraps=60))
    (cell,) = rate_cells([*tried, *others])
    assert {p.trial_id for p in tried if p.learning_rate == cell.best} == set(law.trial_ids) & {
        p.trial_id for p in tried
    }


def test_a_best_rate_at_the_edge_is_said(points: MakePoints) -> None:
    first = points()[0]
    (cell,) = rate_cells(at_rates(first, {1e-3: 1.2, 2e-3: 1.1, 4e-3: 1.0}))
    assert cell.at_edge


def test_rates_that_were_stopped_early_were_tried_as_well(points: MakePoints) -> None:
    first, other = (replace(point, hidden_size=16) for point in points()[:2])

    def stopped(rate: float) -> Trial:
        settings = {"hidden_size": 16, "num_layers": 2, "vocab_size": 512, "tokens": first.tokens}
        model, train = resolve(settings | {"context_length": 125, "batch_size": 1, "learning_rate": rate})
        return Trial(model=model, train=train, corpus="c", tokenizer="t")

    (cell,) = rate_cells([*at_rates(first, {4e-3: 1.0}), other], [stopped(8e-3), stopped(1e-3)])
    assert (cell.rates, cell.pruned, cell.best, cell.at_edge) == ((4e-3,), (1e-3, 8e-3), 4e-3, False)
    assert cell.regrets == (0.0,)
    both = at_rates(first, {1e-3: 1.1, 4e-3: 1.0})
    (cell,) = rate_cells(both, [stopped(1e-3)])  # of one seed it was stopped, of another not
    assert (cell.rates, cell.pruned, cell.at_edge) == ((1e-3, 4e-3), (), True)


def test_cells_differ_by_shape_vocabulary_and_tokens_and_holdouts_are_not_looked_at(points: MakePoints) -> None:
    first = points()[0]
    twins = [replace(first, num_layers=4), replace(first, vocab_size=1024), replace(first, tokens=2 * first.tokens)]
    losses = {1e-3: 1.0, 2e-3: 1.1}
    cells = rate_cells([p for point in (first, *twins) for p in at_rates(point, losses)])
    assert len(cells) == 4
    assert list(cells) == sorted(cells, key=lambda c: (c.hidden_size, c.num_layers, c.vocab_size, c.tokens))
    assert rate_cells(at_rates(replace(first, holdout=True), losses)) == ()
    assert rate_cells(points()) == ()
