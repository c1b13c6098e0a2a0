"""What a trial yields."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Status = Literal["done", "diverged", "pruned", "failed"]
"""How a trial ended. pruned: ASHA stopped it early, and its checkpoint stays for a launch under ``scheduler: fifo``."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One line of a trial's journal: metrics at a step."""

    step: int
    """Optimizer steps taken, on all branches of a trunk."""
    tokens: int
    """Training tokens that the model has seen; they fall where a branch ends and the trunk goes on."""
    time_s: float
    """Unix time of the measurement."""
    metrics: Mapping[str, float]
    """By name: train/loss, train/grad_norm, train/learning_rate, speed/tokens_per_s, eval/loss, eval/bpb, ..."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One (N, D, V, loss) for the laws."""

    trial_id: str
    params_total: int
    """N with embeddings and head (a tied head counts once)."""
    params_non_embedding: int
    """N without token embedding, learned positions and untied head."""
    hidden_size: int
    num_layers: int
    vocab_size: int
    tokens: int
    """D: training tokens seen."""
    text_bytes: float
    """UTF-8 bytes of training text in those tokens (tokens x bytes per token of the training shards)."""
    flops: float
    """C: training FLOPs."""
    loss: float
    """Mean cross-entropy on the validation slice (nats per token)."""
    bpb: float
    """The same in bits per byte of the original text."""
    learning_rate: float
    seed: int
    unigram_loss: float = 0.0
    """Of the same slice under the training text's frequencies of tokens alone (nats per token); 0: unknown."""
    holdout: bool = False


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """The outcome of a trial, stored once as ``result.json``."""

    trial_id: str
    name: str
    status: Status
    points: tuple[Point, ...] = ()
    """One for each token budget, ascending; empty unless done."""
    steps: int = 0
    """Optimizer steps taken, on all branches of a trunk."""
    train_s: float = 0.0
    """Seconds of training steps, all lives of the trial together, evaluation and checkpoints left out."""
    tokens_per_s: float = 0.0
    """Median over the last life."""
    mfu: float | None = None
    """Model FLOPs utilisation against peak_flops; None where no peak is known (CPUs)."""
    peak_flops: float | None = None
    """FLOP/s of the device's data sheet."""
    peak_source: str = ""
    """Where peak_flops comes from."""
    peak_memory_bytes: int = 0
    """Largest memory of one worker (CUDA allocator, or resident set on a CPU)."""
    device: str = ""
    engine: str = ""
    workers: int = 1
    threads: int = 0
    """CPU threads of a worker; 0: not noted."""
    precision: str = ""
    kernels: str = ""
    """Who computed the model's ops: triton or torch."""
    compiled: bool = False
    """Whether the loss of training went through torch.compile."""
    eval_bytes: int = 0
    """Bytes of the validation slice."""
    eval_tokens: int = 0
    """Tokens predicted in it."""
    model_digest: str = ""
    """SHA-256 of model.safetensors."""
    message: str = ""
    """Why it diverged, failed or was stopped early."""
    versions: Mapping[str, str] = field(default_factory=dict)
    started_s: float = 0.0
    """Unix time of the first life's start."""
    finished_s: float = 0.0
    """Unix time of the end."""
