"""The model card: README.md of a repository on the hub. Every number in it comes from a stored result."""

from collections.abc import Mapping

from tinyscale.promote.card.facts import CardFacts, gather_facts
from tinyscale.promote.card.grades import CardGrades
from tinyscale.promote.card.markdown import Markdown, render
from tinyscale.promote.card.metadata import card_metadata
from tinyscale.promote.card.points_csv import refit_command
from tinyscale.promote.card.words import duration, ends, of_logs, percent, span
from tinyscale.spec import CRITERIA, Choice, LawFit, Trial, short_count
from tinyscale.spec.words import number, size, utc

__all__ = ["CardFacts", "gather_facts", "write_card"]

MOST_CANDIDATES = 5
"""Rows of the table of models that it was chosen from."""
COUNTS = {
    "total": "all parameters",
    "non_embedding": "parameters, embeddings left out",
    "effective": "FLOPs a token / 6",
}
"""What N counts, by :attr:`tinyscale.spec.LawFit.params`."""
TERMS = {
    "E": "floor of the loss",
    "A": "scale of the model term",
    "B": "scale of the data term",
    "alpha": "exponent of N",
    "beta": "exponent of D",
    "a": "the best N grows as compute to this power",
}
"""Parameters of a law in words, in the order of the table."""
PROTOCOLS = {
    "strict": "one call a story with a JSON schema, reasons before numbers",
    "paper": "two turns a story, as in Eldan & Li 2023",
}
TOKENIZERS = {
    "bpe": "byte-level BPE, its merges learned on the training text",
    "gpt2": "byte-level BPE of GPT-2 (OpenAI)",
}
YARDSTICKS = {"bpb": "bits per byte on all of the validation text", "grade": "the overall grade of its stories",
              "pareto": "bits per byte, size and speed together"}  # fmt: skip


def write_card(facts: CardFacts) -> str:
    """The card as text: YAML for the hub, then Markdown.

    Text that comes from outside, such as the study's question, stories and names of judges, is escaped for YAML and
    for Markdown: it reads the same, and can neither end the metadata nor bring markup, links or HTML onto the page.
    """
    law = facts.law.law
    return render(
        "card.md",
        f=facts,
        metadata=Markdown(card_metadata(facts)),
        title=facts.repo.partition("/")[2],
        first=facts.samples[0],
        choice=choice_lines(facts.choice, facts.trial),
        candidates=facts.choice.candidates[:MOST_CANDIDATES],
        speeds=any(c.generation_tokens_per_s for c in facts.choice.candidates),
        graded=any(c.grade for c in facts.choice.candidates),
        full=lambda c: span(c.validation.bpb) if c.validation else "not measured",
        law=law,
        formula=_formula(law) if law else "",
        terms=TERMS,
        counts_of_n=COUNTS,
        refit=refit_command(law, facts.law.points) if law else "",
        criteria=("overall", *CRITERIA),
        protocols=PROTOCOLS,
        tokenizers=TOKENIZERS,
        ages=_ages(facts.grades),
        bytes_per_token=facts.point.text_bytes / facts.point.tokens,
        number=number, span=span, ends=ends, percent=percent, duration=duration, size=size, utc=utc,
        short_count=short_count,
    )  # fmt: skip


def choice_lines(choice: Choice, trial: Trial) -> list[str]:
    """Where the model stands among those it was chosen from, and how sure that is, a sentence a line."""
    names = {candidate.trial_id: candidate.name for candidate in choice.candidates}
    how, count = YARDSTICKS[choice.by], len(choice.candidates)
    if choice.by == "pareto":
        on = "It is one of" if trial.id in choice.front else "It is not among"
        return [f"{on} the {len(choice.front)} of {count} models that no other beats in {how}."]
    lead = _difference(choice.lead, choice.by)
    needed = _difference(choice.needed, choice.by)
    measure = f"The first leads the closest model of another kind by {lead}, and luck explains up to {needed}"
    known = [f"{measure} ({choice.yardstick})."] if lead and needed else []
    if trial.id == choice.best and not choice.ties:
        sure = "for certain (95 %)" if known else "with none of another kind to compare it with"
        return [f"By {how} it is the best of {count} models, {sure}.", *known]
    if trial.id == choice.best:
        tied = ", ".join(names.get(each, each) for each in choice.ties)
        return [f"By {how} it comes first of {count} models, but that is a tie with {tied}.", *known]
    best = names.get(choice.best, choice.best)
    if trial.id in choice.ties:
        return [f"By {how} {best} comes first of {count} models, and this one is tied with it.", *known]
    return [f"By {how} another of {count} models comes first, {best}: this one was chosen by hand.", *known]


def _difference(value: float | None, by: str) -> str:
    """A lead: log bits per byte in percent, or points of the grade."""
    if value is None:
        return ""
    return of_logs(value) if by == "bpb" else f"{value:.2f} points"


def _formula(law: LawFit) -> str:
    """The law with its numbers, or, where they are withheld, without."""
    if not law.exponents_hold:
        return f"{law.unit} = E + A / N^alpha + B / D^beta"
    return (
        f"{law.unit} = {number(law.E)} + {number(law.A)} / N^{number(law.alpha)} + "
        f"{number(law.B)} / D^{number(law.beta)}"
    )


def _ages(grades: CardGrades) -> str:
    """Age groups with their share of the stories."""
    ages: Mapping[str, int] = grades.score.ages if grades.score else {}
    total = sum(ages.values())
    return ", ".join(f"{group} {count / total:.0%}" for group, count in ages.items())
