"""The picture of how the trials learned."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tinyscale.report.content import ReportContent
from tinyscale.report.style import FLOOR, HELD, INK, count_axis, legend_beside, loss_axis, panels, size_colours
from tinyscale.spec import Record

WINDOWS = 60
"""Log-spaced windows in which the training loss is averaged."""
ENDED_BADLY = ("diverged", "failed")
LINE_STYLES = ("-", "--", ":", "-.")
"""One a vocabulary."""

Series = tuple[NDArray[np.float64], NDArray[np.float64]]


def curves_figure(content: ReportContent) -> Figure | None:
    """Loss against tokens, one line a trial: thin for the training loss, dots for the evaluations.

    The training loss, measured per token, is shown in bits per byte with the tokens per byte of the validation slice,
    so that vocabularies can be compared.
    """
    trials = [trial for trial in content.trials if content.curves.get(trial.id)]
    rates = bits_per_nat(content)
    trials = [trial for trial in trials if trial.model.vocab_size in rates]
    if not trials:
        return None
    widths = size_colours(trial.model.hidden_size for trial in trials)
    vocabularies = sorted({trial.model.vocab_size for trial in trials})
    figure, (axes,) = panels()
    starts: list[float] = []
    measured: list[float] = [content.entropy_bpb] if content.entropy_bpb else []
    for trial in trials:
        records, vocab_size = content.curves[trial.id], trial.model.vocab_size
        colour = widths[trial.model.hidden_size]
        style = LINE_STYLES[vocabularies.index(vocab_size) % len(LINE_STYLES)]
        status = content.results[trial.id].status if trial.id in content.results else "running"
        for piece in branches(records):
            tokens, losses = smooth(*_series(piece, "train/loss", rates[vocab_size]), share=_share(piece, records))
            axes.plot(tokens, losses, color=colour, linestyle=style, linewidth=1.1, alpha=0.75)
            at, evaluated = _series(piece, "eval/bpb", 1.0)
            axes.plot(at, evaluated, "o", ms=3.5, color=colour)
            if trial.holdout and len(at) and status not in ENDED_BADLY:
                axes.plot(at[-1], evaluated[-1], "*", ms=13, mfc=HELD, mec="white", linestyle="none", label="hold-out",
                          zorder=5)  # fmt: skip
            starts += losses[:1].tolist()
            measured += evaluated.tolist()
        if status in ENDED_BADLY and len(tokens):
            axes.plot(tokens[-1], losses[-1], "X", ms=9, mfc=HELD, mec="white", linestyle="none", label=status,
                      zorder=5)  # fmt: skip
    for width, colour in widths.items():
        axes.plot([], [], color=colour, label=f"hidden size {width}")
    if len(vocabularies) > 1:
        for index, vocab_size in enumerate(vocabularies):
            axes.plot([], [], color=INK, linestyle=LINE_STYLES[index % len(LINE_STYLES)], label=f"V = {vocab_size}")
    if content.entropy_bpb:
        axes.axhline(content.entropy_bpb, color=FLOOR, linestyle="--", linewidth=1.4, label="entropy of the text")
    # A diverged trial may end anywhere: where the trials started is as far up as is worth seeing.
    axes.set_ylim(0.95 * min(starts + measured), 1.05 * max(starts or measured))
    count_axis(axes, "x", "training tokens seen")
    loss_axis(axes, "loss, bits per byte")
    legend_beside(figure, axes)
    return figure


def bits_per_nat(content: ReportContent) -> dict[int, float]:
    """Bits per byte over nats per token for each vocabulary, from any evaluation that measured both."""
    vocabularies = {trial.id: trial.model.vocab_size for trial in content.trials}
    return {
        vocabularies[trial_id]: record.metrics["eval/bpb"] / record.metrics["eval/loss"]
        for trial_id, records in content.curves.items()
        for record in records
        if trial_id in vocabularies and record.metrics.get("eval/loss") and "eval/bpb" in record.metrics
    }


def branches(records: Sequence[Record]) -> list[Sequence[Record]]:
    """The records of each line of a trunk: where one ends, the tokens fall back to where the next leaves it."""
    backs = [i for i in range(1, len(records)) if records[i].tokens <= records[i - 1].tokens]
    return [records[begin:end] for begin, end in pairwise([0, *backs, len(records)])]


def _share(piece: Sequence[Record], records: Sequence[Record]) -> float:
    """Of the decades of tokens that the whole trial spans."""
    span, whole = (max(r.tokens for r in part) / max(min(r.tokens for r in part), 1) for part in (piece, records))
    return float(np.log(span) / np.log(whole)) if whole > 1 else 1.0


def smooth(tokens: NDArray[np.float64], losses: NDArray[np.float64], *, share: float = 1.0) -> Series:
    """Means of a curve in :data:`WINDOWS` log-spaced windows, those without a measurement left out.

    :param share: of the windows that the curve gets, as a part of a longer one.
    """
    if len(tokens) == 0:
        return tokens, losses
    windows = max(round(WINDOWS * share), 2)
    edges = np.geomspace(tokens[0], tokens[-1] * (1 + 1e-9), windows + 1)
    window = np.clip(np.searchsorted(edges, tokens, side="right") - 1, 0, windows - 1)
    filled = np.bincount(window, minlength=windows)
    kept = filled > 0
    mean_of = [np.bincount(window, values, windows)[kept] / filled[kept] for values in (tokens, losses)]
    return mean_of[0], mean_of[1]


def _series(records: Sequence[Record], metric: str, scale: float) -> Series:
    """Tokens and finite values of a metric."""
    kept = [r for r in records if metric in r.metrics and np.isfinite(r.metrics[metric]) and r.tokens > 0]
    return np.array([float(r.tokens) for r in kept]), np.array([scale * r.metrics[metric] for r in kept])
