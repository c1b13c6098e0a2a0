"""The picture of what shape explains beyond N."""

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from tinyscale.laws.form import predict
from tinyscale.laws.select import fitted_points, loss_of, params_of
from tinyscale.report.content import ReportContent
from tinyscale.report.style import GREY, legend_beside, panels, size_colours


def shape_figure(content: ReportContent) -> Figure | None:
    """Measured loss over that of L(N, D) against hidden size over depth: level where N tells all."""
    law = content.law
    if law is None or content.analysis.shape is None:
        return None
    points = fitted_points(law, content.points)
    colours = size_colours(point.num_layers for point in points)
    figure, (axes,) = panels(height=3.9)
    axes.axhline(0, color=GREY, linewidth=1)
    for point in points:
        expected = predict(law.E, law.A, law.B, law.alpha, law.beta, N=params_of(point, law.params), D=point.tokens)
        off = 100 * (loss_of(point, law.unit) / float(expected) - 1)
        axes.plot(point.hidden_size / point.num_layers, off, "o", ms=7, mfc=colours[point.num_layers], mec="white",
                  linestyle="none", label=f"{point.num_layers} layers")  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(sorted({point.hidden_size / point.num_layers for point in points}))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axes.set_xlabel("hidden size / layers")
    axes.set_ylabel("measured over L(N, D), %")
    legend_beside(figure, axes)
    return figure
