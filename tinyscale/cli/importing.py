"""The verb that takes in models from elsewhere."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinyscale.cli.common import MODELS, RUNS, Storage, app, say, stored

if TYPE_CHECKING:
    from tinyscale.data.corpus import CorpusFiles
    from tinyscale.results.store import StudyStore
    from tinyscale.spec import ImportedModel, Interval, ResolvedStudy

Source = Annotated[
    str,
    typer.Argument(
        help="A llama2.c .bin, the folder of a Hugging Face model, or its id on the hub, owner/name.",
        show_default=False,
    ),
]
Tokenizer = Annotated[
    Path | None, typer.Option(metavar="FILE", dir_okay=False, help="The tokenizer.bin of a llama2.c model.")
]


@app.command("import", rich_help_panel=MODELS)
def import_(
    source: Source,
    study: Annotated[str, typer.Option(metavar="STUDY", help="Put it beside this launched study's models.")] = "",
    to: Annotated[Path | None, typer.Option(metavar="DIR", help="Or put it here, beside no study.")] = None,
    name: Annotated[str, typer.Option(help="What to call it; else the last part of its source.")] = "",
    tokenizer: Tokenizer = None,
    revision: Annotated[str, typer.Option(help="Branch, tag or commit on the hub; else main.")] = "",
    storage: Storage = RUNS,
) -> None:
    """Take in a GPT-2, GPT-Neo or Llama that was trained elsewhere; in a study it is measured on the same text."""
    from tinyscale.promote.imports.foreign import default_name, read_foreign
    from tinyscale.promote.imports.write import check_name, check_place, write_import
    from tinyscale.results.store import TrialFolder

    if bool(study) == bool(to):
        raise ValueError("import takes --study STUDY, or --to DIR: one of the two")
    name = name or default_name(source)
    if study:
        _into_study(source, study, name, tokenizer, revision, storage)
        return
    assert to
    folder = TrialFolder(to.absolute())
    check_name(name, ())
    check_place(folder)
    foreign = read_foreign(source, tokenizer=tokenizer, revision=revision, progress=say)
    say(_told(write_import(foreign, folder, name)))
    say(f"it is in {to}, not measured on any text; stories: tinyscale generate {to}")


def _into_study(source: str, study: str, name: str, tokenizer: Path | None, revision: str, storage: Path) -> None:
    from tinyscale.cluster.lock import StudyLock
    from tinyscale.laws.study import fit_study
    from tinyscale.promote.imports.foreign import read_foreign
    from tinyscale.promote.imports.write import check_name, check_place, validate_import, write_import
    from tinyscale.promote.validate import study_corpus
    from tinyscale.report.study import report_study
    from tinyscale.results.imported import import_folder
    from tinyscale.results.storage import mirror_of, shown

    store, resolved = stored(study, storage)
    if mirror_of(store):
        raise ValueError(
            f"{shown(storage)} is an object store, and models are imported into folders of this machine alone: "
            "use --to DIR, or a --storage FOLDER"
        )
    folder = import_folder(store, name)
    check_name(name, [trial.name for trial in resolved.trials])
    check_place(folder)
    foreign = read_foreign(source, tokenizer=tokenizer, revision=revision, progress=say)
    corpus = study_corpus(resolved, say)
    with StudyLock(store.lock):
        imported = write_import(foreign, folder, name)
        say(_told(imported))
        trained = {trial.model.context_length for trial in resolved.trials} - {imported.model.context_length}
        if trained:
            say(f"note: its context is its own; the study's models see {', '.join(map(str, sorted(trained)))} tokens")
        say(f"measuring it on all {corpus.valid_stories:,} validation stories")
        _compare(validate_import(folder, corpus, say), store, resolved, corpus)
        again = shlex.join(["tinyscale", "import", source, "--study", study, "--name", name])
        say(f"report: {report_study(store, fit_study(store), [again])}")
    say(f"stories: tinyscale generate {folder.path}")


def _compare(imported: "ImportedModel", store: "StudyStore", resolved: "ResolvedStudy", corpus: "CorpusFiles") -> None:
    """Print its loss beside that of the study's best model on the same text."""
    from tinyscale.promote.validate import trial_validation
    from tinyscale.results.points import read_results

    assert imported.validation
    say(f"{imported.name}: {_span(imported.validation.bpb)}")
    results = read_results(store)
    done = [results[trial.id] for trial in resolved.trials if trial.id in results and results[trial.id].points]
    if done:
        best = min(done, key=lambda result: result.points[-1].bpb)
        validation = trial_validation(store.trial(best.trial_id), corpus, progress=say)
        say(f"{best.name}, the study's best: {_span(validation.bpb)}")


def _span(bpb: "Interval") -> str:
    return f"{bpb.value:.4f} bits per byte, 95 % interval {bpb.low:.4f} to {bpb.high:.4f}"


def _told(imported: "ImportedModel") -> str:
    from tinyscale.spec import short_count

    model = imported.model
    return (
        f"imported {imported.name} from {imported.source}: {model.preset}, d{model.hidden_size}, L{model.num_layers}, "
        f"{short_count(imported.params_total)} parameters, {model.vocab_size:,} tokens in its vocabulary, "
        f"context {model.context_length}"
    )
