"""Which model of a study is best, whether that is certain, and which may be promoted."""

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from tinyscale.data.corpus import CorpusFiles
from tinyscale.promote.choice.by_bpb import choose_by_bpb
from tinyscale.promote.choice.by_grade import choose_by_grade
from tinyscale.promote.choice.by_pareto import choose_by_pareto
from tinyscale.promote.choice.field import Field
from tinyscale.promote.choice.refusals import overlap_problem, refusals
from tinyscale.results.points import read_results
from tinyscale.results.store import StudyStore
from tinyscale.spec import Choice, Criterion, ResolvedStudy, Trial

SHOWN_NAMES = 5
"""Of a study's trials, where none is spelled like what was asked for."""


def choose(
    store: StudyStore,
    resolved: ResolvedStudy,
    *,
    by: Criterion,
    corpus: CorpusFiles,
    finalists: int = 5,
    say: Callable[[str], None],
) -> Choice:
    """Choose among a study's finished models, hold-outs among them.

    Models are measured on all of the validation text as far as the choice needs it, and each measurement is stored
    beside its model, so a second call is quick.

    :param by: bpb: bits per byte on all of the validation text; grade: the newest judge's overall grade; pareto: the
        front of bits per byte, size and speed, which has no single best.
    :param corpus: the study's, as :func:`tinyscale.promote.validate.study_corpus` gives.
    :param finalists: models measured on all of the text, at least; those that may be as good are measured too.
    :raises ValueError: no trial may be promoted, or by grade: nothing is graded.
    :raises ObjectStoreError: the models lie in an object store that is away.
    """
    if finalists < 1:
        raise ValueError(f"finalists is {finalists}; at least 1 model must be measured on all of the validation text")
    results = read_results(store)
    refused = refusals(store, resolved, results, overlap_problem(corpus, say))
    trials = {trial.id: trial for trial in resolved.trials if trial.id not in refused}
    if not trials:
        reasons = "; ".join(dict.fromkeys(refused.values()))
        raise ValueError(f"{resolved.study.name}: none of its {len(refused)} trial(s) may be promoted: {reasons}")
    field = Field(
        store=store,
        study=resolved.study,
        corpus=corpus,
        trials=trials,
        results={trial_id: results[trial_id] for trial_id in trials},
        refused=refused,
        say=say,
    )
    match by:
        case "bpb":
            return choose_by_bpb(field, finalists)
        case "grade":
            return choose_by_grade(field, finalists)
        case "pareto":
            return choose_by_pareto(field)


def find_trial(store: StudyStore, resolved: ResolvedStudy, ref: str) -> Trial:
    """A trial of the study by its id, its name, or its folder (or that of its model).

    :raises ValueError: the study has no such trial; names those that are spelled alike.
    """
    path, trials = Path(ref).resolve(), store.trials.resolve()
    homes = {folder.name for folder in (path, path.parent) if folder.parent == trials}
    for trial in resolved.trials:
        if ref in (trial.id, trial.name) or trial.id in homes:
            return trial
    names = [trial.name for trial in resolved.trials]
    near = get_close_matches(Path(ref).name, [*names, *(trial.id for trial in resolved.trials)], n=3)
    some = ", ".join(names[:SHOWN_NAMES]) + ", ..." * (len(names) > SHOWN_NAMES)
    shown = f"did you mean {' or '.join(near)}?" if near else f"its trials are {some}"
    raise ValueError(f"{ref}: no trial of {resolved.study.name} has this id, name or folder; {shown}")


def check_promotable(choice: Choice, trial_id: str, *, force: bool) -> None:
    """Whether a trial may leave the laboratory as the best of its study.

    :param force: promote it though it is not the best, or though that is not certain.
    :raises ValueError: it is refused, whatever ``force`` says; or it is not the best for certain, without ``force``.
    """
    if reason := choice.refused.get(trial_id):
        raise ValueError(f"{trial_id} may not be promoted (--force does not help): {reason}")
    candidate = next((c for c in choice.candidates if c.trial_id == trial_id), None)
    if candidate is None:
        raise ValueError(f"{trial_id}: no trial of {choice.study}; `tinyscale choose {choice.study}` lists them")
    if force or trial_id in choice.front or (trial_id == choice.best and choice.certain):
        return
    if trial_id == choice.best:
        raise ValueError(choice.said)
    names = {c.trial_id: c.name for c in choice.candidates}
    if choice.by == "pareto":
        why = f"is not on the front ({', '.join(names[i] for i in choice.front)})"
    else:
        tie = ", though the two are a tie" if trial_id in choice.ties else ""
        why = f"is not the best of {choice.study} by {choice.by}: {names[choice.best]} is{tie}"
    raise ValueError(f"{candidate.name} {why}; promote it all the same with --force")
