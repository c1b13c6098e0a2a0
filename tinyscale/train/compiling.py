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
from tinyscale.train.engine import Loss

REPAID_S = 120.0
"""Uncompiled seconds of training from which on ``auto`` compiles. The compiler takes 15 to 35 s of a core the first
time and about 5 s when its cache knows the shape, and takes away a quarter of the time or more."""
CORE_FLOPS = 3e10
"""Of one core uncompiled, by which those seconds are estimated. A rule that looked at the clock could choose otherwise
when a killed trial goes on, and the trial would then not end with the same bits."""

logger = logging.getLogger(__name__)


def compiles(trial: Trial, device: torch.device, threads: int) -> bool:
    """Whether a trial's loss is compiled: what its switch comes to on a device.

    ``auto`` leaves cards alone: there our kernels compute what the compiler would fuse, and compiled steps have not
    been measured on one.

    :raises ValueError: the trial insists, and nothing can be compiled here.
    """
    wanted = trial.train.compile
    if wanted == "auto":
        return device.type == "cpu" and _repaid(trial, threads) and obstacle_to_compiling(device) is None
    if wanted and (obstacle := obstacle_to_compiling(device)):
        raise ValueError(f"compile=true cannot run here: {obstacle}; install it or set compile to auto")
    return wanted


def _repaid(trial: Trial, threads: int) -> bool:
    flops = training_flops(trial.model, trial.steps * trial.batch_tokens)
    return flops / (CORE_FLOPS * threads) >= REPAID_S


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
