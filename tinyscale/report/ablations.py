"""The picture of an ablation: where each variant ended, and how it got there."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tinyscale.laws.ablation_words import field_words, held_words, numbers_of, variant_names
from tinyscale.report.content import ANSWER_ROWS, ReportContent
from tinyscale.report.curves import branches
from tinyscale.report.style import FORECAST, GREY, HELD, INK, count_axis, loss_axis, panels, plain_axis, png, styled
from tinyscale.spec import Answer, Record, VariantCell

COLOURS = (INK, FORECAST, "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
"""Of variants that are words (Okabe & Ito 2008), again from the first after the last."""
TOP = 0.96
"""Where a run that diverged is marked, as a fraction of the picture's height."""


def draw_answers(content: ReportContent) -> dict[str, bytes]:
    """A PNG for each question that has something to show: ``question_1``, in the study's order."""
    drawn: dict[str, bytes] = {}
    with styled():
        for index, answer in enumerate(content.answers, start=1):
            if (figure := answer_figure(answer, content)) is not None:
                drawn[f"question_{index}"] = png(figure)
    return drawn


def answer_figure(answer: Answer, content: ReportContent) -> Figure | None:
    """A row for each of the first cells. Left: the loss at the end with its 95 % interval, the best ringed. Right: the
    evaluations on the way there. Crosses mark runs that diverged."""
    cells = [cell for cell in answer.cells if any(v.losses or v.diverged for v in cell.variants)][:ANSWER_ROWS]
    if not cells:
        return None
    figure, _ = panels(0, height=4 * len(cells))
    for row, cell in enumerate(cells):
        left, right = (figure.add_subplot(len(cells), 2, 2 * row + side) for side in (1, 2))
        colours = _colours(cell)
        _ends(left, cell, field_words(answer.varies[0]), colours)
        _ways(right, cell, colours, content)
        left.set_title(f"{held_words(cell)}: at the end" if cell.held else "at the end")
        right.set_title("on the way")
    return figure


def _ends(axes: Axes, cell: VariantCell, field: str, colours: Sequence[Any]) -> None:
    names, numbers = variant_names(cell.variants), numbers_of(cell.variants)
    logs = numbers is not None and min(numbers) > 0
    places = list(numbers) if numbers and logs else [float(place) for place in range(len(names))]
    known = [(place, v) for place, v in zip(places, cell.variants, strict=True) if v.loss]
    if numbers:
        axes.plot([place for place, _ in known], [v.loss.value for _, v in known if v.loss], color=GREY, lw=1.1)
    best = next((v for v in cell.variants if v.loss and v.above_best is None), None)
    for place, variant, colour in zip(places, cell.variants, colours, strict=True):
        if span := variant.loss:
            away = [[span.value - span.low], [span.high - span.value]]
            axes.errorbar(place, span.value, yerr=away, fmt="o", ms=6, color=colour, mec="white", capsize=4)
            if variant is best:
                axes.plot(place, span.value, "o", ms=15, mfc="none", mec=INK, mew=1.6)
        if variant.diverged:
            _cross(axes, place, colour)
            axes.annotate("diverged", (place, TOP), xycoords=axes.get_xaxis_transform(), xytext=(0, -9),
                          textcoords="offset points", ha="center", va="top", fontsize=8, color=HELD)  # fmt: skip
        elif not variant.losses:
            axes.annotate("no outcome", (place, 0.03), xycoords=axes.get_xaxis_transform(), ha="center", fontsize=8,
                          color=GREY)  # fmt: skip
    loss_axis(axes, "validation loss, bits per byte")
    if logs:
        plain_axis(axes, places, field)
    else:
        axes.set_xticks(places, names)
        axes.set_xlabel(field)
        axes.set_xlim(-0.6, len(names) - 0.4)
    axes.tick_params(axis="x", labelsize=9 if len(names) > 5 else None)
    if any(variant.diverged for variant in cell.variants):
        _headroom(axes)


def _ways(axes: Axes, cell: VariantCell, colours: Sequence[Any], content: ReportContent) -> None:
    top = 0.0
    lowest: list[float] = []
    for variant, name, colour in zip(cell.variants, variant_names(cell.variants), colours, strict=True):
        label = f"{name}, diverged" if variant.diverged else name
        for trial_id in variant.trial_ids:
            result = content.results.get(trial_id)
            gone = result is not None and result.status == "diverged"
            for tokens, losses in _evaluations(content.curves.get(trial_id, ())):
                axes.plot(tokens, losses, "o-", ms=2.5, lw=1.2, color=colour, label=label)
                lowest.append(min(losses))
                top = top if gone else max(top, losses[0])
            if gone and (end := _last_tokens(trial_id, content)):
                _cross(axes, end, colour, label=label)
    if lowest:
        axes.set_ylim(0.95 * min(lowest), 1.08 * max(top, 1.2 * min(lowest)))
    count_axis(axes, "x", "training tokens seen", narrow=True)
    loss_axis(axes, "validation loss, bits per byte")
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    axes.legend(unique.values(), unique.keys(), loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=9)


def _cross(axes: Axes, x: float, colour: Any, *, label: str = "_") -> None:
    axes.plot(x, TOP, "X", ms=9, mfc=colour, mec=HELD, mew=1.2, transform=axes.get_xaxis_transform(), clip_on=False,
              linestyle="none", label=label, zorder=5)  # fmt: skip


def _headroom(axes: Axes) -> None:
    """Room above what was measured, for what is marked at the top."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * (high / low) ** 0.25)


def _last_tokens(trial_id: str, content: ReportContent) -> int:
    """Tokens that a run had seen when it ended; 0: not known."""
    trial = next((trial for trial in content.trials if trial.id == trial_id), None)
    seen = [record.tokens for record in content.curves.get(trial_id, ())][-1:]
    return max([content.results[trial_id].steps * trial.batch_tokens if trial else 0, *seen])


def _evaluations(records: Sequence[Record]) -> Iterator[tuple[list[int], list[float]]]:
    """Tokens and bits per byte of each line of a trial."""
    for piece in branches(records):
        found = [(r.tokens, r.metrics["eval/bpb"]) for r in piece if np.isfinite(r.metrics.get("eval/bpb", np.nan))]
        if found:
            yield [tokens for tokens, _ in found], [loss for _, loss in found]


def _colours(cell: VariantCell) -> list[Any]:
    """From dark to bright for numbers, ascending; else one that tells its variant from the others."""
    count = len(cell.variants)
    if numbers_of(cell.variants):
        return [colormaps["viridis"](shade) for shade in np.linspace(0.0, 0.88, count)]
    return [COLOURS[index % len(COLOURS)] for index in range(count)]
