"""Which store, and what of its address may be seen."""

from pathlib import Path

import pytest

from tinyscale.spec.study import Tracking
from tinyscale.tracking import mask, resolve_uri, ui_command


def test_the_study_goes_before_the_environment_before_the_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://environment:5000")
    assert resolve_uri(Tracking(uri="https://study"), Path("/x")) == "https://study"
    assert resolve_uri(Tracking(), Path("/x")) == "http://environment:5000"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert resolve_uri(Tracking(), Path("/x")) == "sqlite:////x/mlflow.db"
    assert resolve_uri(Tracking(), Path("runs")) == f"sqlite:///{Path.cwd()}/runs/mlflow.db"


@pytest.mark.parametrize("uri", ["./mlruns", "file:///mlruns", "mlruns", "s3://bucket", "C:\\runs"])
def test_plain_folders_are_refused_with_a_remedy(uri: str) -> None:
    with pytest.raises(ValueError, match=r"tracking\.uri is .*sqlite:///PATH\.db"):
        resolve_uri(Tracking(uri=uri), Path("/x"))


@pytest.mark.parametrize(
    "text",
    [
        "http://user:secret@host:5000/x",
        "postgresql+psycopg2://user:se@cret@host/db?password=secret&x=1",
        "API request to https://secret@host failed, see https://user:secret@host/y",
    ],
)
def test_credentials_are_masked(text: str) -> None:
    assert "cret" not in mask(text)
    assert "host" in mask(text)


def test_ui_command() -> None:
    assert ui_command("http://user:secret@host:5000") == "open http://***@host:5000"
    assert ui_command("sqlite:////a b/mlflow.db").endswith("ui --backend-store-uri 'sqlite:////a b/mlflow.db'")
    assert "secret" not in ui_command("postgresql://user:secret@host/db")
