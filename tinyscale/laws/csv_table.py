"""The law of somebody's runs, from a CSV table: no study, no trials, a row is a run."""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyscale.laws.columns import find_columns, plain
from tinyscale.laws.fit import fit_columns
from tinyscale.laws.form import Floats
from tinyscale.spec import LawFit
from tinyscale.spec.load import parse_number

MOST_FAULTS = 5
"""Faults listed before the rest is counted."""


@dataclass(frozen=True, kw_only=True)
class RunTable:
    """Runs as they enter a fit, and how they were read."""

    path: Path
    rows: tuple[int, ...]
    """Number of each run's row; 1 is the first below the header."""
    N: Floats
    """Parameters, (n,)."""
    D: Floats
    """Training tokens, (n,)."""
    loss: Floats
    """In the table's unit, (n,)."""
    unit: str
    """bpb where the column's name says so, else loss."""
    taken: tuple[str, ...]
    """What was taken for N, D, the loss and the seed, in words."""
    excluded: Mapping[str, str]
    """Rows left out, with the reason."""


@dataclass(frozen=True)
class _Row:
    number: int
    line: int
    cells: Sequence[str]


def read_table(
    path: Path, columns: Mapping[str, str], *, exclude: Iterable[int] = (), drop_highest: int = 0
) -> RunTable:
    """Read a table of runs: UTF-8 CSV (tab-separated where it ends in .tsv) whose first line names the columns.

    Numbers may be written 1e9, 1_000_000 or 2M. Blank lines are no rows.

    :param columns: names of the columns for N, D or C, loss and seed; those left out are guessed
        (:data:`tinyscale.laws.columns.NAMES`). Without D, D = C / (6 N) (Kaplan et al. 2020).
    :param exclude: numbers of rows to leave out unread; 1 is the first below the header.
    :param drop_highest: leave out so many rows, those of the highest losses.
    :raises ValueError: the file or a row cannot be used; names file, line, row and column, and the remedy.
    """
    header, rows = _read(path)
    try:
        places = find_columns(header, columns)
    except ValueError as error:
        raise ValueError(f"{path}:1: {error}") from error
    kept, excluded = _without(rows, set(exclude), path)
    numbers = _numbers(path, header, {role: i for role, i in places.items() if role != "seed"}, kept)
    N, loss = numbers["N"], numbers["loss"]
    D = numbers["D"] if "D" in numbers else numbers["C"] / (6 * N)
    _refuse_repeats(path, kept, N, D, [row.cells[places["seed"]] for row in kept] if "seed" in places else None)
    # Stable, so that of equal losses the later row goes first, whatever the machine.
    highest = np.argsort(loss, kind="stable")[::-1][:drop_highest]
    for i in highest:
        reason = f"loss {loss[i]:.5g}, among the {drop_highest} highest (--drop-highest {drop_highest})"
        excluded[f"row {kept[i].number}"] = reason
    enters = np.setdiff1d(np.arange(len(kept)), highest)
    name = plain(header[places["loss"]])
    return RunTable(
        path=path,
        rows=tuple(kept[i].number for i in enters),
        N=N[enters],
        D=D[enters],
        loss=loss[enters],
        unit="bpb" if "bpb" in name or "bitsperbyte" in name else "loss",
        taken=tuple(
            f"D = C / (6 N), C from {header[i]!r}" if role == "C" else f"{role} from {header[i]!r}"
            for role, i in places.items()
        ),
        excluded=excluded,
    )


def fit_table(table: RunTable) -> LawFit:
    """The law of a table, with intervals and verdict; its trials are ``row 1``, ``row 2``, ...

    :raises ValueError: the runs cannot carry a law; says what to add.
    """
    try:
        return fit_columns(
            table.N,
            table.D,
            table.loss,
            trial_ids=[f"row {row}" for row in table.rows],
            unit=table.unit,
            excluded=table.excluded,
        )
    except ValueError as error:
        raise ValueError(f"{table.path}: {error}") from error


