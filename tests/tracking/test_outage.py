"""MLflow away, from the start or in the middle: the study hears of it once, and nothing is lost or sent twice."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tinyscale.spec.study import Tracking
from tinyscale.tracking.link import FIRST_PAUSE_S, LONGEST_PAUSE_S, Link
from tinyscale.tracking.runs import Runs

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # in MLflow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def away(scheme: str = "http") -> Tracking:
    return Tracking(uri=f"{scheme}://me:secret@127.0.0.1:{free_port()}")


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_store_that_was_never_there_raises_nothing(lab: Any, scheme: str) -> None:
    trial = lab.trial()
    projector = lab.projector(tracking=away(scheme))
    assert not projector.down
    assert not projector.connect()
    assert projector.down
    started = time.monotonic()
    for _ in range(100):
        assert not projector.project(trial, lab.records(3), 30)
        assert not projector.finish_trial(trial, lab.result(trial))
    assert time.monotonic() - started < 1
    assert not projector.finish_study({"law/E": 1.0}, [])
    assert not projector.stop()
    assert projector.sent(trial.id) == 0
    (said,) = lab.said
    assert "can't be written to" in said
    assert "secret" not in said
    assert not lab.cursor.exists() or "secret" not in lab.cursor.read_text()


def test_pauses_grow_and_mistakes_are_raised() -> None:
    now, said, tries = 0.0, [], []
    link = Link("http://host", said.append, clock=lambda: now)

    def refuse() -> None:
        tries.append(now)
        raise ConnectionError("refused")

    for second in range(200):
        now = float(second)
        assert not link.attempt(refuse)
    gaps = [later - earlier for earlier, later in pairwise(tries)]
    assert gaps[0] == FIRST_PAUSE_S
    assert gaps == sorted(gaps)
    assert gaps[-1] <= LONGEST_PAUSE_S
    assert link.attempt(lambda: None, at_once=True)
    assert not link.down
    assert len(said) == 2
    with pytest.raises(KeyError):
        link.attempt(lambda: {}["mistake"])


@dataclass
class Server:
    """A real ``mlflow server`` on one store, which can be killed and started again."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db"]
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
def server(tmp_path: Path, empty_store: Path) -> Iterator[Server]:
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "mlflow.db").write_bytes(empty_store.read_bytes())
    server = Server(folder, free_port())
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.mark.slow
def test_server_killed_in_the_middle(
    make_lab: Callable[..., Any], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = make_lab()
    lab.study = type(lab.study)(name="study", space=(), tracking=Tracking(uri=f"http://127.0.0.1:{server.port}"))
    first, second, records = lab.trial(16), lab.trial(32), lab.records(1000)
    projector = lab.projector()
    assert projector.project(first, records[:100], 4_500)
    assert projector.finish_study({"law/E": 1.0}, [lab.cursor])

    sent, send = [], Runs.metrics
    killer = threading.Timer(0.02, server.kill)

    def send_and_kill(runs: Runs, run_id: str, points: list[Any]) -> None:
        sent.append(run_id)
        if len(sent) == 3:
            killer.start()  # while this request or one of the next is under way
        send(runs, run_id, points)

    monkeypatch.setattr(Runs, "metrics", send_and_kill)
    assert not projector.project(first, records[100:], 45_000)
    assert len(sent) >= 3
    assert projector.sent(first.id) == 4_500
    started = time.monotonic()
    assert not projector.project(second, records[:50], 2_000)
    assert not projector.finish_trial(second, lab.result(second))
    assert time.monotonic() - started < 1
    assert len(lab.said) == 1

    killer.join()
    server.start()
    assert projector.connect()
    assert "answers again" in lab.said[1]
    assert len(lab.expected(records[:100])) <= len(lab.history(first)) < len(lab.expected(records))
    assert projector.project(first, records[100:], 45_000)
    assert projector.project(second, records[:50], 2_000)
    assert projector.finish_trial(second, lab.result(second))
    assert lab.history(first) == lab.expected(records)
    assert lab.history(second) == lab.expected(records[:50])
    assert len(lab.runs()) == 3
    assert len(lab.said) == 2
