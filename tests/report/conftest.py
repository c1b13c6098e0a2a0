"""A made-up study with everything in it: fitted trials, two vocabularies, hold-outs, a diverged and a failed trial."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tinyscale.accounting import count_parameters
from tinyscale.laws import fit_points, predict
from tinyscale.laws.forecast import lock_forecasts
from tinyscale.report.content import ReportContent
from tinyscale.spec import LawFit, ModelConfig, Point, Record, Study, TrainConfig, Trial, TrialResult
from tinyscale.spec.study import LawOptions

ENTROPY = 0.8
MakeTrial = Callable[..., Trial]


def make_trial(hidden: int, tokens: int, *, vocab_size: int = 512, holdout: bool = False) -> Trial:
    model = ModelConfig(
        preset="llama", vocab_size=vocab_size, hidden_size=hidden, num_layers=2, num_heads=4, num_kv_heads=4,
        intermediate_size=8 * hidden // 3, context_length=64, norm="rms", norm_position="pre", positions="rope",
        mlp="swiglu", qkv_bias=False, bias=False, tie_embeddings=True,
    )  # fmt: skip
    train = TrainConfig(tokens=tokens, batch_size=32, learning_rate=3e-3, warmup_steps=10)
    return Trial(model=model, train=train, corpus="c0ffee" * 10, tokenizer="t", holdout=holdout)


def make_result(trial: Trial, generator: np.random.Generator) -> TrialResult:
    model, tokens = trial.model, trial.steps * trial.batch_tokens
    counted = count_parameters(model)
    params = counted.total
    bytes_per_token = 1.9 * (model.vocab_size / 512) ** 0.3
    bpb = float(predict(0.82, 20.0, 900.0, 0.38, 0.50, N=params, D=tokens * bytes_per_token / 1.9))
    bpb *= float(np.exp(0.002 * generator.standard_normal()))
    point = Point(
        trial_id=trial.id, params_total=params, params_non_embedding=counted.non_embedding,
        hidden_size=model.hidden_size, num_layers=2, vocab_size=model.vocab_size, tokens=tokens,
        text_bytes=bytes_per_token * tokens, flops=6.5 * params * tokens, loss=bpb * bytes_per_token * float(np.log(2)),
        bpb=bpb, learning_rate=3e-3, seed=0, holdout=trial.holdout,
    )  # fmt: skip
    return TrialResult(
        trial_id=trial.id, name=trial.name, status="done", points=(point,), steps=trial.steps, train_s=12.3,
        tokens_per_s=80_000, device="CPU", engine="zero", precision="fp32", versions={"torch": "2.13.0"},
        started_s=4e9, finished_s=4e9 + 60,
    )  # fmt: skip


def make_curve(trial: Trial, result: TrialResult, generator: np.random.Generator) -> list[Record]:
    (point,) = result.points
    start, ratio = np.log(trial.model.vocab_size), point.loss / point.bpb
    records = []
    for step in range(10, trial.steps + 1, 10):
        loss = point.loss + (start - point.loss) * (1 + 30 * step / trial.steps) ** -1.2
        metrics = {"train/loss": float(loss * np.exp(0.02 * generator.standard_normal()))}
        if step % (trial.steps // 50 * 10) == 0:
            metrics |= {"eval/loss": float(loss), "eval/bpb": float(loss / ratio)}
        records.append(Record(step=step, tokens=step * trial.batch_tokens, time_s=4e9 + step, metrics=metrics))
    return records


def make_content(folder_of_forecasts) -> ReportContent:
    generator = np.random.default_rng(5)
    fitted = [make_trial(hidden, tokens) for hidden in (16, 32, 48, 64) for tokens in (250_000, 700_000, 2_000_000)]
    vocabularies = [make_trial(48, 700_000, vocab_size=size) for size in (1024, 2048)]
    held = [make_trial(96, 4_000_000, holdout=True), make_trial(128, 8_000_000, holdout=True)]
    diverged, failed = make_trial(64, 4_000_000), make_trial(80, 2_000_000)
    trials = [*fitted, *vocabularies, diverged, failed, *held]
    results = {trial.id: make_result(trial, generator) for trial in trials if trial not in (diverged, failed, held[1])}
    curves = {trial_id: make_curve(t, results[trial_id], generator) for t in trials if (trial_id := t.id) in results}
    results[diverged.id] = TrialResult(
        trial_id=diverged.id, name=diverged.name, status="diverged", message="loss is nan at step 120"
    )
    results[failed.id] = TrialResult(trial_id=failed.id, name=failed.name, status="failed", message="OSError: no space")
    curves[diverged.id] = [
        Record(step=step, tokens=2048 * step, time_s=4e9, metrics={"train/loss": loss})
        for step, loss in ((10, 5.0), (50, 3.5), (100, 3.2), (110, 40.0), (120, float("nan")))
    ]
    points = [point for result in results.values() for point in result.points]
    law = fit_points(
        points, options=LawOptions(bootstraps=100), excluded={diverged.id: "diverged", failed.id: "failed: OSError"}
    )
    return ReportContent(
        study=Study(name="quickstart", question="How does loss fall with size?", space=({"hidden_size": 16},)),
        trials=trials,
        results=results,
        curves=curves,
        law=law,
        law_refused="",
        forecasts=lock_forecasts(folder_of_forecasts, law, held),
        stories=(("Once upon a time", ", there was a <script>alert('cat')</script> & a dog."),),
        stories_from=held[0].name,
        entropy_bpb=ENTROPY,
        commands=("git clone tinyscale", "make study"),
    )


@pytest.fixture(scope="session")
def content(tmp_path_factory: pytest.TempPathFactory) -> ReportContent:
    return make_content(tmp_path_factory.mktemp("forecasts"))


@pytest.fixture(scope="session")
def without_law(content: ReportContent) -> ReportContent:
    refused = "2 distinct point(s) cannot carry a law: add <b>more</b>"
    return replace(content, law=None, law_refused=refused, forecasts=())


@pytest.fixture(scope="session")
def law(content: ReportContent) -> LawFit:
    assert content.law is not None
    return content.law
