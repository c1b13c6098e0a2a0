"""A weighted grammar without recursion: it writes texts, their exact log-probabilities, and knows its entropy.

Every choice is made on a table of 2^12 equally likely slots, so probabilities are exact binary fractions that add up to
one, and a text depends on nothing but the random bits: the same on every platform and Python version.

:mod:`tinyscale.data.plots` documents the notation.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import log2

TABLE_BITS = 12
"""A choice costs this many random bits; the rarest alternative has probability 2^-12."""
WORD_EXPONENT = 1.0
"""Words are drawn with probability proportional to 1 / rank (Zipf 1949)."""

_SLOT = re.compile(r"\{(?P<optional>\?)?(?:(?P<variable>\w+)=)?(?P<name>\w+)(?:\.(?P<form>\w+))?(?:~(?P<given>\w+))?\}")
_PERSON = {"f": ("girl", "she", "her", "her", "She", "Her"), "m": ("boy", "he", "him", "his", "He", "His")}
_PERSON_FORMS = ("kid", "he", "him", "his", "He", "His")


class Zipf:
    """A choice of one of ``size`` ranks, rank r (from 1) with probability close to r^-exponent / sum."""

    def __init__(self, size: int, exponent: float) -> None:
        slots = 1 << TABLE_BITS
        weights = [(rank + 1) ** -exponent for rank in range(size)]
        shares = [(slots - size) * weight / sum(weights) for weight in weights]
        counts = [1 + int(share) for share in shares]
        by_remainder = sorted(range(size), key=lambda rank: int(shares[rank]) - shares[rank])
        for rank in by_remainder[: slots - sum(counts)]:
            counts[rank] += 1
        self.probabilities = [count / slots for count in counts]
        self.log2 = [log2(p) for p in self.probabilities]
        """log2 of the probability of each rank (bits, negative)."""
        self.table = [rank for rank, count in enumerate(counts) for _ in range(count)]
        """The rank that each of the 2^12 slots leads to."""
        self.entropy = -sum(p * bits for p, bits in zip(self.probabilities, self.log2, strict=True))
        """Bits."""


class WordList:
    """Words by rank, each in all its forms."""

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        items = [_forms(item.replace("_", " ")) for item in source.split()]
        self.forms = {form: tuple(item[form] for item in items) for form in items[0]}
        """Form (``""`` is the word itself) -> the words, in order of rank."""
        self.choice = Zipf(len(items), WORD_EXPONENT)


def _forms(item: str) -> dict[str, str]:
    word, mark, gender = item.partition(":")
    if mark:
        return {"": word, **dict(zip(_PERSON_FORMS, _PERSON[gender], strict=True))}
    base, mark, past = item.partition("/")
    if mark:
        return {"": base, "past": past}
    article = "an" if item[0] in "aeiou" and not item.startswith("uni") else "a"
    return {"": item, "a": f"{article} {item}", "A": f"{article.capitalize()} {item}", "Cap": item.capitalize()}


@dataclass(frozen=True, slots=True)
class Draw:
    """Draw a word and write it; ``variable`` remembers it, ``given`` shifts the ranks by a word remembered."""

    words: WordList
    texts: tuple[str, ...]
    variable: str | None
    given: str | None


@dataclass(frozen=True, slots=True)
class Recall:
    """Write the word remembered as ``variable``."""

    words: WordList
    texts: tuple[str, ...]
    variable: str


@dataclass(eq=False)
class Rule:
    """A choice between sequences of parts."""

    name: str
    alternatives: list[list["Part"]] = field(default_factory=list)
    exponent: float = 0.0

    @cached_property
    def choice(self) -> Zipf:
        """Which alternative."""
        return Zipf(len(self.alternatives), self.exponent)

    @cached_property
    def entropy(self) -> float:
        """Bits in all choices below this rule, by the chain rule.

        What is drawn never changes which choices follow, only which words stand at their ranks, so the choices below an
        alternative add up: H(rule) = H(choice) + sum_i p_i sum_part H(part).
        """
        below = (sum(map(part_entropy, parts)) for parts in self.alternatives)
        return self.choice.entropy + sum(p * bits for p, bits in zip(self.choice.probabilities, below, strict=True))


@dataclass(frozen=True, slots=True)
class Maybe:
    """A space and the rule, or nothing, with equal chance."""

    rule: Rule


Part = str | Draw | Recall | Rule | Maybe


def part_entropy(part: Part) -> float:
    """Bits of the choices in a part."""
    match part:
        case Draw():
            return part.words.choice.entropy
        case Rule():
            return part.entropy
        case Maybe():
            return 1.0 + 0.5 * part.rule.entropy
        case _:
            return 0.0


class Grammar:
    """The rules of ``source`` over ``words``; stories come from its first rule.

    :raises ValueError: the source breaks the notation (it is part of the program: a mistake of its author).
    """

    def __init__(self, source: str, words: dict[str, str]) -> None:
        self.words = {name: WordList(name, text) for name, text in words.items()}
        heads = [line.rstrip(":").split() for line in source.splitlines() if line and not line.startswith(" ")]
        self.rules = {name: Rule(name, exponent=float(exponent)) for name, exponent in heads}
        self.variables: dict[str, WordList] = {}
        for _, variable, name, *_ in _SLOT.findall(source):
            if variable and self.variables.setdefault(variable, self.words[name]) is not self.words[name]:
                raise ValueError(f"variable {variable!r} is drawn from two lists, {name!r} one of them")
        rule = self.start = self.rules[heads[0][0]]
        for line in filter(None, source.splitlines()):
            if line.startswith(" "):
                rule.alternatives.append(self._parts(line.strip().replace(" | ", "\n")))
            else:
                rule = self.rules[line.split()[0]]

    def _parts(self, text: str) -> list[Part]:
        parts: list[Part] = []
        end = 0
        for slot in _SLOT.finditer(text):
            parts.append(text[end : slot.start()])
            parts.append(self._part(slot))
            end = slot.end()
        parts.append(text[end:])
        if stray := set("{}") & set("".join(part for part in parts if isinstance(part, str))):
            raise ValueError(f"stray {stray} in {text!r}")
        return [part for part in parts if part != ""]

    def _part(self, slot: re.Match[str]) -> Part:
        variable, name, form, given = slot.group("variable", "name", "form", "given")
        if name in self.rules:
            return Maybe(self.rules[name]) if slot["optional"] else self.rules[name]
        if name in self.words:
            return Draw(self.words[name], self.words[name].forms[form or ""], variable, given)
        if name in self.variables:
            return Recall(self.variables[name], self.variables[name].forms[form or ""], name)
        raise ValueError(f"{slot.group()}: neither a rule nor a word list nor a variable")

    def write(self, random_bits: random.Random) -> tuple[str, float]:
        """A text, and the base-2 logarithm of its probability."""
        out: list[str] = []
        log2_prob = _write(self.start, random_bits.getrandbits, {}, out.append)
        return "".join(out), log2_prob


def _write(rule: Rule, getrandbits: Callable[[int], int], memory: dict[str, int], emit: Callable[[str], None]) -> float:
    rank = rule.choice.table[getrandbits(TABLE_BITS)]
    log2_prob = rule.choice.log2[rank]
    for part in rule.alternatives[rank]:
        if isinstance(part, str):
            emit(part)
        elif isinstance(part, Draw):
            choice = part.words.choice
            index = choice.table[getrandbits(TABLE_BITS)]
            log2_prob += choice.log2[index]
            if part.given is not None:
                index = (index + _shift(memory[part.given], len(part.texts))) % len(part.texts)
            if part.variable is not None:
                memory[part.variable] = index
            emit(part.texts[index])
        elif isinstance(part, Recall):
            emit(part.texts[memory[part.variable]])
        elif isinstance(part, Rule):
            log2_prob += _write(part, getrandbits, memory, emit)
        else:
            log2_prob -= 1.0
            if getrandbits(1):
                emit(" ")
                log2_prob += _write(part.rule, getrandbits, memory, emit)
    return log2_prob


def _shift(given: int, size: int) -> int:
    """How far the ranks of a list of ``size`` are turned beside word ``given`` (Fibonacci hashing, Knuth TAOCP 6.4)."""
    return ((given + 1) * 40503 & 0xFFFF) * size >> 16
