"""Grades in MLflow: what stands there after any number of sendings."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tinyscale.spec import Grade, GradeSummary, Instrument, Interval, ModelScore, Story
from tinyscale.tracking import Table
from tinyscale.tracking.runs import Runs

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # in MLflow
INSTRUMENT = Instrument(
    model="judge", base_url="http://localhost/v1", protocol="strict", temperature=0.0, seed=0, max_tokens=500,
    rubric="r1",
)  # fmt: skip
SCORES = {"grammar": 7, "creativity": 6, "consistency": 5, "plot": 4}


def span(value: float) -> Interval:
    return Interval(value=value, low=value - 0.5, high=value + 0.5)


def graded(model: str, instrument: Instrument = INSTRUMENT, prompts: int = 4) -> tuple[GradeSummary, list, list]:
    stories = [
        Story(model=model, model_digest="d", prompt_id=f"p{prompt}", prompt="Once", completion=f" a {prompt} <b>",
              sample=sample)
        for prompt in range(prompts) for sample in range(2)
    ]  # fmt: skip
    grades = [
        Grade(story_id=s.id, model=model, prompt_id=s.prompt_id, sample=s.sample, kind="model", repeat=0,
              instrument=instrument.id, scores=SCORES, age_group="C", reasons={"plot": "none"}, graded_s=1.7e9)
        for s in stories
    ]  # fmt: skip
    means = {"overall": span(5.5), **{name: span(float(value)) for name, value in SCORES.items()}}
    score = ModelScore(model=model, prompts=prompts, stories=len(stories), ungraded=0, means=means)
    return GradeSummary(instrument=instrument, scores=(score,), last_s=1.7e9), stories, grades


def trained(lab: Any) -> tuple[Any, Any]:
    trial = lab.trial()
    projector = lab.projector()
    projector.project(trial, lab.records(3), 30)
    projector.finish_trial(trial, lab.result(trial))
    projector.finish_study(
        {}, [], results=[lab.result(trial)], tables={"forecasts.json": Table(columns="a", rows=[[1]])}
    )
    return trial, projector


def traces(lab: Any) -> list[Any]:
    client = lab.client()
    experiment = client.get_experiment_by_name("study").experiment_id
    return list(client.search_traces(locations=[experiment], max_results=100))


def table(lab: Any, run_id: str, name: str, tmp_path: Path) -> dict[str, Any]:
    return json.loads(Path(lab.client().download_artifacts(run_id, name, str(tmp_path))).read_text())


def test_grades_stand_where_they_belong(lab: Any, tmp_path: Path) -> None:
    trial, projector = trained(lab)
    summary, stories, grades = graded(trial.name)
    assert projector.send_grades(summary, {trial.name: trial}, stories, grades)
    assert lab.said == []
    study, run = lab.runs()
    assert run.data.metrics["grade/overall"] == 5.5
    assert (run.data.metrics["grade/overall_low"], run.data.metrics["grade/plot"]) == (5.0, 4.0)
    assert len(run.data.metrics) < 60
    assert run.data.tags["tinyscale.judge"] == "judge at http://localhost/v1"
    assert run.data.tags["tinyscale.judge_instrument"] == INSTRUMENT.id
    assert run.data.tags["tinyscale.grades"].startswith("overall 5.50 (95 % interval 5.00 to 6.00); grammar 7.00")
    assert (study.info.status, study.data.tags["tinyscale.judge_warnings"]) == ("FINISHED", "none")
    rows = table(lab, study.info.run_id, "grades.json", tmp_path)
    assert len(rows["data"]) == 8
    assert dict(zip(rows["columns"], rows["data"][0], strict=True))["completion"] == " a 0 <b>"
    assert len(table(lab, study.info.run_id, "grades_summary.json", tmp_path)["data"]) == 5
    shown = {entry["path"] for entry in json.loads(study.data.tags["mlflow.loggedArtifacts"])}
    assert shown == {"grades.json", "grades_summary.json", "leaderboard.json", "forecasts.json"}
    found = traces(lab)
    assert len(found) == 4, "one a prompt"
    first = min(found, key=lambda trace: trace.info.tags["tinyscale.prompt"])
    assert first.data.spans[0].inputs == {"prompt": "Once"}
    assert first.data.spans[0].outputs == " a 0 <b>"
    assert {a.name: a.value for a in first.info.assessments} == SCORES
    assert {a.name: a.rationale for a in first.info.assessments}["plot"] == "none"
    assert first.info.trace_metadata["mlflow.sourceRun"] == run.info.run_id
    experiment = lab.client().get_experiment(run.info.experiment_id)
    assert "grade/overall" in experiment.tags["mlflow.sharedViewState.tinyscale-grades"]


def test_sent_again_nothing_is_added_and_an_ended_study_stays_ended(lab: Any) -> None:
    trial, _ = trained(lab)
    summary, stories, grades = graded(trial.name)
    before = lab.runs()[0].info
    for _ in range(2):
        assert lab.projector().send_grades(summary, {trial.name: trial}, stories, grades)
        lab.cursor.unlink(missing_ok=True)
    study, run = lab.runs()
    assert (study.info.status, study.info.end_time) == (before.status, before.end_time)
    assert study.data.tags["tinyscale.status"] == "done"
    assert len(lab.client().get_metric_history(run.info.run_id, "grade/overall")) == 1
    found = traces(lab)
    assert len(found) == 4
    assert all(len(trace.info.assessments) == 4 for trace in found)


def test_what_a_kill_left_out_is_sent_the_next_time(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.tracing.client import TracingClient

    trial, projector = trained(lab)
    summary, stories, grades = graded(trial.name)
    start, calls = TracingClient.start_trace, []

    def killed(self: Any, info: Any) -> Any:
        if len(calls) == 2:
            raise OSError("the connection broke")
        calls.append(info)
        return start(self, info)

    with monkeypatch.context() as patch:
        patch.setattr(TracingClient, "start_trace", killed)
        assert not projector.send_grades(summary, {trial.name: trial}, stories, grades)
    assert "the connection broke" in lab.said[-1]
    assert projector.send_grades(summary, {trial.name: trial}, stories, grades)
    found = traces(lab)
    assert len(found) == 4
    assert all(len(t.info.assessments) == 4 and len(t.data.spans) == 1 for t in found)


def test_metrics_are_the_last_judges_and_the_tags_say_whose(lab: Any) -> None:
    trial, projector = trained(lab)
    projector.send_grades(*placed(graded(trial.name), trial))
    other = replace(INSTRUMENT, protocol="paper")
    summary, stories, grades = graded(trial.name, other)
    withheld = replace(summary.scores[0], means={}, withheld="3 of 8 stories are ungraded", ungraded=3)
    for _ in range(2):
        projector.send_grades(replace(summary, scores=(withheld,)), {trial.name: trial}, stories, grades)
    run = lab.run_of(trial)
    assert math.isnan(run.data.metrics["grade/plot"]), "a score of the first judge beside the second's name"
    assert len(lab.client().get_metric_history(run.info.run_id, "grade/plot")) == 2
    assert run.data.metrics["grade/ungraded"] == 3.0
    assert run.data.tags["tinyscale.grades"] == "withheld: 3 of 8 stories are ungraded"
    assert run.data.tags["tinyscale.judge_protocol"] == "paper"
    projector.send_grades(*placed(graded(trial.name), trial))
    run = lab.run_of(trial)
    assert (run.data.metrics["grade/plot"], run.data.tags["tinyscale.judge_protocol"]) == (4.0, "strict")
    assert len(traces(lab)) == 8, "of both judges"


def placed(found: tuple[GradeSummary, list, list], trial: Any) -> tuple[Any, ...]:
    summary, stories, grades = found
    return summary, {trial.name: trial}, stories, grades


def test_rebuilt_runs_have_traces_of_their_own_and_no_others_stay(lab: Any) -> None:
    trial, projector = trained(lab)
    found = placed(graded(trial.name), trial)
    projector.send_grades(*found)
    assert lab.projector(rebuild=True).send_grades(*found)
    run = lab.run_of(trial)
    assert [trace.info.trace_metadata["mlflow.sourceRun"] for trace in traces(lab)] == [run.info.run_id] * 4


def test_mlflow_away_costs_nothing(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    trial, projector = trained(lab)

    def broken(self: Any, run_id: str, tables: Any) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(Runs, "tables", broken)
        assert not projector.send_grades(*placed(graded(trial.name), trial))
    assert "disk full" in lab.said[-1]
    assert projector.send_grades(*placed(graded(trial.name), trial))


def test_measures_without_a_judge_are_no_grades(lab: Any) -> None:
    with pytest.raises(ValueError, match="without a judge"):
        lab.projector().send_grades(GradeSummary(instrument=None), {}, [], [])
