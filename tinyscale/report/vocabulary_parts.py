"""The picture of what a vocabulary costs: how few kinds of tokens cover the text, and where the parameters are."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from tinyscale.accounting import count_parameters
from tinyscale.report.content import ReportContent
from tinyscale.report.style import FORECAST, HELD, INK, count_axis, panels, size_colours
from tinyscale.report.vocabulary_cells import vocabulary_cells
from tinyscale.spec import ModelConfig, Point, Trial, VocabularyFacts, short_count

_SMALLEST_LABEL, _FEW = 0.06, 4
_BLOCKS = "#c9c9c9"


def vocabulary_parts_figure(content: ReportContent) -> Figure | None:
    """Left: coverage by the most frequent kinds of tokens. Right: parameters by part, in models of one shape."""
    models = _one_shape(content.trials)
    if len(models) < 2:
        return None
    figure, axes = panels(2 if content.vocabularies else 1, height=4.8)
    if content.vocabularies:
        _coverage(axes[0], content.vocabularies)
    _parts(axes[-1], models)
    _losses(axes[-1], models, content.points)
    return figure


def _one_shape(trials: Sequence[Trial]) -> dict[int, ModelConfig]:
    """Models by vocabulary, ascending, of the width and depth that most vocabularies share, the larger of equals."""
    shapes: dict[tuple[int, int], dict[int, ModelConfig]] = defaultdict(dict)
    for trial in trials:
        if not trial.holdout:
            shapes[trial.model.hidden_size, trial.model.num_layers].setdefault(trial.model.vocab_size, trial.model)
    best = max(shapes, key=lambda shape: (len(shapes[shape]), shape[0] ** 2 * shape[1]), default=None)
    return dict(sorted(shapes[best].items())) if best else {}


def _coverage(axes: Axes, vocabularies: Sequence[VocabularyFacts]) -> None:
    colours = size_colours(facts.vocab_size for facts in vocabularies)
    for facts in vocabularies:
        kinds, shares = zip(*facts.coverage, strict=True)
        axes.plot(kinds, shares, color=colours[facts.vocab_size], label=f"V = {facts.vocab_size:,}")
    largest = vocabularies[-1]
    for facts in vocabularies[:-1]:
        kept = dict(largest.coverage).get(facts.vocab_size)
        if kept is not None:
            style: dict[str, Any] = {"ms": 7, "mfc": colours[facts.vocab_size], "mec": INK, "mew": 0.8}
            label = f"of V = {largest.vocab_size:,}, {facts.vocab_size:,} kinds: {_share(kept)}"
            axes.plot(facts.vocab_size, kept, "D", linestyle="none", label=label, zorder=4, **style)
    count_axis(axes, "x", "most frequent kinds of tokens, k")
    axes.set_ylim(0, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.set_ylabel("share of the training tokens")
    axes.set_title("how few kinds cover the text")
    axes.legend(loc="lower right", fontsize=9)


def _parts(axes: Axes, models: Mapping[int, ModelConfig]) -> None:
    counts = [count_parameters(model) for model in models.values()]
    floor = [0.0] * len(counts)
    tied = all(model.tie_embeddings for model in models.values())
    for name, sizes, colour, ink in (
        ("embeddings", [count.token_embedding + count.position_embedding for count in counts], FORECAST, "white"),
        ("blocks", [count.blocks for count in counts], _BLOCKS, INK),
        ("final norm (tied head)" if tied else "head, final norm",
         [count.head + count.final_norm for count in counts], HELD, "white"),
    ):  # fmt: skip
        shares = [part / count.total for part, count in zip(sizes, counts, strict=True)]
        axes.bar(range(len(counts)), shares, 0.6, floor, color=colour, label=name)
        for place, (share, below) in enumerate(zip(shares, floor, strict=True)):
            if share >= _SMALLEST_LABEL:
                axes.text(place, below + share / 2, _share(share), color=ink, ha="center", va="center", fontsize=10)
        floor = [below + share for below, share in zip(floor, shares, strict=True)]
    letter = "V = " * (len(models) <= _FEW)
    labels = [f"{letter}{v:,}\n{short_count(count.total)}" for v, count in zip(models, counts, strict=True)]
    axes.set_xticks(range(len(counts)), labels)
    axes.set_ylim(0, 1.1)
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.set_ylabel("share of the parameters")
    axes.grid(visible=False, axis="x")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3)


def _losses(axes: Axes, models: Mapping[int, ModelConfig], points: Sequence[Point]) -> None:
    """Above the bars, at the budget that most vocabularies have: equal text where there is such, then the largest."""
    one = next(iter(models.values()))
    cells = vocabulary_cells(p for p in points if (p.hidden_size, p.num_layers) == (one.hidden_size, one.num_layers))
    fairest = max(cells, key=lambda cell: (len(cell.points), cell.of_text, cell.budget), default=None)
    measured = fairest.points if fairest else {}
    for place, vocab_size in enumerate(models):
        if vocab_size in measured:
            axes.text(place, 1.02, f"{measured[vocab_size].bpb:.3f}", ha="center", va="bottom", fontsize=10)
    loss = f"; bits per byte after {fairest.said}" if fairest else ""
    axes.set_title(f"d{one.hidden_size}, L{one.num_layers}{loss}")


def _share(share: float) -> str:
    """In percent, to the hundredth where it is close to all, which it is not before it is: 43 %, 99.31 %, 100 %."""
    return f"{math.floor(10_000 * share) / 100:g} %" if share > 0.99 else f"{100 * share:.0f} %"
