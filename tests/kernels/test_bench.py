"""The benchmark runs through, interpreted, on a machine without a card; its times mean nothing there."""

import json
import os
import subprocess
import sys

import torch


def bench(*arguments, **environment):
    command = [sys.executable, "-P", "-m", "tinyscale_kernels.bench", *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def test_ops_are_measured_against_their_rival(tmp_path):
    out = tmp_path / "timings.jsonl"
    options = ["--only", "x 64 fp32", "--rows", "32", "--rounds", "1", "--rivals", "eager", "--out", str(out)]
    done = bench(*options, TRITON_INTERPRET="1")
    assert done.returncode == 0, done.stderr
    timings = [json.loads(line) for line in out.read_text().splitlines()]
    assert {timing["rival"] for timing in timings} == {"ours", "eager"}
    assert {timing["problem"].split(" ")[0] for timing in timings} == {"rms_norm", "layer_norm"}
    assert {timing["direction"] for timing in timings} == {"forward", "both"}
    assert all(timing["median_s"] > 0 for timing in timings)


def test_without_a_card_it_says_so():
    if torch.cuda.is_available():
        return
    done = bench()
    assert done.returncode == 2
    assert "nothing to measure: the device is a CPU" in done.stderr
