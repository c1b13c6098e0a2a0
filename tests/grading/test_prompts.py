import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tinyscale.grading.prompts import load_prompts
from tinyscale.spec import Prompt

COMMIT = "c" * 40
AUTHORS = b'---\n- |-\n  A bear sat in a\n\n  tree. He\n- "One day, a hen"\n'


class Hub(BaseHTTPRequestHandler):
    """roneneldan/TinyStories with the file of prompts alone."""

    def do_GET(self) -> None:
        parts = self.path.split("?")[0].strip("/").split("/")
        match parts:
            case ["api", "datasets", "roneneldan", "TinyStories", "revision", "main"]:
                files = [{"rfilename": "Evaluation prompts.yaml"}]
                info = {"id": "roneneldan/TinyStories", "sha": COMMIT, "siblings": files, "tags": []}
                self._answer(json.dumps(info).encode(), {})
            case ["datasets", "roneneldan", "TinyStories", "resolve", revision, "Evaluation%20prompts.yaml"]:
                assert revision == COMMIT
                self._answer(AUTHORS, {"ETag": f'"{hashlib.sha256(AUTHORS).hexdigest()}"', "X-Repo-Commit": COMMIT})
            case _:
                self.send_error(404)

    do_HEAD = do_GET

    def _answer(self, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(200)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from huggingface_hub import constants

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("TINYSCALE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield
    server.shutdown()
    thread.join()
    server.server_close()


def unplug(monkeypatch: pytest.MonkeyPatch) -> None:
    """Point the client at a port where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")


def test_the_projects_own_are_beginnings_in_the_middle_of_something() -> None:
    prompts = load_prompts("builtin")
    assert len({p.id for p in prompts}) == len({p.text for p in prompts}) == 50
    assert 5 <= sum(bool(p.instruction) for p in prompts) <= 12
    for prompt in prompts:
        assert prompt.text == prompt.text.strip()
        assert 8 <= len(prompt.text.split()) <= 60
        assert prompt.text.isascii()


def test_the_authors_come_from_the_hub_and_stay_when_it_is_away(
    endpoint: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = load_prompts("tinystories")
    assert [p.text for p in prompts] == ["A bear sat in a\n\ntree. He", "One day, a hen"]
    assert prompts[1].id.startswith("one-day-a-")
    unplug(monkeypatch)
    assert load_prompts("tinystories") == prompts


def test_a_hub_that_was_never_reached_is_said_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unplug(monkeypatch)
    monkeypatch.setenv("TINYSCALE_CACHE", str(tmp_path))
    with pytest.raises(ConnectionError, match=r"cannot reach the Hugging Face hub at .*builtin and files of your own"):
        load_prompts("tinystories")


def test_files_of_every_kind_give_the_same_beginnings(tmp_path: Path) -> None:
    texts = ["One day, a hen", "The cat said, “Why"]
    (tmp_path / "a.txt").write_text("\n".join(["", f" {texts[0]} ", "", texts[1]]), encoding="utf-8-sig")
    (tmp_path / "a.yaml").write_text("".join(f"- {json.dumps(text)}\n" for text in texts))
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    prompts = load_prompts(str(tmp_path / "a.txt"))
    assert [p.text for p in prompts] == texts
    assert load_prompts(str(tmp_path / "a.yaml")) == load_prompts(str(tmp_path / "a.jsonl")) == prompts
    (tmp_path / "b.txt").write_text(texts[1])
    assert load_prompts(str(tmp_path / "b.txt")) == prompts[1:], "its id does not hang on its neighbours"


def test_a_line_of_json_may_have_an_id_and_an_instruction(tmp_path: Path) -> None:
    entry = {"id": "hen", "text": "One day, a hen", "instruction": "Use the word egg."}
    (tmp_path / "a.jsonl").write_text(json.dumps(entry) + "\n")
    assert load_prompts(str(tmp_path / "a.jsonl")) == (Prompt(**entry),)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", "A cat\n\nA dog\nA cat \n", r"a.txt:4: the same text as at .*a.txt:1: 'A cat'"),
        ("a.txt", "\n \n", "a.txt: holds no beginning"),
        ("a.csv", "A cat", "no file that ends in .txt, .yaml"),
        ("a.yaml", "one: two\n", "a.yaml:1: not a list"),
        ("a.yaml", "- A cat\n- one: two\n", "a.yaml:2: {'one': 'two'} is no text"),
        ("a.yaml", "- A cat\n- ' '\n", "a.yaml:2: an empty text"),
        ("a.yaml", "- A cat\n- 'A", "a.yaml:2: not valid YAML"),
        ("a.jsonl", '{"text": "A cat"}\n{"text": ""}\n', "a.jsonl:2: an empty text"),
        ("a.jsonl", '\n{"text": "A"', "a.jsonl:2: not JSON"),
        ("a.jsonl", '["A cat"]', "a.jsonl:1: no object with a text"),
        ("a.jsonl", '{"text": "A cat", "id": 3}', "a.jsonl:1: id: 3 is no text"),
        ("a.jsonl", '{"text": "A cat", "words": "x"}', "a.jsonl:1: Prompt: unknown field 'words'"),
        (
            "a.jsonl",
            '{"text": "A cat", "id": "x"}\n{"text": "A dog", "id": "x"}',
            "a.jsonl:2: the same id as at .*:1: 'x'",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line(tmp_path: Path, name: str, content: str, words: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=words):
        load_prompts(str(tmp_path / name))


def test_a_missing_file_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"prompts: .*nowhere.txt: no such file; give builtin, tinystories or"):
        load_prompts(str(tmp_path / "nowhere.txt"))
    with pytest.raises(ValueError, match="prompts: biultin: no file that ends in"):
        load_prompts("biultin")
    (tmp_path / "latin.txt").write_bytes("Ein Bär".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin.txt: not UTF-8 text \(byte 5\)"):
        load_prompts(str(tmp_path / "latin.txt"))
