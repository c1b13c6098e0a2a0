import itertools
import math
import subprocess
import sys

import pytest
import torch

from tinyscale.model.presets import preset_defaults
from tinyscale.model.transformer import Transformer

SWITCHES = {
    "norm": ("layer", "rms", "none"),
    "norm_position": ("pre", "post"),
    "positions": ("learned", "rope", "none"),
    "mlp": ("gelu", "relu", "silu", "swiglu", "geglu"),
}


@pytest.mark.parametrize("switches", list(itertools.product(*SWITCHES.values())), ids="-".join)
def test_every_combination_is_causal_and_trains_every_weight(make_config, switches):
    config = make_config(**dict(zip(SWITCHES, switches, strict=True)), num_kv_heads=2, num_layers=2, sliding_window=3)
    model = Transformer(config)
    tokens = torch.randint(config.vocab_size, (2, 12), generator=torch.Generator().manual_seed(0))
    changed = tokens.clone()
    changed[:, 7:] = (tokens[:, 7:] + 1) % config.vocab_size
    assert torch.equal(model(tokens)[:, :7], model(changed)[:, :7])
    assert not torch.allclose(model(tokens)[:, 7:], model(changed)[:, 7:])

    model.loss(tokens, tokens.roll(-1, dims=1)).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in model.parameters())


def test_odd_layers_see_the_window_and_even_layers_everything(make_config):
    """Through one windowed layer alone a token reaches exactly sliding_window - 1 places ahead."""
    model = Transformer(make_config(num_layers=2, sliding_window=5, positions="none"))
    windowed, full = model.blocks[1].attention, model.blocks[0].attention
    x = torch.randn(1, 12, 24, generator=torch.Generator().manual_seed(0))
    changed = x.clone()
    changed[0, 3] += 1.0
    differs = (windowed(x, None, None) != windowed(changed, None, None)).any(-1)[0]
    assert differs.nonzero().flatten().tolist() == [3, 4, 5, 6, 7]
    differs = (full(x, None, None) != full(changed, None, None)).any(-1)[0]
    assert differs.nonzero().flatten().tolist() == list(range(3, 12))


def test_rope_sees_distance_and_no_positions_see_a_set(make_config):
    rope = Transformer(make_config("llama", context_length=40)).rope
    q, k = torch.randn(2, 1, 2, 4, 6, generator=torch.Generator().manual_seed(0))
    near, far = ((rope(q, past, 4)[:, 1] * rope(k, past, 4)[:, 0]).sum(-1) for past in (0, 30))
    torch.testing.assert_close(near, far)
    assert not torch.allclose(near, (q[:, 1] * k[:, 0]).sum(-1))

    blind = Transformer(make_config("llama", num_layers=1, positions="none"))
    first, second = blind(torch.tensor([[3, 5, 9], [5, 3, 9]]))[:, -1]
    torch.testing.assert_close(first, second)


def test_weights_depend_on_the_seed_alone(make_config):
    config = make_config("gpt2")
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = Transformer(config)
    assert torch.equal(torch.get_rng_state(), before), "building a model must not draw from the global generator"
    torch.manual_seed(2)
    second = Transformer(config)
    first.init_weights(7)
    second.init_weights(7)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    second.init_weights(8)
    assert not torch.equal(first.token_embedding.weight, second.token_embedding.weight)


def test_weights_start_as_gpt2_says(make_config):
    model = Transformer(make_config("gpt2", hidden_size=128, intermediate_size=512, vocab_size=500, init_std=0.05))
    for name, weight in model.named_parameters():
        if weight.ndim == 1:
            assert torch.all(weight == (0.0 if name.endswith("bias") else 1.0)), name
        else:
            residual = name.endswith(("attention.out.weight", "mlp.down.weight"))
            expected = 0.05 / math.sqrt(6) if residual else 0.05
            assert weight.std().item() == pytest.approx(expected, rel=0.05), name


