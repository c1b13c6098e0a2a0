"""The plain PyTorch engine: what ZeRO-1 must agree with, and all that a bare machine needs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tinyscale.model.transformer import Transformer
from tinyscale.spec import TrainConfig
from tinyscale.spec.trial import EngineName
from tinyscale.train.device import Device

MOMENTS = ("exp_avg", "exp_avg_sq")
"""AdamW's state of a parameter."""

MicroBatch = tuple[Tensor, Tensor]
"""Tokens and targets, (sequences, T) int64 each, on the engine's device."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""A micro-batch's mean cross-entropy, a scalar."""


@dataclass(frozen=True)
class StepOutcome:
    """What a step measured, still on the device: reading it waits for the device."""

    loss: Tensor
    """Scalar: mean cross-entropy of this worker's micro-batches, before the update (nats/token)."""
    grad_norm: Tensor
    """Scalar: global L2 norm of the gradient over all workers, before clipping."""


class Engine:
    """Takes optimizer steps on a model; one worker only.

    AdamW decays matrices alone (dim >= 2, embeddings included), not biases and norms.

    :param loss: the model's own, compiled; None: as it is.
    """

    name: EngineName = "torch"

    def __init__(self, model: Transformer, config: TrainConfig, device: Device, loss: Loss | None = None) -> None:
        self.model = model
        self.loss = loss or model.loss
        self.device = device
        self.grad_clip = config.grad_clip
        self.named_parameters = dict(model.named_parameters())
        self.optimizer = make_optimizer(self.named_parameters.values(), config)

    def step(self, micro_batches: Sequence[MicroBatch], learning_rate: float) -> StepOutcome:
        """One optimizer step on the mean loss of equally large micro-batches."""
        self.set_learning_rate(learning_rate)
        losses = []
        for tokens, targets in micro_batches:
            with self.device.autocast():
                loss = self.loss(tokens, targets) / len(micro_batches)
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
        weights = self.named_parameters.values()
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        grad_norm = torch.nn.utils.get_total_norm(gradients, foreach=True)
        if self.grad_clip > 0:
            torch.nn.utils.clip_grads_with_norm_(weights, self.grad_clip, grad_norm, foreach=True)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return StepOutcome(sum_of(losses), grad_norm)

    def set_learning_rate(self, learning_rate: float) -> None:
        """For the coming step."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate

    def state(self) -> dict[str, Tensor]:
        """Whole fp32 weights and moments by ``weight/NAME``, ``exp_avg/NAME``, ``exp_avg_sq/NAME``, on the CPU.

        Every worker must call it; it is complete on each. Needs at least one step taken. What is on the CPU already is
        not copied: the next step changes it.
        """
        state = {f"weight/{name}": weight.detach().cpu() for name, weight in self.named_parameters.items()}
        for name, weight in self.named_parameters.items():
            state |= {f"{moment}/{name}": self.moment(weight, moment).cpu() for moment in MOMENTS}
        return state

    def moment(self, weight: Tensor, moment: str) -> Tensor:
        """One of AdamW's moments of a parameter, in the parameter's shape."""
        value: Tensor = self.optimizer.state[weight][moment]
        return value

    def load_state(self, state: Mapping[str, Tensor], step: int) -> None:
        """Go on from :meth:`state` of any engine after ``step`` optimizer steps."""
        for name, weight in self.named_parameters.items():
            weight.data.copy_(state[f"weight/{name}"])
            moments = {moment: state[f"{moment}/{name}"].to(weight.device, copy=True) for moment in MOMENTS}
            self.optimizer.state[weight] = {"step": torch.tensor(float(step), device=weight.device), **moments}

    def close(self) -> None:
        """Let go of what the engine holds outside of itself."""


def make_optimizer(weights: Iterable[Tensor], config: TrainConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019) as one fused kernel, decaying matrices only."""
    weights = list(weights)
    matrices = [weight for weight in weights if weight.dim() >= 2]
    others = [weight for weight in weights if weight.dim() < 2]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}]
    if others:
        groups.append({"params": others, "weight_decay": 0.0})
    betas = (config.beta1, config.beta2)
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=betas, eps=config.epsilon, fused=True)


def sum_of(losses: Sequence[Tensor]) -> Tensor:
    """Sum of scalars, without an addition where there is one."""
    return losses[0] if len(losses) == 1 else torch.stack(tuple(losses)).sum()
