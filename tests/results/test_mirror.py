"""A folder and its copy in an object store; plain files stand in for the store's objects."""

import json
import os
import threading
import time
from pathlib import Path

import pytest

from tinyscale.cluster import StudyLock, StudyLockedError
from tinyscale.cluster.stop import Halt, stop_study
from tinyscale.results import lease
from tinyscale.results.mirror import Mirror
from tinyscale.results.objects import ObjectStore
from tinyscale.results.state import trial_state
from tinyscale.results.storage import fetch, known_studies, mirror_of, open_storage, publish, shown
from tinyscale.results.store import StudyStore


@pytest.fixture
def there(tmp_path: Path) -> Path:
    folder = tmp_path / "there"
    folder.mkdir()
    return folder


def machine(tmp_path: Path, there: Path, number: int) -> StudyStore:
    """The study as a machine of its own sees it."""
    return StudyStore(open_storage(there.as_uri(), tmp_path / f"machine-{number}") / "study")


def write(path: Path, text: str, *, time_s: float | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if time_s:
        os.utime(path, (time_s, time_s))


def files(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_push_sends_what_changed_in_order_and_deletes_whole_folders(tmp_path, there, monkeypatch):
    mirror, sent = Mirror(ObjectStore(there.as_uri()), tmp_path / "here"), []
    monkeypatch.setattr(
        ObjectStore,
        "upload",
        lambda self, path, name, real=ObjectStore.upload: (sent.append(name), real(self, path, name)),
    )
    for name in ("result.json", "model/a", "journal.jsonl", ".lock", ".old/a", "model/b"):
        write(mirror.folder / name, name)
    mirror.push(order=lambda name: ["model/a", "model/b", "journal.jsonl", "result.json"].index(name) // 2)
    assert (set(sent[:2]), set(sent[2:])) == ({"model/a", "model/b"}, {"journal.jsonl", "result.json"})
    write(mirror.folder / "journal.jsonl", "more")
    (mirror.folder / "model" / "a").unlink()
    (mirror.folder / "model" / "b").unlink()
    (mirror.folder / "model").rmdir()
    mirror.push()
    assert sent[4:] == ["journal.jsonl"]
    assert files(there) == {"journal.jsonl": "more", "result.json": "result.json"}
    assert not (there / "model").exists()


def test_pull_makes_a_folder_what_it_is_there(tmp_path, there):
    mirror = Mirror(ObjectStore(there.as_uri()), tmp_path / "here")
    write(there / "trials" / "a" / "journal.jsonl", "1\n")
    write(there / "law.json", "law")
    mirror.pull()
    assert files(mirror.folder) == files(there)
    before = (mirror.folder / "law.json").stat().st_ino
    write(there / "trials" / "a" / "journal.jsonl", "1\n2\n")
    write(there / ".partial-b", "half of it")
    mirror.pull()
    assert (mirror.folder / "law.json").stat().st_ino == before, "what is the same is not fetched again"
    assert (mirror.folder / "trials" / "a" / "journal.jsonl").read_text() == "1\n2\n"
    (there / "law.json").unlink()
    mirror.pull()
    assert [*files(mirror.folder)] == ["trials/a/journal.jsonl"]
    mirror.push()
    assert [*files(there)] == [".partial-b", "trials/a/journal.jsonl"], "nothing was changed here"


def test_what_one_machine_publishes_another_fetches(tmp_path, there):
    one, other = machine(tmp_path, there, 1), machine(tmp_path, there, 2)
    fetch(one)
    for name in ("study.json", "forecasts/a.json", "tracking.json", "trials/a/result.json", "trials/a/journal.jsonl"):
        write(one.path / name, name)
    publish(one)
    fetch(other)
    assert {*files(other.path)} == {"study.json", "forecasts/a.json", "trials/a/result.json"}
    assert known_studies(other.path.parent) == ["study"]
    assert shown(other.path.parent) == there.as_uri()
    write(there / "study" / "trials" / "a" / "journal.jsonl", "the worker's")
    write(there / "study" / "trials" / "a" / "checkpoints" / "step-1" / "tensors.safetensors", "large")
    publish(one)
    assert (there / "study" / "trials" / "a" / "journal.jsonl").read_text() == "the worker's"
    fetch(other)
    assert other.trial("a").journal.read_text() == "the worker's"
    assert not other.trial("a").checkpoints.exists()


def test_a_plain_folder_is_left_alone(tmp_path):
    store = StudyStore(open_storage(str(tmp_path / "runs"), tmp_path / "cache") / "study")
    assert mirror_of(store) is None
    fetch(store)
    publish(store)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("s3://KEY:hush@bucket/runs", "holds credentials"),
        ("ftp://host/runs", "it is a folder, s3://BUCKET/PREFIX"),
        ("s3:///runs", "it is a folder, s3://BUCKET/PREFIX"),
        ("s3://bucket/runs?endpoint=a", "unknown option 'endpoint'; there are region, scheme, "),
    ],
)
def test_a_storage_that_cannot_be(tmp_path, uri, words):
    with pytest.raises(ValueError, match=words) as error:
        open_storage(uri, tmp_path)
    assert "hush" not in str(error.value)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"BEAT_S": 0.1, "SILENT_S": 1.0, "SETTLE_S": 0.1, "LOOK_EVERY_S": 0.02}.items():
        monkeypatch.setattr(lease, name, seconds)


