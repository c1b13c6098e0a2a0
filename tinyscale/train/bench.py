"""``python -m tinyscale.train.bench``, or ``tinyscale bench train``: tokens a second of whole training steps.

Each variant trains a model of its own, all from the same weights on the same batches, so their losses must agree too.
They take turns, step by step: a machine that is busy or warms up favours nobody. Ratios are taken within a round, and
their median is compared; the ratio of the fastest steps stands beside it. A variant is a word and its switches:

- ``plain``: PyTorch written plainly (:mod:`tinyscale.train.rivals`); ``transformers``: its own class;
- ``ours``: what a trial runs, with ``zero``: through DeepSpeed; ``torch`` or ``triton``: those kernels alone;
- ``compiled``: by torch.compile; ``bf16`` or ``fp32``: that precision (else bf16 on cards that have it, fp32 on CPUs).
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from tinyscale.accounting import count_parameters, device_peak, flops_per_token
from tinyscale.data.loader import Loader
from tinyscale.data.shards import Split
from tinyscale.model.presets import preset_defaults
from tinyscale.spec import ModelConfig
from tinyscale.spec.trial import Preset
from tinyscale.train.device import Device, pick_device
from tinyscale.train.engine import MicroBatch
from tinyscale.train.variants import NotHereError, Variant, make_step


def _model(preset: Preset, vocab: int, hidden: int, layers: int, heads: int, mlp: int, context: int) -> ModelConfig:
    return ModelConfig(
        vocab_size=vocab, hidden_size=hidden, num_layers=layers, num_heads=heads, num_kv_heads=heads,
        intermediate_size=mlp, context_length=context, preset=preset, **preset_defaults(preset),  # type: ignore[arg-type]
    )  # fmt: skip


MODELS: dict[str, tuple[ModelConfig, int]] = {
    # A shape, and sequences of a step. The first three are for CPUs, the public ones for cards.
    "0.2m": (_model("llama", 512, 64, 3, 4, 176, 256), 16),
    "0.9m": (_model("llama", 2048, 128, 3, 4, 352, 256), 16),
    "7m": (_model("llama", 4096, 256, 8, 8, 688, 256), 16),
    "gpt2-124m": (_model("gpt2", 50_304, 768, 12, 12, 3072, 1024), 64),
    "gptneo-41m": (replace(_model("gptneo", 8_001, 768, 4, 12, 3072, 512), tie_embeddings=False), 64),
    "llama-15m": (_model("llama", 32_000, 288, 6, 6, 768, 256), 128),
    "llama-260k": (replace(_model("llama", 512, 64, 5, 8, 172, 512), num_kv_heads=4), 128),
    "tiny": (_model("llama", 300, 32, 2, 2, 48, 16), 2),
}
CPU_MODELS, CARD_MODELS = ("0.2m", "0.9m", "7m"), ("gpt2-124m", "gptneo-41m", "llama-15m", "llama-260k")
CPU_VARIANTS = (
    "plain", "plain-compiled", "transformers", "ours", "ours-zero", "ours-compiled", "ours-bf16", "ours-bf16-compiled",
    "ours-zero-bf16-compiled",
)  # fmt: skip
CARD_VARIANTS = (
    "plain", "plain-compiled", "transformers", "ours", "ours-zero", "ours-compiled", "ours-torch",
    "ours-torch-compiled",
)  # fmt: skip
WARM_UP = 2
"""Steps before the timed ones; the first one compiles."""


@dataclass(kw_only=True)
class Timing:
    """One variant on one model."""

    model: str
    variant: str
    tokens: int
    """Of a step."""
    first_s: float = 0.0
    """Of the first step, compilation included."""
    seconds: list[float] = field(default_factory=list)
    """Of each timed step."""
    losses: list[float] = field(default_factory=list)
    """Of every step, the warm-up included (nats/token)."""
    left_out: str = ""
    """Why there is nothing to time here."""

    @property
    def median_s(self) -> float:
        """Median seconds of a step."""
        return statistics.median(self.seconds)

    def faster_than(self, other: "Timing") -> tuple[float, float]:
        """Times as fast as another: median over the rounds, and by the fastest steps."""
        rounds = [theirs / own for own, theirs in zip(self.seconds, other.seconds, strict=True)]
        return statistics.median(rounds), min(other.seconds) / min(self.seconds)


def compare(model: str, variants: Sequence[str], rounds: int, device: Device) -> list[Timing]:
    """Train a model in each variant for ``WARM_UP + rounds`` equal steps.

    :raises ValueError: a variant has a word that means nothing.
    """
    config, sequences = MODELS[model]
    torch.compiler.reset()
    batches = [learnable_batch(config, sequences, index, device) for index in range(WARM_UP + rounds)]
    timings: list[Timing] = []
    steps: dict[str, Callable[[MicroBatch], float]] = {}
    for name in variants:
        timing = Timing(model=model, variant=name, tokens=sequences * config.context_length)
        try:
            step = make_step(Variant.parse(name), config, sequences, device)
            start = time.perf_counter()
            timing.losses.append(step(batches[0]))
            timing.first_s = time.perf_counter() - start
            timing.losses += [step(batch) for batch in batches[1:WARM_UP]]
            steps[name] = step
        except (NotHereError, torch.OutOfMemoryError) as error:
            timing.left_out = str(error).partition("\n")[0]
        timings.append(timing)
    for batch in batches[WARM_UP:]:
        for timing in timings:
            if not timing.left_out:
                start = time.perf_counter()
                timing.losses.append(steps[timing.variant](batch))
                timing.seconds.append(time.perf_counter() - start)
    return timings


def learnable_batch(config: ModelConfig, sequences: int, index: int, device: Device) -> MicroBatch:
    """A batch in which 7 of 10 tokens follow from the one before them, so that there is a loss to bring down."""
    generator = torch.Generator().manual_seed(index)
    follower = torch.randperm(config.vocab_size, generator=torch.Generator().manual_seed(0))
    text = torch.randint(config.vocab_size, (sequences, config.context_length + 1), generator=generator)
    follows = torch.rand(text.shape, generator=generator) < 0.7
    for position in range(1, text.shape[1]):
        text[:, position] = torch.where(follows[:, position], follower[text[:, position - 1]], text[:, position])
    text = text.to(device.torch_device)
    return text[:, :-1].contiguous(), text[:, 1:].contiguous()


def loader_seconds(model: str, rounds: int) -> float:
    """Median seconds in which the loader makes a batch of 200-token stories."""
    config, sequences = MODELS[model]
    ends = np.arange(1, 20_001, dtype=np.int64) * 200
    split = Split(np.zeros(ends[-1], np.uint16), ends, np.full(len(ends), 800, np.int64))
    loader = Loader(split, batch_size=sequences, context_length=config.context_length, seed=0)
    loader.batch(0)  # shuffles the epoch
    seconds = []
    for step in range(1, rounds + 1):
        start = time.perf_counter()
        loader.batch(step)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def lines(timings: Sequence[Timing], device: Device) -> list[str]:
    """The table of one model."""
    config = MODELS[timings[0].model][0]
    timed = {timing.variant: timing for timing in timings if timing.seconds}
    rivals = [timed[name] for name in ("plain", "plain-compiled") if name in timed]
    head = "".join(f"{f'x {rival.variant} (fastest)':>27}" for rival in rivals)
    found = [
        f"{timings[0].model}: {count_parameters(config).total:,} parameters, {timings[0].tokens:,} tokens a step",
        f"  {'':<25}{'median':>12}{'fastest':>12}{'tokens/s':>12}{head}{'first step':>12}{'last loss':>11}",
    ]
    for timing in timings:
        if timing.left_out:
            found.append(f"  {timing.variant:<25}left out: {timing.left_out}")
            continue
        ratios = "".join(_ratio(*timing.faster_than(rival)) for rival in rivals)
        speed = timing.tokens / timing.median_s
        times = f"{timing.median_s * 1e3:9.1f} ms{min(timing.seconds) * 1e3:9.1f} ms{speed:12,.0f}"
        found.append(f"  {timing.variant:<25}{times}{ratios}{timing.first_s:10.1f} s{timing.losses[-1]:11.4f}")
        precision = Variant.parse(timing.variant).precision or device.precision
        if peak := device_peak(device.name, precision):
            found[-1] += f"  MFU {speed * flops_per_token(config) / peak[0]:.1%} of {peak[1]}"
    for name, timing in timed.items():
        if "-zero" in name and (ours := timed.get(name.replace("-zero", ""))):
            median, fastest = ours.faster_than(timing)
            found.append(f"  {name} takes {median:.3f}x ({fastest:.3f}x) the time of {ours.variant}")
    if timed:
        best = min(timed.values(), key=lambda timing: timing.median_s)
        seconds = loader_seconds(best.model, 50)
        share = seconds / best.median_s
        found.append(f"  the loader takes {seconds * 1e3:.2f} ms a batch, {share:.2%} of a step of {best.variant}")
    return found


def _ratio(median: float, fastest: float) -> str:
    return f"{median:18.2f}x ({fastest:4.2f}x)"


def bench(
    models: Sequence[str] = (),
    variants: Sequence[str] = (),
    *,
    rounds: int,
    threads: int,
    say: Callable[[str], None],
) -> list[Timing]:
    """Compare variants on models, those for this device where none are named, and say the tables.

    :param threads: of the CPU; 0: all that this process may use.
    :raises ValueError: there is no such model or variant; names those that there are.
    """
    for name in models:
        if name not in MODELS:
            raise ValueError(f"there is no model {name!r}; choose among {', '.join(MODELS)}")
    on_card = torch.cuda.is_available()
    models = models or (CARD_MODELS if on_card else CPU_MODELS)
    variants = variants or (CARD_VARIANTS if on_card else CPU_VARIANTS)
    for name in variants:
        Variant.parse(name)
    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
    device = pick_device("auto")
    say(f"{device.name}, {torch.get_num_threads()} threads, {device.precision}, torch {torch.__version__}")
    found: list[Timing] = []
    for name in models:
        timings = compare(name, variants, rounds, device)
        say("\n".join(lines(timings, device)))
        found += timings
    return found


def write_timings(path: Path, timings: Sequence[Timing]) -> None:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(asdict(timing)) + "\n" for timing in timings), encoding="utf-8")


def main() -> int:
    """Print a table a model."""
    parser = argparse.ArgumentParser(
        prog="python -m tinyscale.train.bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=(), help=f"of {', '.join(MODELS)}")
    parser.add_argument("--variants", nargs="+", default=())
    parser.add_argument("--rounds", type=int, default=10, help="timed steps of each variant")
    parser.add_argument("--threads", type=int, default=0, help="0: all that this process may use")
    parser.add_argument("--out", type=Path, help="write all timings there, one JSON object a line")
    arguments = parser.parse_args()
    try:
        found = bench(
            arguments.models,
            arguments.variants,
            rounds=arguments.rounds,
            threads=arguments.threads,
            say=lambda table: print(table, flush=True),
        )
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if arguments.out:
        write_timings(arguments.out, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
