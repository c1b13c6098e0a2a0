"""The built-in corpus: little stories from a seeded weighted grammar, each with its exact log-probability.

The true entropy of the text is therefore known, and a model's loss can be compared with the floor that no model beats
in expectation. The log-probability is *exact*, not a bound: every choice of the grammar shows in the text, and no text
has two derivations (the tests prove it on the grammar's word automaton), so the probability of a text is that of its
one derivation. The story's end is part of what is predicted, as it is for a model that predicts the end-of-text token.
"""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from tinyscale.data import plots, words
from tinyscale.data.grammar import Grammar

ENGINE_VERSION = 1
"""Raised when the same grammar would yield other stories."""


@dataclass(frozen=True, slots=True)
class Story:
    """A text and what it cost the generator to choose it."""

    text: str
    """60 to 200 words; paragraphs end with one newline."""
    log2_prob: float
    """Base-2 logarithm of the text's probability (bits, negative); exact."""


def generate_stories(seed: int, count: int) -> Iterator[Story]:
    """``count`` independent stories; the first n of a seed are the same whatever the count."""
    grammar = load_grammar()
    random_bits = random.Random(seed)
    for _ in range(count):
        text, log2_prob = grammar.write(random_bits)
        yield Story(text, log2_prob)


def story_entropy() -> float:
    """Expected bits of a story (end included), by recursion over the grammar."""
    return load_grammar().start.entropy


@cache
def load_grammar() -> Grammar:
    """The built-in grammar, parsed once."""
    return Grammar(plots.RULES, _word_lists())


@cache
def generator_version() -> str:
    """SHA-256 of everything that decides which story a seed gives."""
    lists = "".join(f"{name}={text}" for name, text in sorted(_word_lists().items()))
    return hashlib.sha256(f"{ENGINE_VERSION}\n{plots.RULES}\n{lists}".encode()).hexdigest()


def _word_lists() -> dict[str, str]:
    return {name.lower(): text for name, text in vars(words).items() if name.isupper()}
