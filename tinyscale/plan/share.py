"""What a trial occupies: the study's numbers, or where it says auto, what a model of its size has a use for."""

import os
import shutil
import subprocess
from dataclasses import dataclass

from tinyscale.accounting import training_bytes, training_flops
from tinyscale.plan.quote import GPU_FLOPS, GPU_STEP_S
from tinyscale.spec import Trial
from tinyscale.spec.study import Resources, Share

MOST_PER_CARD = 8
"""Processes of one card take turns on it, each with a CUDA context and a host thread of its own."""
PROCESS_BYTES = 10**9
"""Of the card, for a process before its first tensor: CUDA context, cuBLAS, loaded kernels (assumed, not measured)."""
USABLE = 0.9
"""Of a card's memory; the allocator's fragments and other programs have the rest."""
TWO_THREADS_FROM = 256
"""Hidden size; see :func:`best_threads`."""
_ASK_S = 10.0


@dataclass(frozen=True)
class Card:
    """The GPU that shares are chosen for."""

    name: str
    memory_bytes: float

    def __str__(self) -> str:
        return f"{self.name}, {self.memory_bytes / 1e9:.0f} GB"


ASSUMED_CARD = Card("an RTX 5090 (assumed: no card is here to ask)", 32e9)


def local_card() -> Card | None:
    """The smallest card of this machine by memory, asked of the driver; None: there is none."""
    if shutil.which("nvidia-smi") is None:
        return None
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    asked = subprocess.run(query, capture_output=True, text=True, timeout=_ASK_S, check=False)
    if asked.returncode:  # its tool is there and the driver is not
        return None
    cards = [line.rpartition(",") for line in asked.stdout.splitlines()]
    found = [Card(name, float(mebibytes) * 2**20) for name, _, mebibytes in cards if mebibytes.strip().isdigit()]
    return min(found, key=lambda card: card.memory_bytes, default=None)


def choose_share(trial: Trial, resources: Resources, card: Card) -> Share:
    """What a trial occupies.

    :param card: for ``gpus: auto``.
    """
    if resources.cpus != "auto":
        cpus = int(resources.cpus)
    else:
        cpus = 1 if resources.on_gpu else min(best_threads(trial), len(os.sched_getaffinity(0)))
    if resources.gpus != "auto":
        return Share(workers=resources.workers, cpus=cpus, gpus=float(resources.gpus))
    # Ray counts GPUs in ten-thousandths: three shares of 0.3334 would not fit on one.
    share = 10_000 // trials_per_card(trial, resources.workers, card) / 10_000
    return Share(workers=resources.workers, cpus=cpus, gpus=share)


def smallest_share(resources: Resources) -> Share:
    """What any trial or task of a study occupies at least, where no trial is looked at."""
    return Share(
        workers=resources.workers,
        cpus=1 if resources.cpus == "auto" else int(resources.cpus),
        gpus=1 / MOST_PER_CARD if resources.gpus == "auto" else float(resources.gpus),
    )


def trials_per_card(trial: Trial, workers: int, card: Card) -> int:
    """Trials like this one that fill a card, by time and by memory.

    By time: in the quote's model a step launches for GPU_STEP_S and computes for FLOPs / GPU_FLOPS, so that alone it
    leaves the card idle for the first part, in which others compute. By memory: each of k such trials needs at most
    1 / k of the card's, so whatever mixture of shares Ray puts on one card fits.
    """
    sequences = trial.train.batch_size // workers
    compute_s = training_flops(trial.model, sequences * trial.model.context_length) / GPU_FLOPS
    fused = trial.train.kernels != "torch"
    need = training_bytes(trial.model, trial.train.micro_batch_size or sequences, workers=workers, fused_loss=fused)
    by_memory = int(USABLE * card.memory_bytes / (PROCESS_BYTES + need))
    return max(1, min(MOST_PER_CARD, by_memory, int(1 + GPU_STEP_S / compute_s)))


def best_threads(trial: Trial) -> int:
    """CPU threads of a worker: 2 from a width of 256 on, else 1.

    Two threads are worth their cores where they take a step in two thirds of the time: below that, two trials of one
    thread get more done. Seconds of a step with 1 thread over those with 2, measured with PyTorch 2.13 on 2 cores of an
    AMD EPYC, at real-time priority (2 layers, V 512, 8 x 128 tokens a step, two interleaved rounds, medians):

    width    32    64    128   192   256   384   512
    faster   0.90x 1.15x 1.25x 1.48x 1.54x 1.69x 1.65x

    More than 2 were not measured, so no trial gets more.
    """
    return 2 if trial.model.hidden_size >= TWO_THREADS_FROM else 1
