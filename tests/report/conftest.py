"""A made-up study with everything in it: fitted trials, two vocabularies, hold-outs, a diverged and a failed trial."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tinyscale.accounting import count_parameters
from tinyscale.laws import fit_points, predict
from tinyscale.laws.analysis import analyse
from tinyscale.laws.forecast import lock_forecasts
from tinyscale.report.content import ReportContent
from tinyscale.spec import (
    Analysis,
    CountedLaw,
    Interval,
    IsoFlop,
    IsoFlops,
    LawFit,
    ModelConfig,
    Point,
    RateCell,
    Record,
    ShapeLaw,
    Study,
    TrainConfig,
    Trial,
    TrialResult,
    VocabularyLaw,
    VocabularyOptimum,
)
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
        analysis=analyse(points, law, LawOptions(bootstraps=100)),
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
    return replace(content, law=None, law_refused=refused, analysis=Analysis(), forecasts=())


@pytest.fixture(scope="session")
def law(content: ReportContent) -> LawFit:
    assert content.law is not None
    return content.law


def span(value: float) -> Interval:
    return Interval(value=value, low=0.9 * value, high=1.1 * value)


def make_analysis(content: ReportContent) -> Analysis:
    """Everything that the points of some study may tell beside the law."""
    ends = "the best V lies at the end of what was searched"
    budgets = tuple(
        VocabularyOptimum(
            flops=flops, params_non_vocab=span(n), vocab_size=span(v), tokens=span(1e6), bpb=span(1.2), edge=edge
        )
        for flops, n, v, edge in ((1e11, 3e4, 700, ""), (1e12, 9e4, 2048, ends))
    )  # fmt: skip
    fitted = tuple(point.trial_id for point in content.points if not point.holdout)
    return Analysis(
        counting=(
            CountedLaw(params="total", alpha=span(0.41), beta=span(0.44), a=span(0.52), residual_rms=0.004),
            CountedLaw(params="non_embedding", alpha=span(0.3777), beta=span(0.45), a=span(0.54), residual_rms=0.02,
                       warnings=("alpha is not pinned down.",)),
        ),
        shape=ShapeLaw(
            E=0.8, A=30.0, B=600.0, gamma=span(0.8), delta=span(0.4), beta=span(0.45), ratio=span(2.0),
            residual_rms=0.003, law_residual_rms=0.004, matters=False, said="shape explains nothing that N does not",
        ),
        isoflops=IsoFlops(
            levels=(
                IsoFlop(flops=1e11, params=(1e4, 2e4, 4e4, 8e4, 1.6e5), loss=(1.5, 1.4, 1.38, 1.41, 1.5),
                        coefficients=(12.74, -2.15, 0.1016), best_params=3.9e4),
                IsoFlop(flops=1e12, params=(1e4, 2e4), loss=(1.4, 1.3), coefficients=None, best_params=None,
                        refused="2 sizes, and a parabola needs 5"),
            ),
            a=span(0.51), law_a=span(0.52),
        ),
        vocabulary=VocabularyLaw(
            E=0.7, A1=40.0, alpha1=0.45, A2=10.0, alpha2=0.5, B=900.0, beta=0.46,
            intervals={name: span(0.5) for name in ("E", "A1", "alpha1", "A2", "alpha2", "B", "beta")},
            draws=((0.7, 40.0, 0.45, 10.0, 0.5, 900.0, 0.46),) * 3, bytes_per_token=(-1.0, 0.7, 0.0),
            width=(-2.0, 0.55),
            vocab_range=(512, 2048), residual_rms=0.004, trial_ids=fitted, sizes=(), budgets=budgets,
        ),
        rates=(
            RateCell(hidden_size=48, num_layers=2, vocab_size=512, tokens=700_000, rates=(0.005, 0.01, 0.02),
                     losses=(1.02, 1.0, 1.03), best=0.01, at_edge=False),
            RateCell(hidden_size=64, num_layers=2, vocab_size=512, tokens=700_000, rates=(0.005, 0.01),
                     losses=(1.02, 1.0), best=0.01, at_edge=True),
        ),
    )  # fmt: skip


@pytest.fixture(scope="session")
def rich(content: ReportContent) -> ReportContent:
    """The study with every part of the analysis there."""
    return replace(content, analysis=make_analysis(content))
