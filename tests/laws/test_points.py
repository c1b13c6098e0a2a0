"""From a study's points to its law: what enters, what stays out and why, what is warned of."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tinyscale.laws import Chinchilla, fit_points
from tinyscale.laws.select import fitted_points
from tinyscale.spec import LawFit, Point
from tinyscale.spec.study import LawOptions

MakePoints = Callable[..., list[Point]]
QUICK = LawOptions(bootstraps=60)


def test_recovers_the_law_with_intervals_around_it(points: MakePoints, truth: Chinchilla) -> None:
    law = fit_points(points(noise=0.001), options=QUICK)
    assert set(law.intervals) == {"E", "A", "B", "alpha", "beta", "a"}
    for name in ("E", "alpha", "beta"):
        known = law.intervals[name]
        assert known.low <= known.value <= known.high
        assert known.low <= getattr(truth, name) <= known.high
    assert law.warnings == ()
    assert len(law.draws) == 60
    assert len(law.trial_ids) == 16
    assert law.vocab_size == 512
    assert law.residual_rms < 0.002


def test_same_points_give_the_same_fit(points: MakePoints) -> None:
    assert fit_points(points(), options=QUICK) == fit_points(points(), options=QUICK)


def test_unit_and_count_of_parameters_are_the_options(points: MakePoints) -> None:
    bpb = fit_points(points(), options=QUICK)
    nats = fit_points(points(), unit="nats per token", options=LawOptions(bootstraps=60, params="non_embedding"))
    assert (nats.unit, nats.params) == ("nats per token", "non_embedding")
    assert pytest.approx(2 * bpb.E, rel=1e-4) == nats.E
    assert nats.alpha == pytest.approx(bpb.alpha, rel=1e-3)
    assert pytest.approx(2 * bpb.A * 0.5**bpb.alpha, rel=1e-2) == nats.A


def test_what_stays_out_is_named_with_its_reason(points: MakePoints) -> None:
    table = points()
    first = table[0]
    others = [
        replace(first, trial_id="held", tokens=4_000_000, holdout=True),
        replace(first, trial_id="other-vocabulary", vocab_size=1024),
        replace(first, trial_id="worse-rate", learning_rate=1e-2, bpb=first.bpb * 1.1),
        replace(first, trial_id="second-seed", seed=1, bpb=first.bpb * 1.001),
        replace(first, trial_id="ablation", bpb=first.bpb * 1.05),
    ]
    law = fit_points(table + others, options=QUICK, excluded={"died": "diverged: loss is nan"})
    assert "second-seed" in law.trial_ids
    assert len(law.trial_ids) == 17
    reasons = {
        "held": "hold-out",
        "other-vocabulary": "vocabulary 1024",
        "worse-rate": "learning rate 0.01: at this size and token budget 0.003 did better",
        "ablation": f"did better: {first.trial_id}",
        "died": "diverged",
    }
    assert set(law.excluded) == set(reasons)
    for trial_id, reason in reasons.items():
        assert reason in law.excluded[trial_id]
    seen = fitted_points(law, table + others)
    assert sorted(point.trial_id for point in seen) == sorted(law.trial_ids)


def test_a_trial_may_yield_several_points(points: MakePoints) -> None:
    trunk = [replace(p, trial_id=f"N{p.params_total}-{'long' if p.tokens > 700_000 else 'short'}") for p in points()]
    held = replace(trunk[0], tokens=4_000_000, holdout=True)
    law = fit_points([*trunk, held], options=QUICK)
    assert len(law.trial_ids) == 16
    assert law.excluded == {"N20000-short at D=4M": "hold-out: forecast, never fitted"}
    assert fitted_points(law, [*trunk, held]) == trunk


def test_the_vocabulary_asked_for_is_fitted(points: MakePoints) -> None:
    large = [replace(p, trial_id=f"V1024-{p.trial_id}", vocab_size=1024, bpb=0.9 * p.bpb) for p in points()]
    assert fit_points(points() + large, options=QUICK).vocab_size == 1024
    law = fit_points(points() + large, options=LawOptions(bootstraps=60, vocab_size=512))
    assert law.vocab_size == 512
    assert set(law.excluded) == {point.trial_id for point in large}
    with pytest.raises(ValueError, match=r"law.vocab_size 4096; there are \[512, 1024\]"):
        fit_points(points() + large, options=LawOptions(vocab_size=4096))


def test_refusals(points: MakePoints) -> None:
    with pytest.raises(ValueError, match="none of the 16"):
        fit_points(points(holdout=True))
    with pytest.raises(ValueError, match=r"N20000-D250000.* twice"):
        fit_points([*points(), points()[0]])
    with pytest.raises(ValueError, match="2 more distinct model size"):
        fit_points(points(sizes=(20_000,)))
    with pytest.raises(ValueError, match="10 bootstraps give no 95 % interval"):
        fit_points(points(), options=LawOptions(bootstraps=10))
    with pytest.raises(ValueError, match="unit is 'ppl'; it can be bpb or nats per token"):
        fit_points(points(), unit="ppl")


def warned(law: LawFit) -> str:
    return " ".join(law.warnings)


def test_warns_of_a_narrow_design(points: MakePoints) -> None:
    law = fit_points(points(sizes=(20_000, 25_000, 30_000), budgets=(500_000, 1_000_000, 1_500_000)), options=QUICK)
    assert "N spans a factor of 1.5 only: add model sizes" in warned(law)
    assert "D spans a factor of 3 only: add token budgets" in warned(law)


def test_warns_when_size_and_tokens_rise_together(points: MakePoints) -> None:
    line = [point for size in range(20_000, 200_001, 20_000) for point in points(sizes=[size], budgets=[20 * size])]
    law = fit_points(line, options=QUICK)
    assert "N and D move together" in warned(law)


def test_few_points_are_warned_of_and_fewer_refused(points: MakePoints) -> None:
    nine = points(sizes=(20_000, 40_000, 160_000), budgets=(250_000, 1_000_000, 4_000_000))
    law = fit_points(nine[:7], options=QUICK)
    assert "7 points for 5 parameters leave 2 to show a misfit: add 1 or more trials" in warned(law)
    with pytest.raises(ValueError, match=r"5 trials cannot show how sure.* add at least 2"):
        fit_points([nine[0], nine[1], nine[2], nine[3], nine[6]], options=QUICK)


def test_warns_of_scatter(points: MakePoints) -> None:
    assert "misses its own points" in warned(fit_points(points(noise=0.05), options=QUICK))


def test_warns_when_the_loss_never_flattens(points: MakePoints) -> None:
    steep = [replace(p, bpb=1e4 * p.params_total**-0.4 * p.tokens**-0.3) for p in points()]
    assert "floor E" in warned(fit_points(steep, options=QUICK))


def test_warns_when_the_loss_does_not_fall(points: MakePoints) -> None:
    generator = np.random.default_rng(3)
    flat = [replace(p, bpb=1.5 + 600 * p.tokens**-0.45 + 1e-4 * generator.standard_normal()) for p in points()]
    assert "alpha" in warned(fit_points(flat, options=QUICK))
    rising = [replace(p, bpb=1.0 + 600 * p.tokens**-0.45 + 1e-6 * p.params_total) for p in points()]
    assert "does not fall with N" in warned(fit_points(rising, options=QUICK))
