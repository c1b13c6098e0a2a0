"""Exports, loaded by software that is not ours where there is one, and folders that are not to be overwritten."""

import dataclasses
import json
import os
import shutil
import struct
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import tinyscale.cli.exporting  # noqa: F401 - registers the verb
from tinyscale.cli.common import app
from tinyscale.data.llama2c_tokenizer import read_llama2c_tokenizer
from tinyscale.data.stories import generate_stories
from tinyscale.data.text import END_OF_TEXT
from tinyscale.model.hf_folder import HF_FILES, read_hf_folder, write_hf_folder
from tinyscale.model.llama2c import read_llama2c
from tinyscale.model.presets import preset_defaults
from tinyscale.model.sample import generate
from tinyscale.model.store import load_model, save_model
from tinyscale.model.transformer import Transformer
from tinyscale.promote.exports.prove import OFFLINE, prove_export
from tinyscale.promote.exports.write import export_model
from tinyscale.spec import ModelConfig

torch.set_num_threads(1)
STORIES = [story.text for story in generate_stories(3, 200)]
VOCAB_SIZE, CONTEXT = 300, 48


@pytest.fixture(scope="module")
def tokenizer_path(tmp_path_factory):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE, special_tokens=[END_OF_TEXT], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(STORIES, trainer)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@pytest.fixture(scope="module")
def build(tmp_path_factory, tokenizer_path):
    """The folder of a small model in which no bias is 0 and no norm is 1."""

    def make(preset="llama", **changes):
        config = ModelConfig(
            **{
                **preset_defaults(preset),
                "preset": preset,
                "vocab_size": VOCAB_SIZE,
                "hidden_size": 24,
                "num_layers": 3,
                "num_heads": 4,
                "num_kv_heads": 4,
                "intermediate_size": 37,
                "context_length": CONTEXT,
                "init_std": 0.5,
                **changes,
            }
        )
        model = Transformer(config)
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for weight in model.parameters():
                if weight.ndim == 1:
                    weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.3)
        folder = tmp_path_factory.mktemp("trial") / "model"
        save_model(folder, config, model.state_dict(), tokenizer_path)
        return folder

    return make


@pytest.fixture(scope="module")
def llama(build):
    return build(num_kv_heads=2, tie_embeddings=False)


PRESETS = {
    "gpt2": ({"tie_embeddings": False}, "fp32"),
    "gptneo": ({"sliding_window": 7, "vocab_size": VOCAB_SIZE + 20}, "fp32"),
    "llama": ({"num_kv_heads": 2, "rope_theta": 500.0}, "bf16"),
}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_fresh_process_with_transformers_computes_the_same(build, tmp_path, preset):
    """Beyond the context of 48 too: 256 greedy tokens. GPT-Neo has rows of the vocabulary that no token uses."""
    changes, dtype = PRESETS[preset]
    folder = build(preset, **changes)
    export_model(folder, tmp_path / "hf", format="hf", dtype=dtype)
    assert {path.name for path in (tmp_path / "hf").iterdir()} == HF_FILES
    weights = load_file(tmp_path / "hf" / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.float32 if dtype == "fp32" else torch.bfloat16}
    proof = prove_export(folder, tmp_path / "hf", STORIES[:5], dtype=dtype)
    assert proof.loader.startswith({"gpt2": "GPT2LMHeadModel", "gptneo": "GPTNeoForCausalLM"}.get(preset, "Llama"))
    assert proof.greedy_tokens == 256
    assert proof.bytes == sum(len(story.encode()) for story in STORIES[:5])
    assert 1e-5 * proof.bpb > abs(proof.bpb - proof.our_bpb)

    config, state = read_hf_folder(tmp_path / "hf")
    model = load_model(folder)
    assert config == model.config
    rounded = {
        name: weight.bfloat16().float() if dtype == "bf16" else weight for name, weight in model.state_dict().items()
    }
    assert all(torch.equal(state[name], weight) for name, weight in rounded.items())


