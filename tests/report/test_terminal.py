"""The law on the terminal, without a picture library."""

import io
import subprocess
import sys

from rich.console import Console
from rich.table import Table

from tinyscale.report.content import ReportContent, number
from tinyscale.report.terminal import forecast_table, law_lines, law_table
from tinyscale.spec import LawFit


def shown(table: Table) -> str:
    console = Console(width=160, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


def test_lines_tell_law_warnings_and_forecasts(content: ReportContent, law: LawFit) -> None:
    lines = law_lines(law, content.forecasts, content.results)
    text = "\n".join(lines)
    assert lines[0].startswith(f"bpb = {number(law.E)} + ")
    assert f"alpha = {number(law.alpha)}, 95 % interval {number(law.intervals['alpha'].low)} to " in text
    for warning in law.warnings:
        assert warning in text
    assert "inside the interval" in text
    assert lines[-1].endswith("not trained yet")


def test_no_law_says_why() -> None:
    assert law_lines(None, (), {}, refused="add 3 trials") == ["no law: add 3 trials"]


def test_tables(content: ReportContent, law: LawFit) -> None:
    assert "exponent of the data term" in shown(law_table(law))
    text = shown(forecast_table(content.forecasts, content.results))
    assert content.forecasts[0].name in text
    assert "%" in text


def test_numbers_are_short() -> None:
    assert [number(x) for x in (0.34731, 477.83, 12846.2, 1.2345e8, 2e-5, 0.0)] == [
        "0.3473", "477.8", "12,846", "1.23e+08", "2.00e-05", "0.000",
    ]  # fmt: skip


def test_the_terminal_needs_no_matplotlib() -> None:
    code = "import sys, tinyscale.report.terminal, tinyscale.report.page; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
