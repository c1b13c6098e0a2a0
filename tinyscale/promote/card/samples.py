"""Stories for the card, told by the exported weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PROMPTS = ("Once upon a time", "One day, a little girl", "It was a sunny morning")
SEED, TEMPERATURE, TOP_P, MAX_TOKENS = 0, 0.8, 0.95, 200


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One story."""

    prompt: str
    completion: str
    tokens: int
    """Of the completion, the end of text not counted."""
    ended: bool
    """By the model itself; False: cut at ``max_tokens``."""
    seed: int = SEED
    temperature: float = TEMPERATURE
    top_p: float = TOP_P
    max_tokens: int = MAX_TOKENS


def tell_samples(export: Path, prompts: Sequence[str] = PROMPTS) -> tuple[Sample, ...]:
    """What the model of an exported Hugging Face folder tells from each prompt, the first story each time.

    The weights are the folder's own, the sampler is tinyscale's, on the CPU: the same stories each time.

    :raises ValueError: the folder holds no model that tinyscale can compute.
    """
    import torch

    from tinyscale.data.tokenizer import begin_of_text_id, end_of_text_id, load_tokenizer
    from tinyscale.model.hf_folder import read_hf_folder
    from tinyscale.model.sample import generate
    from tinyscale.model.transformer import Transformer

    config, state = read_hf_folder(export)
    model = Transformer(config)
    model.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    tokenizer = load_tokenizer(export / "tokenizer.json")
    begin, end = begin_of_text_id(tokenizer), end_of_text_id(tokenizer)
    samples = []
    for prompt in prompts:
        ids = [begin, *tokenizer.encode(prompt, add_special_tokens=False).ids]
        drawn = list(
            generate(model, torch.tensor(ids), MAX_TOKENS, temperature=TEMPERATURE, top_p=TOP_P, seed=SEED, eos=end)
        )
        ended = drawn[-1:] == [end]
        told = drawn[:-1] if ended else drawn
        samples.append(Sample(prompt=prompt, completion=tokenizer.decode(told), tokens=len(told), ended=ended))
    return tuple(samples)
