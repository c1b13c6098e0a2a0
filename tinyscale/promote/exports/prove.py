"""Proof that an export computes what the model computes: it is loaded anew and asked, before anybody else gets it."""

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tinyscale.promote.exports import answers
from tinyscale.promote.exports.answers import Answer, Loaded, Question, answer
from tinyscale.spec import Dtype, ExportProof

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor

    from tinyscale.model.transformer import Transformer

PROMPT = "Once upon a time"
GREEDY_TOKENS = 256
TEXTS, TEXT_TOKENS = 2, 128
"""Random tokens whose logits are compared."""
LOGIT_TOLERANCE = 1e-4
BPB_TOLERANCE = 1e-5
"""Relative."""
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


def prove_export(model_folder: Path, export: Path, stories: Sequence[str], *, dtype: Dtype) -> ExportProof:
    """Load an export again and compare it with the model, whose weights are rounded to the export's first.

    An hf folder is loaded by transformers in a fresh process that has no tinyscale and no network. It must give the
    same logits, the same 256 greedy tokens, the same ids and texts of the stories and the same bits per byte; the rules
    are those of :mod:`tinyscale.promote.exports.answers`. Where the two likeliest tokens are closer than the logits'
    tolerance, rounding decides, and the greedy tokens are compared up to there.

    A llama2c folder is read back by tinyscale itself, since no software beside a C compiler reads it: weights must be
    equal to the bit and all the rest as above, rows of the vocabulary mapped to ours.

    :param stories: text for the token ids and the bits per byte, at least one.
    :raises ValueError: something differs: says what and by how much; or the export can't be loaded.
    """
    import torch

    from tinyscale.data.tokenizer import load_tokenizer
    from tinyscale.model.store import TOKENIZER, load_model

    if not stories:
        raise ValueError("an export is proved on stories; give at least one")
    model = load_model(model_folder)
    if dtype == "bf16":
        with torch.no_grad():
            for weight in model.parameters():
                weight.copy_(weight.bfloat16())
    tokenizer = load_tokenizer(model_folder / TOKENIZER)
    question = _question(model, tokenizer, export, stories)
    ours, our_logits = answer(question, _load_ours("tinyscale", model, tokenizer, question.begin))
    if (export / "model.bin").is_file():
        theirs, their_logits = _answer_llama2c(question, model, model_folder)
    else:
        theirs, their_logits = _answer_in_a_fresh_process(question)
    size = sum(len(story.encode()) for story in stories)
    bits = [each.nats / math.log(2) / size for each in (theirs, ours)]
    try:
        difference = _compare_logits(our_logits, their_logits)
        _compare_tokenizers(ours, theirs)
        same = _compare_greedy(ours, theirs)
        if not math.isclose(*bits, rel_tol=BPB_TOLERANCE):
            raise ValueError(f"{bits[0]:.7f} bits per byte of the stories, not {bits[1]:.7f}")
    except ValueError as error:
        raise ValueError(f"{export} is not the model of {model_folder}: by {theirs.loader}, {error}") from error
    return ExportProof(
        loader=theirs.loader,
        dtype=dtype,
        logit_difference=difference,
        greedy_tokens=same,
        bpb=bits[0],
        our_bpb=bits[1],
        bytes=size,
    )


def _question(model: "Transformer", tokenizer: "Tokenizer", export: Path, stories: Sequence[str]) -> Question:
    import torch

    from tinyscale.data.tokenizer import begin_of_text_id, end_of_text_id

    config = model.config
    shape = (TEXTS, min(config.context_length, TEXT_TOKENS))
    tokens = torch.randint(config.vocab_size, shape, generator=torch.Generator().manual_seed(0))
    return Question(
        folder=str(export.absolute()),
        tokens=tokens.tolist(),
        prompt=PROMPT,
        greedy_tokens=GREEDY_TOKENS,
        context=config.context_length,
        stories=list(stories),
        begin=begin_of_text_id(tokenizer),
        end=end_of_text_id(tokenizer),
    )


def _load_ours(name: str, model: "Transformer", tokenizer: "Tokenizer", begin: int) -> Loaded:
    import torch

    from tinyscale.model.sample import generate

    def draw(seen: list[int], count: int) -> tuple[list[int], list[float]]:
        return list(generate(model, torch.tensor(seen), count, temperature=0)), [math.inf] * count

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False).ids)

    return Loaded(
        name=name,
        logits=model,
        draw=draw,
        encode_prompt=lambda text: [begin, *encode(text)],
        encode=encode,
        decode=lambda ids: str(tokenizer.decode(ids, skip_special_tokens=False)),
    )


