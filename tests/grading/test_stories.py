import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from tinyscale.grading import stories as telling
from tinyscale.grading.prompts import load_prompts
from tinyscale.grading.stories import read_stories, settings_match, tell, write_stories
from tinyscale.model.presets import preset_defaults
from tinyscale.model.sample import generate
from tinyscale.model.store import load_model, save_model
from tinyscale.model.transformer import Transformer
from tinyscale.spec import Grading, ModelConfig, Story, digest

PROMPTS = load_prompts("builtin")[:5]
GRADING = Grading(completions=3, max_tokens=40, seed=7)
SIZES = {"vocab_size": 257, "hidden_size": 24, "num_layers": 2, "num_heads": 4, "num_kv_heads": 2,
         "intermediate_size": 37, "context_length": 48}  # fmt: skip


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model over bytes that ends some of its stories."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("models")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: index for index, token in enumerate(["<|endoftext|>", *alphabet])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = ModelConfig(**{"preset": "llama", **preset_defaults("llama"), **SIZES})  # type: ignore[arg-type]
    model = Transformer(config)
    with torch.no_grad():
        model.token_embedding.weight.mul_(6)
    save_model(folder / "model", config, model.state_dict(), folder / "tokenizer.json")
    return folder / "model"


@pytest.fixture(scope="module")
def told(model_folder: Path) -> list[Story]:
    return tell(model_folder, PROMPTS, GRADING, name="tiny")


def test_stories_are_the_models_own(model_folder: Path, told: list[Story]) -> None:
    """Each equals what the one-text generator draws with its seed."""
    model, tokenizer = load_model(model_folder), Tokenizer.from_file(str(model_folder / "tokenizer.json"))
    assert [(s.prompt_id, s.sample) for s in told] == [(p.id, sample) for p in PROMPTS for sample in range(3)]
    for story in told:
        start = torch.tensor([0, *tokenizer.encode(story.prompt).ids])
        tokens = list(generate(model, start, 40, seed=story.seed, eos=0))
        assert story.stop == ("end" if tokens[-1] == 0 else "length")
        text = tokens[:-1] if tokens[-1] == 0 else tokens
        assert (story.tokens, story.completion) == (len(text), tokenizer.decode(text))
    assert {story.stop for story in told} == {"end", "length"}
    weights = sha256((model_folder / "model.safetensors").read_bytes()).hexdigest()
    assert {(s.model, s.model_digest, s.kind, s.max_tokens) for s in told} == {("tiny", weights, "model", 40)}
    assert len({s.seed for s in told}) == len({s.id for s in told}) == 15


def test_more_prompts_and_completions_change_no_story(
    model_folder: Path, told: list[Story], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "ROWS", 5)
    more = tell(model_folder, load_prompts("builtin")[:8], replace(GRADING, completions=4), name="tiny")
    assert [s for s in more if s.prompt_id in {p.id for p in PROMPTS} and s.sample < 3] == told
    other = tell(model_folder, PROMPTS[:1], replace(GRADING, seed=8), name="tiny")
    assert not {s.seed for s in other} & {s.seed for s in told}


def test_the_file_gives_them_back_and_their_settings_are_known(tmp_path: Path, told: list[Story]) -> None:
    write_stories(tmp_path / "stories.jsonl", told)
    back = read_stories(tmp_path / "stories.jsonl")
    assert back == told
    assert [path.name for path in tmp_path.iterdir()] == ["stories.jsonl"]
    weights = told[0].model_digest
    assert settings_match(back, GRADING, PROMPTS, weights)
    assert settings_match(back, replace(GRADING, budget_usd=9), PROMPTS, weights)
    for changes in ({"seed": 8}, {"completions": 2}, {"completions": 4}, {"temperature": 0.5}, {"max_tokens": 41}):
        assert not settings_match(back, replace(GRADING, **changes), PROMPTS, weights)
    assert not settings_match(back, GRADING, PROMPTS[1:], weights)
    assert not settings_match(back, GRADING, [replace(PROMPTS[0], text="x"), *PROMPTS[1:]], weights)
    assert not settings_match(back, GRADING, PROMPTS, digest("another model"))


def test_stories_from_elsewhere_need_a_prompt_and_a_completion(tmp_path: Path) -> None:
    path = tmp_path / "gpt-9.jsonl"
    lines = [{"prompt": "A cat", "completion": " sat."}] * 2 + [
        {"prompt": "A dog", "completion": " ran.", "model": "gpt-8", "stop": "length"}
    ]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n\n", encoding="utf-8")
    first, second, third = read_stories(path)
    assert (first.model, first.model_digest, first.kind, first.stop) == ("gpt-9", "", "model", "end")
    assert first.prompt_id == second.prompt_id != third.prompt_id
    assert (first.sample, second.sample, third.sample) == (0, 1, 0)
    assert (third.model, third.stop) == ("gpt-8", "length")
    assert len({first.id, second.id, third.id}) == 3


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"prompt": "A cat"', "not JSON"),
        ('"A cat"', "an object with a prompt and a completion"),
        ('{"prompt": "A cat"}', "an object with a prompt and a completion"),
        ('{"prompt": "A cat", "completion": null}', "completion: None is not a text"),
        ('{"prompt": "A cat", "completion": "", "sample": 1.5}', "sample: 1.5 is not a whole number"),
        ('{"prompt": "A cat", "completion": "", "temperature": true}', "temperature: True is not a number"),
        ('{"prompt": "A cat", "completion": "", "kind": "human"}', "kind: 'human' is not one of model, reference"),
        ('{"prompt": "A cat", "completion": "", "grade": 9}', "unknown field 'grade'"),
        ('{"prompt": "A hen", "completion": "", "sample": 0}', "the same story as on line 1"),
    ],
)
def test_what_is_wrong_with_a_line_is_said(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text('{"prompt": "A hen", "completion": ""}\n\n' + line)
    with pytest.raises(ValueError, match=rf"s.jsonl:3: .*{words}"):
        read_stories(path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.write_text("\n"), "holds no story"),
        (lambda path: path.write_bytes(b"\xff{"), "not UTF-8"),
    ],
)
def test_a_file_without_stories_is_refused(tmp_path: Path, make: Callable[[Path], object], words: str) -> None:
    make(tmp_path / "s.jsonl")
    with pytest.raises(ValueError, match=words):
        read_stories(tmp_path / "s.jsonl")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no model.safetensors; give the folder of a finished model"):
        tell(tmp_path, PROMPTS, GRADING, name="none")
