"""Where studies are stored: a folder, or an object store with a folder on this machine that mirrors it.

What a user names by URI is worked on in a folder below the cache, whose ``.mirror.json`` says of what it is the mirror.
So everything else goes on reading and writing files, and the functions here do nothing for a plain folder.
"""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path

from tinyscale.results.lock import FileLock
from tinyscale.results.mirror import Mirror, every
from tinyscale.results.objects import ObjectStore, is_uri
from tinyscale.results.store import DRIVER, WORKER, StudyStore, TrialFolder

MARK = ".mirror.json"
PULLING = ".pull.lock"
PULL_WAIT_S = 600.0
HEAVY = {"checkpoints", "model", "log.txt"}
"""Of a trial, what is fetched when somebody asks for it."""


def open_storage(text: str, cache_folder: Path) -> Path:
    """The folder to work in, of a storage named by its path or URI.

    :raises ValueError: no such storage can be, or there is no such bucket.
    :raises ObjectStoreError: it does not answer.
    """
    if not is_uri(text):
        return Path(text)
    store = ObjectStore(text)
    store.check()
    folder = cache_folder / "stores" / sha256(store.address.encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / MARK).exists():
        draft = folder / f"{MARK}.{uuid.uuid4().hex[:8]}"
        draft.write_text(json.dumps({"uri": store.address, "home": uuid.uuid4().hex}), encoding="utf-8")
        draft.replace(folder / MARK)
    return folder


def storage_uri(storage: Path) -> str:
    """What the folder mirrors; empty: it is a plain one."""
    return _mark(storage).get("uri", "")


def shown(storage: Path) -> str:
    """The storage in the user's words."""
    return storage_uri(storage).partition("?")[0] or str(storage)


def mirror_home(storage: Path) -> str:
    """An id of this very folder on this very machine."""
    return _mark(storage)["home"]


def mirror_of(store: StudyStore) -> Mirror | None:
    """The study's mirror; None: its folder is a plain one."""
    uri = storage_uri(store.path.absolute().parent)
    return _mirror(uri, store.path.absolute()) if uri else None


def known_studies(storage: Path) -> list[str]:
    """Names of the studies launched into a storage."""
    if uri := storage_uri(storage):
        return [name for name in ObjectStore(uri).folders() if not name.startswith(".")]
    return sorted(path.parent.name for path in storage.glob("*/study.json"))


def fetch(store: StudyStore, *, driving: bool = False) -> None:
    """Bring what is read of a study to this machine: all but checkpoints, models and logs.

    Where the study's driver runs on this machine it does so itself, and what it has written is the newest there is.

    :param driving: this is the driver.
    :raises ObjectStoreError: the store is away.
    """
    if mirror := mirror_of(store):
        with _pulling(store):
            if FileLock(store.lock).held() and not driving:
                mirror.note()
            else:
                mirror.pull(_light)


def fetch_trials(store: StudyStore) -> None:
    """The driver's part of :func:`fetch`: what the workers wrote."""
    if mirror := mirror_of(store):
        with _pulling(store):
            mirror.pull(_light, "trials")


def fetch_trial(folder: TrialFolder, part: str = "") -> None:
    """Bring what is read of one trial; ``part``: its whole ``model``, or its ``log.txt``."""
    store = StudyStore(folder.path.parent.parent)
    mirror, home = mirror_of(store), f"trials/{folder.path.name}"
    if mirror:
        with _pulling(store):
            mirror.pull((lambda name: name.startswith(f"{home}/{part}")) if part else _light, home)


def publish(store: StudyStore) -> None:
    """Send what this process wrote into a study's folder since it was fetched.

    :raises ObjectStoreError: the store is away; the next call goes on.
    """
    if mirror := mirror_of(store):
        mirror.push(_ours)


def fetch_model(uri: str, cache_folder: Path) -> Path:
    """The model of a trial's folder, or a model's own folder, in an object store.

    :raises ValueError: as :func:`open_storage`.
    :raises ObjectStoreError: it does not answer.
    """
    store = ObjectStore(uri)
    store.check()
    folder = cache_folder / "models" / sha256(store.address.encode()).hexdigest()[:16]
    Mirror(store, folder).pull(lambda name: every(name) and name.partition("/")[0] != "checkpoints")
    return folder


@cache
def _mirror(uri: str, folder: Path) -> Mirror:
    return Mirror(ObjectStore(uri).below(folder.name), folder)


def _mark(storage: Path) -> dict[str, str]:
    try:
        mark: dict[str, str] = json.loads((storage / MARK).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return mark


@contextmanager
def _pulling(store: StudyStore) -> Iterator[None]:
    """One process of this machine at a time."""
    lock = FileLock(store.path.parent / PULLING)
    lock.acquire(PULL_WAIT_S)
    try:
        yield
    finally:
        lock.release()


def _light(name: str) -> bool:
    """Small enough to be fetched each time; and who works on what."""
    if name.rpartition("/")[2] in (DRIVER, WORKER):
        return True
    return every(name) and name != "tracking.json" and not HEAVY & {*name.split("/")[2:3]}


def _ours(name: str) -> bool:
    """Of those, what is not a worker's to write. How far MLflow is stays on the machine that sent it there."""
    part, _, rest = name.partition("/")
    written_there = part == "trials" and rest.partition("/")[2] in ("journal.jsonl", "trial.json")
    return every(name) and _light(name) and not written_there
