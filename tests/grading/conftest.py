"""A judge on loopback, for every test that needs one: see judge_server.py."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("judge_server.py")


class JudgeServer:
    """The server's process, and its controls."""

    def __init__(self) -> None:
        command = [sys.executable, str(SCRIPT), "--follow-stdin"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        self.url = self._process.stdout.readline().strip()
        assert self.url.startswith("http://127.0.0.1:")

    def script(self, **settings: Any) -> None:
        """Forget everything, and behave like this from now on (fields of judge_server.Script)."""
        self._ask("/control", json.dumps(settings).encode())

    def stats(self) -> dict[str, Any]:
        return self._ask("/stats")

    def log(self) -> list[dict[str, Any]]:
        return self._ask("/log")

    def stop(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def _ask(self, path: str, data: bytes | None = None) -> Any:
        with urllib.request.urlopen(self.url.removesuffix("/v1") + path, data, timeout=30) as reply:
            return json.load(reply)


@pytest.fixture(scope="session")
def judge_process() -> Iterator[JudgeServer]:
    server = JudgeServer()
    yield server
    server.stop()


@pytest.fixture
def judge_server(judge_process: JudgeServer, monkeypatch: pytest.MonkeyPatch) -> JudgeServer:
    """A judge that behaves, until a test scripts it otherwise."""
    for name in ("OPENAI_API_KEY", "OPENAI_LOG", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    judge_process.script()
    return judge_process
