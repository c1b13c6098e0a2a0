"""Without a CUDA card, kernels are interpreted on the CPU: Triton must be told before anything imports it."""

import os
from typing import Any

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
    import triton

    triton.knobs.runtime.interpret = True
    del os.environ["TRITON_INTERPRET"]  # processes that a test starts are a user's, who has not set it


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """For ``make test``, which has three workers: tests of cluster/ run one after the other on one of them and those of
    cli/ on another, as most start Ray, wait more than they compute and would disturb one another in larger numbers; all
    else runs beside them, file by file."""
    from xdist.scheduler import LoadFileScheduling

    class Rooms(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            one_by_one = next((room for room in ("tests/cli/", "tests/cluster/") if nodeid.startswith(room)), None)
            return one_by_one or str(super()._split_scope(nodeid))

    return Rooms(config, log)
