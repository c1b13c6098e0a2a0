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
    """For ``make test``, which has two workers: tests that start Ray run one after the other on one of them, as they
    wait more than they compute and would disturb one another; all else runs beside them, file by file."""
    from xdist.scheduler import LoadFileScheduling

    class Clusters(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            own = nodeid.startswith(("tests/cli/", "tests/cluster/"))
            return "clusters" if own else str(super()._split_scope(nodeid))

    return Clusters(config, log)
