"""Without a CUDA card, kernels are interpreted on the CPU: Triton must be told before anything imports it."""

import os

import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
    import triton

    triton.knobs.runtime.interpret = True
    del os.environ["TRITON_INTERPRET"]  # processes that a test starts are a user's, who has not set it
