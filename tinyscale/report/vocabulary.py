"""The picture of how the units of the loss rank the vocabularies."""

from typing import Any

from matplotlib.figure import Figure

from tinyscale.report.content import ReportContent
from tinyscale.report.style import loss_axis, panels, size_colours, vocabulary_axis
from tinyscale.report.vocabulary_cells import vocabulary_cells


def vocabulary_figure(content: ReportContent) -> Figure | None:
    """Each unit of the loss against the vocabulary, at equal shape and budget: they rank differently."""
    cells = vocabulary_cells(content.points)
    if not cells:
        return None
    colours = size_colours(range(len(cells)))
    unigram = all(point.unigram_loss > 0 for cell in cells for point in cell.points.values())
    figure, axes = panels(3 if unigram else 2, height=4.2)
    for index, cell in enumerate(cells):
        sizes, points = [*cell.points], [*cell.points.values()]
        label = f"d{cell.hidden_size}, L{cell.num_layers}, {cell.said}"
        style: dict[str, Any] = {"color": colours[index], "label": label, "ms": 6, "mec": "white", "mew": 0.8}
        axes[0].plot(sizes, [point.bpb for point in points], "o-", **style)
        axes[1].plot(sizes, [point.loss for point in points], "o-", **style)
        if unigram:
            axes[2].plot(sizes, [point.loss - point.unigram_loss for point in points], "o-", **style)
    for panel in axes:
        vocabulary_axis(panel, [size for cell in cells for size in cell.points])
    axes[0].set_title("per byte: comparable")
    axes[1].set_title("per token: not comparable")
    loss_axis(axes[0], "loss, bits per byte")
    loss_axis(axes[1], "loss, nats per token")
    if unigram:
        axes[2].set_title("less the unigram loss")
        axes[2].set_ylabel("nats per token")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure
