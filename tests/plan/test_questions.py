"""Questions that cannot be answered are refused before anything runs."""

from pathlib import Path

import pytest

from tinyscale.plan.planner import PlanError, make_plan
from tinyscale.spec import BuiltinCorpus, Question, Study
from tinyscale.spec.load import StudyError, load_study, study_schema


def study(*questions: Question) -> Study:
    return Study(
        name="unit",
        corpus=BuiltinCorpus(train_stories=100, valid_stories=10),
        model={"hidden_size": 32, "num_layers": 2, "vocab_size": 512, "context_length": 64},
        train={"tokens": 200_000},
        space=({"norm": ("rms", "none")}, {"mlp": "relu", "intermediate_size": 128, "seed": (0, 1)}),
        holdout=({"positions": "none"},),
        questions=questions,
    )


def ask(*varies: str) -> Question:
    return Question(ask=f"What of {', '.join(varies)}?", varies=varies)


def test_questions_with_trials_to_compare_pass_and_change_no_trial() -> None:
    assert make_plan(study(ask("norm"), ask("mlp", "intermediate_size"))).trials == make_plan(study()).trials


@pytest.mark.parametrize(
    ("questions", "words"),
    [
        ([ask("nrom")], r"questions.0: varies names 'nrom', no field of model or train; did you mean 'norm'\?"),
        ([ask("flops")], "questions.0: varies names 'flops', no field of model or train; known are batch_size, "),
        ([ask()], "questions.0: varies is empty; name fields of model or train"),
        ([ask("norm", "norm")], "questions.0: varies names norm more than once"),
        ([ask("seed")], "varies names seed, which is no setting"),
        ([ask("log_every")], "varies names log_every, which changes nothing of what a trial computes"),
        ([ask("mlp")], "questions.0: no two trials of space differ in mlp alone: add one"),
        ([ask("positions")], "no two trials of space differ in positions alone"),  # a hold-out is no variant
        ([ask("norm"), ask("norm")], "questions.1: questions.0 varies the same fields"),
        ([Question(ask=" ", varies=("norm",))], "questions.0: ask is empty"),
    ],
)
def test_what_cannot_be_answered_is_said_before_a_trial_runs(questions: list[Question], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        make_plan(study(*questions))


def test_an_unknown_field_of_a_question_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("name: unit\nspace: [{hidden_size: 16}]\nquestions:\n  - {ask: why, vary: [norm]}\n")
    with pytest.raises(StudyError, match=r"study.yaml:4: questions.0.vary: unknown field; did you mean 'varies'\?"):
        load_study(path)
    assert "questions" in study_schema()["properties"]


def test_names_say_in_what_a_trial_is_not_as_most_are() -> None:
    made = study(ask("norm"))
    names = {trial.name for trial in make_plan(made).trials}
    assert len(names) == len(make_plan(made).trials)
    assert "d32-L2-V512-D200k-s0-norm=none" in names
    assert "d32-L2-V512-D200k-s0" in names
    assert "d32-L2-V512-D200k-s0-mlp=relu-intermediate_size=128" in names