def parse_rows(texts: Iterable[str]) -> list[int]:
    """Row numbers such as ``3,7,10-12``.

    :raises ValueError: it is not of that form.
    """
    rows: list[int] = []
    for part in (part.strip() for text in texts for part in text.split(",")):
        first, _, last = part.partition("-")
        if not (first.isdecimal() and (last or first).isdecimal()) or part.endswith("-"):
            raise ValueError(f"--exclude: {part!r} is no row number; write 3,7,10-12 (1 is the first below the header)")
        rows += range(int(first), int(last or first) + 1)
    return rows


def _read(path: Path) -> tuple[list[str], list[_Row]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets write a byte order mark
            reader = csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
            lines = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text: save it as UTF-8") from error
    except csv.Error as error:
        raise ValueError(f"{path}:{reader.line_num}: not CSV: {error}") from error
    if not lines:
        raise ValueError(f"{path}: empty; write a header such as N,D,loss and a row for each run")
    header = [cell.strip() for cell in lines[0][1]]
    if len(lines) == 1:
        raise ValueError(f"{path}: no row below the header; write a row for each run")
    return header, [_Row(number, line, cells) for number, (line, cells) in enumerate(lines[1:], 1)]


def _without(rows: Sequence[_Row], exclude: set[int], path: Path) -> tuple[list[_Row], dict[str, str]]:
    if unknown := sorted(exclude - {row.number for row in rows}):
        raise ValueError(f"{path}: there is no row {unknown[0]} to exclude; rows run from 1 to {len(rows)}")
    excluded = {f"row {number}": "named by --exclude" for number in sorted(exclude)}
    return [row for row in rows if row.number not in exclude], excluded


def _numbers(path: Path, header: Sequence[str], places: Mapping[str, int], rows: Sequence[_Row]) -> dict[str, Floats]:
    """The columns as positive finite numbers; all faults at once."""
    columns: dict[str, list[float]] = {role: [] for role in places}
    faults: dict[int, str] = {}
    for row in rows:
        where = f"{path}:{row.line}: row {row.number}"
        if len(row.cells) != len(header):
            faults[row.number] = f"{where}: {len(row.cells)} cells where the header has {len(header)}"
            continue
        for role, place in places.items():
            value, fault = _value(row.cells[place])
            columns[role].append(value)
            if fault:
                faults.setdefault(row.number, f"{where}, column {header[place]!r}: {row.cells[place]!r} is {fault}")
    if faults:
        listed = list(faults.values())[:MOST_FAULTS]
        more = [f"and {len(faults) - MOST_FAULTS} more rows"] if len(faults) > MOST_FAULTS else []
        remedy = f"mend them, or leave them out by name: --exclude {','.join(map(str, faults))}"
        raise ValueError("\n".join([*listed, *more, remedy]))
    return {role: np.array(values, dtype=np.float64) for role, values in columns.items()}


def _value(cell: str) -> tuple[float, str]:
    """A cell's number and what is wrong with it."""
    try:
        value = parse_number(cell)
    except ValueError:
        return math.nan, "not a number (such as 1e9, 1_000_000 or 2M)"
    return value, "not finite" if not math.isfinite(value) else "not positive" if value <= 0 else ""


def _refuse_repeats(path: Path, rows: Sequence[_Row], N: Floats, D: Floats, seeds: Sequence[str] | None) -> None:
    seen: dict[tuple[float, float, str], _Row] = {}
    for i, row in enumerate(rows):
        key = float(N[i]), float(D[i]), seeds[i].strip() if seeds else ""
        if first := seen.get(key):
            same, remedy = ("N, D and seed", "") if seeds else ("N and D", ", or add a column seed if it is a repeat")
            raise ValueError(
                f"{path}:{row.line}: row {row.number} has the {same} of row {first.number} (N = {key[0]:g}, "
                f"D = {key[1]:g}): leave one of them out (--exclude {row.number}){remedy}"
            )
        seen[key] = row
