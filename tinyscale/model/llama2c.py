"""Checkpoints of karpathy's llama2.c (``model.bin``), versions 0 and 1, both ways.

After https://github.com/karpathy/llama2.c: ``export.py`` writes these files, ``run.c`` reads version 0. All is little
endian, all weights are fp32, matrices are (out, in). A tensor that each layer has stands there for all layers in a row.

version 0: seven int32 (dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len; vocab_size is negative
where the classifier is a matrix of its own), then the tensors of ``_layout(version=0)``.
version 1: uint32 0x616b3432 ("ak42"), int32 1, the seven int32, uint8 shared_classifier, zeros up to byte 256, then the
tensors of ``_layout(version=1)``.

llama2.c turns neighbouring channels (2i, 2i + 1) of a head by one angle, as Meta's weights do; we turn channels i and
i + D/2, as transformers does. So rows of wq and wk change places within each head, which is exact both ways.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import torch
from torch import Tensor

from tinyscale.model.presets import preset_defaults
from tinyscale.model.shape import check_shape
from tinyscale.spec import ModelConfig

Version = Literal[0, 1]
VOCABULARY_ROWS = frozenset({"token_embedding.weight", "head.weight"})
"""Our tensors with one row a token: who puts a vocabulary into another order moves theirs."""
MAGIC = 0x616B3432
HEADER_BYTES = {0: 28, 1: 256}
RANGES = {
    "dim": (2, 1 << 16),
    "hidden_dim": (1, 1 << 20),
    "n_layers": (1, 1 << 12),
    "n_heads": (1, 1 << 12),
    "n_kv_heads": (1, 1 << 12),
    "vocab_size": (1, 1 << 24),
    "seq_len": (1, 1 << 17),
}
"""What is believed of a header, smallest and largest."""
_FIXED = {**preset_defaults("llama"), "rope_theta": 10_000.0}
"""Switches as run.c has them hard-coded."""
del _FIXED["tie_embeddings"]


def llama2c_misfits(config: ModelConfig) -> list[str]:
    """Switches of ``config`` that llama2.c can't compute, as ``field=needed (is given)``; empty when it can."""
    return [
        f"{name}={needed} (is {getattr(config, name)})"
        for name, needed in _FIXED.items()
        if getattr(config, name) != needed
    ]


def write_llama2c(path: Path, config: ModelConfig, state: Mapping[str, Tensor], *, version: Version) -> None:
    """Write a checkpoint beside its place, then rename. Rows of the vocabulary keep their order.

    :raises ValueError: llama2.c has not these switches (all are named) or sizes, or a weight is not finite.
    """
    if found := llama2c_misfits(config):
        raise ValueError(
            f"llama2.c computes nothing but its own Llama; it would need {', '.join(found)}. Export it as hf where a"
            " class of transformers has these switches; a model folder of tinyscale holds any"
        )
    sizes = (config.hidden_size, config.intermediate_size, config.num_layers, config.num_heads, config.num_kv_heads,
             config.vocab_size, config.context_length)  # fmt: skip
    _check_ranges(path, sizes)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        if version == 0:
            signed = config.vocab_size if config.tie_embeddings else -config.vocab_size
            file.write(struct.pack("<7i", *sizes[:5], signed, sizes[6]))
        else:
            header = struct.pack("<Ii7iB", MAGIC, version, *sizes, config.tie_embeddings)
            file.write(header.ljust(HEADER_BYTES[version], b"\0"))
        for name, _ in _layout(config, version):
            tensor = _rotary_table(config, name) if name in ("cos", "sin") else _take(config, state, name)
            _check_finite(path, name, tensor)
            file.write(tensor.detach().cpu().contiguous().numpy().astype("<f4", copy=False).tobytes())
    partial.replace(path)


