"""What a grading shows while it runs: a bar on a terminal, a line now and then elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tinyscale.spec import Grade

QUIET_S = 15.0
"""Off a terminal, least seconds between two lines."""


class GradingView:
    """Hears each grade. A context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._all, self._given, self._ungraded, self._cost_usd = 0, 0, 0, 0.0
        self._said_s = time.monotonic()
        self._progress = Progress(
            TextColumn("grading"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[said]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("grading", total=None, said="")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def on_begin(self, grades: int) -> None:
        """So many grades will be asked for."""
        self._all = grades
        self._progress.update(self._task, total=grades)
        self._progress.start()

    def on_grade(self, grade: Grade) -> None:
        """Count one."""
        self._given += 1
        self._ungraded += bool(grade.ungraded)
        self._cost_usd += grade.cost_usd
        said = f"{self._ungraded} ungraded, {self._cost_usd:.4f} USD"
        self._progress.update(self._task, completed=self._given, said=said)
        if not self._console.is_terminal and time.monotonic() - self._said_s >= QUIET_S:
            self._said_s = time.monotonic()
            self._console.print(f"graded {self._given} of {self._all}, {said}", highlight=False, soft_wrap=True)
