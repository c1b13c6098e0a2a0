"""The law of a study as one model's card tells it: what it is, and what it said of this model."""

from collections.abc import Sequence
from dataclasses import dataclass

from tinyscale.laws.forecast import forecast
from tinyscale.laws.select import loss_of, params_of
from tinyscale.laws.study import fit_law
from tinyscale.promote.card.points_csv import law_points, refit_difference
from tinyscale.results.store import StudyStore
from tinyscale.spec import Forecast, Interval, LawFit, Point, TrialResult, read_json, short_count


@dataclass(frozen=True, kw_only=True)
class CardLaw:
    """The stored law with its points, or why there is none."""

    law: LawFit | None
    refused: str = ""
    points: tuple[Point, ...] = ()
    """Those that the law was fitted on, in its order; without a law, all of the study."""
    refit_difference: float = 0.0
    """Largest relative difference of a refit from these points, on the machine that wrote the card."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was said of this model's loss, beside what was measured."""

    locked: Forecast | None = None
    """Written before the model was trained."""
    said: Interval | None = None
    """In the law's unit: that forecast, or of a model that the law has seen, what it says of it. None: nothing."""
    measured: float = 0.0
    """In the same unit, on the study's slice of the validation text."""
    unit: str = "bpb"
    seen: bool = False
    """The law was fitted on this model's point too."""
    left_out: str = ""
    """Why the law neither saw it nor forecast it; empty where it did."""
    late: bool = False
    """Locked after the trial had begun, so it is no test."""

    @property
    def error(self) -> float | None:
        """(said - measured) / measured."""
        return (self.said.value - self.measured) / self.measured if self.said else None

    @property
    def inside(self) -> bool | None:
        """Whether the outcome lies in the 95 % interval."""
        return self.said.low <= self.measured <= self.said.high if self.said else None


def read_law(store: StudyStore, points: Sequence[Point]) -> CardLaw:
    """The law of a study's folder; where none was stored it is fitted, or refused with the reason.

    :param points: all of the study, in the order of its results.
    :raises ValueError: the stored law is of other points.
    """
    if store.law.exists():
        law = read_json(LawFit, store.law)
    else:
        fitted = fit_law(store)
        if fitted.law is None:
            return CardLaw(law=None, refused=fitted.refused, points=tuple(points))
        law = fitted.law
    chosen = law_points(law, points)
    return CardLaw(law=law, points=chosen, refit_difference=refit_difference(law, chosen))


def find_outcome(known: CardLaw, forecasts: Sequence[Forecast], result: TrialResult) -> Outcome:
    """Forecast against outcome, for the model that is published: that of the trial's last point."""
    point, law = result.points[-1], known.law
    for locked in forecasts:
        if locked.tokens == point.tokens:
            late = locked.locked_s > result.started_s > 0
            return Outcome(
                locked=locked, said=locked.predicted, measured=loss_of(point, locked.unit), unit=locked.unit, late=late
            )
    if law is None:
        return Outcome(measured=point.bpb)
    measured = loss_of(point, law.unit)
    if point in known.points:
        said = forecast(law, params_of(point, law.params), point.tokens) if law.forecast_holds else None
        return Outcome(said=said, measured=measured, unit=law.unit, seen=True)
    labels = point.trial_id, f"{point.trial_id} at D={short_count(point.tokens)}"
    reasons = [law.excluded[label] for label in labels if label in law.excluded]
    return Outcome(measured=measured, unit=law.unit, left_out=reasons[0] if reasons else "it is not among its points")
