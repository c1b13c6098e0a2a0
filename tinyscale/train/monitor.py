"""The losses since the last record, and the rule by which a trial counts as diverged."""

import math
from collections.abc import Mapping
from typing import Any

import torch

from tinyscale.train.engine import StepOutcome
from tinyscale.train.workers import sum_over_workers, world_size

SMOOTHING = 0.95
"""Weight of the past in the smoothed loss: it looks back about 20 steps."""
DIVERGED_RATIO = 1.5
"""Smoothed loss over first loss from which on a trial is given up."""


class DivergedError(ArithmeticError):
    """Training blew up; the message says at which step and how."""

    def __init__(self, step: int, message: str) -> None:
        super().__init__(message)
        self.step = step


class LossMonitor:
    """Collects what steps measured without waiting for the device, and looks at it when asked.

    A trial diverges when a loss or a gradient norm is not finite, or when the loss, smoothed over about 20 steps, is
    above 1.5 times the loss of the first step. The first loss is close to ln V, that of knowing nothing, and a spike
    that training recovers from stays below.
    """

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        state = state or {"steps": 0, "first_loss": 0.0, "smoothed_loss": 0.0, "losses": [], "grad_norms": []}
        self._steps: int = state["steps"]
        self._first_loss: float = state["first_loss"]
        self._smoothed_loss: float = state["smoothed_loss"]
        self._losses: list[float] = list(state["losses"])
        self._grad_norms: list[float] = list(state["grad_norms"])
        self._unread: list[StepOutcome] = []

    def add(self, outcome: StepOutcome) -> None:
        """Take the outcome of the next step."""
        self._unread.append(outcome)

    def read(self) -> None:
        """Fetch the new outcomes from the device, averaged over the workers, and judge them.

        :raises DivergedError: on every worker alike.
        """
        if not self._unread:
            return
        losses = sum_over_workers(torch.stack([outcome.loss for outcome in self._unread])) / world_size()
        grad_norms = torch.stack([outcome.grad_norm for outcome in self._unread])
        self._unread = []
        for loss, grad_norm in zip(losses.tolist(), grad_norms.tolist(), strict=True):
            self._judge(loss, grad_norm)

    def _judge(self, loss: float, grad_norm: float) -> None:
        self._steps += 1
        if not math.isfinite(loss):
            raise DivergedError(self._steps, f"loss is {loss} at step {self._steps}")
        if not math.isfinite(grad_norm):
            raise DivergedError(self._steps, f"gradient norm is {grad_norm} at step {self._steps}")
        if self._steps == 1:
            self._first_loss = self._smoothed_loss = loss
        self._smoothed_loss = SMOOTHING * self._smoothed_loss + (1 - SMOOTHING) * loss
        if self._smoothed_loss > DIVERGED_RATIO * self._first_loss:
            raise DivergedError(
                self._steps,
                f"smoothed loss is {self._smoothed_loss:.3f} at step {self._steps}, "
                f"above {DIVERGED_RATIO:g} x the first loss of {self._first_loss:.3f}",
            )
        self._losses.append(loss)
        self._grad_norms.append(grad_norm)

    def take_means(self) -> tuple[float, float]:
        """Mean loss and mean gradient norm of the steps read since the last call; at least one."""
        count = len(self._losses)
        means = math.fsum(self._losses) / count, math.fsum(self._grad_norms) / count
        self._losses, self._grad_norms = [], []
        return means

    def state(self) -> dict[str, Any]:
        """JSON values to go on from; call :meth:`read` first."""
        return {
            "steps": self._steps,
            "first_loss": self._first_loss,
            "smoothed_loss": self._smoothed_loss,
            "losses": self._losses,
            "grad_norms": self._grad_norms,
        }
