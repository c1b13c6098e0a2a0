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
    """Which N: total, non_embedding or effective; empty where the table does not say."""
    unit: str
    """Of the loss: bpb, or nats per token; ``loss`` where the table does not say."""
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
    seed_noise: float = 0.0
    """Standard deviation of log losses between seeds, measured or assumed, that the residuals were held against."""
    warnings: tuple[str, ...] = ()
    """What speaks against the exponents, and what to add; empty when nothing does."""
    forecast_holds: bool = True
    """The law may forecast runs up to about 3 times the largest compute; False: forecasts are withheld."""

    @property
    def exponents_hold(self) -> bool:
        """The exponents, E, A and B may be stated; False: they are withheld, and ``warnings`` says why."""
        return not self.warnings

    @property
    def verdict(self) -> str:
        """What the fit is good for, in a few words; the warnings say the rest."""
        if self.exponents_hold and self.forecast_holds:
            return "trusted"
        return f"forecast {'usable' if self.forecast_holds else 'withheld'}, exponents withheld"


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What the law says of a hold-out before it is trained. Written once, never edited."""

    trial_id: str
    name: str
    params: int
    """N, of the kind the law uses."""
    tokens: int
    """D."""
    predicted: Interval | None
    """None: withheld."""
    withheld: tuple[str, ...]
    """Why the law forecasts nothing; empty when it does."""
    unit: str
    law_digest: str
    """Digest of the LawFit that spoke."""
    fitted_on: tuple[str, ...]
    """Trials that the law had seen."""
    locked_s: float
    """Unix time of writing."""
    digest: str
    """Digest of all the above."""
