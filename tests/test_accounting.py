import gc
import random
from collections import Counter
from dataclasses import replace
from typing import get_args

import pytest
import torch
from tinyscale_kernels.linear_cross_entropy_chunks import _padded as kernel_padding
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tinyscale.accounting import (
    checkpoint_bytes,
    count_parameters,
    device_peak,
    flops_per_token,
    model_bytes,
    padded_vocab,
    state_bytes,
    training_bytes,
    training_flops,
    weights_bytes,
)
from tinyscale.model.presets import preset_defaults
from tinyscale.model.transformer import Transformer
from tinyscale.spec import ModelConfig, TrainConfig
from tinyscale.spec.trial import Mlp, Norm, NormPosition, Positions, Preset

torch.set_num_threads(1)


def random_config(seed):
    """Any combination of switches in a random small shape."""
    draw = random.Random(seed)
    kv_heads = draw.randint(1, 3)
    heads = kv_heads * draw.randint(1, 3)
    context = draw.randint(2, 12)
    return ModelConfig(
        preset=draw.choice(get_args(Preset)),
        vocab_size=draw.randint(3, 50),
        hidden_size=heads * 2 * draw.randint(1, 4),
        num_layers=draw.randint(1, 3),
        num_heads=heads,
        num_kv_heads=kv_heads,
        intermediate_size=draw.randint(1, 40),
        context_length=context,
        norm=draw.choice(get_args(Norm)),
        norm_position=draw.choice(get_args(NormPosition)),
        positions=draw.choice(get_args(Positions)),
        mlp=draw.choice(get_args(Mlp)),
        qkv_bias=draw.random() < 0.5,
        bias=draw.random() < 0.5,
        tie_embeddings=draw.random() < 0.5,
        sliding_window=draw.choice((0, 1, context - 1, context, context + 5)),
        scale_attention=draw.random() < 0.5,
    )


def preset_config(preset, **sizes):
    return ModelConfig(**{"preset": preset, **preset_defaults(preset), **sizes})


GPT2_124M = preset_config(
    "gpt2",
    vocab_size=50_257,
    hidden_size=768,
    num_layers=12,
    num_heads=12,
    num_kv_heads=12,
    intermediate_size=3072,
    context_length=1024,
)
STORIES_260K = preset_config(
    "llama",
    vocab_size=512,
    hidden_size=64,
    num_layers=5,
    num_heads=8,
    num_kv_heads=4,
    intermediate_size=172,
    context_length=512,
)


@pytest.mark.parametrize("seed", range(150))
def test_parameters_by_part_equal_the_module(seed):
    config = random_config(seed)
    parts = Counter()
    for name, weight in Transformer(config).named_parameters():
        parts[name.split(".")[0]] += weight.numel()
    count = count_parameters(config)
    fields = ("token_embedding", "position_embedding", "blocks", "final_norm", "head")
    assert {name: getattr(count, name) for name in fields} == {name: parts[name] for name in fields}
    assert count.total == sum(parts.values())
    assert count.non_embedding == parts["blocks"] + parts["final_norm"]


def test_totals_of_published_models():
    assert count_parameters(GPT2_124M).total == 124_439_808
    assert count_parameters(replace(GPT2_124M, vocab_size=padded_vocab(50_257))).total == 124_475_904
    assert count_parameters(STORIES_260K).total == 260_032


@pytest.mark.parametrize("seed", range(60))
def test_flops_equal_those_that_torch_counts(seed):
    """Exactly, with attention as two plain products (a flash kernel computes the scores once more backward)."""
    config = random_config(seed)
    tokens = torch.zeros(2, config.context_length, dtype=torch.int64)
    model = Transformer(config)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.loss(tokens, tokens).backward()
    # A masked kernel multiplies by keys outside the window too; the formula counts those that are needed.
    unseen = max(0, config.context_length - (config.sliding_window or config.context_length))
    outside = 12 * (config.num_layers // 2) * unseen * config.hidden_size
    assert counter.get_total_flops() == (flops_per_token(config) + outside) * tokens.numel()


def test_flops_of_gpt2_124m():
    """6 FLOPs for each of its 123.5 M weights in products, and 12 * 12 layers * 1024 keys * 768 channels."""
    assert flops_per_token(GPT2_124M) == 6 * (12 * 12 * 768**2 + 50_257 * 768) + 12 * 12 * 1024 * 768
    assert training_flops(GPT2_124M, 1000) == 1000 * flops_per_token(GPT2_124M)


def test_bytes_are_those_of_fp32():
    assert model_bytes(STORIES_260K) == 4 * 260_032
    assert checkpoint_bytes(STORIES_260K) == 12 * 260_032


@pytest.mark.parametrize(
    ("name", "flops"),
    [
        ("NVIDIA GeForce RTX 5090", 209.5e12),
        ("NVIDIA GeForce RTX 4090", 165.2e12),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", 503.8e12),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", 503.8e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA A100-SXM4-40GB", 312e12),
        ("NVIDIA A100-PCIE-40GB", 312e12),
        ("NVIDIA A100 80GB PCIe", 312e12),
        ("NVIDIA L4", 121e12),
    ],
)
def test_peaks_of_known_devices_name_their_source(name, flops):
    peak = device_peak(name, "bf16")
    assert peak is not None
    assert peak[0] == flops
    assert "NVIDIA" in peak[1]
    assert f"{flops / 1e12:g}" in peak[1]


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 5090 D",
        "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition",
        "NVIDIA H100 PCIe",
        "NVIDIA L40S",
        "cpu",
        "",
    ],
)
def test_devices_without_a_known_peak_have_none(name):
    assert device_peak(name, "bf16") is None


