"""Forecasts are locked once, and cannot be edited unseen."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tinyscale.accounting import flops_per_token
from tinyscale.laws import Chinchilla, fit_points, predict
from tinyscale.laws.forecast import forecast, forecast_error, lock_forecasts, read_forecasts
from tinyscale.model.presets import preset_defaults
from tinyscale.spec import LawFit, ModelConfig, Point, TrainConfig, Trial, digest
from tinyscale.spec.study import LawOptions

MakePoints = Callable[..., list[Point]]


@pytest.fixture(scope="module")
def law(points: MakePoints) -> LawFit:
    return fit_points(points(), options=LawOptions(bootstraps=60))


@pytest.fixture
def trial() -> Trial:
    model = ModelConfig(
        preset="llama", vocab_size=512, hidden_size=96, num_layers=2, num_heads=6, num_kv_heads=6,
        intermediate_size=256, context_length=64, **preset_defaults("llama"),
    )  # fmt: skip
    train = TrainConfig(tokens=4_000_000, batch_size=32, learning_rate=3e-3, warmup_steps=10)
    return Trial(model=model, train=train, corpus="c", tokenizer="t", holdout=True)


def test_forecast_is_the_law_with_an_interval_that_grows_with_distance(law: LawFit, truth: Chinchilla) -> None:
    near, far = forecast(law, 80_000, 1_000_000), forecast(law, 5_000_000, 1_000_000_000)
    assert near.value == pytest.approx(float(predict(law.E, law.A, law.B, law.alpha, law.beta, N=8e4, D=1e6)))
    assert near.low < float(predict(*truth, N=8e4, D=1e6)) < near.high
    assert far.high - far.low > 2 * (near.high - near.low)
    # One run scatters by the noise of the points even where the law is well known.
    assert near.high / near.low > 1 + 2 * law.residual_rms


def test_forecast_refuses_what_it_cannot_say(law: LawFit) -> None:
    with pytest.raises(ValueError, match="positive"):
        forecast(law, 0, 1e6)
    with pytest.raises(ValueError, match="positive"):
        forecast(law, 1e5, float("nan"))
    with pytest.raises(ValueError, match="no bootstrap draws"):
        forecast(replace(law, draws=()), 1e5, 1e6)


def test_locks_once_and_keeps_what_stands(law: LawFit, trial: Trial, tmp_path: Path) -> None:
    folder = tmp_path / "forecasts"
    assert read_forecasts(folder) == ()
    (locked,) = lock_forecasts(folder, law, [trial])
    assert (locked.trial_id, locked.tokens, locked.unit) == (trial.id, trial.steps * 32 * 64, "bpb")
    assert locked.law_digest == digest(law)
    assert locked.fitted_on == law.trial_ids
    assert locked.predicted == forecast(law, locked.params, locked.tokens)

    path = folder / f"{trial.id}-at-{trial.budgets[0]}.json"
    before = path.read_bytes()
    other = replace(law, E=0.5)
    assert lock_forecasts(folder, other, [trial]) == (locked,)
    assert path.read_bytes() == before
    assert [entry.name for entry in folder.iterdir()] == [path.name]
    assert read_forecasts(folder) == (locked,)


def test_counts_parameters_as_the_law_does(law: LawFit, trial: Trial, tmp_path: Path) -> None:
    (total,) = lock_forecasts(tmp_path / "total", law, [trial])
    (blocks,) = lock_forecasts(tmp_path / "blocks", replace(law, params="non_embedding"), [trial])
    (effective,) = lock_forecasts(tmp_path / "effective", replace(law, params="effective"), [trial])
    assert total.params - blocks.params == 512 * 96
    assert effective.params == round(flops_per_token(trial.model) / 6) > blocks.params


@pytest.mark.parametrize("edit", [("tokens", 1), ("locked_s", 0.0), ("predicted", {"value": 1, "low": 0, "high": 2})])
def test_a_tampered_forecast_is_refused(law: LawFit, trial: Trial, tmp_path: Path, edit: tuple[str, object]) -> None:
    lock_forecasts(tmp_path, law, [trial])
    path = tmp_path / f"{trial.id}-at-{trial.budgets[0]}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), edit[0]: edit[1]}))
    with pytest.raises(ValueError, match="not as it was locked"):
        read_forecasts(tmp_path)
    with pytest.raises(ValueError, match="not as it was locked"):
        lock_forecasts(tmp_path, law, [trial])


def test_one_trial_s_forecast_does_not_pass_for_another_s(law: LawFit, trial: Trial, tmp_path: Path) -> None:
    lock_forecasts(tmp_path, law, [trial])
    (tmp_path / f"{trial.id}-at-{trial.budgets[0]}.json").rename(tmp_path / "other.json")
    with pytest.raises(ValueError, match="not as it was locked"):
        read_forecasts(tmp_path)


def test_never_forecasts_what_was_fitted(law: LawFit, trial: Trial, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot forecast what it has seen"):
        lock_forecasts(tmp_path, replace(law, trial_ids=(trial.id,)), [trial])


def test_error_is_relative_to_the_outcome(law: LawFit, trial: Trial, tmp_path: Path) -> None:
    (locked,) = lock_forecasts(tmp_path, law, [trial])
    assert forecast_error(locked, locked.predicted.value / 1.01) == pytest.approx(0.01)
