"""What the page tells in tables and lines of what stands beside the law."""

from dataclasses import dataclass

from tinyscale.report.content import ReportContent
from tinyscale.spec import Interval, RateCell, VocabularyLaw, VocabularyOptimum, short_count
from tinyscale.spec.words import number

Cell = tuple[str, str]
"""What is said, and the small print under it."""


@dataclass(frozen=True, kw_only=True)
class OptimumRow:
    """The best run for a compute; of withheld numbers only the ends of their intervals are there."""

    flops: float
    params_non_vocab: Cell
    vocab_size: Cell
    tokens: Cell
    bpb: Cell
    edge: str
    """Where the search ran into an end."""


def at_end_of_search(best: VocabularyOptimum, name: str = "V") -> bool:
    """The best V, or N_nv, lies where the search ended, which is no place to quote."""
    return f"the best {name} lies at" in best.edge


def optimum_row(best: VocabularyOptimum, law: VocabularyLaw) -> OptimumRow:
    """A row of the table of best vocabularies."""

    def cell(known: Interval, at_end: bool) -> Cell:
        span = f"{_count(known.low)} to {_count(known.high)}"
        if at_end:
            return "at the end searched", ""
        return (span, "") if law.warnings else (_count(known.value), span)

    ends = {name: at_end_of_search(best, name) for name in ("V", "N_nv")}
    return OptimumRow(
        flops=best.flops,
        params_non_vocab=cell(best.params_non_vocab, ends["N_nv"]),
        vocab_size=cell(best.vocab_size, ends["V"]),
        tokens=cell(best.tokens, any(ends.values())),
        bpb=(number(best.bpb.value), f"{number(best.bpb.low)} to {number(best.bpb.high)}"),
        edge=best.edge,
    )


def cell_name(cell: RateCell) -> str:
    """A cell of learning rates in words, such as ``d48, L2, V512, 500k tokens``."""
    shape = f"d{cell.hidden_size}, L{cell.num_layers}, V{cell.vocab_size}"
    return f"{shape}, {short_count(cell.tokens)} tokens"


def unsaid(content: ReportContent) -> dict[str, list[str]]:
    """What the points do not tell, with the reasons."""
    analysis = content.analysis
    reasons = {
        "exponents by count of N": [analysis.counting_refused],
        "best size at equal compute": [analysis.isoflops_refused],
        "shape beyond N": [analysis.shape_refused],
        "best vocabulary": [analysis.vocabulary_refused],
    }
    if analysis.counting and all(counted.warnings for counted in analysis.counting):
        reasons["exponents by count of N"] = ["withheld under each count, as for the law itself"]
    if (vocabulary := analysis.vocabulary) and not vocabulary.forecast_holds:
        reasons["best vocabulary"] = list(vocabulary.warnings)
    return {part: told for part, told in reasons.items() if any(told)}


def withheld_reasons(content: ReportContent) -> list[str]:
    """Why forecasts were withheld when they were due, each reason once; those that the law now gives are left out."""
    given = content.law.warnings if content.law else ()
    reasons = dict.fromkeys(reason for forecast in content.forecasts for reason in forecast.withheld)
    return [reason for reason in reasons if reason not in given]


def _count(value: float) -> str:
    return f"{value:,.0f}" if value < 10_000 else short_count(round(value))
