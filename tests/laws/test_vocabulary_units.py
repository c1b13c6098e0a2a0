"""Per-token loss ranks small vocabularies best, bits per byte need not: measured so at equal FLOPs."""

from dataclasses import replace

import pytest

from tinyscale.laws.vocabulary_units import compare_units
from tinyscale.spec import Point


def point(vocab_size: int, flops: float, loss: float, bpb: float, unigram: float) -> Point:
    return Point(
        trial_id=f"{vocab_size}-{flops:g}", params_total=1, params_non_embedding=1, hidden_size=1, num_layers=1,
        vocab_size=vocab_size, tokens=1, text_bytes=1.0, flops=flops, loss=loss, bpb=bpb, learning_rate=1e-3, seed=0,
        unigram_loss=unigram,
    )  # fmt: skip


POINTS = [
    point(512, 1e10, 2.4, 1.9, 5.0), point(512, 1e12, 2.0, 1.5, 5.0), point(512, 1e12, 2.2, 1.7, 5.0),
    point(2048, 1e11, 3.4, 1.7, 6.9), point(2048, 1e13, 2.6, 1.3, 6.9), point(2048, 9e12, 2.9, 1.45, 6.9),
]  # fmt: skip


def test_ranks_at_the_largest_common_compute() -> None:
    found = compare_units(POINTS)
    assert (found.flops, found.vocab_sizes) == (1e12, (512, 2048))
    # V = 2048 between 3.4 at 1e11 and 2.9 at 9e12: log(10) / log(90) of the way.
    way = 1 / 1.9542425094
    assert found.loss == pytest.approx((2.0, 3.4 - 0.5 * way))
    assert found.unigram_normalised == pytest.approx((-3.0, -3.5 - 0.5 * way))
    assert found.bpb == pytest.approx((1.5, 1.7 - 0.25 * way))


def test_holdouts_are_left_out_and_unknown_unigram_losses_said() -> None:
    found = compare_units([*POINTS, replace(POINTS[1], bpb=0.1, holdout=True), replace(POINTS[0], unigram_loss=0.0)])
    assert (found.bpb[0], found.unigram_normalised) == (1.5, ())


def test_refused_where_nothing_is_common() -> None:
    with pytest.raises(ValueError, match="over two or more vocabularies only"):
        compare_units(POINTS[:3])
    with pytest.raises(ValueError, match="the runs of V = 2,048 begin above 1e"):
        compare_units([POINTS[0], POINTS[4]])
