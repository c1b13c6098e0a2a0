"""What the points say beside the law L(N, D): shapes, vocabularies, counts of N, equal compute, learning rates."""

from collections.abc import Mapping
from dataclasses import dataclass

from tinyscale.spec.law import Interval


@dataclass(frozen=True, kw_only=True)
class CountedLaw:
    """The law L(N, D) of one study, refitted with another count of N (Porian et al. 2024)."""

    params: str
    """What N counts: total, non_embedding, or effective (FLOPs a token / 6)."""
    alpha: Interval
    """Exponent of N."""
    beta: Interval
    """Exponent of D."""
    a: Interval
    """Exponent of the best N in C."""
    residual_rms: float
    """Root mean square of the log residuals."""
    warnings: tuple[str, ...] = ()
    """What speaks against these exponents; empty when nothing does."""


@dataclass(frozen=True, kw_only=True)
class ShapeLaw:
    """loss = E + A / (hidden^gamma layers^delta) + B / D^beta, beside L(N, D) on the same points."""

    E: float
    A: float
    B: float
    gamma: Interval
    """Exponent of hidden_size."""
    delta: Interval
    """Exponent of num_layers."""
    beta: Interval
    ratio: Interval
    """gamma / delta; where the blocks alone count, N goes as hidden^2 layers and a law of N has 2."""
    residual_rms: float
    law_residual_rms: float
    """Of L(N, D), on the same points."""
    matters: bool
    """Shape explains what N does not, beyond chance."""
    said: str
    """The finding in a sentence."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class IsoFlop:
    """Runs of one training compute, and the parabola of their loss in log N (Hoffmann et al. 2022, approach 2)."""

    flops: float
    """C of the level."""
    params: tuple[float, ...]
    """N of each cell, ascending."""
    loss: tuple[float, ...]
    """Of each cell (mean over seeds)."""
    coefficients: tuple[float, float, float] | None
    """c0, c1, c2 of loss = c0 + c1 x + c2 x^2 with x = ln N; None where refused."""
    best_params: float | None
    """N at the minimum; None where refused."""
    refused: str = ""
    """Why this level gives no minimum."""


@dataclass(frozen=True, kw_only=True)
class IsoFlops:
    """The levels of equal compute, and the exponent that their minima give."""

    levels: tuple[IsoFlop, ...]
    a: Interval | None
    """Exponent of the best N in C, over the levels that have a minimum; None with fewer than three."""
    law_a: Interval
    """The same from the law L(N, D), for comparison."""


@dataclass(frozen=True, kw_only=True)
class RateCell:
    """The learning rates tried at one shape, vocabulary and token budget."""

    hidden_size: int
    num_layers: int
    vocab_size: int
    tokens: int
    rates: tuple[float, ...]
    """Peak learning rates, ascending."""
    losses: tuple[float, ...]
    """Bits per byte at each (mean over seeds)."""
    best: float
    """The rate that did best, and whose points the law sees."""
    at_edge: bool
    """The best is the smallest or largest tried, so a better one may lie beyond."""
    pruned: tuple[float, ...] = ()
    """Rates that ASHA stopped early, ascending: tried as well, with no loss at the budget."""

    @property
    def regrets(self) -> tuple[float, ...]:
        """Loss at each rate over that at the best, less one."""
        least = min(self.losses)
        return tuple(loss / least - 1 for loss in self.losses)


@dataclass(frozen=True, kw_only=True)
class VocabularyOptimum:
    """The vocabulary that gives the least loss for a training compute, with or without a given model size."""

    flops: float
    """C, with 6 (N_nv + V d) FLOPs a token."""
    params_non_vocab: Interval
    """N_nv: as given, or the best for this compute."""
    vocab_size: Interval
    """The best V."""
    tokens: Interval
    """D that the compute buys at the best V."""
    bpb: Interval
    """What one such run will measure."""
    edge: str = ""
    """In words, where V ran into the end of the range that the study's vocabularies span; else empty."""


@dataclass(frozen=True, kw_only=True)
class VocabularyLaw:
    """bpb = E + A1 / N_nv^alpha1 + A2 / (V d)^alpha2 + B / bytes^beta (after Tao et al. 2024)."""

    E: float
    A1: float
    alpha1: float
    A2: float
    alpha2: float
    B: float
    beta: float
    intervals: Mapping[str, Interval]
    """By parameter name."""
    draws: tuple[tuple[float, ...], ...]
    """Bootstrap draws of the seven parameters, in the order above."""
    bytes_per_token: tuple[float, float, float]
    """c0, c1, c2 of bytes per token = c0 + c1 ln V + c2 (ln V)^2, from the study's tokenizers (c2 is 0 with two)."""
    width: tuple[float, float]
    """w0, w1 of ln hidden_size = w0 + w1 ln N_nv, from the study's shapes."""
    vocab_range: tuple[int, int]
    """Smallest and largest vocabulary fitted."""
    residual_rms: float
    trial_ids: tuple[str, ...]
    sizes: tuple[VocabularyOptimum, ...]
    """For each model size fitted, at the largest compute that it was trained with; empty where forecasts don't hold."""
    budgets: tuple[VocabularyOptimum, ...]
    """For a few computes from the smallest to 3 times the largest fitted, the best size taken with it; likewise."""
    forecast_holds: bool = True
    warnings: tuple[str, ...] = ()
    """What speaks against the parameters; empty when nothing does."""


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """All of it for one study; what could not be had is None, with the reason."""

    counting: tuple[CountedLaw, ...] = ()
    counting_refused: str = ""
    shape: ShapeLaw | None = None
    shape_refused: str = ""
    isoflops: IsoFlops | None = None
    isoflops_refused: str = ""
    vocabulary: VocabularyLaw | None = None
    vocabulary_refused: str = ""
    rates: tuple[RateCell, ...] = ()
    """Cells in which several learning rates were tried."""
