"""What a trial will cost: seconds, disk, money. An estimate, with its basis in words."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from tinyscale.accounting import (
    checkpoint_bytes,
    count_parameters,
    model_bytes,
    padded_vocab,
    state_bytes,
    training_flops,
)
from tinyscale.spec import Trial, TrialResult
from tinyscale.spec.study import Budget, Resources, Share

# One core of a 2024 server CPU in fp32, measured with this project's own loop on models of 10 k to 1 M parameters:
# a fixed cost per step (Python, kernel launches, DeepSpeed's bookkeeping) and a rate.
_CPU_STEP_S, _CPU_FLOPS = 4e-3, 3e10
# One RTX 5090 at 40 % of its 209.5 TFLOPS dense bf16; a small model's step is bound by its launches.
GPU_STEP_S, GPU_FLOPS = 1e-2, 0.4 * 209.5e12
_START_S = 1.0
_CHECKPOINTS = 3  # two are kept, and one is being written


@dataclass(frozen=True, kw_only=True)
class Quote:
    """Expected cost of one trial."""

    params_total: int
    params_padded: int
    """The same with the vocabulary's rows padded to a multiple of 64, as many codes for GPUs count: not so here."""
    params_non_embedding: int
    tokens: int
    """Training tokens of the model, the largest budget, rounded to whole steps."""
    text_bytes: float | None
    """UTF-8 bytes of text in those tokens, where the budget is text; None where it is not."""
    steps: int
    """Optimizer steps, on all branches of a trunk."""
    flops: float
    """Training FLOPs of those steps."""
    seconds: float
    """From start to result."""
    disk_bytes: int
    """Largest need: checkpoints and the finished model."""
    state_bytes: int
    """Memory of each worker for weights, gradients and its part of AdamW's state; activations come on top."""
    share: Share
    """What the trial occupies while it runs."""
    cost: float | None
    """In the budget's currency; None without a price."""


@dataclass(frozen=True)
class Speed:
    """Expected seconds of trials on some resources."""

    step_s: float
    """A step's fixed part: Python, kernel launches, bookkeeping."""
    flops_per_s: float
    """Of one core, or one GPU."""
    basis: str
    """Where the numbers come from."""
    scale: float = 1.0

    def seconds(self, trial: Trial, share: Share) -> float:
        """Expected seconds of a trial, its start included."""
        flops = training_flops(trial.model, trial.steps * trial.batch_tokens)
        return _START_S + self.scale * (trial.steps * self.step_s + flops / (self.flops_per_s * share.size))


def expected_speed(
    resources: Resources, measured: Mapping[str, TrialResult], trials: Iterable[tuple[Trial, Share]]
) -> Speed:
    """The speed to quote: a rough model, scaled by the finished trials where there are some.

    :param measured: results by trial id; those of trials in ``trials`` with as many workers and threads count.
    :param trials: with what each occupies.
    """
    if resources.on_gpu:
        prior = Speed(GPU_STEP_S, GPU_FLOPS, "an RTX 5090 at 40 % of 209.5 TFLOPS (assumed, not measured)")
    else:
        prior = Speed(_CPU_STEP_S, _CPU_FLOPS, "a 2024 server core in fp32 (assumed, not measured here)")
    ratios = [
        (result.train_s + _START_S) / prior.seconds(trial, share)
        for trial, share in trials
        if (result := measured.get(trial.id))
        and result.status == "done"
        and result.workers == resources.workers
        and (resources.on_gpu or result.threads in (0, share.cpus))
    ]
    if not ratios:
        return prior
    return replace(prior, basis=f"{len(ratios)} finished trials of this study", scale=median(ratios))


def quote_trial(
    trial: Trial, speed: Speed, share: Share, budget: Budget, bytes_per_token: float | None = None
) -> Quote:
    """The quote of one trial.

    :param bytes_per_token: UTF-8 bytes of training text a token, where the budget is text.
    """
    model = trial.model
    parameters = count_parameters(model)
    seconds = speed.seconds(trial, share)
    devices = share.workers * (share.gpus or 1)
    price = budget.price_per_device_hour
    return Quote(
        params_total=parameters.total,
        params_padded=count_parameters(replace(model, vocab_size=padded_vocab(model.vocab_size))).total,
        params_non_embedding=parameters.non_embedding,
        tokens=trial.budgets[-1],
        text_bytes=bytes_per_token * trial.budgets[-1] if bytes_per_token else None,
        steps=trial.steps,
        flops=training_flops(model, trial.steps * trial.batch_tokens),
        seconds=seconds,
        disk_bytes=(_CHECKPOINTS + bool(trial.train.branches)) * checkpoint_bytes(model) + model_bytes(model),
        state_bytes=state_bytes(parameters.total, workers=share.workers),
        share=share,
        cost=price * devices * seconds / 3600 if price else None,
    )


def makespan(seconds: Sequence[float], capacity: float, sizes: Sequence[float] = ()) -> float:
    """Wall-clock seconds of trials run longest first (Graham 1969, LPT rule), each as soon as there is room for it.

    :param capacity: of all machines, in the unit of ``sizes``; one trial at a time fits in any case.
    :param sizes: what each trial occupies; empty: 1 each, and ``capacity`` is the number of equal places.
    """
    waiting = sorted(zip(seconds, sizes or [1.0] * len(seconds), strict=True), reverse=True)
    running: list[tuple[float, float]] = []
    now, free = 0.0, capacity
    for duration, size in waiting:
        while running and size > free + 1e-9:
            now, released = heapq.heappop(running)
            free += released
        heapq.heappush(running, (now + duration, size))
        free -= size
    return max((end for end, _ in running), default=0.0)
