"""Models from elsewhere as folders of ours: ``model/`` and where it came from, ``import.json``."""

import re
import shutil
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tinyscale.accounting import count_parameters
from tinyscale.data.cache import Progress, silent
from tinyscale.data.corpus import CorpusFiles
from tinyscale.data.tokenizer import load_tokenizer
from tinyscale.promote.imports.foreign import Foreign
from tinyscale.promote.validate import validate_model
from tinyscale.results.store import TrialFolder
from tinyscale.spec import ImportedModel, read_json, write_json

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
SENTENCE = 'Once upon a time there was a little cat. "Hello!" it said.\nThe end.'
"""Must come back from every tokenizer as it went in."""


def check_name(name: str, taken: Iterable[str]) -> None:
    """Whether a model may be called so in a study.

    :param taken: names of the study's trials.
    :raises ValueError: it can't be the name of a folder, or a trial has it.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"--name {name!r}: up to 80 letters, digits, '.', '_' and '-', a letter or digit first")
    if name in taken:
        raise ValueError(f"a trial of the study is named {name}: give the imported model another --name")


def check_place(folder: TrialFolder) -> None:
    """Whether a model can be imported into a folder: it is not there, is empty, or has had one before.

    :raises ValueError: something else is there.
    """
    if folder.imported.exists() or not folder.path.exists():
        return
    if not folder.path.is_dir() or any(folder.path.iterdir()):
        raise ValueError(f"{folder.path} is no empty folder and holds no imported model; name another place")


def write_import(foreign: Foreign, folder: TrialFolder, name: str) -> ImportedModel:
    """Write the model beside its place, prove that it can be read again, and rename: the folder is whole or not there.

    The same model once more changes nothing.

    :raises ValueError: something else is there, or the tokenizer does not give text back.
    """
    from tinyscale.model.store import TOKENIZER, model_digest, save_model

    check_place(folder)
    partial = TrialFolder(folder.path.with_name(f".{folder.path.name}.partial"))
    shutil.rmtree(partial.path, ignore_errors=True)
    partial.path.mkdir(parents=True)
    try:
        tokenizer = partial.path / TOKENIZER
        tokenizer.write_text(foreign.tokenizer, encoding="utf-8")
        save_model(partial.model, foreign.config, foreign.state, tokenizer)
        tokenizer.unlink()
        _prove(partial.model, foreign.source)
        if folder.imported.exists():
            known = read_json(ImportedModel, folder.imported)
            if _alike(partial.model, folder.model):
                return known
            raise ValueError(f"{folder.path} holds another model, of {known.source}; give this one another name")
        counted = count_parameters(foreign.config)
        imported = ImportedModel(
            name=name,
            source=foreign.source,
            format=foreign.format,
            model=foreign.config,
            params_total=counted.total,
            params_non_embedding=counted.non_embedding,
            model_digest=model_digest(partial.model),
            imported_s=time.time(),
        )
        write_json(partial.imported, imported)
        partial.path.rename(folder.path)
    finally:
        shutil.rmtree(partial.path, ignore_errors=True)
    return imported


def validate_import(folder: TrialFolder, corpus: CorpusFiles, progress: Progress = silent) -> ImportedModel:
    """An imported model with its loss on all the validation text, measured now unless it is known.

    :raises ValueError: as :func:`tinyscale.promote.validate.validate_model`.
    """
    imported = read_json(ImportedModel, folder.imported)
    if imported.validation and imported.validation.corpus == corpus.digest:
        return imported
    imported = replace(imported, validation=validate_model(folder.model, corpus, progress=progress))
    write_json(folder.imported, imported)
    return imported


def _alike(one: Path, other: Path) -> bool:
    """Whether two folders hold the same model."""
    from tinyscale.model.store import CONFIG, TOKENIZER, model_digest

    small = all((one / name).read_bytes() == (other / name).read_bytes() for name in (CONFIG, TOKENIZER))
    return small and model_digest(one) == model_digest(other)


def _prove(model: Path, source: str) -> None:
    """The folder loads, and its tokenizer gives back what it was given."""
    from tinyscale.model.store import TOKENIZER, load_model

    load_model(model)
    tokenizer = load_tokenizer(model / TOKENIZER)
    back = tokenizer.decode(tokenizer.encode(SENTENCE).ids)
    if back != SENTENCE:
        raise ValueError(
            f"{source}: its tokenizer makes {back!r} of {SENTENCE!r}; bits per byte of a text need one that gives the "
            "text back"
        )
