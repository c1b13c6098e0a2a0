"""The verb that has stories graded."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinyscale.cli.common import BUDGET, INTERRUPTED, MODELS, RUNS, AsJson, Storage, app, print_json, say, stored

if TYPE_CHECKING:
    from tinyscale.cluster.grade import Outcome
    from tinyscale.cluster.subject import Subject

Target = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="A launched study (file or name), the folder of a trial or model, or a .jsonl of stories.",
        show_default=False,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=C", help="Override the grading section, as in judge.model=NAME."),
]


@app.command(rich_help_panel=MODELS)
def grade(
    target: Target,
    set_: Settings = None,
    storage: Storage = RUNS,
    address: Annotated[str, typer.Option(help="Ray cluster that tells the stories, as for launch.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would cost, and stop.")] = False,
    export: Annotated[Path | None, typer.Option(metavar="FILE", help="All grades as .csv or .parquet.")] = None,
    as_json: AsJson = False,
) -> None:
    """Have a language model grade the stories that models tell; without one, only measure them."""
    from tinyscale.cluster.grade import grade_subject, told_stories
    from tinyscale.cluster.lock import StudyLock
    from tinyscale.cluster.signals import StopOnSignal
    from tinyscale.grading.export import check_suffix
    from tinyscale.plan.check_grading import check_grading
    from tinyscale.report.grading_view import GradingView

    subject = _subject(target, set_ or [], storage)
    if problems := check_grading(subject.grading):
        raise ValueError("\n".join(problems))
    if export:
        check_suffix(export)
    cache = storage / "judge.jsonl"
    if dry_run:
        _print_quote(subject, cache, as_json=as_json)
        return
    asker = None
    if subject.grading.judge.model:
        from tinyscale.grading.client import OpenAIAsker

        asker = OpenAIAsker(subject.grading.judge)
    with StudyLock(subject.store.lock) if subject.store else nullcontext(), StopOnSignal(say) as should_stop:
        stories, stopped = told_stories(subject, address=address or None, say=say, should_stop=should_stop)
        if stopped:
            say("stopped; the same command goes on")
            raise typer.Exit(INTERRUPTED)
        with GradingView() as view:
            outcome = grade_subject(
                subject,
                stories,
                cache_path=cache,
                asker=asker,
                say=say,
                on_begin=view.on_begin,
                on_grade=view.on_grade,
                should_stop=should_stop,
            )
        _show(subject, outcome, export, as_json=as_json)
    if outcome.graded and outcome.graded.stopped:
        say(f"{outcome.graded.why}; the same command goes on, and pays for no answer twice")
        raise typer.Exit(BUDGET if outcome.graded.stopped == "budget" else INTERRUPTED)


def _subject(target: str, settings: list[str], storage: Path) -> "Subject":
    """What a target names: a study by its file or name, else a path."""
    from tinyscale.cluster.subject import of_path, of_study
    from tinyscale.results.store import StudyStore
    from tinyscale.spec import Grading
    from tinyscale.spec.load import load_study, override_grading

    path = Path(target)
    if target.endswith((".yaml", ".yml")):
        store, resolved = stored(target, storage)
        return of_study(store, resolved, override_grading(load_study(path).grading, settings))
    if not path.exists() or StudyStore(storage / target).study.exists():
        store, resolved = stored(target, storage)
        return of_study(store, resolved, override_grading(resolved.study.grading, settings))
    return of_path(path, override_grading(Grading(), settings))


def _print_quote(subject: "Subject", cache: Path, *, as_json: bool) -> None:
    from tinyscale.cluster.grade import session_days
    from tinyscale.cluster.subject import expected_stories
    from tinyscale.grading.quote import quote

    if not subject.grading.judge.model:
        raise ValueError("grading.judge.model names no model, so nothing would be paid; set one or drop --dry-run")
    stories = expected_stories(subject)
    sessions = len(session_days(subject, stories, cache))
    made = quote(stories, subject.grading, cache, account=subject.name, sessions=sessions)
    if as_json:
        print_json(made)
        return
    judge = subject.grading.judge
    say(f"{made.grades} grades by {judge.model} at {judge.base_url}, {made.cached} of them there")
    say(f"calls to make: {made.calls}, about {made.minutes:.0f} min at {judge.requests_per_minute:g} a minute")
    if judge.price_input_usd or judge.price_output_usd:
        say(
            f"cost: about {made.likely_usd:.2f} USD, {made.worst_usd:.2f} at worst, at prices of {judge.priced_on}; "
            f"spent so far {made.spent_usd:.2f} of {made.budget_usd:.2f}"
        )
    else:
        say("cost: none, as grading.judge names no prices (price_input_usd, price_output_usd a million tokens)")


def _show(subject: "Subject", outcome: "Outcome", export: Path | None, *, as_json: bool) -> None:
    from tinyscale.grading.export import export_grades
    from tinyscale.report.grades_terminal import print_grades, print_measures

    summary = outcome.summary
    if export and summary and summary.instrument:
        export_grades(outcome.grades, outcome.stories, export, [summary.instrument])
    if as_json:
        print_json(summary or outcome.measures)
    else:
        print_measures(outcome.measures.judge_free)
        if summary:
            print_grades(summary)
        else:
            say("no judge asked: name one with --set judge.model=NAME (and judge.base_url for a server of your own)")
    if subject.store:
        _publish(subject, quiet=as_json)


def _publish(subject: "Subject", *, quiet: bool) -> None:
    """Into the study's report and its MLflow runs."""
    from tinyscale.cluster.track import send_gradings, send_study, send_trials, study_projector
    from tinyscale.laws.study import fit_study
    from tinyscale.report.study import report_study
    from tinyscale.results.storage import publish
    from tinyscale.tracking import ui_command

    store, resolved = subject.store, subject.resolved
    assert store
    assert resolved
    page = report_study(store, fit_study(store), [f"tinyscale grade {resolved.study.name}"])
    projector = study_projector(store, resolved.study, say)
    send_trials(projector, store, resolved.trials)
    send_study(projector, store)
    send_gradings(projector, store, resolved.trials)
    publish(store)
    if not quiet:
        say(f"report: {page}")
        say(f"browse: {ui_command(projector.uri)}")
