"""Models that transformers and llama2.c wrote, taken in: the same numbers, the same tokens, nothing executed."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tinyscale.data.tokenizer import begin_of_text_id, decode_continuation, end_of_text_id, load_tokenizer
from tinyscale.grading.stories import tell
from tinyscale.model.store import load_model
from tinyscale.promote.imports.foreign import default_name, read_foreign
from tinyscale.promote.imports.write import SENTENCE, check_name, write_import
from tinyscale.results.store import TrialFolder
from tinyscale.spec import Grading, ImportedModel, Prompt, read_json

TEXT = ["Once upon a time there was a cat.", 'The cat said, "Hello!" to the dog.', "They played in the park.\nThe end."]
CONTEXT, WIDTH = 48, 24


def byte_level(end: str) -> Tokenizer:
    """As GPT-2's: bytes and merges, the end last."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TEXT * 3, trainer)
    tokenizer.add_special_tokens([end])
    return tokenizer


def sentencepiece() -> Tokenizer:
    """As Llama 2's: a space in front, byte fallback, <s> before each text and </s> after it."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=330, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(TEXT * 3, trainer)
    made = json.loads(tokenizer.to_str())
    made["added_tokens"] = made["added_tokens"][:3]
    tokenizer = Tokenizer.from_str(json.dumps(made))
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def save(folder: Path, kind: str, tokenizer: Tokenizer, **fields: Any) -> Any:
    """A model of random weights and its tokenizer, as transformers saves them."""
    import transformers

    special = fields.pop("special")
    shard = fields.pop("max_shard_size", "5GB")
    rows = tokenizer.get_vocab_size() + fields.pop("padding", 0)
    config_class, model_class = {
        "gpt2": (transformers.GPT2Config, transformers.GPT2LMHeadModel),
        "gpt_neo": (transformers.GPTNeoConfig, transformers.GPTNeoForCausalLM),
        "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
    }[kind]
    sizes = {
        "gpt2": {"n_embd": WIDTH, "n_layer": 2, "n_head": 2, "n_positions": CONTEXT},
        "gpt_neo": {"hidden_size": WIDTH, "num_layers": 2, "num_heads": 2, "max_position_embeddings": CONTEXT,
                    "attention_types": [[["global", "local"], 1]], "window_size": 9},
        "llama": {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
                  "intermediate_size": 40, "max_position_embeddings": CONTEXT},
    }[kind]  # fmt: skip
    torch.manual_seed(0)
    model = model_class(config_class(vocab_size=rows, **sizes, **fields)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.2)
    model.save_pretrained(folder, max_shard_size=shard)
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    return model


def gpt2(folder: Path, **fields: Any) -> Any:
    ids = {"bos_token_id": None, "eos_token_id": None} | fields
    return save(folder, "gpt2", byte_level("<|endoftext|>"), special={"eos_token": "<|endoftext|>"}, **ids)


def gpt_neo(folder: Path) -> Any:
    """Rows for more tokens than there are, and an end that has another name."""
    tokenizer = byte_level("<EOS>")
    end = tokenizer.token_to_id("<EOS>")
    special = {"eos_token": "<EOS>", "bos_token": "<EOS>"}
    return save(folder, "gpt_neo", tokenizer, special=special, padding=7, bos_token_id=end, eos_token_id=end)


def llama(folder: Path, **fields: Any) -> Any:
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return save(folder, "llama", sentencepiece(), special=special, tie_word_embeddings=False, **fields)


def llama_in_shards(folder: Path) -> Any:
    model = llama(folder, max_shard_size="40KB", eos_token_id=[2, 0])
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    return model


def gpt2_of_merges(folder: Path) -> Any:
    """The tokenizer as vocabulary and merges alone; the config names an end that the tokenizer has not."""
    model = gpt2(folder, bos_token_id=50_256, eos_token_id=50_256)
    Tokenizer.from_file(str(folder / "tokenizer.json")).model.save(str(folder))
    vocab = json.loads((folder / "vocab.json").read_text())
    vocab["<|endoftext|>"] = len(vocab)
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "tokenizer.json").unlink()
    rewrite(folder / "tokenizer_config.json", tokenizer_class="GPT2Tokenizer")
    return model


def take_in(source: Path, to: Path) -> ImportedModel:
    return write_import(read_foreign(str(source)), TrialFolder(to), "theirs")


@pytest.mark.parametrize(
    ("make", "begin", "end"),
    [
        (gpt2, "<|endoftext|>", "<|endoftext|>"),
        (gpt2_of_merges, "<|endoftext|>", "<|endoftext|>"),
        (gpt_neo, "<EOS>", "<EOS>"),
        (llama, "<s>", "</s>"),
        (llama_in_shards, "<s>", "</s>"),
    ],
)
def test_an_imported_model_computes_and_reads_as_transformers_has_it(
    make: Any, begin: str, end: str, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    theirs = make(tmp_path / "theirs")
    their_tokenizer = AutoTokenizer.from_pretrained(tmp_path / "theirs")
    imported = take_in(tmp_path / "theirs", tmp_path / "ours")
    assert {path.name for path in tmp_path.iterdir()} == {"theirs", "ours"}, "nothing half written is left"
    assert (imported.format, imported.source) == ("hf", str(tmp_path / "theirs"))
    assert imported == read_json(ImportedModel, tmp_path / "ours" / "import.json")
    assert imported.params_total == sum(weight.numel() for weight in theirs.parameters())

    ours = load_model(tmp_path / "ours" / "model")
    tokens = torch.randint(theirs.config.vocab_size, (2, CONTEXT), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens), theirs(tokens).logits, rtol=1e-4, atol=1e-4)

    tokenizer = load_tokenizer(tmp_path / "ours" / "model" / "tokenizer.json")
    for text in (*TEXT, SENTENCE, "Zoë 🐈"):
        assert tokenizer.encode(text).ids == their_tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(tokenizer.encode(text).ids) == text
    ids = their_tokenizer.get_vocab()
    assert (begin_of_text_id(tokenizer), end_of_text_id(tokenizer)) == (ids[begin], ids[end])


def test_a_story_begins_and_ends_with_the_models_own_tokens(tmp_path: Path) -> None:
    """And what it tells goes on after the prompt with the space that its tokenizer takes off the front of a text."""
    llama(tmp_path / "theirs")
    take_in(tmp_path / "theirs", tmp_path / "ours")
    model = tmp_path / "ours" / "model"
    tokenizer = load_tokenizer(model / "tokenizer.json")
    prompt, more = "Once upon a", tokenizer.encode("time there").ids
    assert decode_continuation(tokenizer, [1, *tokenizer.encode(prompt).ids], more) == " time there"
    (story,) = tell(
        model, [Prompt(id="p", text=prompt)], Grading(completions=1, max_tokens=20, temperature=0.0), name="x"
    )
    ids = [1, *tokenizer.encode(prompt).ids]
    ours = load_model(model)
    with torch.no_grad():
        for _ in range(story.tokens):
            ids.append(int(ours(torch.tensor([ids]))[0, -1].argmax()))
    assert tokenizer.decode(ids) == prompt + story.completion


def test_tokens_change_names_and_nothing_is_added_cut_or_padded(tmp_path: Path) -> None:
    """An end of another name takes ours, and the token that had it takes that name: no id moves."""
    tokenizer = byte_level("<|endoftext|>")
    tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    ids = tokenizer.get_vocab()
    special = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}
    save(tmp_path / "theirs", "llama", tokenizer, special=special, bos_token_id=None, eos_token_id=None)
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=99)
    tokenizer.save(str(tmp_path / "theirs" / "tokenizer.json"))
    take_in(tmp_path / "theirs", tmp_path / "ours")
    ours = load_tokenizer(tmp_path / "ours" / "model" / "tokenizer.json")
    assert ours.token_to_id("<|endoftext|>") == ids["<|im_end|>"]
    assert ours.token_to_id("<|beginoftext|>") == ids["<|im_start|>"]
    assert ours.token_to_id("<|im_end|>") == ids["<|endoftext|>"]
    assert (ours.truncation, ours.padding) == (None, None)
    assert len(ours.encode(SENTENCE).ids) > 5


def test_ids_that_transformers_made_up_are_not_believed(tmp_path: Path) -> None:
    """A LlamaConfig says 1 and 2 where nobody said otherwise; here those are letters."""
    tokenizer = byte_level("<|endoftext|>")
    save(tmp_path / "theirs", "llama", tokenizer, special={"eos_token": "<|endoftext|>"})
    assert json.loads((tmp_path / "theirs" / "config.json").read_text())["eos_token_id"] == 2
    take_in(tmp_path / "theirs", tmp_path / "ours")
    ours = load_tokenizer(tmp_path / "ours" / "model" / "tokenizer.json")
    assert begin_of_text_id(ours) == end_of_text_id(ours) == tokenizer.token_to_id("<|endoftext|>")


def test_the_same_again_changes_nothing_and_another_model_is_refused(tmp_path: Path) -> None:
    gpt2(tmp_path / "one")
    gpt_neo(tmp_path / "other")
    first = take_in(tmp_path / "one", tmp_path / "ours")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "ours").rglob("*")}
    assert take_in(tmp_path / "one", tmp_path / "ours") == first
    with pytest.raises(ValueError, match=rf"holds another model, of {tmp_path / 'one'}; give this one another name"):
        take_in(tmp_path / "other", tmp_path / "ours")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "ours").rglob("*")} == times
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(ValueError, match="is no empty folder and holds no imported model"):
        take_in(tmp_path / "one", tmp_path / "full")


def rewrite(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def without_end(folder: Path) -> None:
    tokenizer = byte_level("<stop>")
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").unlink()


def larger_tokenizer(folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_special_tokens(["<one more>"])
    tokenizer.save(str(folder / "tokenizer.json"))


def lower_case(folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.save(str(folder / "tokenizer.json"))


def without_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (pickled, r"pytorch_model\.bin: pickled weights can run any code"),
        (lambda folder: rewrite(folder / "config.json", auto_map={"AutoModelForCausalLM": "evil.EvilModel"}),
         r"config\.json: asks for code of its own \(auto_map: evil\.EvilModel\).*never run"),
        (lambda folder: rewrite(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Tokenizer", None]}),
         r"tokenizer_config\.json: asks for code of its own \(auto_map: evil\.Tokenizer\)"),
        (lambda folder: rewrite(folder / "config.json", model_type="mamba"), r"config\.json: model_type='mamba'"),
        (lambda folder: (folder / "config.json").write_text("[]"), r"config\.json: holds a JSON list, not an object"),
        (lambda folder: (folder / "config.json").write_text("[" * 99_999), r"config\.json: can't be read as JSON"),
        (lambda folder: (folder / "config.json").unlink(), "holds no config.json: give the folder"),
        (lambda folder: (folder / "tokenizer.json").write_text('{"model": 7}'), "not a tokenizer"),
        (without_tokenizer, "neither tokenizer.json nor vocab.json with merges.txt"),
        (without_end, "no token ends a text: give eos_token_id in generation_config.json"),
        (larger_tokenizer, r"the tokenizer has a token of id \d+, and the model \d+ rows"),
        (lower_case, "its tokenizer makes 'once upon a time"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_in_is_named(spoil: Any, words: str, tmp_path: Path) -> None:
    gpt2(tmp_path / "theirs")
    spoil(tmp_path / "theirs")
    with pytest.raises(ValueError, match=words):
        take_in(tmp_path / "theirs", tmp_path / "ours")
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"source": "no where at all"}, "no file or folder .*, and no id of the hub, which reads owner/name"),
        ({"source": "model.pt"}, r"model\.pt: a pickle runs whatever code it holds"),
        ({"source": "model.onnx"}, r"give a llama2\.c \.bin with --tokenizer"),
        ({"source": "model.bin"}, r"keeps its tokenizer apart: give --tokenizer tokenizer\.bin"),
        ({"source": "folder", "revision": "main"}, "--revision goes with an id of the hub"),
        ({"source": "folder", "tokenizer": Path("t.bin")}, r"--tokenizer goes with a llama2\.c \.bin"),
        ({"source": "folder"}, "holds a model of tinyscale's own"),
    ],
)
def test_a_source_that_is_none_is_told_apart(
    words: dict[str, Any], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("model.pt", "model.onnx", "model.bin"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "config.json").write_text('{"preset": "llama"}')
    with pytest.raises(ValueError, match=expected):
        read_foreign(**words)


def test_names_are_those_of_folders_and_no_trials(tmp_path: Path) -> None:
    (tmp_path / "stories15M.bin").touch()
    assert default_name("roneneldan/TinyStories-33M") == "TinyStories-33M"
    assert default_name(str(tmp_path / "stories15M.bin")) == "stories15M"
    check_name("TinyStories-33M", ["d16-L2"])
    for name in ("", "../x", ".hidden", "a b", "x" * 81):
        with pytest.raises(ValueError, match="letters, digits"):
            check_name(name, ())
    with pytest.raises(ValueError, match="a trial of the study is named d16-L2"):
        check_name("d16-L2", ["d16-L2"])


@pytest.mark.parametrize("version", [0, 1])
def test_a_llama2c_model_is_taken_in_with_its_tokenizer(version: int, tmp_path: Path) -> None:
    from tinyscale.data.llama2c_tokenizer import llama2c_order, write_llama2c_tokenizer
    from tinyscale.model.llama2c import write_llama2c

    llama(tmp_path / "theirs", rope_theta=10_000.0, rms_norm_eps=1e-5)
    foreign = read_foreign(str(tmp_path / "theirs"))
    write_llama2c(tmp_path / "model.bin", foreign.config, foreign.state, version=version)
    tokenizer = json.loads(byte_level("<|endoftext|>").to_str())
    order = llama2c_order(tokenizer)
    rows = len(order)
    fits = replace(foreign.config, vocab_size=rows)
    state = {name: tensor[:rows] if len(tensor) == foreign.config.vocab_size else tensor
             for name, tensor in foreign.state.items()}  # fmt: skip
    write_llama2c(tmp_path / "model.bin", fits, state, version=version)
    write_llama2c_tokenizer(tmp_path / "tokenizer.bin", tokenizer, order)
    back = read_foreign(str(tmp_path / "model.bin"), tokenizer=tmp_path / "tokenizer.bin")
    imported = write_import(back, TrialFolder(tmp_path / "ours"), "stories")
    assert (imported.format, imported.source) == ("llama2c", str(tmp_path / "model.bin"))
    ours = load_model(tmp_path / "ours" / "model").state_dict()
    assert ours.keys() == state.keys()
    assert all(torch.equal(ours[name], tensor) for name, tensor in state.items())
    assert end_of_text_id(load_tokenizer(tmp_path / "ours" / "model" / "tokenizer.json")) == 1


def upload(hub: Any, repo: str, folder: Path, *also: str) -> str:
    files = {path.name: path.read_bytes() for path in folder.iterdir()} | dict.fromkeys(also, b"not to be fetched")
    made = hub.make(repo, private=False)
    return made.write("model", {name: (data, False) for name, data in files.items()}, author="who")


def test_a_hub_id_brings_the_allowed_files_of_one_commit(hub: Any, tmp_path: Path) -> None:
    gpt2(tmp_path / "theirs")
    commit = upload(hub, "who/tales", tmp_path / "theirs", "pytorch_model.bin", "README.md", "onnx/model.safetensors",
                    "model.fp16.safetensors", "modeling.py")  # fmt: skip
    said: list[str] = []
    foreign = read_foreign("who/tales", progress=said.append)
    assert foreign.source == f"who/tales@{commit}"
    assert said == [f"model who/tales at commit {commit}"]
    fetched = {entry["path"].partition(f"/resolve/{commit}/")[2] for entry in hub.asked("resolve")}
    assert fetched == {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
                       "model.safetensors"}  # fmt: skip
    local = read_foreign(str(tmp_path / "theirs"))
    assert all(torch.equal(foreign.state[name], tensor) for name, tensor in local.state.items())
    assert (foreign.config, foreign.tokenizer) == (local.config, local.tokenizer)


def test_weights_are_not_fetched_for_a_config_that_cannot_be_read(hub: Any, tmp_path: Path) -> None:
    gpt2(tmp_path / "theirs")
    rewrite(tmp_path / "theirs" / "config.json", model_type="mamba")
    upload(hub, "who/tales", tmp_path / "theirs")
    with pytest.raises(ValueError, match=r"who/tales: no file or folder here, so taken for an id .*model_type='mamba'"):
        read_foreign("who/tales")
    assert not [entry for entry in hub.asked("resolve") if "safetensors" in entry["path"]]


def test_a_repository_of_pickles_says_where_safetensors_may_be(hub: Any, tmp_path: Path) -> None:
    gpt2(tmp_path / "theirs")
    pickled(tmp_path / "theirs")
    upload(hub, "who/tales", tmp_path / "theirs")
    with pytest.raises(ValueError, match=r"holds pytorch_model\.bin and no model\.safetensors: .*refs/pr/NUMBER"):
        read_foreign("who/tales")
    with pytest.raises(ValueError, match="has no public repository 'who/nobody'"):
        read_foreign("who/nobody")


def test_importing_it_loads_neither_torch_nor_the_hubs_client() -> None:
    heavy = {"torch", "huggingface_hub", "transformers"}
    code = f"import sys, tinyscale.promote.imports.write; assert not {heavy} & {{*sys.modules}}"
    subprocess.run([sys.executable, "-P", "-c", code], check=True, timeout=60)
