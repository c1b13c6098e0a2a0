"""Whether a trial's training loss is compiled, and how: torch.compile, which writes C++ on CPUs and Triton on cards.

Only the loss of training is: evaluation stays as it is, so that a loss means the same whoever trained. Weights, seeds
and batches are not touched, and dropout draws as it does uncompiled: the switch changes rounding alone.
"""

import logging
import os
import shutil
import sys
import sysconfig
import warnings
from pathlib import Path

import torch
from torch import Tensor

from tinyscale.accounting import training_flops
from tinyscale.data.cache import default_cache
from tinyscale.model.transformer import Transformer
from tinyscale.spec import Trial
from tinyscale.train.device import Device
from tinyscale.train.engine import Loss

REPAID_S = 300.0
"""Uncompiled seconds of training from which on ``auto`` compiles.

Measured on a core of an AMD EPYC (Zen 4), models of 0.2, 0.9 and 7 M parameters: the compiler takes 21 to 32 s of fp32
and 57 to 92 s of bf16, and 1 and 6 to 14 s where its cache knows the shape; it leaves about 4/5 of a step's time in
fp32 and 3/5 in bf16. So it has repaid itself after 100 to 200 s.
"""
CORE_FLOPS = {"fp32": 5e10, "bf16": 9e10}
"""Of such a core uncompiled at 7 M parameters, by which the seconds are estimated. A rule that looked at the clock
could choose otherwise when a killed trial goes on, which would then not end with the same bits."""

logger = logging.getLogger(__name__)


def compiles(trial: Trial, device: Device, threads: int) -> bool:
    """Whether a trial's loss is compiled: what its switch comes to on a device.

    ``auto`` leaves cards alone: there our kernels compute what the compiler would fuse, and compiled steps have not
    been measured on one.

    :raises ValueError: the trial insists, and nothing can be compiled here.
    """
    wanted = trial.train.compile
    if wanted == "auto":
        on_cpu = device.torch_device.type == "cpu"
        return on_cpu and _repaid(trial, device, threads) and obstacle_to_compiling(device.torch_device) is None
    if wanted and (obstacle := obstacle_to_compiling(device.torch_device)):
        raise ValueError(f"compile=true cannot run here: {obstacle}; install it or set compile to auto")
    return wanted


def _repaid(trial: Trial, device: Device, threads: int) -> bool:
    flops = training_flops(trial.model, trial.steps * trial.batch_tokens)
    return flops / (CORE_FLOPS[device.precision] * threads) >= REPAID_S


def obstacle_to_compiling(device: torch.device) -> str | None:
    """What torch.compile lacks on this machine; None: nothing."""
    if device.type == "cuda":
        return None if shutil.which("gcc") or shutil.which("cc") else "there is no C compiler, which Triton needs"
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if not shutil.which(compiler):
        return f"there is no C++ compiler {compiler} (the variable CXX names another)"
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        return "there is no Python.h (Debian's package python3-dev has it)"
    return None


class CompiledLoss:
    """A model's loss, compiled at the first call for the shape of that call.

    :param insist: a compiler that fails is an error; otherwise it is a warning, and the loss stays uncompiled.
    """

    def __init__(self, model: Transformer, *, insist: bool) -> None:
        self.in_use = True
        """Turns false where the compiler fails."""
        self._plain: Loss = model.loss
        self._insist = insist
        _configure()
        # fallback_random: dropout by PyTorch's own generator, whose seed the session sets at every step.
        self._loss: Loss = torch.compile(self._plain, dynamic=False, options={"fallback_random": True})

    def __call__(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """As :meth:`Transformer.loss`. The compiler runs before anything of the step has been computed."""
        try:
            return self._loss(tokens, targets)
        except torch._dynamo.exc.TorchDynamoException as error:
            if self._insist:
                raise
            logger.warning(
                "trains uncompiled, for torch.compile failed: %s (if the machine went down while it compiled, "
                "remove %s: it may hold half a file)",
                " ".join(str(error).split("\n")[:2]),
                os.environ["TORCHINDUCTOR_CACHE_DIR"],
            )
            self._loss, self.in_use = self._plain, False
            return self._plain(tokens, targets)


def _configure() -> None:
    """Where compiled code is kept, and by whom it is compiled."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit, which torch's compiler itself uses
        import torch._inductor.compile_fx
        import torch._inductor.config as inductor
        from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    # Kernels for a CPU are compiled by this process, one after the other: no helper processes that could outlive it.
    if not torch.cuda.is_available():
        inductor.compile_threads = 1
    # Torch sets the variable to its own default as it is imported; another value is the user's.
    if os.environ.get("TORCHINDUCTOR_CACHE_DIR") in (None, str(Path(default_cache_dir()).absolute())):
        folder = default_cache() / "compiled"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:  # a machine without a cache of ours: torch's own place
            return
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)


def forget_compiled() -> None:
    """Let go of all compiled code of the process: a worker's next trial has another shape."""
    torch.compiler.reset()
