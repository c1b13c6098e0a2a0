"""The law and its forecasts, for the terminal."""

from collections.abc import Iterator, Mapping, Sequence

from rich.table import Table

from tinyscale.report.content import ForecastRow, forecast_rows, number
from tinyscale.spec import Forecast, LawFit, TrialResult, short_count

MEANINGS: Mapping[str, str] = {
    "E": "floor of the loss",
    "A": "scale of the model term",
    "B": "scale of the data term",
    "alpha": "exponent of the model term",
    "beta": "exponent of the data term",
    "a": "best model size N grows as C^a",
}
"""Parameters of the law in words, in the order they are shown."""


def law_lines(
    law: LawFit | None, forecasts: Sequence[Forecast], results: Mapping[str, TrialResult], refused: str = ""
) -> list[str]:
    """The law with its intervals, the forecasts with their outcomes and the warnings, a sentence a line.

    :param refused: why there is no law.
    """
    return [*_law_lines(law, refused), *(forecast_line(row) for row in forecast_rows(forecasts, results))]


def _law_lines(law: LawFit | None, refused: str) -> Iterator[str]:
    if law is None:
        yield f"no law: {refused}"
        return
    terms = f"{number(law.A)} / N^{number(law.alpha)} + {number(law.B)} / D^{number(law.beta)}"
    yield (
        f"{law.unit} = {number(law.E)} + {terms}   ({len(law.trial_ids)} points, V = {law.vocab_size}, "
        f"N = {law.params.replace('_', '-')} parameters, residual {law.residual_rms:.2%})"
    )
    for name, meaning in MEANINGS.items():
        if known := law.intervals.get(name):
            span = f"95 % interval {number(known.low)} to {number(known.high)}"
            yield f"  {name} = {number(known.value)}, {span}: {meaning}"
    yield from (f"  warning: {warning}" for warning in law.warnings)


def forecast_line(row: ForecastRow) -> str:
    """One forecast and its outcome as a sentence."""
    locked, span = row.forecast, row.forecast.predicted
    said = (
        f"forecast of {locked.name}: {number(span.value)} {locked.unit} "
        f"({number(span.low)} to {number(span.high)}), locked {row.locked} on {len(locked.fitted_on)} points"
    )
    if row.outcome is None:
        return f"{said}; {row.note}"
    where = "inside" if row.inside else "outside"
    measured = f"{said}; measured {number(row.outcome)}: error {row.error:+.2%}, {where} the interval"
    return f"{measured}; {row.note}" if row.note else measured


def law_table(law: LawFit) -> Table:
    """Parameters with their intervals."""
    table = Table(
        title=f"{law.unit} = E + A/N^alpha + B/D^beta",
        caption=f"{len(law.trial_ids)} points, V = {law.vocab_size}, residual {law.residual_rms:.2%}",
    )
    table.add_column("")
    for heading in ("value", "95 % from", "to"):
        table.add_column(heading, justify="right")
    table.add_column("meaning")
    for name, meaning in MEANINGS.items():
        if known := law.intervals.get(name):
            table.add_row(name, number(known.value), number(known.low), number(known.high), meaning)
    return table


def forecast_table(forecasts: Sequence[Forecast], results: Mapping[str, TrialResult]) -> Table:
    """Locked forecasts beside their outcomes."""
    table = Table(title="forecasts of the hold-outs")
    table.add_column("hold-out")
    for heading in ("N", "D", "forecast", "95 % from", "to", "measured", "error"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for row in forecast_rows(forecasts, results):
        locked, span = row.forecast, row.forecast.predicted
        table.add_row(
            locked.name,
            short_count(locked.params),
            short_count(locked.tokens),
            *(number(value) for value in (span.value, span.low, span.high)),
            "" if row.outcome is None else number(row.outcome),
            "" if row.error is None else f"{row.error:+.2%}",
            row.note or ("inside the interval" if row.inside else "outside the interval"),
        )
    return table
