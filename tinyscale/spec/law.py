"""What a fit yields."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class LawFit:
    """loss = E + A/N^alpha + B/D^beta, fitted (Hoffmann et al. 2022, approach 3)."""

    params: str
    """Which N: total or non_embedding."""
    unit: str
    """Of the loss: bpb, or nats per token."""
    vocab_size: int
    """Of the trials fitted; 0 where the table does not say."""
    E: float
    A: float
    B: float
    alpha: float
    beta: float
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    """95 % bootstrap intervals of E, A, B, alpha, beta and the frontier exponent a; empty when refused."""
    draws: tuple[tuple[float, ...], ...] = ()
    """Bootstrap draws of (E, A, B, alpha, beta)."""
    objective: float = 0.0
    """Sum of Huber(1e-3) of the log residuals."""
    residual_rms: float = 0.0
    """Root mean square of the log residuals, as a fraction."""
    trial_ids: tuple[str, ...] = ()
    """Trials fitted, in the order of the points."""
    excluded: Mapping[str, str] = field(default_factory=dict)
    """Trials left out, with the reason."""
    warnings: tuple[str, ...] = ()
    """Why the exponents should not be trusted; empty when nothing speaks against them."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What the law says of a hold-out before it is trained. Written once, never edited."""

    trial_id: str
    name: str
    params: int
    """N, of the kind the law uses."""
    tokens: int
    """D."""
    predicted: Interval
    unit: str
    law_digest: str
    """Digest of the LawFit that spoke."""
    fitted_on: tuple[str, ...]
    """Trials that the law had seen."""
    locked_s: float
    """Unix time of writing."""
    digest: str
    """Digest of all the above."""
