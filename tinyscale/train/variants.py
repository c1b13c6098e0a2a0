"""One training step in the ways that ``bench train`` compares."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch
from torch import nn

from tinyscale.model.transformer import Transformer
from tinyscale.spec import ModelConfig, TrainConfig
from tinyscale.spec.trial import Kernels
from tinyscale.train.compiling import CompiledLoss, obstacle_to_compiling
from tinyscale.train.device import Device
from tinyscale.train.engine import Engine, Loss, MicroBatch
from tinyscale.train.rivals import PlainModel, transformers_loss, transformers_model

Step = Callable[[MicroBatch], float]
"""Trains on a batch and returns its loss, so it waits for the device."""
TRAIN = TrainConfig(tokens=1, batch_size=1, learning_rate=1e-3, warmup_steps=0)
SWITCHES: dict[str, dict[str, Any]] = {
    "compiled": {"compiled": True}, "fp32": {"precision": "fp32"}, "bf16": {"precision": "bf16"},
}  # fmt: skip
"""Words of any variant, and what they set."""
OUR_SWITCHES: dict[str, dict[str, Any]] = {
    "zero": {"zero": True}, "torch": {"kernels": "torch"}, "triton": {"kernels": "triton"},
}  # fmt: skip


class NotHereError(RuntimeError):
    """A variant needs what this machine lacks."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What a variant's name says."""

    who: str
    zero: bool = False
    compiled: bool = False
    precision: Literal["fp32", "bf16"] | None = None
    """None: the device's."""
    kernels: Kernels = "auto"

    @classmethod
    def parse(cls, name: str) -> "Variant":
        """Of a name such as ``ours-zero-bf16-compiled``.

        :raises ValueError: a word means nothing here.
        """
        who, *words = name.split("-")
        if who not in ("plain", "transformers", "ours"):
            raise ValueError(f"variant {name!r} begins with none of plain, transformers and ours")
        found = cls(who=who)
        for word in words:
            allowed = SWITCHES | OUR_SWITCHES if who == "ours" else SWITCHES
            if word not in allowed:
                raise ValueError(f"variant {name!r}: {word!r} is none of {', '.join(allowed)}")
            found = replace(found, **allowed[word])
        return found


def make_step(variant: Variant, config: ModelConfig, sequences: int, device: Device) -> Step:
    """A step of a model with the weights of seed 0.

    :raises NotHereError: what the variant needs is not installed.
    """
    device = replace(device, precision=variant.precision or device.precision)
    if variant.compiled and (obstacle := obstacle_to_compiling(device.torch_device)):
        raise NotHereError(obstacle)
    model = Transformer(config, variant.kernels).to(device.torch_device)
    if variant.who == "ours":
        return _our_step(variant, model, sequences, device)
    if variant.who == "plain":
        plain = PlainModel(config).to(device.torch_device)
        plain.load_state_dict(model.state_dict())
        return _rival_step(plain, plain.loss, device, compiled=variant.compiled)
    try:
        theirs = transformers_model(model).to(device.torch_device)
    except ModuleNotFoundError as error:
        raise NotHereError(f"{error.name} is not installed here") from error
    return _rival_step(theirs, partial(transformers_loss, theirs), device, compiled=variant.compiled)


def _our_step(variant: Variant, model: Transformer, sequences: int, device: Device) -> Step:
    """What a trial runs, its determinism included."""
    loss = CompiledLoss(model, insist=True) if variant.compiled else None
    engine: Engine
    if variant.zero:
        try:
            from tinyscale.train.zero import ZeroEngine
        except ModuleNotFoundError as error:
            raise NotHereError(f"{error.name} is not installed here") from error
        engine = ZeroEngine(model, TRAIN, device, loss, micro_batches=1, micro_batch_size=sequences)
    else:
        engine = Engine(model, TRAIN, device, loss)

    def step(batch: MicroBatch) -> float:
        device.make_deterministic()
        return engine.step([batch], TRAIN.learning_rate).loss.item()

    return step


def _rival_step(model: nn.Module, loss_of: Loss, device: Device, *, compiled: bool) -> Step:
    """A step as tutorials write it. AdamW is fused on cards alone, as in nanoGPT."""
    loss_of = torch.compile(loss_of, dynamic=False) if compiled else loss_of
    weights = list(model.parameters())
    groups = [
        {"params": [weight for weight in weights if weight.dim() >= 2], "weight_decay": TRAIN.weight_decay},
        {"params": [weight for weight in weights if weight.dim() < 2], "weight_decay": 0.0},
    ]
    betas, on_card = (TRAIN.beta1, TRAIN.beta2), device.torch_device.type == "cuda"
    optimizer = torch.optim.AdamW(groups, lr=TRAIN.learning_rate, betas=betas, eps=TRAIN.epsilon, fused=on_card)

    def step(batch: MicroBatch) -> float:
        torch.use_deterministic_algorithms(False)
        with device.autocast():
            loss = loss_of(*batch)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, TRAIN.grad_clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return step
