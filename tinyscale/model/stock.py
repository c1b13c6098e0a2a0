"""The stock classes of transformers: how they name their tensors, what they can compute, how their configs read."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from tinyscale.model.presets import preset_defaults
from tinyscale.model.shape import check_shape
from tinyscale.spec import Dtype, ModelConfig
from tinyscale.spec.trial import Mlp, Preset

DTYPES: dict[Dtype, str] = {"fp32": "float32", "bf16": "bfloat16"}
"""What torch and transformers call them."""

_UNGATED: dict[str, Mlp] = {"gelu_new": "gelu", "gelu_pytorch_tanh": "gelu", "relu": "relu", "silu": "silu"}
_GATED: dict[str, Mlp] = {"silu": "swiglu", "swish": "swiglu", "gelu_pytorch_tanh": "geglu", "gelu_new": "geglu"}


@dataclass(frozen=True, eq=False)
class StockClass:
    """A causal language model of transformers."""

    preset: Preset
    architecture: str
    model_type: str
    activations: Mapping[str, Mlp]
    """Its names of activations and ours; where two mean the same, the first is written."""
    prefix: str
    token_embedding: str
    blocks: str
    qkv: tuple[str, ...]
    attention_out: str
    up: str
    down: str
    attention_norm: str
    mlp_norm: str
    final_norm: str
    transposed: bool = False


_GPT2 = StockClass(
    preset="gpt2",
    architecture="GPT2LMHeadModel",
    model_type="gpt2",
    activations=_UNGATED,
    prefix="transformer.",
    token_embedding="wte.weight",
    blocks="h",
    qkv=("attn.c_attn",),
    attention_out="attn.c_proj",
    up="mlp.c_fc",
    down="mlp.c_proj",
    attention_norm="ln_1",
    mlp_norm="ln_2",
    final_norm="ln_f",
    transposed=True,
)
_GPTNEO = replace(
    _GPT2,
    preset="gptneo",
    architecture="GPTNeoForCausalLM",
    model_type="gpt_neo",
    qkv=("attn.attention.q_proj", "attn.attention.k_proj", "attn.attention.v_proj"),
    attention_out="attn.attention.out_proj",
    transposed=False,
)
_LLAMA = StockClass(
    preset="llama",
    architecture="LlamaForCausalLM",
    model_type="llama",
    activations=_GATED,
    prefix="model.",
    token_embedding="embed_tokens.weight",
    blocks="layers",
    qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    attention_out="self_attn.o_proj",
    up="mlp.up_proj",
    down="mlp.down_proj",
    attention_norm="input_layernorm",
    mlp_norm="post_attention_layernorm",
    final_norm="norm",
)
STOCK_CLASSES = {stock.model_type: stock for stock in (_GPT2, _GPTNEO, _LLAMA)}
"""By model_type of config.json."""


def misfits(config: ModelConfig, stock: StockClass) -> list[str]:
    """Switches of ``config`` that ``stock`` can't compute, as ``field=needed (is given)``; empty when it can."""
    needed = preset_defaults(stock.preset)
    free = {"norm_epsilon", "tie_embeddings", "mlp"}
    if stock is _GPT2:
        free |= {"scale_attention"}
    elif stock is _GPTNEO:
        free |= {"sliding_window"}
    else:
        free |= {"qkv_bias"}
        needed["bias"] = config.qkv_bias  # One switch, attention_bias, covers q, k, v and the output.
    if stock is not _LLAMA:
        needed["num_kv_heads"] = config.num_heads
    found = [
        f"{name}={value} (is {getattr(config, name)})"
        for name, value in needed.items()
        if name not in free and getattr(config, name) != value
    ]
    if config.mlp not in stock.activations.values():
        found.append(f"mlp={' or '.join(sorted(set(stock.activations.values())))} (is {config.mlp})")
    return found


