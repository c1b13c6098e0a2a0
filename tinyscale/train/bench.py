"""``python -m tinyscale.train.bench``: whole training steps, PyTorch compiled against our kernels.

The variants take turns, step by step, on the same batch; medians are compared, as ratios to the first.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from tinyscale.accounting import count_parameters, device_peak, flops_per_token
from tinyscale.model.presets import preset_defaults
from tinyscale.model.transformer import Transformer
from tinyscale.spec import ModelConfig, TrainConfig
from tinyscale.spec.trial import Preset
from tinyscale.train.device import Device, pick_device
from tinyscale.train.engine import Engine


def _model(preset: Preset, vocab: int, hidden: int, layers: int, heads: int, mlp: int, context: int) -> ModelConfig:
    return ModelConfig(
        vocab_size=vocab, hidden_size=hidden, num_layers=layers, num_heads=heads, num_kv_heads=heads,
        intermediate_size=mlp, context_length=context, preset=preset, **preset_defaults(preset),  # type: ignore[arg-type]
    )  # fmt: skip


MODELS: dict[str, tuple[ModelConfig, int]] = {
    # A public shape, and sequences of a micro-batch.
    "gpt2-124m": (_model("gpt2", 50_304, 768, 12, 12, 3072, 1024), 64),
    "gptneo-41m": (replace(_model("gptneo", 8_001, 768, 4, 12, 3072, 512), tie_embeddings=False), 64),
    "llama-15m": (_model("llama", 32_000, 288, 6, 6, 768, 256), 128),
    "llama-260k": (replace(_model("llama", 512, 64, 5, 8, 172, 512), num_kv_heads=4), 128),
    "tiny": (_model("llama", 300, 32, 2, 2, 48, 16), 2),
}
VARIANTS = ("torch", "compiled", "triton", "triton-compiled")
TRAIN = TrainConfig(tokens=1, batch_size=1, learning_rate=1e-3, warmup_steps=0)


def make_step(variant: str, config: ModelConfig, sequences: int, device: Device) -> Callable[[], float]:
    """A training step of a fresh model on one random batch; it returns the loss, so it waits for the device."""
    model = Transformer(config, "triton" if variant.startswith("triton") else "torch").to(device.torch_device)
    if variant.endswith("compiled"):
        model.loss = torch.compile(model.loss, dynamic=False)  # type: ignore[method-assign]
    engine = Engine(model, TRAIN, device)
    generator = torch.Generator().manual_seed(0)
    shape = (sequences, config.context_length + 1)
    text = torch.randint(config.vocab_size, shape, generator=generator).to(device.torch_device)
    batch = [(text[:, :-1].contiguous(), text[:, 1:].contiguous())]
    return lambda: engine.step(batch, 1e-3).loss.item()


def main() -> int:
    """Print a line a model and variant."""
    parser = argparse.ArgumentParser(prog="python -m tinyscale.train.bench", description=__doc__)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=[name for name in MODELS if name != "tiny"])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=["compiled", "torch", "triton"])
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    device = pick_device("auto")
    print(f"{device.name}, {device.precision}")
    for name in arguments.models:
        config, sequences = MODELS[name]
        torch.compiler.reset()
        steps = {variant: make_step(variant, config, sequences, device) for variant in arguments.variants}
        losses = {variant: [step() for _ in range(3)] for variant, step in steps.items()}  # warm up
        times: dict[str, list[float]] = {variant: [] for variant in steps}
        for _ in range(arguments.rounds):
            for variant, step in steps.items():
                start = time.perf_counter()
                step()
                times[variant].append(time.perf_counter() - start)
        tokens, peak = sequences * config.context_length, device_peak(device.name, device.precision)
        first = statistics.median(times[arguments.variants[0]])
        print(f"{name}: {count_parameters(config).total:,} parameters, {tokens:,} tokens a step")
        for variant, seconds in times.items():
            median = statistics.median(seconds)
            speed = tokens / median
            mfu = f"  MFU {speed * flops_per_token(config) / peak[0]:.1%} of {peak[1]}" if peak else ""
            print(
                f"  {variant:<16}{median * 1e3:9.2f} ms  {median / first:5.2f}x the time  {speed:12,.0f} tokens/s"
                f"  loss of step 3 {losses[variant][-1]:.4f}{mfu}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
