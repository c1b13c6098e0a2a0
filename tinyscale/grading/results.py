"""Where gradings lie on disk: ``HOME/grades/INSTRUMENT/``, a folder an instrument, and what is read back from there."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyscale.spec import Grade, GradeSummary, canonical, from_json, read_json, write_json


@dataclass(frozen=True)
class GradesFolder:
    """``HOME/grades`` of a study, a model or a file of stories."""

    home: Path

    @property
    def path(self) -> Path:
        """The folder itself."""
        return self.home / "grades"

    @property
    def judge_free(self) -> Path:
        """What can be said without a judge (:class:`tinyscale.spec.GradeSummary` with no instrument)."""
        return self.path / "judge-free.json"

    def sessions(self, instrument: str) -> Path:
        """Days on which a judge had its own test, oldest first: a list of ``2026-11-21`` and the like (UTC)."""
        return self.path / instrument / "sessions.json"

    def summary(self, instrument: str) -> Path:
        """:class:`tinyscale.spec.GradeSummary` of one instrument, by its id."""
        return self.path / instrument / "summary.json"

    def grades(self, instrument: str) -> Path:
        """Its grades, one :class:`tinyscale.spec.Grade` a line."""
        return self.path / instrument / "grades.jsonl"


@dataclass(frozen=True, kw_only=True)
class Graded:
    """One grading."""

    summary: GradeSummary
    grades: tuple[Grade, ...]


def read_sessions(home: Path, instrument: str) -> list[str]:
    """Days on which a judge had its own test."""
    path = GradesFolder(home).sessions(instrument)
    days: list[str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return days


def write_sessions(home: Path, instrument: str, days: Sequence[str]) -> None:
    """Write them, before the test of the newest is asked for."""
    path = GradesFolder(home).sessions(instrument)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, list(days))


def write_grading(home: Path, summary: GradeSummary, grades: Iterable[Grade] = ()) -> Path:
    """Write a grading, whole: its grades first, so that a summary never stands without them.

    :param summary: one without an instrument goes to ``judge-free.json``, and has no grades.
    :returns: path of the summary.
    """
    folder = GradesFolder(home)
    if summary.instrument is None:
        write_json(folder.judge_free, summary)
        return folder.judge_free
    path = folder.grades(summary.instrument.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.writelines(f"{canonical(grade)}\n" for grade in grades)
    partial.replace(path)
    write_json(folder.summary(summary.instrument.id), summary)
    return folder.summary(summary.instrument.id)


def read_grades(path: Path) -> tuple[Grade, ...]:
    """Grades from a file of one instrument.

    :raises ValueError: a line is no grade.
    """
    grades = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                grades.append(from_json(Grade, json.loads(line)))
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: not a Grade: {error}") from error
    return tuple(grades)


def read_summaries(home: Path) -> tuple[GradeSummary, ...]:
    """Summaries of all instruments, the one that graded last first.

    :raises ValueError: a file isn't a summary.
    """
    found = [read_json(GradeSummary, path) for path in GradesFolder(home).path.glob("*/summary.json")]
    found.sort(key=lambda summary: (-summary.last_s, summary.instrument.id if summary.instrument else ""))
    return tuple(found)


def read_gradings(home: Path) -> tuple[Graded, ...]:
    """Gradings of all instruments with their grades, the one that graded last first.

    :raises ValueError: a file isn't what its name says.
    """
    folder = GradesFolder(home)
    named = ((summary, summary.instrument) for summary in read_summaries(home))
    return tuple(
        Graded(summary=summary, grades=read_grades(folder.grades(instrument.id)))
        for summary, instrument in named
        if instrument is not None
    )


def read_judge_free(home: Path) -> GradeSummary | None:
    """What was said without a judge; None: nothing yet."""
    path = GradesFolder(home).judge_free
    return read_json(GradeSummary, path) if path.exists() else None
