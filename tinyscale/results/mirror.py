"""A folder on this machine and the same folder in an object store, made alike file by file."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from tinyscale.results.objects import PARTIAL, ObjectStore, ObjectStoreError, Stamp

AT_ONCE = 8
"""Objects under way at a time: each waits for the network, and uses no CPU to speak of."""

Wanted = Callable[[str], bool]
"""Which files, by their names relative to the folder."""


def every(name: str) -> bool:
    """All files but hidden ones: locks, drafts, what is half written."""
    return not any(part.startswith(".") for part in name.split("/"))


def at_once(name: str) -> int:
    """No order."""
    return 0


class Mirror:
    """Not for two threads at a time.

    A file that was pulled has its object's time, so a look at both tells whether there is anything to pull.
    """

    def __init__(self, store: ObjectStore, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self._alike: dict[str, Stamp] = {}
        """Files as they were when they were last the same here and there."""

    def pull(self, wanted: Wanted = every, under: str = "") -> None:
        """Make the wanted files here what they are there; those that are not there go.

        :param under: look at this folder alone.
        :raises ObjectStoreError: the store is away; what has come stays.
        """
        there = {name: stamp for name, stamp in self.store.list(under).items() if wanted(name)}
        here = {name: stamp for name, stamp in self._here(under).items() if wanted(name)}
        for name in here.keys() - there.keys():
            (self.folder / name).unlink(missing_ok=True)
            self._alike.pop(name, None)

        def bring(name: str) -> None:
            path = self.folder / name
            try:
                self._bring(name, path)
            except FileNotFoundError:  # it has gone since we looked
                return
            os.utime(path, ns=(there[name].time_ns, there[name].time_ns))
            self._alike[name] = _stamp(path)

        self._alike |= {name: stamp for name, stamp in here.items() if stamp == there.get(name)}
        _for_each(bring, [name for name, stamp in there.items() if stamp != here.get(name)])

    def _bring(self, name: str, path: Path) -> None:
        try:
            self.store.download(name, path)
        except ObjectStoreError:  # maybe replaced while it was read: pyarrow reads in two requests
            self.store.download(name, path)

    def note(self) -> None:
        """Take what is here for what is there: from now on, what changes here is to be pushed."""
        self._alike = self._here()

    def push(self, wanted: Wanted = every, order: Callable[[str], int] = at_once) -> None:
        """Make the wanted files there what they are here, as far as they changed here since they were last the same.

        :param order: files of a number are there before those of the next; what is gone here goes there at the end.
        :raises ObjectStoreError: the store is away; the next call goes on.
        """
        here = {name: stamp for name, stamp in self._here().items() if wanted(name)}
        changed = [name for name, stamp in here.items() if stamp != self._alike.get(name)]

        def send(name: str) -> None:
            self.store.upload(self.folder / name, name)
            self._alike[name] = here[name]

        for number in sorted({order(name) for name in changed}):
            _for_each(send, [name for name in changed if order(name) == number])
        gone = [name for name in self._alike if wanted(name) and name not in here]
        for target in sorted({self._outermost(name) for name in gone}):
            self.store.delete(target)
        for name in gone:
            del self._alike[name]

    def _outermost(self, name: str) -> str:
        """The whole folder that is gone with a file, or the file: a store removes a folder in one request."""
        path = Path(name)
        while path.parent != Path() and not (self.folder / path.parent).exists():
            path = path.parent
        return path.as_posix()

    def _here(self, under: str = "") -> dict[str, Stamp]:
        found = {}
        for folder, _, names in os.walk(self.folder / under):
            for name in names:
                path = Path(folder, name)
                if not name.startswith(PARTIAL):
                    with suppress(FileNotFoundError):  # another process's draft, renamed meanwhile
                        found[path.relative_to(self.folder).as_posix()] = _stamp(path)
        return found


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return Stamp(status.st_size, status.st_mtime_ns)


def _for_each(do: Callable[[str], None], names: Iterable[str]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(do, names):
            pass