def read_llama2c(path: Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    """The config and weights of a checkpoint; rows of the vocabulary stand in the file's order.

    Nothing is allocated before the size that the header asks for is that of the file.

    :raises ValueError: no checkpoint of version 0 or 1, or a damaged one: says what is wrong, and how to convert a
        ``.pt``.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file; give the model.bin of a llama2.c model")
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        config, version = _read_header(path, file.read(HEADER_BYTES[1]), size)
        file.seek(HEADER_BYTES[version])
        tensors: dict[str, Tensor] = {}
        for name, shape in _layout(config, version):
            tensors[name] = _read_tensor(path, file, shape)
            _check_finite(path, name, tensors[name])
    if version == 0:
        _check_rotary_tables(path, config, tensors)
    return config, _to_ours(config, tensors)


def _read_header(path: Path, head: bytes, size: int) -> tuple[ModelConfig, Version]:
    _refuse_pickle(path, head)
    if len(head) < HEADER_BYTES[0]:
        raise ValueError(f"{path}: {size} bytes are too few for the header of a llama2.c checkpoint")
    version: Version = 0
    if struct.unpack_from("<I", head)[0] == MAGIC:
        version = _read_version(path, head)
    sizes = list(struct.unpack_from("<7i", head, 8 * version))
    shared = bool(head[36]) if version == 1 else sizes[5] > 0
    if version == 0:
        sizes[5] = abs(sizes[5])
    _check_ranges(path, sizes)
    dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len = sizes
    config = ModelConfig(
        **{
            **preset_defaults("llama"),
            "preset": "llama",
            "vocab_size": vocab_size,
            "hidden_size": dim,
            "num_layers": n_layers,
            "num_heads": n_heads,
            "num_kv_heads": n_kv_heads,
            "intermediate_size": hidden_dim,
            "context_length": seq_len,
            "tie_embeddings": shared,
        }
    )
    try:
        check_shape(config)
    except ValueError as error:
        raise ValueError(f"{path}: its header is no possible model: {error}") from error
    expected = HEADER_BYTES[version] + 4 * sum(prod(shape) for _, shape in _layout(config, version))
    if size != expected:
        raise ValueError(
            f"{path}: {size:,} bytes, but its header (version {version}) asks for {expected:,}; the file is cut, or is"
            " no llama2.c checkpoint"
        )
    return config, version


def _read_version(path: Path, head: bytes) -> Version:
    if len(head) < HEADER_BYTES[1]:
        raise ValueError(f"{path}: {len(head)} bytes are too few for the header of a llama2.c checkpoint")
    version = struct.unpack_from("<i", head, 4)[0]
    if version == 2:
        raise ValueError(
            f"{path}: version 2 of llama2.c (int8 in groups) is not read; export the model anew with llama2.c's"
            " export.py --version 0 or 1"
        )
    if version != 1:
        raise ValueError(f"{path}: version {version} of llama2.c is unknown; 0 and 1 are read")
    if head[36] > 1 or any(head[37:]):
        raise ValueError(f"{path}: its header is not one of version 1: bytes that must be zero are not")
    return 1


def _refuse_pickle(path: Path, head: bytes) -> None:
    """A zip archive or the first bytes of a pickle. 80 02 00 00 is no pickle: it is the legacy header of width 640."""
    if head[:4] == b"PK\x03\x04" or (len(head) > 2 and head[0] == 0x80 and 1 <= head[1] <= 5 and head[2]):
        raise ValueError(
            f"{path}: a PyTorch checkpoint (pickle), which can run any code when it is read and is never read here;"
            " where you trust it, convert it with llama2.c's own export.py: python export.py model.bin --checkpoint"
            f" {path.name}"
        )


def _check_ranges(path: Path, sizes: Sequence[int]) -> None:
    for (name, (least, most)), value in zip(RANGES.items(), sizes, strict=True):
        if not least <= value <= most:
            raise ValueError(
                f"{path}: {name} is {value:,}, and a llama2.c checkpoint has {least:,} to {most:,}; is it another file?"
            )


def _layout(config: ModelConfig, version: Version) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names (llama2.c's) and shapes of the tensors in the order of the file, all layers of one together."""
    L, E, F, V = config.num_layers, config.hidden_size, config.intermediate_size, config.vocab_size
    kv_size = config.num_kv_heads * config.head_size
    embedding = ("tok_embeddings", (V, E))
    attention = [("wq", (L, E, E)), ("wk", (L, kv_size, E)), ("wv", (L, kv_size, E)), ("wo", (L, E, E))]
    mlp = [("w1", (L, F, E)), ("w2", (L, E, F)), ("w3", (L, F, E))]
    if version == 0:
        yield from (embedding, ("rms_att", (L, E)), *attention, ("rms_ffn", (L, E)), *mlp, ("rms_final", (E,)))
        yield from ((name, (config.context_length, config.head_size // 2)) for name in ("cos", "sin"))
    else:
        yield from (("rms_att", (L, E)), ("rms_ffn", (L, E)), ("rms_final", (E,)), embedding, *attention, *mlp)
    if not config.tie_embeddings:
        yield "output", (V, E)


_OURS = {
    "rms_att": "attention_norm.weight",
    "rms_ffn": "mlp_norm.weight",
    "wo": "attention.out.weight",
    "w1": "mlp.gate.weight",
    "w2": "mlp.down.weight",
    "w3": "mlp.up.weight",
}
_OURS_ONCE = {"tok_embeddings": "token_embedding.weight", "rms_final": "final_norm.weight", "output": "head.weight"}
_QKV = ("wq", "wk", "wv")


def _take(config: ModelConfig, state: Mapping[str, Tensor], name: str) -> Tensor:
    """One tensor of the file, of our weights, fp32."""
    if name in _OURS_ONCE:
        return state[_OURS_ONCE[name]].float()
    layers = [f"blocks.{layer}." for layer in range(config.num_layers)]
    if name in _OURS:
        return torch.stack([state[layer + _OURS[name]].float() for layer in layers])
    kv_size = config.num_kv_heads * config.head_size
    sizes, which = [config.hidden_size, kv_size, kv_size], _QKV.index(name)
    parts = [torch.split(state[f"{layer}attention.qkv.weight"], sizes)[which].float() for layer in layers]
    return torch.stack(parts if name == "wv" else [_interleave(part, config.head_size) for part in parts])


def _to_ours(config: ModelConfig, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    state = {ours: tensors[theirs] for theirs, ours in _OURS_ONCE.items() if theirs in tensors}
    for layer in range(config.num_layers):
        q, k, v = (tensors[name][layer] for name in _QKV)
        halves = (_halve(q, config.head_size), _halve(k, config.head_size), v)
        state[f"blocks.{layer}.attention.qkv.weight"] = torch.cat(halves)
        for theirs, ours in _OURS.items():
            state[f"blocks.{layer}.{ours}"] = tensors[theirs][layer].clone()
    return state


def _interleave(rows: Tensor, head_size: int) -> Tensor:
    """(heads * D, E): row i and row i + D/2 of each head become rows 2i and 2i + 1."""
    return rows.view(-1, 2, head_size // 2, rows.shape[1]).transpose(1, 2).reshape(rows.shape)


def _halve(rows: Tensor, head_size: int) -> Tensor:
    """The inverse of :func:`_interleave`."""
    return rows.view(-1, head_size // 2, 2, rows.shape[1]).transpose(1, 2).reshape(rows.shape)


def _rotary_table(config: ModelConfig, name: str) -> Tensor:
    """freq_cis_real or freq_cis_imag of version 0, (T, D/2), computed step by step as llama2.c's model.py does."""
    frequency = 1.0 / (10_000.0 ** (torch.arange(0, config.head_size, 2).float() / config.head_size))
    angle = torch.outer(torch.arange(config.context_length), frequency).float()
    return angle.cos() if name == "cos" else angle.sin()


def _check_rotary_tables(path: Path, config: ModelConfig, tensors: Mapping[str, Tensor]) -> None:
    """run.c of today computes the angles itself, older ones read this table: it must be the same."""
    tolerance = 1e-4 + 1e-6 * config.context_length  # an angle of T radians is known to T * 2^-24
    for name in ("cos", "sin"):
        if (tensors[name] - _rotary_table(config, name)).abs().max() > tolerance:
            raise ValueError(
                f"{path}: its table of rotary angles ({name}) is not that of theta 10,000, the only one that llama2.c"
                " has; is it another file?"
            )


def _read_tensor(path: Path, file: BinaryIO, shape: tuple[int, ...]) -> Tensor:
    values = np.fromfile(file, dtype="<f4", count=prod(shape))
    if len(values) != prod(shape):
        raise ValueError(f"{path}: cut while it was read")
    return torch.from_numpy(values.astype(np.float32, copy=False)).view(shape)


def _check_finite(path: Path, name: str, tensor: Tensor) -> None:
    if not tensor.isfinite().all():
        raise ValueError(f"{path}: tensor {name} holds numbers that are not finite")