def test_pipeline_tells_what_our_generate_tells(llama, tmp_path):
    """And nothing in the folder makes transformers warn."""
    export_model(llama, tmp_path / "hf", format="hf")
    script = (
        "import sys; from transformers import pipeline; tell = pipeline('text-generation', sys.argv[1]);"
        "tell('Once upon a time'); print(tell('Once upon a time', do_sample=False)[0]['generated_text'], end='')"
    )
    told = subprocess.run([sys.executable, "-I", "-c", script, tmp_path / "hf"], env=os.environ | OFFLINE,
                          capture_output=True, text=True, check=True)  # fmt: skip
    tokenizer = Tokenizer.from_file(str(llama / "tokenizer.json"))
    prompt = [0, *tokenizer.encode("Once upon a time").ids]
    ids = list(generate(load_model(llama), torch.tensor(prompt), CONTEXT - len(prompt), temperature=0, eos=0))
    assert told.stdout == tokenizer.decode([*prompt, *ids])
    assert "[transformers]" not in told.stderr
    assert "warn" not in told.stderr.lower()


def test_configs_are_for_transformers_4_and_5(llama, tmp_path):
    export_model(llama, tmp_path / "hf", format="hf", dtype="bf16")
    config, generation, tokenizer = (
        json.loads((tmp_path / "hf" / name).read_text())
        for name in ("config.json", "generation_config.json", "tokenizer_config.json")
    )
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 10_000.0
    assert config["torch_dtype"] == config["dtype"] == "bfloat16"
    for ids in (config, generation):
        assert [ids[f"{name}_token_id"] for name in ("bos", "eos", "pad")] == [0, 0, 0]
    assert (generation["temperature"], generation["top_p"], generation["top_k"]) == (0.8, 0.95, 0)
    assert generation["max_length"] == tokenizer["model_max_length"] == CONTEXT
    assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert not {"auto_map", "transformers_version"} & {*config, *tokenizer}


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("changes", [{}, {"num_kv_heads": 2, "tie_embeddings": False}], ids=str)
def test_llama2c_is_the_same_model_with_its_rows_moved(build, tmp_path, changes, version):
    folder = build(**changes)
    export_model(folder, tmp_path / "c", format="llama2c", version=version)
    proof = prove_export(folder, tmp_path / "c", STORIES[:5], dtype="fp32")
    assert (proof.greedy_tokens, proof.bytes) == (256, sum(len(story.encode()) for story in STORIES[:5]))
    config, state = read_llama2c(tmp_path / "c" / "model.bin")
    imported = tmp_path / "imported" / "model"
    imported.parent.mkdir()
    (tmp_path / "tokenizer.json").write_text(read_llama2c_tokenizer(tmp_path / "c" / "tokenizer.bin", VOCAB_SIZE))
    save_model(imported, config, state, tmp_path / "tokenizer.json")
    export_model(imported, tmp_path / "again", format="llama2c", version=version)
    for name in ("model.bin", "tokenizer.bin"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "c" / name).read_bytes()


def test_a_proof_names_what_differs(llama, tmp_path):
    export_model(llama, tmp_path / "c", format="llama2c")
    path = tmp_path / "c" / "model.bin"
    data = bytearray(path.read_bytes())
    data[40:44] = struct.pack("<f", 3.0)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"does not hold the weights of .*: token_embedding\.weight differs"):
        prove_export(llama, tmp_path / "c", STORIES[:2], dtype="fp32")
    with pytest.raises(ValueError, match="give at least one"):
        prove_export(llama, tmp_path / "c", [], dtype="fp32")


def test_a_fresh_process_finds_a_weight_that_was_changed(llama, tmp_path):
    export_model(llama, tmp_path / "hf", format="hf")
    weights = load_file(tmp_path / "hf" / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][0, 0] += 0.5
    save_file(weights, tmp_path / "hf" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"by LlamaForCausalLM of transformers .*, logits differ by up to \d"):
        prove_export(llama, tmp_path / "hf", STORIES[:2], dtype="fp32")


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({"norm": "none"}, {"format": "hf"}, r"norm=rms \(is none\)\. .*only a model folder of tinyscale"),
        ({"bias": True, "qkv_bias": True}, {"format": "llama2c"}, r"bias=False \(is True\)\. Export it as hf"),
        ({"vocab_size": 320}, {"format": "llama2c"}, "320 rows and its tokenizer 300 tokens; export it as hf"),
        ({}, {"format": "gguf"}, "format is 'gguf'; choose hf or llama2c"),
        ({}, {"format": "hf", "dtype": "fp16"}, "dtype is 'fp16'; choose fp32 or bf16"),
        ({}, {"format": "hf", "version": 1}, "hf has none"),
        ({}, {"format": "llama2c", "version": 2}, "version is 2"),
        ({}, {"format": "llama2c", "dtype": "bf16"}, "llama2.c has fp32 weights alone"),
    ],
    ids=str,
)
def test_what_a_format_has_not_is_refused_and_nothing_is_left(build, tmp_path, changes, options, words):
    with pytest.raises(ValueError, match=words):
        export_model(build(**changes), tmp_path / "to", **options)
    assert not any(tmp_path.iterdir())


