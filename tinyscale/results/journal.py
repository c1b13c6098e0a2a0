"""A trial's journal: every accepted record once, one JSON object a line, the truth that all else is derived from."""

import errno
import json
import os
from pathlib import Path
from types import TracebackType

from tinyscale.spec import Record, from_json, to_json


class Journal:
    """The writing end. One process at a time may hold it (the trial's lock sees to that).

    A resumed trial computes again what it did since its last checkpoint; the journal accepts only steps past its last
    one, so that every point stands in it once. Each line is in the hands of the operating system when
    :meth:`append` returns, and on the disk after :meth:`sync`.

    Opening cuts off a last line without its end, which a kill in mid-write leaves.

    :raises ValueError: a whole line is no record.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)  # and nothing above it: a storage that is away must not be made up
        self._file = path.open("ab", buffering=0)
        try:
            records, end = read_journal(path)
            self._file.truncate(end)
        except BaseException:
            self._file.close()
            raise
        self.last_step = records[-1].step if records else -1
        """Step of the newest record; -1: there is none."""

    def append(self, record: Record) -> bool:
        """Add a record; False, and nothing is written, when its step is not past the last one.

        :raises ValueError: a metric is not finite, which JSON cannot say.
        :raises OSError: there is no room for it; open the journal anew before anything else is added.
        """
        if record.step <= self.last_step:
            return False
        line = (json.dumps(to_json(record), separators=(",", ":"), allow_nan=False) + "\n").encode()
        if self._file.write(line) != len(line):  # a disk that gets full takes what fits
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._file.name)
        self.last_step = record.step
        return True

    def sync(self) -> None:
        """Wait until all records are on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def read_journal(path: Path, offset: int = 0) -> tuple[list[Record], int]:
    """The records from a byte offset on, and the offset to go on from next time.

    A line still being written is left for the next call; a journal that does not exist yet is an empty one.

    :raises ValueError: a whole line is no record.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return [], offset
    whole = data[: data.rfind(b"\n") + 1]
    try:
        return [from_json(Record, json.loads(line)) for line in whole.splitlines()], offset + len(whole)
    except ValueError as error:
        raise ValueError(f"{path}: not a journal (after byte {offset}): {error}") from error
