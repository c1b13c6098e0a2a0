"""What the doctor makes of what machines say; test_remote.py has it ask real ones."""

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinyscale.cluster.findings import (
    check_capacity,
    check_cards,
    check_clock,
    check_mlflow,
    check_room,
    check_versions,
)
from tinyscale.cluster.probe import Card, Facts, Probe, versions
from tinyscale.spec.study import Resources, Share, Tracking

BLACKWELL = Card(name="NVIDIA RTX PRO 6000", capability="12.0", kernels="sm_120")
HOPPER = Card(name="NVIDIA H200", capability="9.0", kernels="sm_90")
TURING = Card(name="Tesla T4", capability="7.5", kernels=None)


def facts(*cards: Card, **other: str) -> Facts:
    return Facts(versions=versions() | other, cards=cards, temporary="/tmp", free_bytes=10**12)


@pytest.mark.parametrize(
    ("cards", "gpus", "offered", "level", "words"),
    [
        ((), 0, 0, "ok", "none"),
        ((), 1, 0, "ok", "none: trials run on other machines"),
        ((), 0, 2, "note", "Ray offers 2 and torch sees none: a CPU build, or no driver"),
        ((), 1, 2, "stop", "Ray offers 2 and torch sees none: a CPU build, or no driver"),
        (
            (BLACKWELL, BLACKWELL),
            1,
            2,
            "ok",
            "2: NVIDIA RTX PRO 6000, compute capability 12.0, SM120, our kernels with the sm_120 rows",
        ),
        ((HOPPER,), 1, 1, "ok", "1: NVIDIA H200, compute capability 9.0, not SM120, our kernels with the sm_90 rows"),
        ((TURING,), 1, 1, "ok", "1: Tesla T4, compute capability 7.5, not SM120, too old for our kernels: PyTorch"),
    ],
)
def test_gpus(cards: tuple[Card, ...], gpus: float, offered: float, level: str, words: str) -> None:
    finding = check_cards("there", facts(*cards), Resources(gpus=gpus), offered)
    assert (finding.level, finding.words) == (level, words)


def test_other_versions_stop_a_launch_and_are_named() -> None:
    assert check_versions("there", facts(), versions()).level == "ok"
    finding = check_versions("there", facts(torch="2.12.0", deepspeed="missing"), versions())
    assert finding.level == "stop"
    assert "torch 2.12.0 (here 2.13.0), deepspeed missing (here " in finding.words
    assert "ray" not in finding.words


def test_room_clock_and_capacity() -> None:
    assert check_room("there", Path("/x"), 2e9, 1e9).level == "ok"
    assert str(check_room("there", Path("/x"), 5e8)) == "stop  disk      there: /x: 0.5 GB free, 1.0 GB needed"
    assert check_clock("there", -0.4, 0.001).level == "ok"
    assert check_clock("there", -3.0, 2.0).level == "ok"  # the network alone may account for that
    assert check_clock("there", 3.0, 0.001).words.startswith("+3.000 s against the driver's")
    assert check_clock("there", 3.0, 0.001).level == "note"
    assert check_capacity([Share(cpus=2)], [{"CPU": 5.0}]).words == "2 trial(s) at once"
    mixed = check_capacity([Share(cpus=2), Share()], [{"CPU": 5.0}])
    assert mixed.words == "2 of the largest trials to 5 of the smallest at once"
    assert check_capacity([Share(), Share(gpus=1)], [{"CPU": 5.0}]).level == "stop"


def test_a_folder_is_tried_as_a_trial_uses_it(tmp_path: Path) -> None:
    assert Probe().use(tmp_path, "machine-0") == ""
    assert Probe().unseen(tmp_path, ["machine-0"]) == []
    assert "mount the same storage at the same path" in Probe().use(tmp_path / "elsewhere", "machine-0")
    (tmp_path / "machine-1.new").mkdir()  # whoever the tests run as: root may write everywhere
    assert "IsADirectoryError" in Probe().use(tmp_path, "machine-1")


class Health(http.server.BaseHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200 if self.path == "/mlflow/health" else 404)
        self.end_headers()

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Health.asked = []
    with http.server.HTTPServer(("127.0.0.1", 0), Health) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{listening.server_port}"
        listening.shutdown()


def test_mlflow_is_asked_and_its_password_is_not_printed(server: str, tmp_path: Path) -> None:
    up = check_mlflow(Tracking(uri=f"http://me:secret@{server}/mlflow"), tmp_path)
    assert (up.level, up.where) == ("ok", f"http://***@{server}/mlflow")
    assert Health.asked == ["/mlflow/health"]
    down = check_mlflow(Tracking(uri=f"http://me:secret@{server}/other"), tmp_path)
    assert down.level == "note"
    assert "HTTP Error 404" in down.words
    assert "a study goes on without it" in down.words
    nobody = check_mlflow(Tracking(uri="http://me:secret@127.0.0.1:1"), tmp_path)
    assert nobody.level == "note"
    assert "secret" not in f"{up} {down} {nobody}"


@pytest.mark.parametrize(
    ("storage", "words"),
    [
        ("s3://key:hush@bucket/runs", "holds credentials"),
        ("ftp://host/runs", "s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or file:///FOLDER"),
    ],
)
def test_a_storage_that_cannot_be_is_refused_before_any_cluster_is_asked(
    tmp_path: Path, storage: str, words: str
) -> None:
    command = [str(Path(sys.executable).with_name("tinyscale")), "doctor", "--address", "192.0.2.1:1"]
    ran = subprocess.run([*command, "--storage", storage], capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 2
    said = " ".join(ran.stderr.replace("│", " ").split())
    assert words in said
    assert "hush" not in said
