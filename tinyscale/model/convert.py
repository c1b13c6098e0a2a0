"""Our weights as those of transformers' GPT2LMHeadModel, GPTNeoForCausalLM and LlamaForCausalLM, and back.

Both directions read one table of names. transformers itself is not imported: a config is its ``config.json`` as a dict,
weights are a state dict. Logits are equal, dropout aside, whose places differ between the classes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tinyscale.model.shape import GATED_MLPS
from tinyscale.model.stock import DTYPES, STOCK_CLASSES, StockClass, misfits, read_config, write_config
from tinyscale.spec import Dtype, ModelConfig

_BUFFERS = (".attn.bias", ".attention.bias", ".masked_bias", ".inv_freq")
"""Ends of the names of tensors in older files that are masks and frequencies, not weights."""


@dataclass(frozen=True)
class _Entry:
    """One of our tensors and what transformers calls it."""

    ours: str
    theirs: tuple[str, ...]
    """Several where we hold query, key and value rows in one tensor and the class does not."""
    transposed: bool = False
    """GPT-2 keeps its matrices as (in, out)."""


def to_transformers(
    config: ModelConfig,
    state: Mapping[str, Tensor],
    *,
    begin_of_text: int | None = None,
    end_of_text: int | None = None,
    dtype: Dtype = "fp32",
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """``config.json`` and state dict of the stock class that computes the same.

    The class is found by the switches, whatever the preset. A tied head is left out of the state dict.

    :param begin_of_text: as ``end_of_text``, the id of a token, for the config.
    :param dtype: of the state dict; bf16 is rounded to the nearest.
    :raises ValueError: no stock class has these switches; names those that the nearest one would need changed, and
        the format that holds the model.
    """
    by_misfit = {stock: misfits(config, stock) for stock in STOCK_CLASSES.values()}
    stock = min(by_misfit, key=lambda each: (len(by_misfit[each]), each.preset != config.preset))
    if by_misfit[stock]:
        raise ValueError(
            f"no model class of transformers computes this; the nearest, {stock.architecture}, "
            f"would need {', '.join(by_misfit[stock])}. llama2.c has no more switches than LlamaForCausalLM: only a "
            "model folder of tinyscale (model.safetensors, config.json, tokenizer.json) holds this one, as it stands"
        )
    torch_dtype = getattr(torch, DTYPES[dtype])
    sizes = _qkv_rows(config)
    theirs: dict[str, Tensor] = {}
    for entry in _entries(config, stock):
        tensor = state[entry.ours]
        parts = torch.split(tensor, sizes) if len(entry.theirs) == 3 else (tensor,)
        for name, part in zip(entry.theirs, parts, strict=True):
            part = part.t() if entry.transposed else part
            theirs[name] = part.to(torch_dtype, copy=True, memory_format=torch.contiguous_format)
    hf_config = write_config(config, stock, begin_of_text=begin_of_text, end_of_text=end_of_text, dtype=dtype)
    return hf_config, theirs


def from_transformers(
    hf_config: Mapping[str, Any], hf_state: Mapping[str, Tensor]
) -> tuple[ModelConfig, dict[str, Tensor]]:
    """The inverse of :func:`to_transformers`, for published weights too.

    Tensors may be on the device ``meta``: then all is checked and nothing allocated.

    :raises ValueError: the class or one of its options has no counterpart here, or a tensor is missing, unknown or of
        another shape than the config says.
    """
    config, stock = read_config(hf_config)
    prefix = stock.prefix
    # The hub's gpt2 was saved from the bare model, without the prefix.
    named = {name if name.startswith((prefix, "lm_head.")) else prefix + name: t for name, t in hf_state.items()}
    unknown = {name for name in named if not is_buffer(name)}
    ours: dict[str, Tensor] = {}
    for entry in _entries(config, stock):
        if missing := [name for name in entry.theirs if name not in named]:
            raise ValueError(f"the weights hold no tensor {missing[0]!r}, which {stock.architecture} has")
        for name, shape in zip(entry.theirs, _shapes(config, entry), strict=True):
            if tuple(named[name].shape) != shape:
                raise ValueError(
                    f"tensor {name!r} has shape {tuple(named[name].shape)}, but config.json asks for {shape}"
                )
        parts = [named[name].t() if entry.transposed else named[name] for name in entry.theirs]
        ours[entry.ours] = torch.cat(parts) if len(parts) > 1 else parts[0].clone(memory_format=torch.contiguous_format)
        unknown.difference_update(entry.theirs)
    if config.tie_embeddings:
        unknown.discard("lm_head.weight")
    if unknown:
        raise ValueError(f"the weights hold a tensor {min(unknown)!r} that {stock.architecture} does not have")
    return config, ours


def is_buffer(name: str) -> bool:
    """A tensor of an older file that is a mask or frequencies, and no weight."""
    return name.endswith(_BUFFERS)


def _shapes(config: ModelConfig, entry: _Entry) -> list[tuple[int, ...]]:
    """The shapes of the tensors that transformers has for one of ours."""
    hidden, inner = config.hidden_size, config.intermediate_size
    table, weight = entry.ours.split(".")[-2:]
    rows, columns = {
        "qkv": (sum(_qkv_rows(config)), hidden),
        "out": (hidden, hidden),
        "up": (inner, hidden),
        "gate": (inner, hidden),
        "down": (hidden, inner),
        "token_embedding": (config.vocab_size, hidden),
        "head": (config.vocab_size, hidden),
        "position_embedding": (config.context_length, hidden),
    }.get(table, (hidden, 0))
    parts = _qkv_rows(config) if len(entry.theirs) == 3 else [rows]
    if weight == "bias" or not columns:
        return [(part,) for part in parts]
    return [(columns, part) if entry.transposed else (part, columns) for part in parts]


def _qkv_rows(config: ModelConfig) -> list[int]:
    kv_size = config.num_kv_heads * config.head_size
    return [config.hidden_size, kv_size, kv_size]


def _entries(config: ModelConfig, stock: StockClass) -> Iterator[_Entry]:
    norm_parts = ("weight", "bias") if config.norm == "layer" else ("weight",)
    qkv_parts = ("weight", "bias") if config.qkv_bias else ("weight",)
    parts = ("weight", "bias") if config.bias else ("weight",)

    yield _Entry("token_embedding.weight", (stock.prefix + stock.token_embedding,))
    if config.positions == "learned":
        yield _Entry("position_embedding.weight", (stock.prefix + "wpe.weight",))
    for layer in range(config.num_layers):
        ours, theirs = f"blocks.{layer}.", f"{stock.prefix}{stock.blocks}.{layer}."
        linear = [("attention.qkv", stock.qkv, qkv_parts), ("attention.out", (stock.attention_out,), parts)]
        linear += [("mlp.up", (stock.up,), parts), ("mlp.down", (stock.down,), parts)]
        if config.mlp in GATED_MLPS:
            linear.append(("mlp.gate", ("mlp.gate_proj",), parts))
        for our_name, their_names, kinds in linear:
            for kind in kinds:
                names = tuple(f"{theirs}{name}.{kind}" for name in their_names)
                yield _Entry(f"{ours}{our_name}.{kind}", names, stock.transposed and kind == "weight")
        for our_name, their_name in (("attention_norm", stock.attention_norm), ("mlp_norm", stock.mlp_norm)):
            for kind in norm_parts:
                yield _Entry(f"{ours}{our_name}.{kind}", (f"{theirs}{their_name}.{kind}",))
    for kind in norm_parts:
        yield _Entry(f"final_norm.{kind}", (f"{stock.prefix}{stock.final_norm}.{kind}",))
    if not config.tie_embeddings:
        yield _Entry("head.weight", ("lm_head.weight",))
