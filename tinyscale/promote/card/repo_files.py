"""The files of a repository: the exported model, its card, and what the card speaks of."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinyscale.grading.prompts import SUFFIXES
from tinyscale.model.hf_folder import HF_FILES
from tinyscale.promote.card.facts import CardFacts
from tinyscale.promote.card.grades import grades_json, public_url
from tinyscale.promote.card.points_csv import LAW, POINTS, points_csv
from tinyscale.promote.card.words import file_name
from tinyscale.promote.hub.stage import CARD, PICTURE
from tinyscale.results.store import StudyStore
from tinyscale.spec import FilesCorpus, LawFit, ResolvedStudy, Study, canonical, to_json
from tinyscale.spec.study import Tracking

FOLDER = re.compile(r"(?<![\w.])(?:[A-Za-z]:)?(?:[\\/]+[\w.@~+-]+)+[\\/]")
"""The folders of an absolute path."""


def repo_files(
    store: StudyStore, resolved: ResolvedStudy, facts: CardFacts, *, card: str, picture: bytes, export: Path
) -> dict[str, bytes | str | Path]:
    """Everything that :func:`tinyscale.promote.stage.stage` takes, by name.

    :param card: the text of :func:`tinyscale.promote.card.write.write_card`.
    :param picture: PNG of the law with this model on it.
    :param export: the exported Hugging Face folder.
    """
    names = {trial.id: trial.name for trial in resolved.trials}
    law = facts.law.law
    params = law.params if law else facts.study.law.params
    files: dict[str, bytes | str | Path] = {name: export / name for name in sorted(HF_FILES)}
    files |= {
        CARD: card,
        PICTURE: picture,
        POINTS: points_csv(facts.law.points, names, params),
        "trial.json": _json(facts.trial),
        "study.json": _json(public_study(facts.study)),
    }
    if law:
        files[LAW] = public_law(law, store.law.read_text(encoding="utf-8"))
    if facts.forecasts:
        files["forecasts.json"] = _json(facts.forecasts)
    if facts.grades.stories:
        files["stories.jsonl"] = "".join(f"{canonical(story)}\n" for story in facts.grades.stories)
        files["grades.json"] = _json(grades_json(facts.grades))
    return files


def public_study(study: Study) -> Study:
    """The study without what concerns one machine alone: MLflow's address, and the folders of its files."""
    corpus, tokenizer, grading = study.corpus, study.tokenizer, study.grading
    if isinstance(corpus, FilesCorpus):
        corpus = replace(corpus, train=tuple(map(file_name, corpus.train)), valid=tuple(map(file_name, corpus.valid)))
    local = grading.prompts.endswith(SUFFIXES)
    return replace(
        study,
        corpus=corpus,
        tokenizer=replace(
            tokenizer, vocab_file=file_name(tokenizer.vocab_file), merges_file=file_name(tokenizer.merges_file)
        ),
        tracking=Tracking(),
        grading=replace(
            grading,
            prompts=file_name(grading.prompts) if local else grading.prompts,
            judge=replace(grading.judge, base_url=public_url(grading.judge.base_url)),
        ),
    )


def public_law(law: LawFit, stored: str) -> str:
    """``law.json`` as it is stored; only where the reason of an exclusion names a folder is that left out."""
    excluded = {trial_id: FOLDER.sub("", reason) for trial_id, reason in law.excluded.items()}
    return stored if excluded == dict(law.excluded) else _json(replace(law, excluded=excluded))


def _json(value: Any) -> str:
    return json.dumps(to_json(value), indent=2, ensure_ascii=False) + "\n"
