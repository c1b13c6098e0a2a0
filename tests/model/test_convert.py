import json

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, GPTNeoConfig, GPTNeoForCausalLM, LlamaConfig, LlamaForCausalLM

from tinyscale.model.convert import from_transformers, to_transformers
from tinyscale.model.transformer import Transformer

CLASSES = {
    "gpt2": (GPT2Config, GPT2LMHeadModel),
    "gpt_neo": (GPTNeoConfig, GPTNeoForCausalLM),
    "llama": (LlamaConfig, LlamaForCausalLM),
}

CASES = [
    ("gpt2", {}),
    ("gpt2", {"tie_embeddings": False, "mlp": "relu", "norm_epsilon": 1e-3}),
    ("gpt2", {"mlp": "silu", "scale_attention": False}),
    ("gptneo", {"sliding_window": 5}),
    ("gptneo", {"sliding_window": 0, "tie_embeddings": False}),
    ("gptneo", {"sliding_window": 256, "num_layers": 1}),
    ("llama", {}),
    ("llama", {"num_kv_heads": 2, "tie_embeddings": False, "rope_theta": 500.0}),
    ("llama", {"num_kv_heads": 1, "mlp": "geglu", "qkv_bias": True, "bias": True, "norm_epsilon": 1e-3}),
]


def build_theirs(hf_config, hf_state):
    config_class, model_class = CLASSES[hf_config["model_type"]]
    model = model_class(config_class(**json.loads(json.dumps(hf_config)))).eval()
    result = model.load_state_dict(hf_state, strict=False)
    tied = hf_config["tie_word_embeddings"]
    assert (result.missing_keys, result.unexpected_keys) == (["lm_head.weight"] if tied else [], [])
    return model


def shaken(config):
    """A model in which no bias is 0 and no norm is 1, so that a forgotten or swapped one shows."""
    model = Transformer(config).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 1:
                weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.3)
    return model