def write_config(
    config: ModelConfig,
    stock: StockClass,
    *,
    begin_of_text: int | None = None,
    end_of_text: int | None = None,
    dtype: Dtype = "fp32",
) -> dict[str, Any]:
    """``config.json`` of a config that fits ``stock``, for transformers 4 and 5: what 5 renamed stands in both forms.

    :param begin_of_text: id of the token that begins a text; ``end_of_text`` ends one, and pads.
    :param dtype: of the weights beside it.
    """
    activation = next(theirs for theirs, ours in stock.activations.items() if ours == config.mlp)
    common = {
        "architectures": [stock.architecture],
        "model_type": stock.model_type,
        "vocab_size": config.vocab_size,
        "tie_word_embeddings": config.tie_embeddings,
        "initializer_range": config.init_std,
        "bos_token_id": begin_of_text,
        "eos_token_id": end_of_text,
        "pad_token_id": end_of_text,
        "use_cache": True,
        "dtype": DTYPES[dtype],
        "torch_dtype": DTYPES[dtype],
    }
    if stock is _GPT2:
        return common | {
            "n_positions": config.context_length,
            "n_embd": config.hidden_size,
            "n_layer": config.num_layers,
            "n_head": config.num_heads,
            "n_inner": config.intermediate_size,
            "activation_function": activation,
            "layer_norm_epsilon": config.norm_epsilon,
            "scale_attn_weights": config.scale_attention,
            **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), config.dropout),
        }
    if stock is _GPTNEO:
        pairs, odd = divmod(config.num_layers, 2)
        kinds = ["global", "local" if config.sliding_window else "global"]
        return common | {
            "max_position_embeddings": config.context_length,
            "hidden_size": config.hidden_size,
            "num_layers": config.num_layers,
            "num_heads": config.num_heads,
            "intermediate_size": config.intermediate_size,
            "activation_function": activation,
            "layer_norm_epsilon": config.norm_epsilon,
            "attention_types": [[kinds, pairs]] * (pairs > 0) + [[["global"], 1]] * odd,
            "window_size": config.sliding_window or config.context_length,
            **dict.fromkeys(("resid_dropout", "embed_dropout", "attention_dropout"), config.dropout),
        }
    return common | {
        "max_position_embeddings": config.context_length,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_size,
        "intermediate_size": config.intermediate_size,
        "hidden_act": activation,
        "rms_norm_eps": config.norm_epsilon,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "rope_theta": config.rope_theta,
        "attention_bias": config.qkv_bias,
        "mlp_bias": config.bias,
        "attention_dropout": config.dropout,
    }


def read_config(hf: Mapping[str, Any]) -> tuple[ModelConfig, StockClass]:
    """Our config of a ``config.json``, and its class; options left out of the file get the class's own defaults.

    :raises ValueError: the class or an option of it is not one that :func:`write_config` could have written, or a size
        is missing or no possible one.
    """
    stock = next((stock for name, stock in STOCK_CLASSES.items() if name == hf.get("model_type")), None)
    if stock is None:
        raise ValueError(f"model_type={hf.get('model_type')!r} can't be read; known are {', '.join(STOCK_CLASSES)}")
    read = {_GPT2: _read_gpt2, _GPTNEO: _read_gptneo, _LLAMA: _read_llama}[stock]
    try:
        values: dict[str, Any] = {
            **preset_defaults(stock.preset),
            "preset": stock.preset,
            "vocab_size": hf["vocab_size"],
            "tie_embeddings": hf.get("tie_word_embeddings", stock is not _LLAMA),
            "init_std": hf.get("initializer_range", 0.02),
            **read(hf),
        }
    except KeyError as error:
        raise ValueError(f"config.json of {stock.architecture} lacks {error.args[0]!r}") from error
    except (TypeError, AttributeError, ZeroDivisionError) as error:
        raise ValueError(f"config.json of {stock.architecture} holds a value of another kind: {error}") from error
    activation = hf.get("hidden_act" if stock is _LLAMA else "activation_function", next(iter(stock.activations)))
    if not isinstance(activation, str) or activation not in stock.activations:
        raise ValueError(f"activation {activation!r} is not built here; known are {', '.join(stock.activations)}")
    values["mlp"] = stock.activations[activation]
    _check_values(values)
    config = ModelConfig(**values)
    check_shape(config)
    return config, stock


