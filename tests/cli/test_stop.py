"""Stopping and watching a study through the command line, with real processes: nothing is lost, nothing is left."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STUDY = """\
name: long
corpus: {source: builtin, train_stories: 500, valid_stories: 50}
model: {num_layers: 1, vocab_size: 300, context_length: 32}
train: {batch_size: 8, eval_bytes: 5k, checkpoint_every: 1M, log_every: 10, tokens: 100M}
space:
  - hidden_size: [16, 24, 32]
law: {bootstraps: 100}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    (folder / "long.yaml").write_text(STUDY)
    return folder


def command(*words: str) -> list[str]:
    return [str(Path(sys.executable).with_name("tinyscale")), *words]


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return kept | {"TINYSCALE_CACHE": str(home / "cache")}


def tinyscale(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words), cwd=home, env=environment(home), capture_output=True, text=True, timeout=200, check=False
    )


@pytest.fixture
def begin(home: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    begun: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command(*words),
            cwd=home,
            env=environment(home),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        begun.append(process)
        return process

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def wait_until(condition: Callable[[], object], launch: subprocess.Popen[str], limit_s: float = 120) -> None:
    until = time.monotonic() + limit_s
    while not condition():
        assert launch.poll() is None, launch.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.05)


def journals(home: Path) -> list[Path]:
    return [path for path in home.glob("runs/long/trials/*/journal.jsonl") if path.stat().st_size]


def test_stop_checkpoints_and_stops_and_a_watch_ends_with_it(home: Path, begin: Callable[..., subprocess.Popen[str]]):
    launch = begin("launch", "long.yaml")
    wait_until(lambda: journals(home), launch)
    processes = psutil.Process(launch.pid).children(recursive=True)
    watch = begin("status", "long", "--watch")
    assert re.search(r"^\d\d:\d\d:\d\d  .*running", watch.stdout.readline()), "a plain line, not a table"
    refused = tinyscale(home, "track", "long")
    assert refused.returncode == 3
    assert "its driver sends it to sqlite:///" in refused.stderr
    assert "--uri" in refused.stderr

    stopped = tinyscale(home, "stop", "long")
    assert stopped.returncode == 0, stopped.stderr
    assert re.search(r"^long: stopped; launch again to go on \(.*stopped.*\)$", stopped.stdout.strip())
    printed, _ = launch.communicate(timeout=5)
    assert launch.returncode == 130, printed
    watched, _ = watch.communicate(timeout=20)
    assert watch.returncode == 0
    assert re.search(r"^long: .*stopped", watched, re.MULTILINE)
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert not alive
    for journal in journals(home):
        assert list(journal.parent.glob("checkpoints/step-*")), "a checkpoint every 1M steps: this one is of the stop"
    assert not (home / "runs" / "long" / ".stop").exists()

    again = tinyscale(home, "stop", "long")
    assert (again.returncode, again.stdout.split(" (")[0]) == (0, "long: nothing runs")
    assert tinyscale(home, "stop", "short").returncode == 2


def test_a_log_is_at_hand(home: Path) -> None:
    """After the stop above: a trial that was begun, one that was not, and words that name none or several."""
    (trial, *_) = [path.parent for path in journals(home)]
    with (trial / "log.txt").open("a") as log:
        log.write("one\ntwo\nthree\n")
    name = trial.name.rpartition("-")[0]
    for word in (name, trial.name):
        assert tinyscale(home, "logs", "long", word, "-n", "2").stdout == "two\nthree\n"
    several = tinyscale(home, "logs", "long", "d")
    assert several.returncode == 2
    assert "more than one trial begins so" in several.stderr
    unknown = tinyscale(home, "logs", "long", "d16-L9")
    assert "no trial of this study; did you mean d16-L1-V300" in unknown.stderr


def test_ctrl_c_twice_ends_it_now(home: Path, begin: Callable[..., subprocess.Popen[str]]) -> None:
    launch = begin("launch", "long.yaml")
    while "start" not in (line := launch.stdout.readline()):
        assert line, "it ended before it began"
    wait_until(lambda: a_worker_is_there(home), launch)
    processes = psutil.Process(launch.pid).children(recursive=True)
    launch.send_signal(signal.SIGINT)
    launch.send_signal(signal.SIGINT)
    started = time.monotonic()
    printed, _ = launch.communicate(timeout=60)
    print(f"gone {time.monotonic() - started:.1f} s after the second Ctrl-C")
    assert launch.returncode == 130, printed
    assert "Traceback" not in printed
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert not alive


def a_worker_is_there(home: Path) -> bool:
    """A worker holds a trial."""
    from tinyscale.results.lock import FileLock

    return any(FileLock(path).held() for path in home.glob("runs/long/trials/*/.lock"))
