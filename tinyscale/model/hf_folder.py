"""A model as a folder that transformers loads: written for transformers 4 and 5 with stock classes, read unseen.

Every file of a folder to be read is hostile until checked: configs are numbers in range, shapes are those of the config
before any weight is loaded, nothing but safetensors is opened.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tinyscale.model.convert import from_transformers, is_buffer, to_transformers
from tinyscale.model.store import CONFIG, TOKENIZER, WEIGHTS, save_tensors
from tinyscale.spec import Dtype, ModelConfig

GENERATION_CONFIG, TOKENIZER_CONFIG = "generation_config.json", "tokenizer_config.json"
HF_FILES = frozenset({WEIGHTS, CONFIG, GENERATION_CONFIG, TOKENIZER, TOKENIZER_CONFIG})
"""What :func:`write_hf_folder` writes."""
INDEX = "model.safetensors.index.json"
END_OF_TEXT, BEGIN_OF_TEXT = "<|endoftext|>", "<|beginoftext|>"
"""The token that ends a text, and the one that begins it where the tokenizer has one; else the end does that too."""
TEMPERATURE, TOP_P = 0.8, 0.95
"""As ``tinyscale generate`` samples."""
_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def write_hf_folder(
    folder: Path, config: ModelConfig, state: Mapping[str, Tensor], tokenizer_path: Path, *, dtype: Dtype
) -> None:
    """Write ``HF_FILES`` into a folder that is there. The same model gives the same bytes.

    The tokenizer gets a post-processor that begins each text as in training, so that a prompt is read as
    ``tinyscale generate`` reads it; sampling has that verb's defaults, and a text ends where the context does.

    :param dtype: of the weights; bf16 is rounded to the nearest.
    :raises ValueError: no stock class of transformers has the model's switches, its tokenizer has no
        ``<|endoftext|>`` or more tokens than the model, or a weight is not finite.
    """
    tokenizer = json.loads(tokenizer_path.read_text(encoding="utf-8"))
    begin, end = _text_tokens(tokenizer_path, tokenizer, config)
    ids = {token: _token_ids(tokenizer)[token] for token in (begin, end)}
    hf_config, tensors = to_transformers(config, state, begin_of_text=ids[begin], end_of_text=ids[end], dtype=dtype)
    _check_finite(folder / WEIGHTS, tensors)
    save_tensors(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    _write_json(folder / CONFIG, hf_config)
    _write_json(folder / TOKENIZER, tokenizer | {"post_processor": _begin_with(begin, ids[begin])})
    _write_json(
        folder / GENERATION_CONFIG,
        {
            "bos_token_id": ids[begin],
            "eos_token_id": ids[end],
            "pad_token_id": ids[end],
            "do_sample": True,
            "temperature": TEMPERATURE,
            "top_p": TOP_P,
            "top_k": 0,
            "max_length": config.context_length,
        },
    )
    _write_json(
        folder / TOKENIZER_CONFIG,
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": begin,
            "eos_token": end,
            "pad_token": end,
            "model_max_length": config.context_length,
            "clean_up_tokenization_spaces": False,
            # transformers 4 would also give token_type_ids, which generate() refuses.
            "model_input_names": ["input_ids", "attention_mask"],
        },
    )


def read_hf_folder(folder: Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    """The config and weights (fp32) of a GPT-2, GPT-Neo or Llama that transformers saved, in one file or in shards.

    :raises ValueError: a file is missing, damaged or points out of the folder, there are pickled weights alone, the
        class or an option of it is not built here, or a tensor is missing, unknown, of another shape or dtype, or not
        finite. All but the last is found before any weight is loaded.
    """
    if not (folder / CONFIG).is_file():
        raise ValueError(f"{folder} holds no {CONFIG}; give the folder of a model that transformers saved")
    hf_config = _read_json(folder / CONFIG)
    files = _weight_files(folder)
    try:
        shapes = _headers(files)
        config, _ = from_transformers(hf_config, shapes)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error
    tensors: dict[str, Tensor] = {}
    for path in files:
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                if not is_buffer(name):
                    tensors[name] = file.get_tensor(name).float()
    _check_finite(folder, tensors)
    return config, from_transformers(hf_config, tensors)[1]


def _weight_files(folder: Path) -> list[Path]:
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        names = _read_json(folder / INDEX).get("weight_map")
        if not isinstance(names, dict) or not names:
            raise ValueError(f"{folder / INDEX}: holds no weight_map of tensors to files")
        for name in names.values():
            if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
                raise ValueError(f"{folder / INDEX}: {name!r} is no safetensors file of this folder")
            if not (folder / name).is_file():
                raise ValueError(f"{folder} holds no {name}, which {INDEX} names")
        return [folder / name for name in sorted(set(names.values()))]
    pickled = sorted(path.name for end in ("bin", "pt", "pth", "ckpt") for path in folder.glob(f"*.{end}"))
    if pickled:
        raise ValueError(
            f"{folder} holds no {WEIGHTS}, only {pickled[0]}: pickled weights can run any code and are never read here."
            " Where you trust them, transformers converts them: AutoModelForCausalLM.from_pretrained(FOLDER)"
            ".save_pretrained(NEW). On the hub, the safetensors bot may have done so: look among the repository's pull"
            " requests, and take revision refs/pr/N"
        )
    raise ValueError(f"{folder} holds no {WEIGHTS} and no {INDEX}; give the folder of a model that transformers saved")


def _headers(files: list[Path]) -> dict[str, Tensor]:
    """Every tensor of the files as a shape without data (device meta)."""
    shapes: dict[str, Tensor] = {}
    for path in files:
        try:
            with safe_open(path, "pt") as file:
                for name in file.keys():  # noqa: SIM118 - not a dict
                    part = file.get_slice(name)
                    if name in shapes:
                        raise ValueError(f"tensor {name!r} stands in two files, one of them {path.name}")
                    if part.get_dtype() not in _DTYPES and not is_buffer(name):
                        raise ValueError(
                            f"tensor {name!r} is {part.get_dtype()}; {', '.join(_DTYPES)} are read, and what is"
                            " quantized must be saved unquantized first"
                        )
                    shapes[name] = torch.empty(part.get_shape(), device="meta")
        except SafetensorError as error:
            raise ValueError(f"{path.name} can't be read: {error}") from error
    return shapes


def _text_tokens(path: Path, tokenizer: Mapping[str, Any], config: ModelConfig) -> tuple[str, str]:
    """The tokens that begin and end a text."""
    ids = _token_ids(tokenizer)
    if END_OF_TEXT not in ids:
        raise ValueError(f"{path}: the tokenizer has no {END_OF_TEXT}")
    if (largest := max(ids.values())) >= config.vocab_size:
        raise ValueError(f"{path}: the tokenizer has an id of {largest}, but the model only {config.vocab_size} rows")
    return (BEGIN_OF_TEXT if BEGIN_OF_TEXT in ids else END_OF_TEXT), END_OF_TEXT


def _token_ids(tokenizer: Mapping[str, Any]) -> dict[str, int]:
    return {**tokenizer["model"]["vocab"], **{token["content"]: token["id"] for token in tokenizer["added_tokens"]}}


def _begin_with(token: str, index: int) -> dict[str, Any]:
    """The post-processor that puts one token before each text."""
    begin = {"SpecialToken": {"id": token, "type_id": 0}}
    text, second = ({"Sequence": {"id": name, "type_id": 0}} for name in ("A", "B"))
    return {
        "type": "TemplateProcessing",
        "single": [begin, text],
        "pair": [begin, text, begin, second],
        "special_tokens": {token: {"id": token, "ids": [index], "tokens": [token]}},
    }


def _check_finite(where: Path, tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ValueError(f"{where}: tensor {name!r} holds numbers that are not finite")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path}: not a JSON object")
    return value


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
