"""A launch whose MLflow dies and comes back, then the study sent elsewhere and rebuilt: compared point by point."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tinyscale.results.journal import read_journal
from tinyscale.results.store import StudyStore
from tinyscale.spec import ResolvedStudy, Trial, read_json

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),  # in MLflow
]

STUDY = """\
name: branches
corpus: {source: builtin, train_stories: 500, valid_stories: 50}
model: {num_layers: 1, vocab_size: 300, context_length: 32}
train: {batch_size: 8, eval_bytes: 5k, checkpoint_every: 20, schedule: trunk}
space:
  - hidden_size: [16, 24, 32]
    tokens: [20k, 40k, 80k]
holdout:
  - {hidden_size: 48, tokens: [40k, 120k]}
law: {bootstraps: 100}
"""
PREFIXES = {"speed/": "system/", "memory/": "system/"}


@dataclass
class Server:
    """``mlflow server`` on SQLite."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/server.db"]
        command += ["--artifacts-destination", str(self.folder / "served")]
        off = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, env=os.environ | off, start_new_session=True
            )

    def wait(self) -> None:
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=1).close()
            except OSError:
                assert time.monotonic() < deadline, (self.folder / "server.log").read_text()
                time.sleep(0.1)
            else:
                return

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tracked")
    (folder / "branches.yaml").write_text(STUDY)
    return folder


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        server = Server(home, int(probe.getsockname()[1]))
    server.start()
    server.wait()
    yield server
    server.kill()


def environment(home: Path, server: Server) -> dict[str, str]:
    return os.environ | {"TINYSCALE_CACHE": str(home / "cache"), "MLFLOW_TRACKING_URI": server.uri}


def tinyscale(home: Path, server: Server, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("tinyscale")), *words]
    return subprocess.run(
        command, cwd=home, env=environment(home, server), capture_output=True, text=True, timeout=200, check=False
    )


@pytest.fixture(scope="module")
def said(home: Path, server: Server) -> str:
    """What a launch said whose MLflow was killed when the first trial began, and started again with the last one."""
    command = [str(Path(sys.executable).with_name("tinyscale")), "launch", "branches.yaml"]
    lines: list[str] = []
    with subprocess.Popen(
        command, cwd=home, env=environment(home, server), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as launch:
        for line in launch.stdout:
            lines.append(line)
            if line.startswith("start ") and server.process and not any("start " in before for before in lines[:-1]):
                server.kill()
            if line.startswith("start  d48"):
                server.start()
    server.wait()
    assert launch.returncode == 0, "".join(lines)
    return "".join(lines)


def seen(uri: str) -> dict[str, Any]:
    """All points of every run by its name, and when it began and ended."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("branches")
    found: dict[str, Any] = {}
    for run in client.search_runs([experiment.experiment_id]):
        assert run.info.run_name not in found, "one run a trial"
        assert len(run.data.metrics) < 60
        history = [point for key in run.data.metrics for point in client.get_metric_history(run.info.run_id, key)]
        points = sorted((point.key, point.step, point.timestamp, point.value) for point in history)
        found[run.info.run_name] = (run.info.status, run.info.start_time, run.info.end_time, run.data.params, points)
    return found


def run_ids(uri: str) -> set[str]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("branches").experiment_id])
    return {run.info.run_id for run in runs}


def expected(store: StudyStore, trial: Trial) -> list[tuple[str, int, int, float]]:
    """The journal's points; of a trunk's cooldowns, those that the trunk turns back from, all but the tokens."""
    points = []
    turned = [range(line.trial_step(line.fork) + 1, line.trial_step(line.end) + 1) for line in trial.lines[:-1]]
    for record in read_journal(store.trial(trial.id).journal)[0]:
        for name, value in record.metrics.items():
            if name == "train/tokens" and any(record.step in steps for steps in turned):
                continue
            for prefix, shown in PREFIXES.items():
                name = name.replace(prefix, shown)
            points.append((name, record.step, round(record.time_s * 1000), float(value)))
    return sorted(points)


def test_mlflow_has_the_journal_of_every_trial_after_its_death(home: Path, server: Server, said: str) -> None:
    assert len(re.findall(r"can't be written to: nothing is lost", said)) == 1, said
    assert "or by `tinyscale track branches`" in said
    store = StudyStore(home / "runs" / "branches")
    trials = read_json(ResolvedStudy, store.study).trials
    # Sends nothing where the launch got through to the end, and what lacks where the server was up too late for it.
    sent = tinyscale(home, server, "track", "branches")
    assert sent.returncode == 0, sent.stderr
    assert "sent: 4 trials, 4 of them over" in sent.stdout
    found = seen(server.uri)
    assert set(found) == {"branches", *(trial.name for trial in trials)}
    for trial in trials:
        status, *_, points = found[trial.name]
        own = [point for point in points if not point[0].startswith(("final/", "point/", "forecast/"))]
        at_budgets = [("train/tokens", tokens, float(tokens)) for tokens in trial.budgets]
        assert sorted((key, step, value) for key, step, _, value in own) == sorted(
            [(key, step, value) for key, step, _, value in expected(store, trial)] + at_budgets
        )
        assert {point for point in own if point[1] not in trial.budgets} <= set(expected(store, trial))
        assert status == "FINISHED"
    metrics = {key for key, *_ in found["d48-L1-V300-D120k-s0"][-1]}
    assert "forecast/withheld" in metrics


def test_the_study_goes_into_another_mlflow_and_again_afresh(home: Path, server: Server, said: str) -> None:
    other = f"sqlite:///{home}/other.db"
    first = tinyscale(home, server, "track", "branches", "--uri", other)
    assert first.returncode == 0, first.stderr
    there = seen(other)
    origin = seen(server.uri)
    names = set(there) - {"branches"}
    assert len(names) == 4
    assert {name: there[name] for name in names} == {name: origin[name] for name in names}
    ids = run_ids(other)
    assert tinyscale(home, server, "track", "branches", "--uri", other).returncode == 0
    assert (seen(other), run_ids(other)) == (there, ids), "said twice, nothing comes twice"
    (home / "runs" / "branches" / "tracking.json").unlink()
    rebuilt = tinyscale(home, server, "track", "branches", "--uri", other, "--rebuild")
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert seen(other) == there
    assert not run_ids(other) & ids


def test_a_store_that_is_away_or_is_none_is_said_with_its_own_code(home: Path, server: Server, said: str) -> None:
    server.kill()
    away = tinyscale(home, server, "track", "branches", "--rebuild")
    assert away.returncode == 3
    assert "the same command goes on from there" in away.stderr
    none = tinyscale(home, server, "track", "branches", "--uri", "./mlruns")
    assert none.returncode == 2
    assert "not in plain folders" in none.stderr
