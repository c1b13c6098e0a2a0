"""One promotion, step by step: the model exported and proved, its files staged, and what became of them noted."""

import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from tinyscale.data.corpus import CorpusFiles, iter_stories
from tinyscale.promote.card.repo_files import repo_files
from tinyscale.promote.card.samples import tell_samples
from tinyscale.promote.card.write import gather_facts, write_card
from tinyscale.promote.exports.proof_stories import STORIES
from tinyscale.promote.exports.prove import prove_export
from tinyscale.promote.exports.write import export_model
from tinyscale.promote.hub.push import Pushed
from tinyscale.promote.hub.stage import WEIGHTS, stage
from tinyscale.results.store import StudyStore
from tinyscale.spec import Choice, Dtype, LawFit, Promotion, ResolvedStudy, Trial, Validation, write_json


def staged_folder(store: StudyStore, repo: str) -> Path:
    """Where the files of a repository are staged: ``promotions/OWNER--NAME`` of the study."""
    return store.promotions / repo.replace("/", "--")


def stage_model(
    store: StudyStore,
    resolved: ResolvedStudy,
    trial: Trial,
    *,
    repo: str,
    dtype: Dtype,
    licence: str,
    choice: Choice,
    validation: Validation,
    corpus: CorpusFiles,
    draw: Callable[[LawFit | None], bytes],
    say: Callable[[str], None],
) -> Path:
    """Write all that the repository will hold, once a fresh process has found that the export computes the same.

    :param draw: the picture of the study's law, or of its points alone, with this model on it, as PNG.
    :returns: the folder (:func:`staged_folder`).
    :raises ValueError: transformers has no class for this model, the export computes something else, the licence must
        be stated, or a file may not be published; nothing is left but an earlier staging.
    """
    model = store.trial(trial.id).model
    folder = staged_folder(store, repo)
    with tempfile.TemporaryDirectory(prefix="tinyscale-export-") as home:
        export = Path(home) / "hf"
        export_model(model, export, format="hf", dtype=dtype)
        proof = prove_export(model, export, [*islice(iter_stories(corpus.valid), STORIES)], dtype=dtype)
        say(
            f"proved: {proof.loader} gives the same {proof.greedy_tokens} greedy tokens, logits to "
            f"{proof.logit_difference:.1e}, {proof.bpb:.4f} bits per byte"
        )
        facts = gather_facts(
            store, resolved, trial, repo=repo, export=export, choice=choice, proof=proof, validation=validation,
            corpus=corpus, samples=tell_samples(export), licence=licence,
        )  # fmt: skip
        files = repo_files(store, resolved, facts, card=write_card(facts), picture=draw(facts.law.law), export=export)
        stage(folder, files)
    return folder


def note_promotion(store: StudyStore, trial: Trial, pushed: Pushed, *, repo: str, registered: str = "") -> Promotion:
    """Write ``promotions/OWNER--NAME.json``."""
    promotion = Promotion(
        repo=repo,
        url=pushed.url,
        commit=pushed.commit,
        tag=pushed.tag,
        trial_id=trial.id,
        model_digest=pushed.files[WEIGHTS],
        files=pushed.files,
        promoted_s=time.time(),
        registered=registered,
    )
    folder = staged_folder(store, repo)
    write_json(folder.with_name(f"{folder.name}.json"), promotion)
    return promotion
