"""Models of other projects, read from a llama2.c file, a Hugging Face folder or the hub: checked, never executed."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyscale.data.cache import Progress, silent
from tinyscale.data.hf_tokenizer import CONFIG, FILES, SETTINGS, read_hf_tokenizer, read_json_object
from tinyscale.data.hub import download, resolve_model
from tinyscale.spec import ImportFormat, ModelConfig

if TYPE_CHECKING:
    from torch import Tensor

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
PICKLES = {".pt", ".pth", ".ckpt", ".pkl", ".pickle"}
CONVERT = (
    "a pickle runs whatever code it holds when it is read, so it is not. Whoever trusts it has transformers write "
    "safetensors: AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(OTHER); llama2.c's own export.py writes "
    "its .pt as .bin"
)


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """Another project's model in memory, in our names."""

    source: str
    """``owner/name@commit`` of the hub, or a path."""
    format: ImportFormat
    config: ModelConfig
    state: Mapping[str, "Tensor"]
    tokenizer: str
    """Text of its tokenizer.json."""


def read_foreign(
    source: str, *, tokenizer: Path | None = None, revision: str = "", progress: Progress = silent
) -> Foreign:
    """The model that a path or a hub id names. What lies on this machine goes before the hub.

    :param tokenizer: llama2.c's ``tokenizer.bin``, for a ``.bin`` alone.
    :param revision: branch, tag or commit, for a hub id alone; empty: ``main``.
    :raises ValueError: there is no such thing, it is damaged, or no model that can be computed here; says what to do.
    :raises ConnectionError: the hub can't be reached.
    """
    path = Path(source)
    here = path.exists()
    if not here and not HUB_ID.fullmatch(source):
        raise ValueError(
            f"{source}: no file or folder (current folder: {Path.cwd()}), and no id of the hub, which reads owner/name"
        )
    if revision and here:
        raise ValueError(f"{source} lies on this machine: --revision goes with an id of the hub")
    if tokenizer and not path.is_file():
        raise ValueError(f"{source}: --tokenizer goes with a llama2.c .bin; a Hugging Face folder holds its own")
    if not here:
        try:
            return _from_hub(source, revision or "main", progress)
        except ValueError as error:
            raise ValueError(f"{source}: no file or folder here, so taken for an id of the hub: {error}") from error
    return _from_folder(path, str(path.resolve())) if path.is_dir() else _from_file(path, tokenizer)


def default_name(source: str) -> str:
    """What a model is called unless the user says otherwise: the last part of its id or path."""
    path = Path(source)
    return path.stem if path.is_file() else path.resolve().name


def _from_file(path: Path, tokenizer: Path | None) -> Foreign:
    from tinyscale.data.llama2c_tokenizer import read_llama2c_tokenizer
    from tinyscale.model.llama2c import read_llama2c

    if path.suffix in PICKLES or path.name.startswith("pytorch_model"):
        raise ValueError(f"{path}: {CONVERT}")
    if path.suffix != ".bin":
        raise ValueError(f"{path}: give a llama2.c .bin with --tokenizer, or the folder of a Hugging Face model")
    if tokenizer is None:
        raise ValueError(f"{path}: a llama2.c model keeps its tokenizer apart: give --tokenizer tokenizer.bin")
    config, state = read_llama2c(path)
    text = read_llama2c_tokenizer(tokenizer, config.vocab_size)
    return Foreign(source=str(path.resolve()), format="llama2c", config=config, state=state, tokenizer=text)


def _from_folder(folder: Path, source: str) -> Foreign:
    from tinyscale.model.hf_folder import read_hf_folder

    text = _check_folder(folder)
    config, state = read_hf_folder(folder)
    return Foreign(source=source, format="hf", config=config, state=state, tokenizer=text)


def _from_hub(repo: str, revision: str, progress: Progress) -> Foreign:
    commit, names = resolve_model(repo, revision)
    weights = _weights(repo, names)
    small = [name for name in FILES if name in names]
    if CONFIG not in small:
        raise ValueError(f"{repo}@{commit[:12]} holds no {CONFIG}: not a model of transformers")
    progress(f"model {repo} at commit {commit}")
    for name in small:
        folder = download(repo, name, commit, "model").parent
    _check_folder(folder)  # before the weights, which may be large
    for name in weights:
        download(repo, name, commit, "model")
    return _from_folder(folder, f"{repo}@{commit}")


def _weights(repo: str, names: Iterable[str]) -> list[str]:
    """The files that hold a repository's weights; those below folders are other software's."""
    names = set(names)
    if WEIGHTS in names:
        return [WEIGHTS]
    if INDEX in names:
        return [INDEX, *sorted(filter(SHARD.fullmatch, names))]
    pickles = sorted(name for name in names if name.startswith("pytorch_model") or Path(name).suffix in PICKLES)
    if pickles:
        raise ValueError(
            f"{repo} holds {pickles[0]} and no {WEIGHTS}: {CONVERT}. The hub's own conversions are pull requests, "
            "which --revision refs/pr/NUMBER takes"
        )
    raise ValueError(f"{repo} holds no {WEIGHTS}")


def _check_folder(folder: Path) -> str:
    """The tokenizer of a Hugging Face folder, once its config says that the model can be had without running its code.

    :raises ValueError: it can't.
    """
    from tinyscale.model.stock import read_config

    if not (folder / CONFIG).is_file():
        raise ValueError(
            f"{folder} holds no {CONFIG}: give the folder of a Hugging Face model, or a llama2.c .bin with --tokenizer"
        )
    config = read_json_object(folder / CONFIG)
    if "preset" in config and "model_type" not in config:
        raise ValueError(f"{folder} holds a model of tinyscale's own; `tinyscale export` it, then import that folder")
    settings = read_json_object(folder / SETTINGS) if (folder / SETTINGS).is_file() else {}
    for name, found in ((CONFIG, config), (SETTINGS, settings)):
        if wanted := found.get("auto_map"):
            raise ValueError(
                f"{folder / name}: asks for code of its own (auto_map: {', '.join(_classes(wanted))}), and code that "
                "comes with a model is never run here (trust_remote_code). Classes of transformers need none"
            )
    try:
        shape, _ = read_config(config)
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG}: {error}") from error
    return read_hf_tokenizer(folder, shape.vocab_size)


def _classes(auto_map: Any) -> list[str]:
    """The classes that an ``auto_map`` names."""
    values = auto_map.values() if isinstance(auto_map, dict) else [auto_map]
    return [str(name) for value in values for name in (value if isinstance(value, list) else [value]) if name]
