"""A promoted model in MLflow: registered once, found again, with what belongs to it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tinyscale.spec import Interval, Promotion, Validation
from tinyscale.spec.study import Tracking

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # in MLflow

SPAN = Interval(value=0.9612, low=0.9501, high=0.9712)
VALIDATION = Validation(model_digest="d" * 64, corpus="c" * 64, bpb=SPAN, loss=SPAN, stories=2000, bytes=1_000_000,
                        tokens=300_000, context_length=64)  # fmt: skip


def promotion(trial: Any, commit: str = "1" * 40, digest: str = "d" * 64) -> Promotion:
    url = "https://huggingface.co/ada/stories"
    return Promotion(repo="ada/stories", url=url, commit=commit, tag="study", trial_id=trial.id, model_digest=digest,
                     files={}, promoted_s=1.7e9 + 100)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "staged"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "README.md").write_text("# Stories")
    return folder


@pytest.fixture
def done(lab: Any) -> Any:
    """A trial whose run has ended, as the study's has."""
    trial = lab.trial()
    projector = lab.projector()
    assert projector.project(trial, lab.records(3), 30)
    assert projector.finish_trial(trial, lab.result(trial))
    assert projector.finish_study({"law/E": 1.0}, [], ended_s=1.7e9 + 90)
    return trial


def state(lab: Any) -> Any:
    """All that a registration could add to or change, but for times of change."""
    client = lab.client()
    runs = [(run.info.run_id, run.info.status, run.info.end_time, run.data.tags, run.data.metrics, [
        model.model_id for model in run.outputs.model_outputs]) for run in lab.runs()]  # fmt: skip
    models = [(model.model_id, model.tags, model.params, len(model.metrics or ()))
              for model in client.search_logged_models([lab.runs()[0].info.experiment_id])]  # fmt: skip
    versions = [(version.version, version.tags) for version in client.search_model_versions("name = 'study'")]
    return runs, models, versions


def test_a_promotion_is_a_version_and_the_champion(lab: Any, done: Any, folder: Path) -> None:
    assert lab.projector().register(done, promotion(done), folder, VALIDATION) == "study version 1"
    client, run = lab.client(), lab.run_of(done)
    version = client.get_model_version_by_alias("study", "champion")
    assert (version.version, version.run_id) == (1, run.info.run_id)
    assert version.source == f"{run.info.artifact_uri}/promoted/{'1' * 12}"
    assert [item.path.rsplit("/", 1)[1] for item in client.list_artifacts(run.info.run_id, f"promoted/{'1' * 12}")] == [
        "README.md", "model.safetensors",
    ]  # fmt: skip
    assert version.tags == {
        "tinyscale.repo": "ada/stories",
        "tinyscale.url": "https://huggingface.co/ada/stories",
        "tinyscale.commit": "1" * 40,
        "tinyscale.trial_id": done.id,
        "tinyscale.model_digest": "d" * 64,
    }
    assert version.description.startswith("0.9612 bits per byte")
    assert "[ada/stories](https://huggingface.co/ada/stories)" in version.description
    described = client.get_registered_model("study").description
    assert "What?" in described
    assert "https://huggingface.co/ada/stories" in described
    (model,) = client.search_logged_models([run.info.experiment_id])
    assert (model.name, model.source_run_id, str(model.status)) == ("study", run.info.run_id, "READY")
    assert model.tags["mlflow.model.isExternal"] == "true"
    assert model.tags["mlflow.modelVersions"] == '[{"name": "study", "version": "1"}]'
    assert {metric.key: metric.value for metric in model.metrics}["validation/bpb"] == 0.9612
    assert [given.model_id for given in run.outputs.model_outputs] == [model.model_id]
    assert run.data.metrics["validation/bpb"] == 0.9612
    assert {run.info.status for run in lab.runs()} == {"FINISHED"}


def test_the_same_again_adds_nothing(lab: Any, done: Any, folder: Path) -> None:
    assert lab.projector().register(done, promotion(done), folder, VALIDATION) == "study version 1"
    before = state(lab)
    assert lab.projector().register(done, promotion(done), folder, VALIDATION) == "study version 1"
    assert state(lab) == before
    assert lab.said == []


def test_the_alias_moves_and_an_older_version_keeps_its_files(lab: Any, done: Any, folder: Path) -> None:
    projector = lab.projector()
    assert projector.register(done, promotion(done), folder) == "study version 1"
    (folder / "README.md").write_text("# Another card")
    assert projector.register(done, promotion(done, commit="2" * 40), folder) == "study version 2"
    client = lab.client()
    assert client.get_model_version_by_alias("study", "champion").version == 2
    old = Path(client.get_model_version("study", "1").source.removeprefix("file://"))
    assert (old / "README.md").read_text() == "# Stories"
    assert projector.register(done, promotion(done), folder) == "study version 1"
    assert client.get_model_version_by_alias("study", "champion").version == 1


@pytest.mark.parametrize(
    "step", ["create_logged_model", "log_outputs", "finalize_logged_model", "create_registered_model", "log_artifacts",
             "create_model_version", "set_logged_model_tags", "set_registered_model_alias"]
)  # fmt: skip
def test_killed_at_any_step_it_goes_on(
    lab: Any, done: Any, folder: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    carry_out = getattr(MlflowClient, step)

    def kill(self: Any, *args: Any, **kwargs: Any) -> None:
        carry_out(self, *args, **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, step, kill)
        with pytest.raises(KeyboardInterrupt):
            lab.projector().register(done, promotion(done), folder, VALIDATION)
    assert lab.projector().register(done, promotion(done), folder, VALIDATION) == "study version 1"
    runs, models, versions = state(lab)
    assert [number for number, _ in versions] == [1]
    ((model_id, tags, _, metrics),) = models
    assert (tags["mlflow.modelVersions"], metrics) == ('[{"name": "study", "version": "1"}]', 2)
    assert [model for run in runs for model in run[-1]] == [model_id]
    assert lab.client().get_model_version_by_alias("study", "champion").version == 1


def test_mlflow_away_is_said_and_no_error(lab: Any, folder: Path, free_port: int) -> None:
    trial = lab.trial()
    projector = lab.projector(tracking=Tracking(uri=f"http://127.0.0.1:{free_port}"))
    assert projector.register(trial, promotion(trial), folder, VALIDATION) == ""
    (said,) = lab.said
    assert "can't be written to" in said


@pytest.mark.slow
def test_through_a_server(make_lab: Callable[..., Any], server: Any, folder: Path, tmp_path: Path) -> None:
    import mlflow

    lab = make_lab()
    lab.study = replace(lab.study, tracking=Tracking(uri=f"http://127.0.0.1:{server.port}"))
    trial, projector = lab.trial(), lab.projector()
    assert projector.project(trial, lab.records(3), 30)
    assert projector.finish_trial(trial, lab.result(trial))
    for _ in range(2):
        assert projector.register(trial, promotion(trial), folder, VALIDATION) == "study version 1"
    assert lab.client().get_model_version_by_alias("study", "champion").version == "1"
    uri = f"{lab.run_of(trial).info.artifact_uri}/promoted/{'1' * 12}"
    assert lab.client().get_model_version_download_uri("study", "1") == uri
    fetched = mlflow.artifacts.download_artifacts(
        run_id=lab.run_of(trial).info.run_id, artifact_path=f"promoted/{'1' * 12}", dst_path=str(tmp_path / "fetched"),
        tracking_uri=projector.uri,
    )  # fmt: skip
    assert (Path(fetched) / "model.safetensors").read_bytes() == b"weights"
