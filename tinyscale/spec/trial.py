"""One trial, fully resolved: nothing in here is left to be derived."""

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Literal

from tinyscale.spec.codec import digest

Preset = Literal["gpt2", "gptneo", "llama"]
Norm = Literal["layer", "rms", "none"]
NormPosition = Literal["pre", "post"]
Positions = Literal["learned", "rope", "none"]
Mlp = Literal["gelu", "relu", "silu", "swiglu", "geglu"]
Schedule = Literal["cosine", "wsd", "linear", "constant", "trunk"]
Precision = Literal["auto", "fp32", "bf16"]
EngineName = Literal["zero", "torch"]
Kernels = Literal["auto", "triton", "torch"]
Compile = bool | Literal["auto"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The shape of one decoder-only transformer."""

    preset: Preset
    """The public architecture whose switches were the defaults of this shape."""
    vocab_size: int
    """Rows of the token embedding (tokens)."""
    hidden_size: int
    """Width of the residual stream."""
    num_layers: int
    """Transformer blocks."""
    num_heads: int
    """Query heads; divides hidden_size."""
    num_kv_heads: int
    """Key and value heads; divides num_heads (Ainslie et al. 2023, grouped-query attention)."""
    intermediate_size: int
    """Width inside the MLP."""
    context_length: int
    """Tokens a model sees at once."""
    norm: Norm
    """LayerNorm, RMSNorm or none at all."""
    norm_position: NormPosition
    """Before each sub-layer (with a final norm), or after each residual addition."""
    positions: Positions
    """Learned absolute positions, rotary positions, or none."""
    mlp: Mlp
    """Activation; swiglu and geglu are gated and have a third matrix. gelu is the tanh form."""
    qkv_bias: bool
    """Biases on the query, key and value projections."""
    bias: bool
    """Biases on every other projection."""
    tie_embeddings: bool
    """The output head is the token embedding."""
    sliding_window: int = 0
    """Odd layers see only this many tokens back, the token itself included; 0: every layer sees all."""
    scale_attention: bool = True
    """Divide attention scores by sqrt(head size); GPT-Neo does not."""
    rope_theta: float = 10_000.0
    """Base of the rotary frequencies (Su et al. 2021)."""
    norm_epsilon: float = 1e-5
    """Added to the variance inside the norms."""
    dropout: float = 0.0
    """Probability on embeddings, attention weights and sub-layer outputs."""
    init_std: float = 0.02
    """Standard deviation of the weights at the start; outputs to the residual stream get it over sqrt(2 L)."""

    @property
    def head_size(self) -> int:
        """Channels of one head."""
        return self.hidden_size // self.num_heads


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How one model is trained."""

    tokens: int
    """Training tokens; rounded to whole steps of batch_size x context_length."""
    batch_size: int
    """Sequences an optimizer step, over all workers and micro-batches."""
    learning_rate: float
    """Peak learning rate of AdamW."""
    warmup_steps: int
    """Steps of linear warm-up from zero."""
    schedule: Schedule = "cosine"
    """Shape after the warm-up. wsd: constant, then 1 - sqrt over the last decay_fraction (Haegele et al. 2024).
    trunk: as wsd, for several token budgets at once, each a cooldown that leaves the one constant stretch."""
    branches: tuple[int, ...] = ()
    """The smaller token budgets of a trunk, ascending; ``tokens`` is the largest. In a study they are one list."""
    decay_fraction: float = 0.2
    """Share of the steps in which wsd and trunk decay."""
    final_lr_ratio: float = 0.1
    """Last learning rate over the peak, for all schedules but constant."""
    weight_decay: float = 0.1
    """Decoupled, on matrices only (Loshchilov & Hutter 2019)."""
    beta1: float = 0.9
    """Decay of AdamW's first moment."""
    beta2: float = 0.95
    """Decay of AdamW's second moment."""
    epsilon: float = 1e-8
    """Added to the root of AdamW's second moment."""
    grad_clip: float = 1.0
    """Largest global gradient norm; 0: no clipping."""
    seed: int = 0
    """Seed of the weights, the data order and dropout."""
    precision: Precision = "auto"
    """auto: bf16 on CUDA cards that have it and, from a hidden_size of 128 on, on CPUs that multiply it natively; else
    fp32. bf16 is for matrix products alone: weights, gradients and moments stay fp32."""
    eval_every: int = 0
    """Steps between evaluations; 0: only at the end."""
    eval_bytes: int = 200_000
    """Validation text: the first stories that fit in this many bytes, the same for every vocabulary."""
    log_every: int = 10
    """Steps between training metrics. Not part of the trial's identity."""
    checkpoint_every: int = 200
    """Steps between checkpoints. Not part of the trial's identity."""
    micro_batch_size: int = 0
    """Sequences a worker's forward pass; 0: the worker's whole share. Not part of the trial's identity."""
    kernels: Kernels = "auto"
    """auto: Triton's on CUDA cards, where they are the faster ones, else PyTorch's; triton or torch: that one alone.
    Not part of the trial's identity."""
    compile: Compile = "auto"
    """torch.compile of the training loss. auto: on CPUs, where training lasts long enough to repay the compiler. Not
    part of the trial's identity."""

    def cooldown_start(self, steps: int) -> int:
        """Steps at the peak, warm-up included, of wsd and trunk with a budget of so many steps."""
        return max(self.warmup_steps, steps - round(self.decay_fraction * steps))


@dataclass(frozen=True, kw_only=True)
class Line:
    """Training without a step back: from the start, or a fork of the trunk, through a cooldown to a token budget.

    Its steps are counted from the model's first weights, so a line computes what a run with its budget alone would.
    """

    start: int
    """Step at which it leaves the line before; 0 on the first."""
    fork: int
    """Step at which the next line leaves it: there the cooldown begins."""
    end: int
    """Step at which its budget is spent."""
    taken: int
    """Steps that the trial has taken on the lines before."""

    def trial_step(self, step: int) -> int:
        """Steps of the whole trial when this line is at ``step``."""
        return self.taken + step - self.start


NOT_IDENTITY = frozenset({"log_every", "checkpoint_every", "micro_batch_size", "kernels", "compile"})
"""Fields that change how a trial is watched, split or computed, but not what it computes, up to rounding."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One model to be trained. Its id is the hash of everything that decides the outcome."""

    model: ModelConfig
    train: TrainConfig
    corpus: str
    """Digest of the corpus."""
    tokenizer: str
    """Digest of the tokenizer."""
    holdout: bool = False
    """Kept out of every fit; forecast first, then trained. A role, not part of the identity."""
    suffix: str = ""
    """Sets the name apart from those of equal shape, tokens and seed, as in ``-lr0.003``. Not part of the identity."""

    @property
    def shape(self) -> str:
        """Shape, tokens and seed, such as ``d64-L2-V512-D2M-s0``; two trials of a study may share it."""
        model, train = self.model, self.train
        return (
            f"d{model.hidden_size}-L{model.num_layers}-V{model.vocab_size}-D{short_count(train.tokens)}-s{train.seed}"
        )

    @property
    def name(self) -> str:
        """The trial's name, unique in its study."""
        return self.shape + self.suffix

    @property
    def id(self) -> str:
        """``shape`` and eight hex digits of the hash of the resolved spec."""
        train = {f.name: getattr(self.train, f.name) for f in fields(self.train) if f.name not in NOT_IDENTITY}
        key = digest({"model": self.model, "train": train, "corpus": self.corpus, "tokenizer": self.tokenizer})
        return f"{self.shape}-{key[:8]}"

    @property
    def batch_tokens(self) -> int:
        """Tokens an optimizer step."""
        return self.train.batch_size * self.model.context_length

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """What is trained, in order: one line for each token budget, the smallest first."""
        lines: list[Line] = []
        start = taken = 0
        for tokens in (*self.train.branches, self.train.tokens):
            end = max(1, round(tokens / self.batch_tokens))
            lines.append(Line(start=start, fork=self.train.cooldown_start(end), end=end, taken=taken))
            taken = lines[-1].trial_step(end)
            start = lines[-1].fork
        return tuple(lines)

    @property
    def steps(self) -> int:
        """Optimizer steps of all lines: what the trial costs."""
        return self.lines[-1].trial_step(self.lines[-1].end)

    @property
    def budgets(self) -> tuple[int, ...]:
        """Training tokens of each point that the trial yields: those asked for, rounded to whole steps; ascending."""
        return tuple(line.end * self.batch_tokens for line in self.lines)


@dataclass(frozen=True, kw_only=True)
class Job:
    """A trial and where it runs: what a worker is handed, and what ``trial.json`` holds."""

    trial: Trial
    shards: str
    """Folder of the token shards."""
    tokenizer: str
    """Path of the tokenizer's ``tokenizer.json``."""
    folder: str
    """Folder of the trial, for checkpoints, journal, model and result."""
    engine: EngineName = "zero"
    """zero: DeepSpeed ZeRO-1; torch: the plain twin."""
    workers: int = 1
    """Processes that share the trial's batch."""
    threads: int = 1
    """CPU threads a worker."""


def short_count(number: int) -> str:
    """A count in three digits or so: 250000 -> ``250k``, 2000000 -> ``2M``, 1500000000 -> ``1.5B``."""
    for unit, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= unit:
            return f"{number / unit:.3g}{letter}"
    return str(number)