def test_other_precisions_have_no_peak():
    assert device_peak("NVIDIA L4", "fp32") is None


@pytest.mark.parametrize("preset", get_args(Preset))
@pytest.mark.parametrize(("hidden", "layers", "vocab"), [(64, 2, 512), (64, 6, 512), (128, 3, 2048)])
def test_activations_are_counted_as_autograd_keeps_them(preset, hidden, layers, vocab):
    sizes = {"num_heads": 4, "num_kv_heads": 4, "intermediate_size": 3 * hidden, "context_length": 64}
    config = preset_config(preset, vocab_size=vocab, hidden_size=hidden, num_layers=layers, **sizes)
    model, sequences = Transformer(config, "torch"), 8
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = (tensor, storage.nbytes())  # held, so that no address comes again
        return tensor

    text = torch.randint(vocab, (sequences, 65))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.loss(text[:, :-1], text[:, 1:])
    saved = sum(size for _, size in kept.values())
    tokens = sequences * 64
    counted = training_bytes(config, sequences) - training_bytes(config, 0) - 8 * vocab * tokens  # the loss's own two
    assert saved <= 1.02 * counted
    assert counted <= 1.15 * saved


def test_state_and_the_cast_weights_are_counted_in_bytes_a_parameter():
    total = count_parameters(GPT2_124M).total
    assert training_bytes(GPT2_124M, 0) == 22 * total
    assert training_bytes(GPT2_124M, 0, workers=4) == 13 * total
    whole, fused = (training_bytes(GPT2_124M, 64, fused_loss=fused) for fused in (False, True))
    assert whole - fused == 12 * 50_257 * (64 * 1024 - 8192)


def test_memory_by_precision():
    """A model of 8 billion parameters: 16 GB of weights of 16 bits, 32 GB with gradients; half of that at 8 bits."""
    assert weights_bytes(8 * 10**9, 16) == 16 * 10**9
    assert weights_bytes(8 * 10**9, 16, gradients=True) == 32 * 10**9
    assert weights_bytes(8 * 10**9, 32) == 32 * 10**9
    assert weights_bytes(8 * 10**9, 8) == 8 * 10**9
    assert weights_bytes(8 * 10**9, 4) == 4 * 10**9
    assert weights_bytes(3, 4) == 2, "whole bytes"
    assert weights_bytes(124_439_808, 16) == 248_879_616, "the tensors of GPT-2 124M in bf16"


def test_zero_1_splits_the_optimizer_alone():
    assert [state_bytes(10**9, workers=workers) / 1e9 for workers in (1, 2, 4, 64)] == [20, 14, 11, 8.1875]


def test_state_is_what_deepspeed_keeps():
    """The tensors that live after a step, by their memory: all but the gradients, which are gone by then."""
    from tinyscale.train.device import pick_device
    from tinyscale.train.zero import ZeroEngine

    def alive():
        gc.collect()
        tensors = [thing for thing in gc.get_objects() if type(thing) in (torch.Tensor, torch.nn.Parameter)]
        return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())

    config = replace(STORIES_260K, vocab_size=2048)
    before, total = alive(), count_parameters(config).total
    train = TrainConfig(tokens=1, batch_size=1, learning_rate=1e-3, warmup_steps=0)
    engine = ZeroEngine(Transformer(config), train, pick_device("fp32"), micro_batches=1, micro_batch_size=1)
    text = torch.zeros(1, 9, dtype=torch.int64)
    engine.step([(text[:, :-1], text[:, 1:])], 1e-3)
    kept = alive() - before
    engine.close()
    assert kept == pytest.approx(state_bytes(total) - weights_bytes(total, 32), rel=0.01)


def test_the_vocabulary_is_padded_as_the_kernel_pads_it():
    assert [padded_vocab(size) for size in (1, 64, 65, 8_001, 50_257)] == [64, 64, 128, 8_064, 50_304]
    assert all(padded_vocab(size) == kernel_padding(size) for size in range(1, 300))
