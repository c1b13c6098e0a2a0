"""The model computes the same with Triton's kernels (interpreted, where there is no card) as with PyTorch."""

import pytest
import torch

from tinyscale.model.kernels import kernels_in_use
from tinyscale.model.transformer import Transformer

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")

VARIANTS = {
    "gpt2": {"preset": "gpt2"},
    "gptneo": {"preset": "gptneo", "sliding_window": 5},
    "llama": {"preset": "llama", "num_kv_heads": 2},
    "post-norm geglu": {"preset": "llama", "norm_position": "post", "mlp": "geglu", "bias": True},
    "no norm, relu": {"preset": "gpt2", "norm": "none", "mlp": "relu", "tie_embeddings": False},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_loss_and_gradients_are_equal(make_config, variant):
    config = make_config(num_layers=2, **VARIANTS[variant])
    generator = torch.Generator().manual_seed(0)
    tokens, targets = torch.randint(config.vocab_size, (2, 3, 20), generator=generator).to(DEVICE)
    targets[0, :4] = -100
    losses, gradients, each = [], [], []
    for kernels in ("torch", "triton"):
        model = Transformer(config, kernels).to(DEVICE)
        loss = model.loss(tokens, targets)
        loss.backward()
        losses.append(loss.detach())
        gradients.append({name: weight.grad for name, weight in model.named_parameters()})
        with torch.no_grad():
            each.append(model.loss(tokens, targets, reduction="none"))
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(each[1], each[0], rtol=1e-5, atol=1e-5)
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(
            gradients[1][name], gradient, rtol=1e-4, atol=1e-6, msg=lambda text, n=name: f"{n}: {text}"
        )


def test_auto_is_torch_on_a_cpu_and_triton_on_a_card():
    assert kernels_in_use("auto", torch.device("cpu")) == "torch"
    assert kernels_in_use("torch", DEVICE) == "torch"
    if DEVICE.type == "cuda":
        assert kernels_in_use("auto", DEVICE) == "triton"
