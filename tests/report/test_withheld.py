"""What the data cannot support is neither drawn nor printed, and the page says why."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.text import Text

from tinyscale.report.content import ReportContent
from tinyscale.report.exponents import exponents_figure
from tinyscale.report.figures import draw_figures, frontier_figure, law_figure
from tinyscale.report.isoflop import isoflop_figure
from tinyscale.report.optimum import vocabulary_optimum_figure
from tinyscale.report.page import render
from tinyscale.report.residuals import residuals_figure
from tinyscale.report.tables import optimum_row, unsaid, withheld_reasons
from tinyscale.spec import Interval, LawFit
from tinyscale.spec.words import number

REASON = "N spans little."


def words(figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(Text))


def stars(axes) -> list[tuple[float, float]]:
    return [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if line.get_marker() == "*"]


@pytest.fixture
def silent(rich: ReportContent) -> ReportContent:
    """A study whose law may say nothing."""
    law = replace(rich.law, warnings=(REASON,), forecast_holds=False)
    forecasts = [replace(locked, predicted=None, withheld=(REASON,)) for locked in rich.forecasts]
    counting = [replace(counted, warnings=(REASON,)) for counted in rich.analysis.counting]
    return replace(rich, law=law, forecasts=forecasts, analysis=replace(rich.analysis, counting=counting))


def test_lines_of_a_law_end_with_its_points(rich: ReportContent, silent: ReportContent) -> None:
    (told,), (axes,) = law_figure(rich).axes, law_figure(silent).axes
    longest = max(line.get_xdata()[-1] for line in axes.lines if len(line.get_xdata()) > 2)
    assert longest < 4_000_000 < max(line.get_xdata()[-1] for line in told.lines if len(line.get_xdata()) > 2)
    assert "forecast, locked" in words(told.figure)
    assert "forecast, locked" not in words(axes.figure)
    assert stars(axes) == stars(told), "what was measured is shown"
    assert len(stars(axes)) == 1


def test_residuals_of_hold_outs_would_tell_the_forecast(rich: ReportContent, silent: ReportContent) -> None:
    assert [len(stars(axes)) for axes in residuals_figure(rich).axes] == [1, 1, 0]
    assert [len(stars(axes)) for axes in residuals_figure(silent).axes] == [0, 0, 0]
    fallen = replace(silent, forecasts=rich.forecasts)
    assert not any(stars(axes) for axes in residuals_figure(fallen).axes), "a law that forecasts no more"


def test_one_withheld_forecast_hides_one_hold_out(rich: ReportContent) -> None:
    first = replace(rich.forecasts[0], predicted=None, withheld=(REASON,))
    figure = residuals_figure(replace(rich, forecasts=(first, *rich.forecasts[1:])))
    assert not any(stars(axes) for axes in figure.axes)


def test_the_frontier_ends_with_the_points_and_hides_the_exponent(rich: ReportContent, silent: ReportContent) -> None:
    far, near = frontier_figure(rich).axes[0].lines[0], frontier_figure(silent).axes[0].lines[0]
    assert near.get_xdata()[-1] < far.get_xdata()[-1] / 10
    line, hidden = (len(frontier_figure(content).axes[1].lines[0].get_xdata()) for content in (rich, silent))
    assert (line, hidden) == (80, 1)


def test_withheld_exponents_are_drawn_only_where_they_lie_too_far_apart(silent: ReportContent) -> None:
    assert silent.law is not None
    assert exponents_figure(silent) is None
    wide = {**silent.law.intervals, "alpha": Interval(value=0.4, low=0.1, high=1.0)}
    figure = exponents_figure(replace(silent, law=replace(silent.law, intervals=wide)))
    (axes,) = figure.axes
    assert axes.get_title() == "too far apart to state: exponents withheld"
    assert len(axes.lines) == 1, "the refits, and neither the law nor an outline"


def test_a_vocabulary_law_with_loose_exponents_gives_intervals(rich: ReportContent) -> None:
    law = rich.analysis.vocabulary
    assert law is not None
    loose = replace(law, warnings=(REASON,))
    row = optimum_row(law.budgets[0], loose)
    assert (row.vocab_size, row.tokens) == (("630 to 770", ""), ("900k to 1.1M", ""))
    figure = vocabulary_optimum_figure(replace(rich, analysis=replace(rich.analysis, vocabulary=loose)))
    (axes,) = figure.axes
    assert not [line for line in axes.lines if line.get_marker() == "D"]
    (bar,) = [line for line in axes.lines if line.get_marker() == "|"]
    np.testing.assert_allclose(bar.get_xdata(), [630, 770])


def test_a_place_where_the_search_ended_is_not_quoted(rich: ReportContent) -> None:
    law = rich.analysis.vocabulary
    assert law is not None
    row = optimum_row(law.budgets[1], law)
    assert row.vocab_size == row.tokens == ("at the end searched", "")
    assert row.params_non_vocab == ("90k", "81k to 99k")
    assert row.edge


def test_the_page_prints_nothing_withheld(silent: ReportContent, law: LawFit) -> None:
    page = render(silent, draw_figures(silent))
    for name in ("alpha", "beta", "E", "A", "B"):
        assert number(getattr(law, name)) not in page
    for counted in silent.analysis.counting:
        assert number(counted.alpha.value) not in page
    assert "withholds its own" in page
    assert number(silent.analysis.isoflops.law_a.value) not in page
    assert page.count(REASON) == 1, "the same reason is given once"
    assert "Withheld for the reasons given with the law." in page


def test_what_cannot_be_said_is_said_once(silent: ReportContent) -> None:
    assert unsaid(silent) == {"exponents by count of N": ["withheld under each count, as for the law itself"]}
    vocabulary = replace(silent.analysis.vocabulary, warnings=("bent", "wide"), forecast_holds=False, budgets=())
    refused = replace(silent.analysis, vocabulary=vocabulary, shape=None, shape_refused="add depths")
    assert unsaid(replace(silent, analysis=refused)) | {"exponents by count of N": []} == {
        "exponents by count of N": [], "shape beyond N": ["add depths"], "best vocabulary": ["bent", "wide"],
    }  # fmt: skip
    assert withheld_reasons(silent) == []
    assert withheld_reasons(replace(silent, law=None)) == [REASON]


def test_levels_without_a_minimum_have_one_panel(rich: ReportContent) -> None:
    refused = replace(rich.analysis.isoflops, levels=rich.analysis.isoflops.levels[1:], a=None)
    (axes,) = isoflop_figure(replace(rich, analysis=replace(rich.analysis, isoflops=refused))).axes
    assert "refused" in words(axes.figure)
