"""Stories told by a finished model."""

from collections.abc import Iterator
from pathlib import Path

from tinyscale.results.store import find_model

PROMPTS = ("Once upon a time", "One day, a little", "It was a sunny morning")
"""Beginnings of the stories in the report."""


class Storyteller:
    """A model and its tokenizer, loaded once."""

    def __init__(self, folder: Path) -> None:
        """Load from the folder of a trial or of an imported model, or from its ``model`` folder.

        :raises ValueError: there is no finished model in the folder.
        """
        from tinyscale.data.tokenizer import begin_of_text_id, end_of_text_id, load_tokenizer
        from tinyscale.model.store import load_model

        home = find_model(folder)
        self._model = load_model(home)
        self._tokenizer = load_tokenizer(home / "tokenizer.json")
        self._begin, self._end = begin_of_text_id(self._tokenizer), end_of_text_id(self._tokenizer)

    def tell(
        self, prompt: str, *, max_tokens: int, temperature: float = 0.8, top_p: float = 0.95, seed: int = 0
    ) -> Iterator[str]:
        """The continuation of ``prompt``, piece by piece, each piece whole characters."""
        import torch

        from tinyscale.data.tokenizer import decode_continuation
        from tinyscale.model.sample import generate

        tokens = [self._begin, *self._tokenizer.encode(prompt).ids]
        ids: list[int] = []
        told = ""
        stream = generate(
            self._model,
            torch.tensor(tokens),
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            eos=self._end,
        )
        for token in stream:
            if token == self._end:
                break
            ids.append(token)
            text = decode_continuation(self._tokenizer, tokens, ids)
            if not text.endswith("\ufffd"):  # half of a character: wait for its other bytes
                yield text[len(told) :]
                told = text
