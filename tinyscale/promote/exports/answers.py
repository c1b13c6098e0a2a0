"""What two loaders of one model are asked, so that their answers can be compared. Also a script of its own.

Run as a script (``python -I answers.py QUESTION ANSWER LOGITS``, two JSON files and a safetensors file) it answers with
transformers and knows nothing of tinyscale: so a fresh process shows what a stranger who loads an export gets.

Rules, the same for both sides:

- greedy: tokens are drawn until the context is full, then its last half is read anew as a text of its own; a drawn end
  of text does not end it. (As :func:`tinyscale.model.sample.generate` does.)
- loss: each story is read as its begin, its tokens and its end, in pieces of at most one context that see nothing of
  each other.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Question:
    """What is asked."""

    folder: str
    """The export."""
    tokens: list[list[int]]
    """Texts of equally many random tokens, for the logits."""
    prompt: str
    greedy_tokens: int
    """Tokens to draw after the prompt."""
    context: int
    """Tokens that the model sees at once."""
    stories: list[str]
    begin: int
    """Id of the token that begins a text."""
    end: int


@dataclass(frozen=True)
class Answer:
    """What a loader says, all but the logits, which are a tensor (texts, tokens, vocabulary) beside it."""

    loader: str
    prompt_ids: list[int]
    """The prompt as the tokenizer reads it by itself, begin included."""
    greedy: list[int]
    margins: list[float]
    """By how much the logit of each greedy token exceeds the second; smaller than rounding: a tie."""
    story_ids: list[list[int]]
    decoded: list[str]
    """The stories back from their ids."""
    nats: float
    """Of all stories, ends included."""


@dataclass(frozen=True)
class Loaded:
    """A model and its tokenizer, whoever loaded them."""

    name: str
    logits: "Callable[[Tensor], Tensor]"
    """(B, T) int64 -> (B, T, V)."""
    draw: Callable[[list[int], int], tuple[list[int], list[float]]]
    """Tokens that follow a text greedily, and their margins."""
    encode_prompt: Callable[[str], list[int]]
    encode: Callable[[str], list[int]]
    decode: Callable[[list[int]], str]


def answer(question: Question, loaded: Loaded) -> "tuple[Answer, Tensor]":
    """Ask a loaded model everything."""
    import torch

    with torch.inference_mode():
        prompt_ids = loaded.encode_prompt(question.prompt)
        greedy, margins = _greedy(prompt_ids, question, loaded)
        story_ids = [loaded.encode(story) for story in question.stories]
        return Answer(
            loader=loaded.name,
            prompt_ids=prompt_ids,
            greedy=greedy,
            margins=margins,
            story_ids=story_ids,
            decoded=[loaded.decode(ids) for ids in story_ids],
            nats=sum(_nats([question.begin, *ids, question.end], question.context, loaded) for ids in story_ids),
        ), loaded.logits(torch.tensor(question.tokens))


def _greedy(prompt_ids: list[int], question: Question, loaded: Loaded) -> tuple[list[int], list[float]]:
    text, drawn, margins = list(prompt_ids), list[int](), list[float]()
    seen = text[-question.context :]
    while (left := question.greedy_tokens - len(drawn)) > 0:
        tokens, gaps = loaded.draw(seen, min(left, question.context + 1 - len(seen)))
        drawn += tokens
        margins += gaps
        text += tokens
        seen = text[-max(1, question.context // 2) :]
    return drawn, margins


def _nats(ids: Sequence[int], context: int, loaded: Loaded) -> float:
    import torch
    from torch.nn.functional import cross_entropy

    total = 0.0
    for start in range(0, len(ids) - 1, context):
        piece = torch.tensor(ids[start : start + context + 1])
        losses = cross_entropy(loaded.logits(piece[None, :-1])[0], piece[1:], reduction="none")
        total += float(losses.sum(dtype=torch.float64))
    return total


def load_with_transformers(folder: str) -> Loaded:
    """A folder by transformers' own automatic classes in fp32: no network, no code that comes with the model."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False, dtype=torch.float32
    ).eval()
    greedy = transformers.GenerationConfig(do_sample=False, pad_token_id=model.generation_config.pad_token_id)
    model.generation_config = greedy  # without the folder's: its end of text would end the drawing

    def draw(seen: list[int], count: int) -> tuple[list[int], list[float]]:
        text = torch.tensor([seen])
        drawn = model.generate(
            text,
            attention_mask=torch.ones_like(text),
            max_new_tokens=count,
            output_logits=True,
            return_dict_in_generate=True,
        )
        best_two = torch.cat(drawn.logits).topk(2, dim=1).values
        return drawn.sequences[0, len(seen) :].tolist(), (best_two[:, 0] - best_two[:, 1]).tolist()

    return Loaded(
        name=f"{type(model).__name__} of transformers {transformers.__version__}",
        logits=lambda tokens: model(tokens).logits,
        draw=draw,
        encode_prompt=lambda text: list(tokenizer(text).input_ids),
        encode=lambda text: list(tokenizer(text, add_special_tokens=False, verbose=False).input_ids),
        decode=lambda ids: str(tokenizer.decode(ids)),
    )


def _main(question_path: str, answer_path: str, logits_path: str) -> None:
    from safetensors.torch import save_file

    fields: dict[str, Any] = json.loads(Path(question_path).read_text(encoding="utf-8"))
    question = Question(**fields)
    found, logits = answer(question, load_with_transformers(question.folder))
    Path(answer_path).write_text(json.dumps(vars(found)), encoding="utf-8")
    save_file({"logits": logits.contiguous()}, logits_path)


if __name__ == "__main__":
    sys.modules["tinyscale"] = None  # type: ignore[assignment]  # importing it would now fail
    _main(*sys.argv[1:])
