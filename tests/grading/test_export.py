"""The table of grades as other programs read it."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from pyarrow import parquet

from tinyscale.grading.export import COLUMNS, export_grades
from tinyscale.grading.results import GradesFolder, read_gradings, read_judge_free, write_grading
from tinyscale.spec import Grade, GradeSummary, Instrument, Story

INSTRUMENT = Instrument(
    model="judge",
    base_url="http://localhost/v1",
    protocol="strict",
    temperature=0.0,
    seed=0,
    max_tokens=500,
    rubric="r1",
)
BAD = '=HYPERLINK("http://example.com","a, b")\nand then & <b>'
STORY = Story(model="d64", model_digest="abc", prompt_id="rain-01", prompt="Once", completion=BAD, tokens=9, seed=7)
GRADE = Grade(
    story_id=STORY.id, model="d64", prompt_id="rain-01", sample=0, kind="model", repeat=0, instrument=INSTRUMENT.id,
    scores={"grammar": 7, "creativity": 6, "consistency": 5, "plot": 4}, age_group="C",
    reasons={"grammar": "-1 for a comma"}, flags=("says grade", "markup"), words=8, cost_usd=0.001, graded_s=1e9,
)  # fmt: skip
FAILED = replace(GRADE, scores={}, reasons={}, flags=(), age_group="", ungraded="refused", repeat=1)
REFERENCE = replace(GRADE, kind="reference", model="", story_id="ffff")


def test_parquet_holds_all_as_it_is(tmp_path: Path) -> None:
    path = export_grades([GRADE, FAILED, REFERENCE], [STORY], tmp_path / "out" / "grades.parquet", [INSTRUMENT])
    first, second, third = parquet.read_table(path).to_pylist()
    assert list(first) == list(COLUMNS)
    assert (first["completion"], first["flags"], first["judge"]) == (BAD, "says grade; markup", "judge")
    assert (first["grammar"], first["instruct"], first["overall"]) == (7, None, 5.5)
    assert first["reason_grammar"] == "-1 for a comma"
    assert (second["ungraded"], second["plot"], second["repeat"], second["seed"]) == ("refused", None, 1, 7)
    assert (third["kind"], third["completion"], third["tokens"]) == ("reference", "", None)


def test_csv_reads_back_and_no_spreadsheet_runs_a_story(tmp_path: Path) -> None:
    path = export_grades([GRADE, FAILED], [STORY], tmp_path / "grades.csv")
    with path.open(encoding="utf-8", newline="") as file:
        first, second = csv.DictReader(file)
    assert first["completion"] == "'" + BAD
    assert first["reason_grammar"].startswith("'-1")
    assert (first["grammar"], first["instruct"], second["grammar"], second["ungraded"]) == ("7", "", "", "refused")
    assert not [cell for row in (first, second) for cell in row.values() if cell[:1] in ("=", "+", "-", "@")]


def test_an_empty_export_has_its_columns(tmp_path: Path) -> None:
    assert parquet.read_table(export_grades([], [], tmp_path / "a.parquet")).column_names == list(COLUMNS)
    assert export_grades([], [], tmp_path / "a.csv").read_text().strip() == ",".join(COLUMNS)


@pytest.mark.parametrize("name", ["grades.xlsx", "grades"])
def test_another_suffix_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"ends in \.csv or \.parquet"):
        export_grades([GRADE], [STORY], tmp_path / name)
    assert not [*tmp_path.iterdir()]


def test_gradings_come_back_the_last_judge_first(tmp_path: Path) -> None:
    other = replace(INSTRUMENT, model="other")
    assert read_gradings(tmp_path) == ()
    assert read_judge_free(tmp_path) is None
    old, new = GradeSummary(instrument=INSTRUMENT, last_s=1.0), GradeSummary(instrument=other, last_s=2.0)
    free = GradeSummary(instrument=None)
    write_grading(tmp_path, new, [replace(GRADE, instrument=other.id)])
    write_grading(tmp_path, old, [GRADE, FAILED])
    assert write_grading(tmp_path, free) == GradesFolder(tmp_path).judge_free
    first, second = read_gradings(tmp_path)
    assert (first.summary, second.summary, second.grades) == (new, old, (GRADE, FAILED))
    assert read_judge_free(tmp_path) == free


def test_a_damaged_file_is_named_with_its_line(tmp_path: Path) -> None:
    write_grading(tmp_path, GradeSummary(instrument=INSTRUMENT), [GRADE])
    path = GradesFolder(tmp_path).grades(INSTRUMENT.id)
    path.write_text(path.read_text() + '{"model": "x"\n')
    with pytest.raises(ValueError, match=r"grades\.jsonl, line 2: not a Grade"):
        read_gradings(tmp_path)
