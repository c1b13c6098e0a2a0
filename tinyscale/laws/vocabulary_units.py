"""How the vocabularies rank at equal compute, by each unit of the loss."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinyscale.laws.form import Floats
from tinyscale.spec import Point


@dataclass(frozen=True, kw_only=True)
class UnitComparison:
    """The least losses that each vocabulary reaches with one compute; the smaller the better in every unit."""

    flops: float
    """Training FLOPs, the same for all."""
    vocab_sizes: tuple[int, ...]
    """Ascending."""
    loss: tuple[float, ...]
    """Nats per token of each vocabulary: ranks small ones best, as their tokens say less."""
    unigram_normalised: tuple[float, ...]
    """The same less the unigram loss (Tao et al. 2024); empty where some point does not know it."""
    bpb: tuple[float, ...]
    """Bits per byte of text."""


def compare_units(points: Sequence[Point]) -> UnitComparison:
    """Each vocabulary's best loss at the largest compute that all of them reach.

    The best runs of a vocabulary up to each compute make its envelope; between two of them the loss is taken to fall
    with the logarithm of the compute.

    :param points: of the whole study; hold-outs are left out.
    :raises ValueError: fewer than two vocabularies, or no compute that all of them reach.
    """
    by_vocabulary: dict[int, list[Point]] = {}
    for point in sorted(points, key=lambda point: (point.vocab_size, point.flops)):
        if not point.holdout:
            by_vocabulary.setdefault(point.vocab_size, []).append(point)
    if len(by_vocabulary) < 2:
        raise ValueError("units can be compared over two or more vocabularies only: add trials with another one")
    flops = min(mine[-1].flops for mine in by_vocabulary.values())
    if late := [size for size, mine in by_vocabulary.items() if mine[0].flops > flops]:
        raise ValueError(
            f"no compute is common to all vocabularies: the runs of V = {late[0]:,} begin above {flops:.3g} FLOPs, "
            "where those of another one end; add smaller ones"
        )
    groups = list(by_vocabulary.values())
    unigram = all(point.unigram_loss > 0 for mine in groups for point in mine)
    return UnitComparison(
        flops=flops,
        vocab_sizes=tuple(by_vocabulary),
        loss=tuple(_least(mine, np.array([p.loss for p in mine]), flops) for mine in groups),
        unigram_normalised=tuple(
            _least(mine, np.array([p.loss - p.unigram_loss for p in mine]), flops) for mine in groups if unigram
        ),
        bpb=tuple(_least(mine, np.array([p.bpb for p in mine]), flops) for mine in groups),
    )


def _least(points: Sequence[Point], losses_n: Floats, flops: float) -> float:
    """The envelope of losses, in ascending order of the points' compute, at a compute within it."""
    computes_n = np.array([point.flops for point in points])
    computes = np.unique(computes_n)
    envelope = [losses_n[computes_n <= compute].min() for compute in computes]
    return float(np.interp(np.log(flops), np.log(computes), envelope))
