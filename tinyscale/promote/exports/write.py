"""A model in the formats of others: a folder for transformers, or the two files of llama2.c."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from tinyscale.promote.whole_folder import whole_folder
from tinyscale.spec import Dtype, ExportFormat

if TYPE_CHECKING:
    from tinyscale.model.transformer import Transformer

LLAMA2C_FILES = frozenset({"model.bin", "tokenizer.bin"})


def export_model(
    model_folder: Path, to: Path, *, format: ExportFormat, dtype: Dtype = "fp32", version: int = 0
) -> None:
    """Export a model folder. It is written beside ``to``, then renamed: the folder is whole, or is not there.

    An earlier export of the same format is replaced.

    :param dtype: of the weights; llama2.c has fp32 alone.
    :param version: of llama2.c's checkpoint, 0 (which its run.c reads) or 1.
    :raises ValueError: an option is unknown, there is no whole model in ``model_folder``, ``to`` holds anything but an
        earlier export, or the format can't hold the model: says why, and which can.
    """
    from tinyscale.model.store import load_model

    names = _check_options(format, dtype, version)
    to = Path(os.path.realpath(to))
    _check_target(to, names, format)
    model = load_model(model_folder)
    with whole_folder(to) as partial:
        if format == "hf":
            _write_hf(partial, model, model_folder, dtype)
        else:
            _write_llama2c(partial, model, model_folder, version)


def _check_options(format: str, dtype: str, version: int) -> frozenset[str]:
    """The format's file names."""
    from tinyscale.model.hf_folder import HF_FILES

    for name, value, allowed in (("format", format, get_args(ExportFormat)), ("dtype", dtype, get_args(Dtype))):
        if value not in allowed:
            raise ValueError(f"{name} is {value!r}; choose {' or '.join(allowed)}")
    if version not in (0, 1):
        raise ValueError(f"version is {version}; llama2.c's run.c reads version 0, and 1 is its newer header")
    if format == "hf" and version:
        raise ValueError("version is of llama2.c's checkpoint; hf has none")
    if format == "llama2c" and dtype != "fp32":
        raise ValueError(f"dtype is {dtype}, but llama2.c has fp32 weights alone; leave it out, or export as hf")
    return HF_FILES if format == "hf" else LLAMA2C_FILES


def _check_target(to: Path, names: frozenset[str], format: str) -> None:
    """A model folder of ours has some of the names of an hf export, an export has all of them and no other."""
    if not to.exists():
        return
    if not to.is_dir():
        raise ValueError(f"{to} is a file; give a new folder")
    found = {path.name for path in to.iterdir()}
    if found and found != names:
        strange = ", ".join(sorted(found - names)[:3]) or f"no {min(names - found)}"
        raise ValueError(
            f"{to} holds something other than an earlier {format} export ({strange}) and is left alone; give a new"
            " folder"
        )


def _write_hf(folder: Path, model: "Transformer", model_folder: Path, dtype: Dtype) -> None:
    from tinyscale.model.hf_folder import write_hf_folder
    from tinyscale.model.store import TOKENIZER

    write_hf_folder(folder, model.config, model.state_dict(), model_folder / TOKENIZER, dtype=dtype)


def _write_llama2c(folder: Path, model: "Transformer", model_folder: Path, version: int) -> None:
    from tinyscale.data.llama2c_tokenizer import llama2c_order, write_llama2c_tokenizer
    from tinyscale.data.tokenizer import load_tokenizer
    from tinyscale.model.llama2c import VOCABULARY_ROWS, write_llama2c
    from tinyscale.model.store import TOKENIZER

    load_tokenizer(model_folder / TOKENIZER)  # says what is wrong with a damaged one
    tokenizer = json.loads((model_folder / TOKENIZER).read_text(encoding="utf-8"))
    order = llama2c_order(tokenizer)
    if len(order) != model.config.vocab_size:
        raise ValueError(
            f"llama2.c has a piece for each row of the model, but this one has {model.config.vocab_size} rows and its"
            f" tokenizer {len(order)} tokens; export it as hf"
        )
    state = {name: weight[order] if name in VOCABULARY_ROWS else weight for name, weight in model.state_dict().items()}
    write_llama2c(folder / "model.bin", model.config, state, version=1 if version else 0)
    write_llama2c_tokenizer(folder / "tokenizer.bin", tokenizer, order)
