"""The vocabulary, and the size, that a compute is best spent on."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tinyscale.laws.bootstrap import interval, with_scatter
from tinyscale.laws.form import Floats
from tinyscale.laws.noise import run_noise
from tinyscale.laws.vocabulary_form import Terms, bytes_per_token, draws_of, predict_bpb
from tinyscale.spec import Interval, VocabularyLaw, VocabularyOptimum

LEAST_VOCABULARY = 257
"""Bytes and end-of-text: the smallest vocabulary that a byte-level tokenizer has."""
VOCABULARY_BEYOND = 2.0
"""How far beyond the vocabularies fitted the best one is looked for, as a factor."""
PARAMS_BEYOND = 3.0
"""Likewise for N_nv, which 3 times the largest compute may take beyond the sizes fitted."""
COARSE, FINE, ROUNDS = 33, 9, 12
"""Places along an axis at first, then in each round, which halves the distance between them."""
NEAR_END = 1e-3
"""In logs: as good as at the end of the range searched."""
SURE = 0.025
"""Of the draws: as many at an end make it the end of the 95 % interval."""
Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Purchase:
    """A training compute, and what it may be spent on."""

    flops: float
    """C = 6 (N_nv + V d) D."""
    bytes_per_token: tuple[float, float, float]
    """Of :class:`tinyscale.spec.VocabularyLaw`."""
    width: tuple[float, float]
    """w0, w1 of ln d = w0 + w1 ln N_nv; (ln d, 0) for a given width."""
    params_non_vocab: Range
    """N_nv, smallest and largest; both the same where it is given."""
    vocab_size: Range
    """V, likewise."""

    def log_width(self, log_n: Floats) -> Floats:
        """ln d at ln N_nv."""
        return self.width[0] + self.width[1] * log_n

    def tokens(self, log_n: Floats, log_v: Floats) -> Floats:
        """D that the compute buys."""
        return self.flops / (6 * (np.exp(log_n) + np.exp(log_v + self.log_width(log_n))))

    def bpb(self, theta_d7: Floats, log_n: Floats, log_v: Floats) -> Floats:
        """Loss under each law at places of shape (m,) or (d, m), (d, m)."""
        text_bytes = self.tokens(log_n, log_v) * bytes_per_token(self.bytes_per_token, log_v)
        return predict_bpb(theta_d7, np.exp(log_n), np.exp(log_v + self.log_width(log_n)), text_bytes)


def least_loss(theta_d7: Floats, purchase: Purchase) -> tuple[Floats, Floats]:
    """ln N_nv and ln V of the least loss under each law, (d,) each.

    A grid over the whole range, then ever finer ones around the best place of each law: the loss may have a minimum
    at either end besides the one inside.
    """
    lows, highs = (np.log(ends) for ends in zip(purchase.params_non_vocab, purchase.vocab_size, strict=True))
    middle_d2 = np.tile((lows + highs) / 2, (len(theta_d7), 1))
    half_2 = (highs - lows) / 2
    for round_ in range(ROUNDS):
        steps = COARSE if round_ == 0 else FINE
        # An axis without extent is looked at in one place.
        n_axis, v_axis = (np.linspace(-half, half, steps if half > 0 else 1) for half in half_2)
        log_n = np.clip(middle_d2[:, 0, None] + np.repeat(n_axis, len(v_axis)), lows[0], highs[0])
        log_v = np.clip(middle_d2[:, 1, None] + np.tile(v_axis, len(n_axis)), lows[1], highs[1])
        best_d = purchase.bpb(theta_d7, log_n, log_v).argmin(axis=1)
        index_d = np.arange(len(theta_d7))
        middle_d2 = np.column_stack([log_n[index_d, best_d], log_v[index_d, best_d]])
        # Two of the old distances to either side hold the minimum even where the valley lies askew.
        half_2 = 4 * half_2 / (steps - 1)
    return middle_d2[:, 0], middle_d2[:, 1]


def best_run(
    law: VocabularyLaw,
    flops: float,
    *,
    params_fitted: Range,
    shape: tuple[float, float] | None = None,
    vocab_size: int | None = None,
) -> VocabularyOptimum:
    """The best run that a compute buys, with the 95 % intervals of the bootstrap's draws.

    The interval of the loss is that of one run at the best place: where the law may lie, and how far one run falls
    from it (:func:`tinyscale.laws.bootstrap.run_interval`).

    :param flops: C = 6 (N_nv + V d) D.
    :param params_fitted: N_nv of the points, smallest and largest; beyond them, ``edge`` says so.
    :param shape: N_nv and hidden_size, where they are given; else the best N_nv is sought, with the law's width.
    :param vocab_size: V, where it is given.
    """
    theta_d7 = draws_of(law)
    purchase = Purchase(
        flops=flops,
        bytes_per_token=law.bytes_per_token,
        width=law.width if shape is None else (math.log(shape[1]), 0.0),
        params_non_vocab=_searched(params_fitted, PARAMS_BEYOND) if shape is None else (shape[0], shape[0]),
        vocab_size=vocabularies_searched(law) if vocab_size is None else (vocab_size, vocab_size),
    )
    log_n_d, log_v_d = least_loss(theta_d7, purchase)
    bpb_d = purchase.bpb(theta_d7, log_n_d[:1], log_v_d[:1])[:, 0]
    edges = [
        *_edges("V", np.exp(log_v_d), purchase.vocab_size, law.vocab_range, "vocabularies"),
        *_edges("N_nv", np.exp(log_n_d), purchase.params_non_vocab, params_fitted, "model sizes"),
    ]
    return VocabularyOptimum(
        flops=float(flops),
        params_non_vocab=_of(np.exp(log_n_d)),
        vocab_size=_of(np.exp(log_v_d)),
        tokens=_of(purchase.tokens(log_n_d, log_v_d)),
        bpb=run_bpb(bpb_d, law),
        edge="; ".join(edges),
    )


def vocabularies_searched(law: VocabularyLaw) -> Range:
    """Smallest and largest V that a law speaks of: somewhat beyond those fitted, but no less than the bytes."""
    low, high = _searched(law.vocab_range, VOCABULARY_BEYOND)
    return max(low, LEAST_VOCABULARY), high


def run_bpb(bpb_d: Floats, law: VocabularyLaw) -> Interval:
    """Loss of one new run from that under the optimum and each draw, (1 + draws,)."""
    noise = run_noise(law.residual_rms, len(law.trial_ids), len(set(law.trial_ids)), len(Terms._fields))
    return with_scatter(float(bpb_d[0]), bpb_d[1:], noise)


def _searched(fitted: Range, beyond: float) -> Range:
    return fitted[0] / beyond, fitted[1] * beyond


def _of(values_d: Floats) -> Interval:
    """The optimum, which stands first, with the interval of the draws behind it."""
    return interval(float(values_d[0]), values_d[1:])


def _edges(name: str, values_d: Floats, searched: Range, fitted: Range, what: str) -> Iterator[str]:
    """Where the best place, or its interval, ran into an end of what was searched or fitted; nothing where given."""
    low, high = searched
    if low == high:
        return
    ends = ((low, fitted[0], "smallest", "smaller", -1), (high, fitted[1], "largest", "larger", 1))
    for end, last, superlative, comparative, sign in ends:
        at_end_d = np.abs(np.log(values_d / end)) < NEAR_END
        if at_end_d[0]:
            yield (
                f"the best {name} lies at {end:,.0f}, the end of what was searched, or beyond (the {superlative} "
                f"fitted is {last:,.0f}): add {comparative} {what}"
            )
            continue
        if sign * (values_d[0] - last) > 0:
            yield f"the best {name} is {comparative} than any fitted ({last:,.0f}): add {comparative} {what}"
        if at_end_d[1:].mean() >= SURE:
            yield f"the interval of {name} is cut off at {end:,.0f}, the end of what was searched"
