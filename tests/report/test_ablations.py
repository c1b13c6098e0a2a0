"""Questions and their answers on the page, in the pictures and on the terminal."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes

from tinyscale.laws.ablations import answer_questions
from tinyscale.laws.study import fit_study
from tinyscale.plan.planner import make_plan
from tinyscale.report.ablations import answer_figure, draw_answers
from tinyscale.report.content import ReportContent
from tinyscale.report.law import answer_lines, print_law
from tinyscale.report.page import write_report
from tinyscale.report.style import styled
from tinyscale.results.store import StudyStore
from tinyscale.spec import (
    Analysis,
    BuiltinCorpus,
    Point,
    Question,
    Record,
    ResolvedStudy,
    Study,
    Trial,
    TrialResult,
    read_json,
    write_json,
)

QUESTIONS = (
    Question(ask="Which rate is best?", varies=("learning_rate",)),
    Question(ask="Does it <b>train</b> without a norm?", varies=("norm",)),
)
STUDY = Study(
    name="ablations",
    corpus=BuiltinCorpus(train_stories=100, valid_stories=10),
    model={"hidden_size": 32, "num_layers": 2, "vocab_size": 512, "context_length": 64},
    train={"tokens": 102_400, "learning_rate": 0.01, "batch_size": 16},
    space=({"seed": (0, 1)}, {"learning_rate": (0.001, 0.1)}, {"norm": "none"}),
    questions=QUESTIONS,
)
GONE = "loss is nan at step 40"


def made(trial: Trial) -> tuple[TrialResult, list[Record]]:
    """The rate 0.1 diverges after two evaluations, what has no norm before the first."""
    rate, seed = trial.train.learning_rate, trial.train.seed
    ends = {0.1: 50, 0.01: 100, 0.001: 100}[rate] if trial.model.norm == "rms" else 15
    loss = {0.001: 1.5, 0.01: 1.2, 0.1: 2.0}[rate] + 0.005 * seed
    records = [
        Record(step=step, tokens=1024 * step, time_s=4e9, metrics={"eval/bpb": loss * (100 / step) ** 0.2})
        for step in range(20, ends + 1, 20)
    ]
    point = Point(
        trial_id=trial.id, params_total=1, params_non_embedding=1, hidden_size=32, num_layers=2, vocab_size=512,
        tokens=102_400, text_bytes=1.0, flops=1.0, loss=2 * loss, bpb=loss, learning_rate=rate, seed=seed,
    )  # fmt: skip
    result = TrialResult(trial_id=trial.id, name=trial.name, status="done", points=(point,), steps=100)
    if ends < 100:
        result = replace(result, status="diverged", points=(), steps=ends, message=f"loss is nan at step {ends}")
    return result, records


def content(study: Study = STUDY, *, finished: bool = True) -> ReportContent:
    trials = make_plan(study).trials
    outcomes = {trial.id: made(trial) for trial in trials} if finished else {}
    results = {trial_id: result for trial_id, (result, _) in outcomes.items()}
    return ReportContent(
        study=study,
        trials=trials,
        results=results,
        curves={trial.id: outcomes[trial.id][1] if finished else () for trial in trials},
        law=None,
        law_refused="1 distinct point cannot carry a law",
        analysis=Analysis(),
        answers=answer_questions(study, trials, results),
        forecasts=(),
        stories=(),
        stories_from="",
        entropy_bpb=None,
        commands=("tinyscale launch ablations.yaml",),
    )


class Words(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.all: list[str] = []
        self.feed(text)

    def handle_data(self, data: str) -> None:
        self.all.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.all).split())


def page(told: ReportContent, folder: Path) -> tuple[str, set[str]]:
    store = StudyStore(folder / "ablations")
    text = Words(write_report(store, told).read_text(encoding="utf-8")).text
    return text, {path.stem for path in store.figures.iterdir()}


def crosses(axes: Axes) -> list[float]:
    """Places of the marks of divergence."""
    return sorted(float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() == "X")


def test_each_question_has_its_answer_picture_and_table(tmp_path: Path) -> None:
    text, pictures = page(content(), tmp_path)
    assert pictures == {"question_1", "question_2"}, "one picture a question, and no curves that nobody can tell apart"
    assert text.index("Which rate is best? Best is learning rate 0.01, at 1.202 bits per byte") > 0
    assert "Runs diverge from learning rate 0.1 on: 0.1 (loss is nan at step 50)." in text
    assert "Does it <b>train</b> without a norm? Only norm rms has a loss to show" in text
    assert "diverged loss is nan at step 15" in text
    assert "measured on this study's own repeats and pooled with a cautious default (5 degrees of freedom)" in text


def test_a_study_of_settings_is_not_told_off_for_its_law(tmp_path: Path) -> None:
    text, _ = page(content(), tmp_path / "settings")
    assert "it asks for no law of size" in text
    assert "no law 1 distinct" not in text
    assert "No law could be fitted" not in text
    sizes = replace(STUDY, space=(*STUDY.space, {"hidden_size": 16}))
    text, pictures = page(content(sizes), tmp_path / "sizes")
    assert "No law could be fitted. 1 distinct point cannot carry a law" in text, "with two sizes one is wanted"
    assert "question_1" in pictures


def test_pictures_show_what_was_measured_and_where_runs_diverged() -> None:
    told = content()
    with styled():
        left, right = answer_figure(told.answers[0], told).axes
        norm_left, norm_right = answer_figure(told.answers[1], told).axes
    dots = {(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in left.lines if line.get_marker() == "o"}
    best = told.answers[0].cells[0].variants[1].loss.value
    assert dots == {(0.001, 1.5), (0.01, best)}
    assert crosses(left) == [0.1]
    assert {text.get_text() for text in left.texts} == {"diverged"}
    assert crosses(right) == [50 * 1024]
    curves = {tuple(line.get_xdata()) for line in right.lines if line.get_marker() == "o"}
    assert tuple(1024 * step for step in (20, 40)) in curves, "until it diverged"
    assert crosses(norm_left) == [1.0]
    assert crosses(norm_right) == [15 * 1024], "a run without an evaluation still ends somewhere"
    assert right.get_ylim()[1] < 3, "a run that diverged does not set the scale"


def test_a_study_without_an_outcome_has_questions_and_no_picture(tmp_path: Path) -> None:
    told = content(finished=False)
    text, pictures = page(told, tmp_path)
    assert pictures == set()
    assert "No run has an outcome yet." in text
    assert "an assumption, as no run of this study was repeated" in text


def test_a_cell_in_which_every_run_diverged_is_drawn() -> None:
    told = content()
    gone = {id_: replace(result, status="diverged", points=(), message=GONE) for id_, result in told.results.items()}
    told = replace(told, results=gone, answers=answer_questions(STUDY, told.trials, gone))
    assert (
        told.answers[1].cells[0].said.startswith("No run was trained to its end. Runs diverged with norm rms (2 of 2")
    )
    with styled():
        assert crosses(answer_figure(told.answers[0], told).axes[0]) == [0.001, 0.01, 0.1]


def test_the_same_picture_each_time() -> None:
    told = content()
    assert draw_answers(told) == draw_answers(told)


def test_values_that_are_no_rates_are_drawn_too() -> None:
    """Zero has no place on a log axis; words have none on a line."""
    space = ({"seed": (0, 1)}, {"dropout": (0.0, 0.1, 0.2)}, {"tie_embeddings": False})
    asked = tuple(Question(ask=name, varies=(name,)) for name in ("dropout", "tie_embeddings"))
    told = content(replace(STUDY, space=space, questions=asked))
    with styled():
        figures = [answer_figure(answer, told) for answer in told.answers]
    labels = [[label.get_text() for label in figure.axes[0].get_xticklabels()] for figure in figures]
    assert labels == [["0", "0.1", "0.2"], ["false", "true"]]


def test_answers_are_stored_and_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told, store = content(), StudyStore(tmp_path / "ablations")
    for trial in told.trials:
        write_json(store.trial(trial.id).result, told.results[trial.id])
    write_json(store.study, ResolvedStudy(study=STUDY, trials=tuple(told.trials)))
    fitted = fit_study(store)
    assert (fitted.law, fitted.answers) == (None, told.answers)
    assert store.answers.exists()
    print_law(store, fitted)
    printed = capsys.readouterr().out
    assert printed.startswith("Which rate is best?\n  Best is learning rate 0.01, at 1.202 bits per byte")
    assert "no law" not in printed
    assert list(answer_lines(fitted.answers))[-1].endswith("(measured, 5 degrees of freedom)")
    write_json(store.study, ResolvedStudy(study=replace(STUDY, questions=()), trials=tuple(told.trials)))
    assert fit_study(store).answers == ()
    assert not store.answers.exists()
    assert read_json(ResolvedStudy, store.study).study.questions == ()


def test_seeds_that_agree_do_not_make_an_answer_sure() -> None:
    """Two runs that happen to be equal: the default still stands behind the intervals."""
    told = content()
    same = {
        trial_id: replace(result, points=tuple(replace(point, bpb=round(point.bpb, 1)) for point in result.points))
        for trial_id, result in told.results.items()
    }
    (rates, _) = answer_questions(STUDY, told.trials, same)
    loss = rates.cells[0].variants[1].loss
    assert np.log(loss.high / loss.low) > 0.01


def test_of_many_cells_the_first_are_drawn_and_all_are_told(tmp_path: Path) -> None:
    space = (
        {"seed": (0, 1)},
        {"dropout": (0.1, 0.2, 0.3, 0.4)},
        {"norm": "none", "dropout": (0.0, 0.1, 0.2, 0.3, 0.4)},
    )
    told = content(replace(STUDY, space=space, questions=QUESTIONS[1:]))
    with styled():
        assert len(answer_figure(told.answers[0], told).axes) == 2 * 4
    text, _ = page(told, tmp_path)
    assert "The first 4 of 5 cells; the tables hold all." in text
    assert all(f"dropout {rate}: norm bits/byte" in text for rate in (0, 0.1, 0.2, 0.3, 0.4))
