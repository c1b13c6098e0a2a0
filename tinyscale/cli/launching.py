"""The verbs that plan and run a study."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from tinyscale.cli.common import (
    BUDGET,
    FAILED_TRIALS,
    INTERRUPTED,
    PREFLIGHT,
    RUN,
    RUNS,
    AsJson,
    Overrides,
    Profile,
    Storage,
    StudyFile,
    app,
    plan_of,
    print_json,
    say,
)
from tinyscale.results.store import StudyStore


@app.command(rich_help_panel=RUN)
def plan(
    study: StudyFile,
    set_: Overrides = None,
    profile: Profile = "",
    storage: Storage = RUNS,
    as_json: AsJson = False,
) -> None:
    """Print every trial with its derived values, time, disk and cost. Starts nothing."""
    from tinyscale.report.listing import print_plan
    from tinyscale.results.state import finished_ids

    made = plan_of(study, set_, storage, profile=profile, offline=True)
    if as_json:
        print_json(made.rows())
    else:
        print_plan(made, finished_ids(StudyStore(storage / made.study.name), made.study.resources.scheduler))


@app.command(rich_help_panel=RUN)
def prepare(study: StudyFile, set_: Overrides = None, profile: Profile = "") -> None:
    """Make the corpus, the tokenizers and the token shards; what is cached is kept."""
    from tinyscale.data import default_cache
    from tinyscale.data import prepare as prepare_data

    made = plan_of(study, set_, RUNS, profile=profile)
    prepared = prepare_data(made.study, made.vocab_sizes, default_cache(), say)
    for vocab_size, folder in prepared.shards.items():
        say(f"V={vocab_size}: {folder}")


@app.command(rich_help_panel=RUN)
def launch(
    study: StudyFile,
    set_: Overrides = None,
    profile: Profile = "",
    address: Annotated[str, typer.Option(help="Ray cluster: auto or ray://HOST:PORT; else this machine.")] = "",
    storage: Storage = RUNS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run: the plan as JSON.")] = False,
) -> None:
    """Prepare and run what is missing, fit the law, write the report."""
    if dry_run:
        return plan(study, set_, profile, storage, as_json)
    from tinyscale.cluster.doctor import preflight
    from tinyscale.cluster.live import LiveView
    from tinyscale.cluster.lock import StudyLock
    from tinyscale.cluster.mirrored import keep
    from tinyscale.cluster.signals import StopOnSignal
    from tinyscale.cluster.study import run_study
    from tinyscale.cluster.track import send_study
    from tinyscale.data import default_cache
    from tinyscale.report.law import print_law
    from tinyscale.report.study import report_study
    from tinyscale.results.state import finished_ids
    from tinyscale.tracking import ui_command

    made = plan_of(study, set_, storage, profile=profile)
    store = StudyStore(storage / made.study.name)
    if address:
        preflight(made, storage, default_cache(), address, say)
    with StudyLock(store.lock):
        done = finished_ids(store, made.study.resources.scheduler)
        with StopOnSignal(say) as should_stop, LiveView(made, done) as view:
            launched = run_study(
                made,
                storage,
                cache=default_cache(),
                address=address or None,
                on_event=view.on_event,
                say=view.say,
                should_stop=should_stop,
            )
        page = report_study(store, launched.law, [_command(study, set_, profile)])
        send_study(launched.projector, store)
        keep(store)
    print_law(store, launched.law)
    say(f"report: {page}")
    say(f"browse: {ui_command(launched.projector.uri)}")
    if launched.failed:
        say(f"{len(launched.failed)} trials failed: {', '.join(launched.failed)}; launch again to go on with them")
        raise typer.Exit(FAILED_TRIALS)
    if launched.budget_reached:
        say("budget reached; launch again to go on")
        raise typer.Exit(BUDGET)
    if launched.interrupted:
        say("stopped; launch again to go on")
        raise typer.Exit(INTERRUPTED)


@app.command(rich_help_panel=RUN)
def doctor(
    study: Annotated[Path | None, typer.Argument(metavar="STUDY", help="Its YAML file: would this one run?")] = None,
    set_: Overrides = None,
    profile: Profile = "",
    address: Annotated[str, typer.Option(help="Ray cluster, as for launch; else this machine.")] = "",
    storage: Storage = RUNS,
) -> None:
    """Ask every machine whether a launch would work: storage, versions, GPUs, disk, clock, MLflow. Starts nothing."""
    from tinyscale.cluster.doctor import diagnose
    from tinyscale.data import default_cache

    made = plan_of(study, set_, storage, profile=profile, offline=True) if study else None
    stopped = False
    for finding in diagnose(address or None, storage, default_cache(), made):
        say(str(finding))
        stopped = stopped or finding.level == "stop"
    if stopped:
        raise typer.Exit(PREFLIGHT)


def _command(study: Path, set_: list[str] | None, profile: str) -> str:
    words = ["--profile", profile] if profile else []
    words += [word for override in set_ or () for word in ("--set", override)]
    return shlex.join(["tinyscale", "launch", str(study), *words])


@app.command(rich_help_panel=RUN)
def schema() -> None:
    """Print the JSON Schema of a study, for editors."""
    from tinyscale.spec.load import study_schema

    print_json(study_schema())
