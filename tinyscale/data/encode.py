"""Stories of text files in the tokens of any tokenizer, in memory."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinyscale.data.shards import Split, iter_encoded, parallel_tokenizers
from tinyscale.data.tokenizer import end_of_text_id

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def encode_stories(paths: Sequence[Path], tokenizer: "Tokenizer") -> Split:
    """All stories of the files, encoded on all cores; they take 4 bytes a token.

    :raises ValueError: a file is not UTF-8, or the files hold no story.
    """
    pieces, story_bytes = [], []
    with parallel_tokenizers():
        for ids, size in iter_encoded(paths, tokenizer, end_of_text_id(tokenizer), np.uint32):
            pieces.append(ids)
            story_bytes.append(size)
    if not pieces:
        raise ValueError(f"{', '.join(map(str, paths)) or 'no file'}: no story to encode")
    ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
    return Split(np.concatenate(pieces), ends, np.array(story_bytes, np.int64))
