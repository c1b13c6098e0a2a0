"""The law on the terminal, without a picture library."""

import subprocess
import sys
from dataclasses import replace

from tinyscale.report.content import ReportContent
from tinyscale.report.law import analysis_lines
from tinyscale.report.terminal import law_lines, outcome_lines
from tinyscale.spec import Analysis, Forecast, Interval, IsoFlops, LawFit, RateCell
from tinyscale.spec.words import number


def test_lines_tell_law_warnings_and_forecasts(content: ReportContent, law: LawFit) -> None:
    lines = [*law_lines(replace(law, warnings=())), *outcome_lines(content.forecasts, content.results)]
    text = "\n".join(lines)
    assert lines[0].startswith(f"bpb = {number(law.E)} + ")
    assert f"alpha = {number(law.alpha)}, 95 % interval {number(law.intervals['alpha'].low)} to " in text
    assert "verdict: trusted" in text
    assert "inside the interval" in text
    assert lines[-1].endswith("not trained yet")


def test_withheld_exponents_are_not_printed(law: LawFit) -> None:
    text = "\n".join(law_lines(replace(law, warnings=("N spans little.",), forecast_holds=False)))
    assert text.startswith("bpb = E + A / N^alpha + B / D^beta")
    assert "verdict: forecast withheld, exponents withheld" in text
    assert "warning: N spans little." in text
    assert number(law.alpha) not in text


def test_no_law_says_why() -> None:
    assert list(law_lines(None, refused="add 3 trials")) == ["no law: add 3 trials"]


def test_a_withheld_forecast_gives_its_outcome_and_no_number(content: ReportContent) -> None:
    locked: Forecast = content.forecasts[0]
    (line,) = outcome_lines([replace(locked, predicted=None, withheld=("N spans little.",))], content.results)
    assert f"{locked.name} at " in line
    assert ": withheld, locked " in line
    assert "; measured " in line
    assert "error" not in line


def test_what_stands_beside_the_law_is_told_in_a_line_each() -> None:
    spans = Interval(value=0.51, low=0.4, high=0.6)
    rates = RateCell(
        hidden_size=48, num_layers=2, vocab_size=512, tokens=500_000, rates=(0.005, 0.01, 0.02),
        losses=(1.02, 1.01, 1.0), best=0.02, at_edge=True,
    )  # fmt: skip
    analysis = Analysis(
        isoflops=IsoFlops(levels=(), a=spans, law_a=spans), rates=(rates,), shape_refused="add depths",
        vocabulary_refused="add vocabularies",
    )  # fmt: skip
    assert list(analysis_lines(analysis)) == [
        "equal compute: a = 0.5100 (95 % interval 0.4000 to 0.6000) from parabolas",
        "learning rate of d48-L2-V512 at 500k tokens: 0.02 is best, at the edge of those tried; "
        "0.005 +2.00%, 0.01 +1.00%",
        "this study cannot speak of: shape, vocabulary (the report says why, and what to add)",
    ]


def test_a_vocabulary_law_that_does_not_hold_takes_no_lines(rich: ReportContent) -> None:
    law = rich.analysis.vocabulary
    assert any(line.startswith("bpb = 0.7000 + ") for line in analysis_lines(Analysis(vocabulary=law)))
    withheld = replace(law, warnings=("Scatter.",), forecast_holds=False, budgets=())
    assert list(analysis_lines(Analysis(vocabulary=withheld))) == [
        "this study cannot speak of: vocabulary (the report says why, and what to add)"
    ]


def test_numbers_are_short() -> None:
    assert [number(x) for x in (0.34731, 477.83, 12846.2, 1.2345e8, 2e-5, 0.0)] == [
        "0.3473", "477.8", "12,846", "1.23e+08", "2.00e-05", "0.000",
    ]  # fmt: skip


def test_the_terminal_needs_no_matplotlib() -> None:
    code = "import sys, tinyscale.report.terminal, tinyscale.report.page; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
