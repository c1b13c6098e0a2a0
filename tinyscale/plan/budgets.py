"""From the budgets of a grid to training tokens."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tinyscale.accounting import count_parameters, flops_per_token
from tinyscale.data import cached_shards
from tinyscale.data.text_per_token import estimated_bytes_per_token
from tinyscale.plan.recipe import resolve
from tinyscale.spec import ModelConfig, Study
from tinyscale.spec.study import Axes

KINDS = ("tokens", "flops", "tokens_per_param", "text_bytes")
"""Ways to say a budget; a grid names one (:class:`tinyscale.spec.study.TokenBudget`)."""


def grids(study: Study) -> Iterator[tuple[Axes, str, bool]]:
    """Each grid of a study with its place in the file, such as ``space.0``, and whether it is of hold-outs."""
    for section, found in (("space", study.space), ("holdout", study.holdout)):
        for index, grid in enumerate(found):
            yield grid, f"{section}.{index}", section == "holdout"


class Budgets:
    """Turns the budgets of one study's grids into tokens.

    :param corpus: digest of the study's corpus.
    :param bytes_per_token: UTF-8 bytes of training text a token, by vocabulary; None: what the cache's shards say. A
        vocabulary that neither knows gets an estimate.
    """

    def __init__(self, study: Study, corpus: str, bytes_per_token: Mapping[int, float] | None = None) -> None:
        self.corpus = corpus
        self.text_per_token: dict[int, float] = {}
        """Bytes a token of the vocabularies that were asked for."""
        self.estimated: set[int] = set()
        """Those of them that rest on an estimate."""
        self._study = study
        self._given = bytes_per_token
        self._tokens_of: Mapping[str, Callable[[float, ModelConfig], float]] = {
            "tokens": lambda tokens, model: tokens,
            "flops": lambda flops, model: flops / flops_per_token(model),
            "tokens_per_param": lambda ratio, model: ratio * count_parameters(model).total,
            "text_bytes": lambda text, model: text / self._bytes_per_token(model.vocab_size),
        }

    def tokens(self, kind: str, budget: Any, settings: Mapping[str, Any]) -> int:
        """Training tokens of a budget, which may depend on the model.

        :param kind: one of :data:`KINDS`.
        :param settings: fields of the trial; those left out are derived.
        :raises ValueError: the budget is not above 0, or a field lacks that no recipe derives.
        """
        if not budget > 0:
            raise ValueError(f"{kind} is {budget:g}; it must be more than 0")
        model, _ = resolve({**settings, "tokens": 1})
        return round(self._tokens_of[kind](budget, model))

    def _bytes_per_token(self, vocab_size: int) -> float:
        if vocab_size not in self.text_per_token:
            known = self._known(vocab_size)
            if known is None:
                self.estimated.add(vocab_size)
                known = estimated_bytes_per_token(self._study.tokenizer, vocab_size)
            self.text_per_token[vocab_size] = known
        return self.text_per_token[vocab_size]

    def _known(self, vocab_size: int) -> float | None:
        if self._given is not None:
            return self._given.get(vocab_size)
        shards = cached_shards(self._study, self.corpus, vocab_size)
        return shards.bytes_per_token if shards else None
