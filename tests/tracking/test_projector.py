"""What stands in MLflow after any number of drivers, compared with the journals point by point."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tinyscale.spec import HubCorpus

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # in MLflow


def test_history_equals_the_journal(lab: Any) -> None:
    trial, records = lab.trial(), lab.records(300)  # 1,200 points: more than one log_batch
    projector = lab.projector()
    assert projector.sent(trial.id) == 0
    assert projector.project(trial, records[:100], 5_000)
    assert projector.project(trial, records[100:], 15_000)
    assert projector.sent(trial.id) == 15_000
    assert lab.history(trial) == lab.expected(records)
    assert lab.said == []


def test_runs_say_what_they_are(lab: Any) -> None:
    trial = lab.trial()
    projector = lab.projector()
    projector.project(trial, lab.records(3), 30)
    assert projector.finish_trial(trial, lab.result(trial, message="", versions={"torch": "2.13.0"}))
    study, child = lab.runs()
    assert (study.info.run_name, child.info.run_name) == ("study", trial.name)
    assert child.data.tags["mlflow.parentRunId"] == study.info.run_id
    assert child.data.tags["tinyscale.trial_id"] == trial.id
    assert child.data.tags["tinyscale.status"] == "done"
    assert "What?" in study.data.tags["mlflow.note.content"]
    assert child.data.params["hidden_size"] == "16"
    assert child.data.params["learning_rate"] == "0.003"
    assert "log_every" not in child.data.params
    assert child.data.metrics["final/bpb"] == 1.5
    assert len(child.data.metrics) < 60
    assert child.info.status == "FINISHED"
    assert child.info.end_time == round((1.7e9 + 60) * 1000)
    for run in (study, child):
        (given,) = run.inputs.dataset_inputs
        assert (given.dataset.name, given.dataset.digest) == ("builtin-stories-40k", "c" * 12)


def test_all_again_without_the_cursor_adds_nothing(lab: Any) -> None:
    trial, records = lab.trial(), lab.records(20)
    seen = []
    for _ in range(2):
        projector = lab.projector()
        assert projector.project(trial, records, 900)
        assert projector.finish_trial(trial, lab.result(trial))
        lab.cursor.unlink()
        seen.append((lab.history(trial), [run.info.run_id for run in lab.runs()], lab.run_of(trial).data.metrics))
    assert seen[0] == seen[1]
    assert seen[0][0] == lab.expected(records)


def test_a_new_process_goes_on_in_the_same_runs(lab: Any) -> None:
    trial, records = lab.trial(), lab.records(20)
    lab.projector().project(trial, records[:10], 450)
    before = {run.info.run_id for run in lab.runs()}
    code = (
        "import sys; from pathlib import Path\n"
        "from tinyscale.spec import Study; from tinyscale.tracking import Projector\n"
        "study = Study(name='study', space=())\n"
        "projector = Projector(study, Path(sys.argv[1]), Path(sys.argv[2]), warn=print)\n"
        "assert projector.connect(); print(projector.sent(sys.argv[3]))"
    )
    command = [sys.executable, "-c", code, str(lab.storage), str(lab.cursor), trial.id]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "450\n"
    again = lab.projector()
    assert again.project(trial, records[10:], 900)
    assert {run.info.run_id for run in lab.runs()} == before
    assert lab.history(trial) == lab.expected(records)


def test_a_finished_trial_costs_no_request(lab: Any) -> None:
    trial = lab.trial()
    first = lab.projector()
    first.project(trial, lab.records(3), 30)
    first.finish_trial(trial, lab.result(trial))
    (lab.storage / "mlflow.db").write_bytes(b"not a database")
    again = lab.projector()
    assert again.project(trial, [], 30)
    assert again.finish_trial(trial, lab.result(trial))


def test_a_deleted_run_is_made_again_from_the_start(lab: Any) -> None:
    trial, records = lab.trial(), lab.records(20)
    projector = lab.projector()
    projector.project(trial, records[:10], 450)
    lab.client().delete_run(lab.run_of(trial).info.run_id)
    assert not projector.project(trial, records[10:], 900)
    assert projector.connect()
    assert projector.sent(trial.id) == 0
    assert projector.project(trial, records, 900)
    assert lab.history(trial) == lab.expected(records)


def test_a_deleted_experiment_is_restored(lab: Any) -> None:
    trial, records = lab.trial(), lab.records(4)
    lab.projector().project(trial, records, 450)
    client = lab.client()
    client.delete_experiment(client.get_experiment_by_name("study").experiment_id)
    again = lab.projector()
    assert again.connect()
    assert again.sent(trial.id) == 450
    assert lab.history(trial) == lab.expected(records)


def test_a_trial_begun_anew_gets_a_run_of_its_own(lab: Any) -> None:
    trial, first, second = lab.trial(), lab.records(9), lab.records(5, start_s=1.8e9)
    projector = lab.projector()
    projector.project(trial, first, 450)
    projector.forget(trial.id)
    assert projector.project(trial, second, 250)
    assert len([run for run in lab.runs() if run.data.tags["tinyscale.kind"] == "trial"]) == 2
    lab.cursor.unlink()
    assert lab.projector().project(trial, first, 450)
    assert len([run for run in lab.runs() if run.data.tags["tinyscale.kind"] == "trial"]) == 2


def test_a_stray_of_a_late_answer_is_removed(lab: Any) -> None:
    trial, records = lab.trial(), lab.records(3)
    lab.projector().project(trial, records, 30)
    run = lab.run_of(trial)
    lab.client().create_run(run.info.experiment_id, tags=run.data.tags, start_time=run.info.start_time + 1)
    again = lab.projector()
    assert again.connect()
    assert again.sent(trial.id) == 30
    assert lab.run_of(trial).info.run_id == run.info.run_id


@pytest.mark.parametrize(("status", "shown"), [("failed", "FAILED"), ("pruned", "KILLED")])
def test_resumed_after_an_end_that_was_none(lab: Any, status: str, shown: str) -> None:
    trial, records = lab.trial(), lab.records(20)
    projector = lab.projector()
    projector.project(trial, records[:10], 450)
    projector.finish_trial(trial, lab.result(trial, status=status, points=(), message="killed four times"))
    run = lab.run_of(trial)
    assert (run.info.status, run.data.tags["tinyscale.status"]) == (shown, status)
    assert run.data.tags["tinyscale.message"] == "killed four times"
    assert not [key for key in run.data.metrics if key.startswith("final/")]
    projector = lab.projector()
    projector.project(trial, records[10:], 900)
    assert lab.run_of(trial).info.status == "RUNNING"
    projector.finish_trial(trial, lab.result(trial))
    assert lab.run_of(trial).info.status == "FINISHED"
    assert lab.history(trial) == lab.expected(records)


def test_a_trial_that_failed_before_its_first_record(lab: Any) -> None:
    trial, records = lab.trial(), lab.records(3)
    lab.projector().finish_trial(trial, lab.result(trial, status="failed", points=()))
    run_id = lab.run_of(trial).info.run_id
    lab.projector().project(trial, records, 30)
    assert lab.run_of(trial).info.run_id == run_id


def test_values_that_are_not_finite_are_left_out_and_named(lab: Any) -> None:
    trial, records = lab.trial(), lab.records(3)
    broken = replace(records[2], metrics={"train/loss": math.nan, "train/grad_norm": math.inf, "eval/bpb": 2.0})
    projector = lab.projector()
    assert projector.project(trial, [*records[:2], broken], 90)
    assert projector.finish_trial(trial, lab.result(trial, status="diverged", points=()))
    run = lab.run_of(trial)
    assert lab.history(trial) == lab.expected([*records[:2], replace(broken, metrics={"eval/bpb": 2.0})])
    assert run.data.tags["tinyscale.non_finite"] == "train/loss = nan at step 30; train/grad_norm = inf at step 30"
    assert (run.info.status, run.data.tags["tinyscale.status"]) == ("FAILED", "diverged")


@pytest.mark.parametrize(
    "name", ['it\'s "quoted"; DROP TABLE runs --', "emoji 🚀 / 日本語", "100% `tick` \\ #1", "a" * 300]
)
def test_hostile_names(make_lab: Callable[..., Any], name: str) -> None:
    lab = make_lab(name, folder="runs %20 #1 ü")
    trial = lab.trial()
    record = replace(lab.records(1)[0], metrics={"pass@1": 0.5, "/../x": 1.0, "naïve loss?": 2.0})
    for _ in range(2):
        projector = lab.projector(corpus=HubCorpus(repo=name))
        assert projector.project(trial, [record], 50), lab.said
        assert projector.finish_study({"law/E": 1.0}, [], results=[lab.result(trial)]), lab.said
        lab.cursor.unlink()
    assert len(lab.runs()) == 2
    assert {key for key, *_ in lab.history(trial)} == {"train/tokens", "pass_1", "x", "naïve loss_"}


def test_finish_study_twice(lab: Any, tmp_path: Path) -> None:
    trials = [lab.trial(16), lab.trial(32), lab.trial(48)]
    results = [
        lab.result(trials[0]),
        lab.result(trials[1], points=(replace(lab.result(trials[1]).points[0], bpb=1.25),)),
        lab.result(trials[2], points=(), status="diverged"),
    ]
    report, figures = tmp_path / "report.html", tmp_path / "figures"
    report.write_text("<p>report</p>")
    figures.mkdir()
    (figures / "law.png").write_bytes(b"png")
    for law in ({"law/E": 1.0, "law/alpha": 0.25, "law/A": math.inf}, {"law/E": 1.0, "law/alpha": 0.5}):
        assert lab.projector().finish_study(law, [report, figures], {"tinyscale.warnings": "few"}, results=results)
    (run,), client = lab.runs(), lab.client()
    assert run.info.status == "FINISHED"
    assert run.data.tags["tinyscale.warnings"] == "few"
    assert [point.value for point in client.get_metric_history(run.info.run_id, "law/E")] == [1.0]
    assert [point.value for point in client.get_metric_history(run.info.run_id, "law/alpha")] == [0.25, 0.5]
    assert run.data.metrics == {"law/E": 1.0, "law/alpha": 0.5}
    root = lab.storage / "mlartifacts" / run.info.run_id / "artifacts"
    assert (root / "report.html").read_text() == "<p>report</p>"
    assert (root / "figures" / "law.png").exists()
    table = json.loads((root / "leaderboard.json").read_text())
    assert [row[1] for row in table["data"]] == [trials[1].name, trials[0].name, trials[2].name]
    assert all(len(row) == len(table["columns"]) for row in table["data"])


def test_a_missing_artifact_is_the_callers_mistake(lab: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"report\.html"):
        lab.projector().finish_study({}, [tmp_path / "report.html"])


def test_stop_and_go_on(lab: Any) -> None:
    done, running = lab.trial(16), lab.trial(32)
    projector = lab.projector()
    for trial in (done, running):
        projector.project(trial, lab.records(3), 30)
    projector.finish_trial(done, lab.result(done))
    assert projector.stop()
    assert {run.info.status for run in lab.runs()} == {"FINISHED", "KILLED"}
    assert lab.run_of(done).info.status == "FINISHED"
    assert lab.projector().project(running, lab.records(6, first=4), 60)
    assert lab.run_of(running).info.status == "RUNNING"


def test_a_damaged_cursor_is_named(lab: Any) -> None:
    lab.cursor.parent.mkdir()
    lab.cursor.write_text("[]")
    with pytest.raises(ValueError, match=r"tracking\.json is damaged .*delete it"):
        lab.projector()


def test_import_is_light() -> None:
    code = "import sys, tinyscale.tracking; print('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
