"""The law of a study on the terminal, with its forecasts and what the points say beside it."""

from collections.abc import Iterator, Sequence

from tinyscale.laws.ablation_words import held_words
from tinyscale.laws.forecast import study_forecasts
from tinyscale.laws.study import StudyLaw
from tinyscale.report.content import asks_for_law
from tinyscale.report.listing import console
from tinyscale.report.outlook import vocabulary_lines
from tinyscale.report.terminal import law_lines, outcome_lines
from tinyscale.results.points import read_results
from tinyscale.results.store import StudyStore
from tinyscale.spec import Analysis, Answer, RateCell, ResolvedStudy, VariantCell, read_json, short_count
from tinyscale.spec.words import number


def print_law(store: StudyStore, fitted: StudyLaw) -> None:
    """The law, its warnings, what stands beside it, the answers to the study's questions, and the forecasts with their
    outcomes, a line each."""
    resolved = read_json(ResolvedStudy, store.study)
    forecasts = study_forecasts(store.forecasts, resolved.trials)
    lines = [
        *(law_lines(fitted.law, fitted.refused) if fitted.law or asks_for_law(resolved.study, resolved.trials) else ()),
        *(analysis_lines(fitted.analysis) if fitted.analysis else ()),
        *answer_lines(fitted.answers),
        *outcome_lines(forecasts, read_results(store)),
    ]
    for line in lines:
        console().print(line, highlight=False, markup=False, soft_wrap=True)


def analysis_lines(analysis: Analysis) -> Iterator[str]:
    """Shape, equal compute, vocabulary, learning rates, as far as the points tell of them; else where to read why."""
    if analysis.shape:
        yield f"shape: {analysis.shape.said}"
    if analysis.isoflops and (a := analysis.isoflops.a):
        yield f"equal compute: a = {number(a.value)} (95 % interval {number(a.low)} to {number(a.high)}) from parabolas"
    if analysis.vocabulary and analysis.vocabulary.forecast_holds:
        yield from vocabulary_lines(analysis.vocabulary)
    yield from map(_rate_line, analysis.rates)
    silent = {
        "counts of N": analysis.counting_refused,
        "shape": analysis.shape_refused,
        "equal compute": analysis.isoflops_refused,
        "vocabulary": analysis.vocabulary_refused,
    }
    refused = [name for name, reason in silent.items() if reason]
    if analysis.vocabulary and not analysis.vocabulary.forecast_holds:
        refused.append("vocabulary")
    if refused:
        yield f"this study cannot speak of: {', '.join(refused)} (the report says why, and what to add)"


def answer_lines(answers: Sequence[Answer]) -> Iterator[str]:
    """Each question with its answer, a line for each of its cells, and the noise that they rest on."""
    for answer in answers:
        yield answer.ask
        if answer.refused:
            yield f"  no answer: {answer.refused}"
        yield from (f"  {_held(cell)}{cell.said}" for cell in answer.cells)
    if answers:
        noise = answers[0]
        how = (
            f"measured, {noise.seed_freedom} degrees of freedom" if noise.seed_measured else "assumed: none is repeated"
        )
        yield f"intervals are 95 %; runs that differ by the seed alone differ by {noise.seed_noise:.2%} ({how})"


def _held(cell: VariantCell) -> str:
    return f"{held_words(cell)}: " if cell.held else ""


def _rate_line(cell: RateCell) -> str:
    regrets = zip(cell.rates, cell.regrets, strict=True)
    others = [f"{rate:.2g} {regret:+.2%}" for rate, regret in regrets if rate != cell.best]
    others += [f"{rate:.2g} stopped early" for rate in cell.pruned]
    edge = ", at the edge of those tried" if cell.at_edge else ""
    shape = f"d{cell.hidden_size}-L{cell.num_layers}-V{cell.vocab_size} at {short_count(cell.tokens)} tokens"
    return f"learning rate of {shape}: {cell.best:.2g} is best{edge}; {', '.join(others)}"
