"""What a launch shows while it runs: a live table on a terminal, one line an event elsewhere."""

import time
from collections.abc import Collection
from statistics import median
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tinyscale.cluster.events import (
    Event,
    TrialEnded,
    TrialFailed,
    TrialReported,
    TrialRestarted,
    TrialStarted,
    TrialWaits,
)
from tinyscale.plan.planner import Plan
from tinyscale.plan.quote import makespan
from tinyscale.spec import Record

QUIET_S = 15.0
"""Off a terminal, least seconds between two progress lines."""


class LiveView:
    """Hears events and words, and shows them. A context manager."""

    def __init__(self, plan: Plan, done: Collection[str], console: Console | None = None) -> None:
        """:param done: trials that were finished before the launch."""
        self._trials = {trial.id: trial for trial in plan.trials}
        self._plan = plan
        self._done = set(done) & set(self._trials)
        self._failed: set[str] = set()
        self._running: dict[str, Record | None] = {}
        self._first: dict[str, Record] = {}
        """First record heard of each trial: its pace since then smooths over the machine's moods."""
        self._bpb: dict[str, float] = {}
        self._begun_s: dict[str, float] = {}
        self._pace: list[float] = []
        """Seconds taken over seconds quoted, of the trials that ended in this launch."""
        self._capacity = 0.0
        """Cores or GPUs, in the unit of :attr:`tinyscale.spec.study.Share.size`: the most that were seen at work."""
        self._said_s = time.monotonic()
        self._console = console or Console()
        self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=2, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def say(self, line: str) -> None:
        """One line for the reader, above the table."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def on_event(self, event: Event) -> None:
        """Show an event."""
        name = self._trials[event.trial_id].name
        match event:
            case TrialStarted(trial_id=trial_id):
                self._running[trial_id] = None
                self._done.discard(trial_id)  # stopped early, and taken back
                self._begun_s.setdefault(trial_id, time.monotonic())
                self._capacity = max(self._capacity, sum(map(self._size, self._running)))
                if not self._console.is_terminal:
                    self.say(f"start  {name}")
            case TrialReported(trial_id=trial_id, record=record):
                self._running[trial_id] = record
                self._first.setdefault(trial_id, record)
                if bpb := record.metrics.get("eval/bpb"):
                    self._bpb[trial_id] = bpb
                if not self._console.is_terminal and time.monotonic() - self._said_s >= QUIET_S:
                    self._said_s = time.monotonic()
                    self.say(f"at     {self._summary()}")
            case TrialEnded(trial_id=trial_id, result=result):
                self._end(trial_id, whole=result.status == "done")
                self._done.add(trial_id)
                outcome = f"{result.points[-1].bpb:.4f} bpb" if result.points else result.message
                took = f"  {result.train_s:.1f} s of training" if result.train_s else ""
                self.say(f"{result.status:<6} {name}  {outcome}{took}   [{self._summary()}]")
            case TrialWaits(message=message):
                self.say(f"waits  {name}  {message}")
            case TrialRestarted(message=message, failures=failures):
                self.say(f"again  {name}  {message}; failures so far: {failures}")
            case TrialFailed(trial_id=trial_id, message=message):
                self._end(trial_id, whole=False)
                self._failed.add(trial_id)
                self.say(f"failed {name}  {message}")

    def _end(self, trial_id: str, *, whole: bool) -> None:
        self._running.pop(trial_id, None)
        if whole and (begun := self._begun_s.get(trial_id)):
            self._pace.append((time.monotonic() - begun) / self._plan.quotes[trial_id].seconds)

    def _summary(self) -> str:
        waiting = len(self._trials) - len(self._done) - len(self._running) - len(self._failed)
        parts = [
            f"{len(self._done)} of {len(self._trials)} done",
            f"{len(self._running)} running",
            f"{waiting} waiting",
        ]
        if self._failed:
            parts.append(f"{len(self._failed)} failed")
        return ", ".join(parts) + f", about {self._left_s():.0f} s left"

    def _left_s(self) -> float:
        """Seconds to the end of the study: running trials by their own speed, the others by quote and pace so far."""
        pace = median(self._pace) if self._pace else 1.0
        phases: tuple[list[tuple[float, float]], list[tuple[float, float]]] = ([], [])
        for trial_id, trial in self._trials.items():
            if trial_id not in self._done and trial_id not in self._failed:
                own = self._trial_left_s(trial_id)
                left = own if own is not None else pace * self._plan.quotes[trial_id].seconds
                phases[trial.holdout].append((left, self._size(trial_id)))
        return sum(
            makespan([left for left, _ in phase], self._capacity, [size for _, size in phase]) for phase in phases
        )

    def _size(self, trial_id: str) -> float:
        return self._plan.quotes[trial_id].share.size

    def _trial_left_s(self, trial_id: str) -> float | None:
        """Seconds to a running trial's end; None before its second record."""
        trial, record, first = self._trials[trial_id], self._running.get(trial_id), self._first.get(trial_id)
        if not record or not first or record.step == first.step:
            return None
        pace = (record.time_s - first.time_s) / (record.step - first.step)
        return max(0, trial.steps - record.step) * pace

    def _table(self) -> RenderableType:
        table = Table(box=None, pad_edge=False, expand=True)
        table.add_column("trial", no_wrap=True)
        table.add_column("done", ratio=1)  # gives way on a narrow terminal, so that no number does
        for column in ("step", "loss", "bpb", "tokens/s", "left"):
            table.add_column(column, justify="right", no_wrap=True)
        for trial_id, record in self._running.items():
            trial = self._trials[trial_id]
            metrics = record.metrics if record else {}
            left = self._trial_left_s(trial_id)
            table.add_row(
                trial.name,
                ProgressBar(total=trial.steps, completed=record.step if record else 0),
                f"{record.step if record else 0}/{trial.steps}",
                f"{metrics['train/loss']:.3f}" if "train/loss" in metrics else "",
                f"{self._bpb[trial_id]:.4f}" if trial_id in self._bpb else "",
                f"{metrics['speed/tokens_per_s']:,.0f}" if "speed/tokens_per_s" in metrics else "",
                f"{left:.0f} s" if left is not None else "",
            )
        return Group(Text(), table, Text(self._summary(), style="bold"))
