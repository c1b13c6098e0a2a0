"""Models from elsewhere on the page: beside the study's own, on the same text, never in its law."""

import runpy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.text import Text

from tinyscale.report.content import ReportContent
from tinyscale.report.figures import draw_figures
from tinyscale.report.grades import GradesContent
from tinyscale.report.grades_figure import grades_figure
from tinyscale.report.imported import imported_rows
from tinyscale.report.imported_figure import imported_figure
from tinyscale.report.page import render
from tinyscale.spec import GradeSummary, ImportedModel, Instrument, Interval, ModelScore, Validation

# The same strict reader of pages as the page's own tests have; pytest's import mode knows no module beside this one.
BESIDE = runpy.run_path(str(Path(__file__).with_name("test_page.py")))
Page, PNG = BESIDE["Page"], BESIDE["PNG"]


def validation(content: ReportContent, bpb: float, **fields: object) -> Validation:
    made = Validation(
        model_digest="d", corpus=content.trials[0].corpus, bpb=Interval(value=bpb, low=0.98 * bpb, high=1.02 * bpb),
        loss=Interval(value=3.21, low=3.1, high=3.3), stories=1_234, bytes=10**6, tokens=3 * 10**5, context_length=512,
    )  # fmt: skip
    return replace(made, **fields)  # type: ignore[arg-type]


def imported(content: ReportContent, name: str, bpb: float | None, params: int = 300_000) -> ImportedModel:
    shape = replace(content.trials[0].model, hidden_size=768, vocab_size=50_257, context_length=2048)
    return ImportedModel(
        name=name, source=f"who/{name}@c0ffee", format="hf", model=shape, params_total=params,
        params_non_embedding=params // 2, model_digest="d", imported_s=4e9,
        validation=None if bpb is None else validation(content, bpb),
    )  # fmt: skip


@pytest.fixture(scope="module")
def beside(content: ReportContent) -> ReportContent:
    """Two that were measured, one that was not, and a trial that was measured like them."""
    models = (imported(content, "large", 0.9), imported(content, "tiny", 1.7, 20_000), imported(content, "new", None))
    return replace(content, imported=models, validations={content.trials[0].id: validation(content, 1.4)})


def words(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


def test_rows_stand_by_loss_and_trials_are_among_them(beside: ReportContent) -> None:
    rows = imported_rows(beside)
    assert [row.name for row in rows] == ["large", beside.trials[0].name, "tiny", "new"]
    assert [row.source for row in rows] == ["who/large@c0ffee", "", "who/tiny@c0ffee", "who/new@c0ffee"]


def test_a_measurement_on_another_text_is_none(content: ReportContent) -> None:
    model = imported(content, "large", 0.9)
    assert model.validation
    elsewhere = replace(model, validation=replace(model.validation, corpus="another"))
    (row,) = imported_rows(replace(content, imported=(elsewhere,)))
    assert row.validation is None
    assert imported_figure(replace(content, imported=(elsewhere,))) is None


def test_the_page_says_what_they_are_and_what_is_not_known(beside: ReportContent) -> None:
    page = Page(render(beside, {"imported": PNG}))
    assert page.tags["img"] == 1
    assert "Models from elsewhere, on the same text" in page.text
    row = "large llama, d768, L2 who/large@c0ffee 300k 50,257 2,048 0.9000 0.8820 to 0.9180 3.210 1,234"
    assert row in page.text
    assert f"{beside.trials[0].name} llama, d16, L2 this study" in page.text
    assert "new llama, d768, L2 who/new@c0ffee 300k 50,257 2,048 not measured on this text" in page.text
    assert "no part of the law" in page.text
    assert "slice that its evaluations read" in page.text


def test_without_any_there_is_no_section(content: ReportContent) -> None:
    assert imported_figure(content) is None
    only_trials = replace(content, validations={content.trials[0].id: validation(content, 1.4)})
    assert imported_figure(only_trials) is None
    assert "imported" not in draw_figures(content)


def test_the_picture_places_every_model_with_its_interval(beside: ReportContent) -> None:
    figure = imported_figure(beside)
    assert figure
    (axes,) = figure.axes
    places = {marker: at for marker in "oD" if (at := _places(axes, marker))}
    assert places["D"] == {(300_000, 0.9), (20_000, 1.7)}
    trial = beside.results[beside.trials[0].id].points[0]
    assert places["o"] == {(p.params_total, p.bpb) for p in beside.points} | {(trial.params_total, 1.4)}
    assert {"large", "tiny"} <= set(words(figure))
    assert "new" not in words(figure)
    low, high = axes.get_xlim()
    assert low < 20_000
    assert high > 300_000


def _places(axes, marker: str) -> set[tuple[float, float]]:
    return {(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if line.get_marker() == marker}


def test_hostile_names_and_sources_are_shown_and_not_run(beside: ReportContent) -> None:
    bad = "<script>alert(1)</script>$\\frac{1}{0$ {{ 7 * 7 }}"
    hostile = replace(beside, imported=tuple(replace(m, name=bad, source=bad) for m in beside.imported))
    page = Page(render(hostile, draw_figures(hostile)))
    assert "script" not in page.tags
    assert page.text.count(bad) == 6


def _graded(names: Sequence[str]) -> GradesContent:
    judge = Instrument(model="m", base_url="u", protocol="strict", temperature=0.0, seed=0, max_tokens=9, rubric="r")
    means = {"overall": Interval(value=5.0, low=4.0, high=6.0), "grammar": Interval(value=6.0, low=5.0, high=7.0)}
    scores = tuple(ModelScore(model=name, means=means, stories=9, prompts=9, ungraded=0) for name in names)
    return GradesContent(summary=GradeSummary(instrument=judge, scores=scores))


def test_graded_ones_stand_in_the_picture_of_grades_by_name(beside: ReportContent) -> None:
    trial = beside.trials[0].name
    figure = grades_figure(replace(beside, grades=_graded(["large", trial, "new"])))
    assert figure
    assert words(figure).count("large") == 2
    assert "new" not in words(figure), "without a loss it has no place"
    alone = grades_figure(replace(beside, grades=_graded([trial])))
    assert alone
    assert "this study" in words(alone)
