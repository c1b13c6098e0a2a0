"""Pictures: what is measured is what is drawn."""

from dataclasses import replace

import numpy as np
import pytest

from tinyscale.report.content import ReportContent
from tinyscale.report.curves import curves_figure, smooth
from tinyscale.report.figures import law_figure, vocabulary_figure
from tinyscale.report.style import png, styled
from tinyscale.spec import LawFit, Record


def test_pictures_are_as_wide_as_a_page_and_the_same_each_time(content: ReportContent) -> None:
    with styled():
        first, second = (png(vocabulary_figure(content)) for _ in range(2))
    assert first == second
    assert int.from_bytes(first[16:20], "big") == 1500


def test_law_picture_shows_every_fitted_point(content: ReportContent, law: LawFit) -> None:
    figure = law_figure(content)
    (axes,) = figure.axes
    dots = {(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if line.get_marker() == "o"}
    fitted = {(p.tokens, p.bpb) for p in content.points if p.vocab_size == law.vocab_size and not p.holdout}
    assert dots == fitted
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"hold-out, measured", "forecast, locked", "entropy of the text"} <= set(labels)


def test_vocabularies_rank_differently_by_byte_and_by_token(content: ReportContent) -> None:
    by_byte, by_token = (axes.lines[0].get_ydata() for axes in vocabulary_figure(content).axes)
    assert by_byte[0] > by_byte[-1]
    assert by_token[0] < by_token[-1]


def test_vocabulary_picture_needs_two_of_equal_shape(content: ReportContent) -> None:
    one = [trial for trial in content.trials if trial.model.vocab_size == 512]
    assert vocabulary_figure(replace(content, trials=one)) is None


def test_curves_are_in_bits_per_byte(content: ReportContent) -> None:
    (axes,) = curves_figure(content).axes
    trial = content.trials[0]
    (line,) = [line for line in axes.lines if line.get_marker() == "o"][:1]
    assert line.get_ydata()[-1] == pytest.approx(content.results[trial.id].points[0].bpb, rel=0.05)
    top = axes.get_ylim()[1]
    assert top < 6, "a diverged trial must not set the scale"


def test_without_an_evaluation_there_are_no_curves(content: ReportContent) -> None:
    trial = content.trials[0]
    record = Record(step=1, tokens=100, time_s=0.0, metrics={"train/loss": 5.0})
    assert curves_figure(replace(content, curves={trial.id: [record]})) is None


def test_smoothing_keeps_the_mean_and_the_ends() -> None:
    tokens = np.arange(1.0, 5001.0)
    at, loss = smooth(tokens, np.full(5000, 3.0))
    np.testing.assert_allclose(loss, 3.0)
    assert len(at) <= 60
    assert at[0] < 2
    assert at[-1] > 4500
    assert (np.diff(at) > 0).all()
    assert smooth(tokens[:1], tokens[:1])[1].tolist() == [1.0]
