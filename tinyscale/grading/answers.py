"""Reading the file of a judge's answers: what was asked, what was answered, and what it cost.

Two kinds of lines, JSON each. A call, written before it goes out::

    {"call": ID, "key": KEY, "session": ID, "account": NAME, "worst_usd": 0.004, "at": UNIX_S}

and its end, with an answer unless none came::

    {"end": ID, "key": KEY, "account": NAME, "usd": 0.001, "at": UNIX_S, "answer": {...}, "problem": "",
     "sum": {"calls": 1, "usd": 0.001, "input_tokens": 412, "output_tokens": 96, "bad": 0, "refused": 0}}

``sum`` is over all answers to the key so far, so that the newest line of a key says all of it.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyscale.grading.ask import Answer
from tinyscale.grading.budget import Ledger
from tinyscale.spec.codec import from_json

_CHUNK_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class Sum:
    """All answers to one key together."""

    calls: int = 0
    usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    bad: int = 0
    """Answers that could not be read."""
    refused: int = 0


@dataclass(frozen=True, kw_only=True)
class Past:
    """What is known of one key."""

    answer: Answer | None = None
    """The key's answer; None: not yet."""
    problem: str = ""
    """What was wrong with the newest answer, where it was unusable."""
    at: float = 0.0
    """Unix time of the newest answer."""
    sum: Sum = Sum()


class AnswerLog:
    """The file as it stands, one that is not there being empty; memory holds one number a key.

    :raises ValueError: a whole line is no line of such a file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ledger = Ledger()
        self._answered: dict[bytes, int] = {}
        self._unusable: dict[bytes, int] = {}
        self._end = 0
        self._file: int | None = None
        self._open()
        self._catch_up()

    def past(self, key: str) -> Past:
        """What is known of a key, as of the last time that this object read or wrote the file."""
        name = bytes.fromhex(key)
        offset = self._answered.get(name, self._unusable.get(name))
        if offset is None:
            return Past()
        line = self._line(offset)
        answer = from_json(Answer, line["answer"]) if name in self._answered else None
        return Past(answer=answer, problem=line["problem"], at=line["at"], sum=from_json(Sum, line["sum"]))

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> None:
        try:
            self._file = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return

    def _catch_up(self) -> int:
        """Take in what stands past the part that is known; return the bytes of a last line without its end."""
        if self._file is None or (size := os.fstat(self._file).st_size) == self._end:
            return 0
        with open(self._file, "rb", closefd=False) as file:
            file.seek(self._end)
            for raw in file:
                if not raw.endswith(b"\n"):
                    return size - self._end
                try:
                    self._note(json.loads(raw), self._end)
                except (ValueError, LookupError, TypeError) as error:
                    raise ValueError(
                        f"{self.path}: no judge's answer at byte {self._end} ({error}); "
                        "take that line out, or move the file away and pay again"
                    ) from error
                self._end += len(raw)
        return 0

    def _note(self, line: Mapping[str, Any], offset: int) -> None:
        self.ledger.note(line)
        if "answer" not in line or (name := bytes.fromhex(line["key"])) in self._answered:
            return  # the first answer to a key is the one that counts
        if line["problem"]:
            self._unusable[name] = offset
        else:
            self._unusable.pop(name, None)
            self._answered[name] = offset

    def _line(self, offset: int) -> dict[str, Any]:
        assert self._file is not None
        data = b""
        while b"\n" not in data:
            chunk = os.pread(self._file, _CHUNK_BYTES, offset + len(data))
            if not chunk:
                raise ValueError(f"{self.path}: shorter than a moment ago, at byte {offset}: has it been replaced?")
            data += chunk
        line: dict[str, Any] = json.loads(data[: data.index(b"\n")])
        return line
