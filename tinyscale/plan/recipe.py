"""The recipe: from a size to heads, learning rate, batch and the rest. A value that the study names always wins."""

from collections.abc import Mapping
from dataclasses import fields
from math import sqrt
from typing import Any

from tinyscale.model.presets import preset_defaults
from tinyscale.spec import ModelConfig, TrainConfig

REQUIRED = ("hidden_size", "num_layers", "vocab_size", "tokens")
"""What every trial must be told: the axes of a scaling study."""

MODEL_FIELDS = frozenset(f.name for f in fields(ModelConfig))
TRAIN_FIELDS = frozenset(f.name for f in fields(TrainConfig))


def resolve(settings: Mapping[str, Any]) -> tuple[ModelConfig, TrainConfig]:
    """Derive every field of a trial that ``settings`` does not name.

    :raises ValueError: a required axis is missing.
    """
    if missing := [name for name in REQUIRED if name not in settings]:
        raise ValueError(f"{missing[0]} is not given; name it in model, train or the grid of space")
    given = {"preset": "llama", "context_length": 256, **settings}
    hidden, layers = int(given["hidden_size"]), int(given["num_layers"])
    shape = {**preset_defaults(given["preset"]), **given}
    shape.setdefault("num_heads", num_heads(hidden))
    shape.setdefault("num_kv_heads", shape["num_heads"])
    shape.setdefault("intermediate_size", intermediate_size(hidden, gated=shape["mlp"] in ("swiglu", "geglu")))
    shape.setdefault("init_std", round(init_std(hidden), 6))
    model = ModelConfig(**{name: value for name, value in shape.items() if name in MODEL_FIELDS})

    train = {name: value for name, value in given.items() if name in TRAIN_FIELDS}
    # The branches of a trunk share batch and warm-up: those of the smallest budget, which larger ones hurt the most.
    least = min((*train.get("branches", ()), train["tokens"]))
    train.setdefault("batch_size", max(1, round(batch_tokens(least) / model.context_length)))
    train.setdefault("learning_rate", round(learning_rate(hidden, layers), 6))
    step_tokens = max(1, train["batch_size"] * model.context_length)
    train.setdefault("warmup_steps", warmup_steps(max(1, round(least / step_tokens))))
    steps = max(1, round(train["tokens"] / step_tokens))
    train.setdefault("eval_every", max(1, -(-steps // 5)))
    train.setdefault("log_every", max(1, steps // 100))
    train.setdefault("checkpoint_every", max(20, steps // 10))
    return model, TrainConfig(**train)


def num_heads(hidden_size: int) -> int:
    """Heads of about 16, 32 or 64 channels for widths up to 128, 512 and beyond.

    Vaswani et al. 2017 use 64 at 512 and GPT-2 keeps 64 at 768; stories260K has 8 at 64. Among the divisors that leave
    an even head (rotary positions turn pairs of channels) the one nearest to the target is taken.
    """
    target = hidden_size / (16 if hidden_size <= 128 else 32 if hidden_size <= 512 else 64)
    divisors = [n for n in range(1, hidden_size + 1) if hidden_size % n == 0 and hidden_size // n % 2 == 0]
    return min(divisors, key=lambda n: abs(n - target), default=1)


def intermediate_size(hidden_size: int, *, gated: bool) -> int:
    """4 d, or 8/3 d to the next multiple of 8 where a gate adds a third matrix (Shazeer 2020): equal parameters."""
    return -(-8 * hidden_size // 3 // 8) * 8 if gated else 4 * hidden_size


def init_std(hidden_size: int) -> float:
    """sqrt(2 / (5 d)) (Nguyen & Salazar 2019): 0.023 at 768, where GPT-2 has 0.02, and larger for tiny models."""
    return sqrt(2 / (5 * hidden_size))


def learning_rate(hidden_size: int, num_layers: int) -> float:
    """Peak AdamW learning rate: 0.64 / d up to 0.03, over sqrt(L / 2) beyond two layers.

    1/d is the transfer rule for hidden matrices under Adam (Yang et al. 2022, Tensor Programs V), here for all of
    them; the depth rule is the one of Bordelon et al. 2023. Measured with 2 layers, 2,048 tokens of vocabulary and
    16 x 64 tokens a step (validation bits per byte by peak rate):

    - built-in stories, width 16, 500k tokens: .004 1.449, .008 1.246, .016 1.141, .032 1.093
    - built-in stories, width 32, 500k tokens: .004 1.105, .008 0.917, .016 0.855, .032 0.845
    - built-in stories, width 64, 500k tokens: .004 0.770, .008 0.699, .016 0.678, .032 0.724
    - TinyStories, width 16, 1M tokens: .016 1.548, .032 1.534; width 64: .004 1.349, .008 1.324, .012 1.324
    """
    return min(0.03, 0.64 / hidden_size) / sqrt(max(1.0, num_layers / 2))


def batch_tokens(tokens: int) -> int:
    """Tokens a step: 4096 at 4 M training tokens, growing with their square root, a power of two in 1024..524288.

    The critical batch size grows with the tokens trained on and hardly with the model (Zhang et al. 2024, exponent
    0.47).
    """
    wanted = 4096 * sqrt(tokens / 4e6)
    power = 1024
    while power < 524_288 and power * sqrt(2) < wanted:
        power *= 2
    return power


def warmup_steps(steps: int) -> int:
    """A tenth of the steps, at most 1,000: AdamW needs some to fill its second moment (Ma & Yarats 2021)."""
    return min(1_000, max(1, steps // 10))
