"""Trials that were never trained, and the command that forecasts others from them."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tinyscale.accounting import count_parameters, training_flops
from tinyscale.model.presets import preset_defaults
from tinyscale.spec import ModelConfig, Point, TrainConfig, Trial, TrialResult

FLOP_PER_S = 5e9


def make_trial(hidden: int, tokens: int, vocab_size: int = 512) -> Trial:
    model = ModelConfig(
        preset="llama", vocab_size=vocab_size, hidden_size=hidden, num_layers=2, num_heads=4, num_kv_heads=4,
        intermediate_size=8 * hidden // 3, context_length=64, **preset_defaults("llama"),
    )  # fmt: skip
    train = TrainConfig(tokens=tokens, batch_size=32, learning_rate=3e-3, warmup_steps=10)
    return Trial(model=model, train=train, corpus="c", tokenizer="t")


def make_result(trial: Trial, loss: Callable[[Point], float], bytes_per_token: float = 2.0) -> TrialResult:
    """Measured the loss (bits per byte), and ran at FLOP_PER_S whatever its size."""
    model, counted, tokens = trial.model, count_parameters(trial.model), trial.steps * trial.batch_tokens
    flops = training_flops(model, tokens)
    point = Point(
        trial_id=trial.id, params_total=counted.total, params_non_embedding=counted.non_embedding,
        hidden_size=model.hidden_size, num_layers=2, vocab_size=model.vocab_size, tokens=tokens,
        text_bytes=bytes_per_token * tokens, flops=flops, loss=2.0, bpb=1.0, learning_rate=3e-3, seed=0,
    )  # fmt: skip
    bpb = loss(point)
    return TrialResult(
        trial_id=trial.id, name=trial.name, status="done", points=(replace(point, loss=2 * bpb, bpb=bpb),),
        steps=trial.steps, tokens_per_s=FLOP_PER_S * tokens / flops, device="AMD EPYC",
    )  # fmt: skip


@pytest.fixture(scope="session")
def trial() -> Callable[..., Trial]:
    return make_trial


@pytest.fixture(scope="session")
def result() -> Callable[..., TrialResult]:
    return make_result


@pytest.fixture
def run(
    storage: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """``tinyscale forecast WORDS --storage ...``: exit code, stdout and stderr."""

    def forecast(*words: str) -> tuple[int, str, str]:
        from tinyscale.cli import main

        monkeypatch.setattr(sys, "argv", ["tinyscale", "forecast", *words, "--storage", str(storage)])
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        return int(stop.value.code or 0), said.out, said.err

    return forecast
