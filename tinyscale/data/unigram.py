"""What the tokens' frequencies alone would lose: the zero from which Tao et al. 2024 count."""

import numpy as np

from tinyscale.data.loader import IGNORED, EvalSlice
from tinyscale.data.shards import Shards


def unigram_loss(shards: Shards, evaluation: EvalSlice) -> float:
    """Cross-entropy of the validation slice under the training split's frequencies of tokens, in nats per token.

    A token seen k times in training counts as k + 1 (Laplace), so one that was never seen costs no infinity. The loss
    of a model less this one is the unigram-normalised loss of Tao et al. 2024, which a vocabulary
    moves less than it moves the loss itself.

    :param evaluation: of the same shards' validation split; padding is left out.
    """
    targets = evaluation.targets[evaluation.targets != IGNORED]
    smoothed = shards.train_counts + 1.0
    return float(np.log(smoothed.sum()) - np.log(smoothed[targets]).mean())
