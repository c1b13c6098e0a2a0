"""The learning rate of a step."""

import math

from tinyscale.spec import TrainConfig


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """Learning rate of optimizer step ``step`` (0 .. steps - 1) on a line that ends after ``steps``.

    Linear warm-up over ``warmup_steps``, whose last step has the peak; then over the rest, with u in (0, 1] and
    r = final_lr_ratio:

    - cosine: r + (1 - r) (1 + cos(pi u)) / 2 (Loshchilov & Hutter 2017)
    - linear: 1 - (1 - r) u
    - wsd, trunk: 1, then in the last decay_fraction of all steps 1 - (1 - r) sqrt(u) (Haegele et al. 2024, "1 - sqrt")
    - constant: 1
    """
    return config.learning_rate * _factor(config, step + 1, steps)


def _factor(config: TrainConfig, taken: int, steps: int) -> float:
    """Learning rate over its peak in the step after which ``taken`` steps have been taken."""
    warmup, final = config.warmup_steps, config.final_lr_ratio
    if taken <= warmup:
        return taken / warmup
    if config.schedule == "cosine":
        return final + (1 - final) * (1 + math.cos(math.pi * _share(taken, warmup, steps))) / 2
    if config.schedule == "linear":
        return 1 - (1 - final) * _share(taken, warmup, steps)
    if config.schedule in ("wsd", "trunk"):
        stable_end = config.cooldown_start(steps)
        return 1.0 if taken <= stable_end else 1 - (1 - final) * math.sqrt(_share(taken, stable_end, steps))
    return 1.0


def _share(taken: int, start: int, end: int) -> float:
    return (taken - start) / (end - start)