def _answer_in_a_fresh_process(question: Question) -> "tuple[Answer, Tensor]":
    from safetensors.torch import load_file

    with tempfile.TemporaryDirectory(prefix="tinyscale-proof-") as folder:
        asked, answered, logits = (str(Path(folder, name)) for name in ("asked.json", "answer.json", "logits"))
        Path(asked).write_text(json.dumps(asdict(question)), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-I", answers.__file__, asked, answered, logits],
            env=os.environ | OFFLINE,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ValueError(
                f"{question.folder} can't be loaded by transformers in a fresh process: {done.stderr[-2000:].strip()}"
            )
        found = Answer(**json.loads(Path(answered).read_text(encoding="utf-8")))
        return found, load_file(logits)["logits"]


def _answer_llama2c(question: Question, model: "Transformer", model_folder: Path) -> "tuple[Answer, Tensor]":
    """The checkpoint read back, its rows of the vocabulary mapped to ours in what it is asked and in what it says."""
    import torch
    from tokenizers import Tokenizer

    from tinyscale.data.llama2c_tokenizer import llama2c_order, read_llama2c_tokenizer
    from tinyscale.model.llama2c import VOCABULARY_ROWS, read_llama2c
    from tinyscale.model.store import TOKENIZER
    from tinyscale.model.transformer import Transformer

    export = Path(question.folder)
    order = llama2c_order(json.loads((model_folder / TOKENIZER).read_text(encoding="utf-8")))
    config, state = read_llama2c(export / "model.bin")
    tokenizer = Tokenizer.from_str(read_llama2c_tokenizer(export / "tokenizer.bin", config.vocab_size))
    for name, weight in model.state_dict().items():
        expected = weight[order] if name in VOCABULARY_ROWS else weight
        if name not in state or not torch.equal(state[name], expected):
            raise ValueError(f"{export}: model.bin does not hold the weights of {model_folder}: {name} differs")
    row_of = [0] * len(order)
    for row, index in enumerate(order):
        row_of[index] = row
    theirs = Transformer(config).eval()
    theirs.load_state_dict(state)
    read = _load_ours("read_llama2c of tinyscale (weights equal to the bit)", theirs, tokenizer, row_of[question.begin])

    def ours(rows: list[int]) -> list[int]:
        return [order[row] for row in rows]

    def draw(seen: list[int], count: int) -> tuple[list[int], list[float]]:
        drawn, _ = read.draw([row_of[index] for index in seen], count)
        return ours(drawn), [math.inf] * count

    mapped = Loaded(
        name=read.name,
        logits=lambda tokens: theirs(torch.tensor(row_of)[tokens])[..., row_of],
        draw=draw,
        encode_prompt=lambda text: ours(read.encode_prompt(text)),
        encode=lambda text: ours(read.encode(text)),
        decode=lambda ids: read.decode([row_of[index] for index in ids]),
    )
    return answer(question, mapped)


def _compare_logits(ours: "Tensor", theirs: "Tensor") -> float:
    if ours.shape != theirs.shape:
        raise ValueError(f"logits have shape {tuple(theirs.shape)}, not {tuple(ours.shape)}")
    difference = float((ours - theirs).abs().max())
    if not difference <= LOGIT_TOLERANCE:
        raise ValueError(f"logits differ by up to {difference:.3g}; {LOGIT_TOLERANCE:.0e} is allowed")
    return difference


def _compare_tokenizers(ours: Answer, theirs: Answer) -> None:
    pairs = [("the prompt", ours.prompt_ids, theirs.prompt_ids)]
    pairs += [
        (f"story {index}", *each) for index, each in enumerate(zip(ours.story_ids, theirs.story_ids, strict=True))
    ]
    for what, expected, found in pairs:
        if (place := _first_difference(expected, found)) is not None:
            raise ValueError(
                f"{what} has {len(found)} tokens, not {len(expected)}, or others from token {place} on:"
                f" {found[place : place + 3]}, not {expected[place : place + 3]}"
            )
    for index, (expected_text, found_text) in enumerate(zip(ours.decoded, theirs.decoded, strict=True)):
        if expected_text != found_text:
            raise ValueError(f"story {index} comes back from its tokens as {found_text[:60]!r}..., another text")


def _compare_greedy(ours: Answer, theirs: Answer) -> int:
    """How many greedy tokens are equal: all, or those before a tie."""
    place = _first_difference(ours.greedy, theirs.greedy)
    if place is None:
        return len(ours.greedy)
    if len(ours.greedy) != len(theirs.greedy) or theirs.margins[place] > LOGIT_TOLERANCE:
        raise ValueError(
            f"greedy token {place} after {PROMPT!r} is {theirs.greedy[place : place + 1]}, not"
            f" {ours.greedy[place : place + 1]}, and leads the next likeliest by"
            f" {theirs.margins[place : place + 1]}: no tie"
        )
    return place


def _first_difference(expected: list[int], found: list[int]) -> int | None:
    if expected == found:
        return None
    pairs = zip(expected, found, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(expected), len(found)))
