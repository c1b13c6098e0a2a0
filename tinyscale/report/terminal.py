"""The law and its forecasts, for the terminal."""

from collections.abc import Iterator, Mapping, Sequence

from tinyscale.laws.csv_table import RunTable
from tinyscale.report.content import ForecastRow, forecast_rows
from tinyscale.spec import Forecast, LawFit, TrialResult, short_count
from tinyscale.spec.words import number

MEANINGS: Mapping[str, str] = {
    "E": "floor of the loss",
    "A": "scale of the model term",
    "B": "scale of the data term",
    "alpha": "exponent of the model term",
    "beta": "exponent of the data term",
    "a": "best model size N grows as C^a",
}
"""Parameters of the law in words, in the order they are shown."""


def table_lines(table: RunTable, law: LawFit) -> list[str]:
    """The law of somebody's table, after what was taken for what and each row left out."""
    left_out = [f"left out: {row}: {reason}" for row, reason in law.excluded.items()]
    return [f"{table.path}: {'; '.join(table.taken)}", *left_out, *law_lines(law)]


def law_lines(law: LawFit | None, refused: str = "") -> Iterator[str]:
    """The law with its intervals, its verdict and the warnings, a sentence a line.

    :param refused: why there is no law.
    """
    if law is None:
        yield f"no law: {refused}"
        return
    known = [f"V = {law.vocab_size}"] * bool(law.vocab_size)
    known += [f"N = {law.params.replace('_', '-')} parameters"] * bool(law.params)
    known += [f"residual {law.residual_rms:.2%}", f"seeds {law.seed_noise:.2%}"]
    about = f"({len(law.trial_ids)} points, {', '.join(known)})"
    if law.exponents_hold:
        terms = f"{number(law.A)} / N^{number(law.alpha)} + {number(law.B)} / D^{number(law.beta)}"
        yield f"{law.unit} = {number(law.E)} + {terms}   {about}"
        for name, meaning in MEANINGS.items():
            if found := law.intervals.get(name):
                span = f"95 % interval {number(found.low)} to {number(found.high)}"
                yield f"  {name} = {number(found.value)}, {span}: {meaning}"
    else:
        yield f"{law.unit} = E + A / N^alpha + B / D^beta   {about}"
    yield f"  verdict: {law.verdict}"
    yield from (f"  warning: {warning}" for warning in law.warnings)


def outcome_lines(forecasts: Sequence[Forecast], results: Mapping[str, TrialResult]) -> Iterator[str]:
    """Each forecast with its outcome, a sentence a line."""
    return map(forecast_line, forecast_rows(forecasts, results))


def forecast_line(row: ForecastRow) -> str:
    """One forecast and its outcome as a sentence."""
    locked, span = row.forecast, row.forecast.predicted
    run = f"{locked.name} at {short_count(locked.tokens)} tokens"
    made = f"locked {row.locked} on {len(locked.fitted_on)} points"
    if span is None:
        outcome = row.note if row.outcome is None else f"measured {number(row.outcome)} {locked.unit}"
        return f"forecast of {run}: withheld, {made}; {outcome}"
    said = f"forecast of {run}: {number(span.value)} {locked.unit} ({number(span.low)} to {number(span.high)}), {made}"
    if row.outcome is None:
        return f"{said}; {row.note}"
    where = "inside" if row.inside else "outside"
    measured = f"{said}; measured {number(row.outcome)}: error {row.error:+.2%}, {where} the interval"
    return f"{measured}; {row.note}" if row.note else measured
