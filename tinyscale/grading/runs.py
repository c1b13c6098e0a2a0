"""The longest run of words of each of some texts that stands in a text too large to index.

The texts are indexed; the large one comes by once, in pieces. Each text looks only for runs one word longer than the
longest it has found, so there is one question a length and piece: is any run of this length there? It is answered by
polynomial hashes of all runs of the piece at once (Karp & Rabin 1987), and every answer is checked word by word.

For 500 stories 20 MB of text a second of one core, for 1,500 16 MB, over 90 MB of TinyStories (8 MB a second over the
first 9, in which most runs are found).
"""

from collections.abc import Iterable, Sequence
from itertools import chain, repeat

import numpy as np
from numpy.typing import NDArray

SIEVES = (4, 8, 12)
"""Lengths of which any run of any text is looked for first, so that longer runs are looked for where one was found."""
SIEVE_BITS = (10, 26)
"""Least and most of a sieve; a run that is in no text passes one time in some 16 (in more above a million of runs)."""
BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64

Words = NDArray[np.int32]
Hashes = NDArray[np.uint64]
Places = NDArray[np.int64]


class _Sieve:
    """Lets through the hashes it was made from, and a few others."""

    def __init__(self, hashes: Hashes) -> None:
        bits = min(max(SIEVE_BITS[0], (8 * len(hashes)).bit_length()), SIEVE_BITS[1])
        self._shift = np.uint64(64 - bits)
        self._present = np.zeros(1 << bits, dtype=np.bool_)
        self._present[hashes >> self._shift] = True

    def passed(self, hashes: Hashes) -> Places:
        """Places of those that pass."""
        places: Places = np.flatnonzero(self._present.take(hashes >> self._shift))
        return places


class _Table:
    """Hashes of runs of one length, and where in the texts they start."""

    def __init__(self, hashes: Hashes, starts: Places) -> None:
        order = hashes.argsort()
        self._hashes, self._starts = hashes[order], starts[order]
        self._sieve = _Sieve(hashes)

    def found(self, hashes: Hashes) -> Places:
        """Places of those among ``hashes`` that are in the table, the first of each."""
        places = self._sieve.passed(hashes)
        maybe = hashes[places]
        at = np.minimum(np.searchsorted(self._hashes, maybe), len(self._hashes) - 1)
        there = self._hashes[at] == maybe
        first: Places = places[there][np.unique(maybe[there], return_index=True)[1]]
        return first

    def starts_of(self, value: np.uint64) -> Places:
        """Where in the texts the runs with this hash start."""
        first, end = (np.searchsorted(self._hashes, value, side) for side in ("left", "right"))
        return self._starts[first:end]


