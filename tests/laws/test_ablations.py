"""Answers to questions of one field: grouped with all else equal, judged by what seeds differ by."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tinyscale.laws.ablation_words import held_words
from tinyscale.laws.ablations import answer_questions
from tinyscale.laws.noise import CAUTIOUS
from tinyscale.plan.planner import make_plan
from tinyscale.spec import (
    Answer,
    BuiltinCorpus,
    Point,
    Question,
    Study,
    Trial,
    TrialResult,
    VariantCell,
    from_json,
    to_json,
)

Loss = Callable[[Trial], float]
RATE, NORM, MLP = "Which rate?", "Is a norm needed?", "Which activation?"
QUESTIONS = (
    Question(ask=RATE, varies=("learning_rate",)),
    Question(ask=NORM, varies=("norm",)),
    Question(ask=MLP, varies=("mlp", "intermediate_size")),
)


def study(*extra: dict, questions: tuple[Question, ...] = QUESTIONS, **changes) -> Study:
    return Study(
        name="ablations",
        corpus=BuiltinCorpus(train_stories=100, valid_stories=10),
        model={"hidden_size": 32, "num_layers": 2, "vocab_size": 512, "context_length": 64, "intermediate_size": 84},
        train={"tokens": 200_000, "learning_rate": 0.01},
        space=(
            {"seed": (0, 1, 2)},
            {"learning_rate": (0.1, 0.001)},
            {"norm": "none", "learning_rate": (0.001, 0.01)},
            {"mlp": ("geglu", "swiglu")},
            {"mlp": ("relu", "gelu"), "intermediate_size": 126},
            *extra,
        ),
        questions=questions,
        **changes,
    )


def result(trial: Trial, bpb: float, status: str = "done", message: str = "", unigram: float = 0.0) -> TrialResult:
    point = Point(
        trial_id=trial.id, params_total=1, params_non_embedding=1, hidden_size=32, num_layers=2, vocab_size=512,
        tokens=200_000, text_bytes=1.0, flops=1.0, loss=2 * bpb, bpb=bpb, learning_rate=trial.train.learning_rate,
        seed=trial.train.seed, unigram_loss=unigram,
    )  # fmt: skip
    points = (point,) if status == "done" else ()
    return TrialResult(trial_id=trial.id, name=trial.name, status=status, message=message, points=points, steps=57)


def answers(made: Study, loss: Loss) -> dict[str, Answer]:
    """A loss of nan is a run that diverged; of inf one that is waiting."""
    trials = make_plan(made).trials
    results = {}
    for trial in trials:
        bpb = loss(trial)
        if bpb != np.inf:
            gone = bool(np.isnan(bpb))
            results[trial.id] = result(trial, bpb, "diverged" if gone else "done", "loss is nan at step 57" * gone)
    return {answer.ask: answer for answer in answer_questions(made, trials, results)}


def names(cell: VariantCell) -> list:
    return [next(iter(variant.settings.values())) for variant in cell.variants]


def by_rate(trial: Trial) -> float:
    """1 at the best, with seeds 0.4 % apart; what has no norm or a high rate diverges."""
    rate, seed = trial.train.learning_rate, trial.train.seed
    if rate == 0.1 or (trial.model.norm == "none" and rate == 0.01):
        return np.nan
    return {0.01: 1.0, 0.001: 1.3}[rate] * (1 + 0.004 * (seed - 1)) * (1.02 if trial.model.mlp == "relu" else 1)


def test_cells_hold_all_else_equal_and_keep_the_order_of_the_file() -> None:
    found = answers(study(), by_rate)
    rates, without = found[RATE].cells
    assert names(rates) == [0.001, 0.01, 0.1]
    assert [len(variant.trial_ids) for variant in rates.variants] == [1, 3, 1]
    assert [held_words(cell) for cell in (rates, without)] == ["norm rms", "no norm"]
    assert (dict(rates.held), dict(without.held)) == ({"norm": "rms"}, {"norm": "none"})
    lower, base = found[NORM].cells
    assert [dict(cell.held) for cell in (lower, base)] == [{"learning_rate": 0.001}, {"learning_rate": 0.01}]
    assert names(base) == ["rms", "none"], "what the file does not name is the preset's, and first"
    (mlp,) = found[MLP].cells
    assert names(mlp) == ["geglu", "swiglu", "relu", "gelu"]
    assert not mlp.held
    assert {variant.params_total for variant in mlp.variants} == {mlp.variants[0].params_total}, "equal parameters"
    assert from_json(Answer, to_json(found[MLP])) == found[MLP]


def test_what_diverged_is_an_answer_with_its_step() -> None:
    found = answers(study(), by_rate)
    rates, _ = found[RATE].cells
    assert (rates.variants[2].diverged, rates.variants[2].losses) == (("loss is nan at step 57",), ())
    assert rates.said.startswith("Best is learning rate 0.01, at 1.000 bits per byte (95 % interval ")
    assert "Worse: 0.001 by 29 % (27 % to 32 %)." in rates.said
    assert "Runs diverge from learning rate 0.1 on: 0.1 (loss is nan at step 57)." in rates.said
    assert "may lie beyond" not in rates.said, "a rate above the best was tried, and diverged"
    lower, base = found[NORM].cells
    assert "Only norm rms has a loss to show" in base.said
    assert "Runs diverged with no norm (loss is nan at step 57)." in base.said
    assert "no difference found" in lower.said


def test_the_noise_is_that_of_the_study_pooled_with_a_cautious_default() -> None:
    (repeated, *_), (single, *_) = (
        [*answers(study(questions=QUESTIONS[:1]), loss).values()]
        for loss in (by_rate, lambda trial: np.inf if trial.train.seed else by_rate(trial))
    )
    squares = np.var(np.log([0.996, 1.0, 1.004])) * 3
    assert repeated.seed_measured
    assert repeated.seed_freedom == CAUTIOUS.freedom + 2
    assert repeated.seed_noise == pytest.approx(np.sqrt((4 * CAUTIOUS.deviation**2 + squares) / 6))
    assert (single.seed_measured, single.seed_noise) == (False, CAUTIOUS.deviation)
    (seeds,) = {v.loss for v in repeated.cells[0].variants if v.settings["learning_rate"] == 0.01}
    assert seeds.high / seeds.low == pytest.approx(np.exp(2 * 2.4469 * repeated.seed_noise / np.sqrt(3)), rel=1e-4)


def test_equal_variants_pass_for_unequal_in_one_study_of_twenty() -> None:
    """Five equal activations, seeds 0.8 % apart: all comparisons of a study together are wrong in about 5 %."""
    made = study({"mlp": "silu", "intermediate_size": 126}, questions=QUESTIONS[2:])
    trials = make_plan(made).trials
    rng, wrong, studies = np.random.default_rng(0), 0, 300
    for _ in range(studies):
        results = {t.id: result(t, float(np.exp(0.008 * rng.standard_normal()))) for t in trials}
        (answer,) = answer_questions(made, trials, results)
        (cell,) = answer.cells
        assert len(cell.variants) == 5
        wrong += "Worse" in cell.said
    assert wrong / studies < 0.09, "binomial: 5 % passes with p > 0.999"


def test_a_difference_that_is_there_is_found() -> None:
    """Of 6 %, with seeds 0.8 % apart and one run a variant."""
    rng = np.random.default_rng(1)

    def loss(trial: Trial) -> float:
        return (1.06 if trial.model.mlp == "relu" else 1.0) * float(np.exp(0.008 * rng.standard_normal()))

    found = [answers(study(questions=QUESTIONS[2:]), loss)[MLP].cells[0].said for _ in range(40)]
    assert sum("Worse: relu" in said for said in found) >= 36


def test_the_edge_of_the_rates_and_that_none_diverged_are_said() -> None:
    (cell, _) = answers(study(), lambda trial: 1.0 / (1 + trial.train.learning_rate))[RATE].cells
    assert "0.1 is the largest learning rate tried: a better one may lie beyond." in cell.said
    assert "No run diverged, up to learning rate 0.1." in cell.said


def test_a_run_that_did_not_diverge_and_learned_nothing_is_named() -> None:
    made = study()
    trials = make_plan(made).trials
    results = {t.id: result(t, 3.0 if t.train.learning_rate == 0.1 else 1.0, unigram=5.0) for t in trials}
    cell = answer_questions(made, trials, results)[0].cells[0]
    assert "With learning rate 0.1 it learned nothing beyond the tokens' frequencies." in cell.said


def test_survivors_of_divergence_are_not_crowned() -> None:
    """One of two seeds at the higher rate diverges, and the other ends lower than all else."""
    made = study({"learning_rate": 0.1, "seed": 1})
    losses = {(0.1, 0): np.nan, (0.1, 1): 0.9}
    (cell, _) = answers(made, lambda t: losses.get((t.train.learning_rate, t.train.seed), 1.0))[RATE].cells
    assert cell.said.startswith("First comes learning rate 0.001, at 1.000 bits per byte")
    assert "0.1 (1 of 2 runs, the first: loss is nan at step 57; the others -10 %, " in cell.said
    assert cell.variants[2].above_best.high < 0


def test_partial_studies_say_what_is_missing() -> None:
    nothing = answers(study(), lambda trial: np.inf)
    assert nothing[MLP].cells[0].said.startswith("No run has an outcome yet. Without an outcome: mlp geglu, ")
    some = answers(study(), lambda trial: np.inf if trial.model.mlp == "relu" else 1.0)
    assert some[MLP].cells[0].said.endswith("Without an outcome: mlp relu.")
    made = study()
    trials = [replace(trial, holdout=trial.model.norm == "none") for trial in make_plan(made).trials]
    (norm,) = [answer for answer in answer_questions(made, trials, {}) if answer.ask == NORM]
    assert (norm.cells, norm.refused) == ((), "no two trials of this study differ in norm alone"), "hold-outs wait"
