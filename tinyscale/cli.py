"""The command line: verbs only. What they do lives in the rooms below, imported when a verb needs it."""

import json
import os
import shlex
import sys
from collections.abc import Iterator
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

BAD_STUDY, PREFLIGHT, FAILED_TRIALS, BUDGET, INTERRUPTED = 2, 3, 4, 5, 130
"""Exit codes; 0 is done."""


def _number(text: str) -> float:
    from tinyscale.spec.load import parse_number

    try:
        return parse_number(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a number (such as 1e15 or 2M)") from error


StudyFile = Annotated[Path, typer.Argument(metavar="STUDY", help="The study's YAML file.", show_default=False)]
StudyRef = Annotated[str, typer.Argument(metavar="STUDY", help="Its YAML file, or its name.", show_default=False)]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override a value; C is YAML.")]
Storage = Annotated[Path, typer.Option(help="Folder of all studies' results.")]
Count = Annotated[float | None, typer.Option(parser=_number, metavar="NUMBER", help="Such as 1e15 or 2M.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
RUNS = Path("runs")


@app.command()
def plan(study: StudyFile, set_: Overrides = None, storage: Storage = RUNS, as_json: AsJson = False) -> None:
    """Print every trial with its derived values, time, disk and cost. Starts nothing."""
    from tinyscale.report.listing import print_plan
    from tinyscale.results.state import finished_ids

    made = _plan(study, set_, storage, offline=True)
    if as_json:
        _print_json(made.rows())
    else:
        print_plan(made, finished_ids(StudyStore(storage / made.study.name)))


@app.command()
def prepare(study: StudyFile, set_: Overrides = None) -> None:
    """Make the corpus, the tokenizers and the token shards; what is cached is kept."""
    from tinyscale.data import default_cache
    from tinyscale.data import prepare as prepare_data

    made = _plan(study, set_, RUNS)
    prepared = prepare_data(made.study, made.vocab_sizes, default_cache(), _say)
    for vocab_size, folder in prepared.shards.items():
        _say(f"V={vocab_size}: {folder}")


@app.command()
def launch(
    study: StudyFile,
    set_: Overrides = None,
    address: Annotated[str, typer.Option(help="Ray cluster: auto or ray://HOST:PORT; else this machine.")] = "",
    storage: Storage = RUNS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run: the plan as JSON.")] = False,
) -> None:
    """Prepare and run what is missing, fit the law, write the report."""
    if dry_run:
        return plan(study, set_, storage, as_json)
    from tinyscale.cluster.doctor import preflight
    from tinyscale.cluster.live import LiveView
    from tinyscale.cluster.lock import StudyLock
    from tinyscale.cluster.signals import StopOnSignal
    from tinyscale.cluster.study import run_study, track_study
    from tinyscale.data import default_cache
    from tinyscale.report.law import print_law
    from tinyscale.report.study import report_study
    from tinyscale.results.state import finished_ids
    from tinyscale.tracking import ui_command

    made = _plan(study, set_, storage)
    store = StudyStore(storage / made.study.name)
    if address:
        preflight(made, storage, default_cache(), address, _say)
    with StudyLock(store.lock):
        with StopOnSignal(_say) as should_stop, LiveView(made, finished_ids(store)) as view:
            launched = run_study(
                made,
                storage,
                cache=default_cache(),
                address=address or None,
                on_event=view.on_event,
                say=view.say,
                should_stop=should_stop,
            )
        page = report_study(store, launched.law, [_command(study, set_)])
        track_study(launched, store, page)
    print_law(store, launched.law)
    _say(f"report: {page}")
    _say(f"browse: {ui_command(launched.projector.uri)}")
    if launched.failed:
        _say(f"{len(launched.failed)} trials failed: {', '.join(launched.failed)}; launch again to go on with them")
        raise typer.Exit(FAILED_TRIALS)
    if launched.budget_reached:
        _say("budget reached; launch again to go on")
        raise typer.Exit(BUDGET)
    if launched.interrupted:
        _say("stopped; launch again to go on")
        raise typer.Exit(INTERRUPTED)


@app.command()
def doctor(
    study: Annotated[Path | None, typer.Argument(metavar="STUDY", help="Its YAML file: would this one run?")] = None,
    set_: Overrides = None,
    address: Annotated[str, typer.Option(help="Ray cluster, as for launch; else this machine.")] = "",
    storage: Storage = RUNS,
) -> None:
    """Ask every machine whether a launch would work: storage, versions, GPUs, disk, clock, MLflow. Starts nothing."""
    from tinyscale.cluster.doctor import diagnose
    from tinyscale.data import default_cache

    made = _plan(study, set_, storage, offline=True) if study else None
    stopped = False
    for finding in diagnose(address or None, storage, default_cache(), made):
        _say(str(finding))
        stopped = stopped or finding.level == "stop"
    if stopped:
        raise typer.Exit(PREFLIGHT)


@app.command()
def status(
    study: StudyRef,
    storage: Storage = RUNS,
    watch: Annotated[bool, typer.Option("--watch", help="Until nothing runs, or Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """One line a trial: waiting, running with progress and ETA, stopped, done, diverged or failed."""
    from tinyscale.report.status import print_status, status_rows, watch_status

    store, resolved = _stored(study, storage)
    if as_json:
        _print_json(status_rows(store, resolved.trials))
    elif watch:
        watch_status(resolved.study.name, store, resolved.trials)
    else:
        print_status(resolved.study.name, status_rows(store, resolved.trials))


@app.command()
def logs(
    study: StudyRef,
    trial: Annotated[str, typer.Argument(metavar="TRIAL", help="Its name, or how its id begins.", show_default=False)],
    storage: Storage = RUNS,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many of the last ones.", min=0)] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on while the trial runs.")] = False,
) -> None:
    """What a trial's workers said: warnings, errors with their tracebacks."""
    from tinyscale.report.logs import find_trial, print_log

    store, resolved = _stored(study, storage)
    print_log(store, find_trial(resolved.trials, trial), lines, follow=follow)


@app.command()
def stop(
    study: StudyRef,
    storage: Storage = RUNS,
    wait: Annotated[float, typer.Option(metavar="SECONDS", help="Longest wait for its end.", min=0.0)] = 180.0,
) -> None:
    """Ask a running study to checkpoint and stop, and wait for it. Exit code 1: it still runs."""
    from tinyscale.cluster.stop import stop_study
    from tinyscale.report.status import status_rows, summary

    store, resolved = _stored(study, storage)
    try:
        stopped = stop_study(store, wait)
    except TimeoutError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from error
    said = "stopped; launch again to go on" if stopped else "nothing runs"
    _say(f"{resolved.study.name}: {said} ({summary(status_rows(store, resolved.trials))})")


@app.command()
def track(
    study: StudyRef,
    storage: Storage = RUNS,
    uri: Annotated[str, typer.Option(help="Another MLflow than the study's: a server or a database.")] = "",
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Into fresh runs; the old ones go to its bin.")] = False,
) -> None:
    """Send what MLflow lacks of a study, from the journals: after an outage, or into another MLflow."""
    from tinyscale.cluster.track import track_study
    from tinyscale.tracking import ui_command

    store, _ = _stored(study, storage)
    target, begun, over = track_study(store, _say, uri=uri, rebuild=rebuild)
    _say(f"sent: {begun} trials, {over} of them over")
    _say(f"browse: {ui_command(target)}")


@app.command()
def fit(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Its YAML file, or its name.", show_default=False)] = "",
    storage: Storage = RUNS,
    as_json: AsJson = False,
    points: Annotated[Path | None, typer.Option(metavar="CSV", help="Fit this table of runs; no study needed.")] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(metavar="N=A,D=B,loss=C", help="Its columns; C=FLOPS may stand for D. Else guessed by name."),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="3,7,10-12", help="Rows to leave out; 1 is the first below the header.")
    ] = None,
    drop_highest: Annotated[int, typer.Option(metavar="K", help="Leave out the K highest losses.", min=0)] = 0,
    save: Annotated[Path | None, typer.Option(metavar="JSON", dir_okay=False, help="File for the law.")] = None,
) -> None:
    """Fit the law again from the stored results, or fit that of any table of runs."""
    from tinyscale.laws.study import StudyLaw, fit_study
    from tinyscale.report.law import print_law

    if bool(study) == bool(points):
        raise ValueError("fit takes a study, or a table of runs with --points CSV: one of the two")
    if points:
        from tinyscale.laws.columns import parse_columns
        from tinyscale.laws.csv_table import fit_table, parse_rows, read_table
        from tinyscale.report.terminal import table_lines
        from tinyscale.spec import write_json

        rows = parse_rows(exclude or ())
        table = read_table(points, parse_columns(columns or ()), exclude=rows, drop_highest=drop_highest)
        law = fit_table(table)
        if save:
            write_json(save, law)
        if as_json:
            _print_json(StudyLaw(law=law))
        else:
            _say("\n".join(table_lines(table, law)))
        return
    if columns or exclude or drop_highest or save:
        raise ValueError("--columns, --exclude, --drop-highest and --save go with --points CSV; a study has its own")
    store, _ = _stored(study, storage)
    fitted = fit_study(store)
    if as_json:
        _print_json(fitted)
    else:
        print_law(store, fitted)


@app.command()
def forecast(
    study: StudyRef,
    flops: Count = None,
    params: Count = None,
    tokens: Count = None,
    vocab: Annotated[int | None, typer.Option(metavar="V", help="Vocabulary; asks the law of the vocabulary.")] = None,
    storage: Storage = RUNS,
    as_json: AsJson = False,
) -> None:
    """What the stored law says of a run: of --params and --tokens, or of the best that --flops (6 N D) buy."""
    from tinyscale.laws.outlook import Outlook, look_ahead
    from tinyscale.laws.vocabulary_outlook import VocabularyOutlook, look_at_vocabulary
    from tinyscale.report.outlook import forecast_lines
    from tinyscale.results.points import read_results
    from tinyscale.spec import Analysis, LawFit, read_json

    store, _ = _stored(study, storage)
    if not store.law.exists():
        raise ValueError(f"{study}: no law yet; fit it (`tinyscale fit {study}`), which says what lacks")
    law = read_json(LawFit, store.law)
    analysis = read_json(Analysis, store.analysis) if store.analysis.exists() else Analysis()
    results = read_results(store).values()
    outlook: Outlook | VocabularyOutlook
    if vocab is None:
        outlook = look_ahead(law, results, flops=flops, params=params, tokens=tokens, vocabulary=analysis.vocabulary)
    else:
        outlook = look_at_vocabulary(
            analysis, results, kind=law.params, vocab_size=vocab, flops=flops, params=params, tokens=tokens
        )
    if as_json:
        _print_json(outlook)
    else:
        _say("\n".join(forecast_lines(outlook, law, analysis.vocabulary)))


@app.command()
def report(study: StudyRef, storage: Storage = RUNS) -> None:
    """Write the report again from the stored results."""
    from tinyscale.laws.study import fit_study
    from tinyscale.report.study import report_study

    store, _ = _stored(study, storage)
    _say(str(report_study(store, fit_study(store), [shlex.join(["tinyscale", "launch", study])])))


@app.command()
def generate(
    model: Annotated[Path, typer.Argument(help="Folder of a trial or of its model.", show_default=False)],
    prompt: Annotated[str | None, typer.Option(help="How the story begins; without it, asks again and again.")] = None,
    tokens: Annotated[int, typer.Option(help="Largest number of tokens.", min=1)] = 200,
    temperature: Annotated[float, typer.Option(help="0 is greedy.", min=0.0)] = 0.8,
    top_p: Annotated[float, typer.Option(help="Sample from the likeliest of this mass.", min=0.01, max=1.0)] = 0.95,
    seed: Annotated[int, typer.Option(help="Seed of the sampling.")] = 0,
) -> None:
    """Tell a story with a finished trial's model."""
    from tinyscale.report.stories import Storyteller

    teller = Storyteller(model)
    for beginning in [prompt] if prompt is not None else _ask():
        print(beginning, end="", flush=True)
        for piece in teller.tell(beginning, max_tokens=tokens, temperature=temperature, top_p=top_p, seed=seed):
            print(piece, end="", flush=True)
        print()


@app.command()
def schema() -> None:
    """Print the JSON Schema of a study, for editors."""
    from tinyscale.spec.load import study_schema

    _print_json(study_schema())


def main() -> None:
    """Run a verb. Bad input ends in one clear message and exit code 2, a refused preflight in 3."""
    from tinyscale.cluster.events import PreflightError

    try:
        app()
    except (ValueError, PreflightError, ConnectionError) as error:
        if os.environ.get("TINYSCALE_TRACEBACK"):
            raise
        print(f"{error}\n(TINYSCALE_TRACEBACK=1 shows where this was found)", file=sys.stderr)
        sys.exit(BAD_STUDY if isinstance(error, ValueError) else PREFLIGHT)


def _plan(study: Path, set_: list[str] | None, storage: Path, *, offline: bool = False) -> "Plan":
    from tinyscale.plan.planner import make_plan
    from tinyscale.results.points import read_results
    from tinyscale.spec.load import load_study

    loaded = load_study(study, set_ or ())
    return make_plan(loaded, offline=offline, measured=read_results(StudyStore(storage / loaded.name)))


def _stored(study: str, storage: Path) -> "tuple[StudyStore, ResolvedStudy]":
    """A launched study by its YAML file or its name.

    :raises ValueError: it was never launched into this storage.
    """
    from tinyscale.spec import ResolvedStudy, read_json

    name = study
    if study.endswith((".yaml", ".yml")):
        from tinyscale.spec.load import load_study

        name = load_study(Path(study)).name
    store = StudyStore(storage / name)
    if not store.study.exists():
        known = sorted(path.parent.name for path in storage.glob("*/study.json"))
        raise ValueError(f"{study}: not launched into {storage}; known there: {', '.join(known) or 'none'}")
    return store, read_json(ResolvedStudy, store.study)


def _command(study: Path, set_: list[str] | None) -> str:
    overrides = [word for override in set_ or () for word in ("--set", override)]
    return shlex.join(["tinyscale", "launch", str(study), *overrides])


def _ask() -> Iterator[str]:
    """Beginnings typed by the user, until an empty line or the end of input."""
    while True:
        try:
            beginning = input("story> ")
        except EOFError:
            return
        if not beginning.strip():
            return
        yield beginning


def _say(line: str) -> None:
    print(line, flush=True)


def _print_json(value: Any) -> None:
    from tinyscale.spec import to_json

    print(json.dumps(to_json(value), indent=2))
