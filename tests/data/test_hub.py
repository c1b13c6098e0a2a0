"""Data sets from a stand-in hub on loopback, through the real huggingface_hub client."""

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tinyscale.data.corpus import corpus_digest, iter_stories, prepare_corpus
from tinyscale.data.hub import download, resolve_model
from tinyscale.spec import HubCorpus

COMMITS = ["a" * 40, "b" * 40]
FILES = {
    "train.txt": b"A cat sat.\n<|endoftext|>\nA dog ran.\n<|endoftext|>\n",
    "valid.txt": b"A hen.\n<|endoftext|>\n",
}
CORPUS = HubCorpus(repo="who/tales", train=("train.txt",), valid=("valid.txt",))


class Hub(ThreadingHTTPServer):
    """Branch main of who/tales, at ``commit``."""

    commit = COMMITS[0]
    requests: list[str]


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        parts = self.path.split("?")[0].strip("/").split("/")
        match parts:
            case ["api", "datasets", "who", "tales", "revision", revision] if revision in ("main", self.server.commit):
                siblings = [{"rfilename": name} for name in FILES]
                info = {"id": "who/tales", "sha": self.server.commit, "siblings": siblings, "tags": []}
                self._answer(200, json.dumps(info).encode())
            case ["api", "datasets", "who", "tales", "revision", _]:
                self._answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            case ["datasets", "who", "tales", "resolve", commit, name] if commit == self.server.commit:
                etag = hashlib.sha256(FILES[name]).hexdigest()
                self._answer(200, FILES[name], {"ETag": f'"{etag}"', "X-Repo-Commit": commit})
            case ["api", "models", "who", "teller", "revision", "main"]:
                siblings = [{"rfilename": "config.json"}, {"rfilename": "onnx/model.onnx"}]
                info = {"id": "who/teller", "sha": self.server.commit, "siblings": siblings, "tags": []}
                self._answer(200, json.dumps(info).encode())
            case ["api", "models", "who", "gated", "revision", _]:
                self._answer(200, json.dumps({"id": "who/gated", "sha": COMMITS[1], "siblings": []}).encode())
            case ["who", "gated", "resolve", _, _]:
                self._answer(403, b"", {"X-Error-Code": "GatedRepo"})
            case _:
                self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    from huggingface_hub import constants

    server = Hub(("127.0.0.1", 0), Handler)
    server.requests = []
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_files_come_from_the_commit_that_the_branch_leads_to(hub: Hub, tmp_path: Path) -> None:
    said: list[str] = []
    corpus = prepare_corpus(CORPUS, tmp_path / "cache", said.append)
    assert list(iter_stories(corpus.train)) == ["A cat sat.", "A dog ran."]
    assert (corpus.valid_stories, corpus.valid_bytes) == (1, 6)
    assert corpus.digest == corpus_digest(CORPUS, tmp_path / "cache")
    assert any(COMMITS[0] in line for line in said)
    assert any(f"/resolve/{COMMITS[0]}/train.txt" in request for request in hub.requests)


def test_digest_follows_the_branch_and_equals_that_of_its_commit(hub: Hub, tmp_path: Path) -> None:
    first = corpus_digest(CORPUS, tmp_path)
    pinned = HubCorpus(repo="who/tales", revision=COMMITS[0], train=CORPUS.train, valid=CORPUS.valid)
    assert corpus_digest(pinned, tmp_path, offline=True) == first
    hub.commit = COMMITS[1]
    assert corpus_digest(CORPUS, tmp_path) != first


def test_unreachable_hub_leaves_a_branch_where_it_led(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = prepare_corpus(CORPUS, tmp_path / "cache")
    _close(monkeypatch)
    said: list[str] = []
    assert prepare_corpus(CORPUS, tmp_path / "cache", said.append) == before
    assert "cannot reach" in said[0]
    assert corpus_digest(CORPUS, tmp_path / "cache", offline=True) == before.digest


def test_unreachable_hub_never_seen_is_an_error_and_offline_is_provisional(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _close(monkeypatch)
    with pytest.raises(
        ConnectionError, match=r"cannot reach the Hugging Face hub at http://127.0.0.1:\d+ for who/tales"
    ):
        corpus_digest(CORPUS, tmp_path)
    provisional = corpus_digest(CORPUS, tmp_path, offline=True)
    other = HubCorpus(repo="who/tales", revision="v2", train=CORPUS.train, valid=CORPUS.valid)
    assert provisional != corpus_digest(other, tmp_path, offline=True)


@pytest.mark.parametrize(
    ("corpus", "words"),
    [
        (HubCorpus(repo="who/nobody"), "no public repository 'who/nobody'"),
        (HubCorpus(repo="who/tales", revision="v9"), "no branch, tag or commit 'v9'"),
        (HubCorpus(repo="who/tales", train=("trian.txt",)), r"no file 'trian.txt'; its text files are \['train.txt'"),
    ],
)
def test_what_the_hub_lacks_is_named(hub: Hub, tmp_path: Path, corpus: HubCorpus, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        corpus_digest(corpus, tmp_path)


def test_a_model_is_a_commit_and_names(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_model("who/teller", "main") == (COMMITS[0], ("config.json", "onnx/model.onnx"))
    with pytest.raises(ValueError, match="no public repository 'who/nobody'"):
        resolve_model("who/nobody", "main")
    with pytest.raises(ValueError, match=r"who/gated on http://.* is gated: accept its terms there"):
        download("who/gated", "config.json", COMMITS[1], "model")
    _close(monkeypatch)
    with pytest.raises(ConnectionError, match=r"cannot reach the Hugging Face hub .* take files that lie on this"):
        resolve_model("who/teller", "main")


def _close(monkeypatch: pytest.MonkeyPatch) -> None:
    """Point the client at a port where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")
