"""The curves: metric points of records, of token budgets and of forecasts, as plain values."""

import math
import re
from collections.abc import Iterable, Sequence

from tinyscale.spec import Forecast, Record, Trial, TrialResult

TOKENS = "train/tokens"
"""The x-axis of the charts."""
SYSTEM = re.compile(r"^(speed|memory)/")
"""What the journal says of the machine; MLflow shows ``system/...`` on a page of its own, away from the losses."""
MetricPoint = tuple[str, float, int, int]
"""Key, value, timestamp in ms, step."""


def metric_key(name: str) -> str:
    """``name`` with what MLflow doesn't allow in a metric's name (an ``@``, say) turned into ``_``."""
    parts = (part for part in re.sub(r"[^\w\-. :/]", "_", SYSTEM.sub("system/", name)).split("/") if part.strip(". "))
    return "/".join(parts)[:250] or "_"


def points(trial: Trial, records: Iterable[Record]) -> tuple[list[MetricPoint], list[str]]:
    """A point for every finite value, and words on the values left out.

    MLflow stores an infinity as 1.8e308, which flattens the chart it stands in; the journal keeps the true value.
    ``train/tokens`` is left out of the cooldowns that a trunk turns back from: MLflow sorts a chart by its x-axis, and
    would draw each of them mixed with the steps that the trunk then takes over the same tokens. Their metrics stand on
    the charts against steps, and what they end in among :func:`budget_points`.
    """
    finite, left_out = [], []
    for record in records:
        metrics = {TOKENS: record.tokens, **record.metrics}
        if _on_a_branch(trial, record.step):
            del metrics[TOKENS]
        for name, value in metrics.items():
            if math.isfinite(value):
                finite.append((metric_key(name), float(value), round(record.time_s * 1000), record.step))
            else:
                left_out.append(f"{name} = {value} at step {record.step}")
    return finite, left_out


def _on_a_branch(trial: Trial, step: int) -> bool:
    """Whether the trunk goes back to a step before this one."""
    return any(line.trial_step(line.fork) < step <= line.trial_step(line.end) for line in trial.lines[:-1])


def budget_points(trial: Trial, result: TrialResult) -> list[MetricPoint]:
    """``point/...`` of a trunk: what each of its token budgets ended in, at a step that is the budget's tokens.

    Their tokens stand beside them, so that the same chart comes out against steps and against tokens.
    """
    if not trial.train.branches:
        return []
    ended_ms = round(result.finished_s * 1000)
    values = [
        (point.tokens, {TOKENS: float(point.tokens), "point/bpb": point.bpb, "point/loss": point.loss})
        for point in result.points
    ]
    return [(name, value, ended_ms, tokens) for tokens, named in values for name, value in named.items()]


def forecast_points(trial: Trial, forecasts: Sequence[Forecast]) -> list[MetricPoint]:
    """``forecast/...`` of a hold-out's largest budget, at step 0 as ``final/...``; of a trunk also one each budget,
    beside its :func:`budget_points`. Their time is that of the lock; ``forecast/withheld`` is 1 where nothing is said.
    """
    found: list[MetricPoint] = []
    for forecast in forecasts:
        locked_ms, values = round(forecast.locked_s * 1000), _interval(forecast)
        if forecast.tokens == trial.budgets[-1]:
            withheld = float(forecast.predicted is None)
            found += [(f"forecast/{name}", value, locked_ms, 0) for name, value in values.items()]
            found.append(("forecast/withheld", withheld, locked_ms, 0))
        if trial.train.branches:
            found += [(f"point/forecast_{name}", value, locked_ms, forecast.tokens) for name, value in values.items()]
    return found


def _interval(forecast: Forecast) -> dict[str, float]:
    span = forecast.predicted
    if span is None:
        return {}
    return {"bpb" if forecast.unit == "bpb" else "loss": span.value, "low": span.low, "high": span.high}
