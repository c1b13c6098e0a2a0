"""A model as a folder: model.safetensors, config.json, tokenizer.json."""

import os
import re
import shutil
from collections.abc import Mapping
from hashlib import file_digest
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tinyscale.model.transformer import Transformer
from tinyscale.spec import ModelConfig, read_json, write_json

WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"


def model_digest(folder: Path) -> str:
    """SHA-256 of a model's weights, 64 hex digits."""
    with (folder / WEIGHTS).open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def save_model(folder: Path, config: ModelConfig, state: Mapping[str, Tensor], tokenizer_path: Path) -> None:
    """Write the model beside its place, then rename: a folder of that name is whole, or is not there.

    A folder that stood there is replaced. The files are on disk when this returns.
    """
    partial, old = folder.with_name(f".{folder.name}.partial"), folder.with_name(f".{folder.name}.old")
    for leftover in (partial, old):
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir()
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    save_tensors(tensors, partial / WEIGHTS, metadata={"format": "pt"})
    write_json(partial / CONFIG, config)
    shutil.copyfile(tokenizer_path, partial / TOKENIZER)
    for path in (*partial.iterdir(), partial):
        _sync(path)
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    _sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write tensors as safetensors.

    :raises OSError: the disk is full or away; safetensors itself has an error of its own for that.
    """
    try:
        save_file(dict(tensors), path, metadata=metadata)
    except SafetensorError as error:
        if number := re.search(r"os error (\d+)", str(error)):
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
        raise


def load_model(folder: Path) -> Transformer:
    """The model of a folder that :func:`save_model` wrote, on the CPU, in eval mode.

    :raises ValueError: a file is missing or broken, or a tensor is missing, unknown or of another shape than
        config.json says; names it.
    """
    for name in (WEIGHTS, CONFIG):
        if not (folder / name).is_file():
            raise ValueError(f"{folder} holds no {name}; give the folder of a finished model")
    model = Transformer(read_json(ModelConfig, folder / CONFIG))
    try:
        state = load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise ValueError(f"{folder / WEIGHTS} can't be read: {error}") from error
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise ValueError(
                f"{folder / WEIGHTS}: tensor {name!r} has shape {found.get(name, 'none, it is missing')}, "
                f"but {CONFIG} asks for {expected.get(name, 'no such tensor')}"
            )
    model.load_state_dict(state)
    return model.eval()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
