"""Text from a model, one token at a time, with cached keys and values: one text as a stream, or many side by side."""

import random
from collections.abc import Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from tinyscale.model.attention import LayerCache
from tinyscale.model.transformer import Transformer

T = TypeVar("T")

FEWEST_ROWS = 4
"""A batch is filled up to so many rows: on one thread MKL gives a row of a product the same bits in any larger number
of rows, and others in fewer (measured at widths 64 to 2048; on two threads only from 15 rows on)."""


def generate(
    model: Transformer,
    prompt: Tensor,
    max_tokens: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
    seed: int = 0,
    eos: int | None = None,
) -> Iterator[int]:
    """Continue ``prompt`` (T,) int64 by at most ``max_tokens`` ids, each yielded as soon as it is drawn.

    ``temperature`` divides the logits; 0 takes the likeliest token. ``top_k`` keeps that many likeliest tokens, 0 all;
    ``top_p`` then keeps the fewest whose probabilities add up to it (Holtzman et al. 2020). ``eos`` ends the text and
    is yielded as its last token, which tells an ended text from a cut one. The same seed gives the same text, whatever
    was drawn before. The model is set to eval mode.

    A full context cannot slide by one token, since every cached position would move: the last half of it is encoded
    anew, as a text of its own, and filled up again. So a token sees between half a context and a whole one before it.
    Of a prompt longer than the context the end is taken.

    :raises ValueError: the prompt is empty or an option is out of range.
    """
    if prompt.ndim != 1 or not len(prompt):
        raise ValueError(
            f"the prompt has shape {tuple(prompt.shape)}; give (T,) with T of at least 1, such as the end-of-text token"
        )
    _check(temperature, top_p, top_k)
    steps = _steps(model.eval(), prompt[None], max_tokens, temperature, top_p, top_k, (seed,), eos, fewest=1)
    return (tokens[0] for _, tokens in steps)


def generate_batch(
    model: Transformer,
    prompts_BT: Tensor,
    max_tokens: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
    seeds: Sequence[int] = (),
    eos: int | None = None,
) -> list[list[int]]:
    """What :func:`generate` yields for each of B prompts (B, T) of one length with its own of the B ``seeds``.

    A text that has ended leaves the batch. A text depends on its own prompt and seed alone, on one thread of a CPU to
    the bit (see FEWEST_ROWS). Elsewhere, and against :func:`generate`, products round differently in batches of
    different sizes, which flips a draw now and then (in 2 of 96 texts of 200 tokens).

    Tokens a second on one core, one by one against 64 side by side (medians of 5, interleaved, CPU time, 4,096 tokens
    in the vocabulary): 490 and 7,100 at width 64 with 5 layers, 120 and 1,200 at width 256 with 8.

    :raises ValueError: a prompt is empty, an option is out of range, or there is not one seed a prompt.
    """
    if prompts_BT.ndim != 2 or not prompts_BT.numel() or len(seeds) != len(prompts_BT):
        raise ValueError(
            f"the prompts have shape {tuple(prompts_BT.shape)} with {len(seeds)} seeds; give (B, T) with B and T of at "
            "least 1, and B seeds"
        )
    _check(temperature, top_p, top_k)
    texts: list[list[int]] = [[] for _ in seeds]
    steps = _steps(model.eval(), prompts_BT, max_tokens, temperature, top_p, top_k, seeds, eos, FEWEST_ROWS)
    for rows, tokens in steps:
        for row, token in zip(rows, tokens, strict=True):
            texts[row].append(token)
    return texts


def _check(temperature: float, top_p: float, top_k: int) -> None:
    if not temperature >= 0:
        raise ValueError(f"temperature is {temperature}; it must be 0 (greedy) or more")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p is {top_p}; it must be more than 0 and at most 1 (all tokens)")
    if top_k < 0:
        raise ValueError(f"top_k is {top_k}; it must be 0 (all tokens) or more")


def _steps(
    model: Transformer,
    prompts_BT: Tensor,
    max_tokens: int,
    temperature: float,
    top_p: float,
    top_k: int,
    seeds: Sequence[int],
    eos: int | None,
    fewest: int,
) -> Iterator[tuple[list[int], list[int]]]:
    """The texts still under way (rows of the prompts) and the token that each has drawn, step by step."""
    context, device = model.config.context_length, model.token_embedding.weight.device
    dice = [random.Random(seed) for seed in seeds]
    rows = list(range(len(seeds)))
    places = _filled(rows, fewest)
    texts_BT = prompts_BT.to(device)[places, -context:]
    cache, unseen_BT = model.make_cache(len(places)), texts_BT
    for _ in range(max_tokens):
        if cache[0].length + unseen_BT.shape[1] > context:
            cache, unseen_BT = model.make_cache(len(texts_BT)), texts_BT[:, -max(1, context // 2) :]
        luck = _filled([dice[row].random() for row in rows], fewest) if temperature else []
        drawn_B1 = _draw(model, unseen_BT, cache, temperature, top_p, top_k, luck)
        tokens = drawn_B1[: len(rows), 0].tolist()
        yield rows, tokens
        texts_BT, unseen_BT = torch.cat([texts_BT, drawn_B1], dim=1)[:, -context:], drawn_B1
        if eos is not None and eos in tokens:
            going = [place for place, token in enumerate(tokens) if token != eos]
            if not going:
                return
            rows = [rows[place] for place in going]
            kept = torch.tensor(_filled(going, fewest), device=device)
            texts_BT, unseen_BT = texts_BT[kept], unseen_BT[kept]
            _keep(cache, kept)


def _filled(items: list[T], fewest: int) -> list[T]:
    """The items, and the first one again until they are ``fewest``."""
    return items + items[:1] * (fewest - len(items))


@torch.inference_mode()
def _keep(cache: list[LayerCache], rows: Tensor) -> None:
    for layer in cache:
        layer.keep(rows)


@torch.inference_mode()
def _draw(
    model: Transformer,
    tokens_BT: Tensor,
    cache: list[LayerCache],
    temperature: float,
    top_p: float,
    top_k: int,
    luck: list[float],
) -> Tensor:
    """The next token of each text (B, 1), where ``luck`` in [0, 1) falls among the probabilities laid end to end.

    The luck comes from the CPU, one number a text and token, so a draw depends neither on the device nor on the batch.
    """
    logits_BV = model.next_logits(tokens_BT, cache).float()
    if temperature == 0:
        return logits_BV.argmax(dim=1, keepdim=True)
    ids_BV: Tensor | None = None
    if top_k or top_p < 1:  # in the order of the vocabulary otherwise: sorting would take longer than a small model
        logits_BV, ids_BV = logits_BV.topk(min(top_k or logits_BV.shape[1], logits_BV.shape[1]), dim=1)
    probabilities_BV = (logits_BV / temperature).softmax(dim=1)
    ends_BV = probabilities_BV.cumsum(dim=1, dtype=torch.float64)
    if top_p < 1:
        probabilities_BV[ends_BV - probabilities_BV >= top_p] = 0.0
        ends_BV = probabilities_BV.cumsum(dim=1, dtype=torch.float64)
    aim_B1 = torch.tensor(luck, dtype=torch.float64, device=ends_BV.device)[:, None] * ends_BV[:, -1:]
    place_B1 = torch.searchsorted(ends_BV, aim_B1, right=True).clamp_(max=ends_BV.shape[1] - 1)
    return place_B1 if ids_BV is None else ids_BV.gather(1, place_B1)
