"""llama2.c's checkpoints: read by a C program of our own, compared with files written as its export.py writes them."""

import dataclasses
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from tinyscale.model.llama2c import read_llama2c, write_llama2c
from tinyscale.model.sample import generate
from tinyscale.model.transformer import Transformer

READER = Path(__file__).parent.parent / "promote" / "llama2c_reader.c"
SHAPES = [
    {},
    {"num_kv_heads": 2, "tie_embeddings": False},
    {"num_kv_heads": 1, "num_layers": 1, "hidden_size": 40, "context_length": 33},
    {"num_heads": 1, "num_kv_heads": 1, "vocab_size": 300, "tie_embeddings": False},
    {"num_heads": 12, "num_kv_heads": 4, "num_layers": 2},
]


def shaken(config):
    """A model in which no norm is 1, so that a forgotten or swapped one shows."""
    model = Transformer(config).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 1:
                weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.3)
    return model


def as_export_py_writes(path, config, state, version):
    """After llama2.c's export.py, independently: from our weights to Meta's names, then one list a version."""
    E, D, L = config.hidden_size, config.head_size, config.num_layers
    KV = config.num_kv_heads * D

    def pairs(rows):  # neighbours instead of halves
        out = torch.empty_like(rows)
        for head in range(len(rows) // D):
            for i in range(D // 2):
                out[head * D + 2 * i] = rows[head * D + i]
                out[head * D + 2 * i + 1] = rows[head * D + i + D // 2]
        return out

    layers = []
    for n in range(L):
        get = lambda name, n=n: state[f"blocks.{n}.{name}.weight"]  # noqa: E731
        qkv = get("attention.qkv")
        layers.append({
            "an": get("attention_norm"), "wq": pairs(qkv[:E]), "wk": pairs(qkv[E : E + KV]), "wv": qkv[E + KV :],
            "wo": get("attention.out"), "fn": get("mlp_norm"), "w1": get("mlp.gate"), "w2": get("mlp.down"),
            "w3": get("mlp.up"),
        })  # fmt: skip
    each = lambda name: [layer[name] for layer in layers]  # noqa: E731
    embedding, norm = state["token_embedding.weight"], state["final_norm.weight"]
    output = [] if config.tie_embeddings else [state["head.weight"]]
    frequencies = 1.0 / (10000.0 ** (torch.arange(0, D, 2)[: D // 2].float() / D))
    angles = torch.outer(torch.arange(config.context_length), frequencies).float()
    attention = [w for name in ("wq", "wk", "wv", "wo") for w in each(name)]
    mlp = [w for name in ("w1", "w2", "w3") for w in each(name)]
    sizes = [E, config.intermediate_size, L, config.num_heads, config.num_kv_heads, config.vocab_size]
    if version == 0:
        sizes[5] *= 1 if config.tie_embeddings else -1
        head = struct.pack("iiiiiii", *sizes, config.context_length)
        body = [embedding, *each("an"), *attention, *each("fn"), *mlp, norm, angles.cos(), angles.sin(), *output]
    else:
        head = struct.pack("Ii", 0x616B3432, 1) + struct.pack("iiiiiii", *sizes, config.context_length)
        head = (head + struct.pack("B", config.tie_embeddings)).ljust(256, b"\0")
        body = [*each("an"), *each("fn"), norm, embedding, *attention, *mlp, *output]
    path.write_bytes(head + b"".join(w.contiguous().numpy().astype(np.float32).tobytes() for w in body))


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    if shutil.which("gcc") is None:
        pytest.skip("no gcc")
    program = tmp_path_factory.mktemp("reader") / "llama2c_reader"
    subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-o", program, READER, "-lm"], check=True)
    return program


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("changes", SHAPES, ids=str)
def test_the_c_reader_tells_the_same(reader, make_config, tmp_path, changes, version):
    """To the end of the context, so that every position and the cache are in it. Large weights: few tokens repeat."""
    model = shaken(make_config(init_std=1.0, **changes))
    write_llama2c(tmp_path / "model.bin", model.config, model.state_dict(), version=version)
    prompt = [1, 7, 13]
    count = model.config.context_length - len(prompt) + 1
    words = [str(word) for word in (reader, "generate", tmp_path / "model.bin", count, *prompt)]
    told = [int(word) for word in subprocess.run(words, capture_output=True, check=True).stdout.split()]
    assert told == list(generate(model, torch.tensor(prompt), count, temperature=0))
    assert len(set(told)) > 5, "a text of few tokens would agree whatever the weights"


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("changes", SHAPES, ids=str)
def test_files_of_export_py_are_read_and_written_to_the_byte(make_config, tmp_path, changes, version):
    model = shaken(make_config(**changes))
    theirs, ours = tmp_path / "theirs.bin", tmp_path / "ours.bin"
    as_export_py_writes(theirs, model.config, model.state_dict(), version)
    config, state = read_llama2c(theirs)
    assert dataclasses.replace(config, init_std=model.config.init_std) == model.config
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(state[name], weight) for name, weight in model.state_dict().items())
    write_llama2c(ours, config, state, version=version)
    assert ours.read_bytes() == theirs.read_bytes()


def test_switches_that_llama2c_has_not_are_all_named(make_config, tmp_path):
    config = make_config("gpt2", sliding_window=4, scale_attention=False, norm_epsilon=1e-6, rope_theta=5e5)
    words = (
        r"norm=rms \(is layer\), norm_epsilon=1e-05 \(is 1e-06\), positions=rope \(is learned\), "
        r"mlp=swiglu \(is gelu\), qkv_bias=False \(is True\), bias=False \(is True\), sliding_window=0 \(is 4\), "
        r"scale_attention=True \(is False\), rope_theta=10000.0 \(is 500000.0\)\. Export it as hf"
    )
    with pytest.raises(ValueError, match=words):
        write_llama2c(tmp_path / "model.bin", config, Transformer(config).state_dict(), version=0)
    assert not any(tmp_path.iterdir())


def header(**changes):
    sizes = {"dim": 24, "hidden": 37, "layers": 3, "heads": 4, "kv": 4, "vocab": 61, "context": 24} | changes
    return struct.pack("<7i", *sizes.values())


HOSTILE = {
    "empty": (lambda data: b"", "0 bytes are too few"),
    "cut": (lambda data: data[:-1], "the file is cut"),
    "longer": (lambda data: data + b"\0\0\0\0", r"asks for [\d,]+"),
    "zeros": (lambda data: bytes(4096), "dim is 0"),
    "negative": (lambda data: header(hidden=-5) + data[28:], "hidden_dim is -5"),
    "huge": (lambda data: header(dim=65536, hidden=1 << 20, layers=4096, vocab=1 << 24) + data[28:], "asks for "),
    "too huge": (lambda data: header(layers=2**31 - 1) + data[28:], "n_layers is 2,147,483,647"),
    "smallest vocabulary": (lambda data: header(vocab=-(2**31)) + data[28:], "vocab_size is 2,147,483,648"),
    "heads": (lambda data: header(heads=5, kv=5) + data[28:], "num_heads=5 does not divide hidden_size=24"),
    "kv heads": (lambda data: header(kv=3) + data[28:], "num_kv_heads=3 does not divide num_heads=4"),
    "odd head": (lambda data: header(heads=8, kv=8) + data[28:], "odd head size of 3"),
    "nan": (lambda data: data[:28] + struct.pack("<f", float("nan")) + data[32:], "tok_embeddings holds numbers"),
    "inf": (lambda data: data[:-4] + struct.pack("<f", float("inf")), "sin holds numbers that are not finite"),
    "other theta": (lambda data: data[:-4] + struct.pack("<f", 0.9), "not that of theta 10,000"),
    "int8": (lambda data: struct.pack("<Ii", 0x616B3432, 2).ljust(300, b"\0"), r"version 2 of llama2.c \(int8"),
    "version 9": (lambda data: struct.pack("<Ii", 0x616B3432, 9).ljust(300, b"\0"), "version 9 .* is unknown"),
    "cut version 1": (lambda data: struct.pack("<Ii", 0x616B3432, 1).ljust(100, b"\0"), "100 bytes are too few"),
    "shared is 2": (
        lambda data: (struct.pack("<Ii", 0x616B3432, 1) + header() + b"\2").ljust(300, b"\0"),
        "bytes that must be zero are not",
    ),
    "zip": (lambda data: b"PK\x03\x04" + data, r"pickle.*python export\.py model\.bin --checkpoint"),
    "pickle": (lambda data: b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + data, "never read here"),
    "pickle 4": (lambda data: b"\x80\x04\x95\x10" + data, "never read here"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(make_config, tmp_path, name):
    path = tmp_path / "model.bin"
    config = make_config()
    write_llama2c(path, config, Transformer(config).state_dict(), version=0)
    change, words = HOSTILE[name]
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=words) as refused:
        read_llama2c(path)
    assert str(path) in str(refused.value)


def test_width_640_is_no_pickle(make_config, tmp_path):
    """Its legacy header begins with 80 02, as a pickle does."""
    config = make_config(hidden_size=640, num_layers=1)
    write_llama2c(tmp_path / "model.bin", config, Transformer(config).state_dict(), version=0)
    assert (tmp_path / "model.bin").read_bytes()[:2] == b"\x80\x02"
    assert read_llama2c(tmp_path / "model.bin")[0].hidden_size == 640


def test_weights_that_are_not_finite_are_not_written(make_config, tmp_path):
    model = Transformer(make_config())
    model.blocks[1].attention.qkv.weight.data[3, 3] = torch.nan
    with pytest.raises(ValueError, match="tensor wq holds numbers that are not finite"):
        write_llama2c(tmp_path / "model.bin", model.config, model.state_dict(), version=1)
    assert not (tmp_path / "model.bin").exists()