def _check_values(values: Mapping[str, Any]) -> None:
    """Numbers are numbers and possible ones, switches are switches: the file may be anybody's."""
    kinds = {field.name: field.type for field in fields(ModelConfig)}
    for name, value in values.items():
        if kinds[name] is bool:
            fits = isinstance(value, bool)
        elif kinds[name] is int:
            fits = type(value) is int and value >= (name != "sliding_window")
        elif kinds[name] is float:
            fits = type(value) in (int, float) and 0 <= value < float("inf")
        else:
            continue
        if not fits:
            raise ValueError(f"config.json gives {name}={value!r}, which no model has")


def _refuse(hf: Mapping[str, Any], **expected: Any) -> None:
    for name, value in expected.items():
        if hf.get(name, value) != value:
            raise ValueError(f"{name}={hf[name]!r} is not built here; it must be {value!r}")


def _read_gpt2(hf: Mapping[str, Any]) -> dict[str, Any]:
    _refuse(hf, scale_attn_by_inverse_layer_idx=False, add_cross_attention=False)
    return {
        "hidden_size": hf["n_embd"],
        "num_layers": hf["n_layer"],
        "num_heads": hf["n_head"],
        "num_kv_heads": hf["n_head"],
        "intermediate_size": hf.get("n_inner") or 4 * hf["n_embd"],
        "context_length": hf["n_positions"],
        "norm_epsilon": hf.get("layer_norm_epsilon", 1e-5),
        "scale_attention": hf.get("scale_attn_weights", True),
        "dropout": hf.get("resid_pdrop", 0.1),
    }


def _read_gptneo(hf: Mapping[str, Any]) -> dict[str, Any]:
    kinds = [kind for pattern, times in hf["attention_types"] for _ in range(times) for kind in pattern]
    alternating = ["local" if layer % 2 else "global" for layer in range(hf["num_layers"])]
    if kinds not in (alternating, ["global"] * hf["num_layers"]):
        raise ValueError(f"attention_types={hf['attention_types']!r} is not built here; alternate global and local")
    return {
        "hidden_size": hf["hidden_size"],
        "num_layers": hf["num_layers"],
        "num_heads": hf["num_heads"],
        "num_kv_heads": hf["num_heads"],
        "intermediate_size": hf.get("intermediate_size") or 4 * hf["hidden_size"],
        "context_length": hf["max_position_embeddings"],
        "norm_epsilon": hf.get("layer_norm_epsilon", 1e-5),
        "sliding_window": hf.get("window_size", 256) if "local" in kinds else 0,
        "dropout": hf.get("resid_dropout", 0.0),
    }


def _read_llama(hf: Mapping[str, Any]) -> dict[str, Any]:
    rope = hf.get("rope_parameters") or {"rope_theta": hf.get("rope_theta", 10_000.0)}
    attention_bias = hf.get("attention_bias", False)
    _refuse(rope, rope_type="default")
    _refuse(hf, mlp_bias=attention_bias, rope_scaling=None)
    head_size = hf["hidden_size"] // hf["num_attention_heads"]
    if (hf.get("head_dim") or head_size) != head_size:
        raise ValueError(f"head_dim={hf['head_dim']} is not built here; it must be hidden_size over heads, {head_size}")
    return {
        "hidden_size": hf["hidden_size"],
        "num_layers": hf["num_hidden_layers"],
        "num_heads": hf["num_attention_heads"],
        "num_kv_heads": hf.get("num_key_value_heads") or hf["num_attention_heads"],
        "intermediate_size": hf["intermediate_size"],
        "context_length": hf["max_position_embeddings"],
        "norm_epsilon": hf.get("rms_norm_eps", 1e-6),
        "rope_theta": rope["rope_theta"],
        "qkv_bias": attention_bias,
        "bias": attention_bias,
        "dropout": hf.get("attention_dropout", 0.0),
    }
