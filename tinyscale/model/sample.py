"""Text from a model, one token at a time, with cached keys and values."""

from collections.abc import Iterator

import torch
from torch import Tensor

from tinyscale.model.attention import LayerCache
from tinyscale.model.transformer import Transformer


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
    if not temperature >= 0:
        raise ValueError(f"temperature is {temperature}; it must be 0 (greedy) or more")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p is {top_p}; it must be more than 0 and at most 1 (all tokens)")
    if top_k < 0:
        raise ValueError(f"top_k is {top_k}; it must be 0 (all tokens) or more")
    generator = torch.Generator(device="cpu").manual_seed(seed)
    return _stream(model.eval(), prompt.tolist(), max_tokens, temperature, top_p, top_k, generator, eos)


def _stream(
    model: Transformer,
    text: list[int],
    max_tokens: int,
    temperature: float,
    top_p: float,
    top_k: int,
    generator: torch.Generator,
    eos: int | None,
) -> Iterator[int]:
    context = model.config.context_length
    cache, unseen = model.make_cache(), text[-context:]
    for _ in range(max_tokens):
        if cache[0].length + len(unseen) > context:
            cache, unseen = model.make_cache(), text[-max(1, context // 2) :]
        token = _choose(_next_logits(model, unseen, cache), temperature, top_p, top_k, generator)
        yield token
        if token == eos:
            return
        text.append(token)
        unseen = [token]


@torch.inference_mode()
def _next_logits(model: Transformer, tokens: list[int], cache: list[LayerCache]) -> Tensor:
    """(V,) on the CPU in fp32, so that a draw does not depend on the device's generator."""
    inputs = torch.tensor([tokens], device=model.token_embedding.weight.device)
    logits: Tensor = model(inputs, cache)[0, -1]
    return logits.float().cpu()


def _choose(logits_V: Tensor, temperature: float, top_p: float, top_k: int, generator: torch.Generator) -> int:
    if temperature == 0:
        return int(logits_V.argmax())
    logits, ids = logits_V.sort(descending=True)
    if top_k:
        logits = logits[:top_k]
    probabilities = (logits / temperature).softmax(dim=0)
    before = probabilities.cumsum(dim=0) - probabilities
    probabilities[before >= top_p] = 0.0
    return int(ids[torch.multinomial(probabilities, 1, generator=generator)])