@pytest.mark.usefixtures("quick")
def test_one_driver_a_study_wherever_it_is(tmp_path, there):
    one, other = machine(tmp_path, there, 1), machine(tmp_path, there, 2)
    with StudyLock(one.lock):
        with (
            pytest.raises(StudyLockedError, match=rf"there/study: .* run by process {os.getpid()} on "),
            StudyLock(other.lock),
        ):
            pass
        write(there / "study" / "trials" / "a" / "trial.json", "{}")
        write(there / "study" / "trials" / "a" / ".worker", "{}")
        fetch(other)
        assert trial_state(other.trial("a")).state == "running"
    with StudyLock(other.lock):
        pass
    assert not (there / "study" / ".driver").exists()
    fetch(other)
    assert trial_state(other.trial("a")).state == "stopped"


def test_a_word_that_is_replaced_while_it_is_read_is_read_again(monkeypatch):
    whole = json.dumps({"token": "a", "home": "b", "who": "c", "beat": 1}).encode()
    answers = iter([lease.ObjectStoreError("torn"), whole[:-3], whole])

    def read(self: object, name: str) -> bytes:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(ObjectStore, "read", read)
    monkeypatch.setattr(lease, "LOOK_EVERY_S", 0.01)
    word = lease.Word.read(ObjectStore("file:///nowhere"))
    assert word is not None
    assert word.who == "c"


@pytest.mark.usefixtures("quick")
def test_a_driver_that_died_elsewhere_is_followed_once_it_was_silent(tmp_path, there):
    word = {"token": "dead", "home": "elsewhere", "who": "process 1 on moon", "beat": 7}
    write(there / "study" / ".driver", json.dumps(word))
    began = time.monotonic()
    with StudyLock(machine(tmp_path, there, 1).lock):
        assert time.monotonic() - began > lease.SILENT_S


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("event", ["asked", "taken over"])
def test_a_driver_stops_when_another_machine_asks_or_has_taken_over(tmp_path, there, event):
    one, other = machine(tmp_path, there, 1), machine(tmp_path, there, 2)
    assert not stop_study(other, wait_s=1)
    word = {"token": "another", "home": "elsewhere", "who": "process 1 on moon", "beat": 0}
    with StudyLock(one.lock):
        halt = Halt(one, lambda: False, None)
        assert not halt()
        if event == "asked":
            asking = threading.Thread(target=stop_study, args=(other, 30))
            asking.start()
        else:
            write(there / "study" / ".driver", json.dumps(word))
        give_up = time.monotonic() + 20
        while not halt():
            assert time.monotonic() < give_up
            time.sleep(0.02)
    if event == "asked":
        asking.join(timeout=20)
        assert not asking.is_alive()
        assert not (there / "study" / ".stop").exists()
    else:
        assert (there / "study" / ".driver").read_text() == json.dumps(word), "its word stands"
        assert not stop_study(other, wait_s=1), "a driver that is silent has stopped"
