"""The verb that says which model of a study is best."""

from enum import StrEnum
from typing import Annotated

import typer

from tinyscale.cli.common import MODELS, RUNS, AsJson, Storage, StudyRef, app, print_json, say, stored


class By(StrEnum):
    """As :data:`tinyscale.spec.Criterion`, for the command line's help."""

    bpb = "bpb"
    grade = "grade"
    pareto = "pareto"


Criteria = Annotated[
    By, typer.Option("--by", help="Bits per byte, the judge's overall grade, or the front of bpb, size and speed.")
]
Finalists = Annotated[
    int, typer.Option(metavar="N", min=1, help="Models measured on all validation text; and any that may be as good.")
]


@app.command(rich_help_panel=MODELS)
def choose(
    study: StudyRef, by: Criteria = By.bpb, finalists: Finalists = 5, storage: Storage = RUNS, as_json: AsJson = False
) -> None:
    """Say which finished model is best, and whether its lead is larger than luck. A tie ends with 0 as well."""
    from tinyscale.data.cache import silent
    from tinyscale.promote.choice.choose import choose as choose_model
    from tinyscale.promote.validate import study_corpus
    from tinyscale.report.choice_terminal import print_choice
    from tinyscale.results.storage import publish

    store, resolved = stored(study, storage)
    progress = silent if as_json else say
    corpus = study_corpus(resolved, progress)
    choice = choose_model(store, resolved, by=by.value, corpus=corpus, finalists=finalists, say=progress)
    publish(store)
    if as_json:
        print_json(choice)
    else:
        print_choice(choice)
