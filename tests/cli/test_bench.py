"""`tinyscale bench train`: the rivals compute the same, and what is missing is said."""

import json
import sys
from dataclasses import replace

import pytest
import torch

from tinyscale.cli import main
from tinyscale.train.bench import MODELS, compare, learnable_batch
from tinyscale.train.device import Device, pick_device
from tinyscale.train.variants import Variant, make_step

CPU = Device(torch.device("cpu"), "fp32", "a CPU")


@pytest.fixture
def tinyscale(monkeypatch, capsys):
    """Run the command line; its exit code and what it said."""

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["tinyscale", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture(autouse=True)
def undo():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


def test_all_train_alike_and_their_losses_are_printed(tinyscale, tmp_path):
    out = tmp_path / "timings.jsonl"
    variants = "plain,transformers,ours,ours-zero,ours-bf16"
    options = ("--models", "tiny", "--variants", variants, "--rounds", 3, "--threads", 1, "--out", out)
    code, said, complaints = tinyscale("bench", "train", *options)
    assert (code, complaints) == (0, "")
    timings = [json.loads(line) for line in out.read_text().splitlines()]
    assert [timing["variant"] for timing in timings] == variants.split(",")
    for timing in timings:
        assert (len(timing["seconds"]), len(timing["losses"])) == (3, 5)
        rounding = 1e-3 if "bf16" in timing["variant"] else 1e-5
        assert timing["losses"] == pytest.approx(timings[0]["losses"], rel=rounding)
        assert f"{timing['losses'][-1]:.4f}" in said
    assert "ours-zero takes" in said
    assert "the loader takes" in said


def test_a_variant_that_cannot_run_here_is_left_out_with_a_word(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.setitem(sys.modules, "tinyscale.train.zero", None)
    monkeypatch.setenv("CXX", "no-such-compiler")
    timings = compare("tiny", ["transformers", "ours-zero", "plain-compiled", "plain"], 1, pick_device("fp32"))
    assert [bool(timing.seconds) for timing in timings] == [False, False, False, True]
    reasons = [timing.left_out for timing in timings[:3]]
    assert reasons[0] == "transformers is not installed here"
    assert reasons[1].endswith("is not installed here")
    assert reasons[2].startswith("there is no C++ compiler no-such-compiler")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--models", "huge"), "there is no model 'huge'; choose among 0.2m, 0.9m, 7m"),
        (("--variants", "theirs"), "variant 'theirs' begins with none of plain, transformers and ours"),
        (("--variants", "plain-zero"), "variant 'plain-zero': 'zero' is none of compiled, fp32, bf16"),
    ],
)
def test_unknown_words_are_refused(tinyscale, options, words):
    code, _, complaints = tinyscale("bench", "train", *options)
    assert code == 2
    assert words in complaints


@pytest.mark.parametrize("name", ["gpt2-124m", "gptneo-41m", "llama-260k"])
def test_the_plain_model_computes_every_public_shape(name):
    """Small, with a window that is shorter than the text: losses and what two steps make of them."""
    config = replace(MODELS[name][0], vocab_size=64, hidden_size=32, num_layers=2, num_heads=4, intermediate_size=48,
                     num_kv_heads=2 if name == "llama-260k" else 4, context_length=24)  # fmt: skip
    if config.sliding_window:
        config = replace(config, sliding_window=5)
    batches = [learnable_batch(config, 2, index, CPU) for index in range(3)]
    losses = [
        [step(batch) for batch in batches]
        for step in (make_step(Variant.parse(who), config, 2, CPU) for who in ("plain", "transformers", "ours"))
    ]
    assert losses[0] == pytest.approx(losses[2], rel=1e-5)
    assert losses[1] == pytest.approx(losses[2], rel=1e-5)
