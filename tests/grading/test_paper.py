"""The paper's table as it ships, against the figures of the paper."""

import pytest

from tinyscale.grading.paper import paper_rows
from tinyscale.grading.relative import relative


def test_the_whole_table_is_there() -> None:
    rows = {row.model: row for row in paper_rows()}
    assert len(rows) == 31
    own = [row for row in rows.values() if row.hidden_size is not None]
    assert len(own) == 26
    assert [row.model for row in own if len(row.scores) < 5] == ["64x2"]
    assert [row.model for row in own if row.loss is None or row.num_layers is None] == []
    assert rows["64x2"].scores == {"grammar": 4.33, "consistency": 2.41, "instruct": 2.86, "plot": 3.40}
    assert rows["64x2"].overall is None
    assert rows["1024x12"].scores == {
        "creativity": 7.05, "grammar": 8.43, "consistency": 8.98, "instruct": 8.18, "plot": 7.29,
    }  # fmt: skip
    assert rows["GPT-Neo 125M"].scores == {"creativity": 3.34, "grammar": 5.27, "consistency": 4.22}
    assert rows["GPT-4"].overall == pytest.approx((8.21 + 8.75 + 9.93 + 8.26) / 4)


def test_sums_of_the_columns() -> None:
    own = [row for row in paper_rows() if row.hidden_size is not None]
    sums = {name: sum(row.scores.get(name, 0.0) for row in own) for name in paper_rows()[1].scores}
    assert sums == pytest.approx(
        {"grammar": 195.02, "creativity": 156.58, "consistency": 192.99, "plot": 168.27, "instruct": 181.56}
    )
    assert sum(row.loss or 0 for row in own) == pytest.approx(39.35)


def test_the_relative_score_that_the_paper_prints() -> None:
    rows = {row.model: row.scores["grammar"] for row in paper_rows()}
    assert round(relative(rows["64x12"], rows["64x2"], rows["GPT-4"]), 2) == 0.42
