"""What one machine says of itself and of the shared folders; runs there, asked by the doctor."""

import os
import platform
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tinyscale.cluster.code import code_digest
from tinyscale.cluster.words import first_line
from tinyscale.data import default_cache
from tinyscale.results.lock import FileLock
from tinyscale.results.objects import ObjectStore

LIBRARIES = ("torch", "ray", "deepspeed")
SEEN_WITHIN_S = 10.0
"""Longest wait for another machine's file: NFS clients keep what they know of a folder for some seconds."""
LOOK_EVERY_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Card:
    """One GPU as torch sees it."""

    name: str
    capability: str
    """Such as 12.0."""
    kernels: str | None
    """Rows of the launch tables our kernels take: sm_120, sm_90 or sm_80; None: PyTorch computes every op."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """One machine."""

    versions: dict[str, str]
    """Of Python and the libraries; of our own code its digest."""
    cards: tuple[Card, ...]
    temporary: str
    """The folder where Ray keeps its files."""
    free_bytes: int
    """On the disk of that folder."""


def versions() -> dict[str, str]:
    """What has to be the same on every machine."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            # Builds of one version, such as +cpu and +cu130, work together.
            found[name] = version(name).partition("+")[0]
        except PackageNotFoundError:
            found[name] = "missing"
    return found | {"tinyscale": code_digest()}


class Probe:
    """An actor on one machine."""

    def look(self) -> Facts:
        """What there is; takes the seconds that torch needs to be imported."""
        temporary = tempfile.gettempdir()
        return Facts(
            versions=versions(),
            cards=_cards(),
            temporary=temporary,
            free_bytes=shutil.disk_usage(temporary).free,
        )

    def now(self) -> float:
        """Unix time here."""
        return time.time()

    def use(self, folder: Path, name: str) -> str:
        """Do in a folder what a trial does in its own: write, append, rename, read, lock, delete. Leaves file ``name``.

        :returns: what failed, or nothing.
        """
        if not folder.is_dir():
            return "the driver's test folder is not to be seen there: mount the same storage at the same path"
        unfinished, deleted = folder / f"{name}.new", folder / f"{name}.deleted"
        lock = FileLock(folder / f"{name}.lock")
        try:
            unfinished.write_text(name, encoding="utf-8")
            with unfinished.open("a", encoding="utf-8") as file:
                file.write("+")
                os.fsync(file.fileno())
            unfinished.replace(folder / name)
            deleted.touch()
            deleted.unlink()
            lock.acquire()
            lock.release()
            read = (folder / name).read_text(encoding="utf-8")
        except OSError as error:
            return f"{type(error).__name__}: {error}"
        return "" if read == f"{name}+" else f"wrote {name}+ and read {read!r}"

    def unseen(self, folder: Path, names: Sequence[str]) -> list[str]:
        """Those of the other machines' files that cannot be read here, after some seconds of patience."""
        give_up = time.monotonic() + SEEN_WITHIN_S
        while True:
            missing = [name for name in names if not (folder / name).is_file()]
            if not missing or time.monotonic() >= give_up:
                return missing
            time.sleep(LOOK_EVERY_S)

    def use_objects(self, uri: str, place: str, name: str) -> str:
        """Write, read, list and delete in an object store. Leaves object ``name`` below ``place``.

        :returns: what failed, or nothing.
        """
        try:
            store = ObjectStore(uri).below(place)
            for object_name in (name, f"{name}.deleted"):
                store.write(object_name, name.encode())
            store.delete(f"{name}.deleted")
            read, left = store.read(name), store.list()
        except (OSError, ValueError) as error:
            return first_line(error)
        return "" if read == name.encode() and f"{name}.deleted" not in left else f"wrote {name} and read {read!r}"

    def unseen_objects(self, uri: str, place: str, names: Sequence[str]) -> list[str]:
        """Those of the other machines' objects that cannot be seen here; stores are consistent, so at once."""
        return sorted({*names} - {*ObjectStore(uri).below(place).list()})

    def room(self) -> tuple[Path, int]:
        """This machine's own cache, in which its trials are worked on, and the free bytes of its disk.

        :raises OSError: it cannot be written to.
        """
        folder = default_cache()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder, shutil.disk_usage(folder).free


def _cards() -> tuple[Card, ...]:
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)  # an actor that asks for no GPU may be shown none
    import torch

    from tinyscale.model.kernels import kernel_rows

    if not torch.cuda.is_available():
        return ()
    cards = []
    for index in range(torch.cuda.device_count()):
        major, minor = torch.cuda.get_device_capability(index)
        rows = kernel_rows(torch.device("cuda", index))
        cards.append(Card(name=torch.cuda.get_device_name(index), capability=f"{major}.{minor}", kernels=rows))
    return tuple(cards)
