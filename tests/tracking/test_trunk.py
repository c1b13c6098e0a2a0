"""A trunk and its forecasts in MLflow: one trial, several token budgets, curves that a chart can draw."""

import itertools
from dataclasses import replace
from typing import Any

import pytest

from tinyscale.spec import Forecast, Interval, Record

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # in MLflow

STEP = 16 * 64
BUDGETS = {"tokens": 240 * STEP, "branches": (60 * STEP, 120 * STEP), "schedule": "trunk"}


def trunk_records(trial: Any) -> list[Record]:
    """A record every 10 steps and at the end of each branch, as training writes them."""
    records = []
    for line in trial.lines:
        for step in range(line.start + 1, line.end + 1):
            taken = line.trial_step(step)
            if taken % 10 == 0 or step == line.end:
                metrics = {"train/loss": 5 / step**0.5, "train/tokens": float(step * STEP), "speed/tokens_per_s": 1e5}
                records.append(Record(step=taken, tokens=step * STEP, time_s=1.7e9 + taken, metrics=metrics))
    return records


def forecast_of(trial: Any, tokens: int, predicted: Interval | None) -> Forecast:
    return Forecast(
        trial_id=trial.id, name=trial.name, params=14_000, tokens=tokens, predicted=predicted,
        withheld=() if predicted else ("too few points.",), unit="bpb", law_digest="", fitted_on=("a", "b"),
        locked_s=1.6e9, digest="",
    )  # fmt: skip


def finished(lab: Any, trial: Any) -> Any:
    one = lab.result(trial).points[0]
    points = tuple(replace(one, tokens=tokens, bpb=2 - tokens / 1e6, loss=3.0) for tokens in trial.budgets)
    return lab.result(trial, points=points)


def test_curves_against_tokens_only_rise_and_the_budgets_stand_beside_them(lab: Any) -> None:
    trial = lab.trial(**BUDGETS)
    records = trunk_records(trial)
    assert any(later.tokens < earlier.tokens for earlier, later in itertools.pairwise(records))
    projector = lab.projector()
    assert projector.project(trial, records, 900)
    assert projector.finish_trial(trial, finished(lab, trial))
    run = lab.run_of(trial)
    history = [point for point in lab.history(trial) if not point[0].startswith("point/")]
    losses = [(step, value) for key, step, _, value in history if key == "train/loss"]
    assert losses == [(r.step, r.metrics["train/loss"]) for r in records], "no step of any branch is left out"
    axis = [(step, value) for key, step, _, value in history if key == "train/tokens"]
    assert [value for _, value in axis if value not in trial.budgets] == sorted({v for _, v in axis} - {*trial.budgets})
    last = records[-1]
    assert (last.step, float(last.tokens)) in axis
    for budget in trial.budgets:
        assert (budget, float(budget)) in axis
    for line in trial.lines[:-1]:
        assert not [step for step, _ in axis if line.trial_step(line.fork) < step <= line.trial_step(line.end)]
    client = lab.client()
    for key, of in (("point/bpb", "bpb"), ("point/loss", "loss")):
        found = [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, key)]
        assert found == [(point.tokens, getattr(point, of)) for point in finished(lab, trial).points]
    assert run.data.metrics["final/tokens"] == trial.budgets[-1]
    assert run.data.metrics["final/bpb"] == 2 - trial.budgets[-1] / 1e6
    assert {"system/tokens_per_s"} == {key for key in run.data.metrics if key.startswith("system/")}


def test_a_forecast_stands_in_its_trials_run_before_the_outcome(lab: Any) -> None:
    trial = replace(lab.trial(**BUDGETS), holdout=True)
    said = Interval(value=1.5, low=1.4, high=1.7)
    forecasts = [forecast_of(trial, trial.budgets[0], None), forecast_of(trial, trial.budgets[-1], said)]
    projector = lab.projector()
    assert projector.project(trial, trunk_records(trial)[:3], 90, forecasts)
    run, client = lab.run_of(trial), lab.client()
    metrics = {key: value for key, value in run.data.metrics.items() if key.startswith("forecast/")}
    assert metrics == {"forecast/bpb": 1.5, "forecast/low": 1.4, "forecast/high": 1.7, "forecast/withheld": 0.0}
    words = run.data.tags["tinyscale.forecast"]
    assert words.startswith("at 61.4k tokens: withheld: too few points.; at 246k tokens: 1.5000 bpb")
    assert projector.project(trial, trunk_records(trial)[3:], 900, forecasts)
    assert projector.finish_trial(trial, finished(lab, trial), forecasts)
    (point,) = client.get_metric_history(run.info.run_id, "forecast/bpb")
    assert (point.step, point.timestamp) == (0, 1_600_000_000_000), "its time is that of the lock"
    (point,) = client.get_metric_history(run.info.run_id, "point/forecast_bpb")
    assert (point.step, point.value) == (trial.budgets[-1], 1.5)
    assert len(lab.run_of(trial).data.metrics) < 60
