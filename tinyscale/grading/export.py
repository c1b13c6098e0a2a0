"""All grades as one table, for other programs: CSV or Parquet."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from tinyscale.grading.scores import score
from tinyscale.spec import CRITERIA, Grade, Instrument, Story

SUFFIXES = (".csv", ".parquet")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""A cell that begins so is run as a formula by spreadsheets (OWASP, CSV injection)."""

Row = dict[str, str | int | float | None]


def export_grades(
    grades: Iterable[Grade], stories: Iterable[Story], path: Path, instruments: Iterable[Instrument] = ()
) -> Path:
    """Write one row a grade, repeats and ungraded ones included, with the story that it is of.

    Parquet holds every text as it is. In CSV a text that begins like a formula gets an apostrophe before it, since
    stories are told by models and spreadsheets run what they open; use Parquet where the exact text matters.

    :param stories: of the models; a grade of another story (a calibration story) has an empty text.
    :param path: ends in .csv or .parquet; the file is replaced whole.
    :param instruments: those whose judge, endpoint, protocol and rubric shall stand in the rows.
    :raises ValueError: the suffix is another.
    """
    suffix = check_suffix(path)
    told = {(story.model, story.id): story for story in stories}
    known = {instrument.id: instrument for instrument in instruments}
    rows = [_row(grade, told.get((grade.model, grade.story_id)), known) for grade in grades]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    (_write_csv if suffix == ".csv" else _write_parquet)(rows, partial)
    partial.replace(path)
    return path


def check_suffix(path: Path) -> str:
    """The suffix of a file that grades can be exported to.

    :raises ValueError: it is another.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(
            f"{path}: grades are exported to a file that ends in .csv or .parquet, not {suffix or 'nothing'}"
        )
    return suffix


def _row(grade: Grade, story: Story | None, instruments: Mapping[str, Instrument]) -> Row:
    instrument = instruments.get(grade.instrument)
    row: Row = {name: kind() for name, kind in COLUMNS.items() if kind is str}
    row |= {
        "model": grade.model,
        "kind": grade.kind,
        "prompt_id": grade.prompt_id,
        "sample": grade.sample,
        "repeat": grade.repeat,
        **{name: score(grade, name) for name in (*CRITERIA, "overall")},
        "age_group": grade.age_group,
        "ungraded": grade.ungraded,
        "flags": "; ".join(grade.flags),
        **{f"reason_{name}": grade.reasons.get(name, "") for name in REASONS},
        "words": grade.words,
        "story_id": grade.story_id,
        "instrument": grade.instrument,
        "answered_by": grade.answered_by,
        "graded_s": grade.graded_s,
        "input_tokens": grade.input_tokens,
        "output_tokens": grade.output_tokens,
        "cost_usd": grade.cost_usd,
    }
    if story is not None:
        fields = ("model_digest", "instruction", "prompt", "completion", "tokens", "stop", "temperature", "seed")
        row |= {name: getattr(story, name) for name in fields}
    if instrument is not None:
        row |= {"judge": instrument.model, "base_url": instrument.base_url}
        row |= {"protocol": instrument.protocol, "rubric": instrument.rubric}
    return {name: row.get(name) for name in COLUMNS}


REASONS = (*CRITERIA, "assessment")
COLUMNS: Mapping[str, type] = {
    "model": str, "kind": str, "prompt_id": str, "sample": int, "repeat": int,
    **dict.fromkeys(CRITERIA, int), "overall": float, "age_group": str, "ungraded": str, "flags": str,
    "instruction": str, "prompt": str, "completion": str, **{f"reason_{name}": str for name in REASONS},
    "words": int, "tokens": int, "stop": str, "temperature": float, "seed": int, "model_digest": str, "story_id": str,
    "instrument": str, "judge": str, "base_url": str, "protocol": str, "rubric": str, "answered_by": str,
    "graded_s": float, "input_tokens": int, "output_tokens": int, "cost_usd": float,
}  # fmt: skip
"""Columns in their order, and what they hold; a number that is not there is empty, or null."""


def _write_csv(rows: Iterable[Row], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows([_inert(value) for value in row.values()] for row in rows)


def _inert(value: str | int | float | None) -> str | int | float | None:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


def _write_parquet(rows: Iterable[Row], path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    types = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
    parquet.write_table(pyarrow.Table.from_pylist(list(rows), schema=schema), path)
