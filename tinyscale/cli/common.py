"""What the verbs share: the application, the words of their options, and how they find a study and speak."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinyscale.results.store import StudyStore

if TYPE_CHECKING:
    from tinyscale.plan.planner import Plan
    from tinyscale.spec import ResolvedStudy

app = typer.Typer(
    name="tinyscale",
    help="A laboratory for scaling laws of tiny language models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

RUN, WATCH, READ, MODELS = "Run a study", "Watch it", "Read what came out", "Models and their stories"
"""Panels of the help, in their order."""
BAD_STUDY, PREFLIGHT, FAILED_TRIALS, BUDGET, INTERRUPTED = 2, 3, 4, 5, 130
"""Exit codes; 0 is done."""


def _number(text: str) -> float:
    from tinyscale.spec.load import parse_number

    try:
        return parse_number(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a number (such as 1e15 or 2M)") from error


def _storage(text: str) -> Path:
    """The folder to work in; of an object store, one of this machine that mirrors it."""
    from tinyscale.data.cache import default_cache
    from tinyscale.results.storage import open_storage

    try:
        return open_storage(str(text), default_cache())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


StudyFile = Annotated[Path, typer.Argument(metavar="STUDY", help="The study's YAML file.", show_default=False)]
StudyRef = Annotated[str, typer.Argument(metavar="STUDY", help="Its YAML file, or its name.", show_default=False)]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override a value; C is YAML.")]
Profile = Annotated[str, typer.Option(metavar="NAME", help="One of the file's profiles, such as mini.")]
Storage = Annotated[
    Path,
    typer.Option(
        parser=_storage, metavar="FOLDER|URI", help="All studies' results: a folder, or s3://BUCKET/PREFIX (or gs://)."
    ),
]
Count = Annotated[float | None, typer.Option(parser=_number, metavar="NUMBER", help="Such as 1e15 or 2M.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
RUNS = Path("runs")


def plan_of(study: Path, set_: list[str] | None, storage: Path, *, profile: str = "", offline: bool = False) -> "Plan":
    """The plan of a study's file, times quoted from what is stored of it.

    Budgets of text become tokens by the study's token shards, which are made first where they lack; ``offline`` takes
    an estimate instead, and the trials are provisional.
    """
    from tinyscale.data import prepare
    from tinyscale.plan.planner import make_plan
    from tinyscale.results.points import read_results
    from tinyscale.results.storage import fetch
    from tinyscale.spec.load import load_study

    loaded = load_study(study, set_ or (), profile=profile)
    store = StudyStore(storage / loaded.name)
    fetch(store)
    results = read_results(store)
    made = make_plan(loaded, offline=offline, measured=results)
    if offline or not made.provisional:
        return made
    prepare(loaded, made.vocab_sizes, progress=say)  # all of them: one training of merges serves every vocabulary
    made = make_plan(loaded, measured=results)
    if made.provisional:
        raise ValueError(f"{study}: the corpus changed while it was prepared; say it again")
    return made


def stored(study: str, storage: Path) -> "tuple[StudyStore, ResolvedStudy]":
    """A launched study by its YAML file or its name, fetched from an object store if it is there.

    What a verb writes into its folder, :func:`tinyscale.results.storage.publish` sends there.

    :raises ValueError: it was never launched into this storage.
    """
    from tinyscale.results.storage import fetch, known_studies, shown
    from tinyscale.spec import ResolvedStudy, read_json

    name = study
    if study.endswith((".yaml", ".yml")):
        from tinyscale.spec.load import load_study

        name = load_study(Path(study)).name
    store = StudyStore(storage / name)
    fetch(store)
    if not store.study.exists():
        known = ", ".join(known_studies(storage)) or "none"
        raise ValueError(f"{study}: not launched into {shown(storage)}; known there: {known}")
    return store, read_json(ResolvedStudy, store.study)


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def print_json(value: Any) -> None:
    """Print a dataclass as JSON."""
    from tinyscale.spec import to_json

    print(json.dumps(to_json(value), indent=2))
