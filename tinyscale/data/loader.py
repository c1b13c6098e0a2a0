"""Batches of tokens: training ones by step number, the validation slice as a whole."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from tinyscale.data.shards import Split

Tokens = npt.NDArray[np.int64]
IGNORED = -100
"""Target of padding, which no loss counts (the default ignore_index of torch's cross-entropy)."""


class Loader:
    """Training batches in an order that depends on the seed and the step alone.

    The stories of each epoch are shuffled and laid end to end to one endless stream of tokens; step s reads
    ``stream[s B T : (s + 1) B T + 1]``. The order of stories does not depend on the tokens, so every vocabulary reads
    the same text in the same order.
    """

    def __init__(self, split: Split, *, batch_size: int, context_length: int, seed: int) -> None:
        self.split, self.batch_size, self.context_length, self.seed = split, batch_size, context_length, seed
        self._lengths = np.diff(split.token_ends, prepend=0)
        self._order = lru_cache(maxsize=2)(self._shuffle)

    def batch(self, step: int) -> tuple[Tokens, Tokens]:
        """Inputs and targets of a step (from 0), each (batch_size, context_length); a target is the next token."""
        count = self.batch_size * self.context_length
        stream = self._read(step * count, count + 1)
        shape = (self.batch_size, self.context_length)
        return stream[:-1].reshape(shape), stream[1:].reshape(shape)

    def epoch(self, step: int) -> float:
        """Passes over the training stories that the steps before ``step`` made."""
        return step * self.batch_size * self.context_length / len(self.split.tokens)

    def _read(self, position: int, count: int) -> Tokens:
        """(count,) tokens of the endless stream from ``position`` on."""
        pieces = []
        while count > 0:
            epoch, offset = divmod(position, len(self.split.tokens))
            taken = min(count, len(self.split.tokens) - offset)
            pieces.append(self._read_epoch(epoch, offset, offset + taken))
            position, count = position + taken, count - taken
        return np.concatenate(pieces) if len(pieces) > 1 else pieces[0]

    def _read_epoch(self, epoch: int, begin: int, end: int) -> Tokens:
        order, ends = self._order(epoch)
        first, last = np.searchsorted(ends, (begin, end - 1), side="right")
        stories = order[first : last + 1]
        # Token p of the stream stands in the shard at p plus how far its story was moved.
        moved = self.split.token_ends[stories] - ends[first : last + 1]
        # What is read of a story: to its end or to ours, from its begin or from ours.
        lengths = np.diff(np.minimum(ends[first : last + 1], end), prepend=begin)
        return self.split.tokens[np.arange(begin, end) + np.repeat(moved, lengths)].astype(np.int64)

    def _shuffle(self, epoch: int) -> tuple[Tokens, Tokens]:
        """The stories in the order of an epoch, and where each ends in the epoch's stream (both (stories,)).

        Sorted by raw 64-bit draws: numpy promises those for ever, but not the algorithm of ``permutation``.
        """
        bits = np.random.PCG64(np.random.SeedSequence([self.seed, epoch]))
        order = np.argsort(bits.random_raw(len(self._lengths)), kind="stable")
        return order, np.cumsum(self._lengths[order])


@dataclass(frozen=True)
class EvalSlice:
    """The validation text that every vocabulary is measured on."""

    inputs: Tokens
    """(batches, batch_size, context_length); padded with end-of-text."""
    targets: Tokens
    """The same shape; padded with IGNORED."""
    total_bytes: int
    """UTF-8 bytes of the stories' text: bits per byte = nats summed over the targets / ln 2 / total_bytes."""
    total_tokens: int
    """Targets that count: every token of the stories, and the end-of-text of each."""


def evaluation_batches(
    split: Split, *, max_bytes: int, batch_size: int, context_length: int, end_of_text: int
) -> EvalSlice:
    """The first stories that fit in ``max_bytes``, behind one end-of-text, in windows that do not overlap.

    :raises ValueError: not even the first story fits.
    """
    ends = np.cumsum(split.story_bytes)
    stories = int(np.searchsorted(ends, max_bytes, side="right"))
    if stories == 0:
        raise ValueError(f"eval_bytes {max_bytes}: the first validation story alone has {ends[0]} bytes; raise it")
    count = int(split.token_ends[stories - 1])
    shape = (-(-count // (batch_size * context_length)), batch_size, context_length)
    inputs = np.full(shape, end_of_text, np.int64)
    targets = np.full(shape, IGNORED, np.int64)
    inputs.reshape(-1)[1:count] = split.tokens[: count - 1]
    targets.reshape(-1)[:count] = split.tokens[:count]
    return EvalSlice(inputs, targets, int(ends[stories - 1]), count)
