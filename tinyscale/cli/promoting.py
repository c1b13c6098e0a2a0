"""The verb that puts a model on the Hugging Face hub."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinyscale.cli.choosing import By, Criteria
from tinyscale.cli.common import MODELS, RUNS, Storage, app, say, stored
from tinyscale.cli.exporting import Dtype

if TYPE_CHECKING:
    from tinyscale.results.store import StudyStore
    from tinyscale.spec import Choice, ResolvedStudy, Trial, Validation

Target = Annotated[
    str,
    typer.Argument(
        metavar="STUDY|TRIAL",
        help="A launched study (file or name), whose best model it is; or a trial: its folder, or STUDY/NAME.",
        show_default=False,
    ),
]


@app.command(rich_help_panel=MODELS)
def promote(
    target: Target,
    to: Annotated[str, typer.Option(metavar="OWNER/NAME", help="Repository on the hub.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write its files, say what would go, and stop.")] = False,
    public: Annotated[bool, typer.Option("--public", help="Everybody may read it; else private.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Though it is not the best, or not for certain.")] = False,
    by: Criteria = By.bpb,
    dtype: Annotated[Dtype, typer.Option(help="Of the weights.")] = Dtype.FP32,
    license_: Annotated[
        str, typer.Option("--license", metavar="ID", help="Of the model, as the hub names it; else the text's.")
    ] = "",
    storage: Storage = RUNS,
) -> None:
    """Export, prove, describe and push a study's best model; register it in MLflow."""
    from tinyscale.cluster.lock import StudyLock
    from tinyscale.promote.card.licences import find_licences
    from tinyscale.promote.choice.choose import check_promotable, choose, find_trial
    from tinyscale.promote.hub.plan import plan_lines
    from tinyscale.promote.hub.push import check_access, check_repo_name
    from tinyscale.promote.promotion import stage_model
    from tinyscale.promote.validate import study_corpus, trial_validation
    from tinyscale.report.promotion_figure import promotion_content, promotion_figure
    from tinyscale.results.storage import publish

    check_repo_name(to)
    store, resolved, name = _find(target, storage)
    named = find_trial(store, resolved, name) if name else None
    find_licences(resolved.study.corpus, license_)
    if not dry_run:
        check_access(to, public=public)
    with StudyLock(store.lock):
        corpus = study_corpus(resolved, say)
        choice = choose(store, resolved, by=by.value, corpus=corpus, say=say)
        trial = named or find_trial(store, resolved, _best(choice))
        check_promotable(choice, trial.id, force=force)
        say(choice.said)
        validation = trial_validation(store.trial(trial.id), corpus, progress=say)
        folder = stage_model(
            store,
            resolved,
            trial,
            repo=to,
            dtype=dtype.value,
            licence=license_,
            choice=choice,
            validation=validation,
            corpus=corpus,
            draw=lambda law: promotion_figure(promotion_content(store, resolved, law), trial.id),
            say=say,
        )
        for line in plan_lines(folder, repo=to, tag=resolved.study.name, public=public):
            say(line)
        if dry_run:
            say(f"written to {folder}; nothing was pushed: the same command without --dry-run does")
        else:
            _push(store, resolved, trial, validation, folder, repo=to, public=public)
        publish(store)


def _find(target: str, storage: Path) -> "tuple[StudyStore, ResolvedStudy, str]":
    """A study, and the trial in it that is meant; empty: its best."""
    path = Path(target)
    trial = path.parent if path.name == "model" else path
    if trial.parent.name == "trials" and trial.is_dir():
        home = trial.absolute().parent.parent
        return *stored(home.name, home.parent), trial.name
    study, slash, name = target.partition("/")
    if slash and name and not target.endswith((".yaml", ".yml")):
        return *stored(study, storage), name
    return *stored(target, storage), ""


def _best(choice: "Choice") -> str:
    if choice.best:
        return choice.best
    names = {candidate.trial_id: candidate.name for candidate in choice.candidates}
    front = ", ".join(f"{choice.study}/{names[trial_id]}" for trial_id in choice.front)
    raise ValueError(f"by {choice.by} there is no single best: give one of the front, {front}")


def _push(
    store: "StudyStore",
    resolved: "ResolvedStudy",
    trial: "Trial",
    validation: "Validation",
    folder: Path,
    *,
    repo: str,
    public: bool,
) -> None:
    """To the hub, then into MLflow's registry, which may be away: the same command then registers it later."""
    from tinyscale.cluster.track import send_trials, study_projector
    from tinyscale.promote.hub.push import push
    from tinyscale.promote.hub.stage import check_staged
    from tinyscale.promote.promotion import note_promotion
    from tinyscale.tracking import ui_command

    check_staged(folder)
    study = resolved.study.name
    pushed = push(folder, repo=repo, tag=study, public=public, message=f"{trial.name} of study {study}", say=say)
    promotion = note_promotion(store, trial, pushed, repo=repo)
    say(f"on the hub: {pushed.url}/tree/{pushed.tag}")
    projector = study_projector(store, resolved.study, say)
    send_trials(projector, store, [trial])
    if registered := projector.register(trial, promotion, folder, validation):
        note_promotion(store, trial, pushed, repo=repo, registered=registered)
        say(f"registered in MLflow: {registered}, alias champion")
        say(f"browse: {ui_command(projector.uri)}")
    else:
        say("not registered in MLflow, which is away: the same command does it later")
