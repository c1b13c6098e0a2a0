"""The picture of what the laws miss."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tinyscale.laws.form import predict
from tinyscale.laws.select import fitted_points, loss_of, params_of
from tinyscale.laws.vocabulary_form import predict_bpb, terms_of
from tinyscale.report.content import ReportContent
from tinyscale.report.holdouts import foretold
from tinyscale.report.style import GREY, count_axis, panels, size_colours, stars, vocabulary_axis
from tinyscale.spec import LawFit, Point, VocabularyLaw


def residuals_figure(content: ReportContent) -> Figure | None:
    """Measured over fitted loss, against N and D, and against V under the law of the vocabulary, where there is one.

    A hold-out whose forecast was withheld is left out: its residual would tell the forecast.
    """
    law, vocabulary = content.law, content.analysis.vocabulary
    if law is None:
        return None
    points = [*fitted_points(law, content.points), *foretold(content, law)]
    colours = size_colours(params_of(point, law.params) for point in points)
    figure, axes = panels(3 if vocabulary else 2, height=3.9)
    for panel, name in zip(axes[:2], ("N", "D"), strict=True):
        panel.axhline(0, color=GREY, linewidth=1)
        for point in points:
            size = params_of(point, law.params)
            place = (size if name == "N" else point.tokens, _off(law, point))
            if point.holdout:
                stars(panel, [place])
            else:
                panel.plot(*place, "o", ms=6, mfc=colours[size], mec="white", mew=0.8)
        count_axis(panel, "x", "parameters N" if name == "N" else "training tokens D", narrow=vocabulary is not None)
        panel.set_title("L(N, D)")
    axes[0].set_ylabel("measured over law, %")
    if vocabulary:
        _against_vocabulary(axes[2], vocabulary, content)
    return figure


def _off(law: LawFit, point: Point) -> float:
    expected = predict(law.E, law.A, law.B, law.alpha, law.beta, N=params_of(point, law.params), D=point.tokens)
    return 100 * (loss_of(point, law.unit) / float(expected) - 1)


def _against_vocabulary(axes: Axes, law: VocabularyLaw, content: ReportContent) -> None:
    points = [point for point in content.points if point.trial_id in law.trial_ids]
    colours = size_colours(point.hidden_size for point in points)
    theta_17 = np.array([terms_of(law)])
    axes.axhline(0, color=GREY, linewidth=1)
    for point in points:
        embedded = point.vocab_size * point.hidden_size
        expected = float(predict_bpb(theta_17, point.params_non_embedding, embedded, point.text_bytes)[0, 0])
        off = 100 * (point.bpb / expected - 1)
        axes.plot(point.vocab_size, off, "o", ms=6, mfc=colours[point.hidden_size], mec="white", mew=0.8)
    vocabulary_axis(axes, [point.vocab_size for point in points])
    axes.set_title("law of the vocabulary")