class RunSearch:
    """The texts laid end to end, and the longest run of each so far."""

    def __init__(self, texts: Sequence[Sequence[str]]) -> None:
        every_word = [*chain.from_iterable(texts)]
        self._vocabulary = {word: number for number, word in enumerate(dict.fromkeys(every_word), 1)}
        self._sizes = np.array([len(words) for words in texts], dtype=np.int64)
        self._ends = self._sizes.cumsum()
        self._text_of = np.repeat(np.arange(len(texts)), self._sizes)
        self._texts: Words = np.array([self._vocabulary[word] for word in every_word], dtype=np.int32)
        self._best = np.zeros(len(texts), dtype=np.int64)
        self._best_start = np.zeros(len(texts), dtype=np.int64)
        # A hash is the sum of random numbers of its words times powers of the base. Word 0 is any that no text has.
        self._numbers = np.random.default_rng(0).integers(0, 2**64, len(self._vocabulary) + 1, dtype=np.uint64)
        self._powers, self._inverses = _powers(BASE), _powers(pow(BASE, -1, 2**64))
        self._text_sums = self._sums(self._texts)
        everything = np.arange(len(texts))
        self._sieves = {
            length: _Sieve(self._hashes(self._text_sums, self._starts(everything, length), length)) for length in SIEVES
        }
        self._tables: dict[int, _Table] = {}
        self._build([1])

    def look(self, words: Sequence[str]) -> None:
        """Look for longer runs in a piece of the large text."""
        ids: Words = np.fromiter(map(self._vocabulary.get, words, repeat(0)), np.int32, len(words))
        sums = self._sums(ids)
        places = self._sieved(sums)
        lengths = {*self._tables}
        while lengths:
            grown = {length: self._grow(length, ids, sums, places) for length in lengths}
            texts = [text for longer in grown.values() for text in longer]
            lengths = {*(self._best[texts] + 1).tolist()}
            self._build(lengths | {length for length, longer in grown.items() if longer})

    def longest(self) -> list[range]:
        """The longest run of each text so far, as places of its words."""
        firsts = self._best_start - (self._ends - self._sizes)
        return [
            range(first, first + length) if length else range(0)
            for first, length in zip(firsts.tolist(), self._best.tolist(), strict=True)
        ]

    def _sieved(self, sums: Hashes) -> dict[int, Places]:
        """Where in a piece a run of 0, 4, 8, 12 words may begin that is in any text."""
        places = {0: np.arange(len(sums) - 1)}
        for length, sieve in self._sieves.items():
            before = places[max(places)]
            before = before[before + length < len(sums)]
            places[length] = before[sieve.passed(self._hashes(sums, before, length))]
        return places

    def _grow(self, length: int, ids: Words, sums: Hashes, places: dict[int, Places]) -> set[int]:
        """The texts with a run of ``length`` words in the piece that had none of it: their best is now longer."""
        if length not in self._tables:
            return set()
        table, likely = self._tables[length], places[max(sieve for sieve in places if sieve <= length)]
        likely = likely[likely + length < len(sums)]
        hashes = self._hashes(sums, likely, length)
        grown = set()
        for found in table.found(hashes).tolist():
            place = int(likely[found])
            starts = table.starts_of(hashes[found])
            for start in starts[self._best[self._text_of[starts]] < length].tolist():
                text = int(self._text_of[start])
                if self._best[text] < (shared := self._shared(ids[place:], start, int(self._ends[text]))):
                    self._best[text], self._best_start[text] = shared, start
                    grown.add(text)
        return grown

    def _shared(self, ids: Words, start: int, end: int) -> int:
        """Words that a piece's rest and a text's from ``start`` on begin with alike."""
        room = min(len(ids), end - start)
        differ = ids[:room] != self._texts[start : start + room]
        return int(differ.argmax()) if differ.any() else room

    def _build(self, lengths: Iterable[int]) -> None:
        """Make the tables of these lengths anew."""
        for length in lengths:
            self._tables.pop(length, None)
            texts = np.flatnonzero((self._best + 1 == length) & (self._sizes >= length))
            if len(texts):
                starts = self._starts(texts, length)
                self._tables[length] = _Table(self._hashes(self._text_sums, starts, length), starts)

    def _starts(self, texts: Places, length: int) -> Places:
        """Where all runs of ``length`` words of some texts start."""
        firsts = self._ends[texts] - self._sizes[texts]
        counts = np.maximum(0, self._sizes[texts] - length + 1)
        within = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
        starts: Places = np.repeat(firsts, counts) + within
        return starts

    def _sums(self, ids: Words) -> Hashes:
        """The sum of the terms before each word, and of all of them at last."""
        while len(self._powers) < len(ids) + 1:
            self._powers, self._inverses = _longer(self._powers), _longer(self._inverses)
        sums = np.zeros(len(ids) + 1, dtype=np.uint64)
        np.cumsum(self._numbers[ids] * self._powers[: len(ids)], out=sums[1:])
        return sums

    def _hashes(self, sums: Hashes, starts: Places, length: int) -> Hashes:
        """Of the runs of ``length`` words from each start on, the same wherever they stand."""
        hashes: Hashes = (sums[starts + length] - sums[starts]) * self._inverses[starts]
        return hashes


def _powers(base: int) -> Hashes:
    """The first two."""
    return np.array([1, base], dtype=np.uint64)


def _longer(powers: Hashes) -> Hashes:
    """Twice as many powers of the same base."""
    return np.concatenate([powers, powers * (powers[-1:] * powers[1:2])])
