"""The one file of a judge's answers, written by any number of threads and processes: nothing is paid for twice."""

import errno
import fcntl
import json
import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from tinyscale.grading.answers import AnswerLog, Past
from tinyscale.grading.ask import Answer
from tinyscale.grading.budget import BudgetReachedError
from tinyscale.results.lock import FileLock
from tinyscale.spec.codec import to_json

_POLL_S = 0.05  # how soon an answer to another process is seen
_SYNC_S = 1.0  # a power cut loses at most the answers of this long


class AnswerCache(AnswerLog):
    """The writing end: announce a call, make it, write down its end.

    An announced call is open until its end is written. As long as the process that announced it lives, nobody else
    asks the same; once it is dead (its lock file is free), the call counts as paid at its worst, and may be asked
    again.

    Each line is in the hands of the operating system when the method that writes it returns. A last line without its
    end, which a kill in mid-write leaves, is cut off before anything else is written.

    :raises ValueError: a whole line is no line of such a file.
    """

    def __init__(self, path: Path) -> None:
        self.session = secrets.token_hex(8)
        self._alive = FileLock(self._alive_path(path, self.session))
        self._lock = threading.RLock()
        self._ended = threading.Condition(self._lock)
        self._synced = time.monotonic()
        super().__init__(path)
        try:
            with self._exclusive():  # nobody sees the lock file before it is held
                self._alive.acquire()
                self._sweep()
        except BaseException:
            self.close()
            raise

    def announce(self, key: str, *, known: int, account: str, worst_usd: float, limit_usd: float) -> str | None:
        """Reserve money for a call; return the call's name, or None to say: look at the key again.

        None comes when the key has been answered since, and, after a moment's wait, while the key is being asked or the
        money that is left is reserved by calls that may yet cost less.

        :param known: answers to the key that the caller knows of, usable or not.
        :param account: whom the call is charged to.
        :param limit_usd: most that the account may ever spend.
        :raises BudgetReachedError: it has not so much left.
        """
        with self._exclusive():
            self._catch_up_whole()
            if self.past(key).sum.calls != known:
                return None
            if not self._must_wait(key, account, worst_usd, limit_usd):
                call = secrets.token_hex(8)
                self._append({"call": call, "key": key, "session": self.session, "account": account,
                              "worst_usd": worst_usd, "at": round(time.time(), 3)})  # fmt: skip
                return call
        with self._ended:
            self._ended.wait(_POLL_S)
        return None

    def past(self, key: str) -> Past:
        """What is known of a key, as of the last time that this object read or wrote the file."""
        with self._lock:
            return super().past(key)

    def answered(self, call: str, answer: Answer, usd: float, *, problem: str = "", refused: bool = False) -> None:
        """Write down a call's answer.

        :param problem: why the answer is of no use; empty: it is the key's answer, now and for ever.
        """
        with self._exclusive():
            self._catch_up_whole()
            key = self.ledger.open[call].key
            done = self.past(key).sum
            done = replace(
                done, calls=done.calls + 1, usd=done.usd + usd, bad=done.bad + bool(problem and not refused),
                input_tokens=done.input_tokens + (answer.input_tokens or 0), refused=done.refused + refused,
                output_tokens=done.output_tokens + (answer.output_tokens or 0),
            )  # fmt: skip
            self._end_call(call, usd, {"answer": to_json(answer), "problem": problem, "sum": to_json(done)})

    def unanswered(self, call: str, *, paid: bool) -> None:
        """Write down that a call brought nothing.

        :param paid: it may have been paid for all the same, and then counts at its worst.
        """
        with self._exclusive():
            self._catch_up_whole()
            self._end_call(call, self.ledger.open[call].worst_usd if paid else 0.0, {})

    def close(self) -> None:
        """Put all lines on the disk and let go of the file."""
        if self._file is not None:
            os.fsync(self._file)
        self._alive.path.unlink(missing_ok=True)
        self._alive.release()
        super().close()

    def __enter__(self) -> "AnswerCache":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> None:
        self.path.parent.mkdir(exist_ok=True)  # and nothing above it: a storage that is away must not be made up
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Against other threads and other processes."""
        assert self._file is not None
        with self._lock:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _catch_up_whole(self) -> None:
        """Read on; under the lock, a last line without its end is a dead writer's."""
        assert self._file is not None
        if self._catch_up():
            os.ftruncate(self._file, self._end)

    def _must_wait(self, key: str, account: str, worst_usd: float, limit_usd: float) -> bool:
        """Whether the key or the money is out with a call of a living process.

        :raises BudgetReachedError: the money is spent.
        """
        for call, out in list(self.ledger.open.items()):
            if out.session != self.session and not self._lives(out.session):
                self.ledger.give_up(call)
        if any(out.key == key for out in self.ledger.open.values()):
            return True
        committed = self.ledger.committed_usd(account)
        if committed + worst_usd <= limit_usd:
            return False
        if any(out.account == account for out in self.ledger.open.values()):
            return True
        raise BudgetReachedError(
            f"${committed:.4f} of the ${limit_usd:g} (grading.budget_usd) are spent, "
            f"and the next call could cost ${worst_usd:.4f}"
        )

    def _end_call(self, call: str, usd: float, more: Mapping[str, Any]) -> None:
        out = self.ledger.open[call]
        line = {"end": call, "key": out.key, "account": out.account, "usd": usd, "at": round(time.time(), 3), **more}
        self._append(line)
        self._ended.notify_all()

    def _append(self, line: Mapping[str, Any]) -> None:
        assert self._file is not None
        data = (json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n").encode()
        if os.write(self._file, data) != len(data):  # a disk that gets full takes what fits
            os.ftruncate(self._file, self._end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        self._note(line, self._end)
        self._end += len(data)
        if time.monotonic() - self._synced > _SYNC_S:
            os.fsync(self._file)
            self._synced = time.monotonic()

    @staticmethod
    def _alive_path(path: Path, session: str) -> Path:
        return path.with_name(f".{path.name}.{session}.lock")

    def _lives(self, session: str) -> bool:
        return FileLock(self._alive_path(self.path, session)).held()

    def _sweep(self) -> None:
        """Take away the lock files that killed processes have left."""
        for file in self.path.parent.glob(f".{self.path.name}.*.lock"):
            if not FileLock(file).held():
                file.unlink(missing_ok=True)