def test_an_earlier_export_is_replaced_and_nothing_else(llama, build, tmp_path):
    export_model(build(), tmp_path / "hf", format="hf")
    export_model(llama, tmp_path / "hf", format="hf")
    assert read_hf_folder(tmp_path / "hf")[0] == load_model(llama).config
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]
    with pytest.raises(ValueError, match=r"something other than an earlier llama2c export \(config\.json"):
        export_model(llama, tmp_path / "hf", format="llama2c")
    (tmp_path / "hf" / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"earlier hf export \(notes\.txt\) and is left alone; give a new folder"):
        export_model(llama, tmp_path / "hf", format="hf")
    with pytest.raises(ValueError, match=r"no generation_config\.json"):
        export_model(llama, llama, format="hf")
    with pytest.raises(ValueError, match="is a file; give a new folder"):
        export_model(llama, llama / "config.json", format="hf")
    (tmp_path / "empty").mkdir()
    export_model(llama, tmp_path / "empty", format="llama2c")
    assert sorted(path.name for path in (tmp_path / "empty").iterdir()) == ["model.bin", "tokenizer.bin"]


def test_shards_are_read_as_one_file(llama, tmp_path):
    export_model(llama, tmp_path / "hf", format="hf")
    whole = read_hf_folder(tmp_path / "hf")
    weights = load_file(tmp_path / "hf" / "model.safetensors")
    (tmp_path / "hf" / "model.safetensors").unlink()
    names = sorted(weights)
    parts = {"model-00001-of-00002.safetensors": names[:9], "model-00002-of-00002.safetensors": names[9:]}
    for part, held in parts.items():
        save_file({name: weights[name].half() for name in held}, tmp_path / "hf" / part)
    index = {"weight_map": {name: part for part, held in parts.items() for name in held}}
    (tmp_path / "hf" / "model.safetensors.index.json").write_text(json.dumps(index))
    config, state = read_hf_folder(tmp_path / "hf")
    assert config == whole[0]
    assert all(torch.equal(state[name], weight.half().float()) for name, weight in whole[1].items())


def with_config(**changes):
    def change(folder):
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def with_weights(edit):
    def change(folder):
        weights = load_file(folder / "model.safetensors")
        edit(weights)
        save_file(weights, folder / "model.safetensors")

    return change


