"""Cross-checks of a resolved trial: what no single field can say is wrong."""

from itertools import pairwise
from math import inf

from tinyscale.spec import Trial


def check_trial(trial: Trial, *, workers: int, on_gpu: bool) -> list[str]:
    """What is wrong with a trial: sentences that name what was given and what is allowed; empty when nothing is.

    :param workers: processes that share the batch.
    :param on_gpu: workers compute on GPUs.
    """
    problems = [*_positive(trial), *_shape(trial), *_training(trial, workers)]
    if trial.train.kernels == "triton" and not on_gpu:
        problems.append(
            "kernels is triton, but resources.gpus is 0, and Triton needs a GPU; "
            "give each worker one or set kernels to auto"
        )
    return problems


_AT_LEAST_ONE = (
    "hidden_size",
    "num_layers",
    "num_heads",
    "num_kv_heads",
    "intermediate_size",
    "context_length",
    "tokens",
    "batch_size",
    "log_every",
    "checkpoint_every",
    "eval_bytes",
)
_RANGES = {
    "sliding_window": (0, inf),
    "rope_theta": (1, inf),
    "norm_epsilon": (1e-12, 1),
    "dropout": (0, 0.99),
    "init_std": (1e-6, 10),
    "learning_rate": (1e-9, 10),
    "warmup_steps": (0, inf),
    "decay_fraction": (0, 1),
    "final_lr_ratio": (0, 1),
    "weight_decay": (0, 10),
    "beta1": (0, 0.9999999),
    "beta2": (0, 0.9999999),
    "epsilon": (1e-20, 1),
    "grad_clip": (0, inf),
    "eval_every": (0, inf),
    "micro_batch_size": (0, inf),
    "seed": (0, 2**31 - 1),
}


def _positive(trial: Trial) -> list[str]:
    values = {**vars(trial.model), **vars(trial.train)}
    problems = [f"{name} is {values[name]}; it must be at least 1" for name in _AT_LEAST_ONE if values[name] < 1]
    for name, (low, high) in _RANGES.items():
        if not low <= values[name] <= high:
            allowed = f"at least {low:g}" if high == inf else f"from {low:g} to {high:g}"
            problems.append(f"{name} is {values[name]}; it must be {allowed}")
    return problems


def _shape(trial: Trial) -> list[str]:
    model = trial.model
    problems: list[str] = []
    if model.num_heads >= 1 and model.hidden_size % model.num_heads:
        divisors = [n for n in range(1, 65) if model.hidden_size % n == 0]
        problems.append(
            f"num_heads is {model.num_heads} and does not divide hidden_size {model.hidden_size}; divisors: {divisors}"
        )
    elif model.positions == "rope" and model.num_heads >= 1 and model.head_size % 2:
        problems.append(
            f"hidden_size {model.hidden_size} over num_heads {model.num_heads} gives heads of {model.head_size} "
            "channels; rotary positions need an even number"
        )
    if model.num_kv_heads >= 1 and model.num_heads % model.num_kv_heads:
        problems.append(f"num_kv_heads is {model.num_kv_heads} and does not divide num_heads {model.num_heads}")
    return problems


def _training(trial: Trial, workers: int) -> list[str]:
    train = trial.train
    problems: list[str] = []
    if train.batch_size < 1 or trial.model.context_length < 1:
        return problems
    if train.tokens < trial.batch_tokens:
        problems.append(
            f"tokens is {train.tokens}, less than one batch of {trial.batch_tokens} "
            f"(batch_size {train.batch_size} x context_length {trial.model.context_length}); lower one or raise tokens"
        )
    if train.batch_size % workers:
        problems.append(f"batch_size is {train.batch_size} and does not divide among {workers} workers")
    elif train.micro_batch_size and (train.batch_size // workers) % train.micro_batch_size:
        problems.append(
            f"micro_batch_size is {train.micro_batch_size} and does not divide a worker's "
            f"{train.batch_size // workers} sequences a step"
        )
    if train.warmup_steps >= trial.steps and trial.steps > 1:
        problems.append(f"warmup_steps is {train.warmup_steps}, and the trial has only {trial.steps} steps")
    elif train.branches:
        problems += _trunk(trial)
    return problems


def _trunk(trial: Trial) -> list[str]:
    """Each cooldown must leave the trunk after the warm-up, and later than the one before it."""
    problems: list[str] = []
    train, lines = trial.train, trial.lines
    if train.schedule != "trunk":
        problems.append(f"branches is {train.branches}, but schedule is {train.schedule}; branches need schedule trunk")
    if min(train.branches) < trial.batch_tokens:
        problems.append(
            f"tokens {min(train.branches)} is less than one batch of {trial.batch_tokens} "
            f"(batch_size {train.batch_size} x context_length {trial.model.context_length}); lower one or raise tokens"
        )
    elif lines[0].fork <= train.warmup_steps or lines[0].fork >= lines[0].end:
        problems.append(
            f"the first cooldown, of {trial.budgets[0]} tokens, needs steps before it that are no warm-up and steps of "
            f"its own: warmup_steps is {train.warmup_steps}, and of {lines[0].end} steps decay_fraction "
            f"{train.decay_fraction:g} leaves {lines[0].end - round(train.decay_fraction * lines[0].end)}"
        )
    elif any(later.fork <= line.fork for line, later in pairwise(lines)):
        budgets = ", ".join(map(str, trial.budgets))
        problems.append(f"tokens {budgets} are the same steps or nearly; a trunk needs budgets further apart")
    return problems
