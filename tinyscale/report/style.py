"""How every picture looks: colours that colour-blind readers can tell apart, log axes with plain numbers."""

import io
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from tinyscale.spec import short_count

INK, GREY, HELD, FORECAST, FLOOR = "#222222", "#767676", "#D55E00", "#0072B2", "#009E73"
"""Text and lines; hold-outs, forecasts and the floor in colours of Okabe & Ito 2008."""
DPI = 150
STYLE: Any = {
    "backend": "Agg",
    "font.size": 11,
    "font.family": ["DejaVu Sans"],
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "lines.linewidth": 1.6,
    "figure.facecolor": "white",
}


def panels(count: int = 1, *, height: float = 4.8) -> tuple[Figure, list[Axes]]:
    """A figure 10 inches wide with panels side by side. Call it and draw within :func:`styled`."""
    figure = Figure(figsize=(10, height), dpi=DPI, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    FigureCanvasAgg(figure)
    return figure, [figure.add_subplot(1, count, i + 1) for i in range(count)]


def styled() -> Any:
    """Context in which :data:`STYLE` holds, whatever the user's own matplotlib settings."""
    return rc_context(STYLE)


def png(figure: Figure) -> bytes:
    """The figure as a PNG file, the same bytes for the same picture."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def size_colours(sizes: Iterable[int]) -> dict[int, Any]:
    """A colour for each model size, from dark (small) to bright (large); the palest end of viridis is left out."""
    ordered = sorted(set(sizes))
    shades = np.linspace(0.0, 0.88, len(ordered)) if len(ordered) > 1 else [0.35]
    return {size: colormaps["viridis"](shade) for size, shade in zip(ordered, shades, strict=True)}


def count_axis(axes: Axes, which: str, label: str, *, narrow: bool = False) -> None:
    """A log axis of parameters or tokens: 50k, 1M, ... A narrow panel has room for half as many."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    decades = np.log10(high / low) * (2 if narrow else 1)
    axis.set_major_locator(LogLocator(10, subs=(1, 2, 5) if decades < 2.5 else (1, 3) if decades < 4 else (1,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: short_count(round(value))))
    axis.set_label_text(label)


def plain_axis(axes: Axes, places: Iterable[float], label: str) -> None:
    """A log x axis with ticks at given places, as they are: 0.003, 512, ..."""
    ticks = sorted(set(places))
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(ticks, [f"{tick:,.4g}" if tick < 1000 else f"{tick:,.0f}" for tick in ticks])
    axes.set_xlabel(label)


def vocabulary_axis(axes: Axes, sizes: Iterable[int]) -> None:
    """A log x axis with the study's vocabularies."""
    plain_axis(axes, sizes, "vocabulary size V, tokens")


def power_axis(axes: Axes, label: str) -> None:
    """A log x axis of FLOP, in powers of ten."""
    axes.set_xscale("log")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(label)


def loss_axis(axes: Axes, label: str) -> None:
    """A log y axis of a loss, with ticks at round losses."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
    axes.set_ylabel(label)


def loss_label(unit: str) -> str:
    """What a loss axis says of the unit of a law."""
    return "validation loss, bits per byte" if unit == "bpb" else "validation loss, nats per token"


def legend_once(axes: Axes, *, loc: Literal["best", "upper right"] = "best") -> None:
    """The legend within the picture, each label once."""
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    axes.legend(unique.values(), unique.keys(), loc=loc)


def stars(axes: Axes, places: Iterable[tuple[float, float]]) -> None:
    """Measured hold-outs."""
    for x, y in places:
        axes.plot(
            x, y, "*", ms=14, mfc=HELD, mec="white", mew=0.8, linestyle="none", label="hold-out, measured", zorder=5
        )


def legend_beside(figure: Figure, axes: Axes, *, title: str = "") -> None:
    """The legend to the right of the picture, where it hides no data."""
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(unique.values(), unique.keys(), loc="outside right upper", title=title, alignment="left")