def with_index(name):
    def change(folder):
        (folder / "model.safetensors").rename(folder.parent / "model.safetensors")
        index = {"weight_map": {"model.norm.weight": name}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    return change


def cut(name, size):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


NORM = "model.norm.weight"
HOSTILE = {
    "no config": (lambda folder: (folder / "config.json").unlink(), "holds no config.json"),
    "cut config": (cut("config.json", 50), "not JSON"),
    "a list": (lambda folder: (folder / "config.json").write_text("[1]"), "not a JSON object"),
    "deep": (lambda folder: (folder / "config.json").write_text("[" * 100_000), "not JSON"),
    "class": (with_config(model_type=["llama"]), r"model_type=\['llama'\] can't be read"),
    "text": (with_config(hidden_size="24"), "config.json"),
    "fraction": (with_config(num_hidden_layers=3.5), "num_layers=3.5, which no model has"),
    "negative": (with_config(vocab_size=-1), "vocab_size=-1"),
    "no heads": (with_config(num_attention_heads=0), "of another kind"),
    "null": (with_config(rms_norm_eps=None), "norm_epsilon=None"),
    "switch": (with_config(tie_word_embeddings="no"), "tie_embeddings='no'"),
    "huge": (with_config(hidden_size=2**40, head_dim=None), "asks for"),
    "layers": (with_config(num_hidden_layers=10**12), r"no tensor 'model\.layers\.3\."),
    "cut weights": (cut("model.safetensors", 1000), "can't be read"),
    "huge header": (
        lambda folder: (folder / "model.safetensors").write_bytes(struct.pack("<Q", 2**60) + b"{}"),
        "can't be read",
    ),
    "shape": (with_weights(lambda w: w.update({NORM: w[NORM][:-1]})), r"has shape \(23,\).*asks for \(24,\)"),
    "missing": (with_weights(lambda w: w.pop(NORM)), "no tensor 'model.norm.weight'"),
    "unknown": (with_weights(lambda w: w.update(extra=torch.zeros(1))), "'model.extra' that"),
    "int8": (with_weights(lambda w: w.update({NORM: w[NORM].to(torch.int8)})), "is I8; F32, F16, BF16 are read"),
    "nan": (with_weights(lambda w: w[NORM].fill_(torch.nan)), "not finite"),
    "escape": (with_index("../model.safetensors"), r"'\.\./model\.safetensors' is no safetensors file of this folder"),
    "absolute": (with_index("/etc/passwd"), "is no safetensors file"),
    "lost shard": (with_index("other.safetensors"), "holds no other.safetensors"),
    "pickle": (
        lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
        r"only pytorch_model\.bin: pickled weights.*save_pretrained.*refs/pr/N",
    ),
    "nothing": (lambda folder: (folder / "model.safetensors").unlink(), "holds no model.safetensors and no"),
}


@pytest.fixture(scope="module")
def hf(llama, tmp_path_factory):
    export_model(llama, tmp_path_factory.mktemp("hf") / "hf", format="hf")
    return tmp_path_factory.getbasetemp() / "hf0" / "hf"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_folders_are_refused(hf, tmp_path, name):
    shutil.copytree(hf, tmp_path / "hf")
    change, words = HOSTILE[name]
    change(tmp_path / "hf")
    with pytest.raises(ValueError, match=words):
        read_hf_folder(tmp_path / "hf")


def test_a_tokenizer_with_a_begin_of_its_own_begins_texts_with_it(llama, tokenizer_path, tmp_path):
    tokenizer = json.loads(tokenizer_path.read_text())
    tokenizer["added_tokens"].append({**tokenizer["added_tokens"][0], "id": VOCAB_SIZE, "content": "<|beginoftext|>"})
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    model = load_model(llama)
    with pytest.raises(ValueError, match="an id of 300, but the model only 300 rows"):
        write_hf_folder(tmp_path, model.config, model.state_dict(), tmp_path / "tokenizer.json", dtype="fp32")
    config = dataclasses.replace(model.config, vocab_size=VOCAB_SIZE + 1)
    (tmp_path / "hf").mkdir()
    state = Transformer(config).state_dict()
    write_hf_folder(tmp_path / "hf", config, state, tmp_path / "tokenizer.json", dtype="fp32")
    read = Tokenizer.from_file(str(tmp_path / "hf" / "tokenizer.json"))
    assert read.encode("a").ids == [VOCAB_SIZE, *read.encode("a", add_special_tokens=False).ids]
    written = json.loads((tmp_path / "hf" / "config.json").read_text())
    assert (written["bos_token_id"], written["eos_token_id"]) == (VOCAB_SIZE, 0)


def test_the_verb_exports_and_proves(llama, tmp_path, capsys):
    words = ["export", str(llama), "--to", str(tmp_path / "c"), "--format", "llama2c"]
    app(words, standalone_mode=False)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert "256 greedy tokens" in lines[1]
    assert "20 built-in stories (the model's study is not known)" in lines[2]
    assert f"./run {tmp_path / 'c' / 'model.bin'} -z {tmp_path / 'c' / 'tokenizer.bin'}" in lines[3]
    with pytest.raises(ValueError, match="no finished model; give a trial's folder"):
        app(["export", str(tmp_path), "--to", str(tmp_path / "d")], standalone_mode=False)
