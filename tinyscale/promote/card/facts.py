"""All that a model card says, gathered from what a study's folder holds."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyscale.data.cache import default_cache
from tinyscale.data.corpus import CorpusFiles, corpus_digest
from tinyscale.data.hub import recorded_commit
from tinyscale.laws.forecast import study_forecasts
from tinyscale.promote.card.grades import CardGrades, read_grades
from tinyscale.promote.card.law import CardLaw, Outcome, find_outcome, read_law
from tinyscale.promote.card.licences import TINYSTORIES, Licences, find_licences
from tinyscale.promote.card.samples import Sample
from tinyscale.promote.card.words import file_name
from tinyscale.results.points import points_table, read_results
from tinyscale.results.store import StudyStore
from tinyscale.spec import (
    Choice,
    ExportProof,
    Forecast,
    Point,
    ResolvedStudy,
    Study,
    Trial,
    TrialResult,
    Validation,
)
from tinyscale.tracking.origin import Origin, read_origins


@dataclass(frozen=True, kw_only=True)
class CardData:
    """The text that the model learned from and was measured on."""

    name: str
    """Such as ``roneneldan/TinyStories``."""
    repo: str = ""
    """Of the data set on the hub; empty: it is not there."""
    revision: str = ""
    """Commit of that data set; empty: not known."""
    files: tuple[str, ...] = ()
    """Names of the training files."""
    english_stories: bool
    """Known to be short stories in English."""
    train_stories: int
    train_bytes: int
    valid_stories: int
    valid_bytes: int
    entropy_bpb: float | None
    """Bits per byte of the validation stories under their own generator: no model beats it in expectation."""


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What :func:`tinyscale.promote.card.write.write_card` needs; nothing in it is left to be measured."""

    repo: str
    """owner/name."""
    study: Study
    trial: Trial
    result: TrialResult
    point: Point
    """Of the model that is published: the last of its trial."""
    trained: int
    """Trials of the study that are done."""
    architecture: str
    """Class of transformers, from the export's config.json."""
    model_type: str
    generation: Mapping[str, Any]
    """The export's generation_config.json."""
    choice: Choice
    proof: ExportProof
    validation: Validation
    data: CardData
    licences: Licences
    samples: tuple[Sample, ...]
    """At least one."""
    law: CardLaw
    outcome: Outcome
    forecasts: tuple[Forecast, ...]
    """Locked for this trial."""
    grades: CardGrades
    origin: Origin | None
    """The launch that trained it; None: not noted."""


def gather_facts(
    store: StudyStore,
    resolved: ResolvedStudy,
    trial: Trial,
    *,
    repo: str,
    export: Path,
    choice: Choice,
    proof: ExportProof,
    validation: Validation,
    corpus: CorpusFiles,
    samples: Sequence[Sample],
    licence: str = "",
) -> CardFacts:
    """The facts of one trial's model, from stored results alone.

    :param repo: owner/name on the hub.
    :param export: the exported Hugging Face folder.
    :param samples: told by its weights (:func:`tinyscale.promote.card.samples.tell_samples`).
    :param licence: what whoever publishes the model states; empty: the text's.
    :raises ValueError: the trial has no model, one of the measurements is of another model or text, the law is of other
        points than the study has, or the licence must be stated.
    """
    licences = find_licences(resolved.study.corpus, licence)
    ids = {each.id for each in resolved.trials}
    results = {trial_id: each for trial_id, each in read_results(store).items() if trial_id in ids}
    result = results.get(trial.id)
    if result is None or not result.points:
        raise ValueError(f"trial {trial.name} is {result.status if result else 'not finished'}: it has no model")
    for what, found, wanted in (
        ("model of the validation", validation.model_digest, result.model_digest),
        ("text of the validation", validation.corpus, trial.corpus),
        ("corpus", corpus.digest, trial.corpus),
    ):
        if found != wanted:
            raise ValueError(
                f"{trial.name}: the {what} is {found[:12]}, but the trial's is {wanted[:12]}: measure again"
            )
    config, generation = (
        json.loads((export / name).read_text(encoding="utf-8")) for name in ("config.json", "generation_config.json")
    )
    forecasts = tuple(f for f in study_forecasts(store.forecasts, resolved.trials) if f.trial_id == trial.id)
    law = read_law(store, points_table(results))
    return CardFacts(
        repo=repo,
        study=resolved.study,
        trial=trial,
        result=result,
        point=result.points[-1],
        trained=sum(r.status == "done" for r in results.values()),
        architecture=config["architectures"][0],
        model_type=config["model_type"],
        generation=generation,
        choice=choice,
        proof=proof,
        validation=validation,
        data=_data(resolved, trial, corpus),
        licences=licences,
        samples=tuple(samples),
        law=law,
        outcome=find_outcome(law, forecasts, result),
        forecasts=forecasts,
        grades=read_grades(store, trial, result),
        origin=_origin(store, result),
    )


def _data(resolved: ResolvedStudy, trial: Trial, corpus: CorpusFiles) -> CardData:
    spec = resolved.study.corpus
    known: dict[str, Any] = {}
    match spec.source:
        case "builtin":
            known = {"name": "tinyscale's built-in stories", "english_stories": True}
        case "files":
            names = tuple(map(file_name, spec.train))
            known = {"name": "local files", "files": names, "english_stories": False}
        case "hub":
            cache = default_cache()
            same = corpus_digest(spec, cache, offline=True) == trial.corpus
            commit = recorded_commit(spec.repo, spec.revision, cache) if same else None
            known = {"name": spec.repo, "repo": spec.repo, "revision": commit or "", "files": spec.train,
                     "english_stories": spec.repo == TINYSTORIES}  # fmt: skip
    return CardData(
        **known,
        train_stories=corpus.train_stories,
        train_bytes=corpus.train_bytes,
        valid_stories=corpus.valid_stories,
        valid_bytes=corpus.valid_bytes,
        entropy_bpb=resolved.entropy_bpb,
    )


def _origin(store: StudyStore, result: TrialResult) -> Origin | None:
    """The newest launch when the trial began."""
    before = [origin for origin in read_origins(store.launches) if origin.started_s <= result.started_s]
    return before[-1] if before else None
