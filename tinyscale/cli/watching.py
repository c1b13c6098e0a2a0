"""The verbs that watch and stop what runs, and send it to MLflow."""

import sys
from typing import Annotated

import typer

from tinyscale.cli.common import RUNS, WATCH, AsJson, Storage, StudyRef, app, print_json, say, stored


@app.command(rich_help_panel=WATCH)
def status(
    study: StudyRef,
    storage: Storage = RUNS,
    watch: Annotated[bool, typer.Option("--watch", help="Until nothing runs, or Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """One line a trial: waiting, running with progress and ETA, stopped, done, diverged, pruned or failed."""
    from tinyscale.report.status import print_status, status_rows, watch_status

    store, resolved = stored(study, storage)
    if as_json:
        print_json(status_rows(store, resolved.trials))
    elif watch:
        watch_status(resolved.study.name, store, resolved.trials)
    else:
        print_status(resolved.study.name, status_rows(store, resolved.trials))


@app.command(rich_help_panel=WATCH)
def logs(
    study: StudyRef,
    trial: Annotated[str, typer.Argument(metavar="TRIAL", help="Its name, or how its id begins.", show_default=False)],
    storage: Storage = RUNS,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many of the last ones.", min=0)] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on while the trial runs.")] = False,
) -> None:
    """What a trial's workers said: warnings, errors with their tracebacks."""
    from tinyscale.report.logs import find_trial, print_log

    store, resolved = stored(study, storage)
    print_log(store, find_trial(resolved.trials, trial), lines, follow=follow)


@app.command(rich_help_panel=WATCH)
def stop(
    study: StudyRef,
    storage: Storage = RUNS,
    wait: Annotated[float, typer.Option(metavar="SECONDS", help="Longest wait for its end.", min=0.0)] = 180.0,
) -> None:
    """Ask a running study to checkpoint and stop, and wait for it. Exit code 1: it still runs."""
    from tinyscale.cluster.stop import stop_study
    from tinyscale.report.status import status_rows, summary
    from tinyscale.results.storage import fetch

    store, resolved = stored(study, storage)
    try:
        stopped = stop_study(store, wait)
    except TimeoutError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from error
    fetch(store)
    said = "stopped; launch again to go on" if stopped else "nothing runs"
    say(f"{resolved.study.name}: {said} ({summary(status_rows(store, resolved.trials))})")


@app.command(rich_help_panel=WATCH)
def track(
    study: StudyRef,
    storage: Storage = RUNS,
    uri: Annotated[str, typer.Option(help="Another MLflow than the study's: a server or a database.")] = "",
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Into fresh runs; the old ones go to its bin.")] = False,
) -> None:
    """Send what MLflow lacks of a study, from the journals: after an outage, or into another MLflow."""
    from tinyscale.cluster.track import track_study
    from tinyscale.tracking import ui_command

    store, _ = stored(study, storage)
    target, begun, over = track_study(store, say, uri=uri, rebuild=rebuild)
    say(f"sent: {begun} trials, {over} of them over")
    say(f"browse: {ui_command(target)}")
