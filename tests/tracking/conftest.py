import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tinyscale.spec import ModelConfig, Point, Record, Study, TrainConfig, Trial, TrialResult
from tinyscale.tracking import Projector


def make_trial(hidden_size: int = 16, **train: object) -> Trial:
    model = ModelConfig(
        preset="llama",
        vocab_size=512,
        hidden_size=hidden_size,
        num_layers=2,
        num_heads=2,
        num_kv_heads=2,
        intermediate_size=4 * hidden_size,
        context_length=64,
        norm="rms",
        norm_position="pre",
        positions="rope",
        mlp="swiglu",
        qkv_bias=False,
        bias=False,
        tie_embeddings=True,
    )
    settings = {"tokens": 100_000, "batch_size": 16, "learning_rate": 3e-3, "warmup_steps": 20, **train}
    return Trial(model=model, train=TrainConfig(**settings), corpus="c" * 64, tokenizer="t" * 64)  # type: ignore[arg-type]


def make_records(count: int, *, first: int = 1, start_s: float = 1.7e9) -> list[Record]:
    """Records ``first`` to ``count``; a trial's journal of ``start_s`` is the same at every call."""
    return [
        Record(
            step=10 * i,
            tokens=10_240 * i,
            time_s=start_s + 0.1 * i + 1e-4,
            metrics={"train/loss": 5.0 / i**0.5, "train/learning_rate": 3e-3, "eval/bpb": 1.0 + 1.0 / (3.0 * i)},
        )
        for i in range(first, count + 1)
    ]


def make_result(trial: Trial, **changes: object) -> TrialResult:
    point = Point(
        trial_id=trial.id,
        params_total=14_000,
        params_non_embedding=6_000,
        hidden_size=trial.model.hidden_size,
        num_layers=2,
        vocab_size=512,
        tokens=trial.train.tokens,
        text_bytes=250_000.0,
        flops=8.4e9,
        loss=3.25,
        bpb=1.5,
        learning_rate=3e-3,
        seed=0,
    )
    done = TrialResult(
        trial_id=trial.id,
        name=trial.name,
        status="done",
        points=(point,),
        steps=98,
        device="cpu",
        finished_s=1.7e9 + 60,
    )
    return replace(done, **changes)  # type: ignore[arg-type]


def expected_history(records: list[Record]) -> list[tuple[str, int, int, float]]:
    return sorted(
        (key, record.step, round(record.time_s * 1000), float(value))
        for record in records
        for key, value in {"train/tokens": record.tokens, **record.metrics}.items()
    )


@dataclass
class Lab:
    """A study's storage on disk, whatever number of drivers it sees."""

    storage: Path
    study: Study
    said: list[str] = field(default_factory=list)

    trial = staticmethod(make_trial)
    records = staticmethod(make_records)
    result = staticmethod(make_result)
    expected = staticmethod(expected_history)

    @property
    def cursor(self) -> Path:
        return self.storage / "study" / "tracking.json"

    def projector(self, **changes: object) -> Projector:
        """A driver; ``rebuild`` and ``origins`` are its own, other changes the study's."""
        own = {name: changes.pop(name) for name in ("rebuild", "origins") if name in changes}
        return Projector(replace(self.study, **changes), self.storage, self.cursor, warn=self.said.append, **own)  # type: ignore[arg-type]

    def client(self):
        from mlflow.tracking import MlflowClient

        return MlflowClient(tracking_uri=self.projector().uri)

    def runs(self) -> list:
        client = self.client()
        experiment = client.get_experiment_by_name(self.study.name)
        return sorted(client.search_runs([experiment.experiment_id]), key=lambda run: run.data.tags["tinyscale.kind"])

    def run_of(self, trial: Trial):
        (run,) = [run for run in self.runs() if run.data.tags.get("tinyscale.trial_id") == trial.id]
        return run

    def history(self, trial: Trial) -> list[tuple[str, int, int, float]]:
        """All that MLflow holds of the trial's journal, sorted, doubles kept."""
        client, run = self.client(), self.run_of(trial)
        keys = [key for key in run.data.metrics if not key.startswith("final/")]
        points = [point for key in keys for point in client.get_metric_history(run.info.run_id, key)]
        return sorted((point.key, point.step, point.timestamp, point.value) for point in points)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's schema, which takes seconds to make, and nothing in it."""
    from tinyscale.tracking.link import Link

    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    Link(f"sqlite:///{path}", warn=lambda said: None).client().search_experiments()
    return path


@pytest.fixture
def make_lab(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Lab]:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def make(name: str = "study", folder: str = "runs") -> Lab:
        storage = tmp_path / folder
        storage.mkdir()
        shutil.copy(empty_store, storage / "mlflow.db")
        return Lab(storage, Study(name=name, question="What?", space=({"hidden_size": (16, 32)},)))

    return make


@pytest.fixture
def lab(make_lab: Callable[..., Lab]) -> Lab:
    return make_lab()


@dataclass
class Server:
    """A real ``mlflow server`` on one store, which can be killed and started again."""

    folder: Path
    store: str
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(self.port)]
        command += ["--backend-store-uri", self.store]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, env=environment, start_new_session=True
            )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=1).close()
            except OSError:
                assert self.process.poll() is None, (self.folder / "server.log").read_text()
                time.sleep(0.1)
            else:
                return
        raise TimeoutError("mlflow server didn't come up in two minutes")

    def kill(self) -> None:
        """SIGKILL to the server and its helper processes."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def start_server(tmp_path: Path, free_port: int) -> Iterator[Callable[[str], Server]]:
    servers: list[Server] = []

    def start(store: str) -> Server:
        folder = tmp_path / "server"
        folder.mkdir()
        servers.append(Server(folder, store, free_port))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.fixture
def server(start_server: Callable[[str], Server], tmp_path: Path, empty_store: Path) -> Server:
    shutil.copy(empty_store, tmp_path / "served.db")
    return start_server(f"sqlite:///{tmp_path / 'served.db'}")
