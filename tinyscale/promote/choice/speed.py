"""How fast models tell a story on this machine."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch

from tinyscale.model.sample import generate
from tinyscale.model.store import load_model
from tinyscale.model.transformer import Transformer
from tinyscale.train.device import pick_device

TOKENS = 128
"""Of one story."""
ROUNDS = 5
EQUAL = 0.05
"""Speeds closer than this count as equal. Measured four times over, on two cores that six other programs shared, the
fastest rounds of seven models differed by 1 to 5 %, their medians by 5 to 18 %."""

K = TypeVar("K")


def generation_speeds(folders: Mapping[K, Path]) -> dict[K, float]:
    """Tokens a second of each model: one story at a time, greedy, :data:`TOKENS` tokens whatever they say.

    The fastest of :data:`ROUNDS` rounds in which every model has its turn: what else a machine does only ever slows.
    On a CPU it is one thread's, by CPU time, since a model this small is no faster on more. All models are in memory
    at once.

    :param folders: of the models, as :func:`tinyscale.model.store.load_model` takes.
    """
    device = pick_device("fp32").torch_device
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    models = {key: load_model(folder).to(device) for key, folder in folders.items()}
    seconds: dict[K, list[float]] = {key: [] for key in models}
    with _one_thread():
        for model in models.values():
            _tell(model, TOKENS // 4)  # what is compiled or reserved once is not timed
        for _ in range(ROUNDS):
            for key, model in models.items():
                start = clock()
                _tell(model, TOKENS)
                seconds[key].append(clock() - start)
    return {key: TOKENS / min(times) for key, times in seconds.items()}


def how_measured() -> str:
    """The measurement and its machine, in words."""
    device = pick_device("fp32")
    where = device.name if device.torch_device.type == "cuda" else f"one thread of {device.name}, CPU time"
    return f"{TOKENS} tokens of one story at a time, greedy, fastest of {ROUNDS} rounds on {where}"


def _tell(model: Transformer, tokens: int) -> None:
    """From token 0: which one does not matter for the speed."""
    for _ in generate(model, torch.zeros(1, dtype=torch.int64), tokens, temperature=0.0):
        pass


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
