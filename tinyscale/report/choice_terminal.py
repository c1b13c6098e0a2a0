"""Which model of a study is best, on a terminal of 80 columns."""

from collections.abc import Callable, Mapping

from rich import box
from rich.table import Table

from tinyscale.report.listing import console
from tinyscale.spec import Candidate, Choice, Interval, short_count

WIDTH = 80
MISSED_LEAST = ("D", "slice", "N", "95 %", "95 % ")
"""Columns that are left out where the table is too wide, in this order; a trial's name says its tokens."""
LEGEND: Mapping[str, str] = {
    "grade": "grade: overall, 1 to 10",
    "slice": "slice: bits per byte on the validation text that training looks at",
    "all text": "all text: bits per byte on all of the validation text",
    "tok/s": "tok/s, B/s: tokens, and bytes of text, a second on this machine",
}
"""By column."""
SHOWN_IDS = 3
"""Refused trials named of one reason."""


def print_choice(choice: Choice) -> None:
    """The candidates that were looked at closely, the choice in words, who is refused, and what to type next."""
    shown = [c for c in choice.candidates if c.validation or c.grade]
    columns = _fitting({name: [cell(choice, c) for c in shown] for name, cell in _COLUMNS.items()})
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        table.add_column(name.strip(), justify="left" if name == "trial" else "right", no_wrap=True)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    out = console()
    out.print(table)
    legend = "; ".join(text for name, text in LEGEND.items() if name in columns)
    for line in (legend, *_lines(choice, len(choice.candidates) - len(shown))):
        out.print(line, highlight=False, markup=False, soft_wrap=not out.is_terminal)


def _fitting(columns: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The columns that say something, without those that may be missed where they are too wide together."""
    kept = {name: cells for name, cells in columns.items() if any(cells)}
    for name in MISSED_LEAST:
        if sum(2 + max(map(len, (head, *cells))) for head, cells in kept.items()) > WIDTH:
            kept.pop(name, None)
    return kept


def _bpb(candidate: Candidate) -> str:
    return f"{candidate.validation.bpb.value:.4f}" if candidate.validation else ""


def _text_speed(candidate: Candidate) -> str:
    speed, of = candidate.generation_tokens_per_s, candidate.validation
    return f"{speed * of.bytes / of.tokens:,.0f}" if speed and of else ""


def _span(span: Interval | None, digits: int) -> str:
    return f"{span.low:.{digits}f}-{span.high:.{digits}f}" if span else ""


def _mark(choice: Choice, candidate: Candidate) -> str:
    if candidate.trial_id == choice.best:
        return "best" if choice.certain else "first"
    return "tie" if candidate.trial_id in choice.ties else ""


_COLUMNS: Mapping[str, Callable[[Choice, Candidate], str]] = {
    "trial": lambda _, c: c.name,
    "": _mark,
    "N": lambda _, c: short_count(c.params_total),
    "D": lambda _, c: short_count(c.tokens),
    "grade": lambda _, c: f"{c.grade.value:.2f}" if c.grade else "",
    "95 %": lambda _, c: _span(c.grade, 2),
    "slice": lambda _, c: f"{c.slice_bpb:.4f}",
    "all text": lambda _, c: _bpb(c),
    "95 % ": lambda _, c: _span(c.validation.bpb if c.validation else None, 3),
    "tok/s": lambda _, c: f"{c.generation_tokens_per_s:,.0f}" if c.generation_tokens_per_s else "",
    "B/s": lambda _, c: _text_speed(c),
}
"""By head; the second interval's has a blank more."""


def _lines(choice: Choice, others: int) -> list[str]:
    lines = []
    if others:
        what = "not on the front" if choice.by == "pareto" else "too far behind on the slice to be measured on all text"
        lines.append(f"{others} more: {what}")
    lines += ["", choice.said]
    if choice.by != "bpb":
        lines.append(f"yardstick: {choice.yardstick}")
    lines += [f"left out: {line}" for line in _refused(choice)]
    what = "TRIAL" if choice.by == "pareto" else choice.study
    tie = " --force" if choice.ties else ""
    lines += ["", f"next: tinyscale promote {what} --to OWNER/NAME{tie} --dry-run"]
    return lines


def _refused(choice: Choice) -> list[str]:
    """A line a reason."""
    by_reason: dict[str, list[str]] = {}
    for trial_id, reason in choice.refused.items():
        by_reason.setdefault(reason, []).append(trial_id)
    return [f"{_names(ids)}: {reason}" for reason, ids in by_reason.items()]


def _names(ids: list[str]) -> str:
    more = f" and {len(ids) - SHOWN_IDS} more" if len(ids) > SHOWN_IDS else ""
    return ", ".join(ids[:SHOWN_IDS]) + more
