"""The files of public systems: what an export of one must weigh, and who must be able to read it."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import AddedToken, models
from tokenizers.pre_tokenizers import ByteLevel

from tinyscale.data.text import END_OF_TEXT
from tinyscale.data.tokenizer import GPT2_VOCAB_SIZE, byte_level
from tinyscale.model.store import save_model
from tinyscale.model.transformer import Transformer
from tinyscale.plan.planner import make_plan
from tinyscale.promote.exports.prove import OFFLINE
from tinyscale.promote.exports.write import export_model
from tinyscale.spec.load import load_study

GPT2_124M = Path(__file__).parents[2] / "studies" / "gpt2_124m.yaml"
LOAD = """
import sys, torch
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype="auto")
assert model.lm_head.weight.data_ptr() == model.transformer.wte.weight.data_ptr()
assert not torch.equal(model.transformer.wte.weight[0], model.transformer.wte.weight[1])
print(type(model).__name__, sum(weight.numel() for weight in model.parameters()), {w.dtype for w in model.parameters()})
"""


def gpt2_tokenizer(path: Path) -> Path:
    """A tokenizer of GPT-2's size, with merges of our own."""
    bytes_ = sorted(ByteLevel.alphabet())
    merges = [(left, right) for left in bytes_ for right in bytes_][: GPT2_VOCAB_SIZE - 257]
    tokens = [*bytes_, *(left + right for left, right in merges), END_OF_TEXT]
    tokenizer = byte_level(models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges))
    tokenizer.add_special_tokens([AddedToken(END_OF_TEXT, special=True)])
    path.write_text(tokenizer.to_str(), encoding="utf-8")
    return path


@pytest.mark.slow
def test_gpt2_124m_exports_the_published_file(tmp_path: Path) -> None:
    """The card's file has 248,894,656 bytes: 124,439,808 parameters of two bytes, no row of them padding, and a
    header of its writer's own."""
    (trial,) = make_plan(load_study(GPT2_124M), offline=True).trials
    config = trial.model
    model = Transformer(config)
    model.init_weights(0)
    save_model(tmp_path / "model", config, model.state_dict(), gpt2_tokenizer(tmp_path / "tokenizer.json"))
    del model
    export_model(tmp_path / "model", tmp_path / "hf", format="hf", dtype="bf16")
    weights = tmp_path / "hf" / "model.safetensors"
    with weights.open("rb") as file:
        (header_bytes,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(header_bytes))
    tensors = {name: told for name, told in header.items() if name != "__metadata__"}
    assert {told["dtype"] for told in tensors.values()} == {"BF16"}
    assert max(told["data_offsets"][1] for told in tensors.values()) == 248_879_616
    assert weights.stat().st_size == 8 + header_bytes + 248_879_616
    assert abs(weights.stat().st_size - 248_894_656) < 2_000
    assert tensors["transformer.wte.weight"]["shape"] == [50_257, 768]
    loaded = subprocess.run([sys.executable, "-I", "-c", LOAD, tmp_path / "hf"], env={**OFFLINE}, capture_output=True,
                            text=True, timeout=240, check=False)  # fmt: skip
    assert loaded.stdout == "GPT2LMHeadModel 124439808 {torch.bfloat16}\n", loaded.stderr
