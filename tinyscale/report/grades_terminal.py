"""What a grading says, on a terminal."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table

from tinyscale.grading.comparisons import in_words
from tinyscale.grading.relative import FORMULA
from tinyscale.report.grades import COLUMNS, ages
from tinyscale.report.listing import console
from tinyscale.spec import GradeSummary, Interval, JudgeFree

SHORT = {"grammar": "gram.", "creativity": "creat.", "consistency": "cons.", "instruct": "instr."}
"""Column heads that keep the table within 80 characters."""
LEGEND = (
    "ended: finished before the limit. dist-2: distinct bigrams. ROUGE: ROUGE-L within a prompt, high is repetitive. "
    "run: words in a row that stand in the training text; copies: stories that are one such run; seen: prompts in it."
)


def print_grades(summary: GradeSummary) -> None:
    """The scores, how far to trust them, and what they cost."""
    columns = [name for name in COLUMNS if any(name in score.means for score in summary.scores)]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("model", no_wrap=True)
    for name in columns:
        table.add_column(SHORT.get(name, name), justify="right", no_wrap=True)
    table.add_column("n", justify="right")
    for score in summary.scores:
        cells = [f"{score.means[name].value:.2f}" if name in score.means else "" for name in columns]
        table.add_row(score.model, *cells, str(score.stories))
    out = console()
    out.print(table)
    lines = [f"{score.model}: no mean: {score.withheld}" for score in summary.scores if score.withheld]
    for score in summary.scores:
        if span := score.means.get("overall"):
            lines.append(f"{score.model}: overall {_span(span)}; ages {ages(score)}")
    if any(score.relative for score in summary.scores):
        lines.append(f"relative score = {FORMULA}, worst = {summary.worst}, reference = {summary.reference}")
        lines += [f"  {score.model}: {_relative(score.relative)}" for score in summary.scores if score.relative]
    lines += [in_words(comparison) for comparison in summary.comparisons if comparison.criterion == "overall"]
    kappa = summary.calibration.kappa
    if kappa:
        told = ", ".join(f"{name} {value:.2f}" for name, value in kappa.items())
        lines.append(f"the judge agrees with itself (weighted kappa, {summary.calibration.repeats} stories): {told}")
    if drift := summary.calibration.drift:
        lines.append(f"drift of the judge since its first session: {_span(drift)}")
    lines += [f"warning: {warning}" for warning in summary.calibration.warnings]
    lines += [f"note: {note}" for note in summary.notes]
    if summary.instrument:
        judge = summary.instrument
        lines.append(
            f"judge: {judge.model} at {judge.base_url}, protocol {judge.protocol}, rubric {judge.rubric[:8]}; "
            f"instrument {judge.id}; {summary.calls} calls, {summary.cost_usd:.4f} USD"
        )
    for line in lines:
        out.print(line, highlight=False, markup=False, soft_wrap=True)


def print_measures(measures: Sequence[JudgeFree]) -> None:
    """What can be said without a judge."""
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, title="without a judge", title_justify="left", title_style="bold"
    )
    for column in ("model", "ended", "words", "dist-2", "ROUGE", "run", "copies", "seen"):
        table.add_column(column, justify="left" if column == "model" else "right", no_wrap=True)
    for of in measures:
        copied = "" if of.longest_copy is None else f"{of.longest_copy:.1f}"
        seen = "" if of.longest_copy is None else str(len(of.contaminated_prompts))
        table.add_row(
            of.model,
            f"{of.finished:.0%}",
            f"{of.mean_words:.0f}",
            f"{of.distinct['2']:.3f}",
            f"{of.rouge_l:.3f}",
            copied,
            "" if of.longest_copy is None else str(of.copied),
            seen,
        )
    out = console()
    out.print(table)
    out.print(LEGEND, highlight=False, soft_wrap=True)


def _span(interval: Interval) -> str:
    return f"{interval.value:.2f} (95 % interval {interval.low:.2f} to {interval.high:.2f})"


def _relative(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in scores.items())
