"""What a trial will cost: seconds, disk, money. An estimate, with its basis in words."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from tinyscale.accounting import checkpoint_bytes, count_parameters, model_bytes, training_flops
from tinyscale.spec import Trial, TrialResult
from tinyscale.spec.study import Budget, Resources

# One core of a 2024 server CPU in fp32, measured with this project's own loop on models of 10 k to 1 M parameters:
# a fixed cost per step (Python, kernel launches, DeepSpeed's bookkeeping) and a rate.
_CPU_STEP_S, _CPU_FLOPS = 4e-3, 3e10
# One RTX 5090 at 40 % of its 209.5 TFLOPS dense bf16; a small model's step is bound by its launches.
_GPU_STEP_S, _GPU_FLOPS = 1e-2, 0.4 * 209.5e12
_START_S = 1.0
_CHECKPOINTS = 3  # two are kept, and one is being written


@dataclass(frozen=True, kw_only=True)
class Quote:
    """Expected cost of one trial."""

    params_total: int
    params_non_embedding: int
    tokens: int
    """Training tokens of the model, the largest budget, rounded to whole steps."""
    steps: int
    """Optimizer steps, on all branches of a trunk."""
    flops: float
    """Training FLOPs of those steps."""
    seconds: float
    """From start to result."""
    disk_bytes: int
    """Largest need: checkpoints and the finished model."""
    cost: float | None
    """In the budget's currency; None without a price."""


@dataclass(frozen=True)
class Speed:
    """Expected seconds of trials on some resources."""

    step_s: float
    flops_per_s: float
    basis: str
    """Where the numbers come from."""
    scale: float = 1.0

    def seconds(self, trial: Trial) -> float:
        """Expected seconds of a trial, its start included."""
        flops = training_flops(trial.model, trial.steps * trial.batch_tokens)
        return _START_S + self.scale * (trial.steps * self.step_s + flops / self.flops_per_s)


def expected_speed(resources: Resources, measured: Mapping[str, TrialResult], trials: Iterable[Trial]) -> Speed:
    """The speed to quote: a rough model, scaled by the finished trials where there are some.

    :param measured: results by trial id; those of trials in ``trials`` with the same number of workers count.
    """
    if resources.gpus:
        rate, what = _GPU_FLOPS * resources.gpus, "an RTX 5090 at 40 % of 209.5 TFLOPS (assumed, not measured)"
        prior = Speed(_GPU_STEP_S, rate * resources.workers, what)
    else:
        what = "a 2024 server core in fp32 (assumed, not measured here)"
        prior = Speed(_CPU_STEP_S, _CPU_FLOPS * resources.cpus * resources.workers, what)
    ratios = [
        (result.train_s + _START_S) / prior.seconds(trial)
        for trial in trials
        if (result := measured.get(trial.id)) and result.status == "done" and result.workers == resources.workers
    ]
    if not ratios:
        return prior
    return Speed(prior.step_s, prior.flops_per_s, f"{len(ratios)} finished trials of this study", median(ratios))


def quote_trial(trial: Trial, speed: Speed, resources: Resources, budget: Budget) -> Quote:
    """The quote of one trial."""
    parameters = count_parameters(trial.model)
    seconds = speed.seconds(trial)
    devices = resources.workers * (resources.gpus or 1)
    price = budget.price_per_device_hour
    return Quote(
        params_total=parameters.total,
        params_non_embedding=parameters.non_embedding,
        tokens=trial.budgets[-1],
        steps=trial.steps,
        flops=training_flops(trial.model, trial.steps * trial.batch_tokens),
        seconds=seconds,
        disk_bytes=(_CHECKPOINTS + bool(trial.train.branches)) * checkpoint_bytes(trial.model)
        + model_bytes(trial.model),
        cost=price * devices * seconds / 3600 if price else None,
    )


def makespan(seconds: Sequence[float], slots: int) -> float:
    """Wall-clock seconds of trials run longest first on ``slots`` equal places (Graham 1969, LPT rule)."""
    busy = [0.0] * max(1, slots)
    for duration in sorted(seconds, reverse=True):
        heapq.heappush(busy, heapq.heappop(busy) + duration)
    return max(busy)
