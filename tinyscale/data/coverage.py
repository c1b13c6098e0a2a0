"""What a vocabulary makes of the training text: bytes a token, and how few kinds of tokens cover most of it."""

from collections.abc import Iterable

import numpy as np

from tinyscale.data.shards import Shards
from tinyscale.spec import VocabularyFacts

FEWEST = 16
"""Kinds of tokens at which the table of coverage begins."""


def vocabulary_facts(shards: Shards, vocab_sizes: Iterable[int] = ()) -> VocabularyFacts:
    """Facts about the vocabulary of some shards, from how often each token stands in the training split.

    End-of-text is a kind of token like any other. Coverage is given for the powers of two from 16 up, for the whole
    vocabulary, and for the sizes of the study's others: what share of this one's tokens a table of so many rows could
    hold if its rows were the most frequent.

    :param vocab_sizes: of the study.
    """
    size = shards.vocab_size
    powers = (1 << power for power in range(FEWEST.bit_length() - 1, size.bit_length()))
    ks = sorted({k for k in (*powers, *vocab_sizes, size) if k <= size})
    covered = np.cumsum(np.sort(shards.train_counts)[::-1]) / shards.train_counts.sum()
    return VocabularyFacts(
        vocab_size=size,
        bytes_per_token=shards.bytes_per_token,
        coverage=tuple((k, float(covered[k - 1])) for k in ks),
    )
