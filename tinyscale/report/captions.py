"""What stands over and under each picture of a report."""

from collections.abc import Mapping

CAPTIONS: Mapping[str, tuple[str, str]] = {
    "law": (
        "Loss against tokens",
        "Dots are trials, lines the law at each model size with its 95 % band, stars the hold-outs as they came out, "
        "diamonds what the law had said of them before.",
    ),
    "frontier": (
        "Compute-optimal frontier",
        "Left: the least loss that a training compute C = 6 N D reaches, with its 95 % band. Right: the model size N "
        "that reaches it. Past the dots it is extrapolation.",
    ),
    "isoflop": (
        "Equal compute",
        "Runs of one training compute with the parabola of their loss in the logarithm of N (Hoffmann et al. 2022, "
        "approach 2): a check of the law by other means. The dashed lines are the law's, for the tokens that the "
        "compute buys at each size. Levels with too few sizes, or without a minimum inside, are refused and drawn "
        "hollow.",
    ),
    "residuals": (
        "Residuals",
        "Measured loss over the law's; stars are the hold-outs that it foretold. A trend means that the law "
        "misses something; scatter without one is noise.",
    ),
    "exponents": (
        "How sure the exponents are",
        "The law refitted to resampled trials: a long thin cloud means that alpha and beta trade off; and, where they "
        "can be told, the exponents with another count of N, which moves those of tiny models most (Porian et al. "
        "2024).",
    ),
    "shape": (
        "Does shape matter beyond N?",
        "Left: dots are trials, solid lines a law of width and depth, dashed ones L(N, D). Right: what L(N, D) leaves "
        "over, against the width over the depth: level where the number of parameters tells all.",
    ),
    "vocabulary_parts": (
        "What a vocabulary costs",
        "Left: the share of the training text's tokens that are among the k most frequent kinds; diamonds stand on the "
        "largest vocabulary's line at the sizes of the others: what a table of so many rows would keep of its tokens. "
        "Right: where the parameters are in models of one shape, embeddings with learned positions; a tied head is the "
        "embedding, and counts there once. Above the bars the bits per byte of the best run at one budget, of equal "
        "text where the study has such.",
    ),
    "vocabulary_optimum": (
        "The best vocabulary",
        "Bits per byte at a few training computes under the law of the vocabulary (after Tao et al. 2024), each "
        "vocabulary with the best model size for it.",
    ),
    "regret": (
        "Learning rates",
        "What each rate loses to the best one tried at its size and token budget. The law sees the best; where it lies "
        "at the edge, a better one may lie beyond.",
    ),
    "published": (
        "Beside the TinyStories paper",
        "Stars are models of this study; lines are the losses that Eldan & Li 2023 print for the same shapes, per "
        "token of another tokenizer, on another text and after a training whose length they do not print: levels do "
        "not compare, slopes do, roughly.",
    ),
    "imported": (
        "Models from elsewhere, on the same text",
        "Bits per byte against parameters. Diamonds are models that were trained elsewhere, measured on all the "
        "validation text of this study with their own tokenizer and context; bars are 95 % intervals over stories. "
        "What they were trained on, for how long, and whether they have seen this text is not known here, so they are "
        "no part of the law, and compute is no axis. Grey dots are the study's trials, as everywhere on this page on "
        "the slice that its evaluations read; dark dots are trials measured on all the text.",
    ),
    "grades": (
        "Grades against loss and size",
        "Left: scores of this study's models against their bits per byte. Right: their overall score (mean of grammar, "
        "creativity, consistency and plot) against hidden size, beside the lines that Eldan & Li 2023 print, a colour "
        "for each number of layers. Theirs come from another judge, another training and, where a study does not take "
        "theirs, other prompts: levels do not compare, slopes do, roughly. Their losses are per token of their own "
        "tokenizer, and have no place on an axis of bits per byte. Hollow marks are models from elsewhere, at their "
        "loss on all the validation text.",
    ),
    "curves": (
        "Learning curves",
        "Lines are the training loss (means in log-spaced windows, turned into bits per byte with the tokens per byte "
        "of the validation text), dots the evaluations.",
    ),
    "vocabulary": (
        "Vocabulary",
        "Equal shape, and equal text or tokens. Bits per byte compare vocabularies; loss per token does not, since a "
        "token of a larger vocabulary holds more text: it favours small vocabularies. Where the loss of the tokens' "
        "frequencies alone is known, it is taken off as Tao et al. 2024 do.",
    ),
}
"""Heading and caption of each picture."""
