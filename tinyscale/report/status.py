"""Where the trials of a study stand: once, or watched until nothing runs."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tinyscale.report.listing import console, duration
from tinyscale.results.state import TrialState, driven, trial_state
from tinyscale.results.storage import fetch
from tinyscale.results.store import StudyStore
from tinyscale.spec import Trial

LOOK_EVERY_S = 1.0
QUIET_S = 15.0
"""Off a terminal, least seconds between two lines of a watch in which no trial changed its state."""


def status_rows(store: StudyStore, trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """One row a trial: name, state, progress, evaluation, time left."""
    return [_status_row(trial, trial_state(store.trial(trial.id))) for trial in trials]


def _status_row(trial: Trial, state: TrialState) -> dict[str, Any]:
    last, result = state.last, state.result
    speed = last.metrics.get("speed/tokens_per_s") if last else None
    left = None
    if last and speed and state.state == "running":
        left = (trial.steps - last.step) * trial.batch_tokens / speed
    return {
        "id": trial.id,
        "name": trial.name,
        "holdout": trial.holdout,
        "state": state.state,
        "progress": 1.0 if state.state == "done" else last.step / trial.steps if last else 0.0,
        "bpb": state.last_eval.metrics["eval/bpb"] if state.last_eval else None,
        "eta_s": left,
        "seen_s_ago": time.time() - last.time_s if last and state.state == "running" else None,
        "message": result.message if result else "",
    }


_COLOURS = {
    "done": "green",
    "running": "cyan",
    "failed": "red",
    "diverged": "red",
    "pruned": "blue",
    "stopped": "yellow",
}


def status_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The rows as a table."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("trial", no_wrap=True)
    table.add_column("state")
    for column in ("progress", "eval bpb", "time left"):
        table.add_column(column, justify="right", min_width=8)
    table.add_column("message")
    for row in rows:
        colour = _COLOURS.get(row["state"], "default")
        table.add_row(
            row["name"] + " [cyan]hold-out[/]" * row["holdout"],
            f"[{colour}]{row['state']}[/]",
            f"{row['progress']:.0%}",
            f"{row['bpb']:.4f}" if row["bpb"] is not None else "",
            duration(row["eta_s"]) if row["eta_s"] is not None else "",
            row["message"],
        )
    return table


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """A count of each state."""
    counts = {state: sum(row["state"] == state for row in rows) for state in dict.fromkeys(r["state"] for r in rows)}
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def print_status(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """The table, and under it the counts."""
    console().print(status_table(rows))
    console().print(f"[bold]{name}[/]: {summary(rows)}", highlight=False)


def watch_status(name: str, store: StudyStore, trials: Sequence[Trial]) -> None:
    """Show the status again and again, until nothing runs or Ctrl-C; then once for good.

    Elsewhere than on a terminal: a line when a trial's state changes, and at least one every 15 s.
    """
    out = console()
    lines = _Lines(out)
    try:
        with Live(console=out, transient=True, auto_refresh=False) as live:
            while _runs(store, rows := status_rows(store, trials)):
                if out.is_terminal:
                    live.update(Group(status_table(rows), Text(f"{name}: {summary(rows)}")), refresh=True)
                else:
                    lines.show(rows)
                time.sleep(LOOK_EVERY_S)
                fetch(store)
    except KeyboardInterrupt:  # the reader has seen enough; the study goes on
        pass
    print_status(name, status_rows(store, trials))


def _runs(store: StudyStore, rows: Sequence[Mapping[str, Any]]) -> bool:
    """A driver is there, or a worker that outlives it for a moment."""
    return driven(store) or any(row["state"] == "running" for row in rows)


class _Lines:
    """The watch without a terminal."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._states: list[str] = []
        self._said_s = 0.0

    def show(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """A line, if one is due."""
        states, now = [row["state"] for row in rows], time.monotonic()
        if states == self._states and now - self._said_s < QUIET_S:
            return
        self._states, self._said_s = states, now
        running = ", ".join(f"{row['name']} {row['progress']:.0%}" for row in rows if row["state"] == "running")
        line = f"{time.strftime('%H:%M:%S')}  {summary(rows)}" + f"  ({running})" * bool(running)
        self._out.print(line, highlight=False, markup=False, soft_wrap=True)
