from dataclasses import replace

import pytest

from tinyscale.spec import TrainConfig
from tinyscale.train.schedule import learning_rate

CONFIG = TrainConfig(tokens=1, batch_size=1, learning_rate=2.0, warmup_steps=10, final_lr_ratio=0.1, decay_fraction=0.2)


def rates(schedule, steps=100, **changes):
    config = replace(CONFIG, schedule=schedule, **changes)
    return [learning_rate(config, step, steps) for step in range(steps)]


@pytest.mark.parametrize("schedule", ["cosine", "wsd", "linear", "constant"])
def test_warm_up_is_linear_from_zero_to_the_peak(schedule):
    assert rates(schedule)[:10] == pytest.approx([2.0 * taken / 10 for taken in range(1, 11)])
    assert max(rates(schedule)) == 2.0
    assert rates(schedule, warmup_steps=0)[0] == pytest.approx(2.0, rel=0.02)


@pytest.mark.parametrize(("schedule", "last"), [("cosine", 0.2), ("wsd", 0.2), ("linear", 0.2), ("constant", 2.0)])
def test_the_last_step_has_the_final_rate(schedule, last):
    assert rates(schedule)[-1] == pytest.approx(last)


def test_shapes_between():
    assert rates("linear")[54] == pytest.approx(2.0 * 0.55)
    assert rates("cosine")[54] == pytest.approx(2.0 * 0.55)
    assert rates("cosine")[31] > rates("linear")[31]
    wsd = rates("wsd")
    assert set(wsd[9:80]) == {2.0}
    assert wsd[84] == pytest.approx(2.0 * (1 - 0.9 * 0.5))  # a quarter into the decay: 1 - sqrt(1/4) of the way left


def test_a_schedule_of_warm_up_alone_ends_at_the_peak():
    for schedule in ("cosine", "wsd", "linear", "constant"):
        assert rates(schedule, steps=10)[-1] == 2.0
