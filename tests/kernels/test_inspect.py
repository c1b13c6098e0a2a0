"""Every kernel of every table row is compiled and assembled for cards that are not here."""

import json
import os
import subprocess
import sys

import pytest

ARCHITECTURES = {"sm_120": 101_376, "sm_90": 232_448, "sm_80": 101_376}
"""Shared bytes that a block may use at most (CUDA programming guide, compute capabilities; sm_80 stands for sm_86)."""

MATRIX_KERNELS = {"forward_kernel", "dq_kernel", "dkv_kernel", "partial_lse_kernel"}


def inspect(*arguments):
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-P", "-m", "tinyscale_kernels.inspect", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_row_compiles_and_fits(architecture, tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))  # nothing is taken from an earlier run
    done = inspect("--arch", architecture, "--json")
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert {(f["problem"].split(",")[0].split(" ")[0], f["direction"]) for f in found} == {
        ("attention", "forward"), ("attention", "backward"), ("bias_gelu", "forward"), ("bias_gelu", "backward"),
        ("geglu", "forward"), ("geglu", "backward"), ("layer_norm", "forward"), ("layer_norm", "backward"),
        ("linear_cross_entropy", "forward"), ("rms_norm", "forward"), ("rms_norm", "backward"),
        ("rope", "forward"), ("rope", "backward"), ("swiglu", "forward"), ("swiglu", "backward"),
    }  # fmt: skip
    for f in found:
        what, made = f"{f['kernel']} of {f['problem']}, {f['direction']}: {f['compiled']}", f["compiled"]
        assert made["shared_bytes"] <= ARCHITECTURES[architecture], what
        assert made["spilled_bytes"] <= (8 if architecture == "sm_80" else 0), what
        assert made["blocks_per_sm"] >= 1, what
        assert f["why"], what
        instruction = made["matrix_instruction"]
        if f["kernel"] in MATRIX_KERNELS and f["problem"].startswith(("attention", "linear_cross_entropy")):
            allowed = {"sm_90": {"mma.sync", "wgmma"}}.get(architecture, {"mma.sync"})
            assert instruction in (allowed if f["problem"].endswith("bf16") else {""}), what  # fp32 has no such unit
        else:
            assert instruction == "", what
        assert made["vector_bytes"] == 16, what


def test_the_table_and_the_step_model_are_printed():
    done = inspect("--only", "rms_norm 65,536 x 768")
    assert done.returncode == 0, done.stderr
    assert "rms_norm 65,536 x 768 bf16, forward: 604 MB; at best 0.337 ms on an RTX 5090" in done.stdout
    assert "16 B loads" in done.stdout
    assert "Published for the former: 207,135 tokens/s measured" in done.stdout


def test_it_says_why_it_cannot_compile(monkeypatch):
    command = [sys.executable, "-P", "-m", "tinyscale_kernels.inspect"]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "TRITON_INTERPRET is set; unset it" in done.stderr