@pytest.mark.parametrize(("preset", "changes"), CASES, ids=str)
def test_logits_and_gradients_equal_those_of_transformers(make_config, preset, changes):
    ours = shaken(make_config(preset, **changes))
    theirs = build_theirs(*to_transformers(ours.config, ours.state_dict()))
    tokens = torch.randint(61, (2, 25), generator=torch.Generator().manual_seed(0))
    inputs, targets = tokens[:, :-1], tokens[:, 1:]

    ours_logits, their_logits = ours(inputs), theirs(inputs).logits
    assert ours_logits.std() > 0.5, "logits near zero would agree whatever the weights"
    torch.testing.assert_close(ours_logits, their_logits, rtol=1e-5, atol=1e-5)

    ours.loss(inputs, targets).backward()
    torch.nn.functional.cross_entropy(their_logits.flatten(0, 1), targets.flatten()).backward()
    gradients = {name: weight.grad for name, weight in theirs.named_parameters()}
    _, expected = from_transformers(theirs.config.to_dict(), gradients)
    for name, weight in ours.named_parameters():
        torch.testing.assert_close(weight.grad, expected[name], rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize(("preset", "changes"), CASES, ids=str)
def test_there_and_back_is_exact(make_config, preset, changes):
    config = make_config(preset, **changes)
    state = shaken(config).state_dict()
    hf_config, hf_state = to_transformers(config, state)
    assert all(tensor.is_contiguous() for tensor in hf_state.values())
    back_config, back_state = from_transformers(build_theirs(hf_config, hf_state).config.to_dict(), hf_state)
    assert (back_config.sliding_window or 256) == (config.sliding_window or 256)
    assert back_config == config or config.num_layers == 1
    assert back_state.keys() == state.keys()
    assert all(torch.equal(back_state[name], tensor) for name, tensor in state.items())


def test_the_class_is_found_by_the_switches_not_the_preset(make_config):
    config = make_config("gptneo", sliding_window=0, qkv_bias=True)
    assert to_transformers(config, Transformer(config).state_dict())[0]["architectures"] == ["GPT2LMHeadModel"]


@pytest.mark.parametrize(
    ("preset", "changes", "words"),
    [
        ("llama", {"norm": "none"}, r"LlamaForCausalLM, would need norm=rms \(is none\)\. "),
        ("llama", {"norm_position": "post"}, r"norm_position=pre \(is post\)"),
        ("llama", {"positions": "none"}, r"positions=rope \(is none\)"),
        ("llama", {"qkv_bias": True}, r"bias=True \(is False\)"),
        ("llama", {"mlp": "relu"}, r"mlp=geglu or swiglu \(is relu\)"),
        ("llama", {"sliding_window": 4}, r"sliding_window=0 \(is 4\)"),
        (
            "gpt2",
            {"num_kv_heads": 2},
            r"GPT2LMHeadModel, would need num_kv_heads=4 \(is 2\)\. .* only a model folder of tinyscale",
        ),
        ("gptneo", {"scale_attention": True}, r"GPTNeoForCausalLM, would need scale_attention=False \(is True\)\. "),
    ],
)
def test_switches_that_no_stock_class_has_are_named(make_config, preset, changes, words):
    config = make_config(preset, **changes)
    with pytest.raises(ValueError, match=words):
        to_transformers(config, Transformer(config).state_dict())


def test_weights_saved_from_the_bare_gpt2_can_be_read(make_config):
    """As the hub's gpt2 is: no prefix, no head, causal masks among the tensors, few options in the config."""
    config = make_config("gpt2", intermediate_size=96)
    state = Transformer(config).state_dict()
    hf_config, hf_state = to_transformers(config, state)
    bare = {name.removeprefix("transformer."): tensor for name, tensor in hf_state.items()}
    bare["h.0.attn.bias"] = torch.ones(1, 1, 24, 24)
    for option in ("tie_word_embeddings", "n_inner", "scale_attn_weights"):
        del hf_config[option]
    back_config, back_state = from_transformers(hf_config, bare)
    assert back_config == config
    assert all(torch.equal(back_state[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize(
    ("preset", "option", "value", "words"),
    [
        ("llama", "model_type", "bert", "model_type='bert' can't be read; known are gpt2, gpt_neo, llama"),
        (
            "llama",
            "rope_parameters",
            {"rope_type": "llama3", "rope_theta": 1e4},
            "rope_type='llama3' is not built here",
        ),
        ("llama", "head_dim", 8, "head_dim=8 is not built here; it must be hidden_size over heads, 6"),
        ("llama", "hidden_act", "relu", "activation 'relu' is not built here"),
        ("gpt2", "activation_function", "gelu", "activation 'gelu' is not built here"),
        ("gpt2", "scale_attn_by_inverse_layer_idx", True, "scale_attn_by_inverse_layer_idx=True"),
        ("gptneo", "attention_types", [[["local"], 3]], "alternate global and local"),
    ],
)
def test_options_without_a_counterpart_are_named(make_config, preset, option, value, words):
    config = make_config(preset)
    hf_config, hf_state = to_transformers(config, Transformer(config).state_dict())
    with pytest.raises(ValueError, match=words):
        from_transformers(hf_config | {option: value}, hf_state)


def test_missing_and_unknown_tensors_are_named(make_config):
    config = make_config("llama")
    hf_config, hf_state = to_transformers(config, Transformer(config).state_dict())
    with pytest.raises(ValueError, match=r"'model\.extra\.weight' that LlamaForCausalLM does not have"):
        from_transformers(hf_config, hf_state | {"extra.weight": torch.zeros(1)})
    del hf_state["model.layers.1.self_attn.k_proj.weight"]
    with pytest.raises(ValueError, match=r"no tensor 'model\.layers\.1\.self_attn\.k_proj\.weight'"):
        from_transformers(hf_config, hf_state)