def test_loss_is_the_mean_over_targets_that_count(make_config):
    config = make_config()
    model = Transformer(config)
    tokens = torch.arange(20).view(2, 10)
    targets = (tokens + 1).clone()
    targets[0, 5:] = -100
    each = model.loss(tokens, targets, reduction="none")
    assert each.shape == targets.shape
    assert torch.all(each[0, 5:] == 0)
    log_p = model(tokens).log_softmax(-1).gather(-1, targets.clamp_min(0)[..., None])[..., 0]
    torch.testing.assert_close(each, torch.where(targets == -100, 0.0, -log_p))
    torch.testing.assert_close(model.loss(tokens, targets), each.sum() / 15)


def test_loss_is_fp32_in_bf16(make_config):
    model = Transformer(make_config("gptneo", sliding_window=4))
    tokens = torch.arange(20).view(2, 10)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(tokens).dtype == torch.bfloat16
        loss = model.loss(tokens, tokens)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(model.loss(tokens, tokens).item(), rel=0.02)
    assert model.bfloat16().loss(tokens, tokens).dtype == torch.float32


def test_dropout_is_on_in_training_only(make_config):
    model = Transformer(make_config(dropout=0.5))
    tokens = torch.arange(10)[None]
    assert not torch.equal(model(tokens), model(tokens))
    model.eval()
    assert torch.equal(model(tokens), model(tokens))


def test_state_dict_holds_weights_only_and_a_tied_head_once(make_config):
    tied, untied = (Transformer(make_config("gptneo", sliding_window=4, tie_embeddings=t)) for t in (True, False))
    assert set(tied.state_dict()) == {name for name, _ in tied.named_parameters()}
    assert set(untied.state_dict()) - set(tied.state_dict()) == {"head.weight"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_heads": 5}, "num_heads=5 does not divide hidden_size=24"),
        ({"num_kv_heads": 3}, "num_kv_heads=3 does not divide num_heads=4"),
        ({"num_heads": 8, "num_kv_heads": 8}, "odd head size of 3"),
    ],
)
def test_heads_that_do_not_fit_are_refused(make_config, changes, words):
    with pytest.raises(ValueError, match=words):
        Transformer(make_config(**changes))


def test_a_text_beyond_the_context_is_refused(make_config):
    with pytest.raises(ValueError, match="25 tokens does not fit in the context_length of 24"):
        Transformer(make_config())(torch.zeros(1, 25, dtype=torch.int64))


def test_presets_are_complete_and_closed():
    assert {p: preset_defaults(p)["tie_embeddings"] for p in ("gpt2", "gptneo", "llama")} == dict.fromkeys(
        ("gpt2", "gptneo", "llama"), True
    )
    preset_defaults("gpt2")["norm"] = "none"
    assert preset_defaults("gpt2")["norm"] == "layer", "a caller's change must not reach the preset"
    with pytest.raises(ValueError, match="'bert' is unknown; choose one of gpt2, gptneo, llama"):
        preset_defaults("bert")


BARE = """
import sys
BLOCKED = {"ray", "mlflow", "deepspeed", "pydantic", "typer", "huggingface_hub", "transformers", "tokenizers", "triton"}
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)
sys.meta_path.insert(0, Block())
import tinyscale.model, tinyscale.accounting
from tinyscale.model.presets import preset_defaults
assert "torch" not in sys.modules, "presets and accounting must not import torch"
import torch, tinyscale.model.convert, tinyscale.model.store
from tinyscale.model.sample import generate
from tinyscale.model.transformer import Transformer
from tinyscale.spec import ModelConfig
config = ModelConfig(preset="llama", vocab_size=9, hidden_size=8, num_layers=1, num_heads=2, num_kv_heads=1,
                     intermediate_size=8, context_length=8, **preset_defaults("llama"))
assert len(list(generate(Transformer(config), torch.tensor([1]), 12))) == 12
"""


def test_the_model_runs_with_nothing_but_torch_and_safetensors():
    done = subprocess.run([sys.executable, "-P", "-c", BARE], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
