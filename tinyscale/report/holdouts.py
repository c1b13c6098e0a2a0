"""Which hold-outs a picture may set beside the law."""

from tinyscale.report.content import ReportContent
from tinyscale.spec import LawFit, Point


def held_out(content: ReportContent, law: LawFit) -> list[Point]:
    """Measured hold-outs of the law's vocabulary."""
    return [point for point in content.points if point.holdout and point.vocab_size == law.vocab_size]


def foretold(content: ReportContent, law: LawFit) -> list[Point]:
    """Those at which the law's value may be shown: it forecasts at all, and their own forecast was not withheld."""
    withheld = {(forecast.trial_id, forecast.tokens) for forecast in content.forecasts if forecast.predicted is None}
    held = held_out(content, law) if law.forecast_holds else []
    return [point for point in held if (point.trial_id, point.tokens) not in withheld]
