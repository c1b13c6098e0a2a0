"""The pictures of the vocabulary: how the units rank it, and which one a compute wants."""

from collections import defaultdict
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tinyscale.laws.vocabulary_form import bytes_per_token, predict_bpb, terms_of
from tinyscale.laws.vocabulary_optimum import vocabularies_searched
from tinyscale.report.content import ReportContent
from tinyscale.report.style import FORECAST, GREY, count_axis, legend_beside, loss_axis, panels, size_colours
from tinyscale.spec import Point, short_count


def vocabulary_figure(content: ReportContent) -> Figure | None:
    """Each unit of the loss against the vocabulary, at equal shape and tokens: they rank differently."""
    cells: dict[tuple[int, int, int], dict[int, Point]] = defaultdict(dict)
    for point in content.points:
        cell = cells[point.hidden_size, point.num_layers, point.tokens]
        if point.vocab_size not in cell or point.bpb < cell[point.vocab_size].bpb:
            cell[point.vocab_size] = point
    series = {key: sorted(cell.items()) for key, cell in sorted(cells.items()) if len(cell) > 1}
    if not series:
        return None
    colours = size_colours(range(len(series)))
    unigram = all(point.unigram_loss > 0 for ranked in series.values() for _, point in ranked)
    figure, axes = panels(3 if unigram else 2, height=4.2)
    for index, ((hidden, layers, tokens), ranked) in enumerate(series.items()):
        sizes = [size for size, _ in ranked]
        label = f"d{hidden}, L{layers}, {short_count(tokens)} tokens"
        style: dict[str, Any] = {"color": colours[index], "label": label, "ms": 6, "mec": "white", "mew": 0.8}
        axes[0].plot(sizes, [point.bpb for _, point in ranked], "o-", **style)
        axes[1].plot(sizes, [point.loss for _, point in ranked], "o-", **style)
        if unigram:
            axes[2].plot(sizes, [point.loss - point.unigram_loss for _, point in ranked], "o-", **style)
    ticks = sorted({size for ranked in series.values() for size, _ in ranked})
    for panel in axes:
        count_axis(panel, "x", "vocabulary size V, tokens")
        panel.set_xticks(ticks, [f"{size:,}" for size in ticks])
    axes[0].set_title("per byte: comparable")
    axes[1].set_title("per token: not comparable")
    loss_axis(axes[0], "loss, bits per byte")
    loss_axis(axes[1], "loss, nats per token")
    if unigram:
        axes[2].set_title("less the unigram loss")
        axes[2].set_ylabel("nats per token gained over frequencies (negative)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def vocabulary_optimum_figure(content: ReportContent) -> Figure | None:
    """Bits per byte against V at a few computes under the law of the vocabulary, the best V with its interval."""
    law = content.analysis.vocabulary
    if law is None or not law.budgets:
        return None
    low, high = vocabularies_searched(law)
    V = np.geomspace(low, high, 120)
    colours = size_colours(range(len(law.budgets)))
    figure, (axes,) = panels(height=4.6)
    for index, best in enumerate(law.budgets):
        n = best.params_non_vocab.value
        width = np.exp(law.width[0] + law.width[1] * np.log(n))
        text_bytes = best.flops / (6 * (n + V * width)) * bytes_per_token(law.bytes_per_token, np.log(V))
        losses = predict_bpb(np.array([terms_of(law)]), n, V * width, text_bytes)[0]
        axes.plot(V, losses, color=colours[index], label=f"{best.flops:.2g} FLOP, N_nv = {short_count(round(n))}")
        span, lowest = best.vocab_size, float(losses.min())
        axes.plot([span.low, span.high], [lowest, lowest], color=colours[index], linewidth=5, alpha=0.35,
                  solid_capstyle="butt")  # fmt: skip
        if not best.edge and not law.warnings:
            axes.plot(span.value, lowest, "D", ms=8, mfc="none", mec=FORECAST, mew=1.6)
    for end in law.vocab_range:
        axes.axvline(end, color=GREY, linewidth=1, linestyle=":")
    count_axis(axes, "x", "vocabulary size V, tokens (dotted: those of the study)")
    loss_axis(axes, "bits per byte of the law")
    legend_beside(figure, axes)
    return figure
