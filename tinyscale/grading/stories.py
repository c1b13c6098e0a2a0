"""Stories told by a model, and their file: ``stories.jsonl``, one :class:`tinyscale.spec.Story` a line."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from tinyscale.grading.prompts import prompt_id
from tinyscale.spec import Grading, Prompt, Story, canonical, digest, from_json

if TYPE_CHECKING:
    from tinyscale.model.transformer import Transformer

ROWS = 64
"""Stories told side by side: twice 64 rows were no faster on a CPU."""
CACHE_BYTES = 2 * 2**30
"""Most that their keys and values may take; large models tell fewer side by side."""
SEED_DIGITS = 13
"""Hex digits of a seed: 52 bits, which a JSON reader of any language keeps."""

Asked = tuple[Prompt, int, int]
"""A story to tell: beginning, sample, seed."""


def tell(
    model_folder: Path, prompts: Sequence[Prompt], grading: Grading, *, name: str, device: str | None = None
) -> list[Story]:
    """``grading.completions`` stories a prompt, by the model of a folder; in the prompts' order.

    A story is drawn with a seed of its own, hashed from ``grading.seed``, the prompt's id and the sample, so more
    prompts or completions change none of those there were (see :func:`tinyscale.model.sample.generate_batch` for the
    fine print on rounding). The model reads the token that begins a text, and the beginning; what it ends by an end of
    text of its own has stop ``end``.

    :param name: of the model, for the stories.
    :param device: as torch names it; None: the current CUDA card where there is one, else the CPU.
    :raises ValueError: the folder holds no whole model.
    """
    import torch

    from tinyscale.data.tokenizer import begin_of_text_id, decode_continuation, end_of_text_id, load_tokenizer
    from tinyscale.model.sample import generate_batch
    from tinyscale.model.store import TOKENIZER, load_model, model_digest

    model = load_model(model_folder).to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    tokenizer = load_tokenizer(model_folder / TOKENIZER)
    begin, end = begin_of_text_id(tokenizer), end_of_text_id(tokenizer)
    weights = model_digest(model_folder)
    ids = {prompt.id: [begin, *tokenizer.encode(prompt.text).ids] for prompt in prompts}
    stories: dict[tuple[str, int], Story] = {}
    for batch in _batches(list(_asked(prompts, grading)), ids, _rows(model)):
        told = generate_batch(
            model,
            torch.tensor([ids[prompt.id] for prompt, _, _ in batch]),
            grading.max_tokens,
            temperature=grading.temperature,
            seeds=[seed for _, _, seed in batch],
            eos=end,
        )
        for (prompt, sample, seed), tokens in zip(batch, told, strict=True):
            ended = tokens[-1:] == [end]
            tokens = tokens[:-1] if ended else tokens
            stories[prompt.id, sample] = Story(
                model=name,
                model_digest=weights,
                prompt_id=prompt.id,
                prompt=prompt.text,
                completion=decode_continuation(tokenizer, ids[prompt.id], tokens),
                instruction=prompt.instruction,
                sample=sample,
                seed=seed,
                temperature=grading.temperature,
                max_tokens=grading.max_tokens,
                tokens=len(tokens),
                stop="end" if ended else "length",
            )
    return [stories[prompt.id, sample] for prompt, sample, _ in _asked(prompts, grading)]


def settings_match(stories: Sequence[Story], grading: Grading, prompts: Sequence[Prompt], model_digest: str) -> bool:
    """Whether :func:`tell` would tell these stories again: same model, prompts and settings."""
    wanted = [
        (model_digest, prompt.id, prompt.text, prompt.instruction, sample, seed, grading.temperature,
         grading.max_tokens)
        for prompt, sample, seed in _asked(prompts, grading)
    ]  # fmt: skip
    found = [
        (story.model_digest, story.prompt_id, story.prompt, story.instruction, story.sample, story.seed,
         story.temperature, story.max_tokens)
        for story in stories
    ]  # fmt: skip
    return found == wanted


def _asked(prompts: Sequence[Prompt], grading: Grading) -> Iterator[Asked]:
    for prompt in prompts:
        for sample in range(grading.completions):
            yield prompt, sample, int(digest([grading.seed, prompt.id, sample])[:SEED_DIGITS], 16)


def _batches(asked: list[Asked], ids: dict[str, list[int]], rows: int) -> Iterator[list[Asked]]:
    """Stories whose beginnings have equally many tokens, together."""
    by_length: dict[int, list[Asked]] = {}
    for one in asked:
        by_length.setdefault(len(ids[one[0].id]), []).append(one)
    for alike in by_length.values():
        for start in range(0, len(alike), rows):
            yield alike[start : start + rows]


def _rows(model: "Transformer") -> int:
    config, weight = model.config, model.token_embedding.weight
    values = 2 * config.num_layers * config.context_length * config.num_kv_heads * config.head_size
    return max(1, min(ROWS, CACHE_BYTES // (values * weight.element_size())))


def write_stories(path: Path, stories: Sequence[Story]) -> None:
    """Write ``stories.jsonl`` at once: readers see the old file or the whole new one. Its folder must be there."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text("".join(f"{canonical(story)}\n" for story in stories), encoding="utf-8")
    partial.replace(path)


def read_stories(path: Path) -> list[Story]:
    """The stories of a ``stories.jsonl``.

    A line may also come from elsewhere and hold ``prompt`` and ``completion`` alone, or any other fields of a story
    beside them: the model is then named as the file, and samples are counted within a prompt.

    :raises ValueError: the file is missing or empty, or a line is no story or one that stood there before; names it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such file; give a stories.jsonl: a prompt and a completion a line") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    stories: list[Story] = []
    lines: dict[str, int] = {}
    samples: Counter[tuple[str, str]] = Counter()
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            story = _read_story(line, path.stem, samples)
            if story.id in lines:
                raise ValueError(f"the same story as on line {lines[story.id]}")
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from error
        stories.append(story)
        lines[story.id] = number
    if not stories:
        raise ValueError(f"{path}: holds no story; write one a line, with a prompt and a completion")
    return stories


def _read_story(line: str, model: str, samples: Counter[tuple[str, str]]) -> Story:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(entry, dict) or not {"prompt", "completion"} <= entry.keys():
        raise ValueError("a story is an object with a prompt and a completion")
    hints = get_type_hints(Story)
    for name, value in entry.items():
        if name in hints and not _fits(value, hints[name]):
            raise ValueError(f"{name}: {value!r} is not {_words(hints[name])}")
    entry = {"model": model, "model_digest": "", "prompt_id": prompt_id(entry["prompt"].strip()), **entry}
    key = entry["model"], entry["prompt_id"]
    entry.setdefault("sample", samples[key])
    samples[key] += 1
    return from_json(Story, entry)


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if isinstance(value, bool):
        return False
    return isinstance(value, (int, float) if hint is float else hint)


def _words(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return f"one of {', '.join(get_args(hint))}"
    return {str: "a text", int: "a whole number", float: "a number"}[hint]
