"""The law on the terminal, without a picture library."""

import subprocess
import sys
from dataclasses import replace

from tinyscale.report.content import ReportContent, number
from tinyscale.report.terminal import law_lines
from tinyscale.spec import LawFit


def test_lines_tell_law_warnings_and_forecasts(content: ReportContent, law: LawFit) -> None:
    lines = law_lines(replace(law, warnings=()), content.forecasts, content.results)
    text = "\n".join(lines)
    assert lines[0].startswith(f"bpb = {number(law.E)} + ")
    assert f"alpha = {number(law.alpha)}, 95 % interval {number(law.intervals['alpha'].low)} to " in text
    assert "verdict: trusted" in text
    assert "inside the interval" in text
    assert lines[-1].endswith("not trained yet")


def test_withheld_exponents_are_not_printed(law: LawFit) -> None:
    text = "\n".join(law_lines(replace(law, warnings=("N spans little.",), forecast_holds=False), (), {}))
    assert text.startswith("bpb = E + A / N^alpha + B / D^beta")
    assert "verdict: forecast withheld, exponents withheld" in text
    assert "warning: N spans little." in text
    assert number(law.alpha) not in text


def test_no_law_says_why() -> None:
    assert law_lines(None, (), {}, refused="add 3 trials") == ["no law: add 3 trials"]


def test_numbers_are_short() -> None:
    assert [number(x) for x in (0.34731, 477.83, 12846.2, 1.2345e8, 2e-5, 0.0)] == [
        "0.3473", "477.8", "12,846", "1.23e+08", "2.00e-05", "0.000",
    ]  # fmt: skip


def test_the_terminal_needs_no_matplotlib() -> None:
    code = "import sys, tinyscale.report.terminal, tinyscale.report.page; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
