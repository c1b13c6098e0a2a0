"""The storage as every machine sees it: each uses it, and each looks for what the others left there."""

import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyscale.cluster.findings import LEAST_FREE_BYTES, Finding, check_room
from tinyscale.cluster.probe import Probe
from tinyscale.cluster.words import first_line, plain_words
from tinyscale.results.objects import ObjectStore

if TYPE_CHECKING:
    from ray.actor import ActorHandle

ANSWER_S = 180.0
"""Longest wait for a machine: it fetches our code, starts a worker and imports torch."""
DRIVER = "driver"


def ask_all(asked: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Answers by machine, and why others gave none."""
    import ray

    ready, _ = ray.wait([*asked.values()], num_returns=len(asked), timeout=ANSWER_S)
    answers, silent = {}, {}
    for name, reply in asked.items():
        if reply not in ready:
            silent[name] = f"no answer within {ANSWER_S:.0f} s; `ray status` and Ray's logs there may say why"
            continue
        try:
            answers[name] = ray.get(reply)
        except ray.exceptions.RuntimeEnvSetupError as error:
            silent[name] = f"our code could not be sent there: {first_line(error)}"
        except ray.exceptions.RayError as error:
            silent[name] = plain_words(error)
    return answers, silent


def check_folder(check: str, folder: Path, probes: Mapping[str, "ActorHandle"]) -> Iterator[Finding]:
    """Every machine uses the folder, then every machine looks for every other's file."""
    try:
        with _test_folder(folder) as test:
            files = {name: f"machine-{number}" for number, name in enumerate(probes)}
            (test / DRIVER).touch()
            failed, silent = ask_all({name: probe.use.remote(test, files[name]) for name, probe in probes.items()})
            wrote = {name: files[name] for name, words in failed.items() if not words}
            expected = [DRIVER, *wrote.values()]
            unseen, lost = ask_all({name: probes[name].unseen.remote(test, expected) for name in wrote})
            known_here = Probe().unseen(test, expected)
    except OSError as error:
        yield Finding("stop", check, DRIVER, f"{folder}: {first_line(error)}")
        return
    for name in probes:
        words = (silent | lost).get(name) or failed[name] or _unseen_words(unseen[name], files)
        if not words and files[name] in known_here:
            words = "the driver does not see its files: mount the same storage at the same path"
        if words and check == "cache":
            words += "; TINYSCALE_CACHE names this folder"
        done = "written, appended, renamed, locked, read and deleted; all machines see it"
        yield Finding("stop" if words else "ok", check, name, f"{folder}: {words or done}")


def check_objects(uri: str, need_bytes: float, probes: Mapping[str, "ActorHandle"]) -> Iterator[Finding]:
    """Every machine writes, reads and deletes objects, sees every other's, and has room for its trials.

    :param need_bytes: of the largest trial.
    """
    place = f".doctor-{uuid.uuid4().hex[:12]}"
    files = {name: f"machine-{number}" for number, name in enumerate(probes)}
    store = ObjectStore(uri)
    try:
        store.write(f"{place}/{DRIVER}", b"")
        failed, silent = ask_all({n: probe.use_objects.remote(uri, place, files[n]) for n, probe in probes.items()})
        wrote = {name: files[name] for name, words in failed.items() if not words}
        expected = [DRIVER, *wrote.values()]
        unseen, lost = ask_all({name: probes[name].unseen_objects.remote(uri, place, expected) for name in wrote})
        rooms, roomless = ask_all({name: probe.room.remote() for name, probe in probes.items()})
        store.delete(place)
    except OSError as error:
        yield Finding("stop", "storage", DRIVER, str(error))
        return
    for name in probes:
        words = (silent | lost).get(name) or failed[name] or _unseen_words(unseen[name], files)
        done = "objects written, read and deleted; all machines see them"
        yield Finding("stop" if words else "ok", "storage", name, f"{store.uri}: {words or done}")
        if name in roomless:
            yield Finding("stop", "cache", name, roomless[name])
        else:
            folder, free_bytes = rooms[name]
            yield check_room(name, folder, free_bytes, max(LEAST_FREE_BYTES, need_bytes))


def _unseen_words(missing: Sequence[str], files: Mapping[str, str]) -> str:
    names = {file: name for name, file in files.items()} | {DRIVER: "the driver"}
    return f"does not see the files of {', '.join(names[file] for file in missing)}" if missing else ""


@contextmanager
def _test_folder(folder: Path) -> Iterator[Path]:
    test = folder / f".doctor-{uuid.uuid4().hex[:12]}"
    test.mkdir(parents=True)
    try:
        yield test
    finally:
        shutil.rmtree(test)
