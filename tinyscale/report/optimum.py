"""The picture of the vocabulary that a compute is best spent on."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tinyscale.laws.form import Floats
from tinyscale.laws.vocabulary_form import terms_of
from tinyscale.laws.vocabulary_optimum import PARAMS_BEYOND, Purchase, least_loss, vocabularies_searched
from tinyscale.report.content import ReportContent
from tinyscale.report.style import FORECAST, GREY, HELD, INK, legend_beside, loss_axis, panels, plain_axis, size_colours
from tinyscale.report.tables import at_end_of_search
from tinyscale.spec import VocabularyLaw, VocabularyOptimum

STEPS = 60
"""Vocabularies along each line."""


def vocabulary_optimum_figure(content: ReportContent) -> Figure | None:
    """Bits per byte against V at a few computes under the law of the vocabulary, each V with the best size for it.

    The best V is marked with its interval; with its interval alone, where the law's exponents are withheld; as a
    triangle, where it lies at the end of what was searched.
    """
    law = content.analysis.vocabulary
    if law is None or not law.budgets:
        return None
    V = np.geomspace(*vocabularies_searched(law), STEPS)
    sizes = [point.params_non_embedding for point in content.points if point.trial_id in law.trial_ids]
    colours = size_colours(range(len(law.budgets)))
    figure, (axes,) = panels(height=4.6)
    least: list[float] = []
    for index, best in enumerate(law.budgets):
        losses = _losses(law, best.flops, V, (min(sizes) / PARAMS_BEYOND, max(sizes) * PARAMS_BEYOND))
        axes.plot(V, losses, color=colours[index], label=f"C = {best.flops:.2g} FLOP")
        least.append(min(losses))
    for best, loss in zip(law.budgets, least, strict=True):
        _mark(axes, best, law, loss)
    low, high = law.vocab_range
    axes.axvspan(low, high, color=GREY, alpha=0.12, linewidth=0, label="vocabularies of the study")
    doublings = 2.0 ** np.arange(np.ceil(np.log2(V[0])), np.floor(np.log2(V[-1])) + 1)
    plain_axis(axes, doublings, "vocabulary size V, tokens")
    loss_axis(axes, "loss of the law, bits per byte")
    legend_beside(figure, axes)
    return figure


def _losses(law: VocabularyLaw, flops: float, vocab_sizes: Floats, params: tuple[float, float]) -> list[float]:
    """The least loss that a compute buys with each vocabulary."""
    theta_17 = np.array([terms_of(law)])
    losses: list[float] = []
    for size in vocab_sizes:
        purchase = Purchase(
            flops=flops, bytes_per_token=law.bytes_per_token, width=law.width, params_non_vocab=params,
            vocab_size=(size, size),
        )  # fmt: skip
        losses.append(float(purchase.bpb(theta_17, *least_loss(theta_17, purchase))[0, 0]))
    return losses


def _mark(axes: Axes, best: VocabularyOptimum, law: VocabularyLaw, loss: float) -> None:
    span = best.vocab_size
    if at_end_of_search(best):
        marker = "<" if span.value < law.vocab_range[0] else ">"
        axes.plot(span.value, loss, marker, ms=11, mfc="white", mec=HELD, mew=1.8, linestyle="none", zorder=5,
                  label="least at the end searched", clip_on=False)  # fmt: skip
        return
    axes.plot([span.low, span.high], [loss, loss], "|-", color=INK, ms=15, mew=2, linewidth=2, zorder=4,
              label="95 % interval of the best V")  # fmt: skip
    if not law.warnings:
        inside = law.vocab_range[0] <= span.value <= law.vocab_range[1]
        axes.plot(span.value, loss, "D", ms=6, mfc=FORECAST if inside else "white", mec=FORECAST, mew=1.6, zorder=5,
                  linestyle="none", label="best V" if inside else "best V, beyond those of the study")  # fmt: skip
