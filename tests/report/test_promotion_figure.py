"""The card's picture: the law, and one model ringed and named in it."""

from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from tinyscale.laws.forecast import lock_forecasts
from tinyscale.report import promotion_figure as drawing
from tinyscale.report.content import ReportContent
from tinyscale.report.promotion_figure import promotion_content, promotion_figure
from tinyscale.report.style import HELD
from tinyscale.results.store import StudyStore
from tinyscale.spec import LawFit, ResolvedStudy, write_json

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures behind the bytes."""
    figures: list[Figure] = []
    png = drawing.png

    def keep(figure: Figure) -> bytes:
        figures.append(figure)
        return png(figure)

    monkeypatch.setattr(drawing, "png", keep)
    return figures


def rings(figure: Figure) -> list[tuple[float, float]]:
    (axes,) = figure.axes
    return [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if line.get_markersize() > 20]


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


def trial_id(content: ReportContent, *, holdout: bool, vocab_size: int = 512) -> str:
    """Of the finished trial with most parameters."""
    points = [p for p in content.points if p.holdout == holdout and p.vocab_size == vocab_size]
    return max(points, key=lambda point: (point.params_total, point.tokens)).trial_id


def test_a_hold_out_is_ringed_named_and_beside_its_forecast(content: ReportContent, drawn: list[Figure]) -> None:
    held = trial_id(content, holdout=True)
    first, second = (promotion_figure(content, held) for _ in range(2))
    assert first.startswith(PNG)
    assert first == second
    point = content.results[held].points[0]
    assert rings(drawn[0]) == [(6.0 * point.params_total * point.tokens, point.bpb)]
    name = next(trial.name for trial in content.trials if trial.id == held)
    assert f"{name}\n{point.bpb:.4f} bpb" in words(drawn[0])
    assert {"forecast, locked", "hold-out, measured", "entropy of the text"} <= set(words(drawn[0]))
    (axes,) = drawn[0].axes
    (bar,) = axes.containers
    (told,) = [forecast for forecast in content.forecasts if forecast.trial_id == held]
    assert told.predicted
    (segment,) = bar.lines[2][0].get_segments()
    assert segment[:, 1] == pytest.approx([told.predicted.low, told.predicted.high])
    dots = [line for line in axes.lines if line.get_marker() == "o" and 5 < line.get_markersize() < 8]
    assert len([line for line in dots if len(line.get_xdata())]) == 12


def test_a_fitted_model_stands_among_the_points(content: ReportContent, drawn: list[Figure]) -> None:
    mine = trial_id(content, holdout=False)
    promotion_figure(content, mine)
    (place,) = rings(drawn[0])
    assert place[1] == content.results[mine].points[0].bpb
    assert "forecast, locked" not in words(drawn[0])
    ring = next(line for line in drawn[0].axes[0].lines if line.get_markersize() > 20)
    assert ring.get_markeredgecolor() == HELD


def test_a_model_of_another_vocabulary_has_no_line(content: ReportContent, drawn: list[Figure]) -> None:
    promotion_figure(content, trial_id(content, holdout=False, vocab_size=2048))
    assert len(rings(drawn[0])) == 1
    lines = [line for line in drawn[0].axes[0].lines if len(line.get_xdata()) == 40]
    assert len(lines) == 5, "four sizes fitted, and the hold-out's"


def test_a_law_that_may_not_forecast_ends_with_its_points(
    content: ReportContent, law: LawFit, tmp_path: Path, drawn: list[Figure]
) -> None:
    withheld = replace(law, warnings=("alpha is not pinned down.",), forecast_holds=False)
    held = [trial for trial in content.trials if trial.holdout]
    forecasts = lock_forecasts(tmp_path, withheld, held)
    promotion_figure(replace(content, law=withheld, forecasts=forecasts), held[0].id)
    (axes,) = drawn[0].axes
    assert not axes.containers, "no interval was locked"
    fitted = max(6.0 * p.params_total * p.tokens for p in content.points if p.trial_id in law.trial_ids)
    (band,) = axes.collections
    assert band.get_paths()[0].vertices[:, 0].max() == pytest.approx(fitted)
    assert not [line for line in axes.lines if len(line.get_xdata()) == 80], "the frontier rests on the exponents"


def test_without_a_law_the_points_stand_alone(without_law: ReportContent, drawn: list[Figure]) -> None:
    held = trial_id(without_law, holdout=True)
    assert promotion_figure(without_law, held).startswith(PNG)
    (axes,) = drawn[0].axes
    assert len(rings(drawn[0])) == 1
    assert not axes.collections
    assert len([line for line in axes.lines if line.get_markersize() == 6 and len(line.get_xdata()) == 1]) == 14
    assert "hold-out, measured" in words(drawn[0])


def test_an_unfinished_trial_is_refused(content: ReportContent) -> None:
    failed = next(trial for trial in content.trials if content.results.get(trial.id, None) and
                  content.results[trial.id].status == "failed")  # fmt: skip
    with pytest.raises(ValueError, match="has no point: it is not finished"):
        promotion_figure(content, failed.id)


def test_content_comes_from_the_folder(content: ReportContent, law: LawFit, tmp_path: Path) -> None:
    store = StudyStore(tmp_path)
    resolved = ResolvedStudy(study=content.study, trials=tuple(content.trials), entropy_bpb=0.8)
    for result in content.results.values():
        write_json(store.trial(result.trial_id).result, result)
    locked = lock_forecasts(store.forecasts, law, []) or content.forecasts
    store.forecasts.mkdir()
    for forecast in locked:
        write_json(store.forecasts / f"{forecast.trial_id}-at-{forecast.tokens}.json", forecast)
    read = promotion_content(store, resolved, law)
    assert (read.points, list(read.forecasts)) == (content.points, list(content.forecasts))
    held = trial_id(content, holdout=True)
    assert promotion_figure(read, held) == promotion_figure(content, held)
