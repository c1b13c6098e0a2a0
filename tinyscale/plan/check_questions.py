"""Checks of what a study asks of single fields, before a trial is run for the answer."""

import difflib
from collections.abc import Iterator, Sequence

from tinyscale.plan.recipe import MODEL_FIELDS, TRAIN_FIELDS
from tinyscale.spec import Question, Trial
from tinyscale.spec.ablation import NOT_COMPARED, compared_trials

_FIELDS = (MODEL_FIELDS | TRAIN_FIELDS) - NOT_COMPARED - {"branches"}


def check_questions(questions: Sequence[Question], trials: Sequence[Trial]) -> list[str]:
    """What is wrong with a study's questions: sentences that name what was given and what is allowed.

    :param trials: all of the study; none: some could not be resolved, so whether questions find any is left open.
    """
    problems: list[str] = []
    for index, question in enumerate(questions):
        found = list(_fields(question))
        if not found and trials and not compared_trials(question, trials):
            found = [f"no two trials of space differ in {and_alone(question.varies)}: add one that does, or drop this"]
        before = [n for n, other in enumerate(questions[:index]) if set(other.varies) == set(question.varies)]
        if before:
            found.append(f"questions.{before[0]} varies the same fields: one question for all its trials")
        if not question.ask.strip():
            found.append("ask is empty; write the question as the report shall print it")
        problems += [f"questions.{index}: {text}" for text in found]
    return problems


def and_alone(varies: Sequence[str]) -> str:
    """The fields in words: ``norm alone``, ``mlp and intermediate_size alone``."""
    return f"{' and '.join(varies)} alone"


def _fields(question: Question) -> Iterator[str]:
    if not question.varies:
        yield "varies is empty; name fields of model or train, such as [norm]"
    for name in dict.fromkeys(question.varies):
        if question.varies.count(name) > 1:
            yield f"varies names {name} more than once"
        if name == "seed":
            yield "varies names seed, which is no setting: trials that differ by it alone measure the noise"
        elif name in NOT_COMPARED:
            yield f"varies names {name}, which changes nothing of what a trial computes"
        elif name not in _FIELDS:
            near = difflib.get_close_matches(name, sorted(_FIELDS), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(_FIELDS))}"
            yield f"varies names {name!r}, no field of model or train; {hint}"
