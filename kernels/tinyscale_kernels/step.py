"""How long one optimizer step of a GPT-2 should take on a card, op by op.

Every op takes the longer of the time for its matrix products and the time for its bytes, and one runs after the other.
The rates are assumptions, each with its source (:class:`Rates`); what a trainer fuses, recomputes and stores is its
:class:`Choices`. Fed the choices of a published run, the model must come out near that run's measured speed: that is
what it is checked against (:data:`PUBLISHED_TOKENS_PER_S`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tinyscale_kernels.roofline import RTX_5090, Card, Work, attention_pairs

PUBLISHED_TOKENS_PER_S = 207_135
"""Of GPT-2 124M on one RTX 5090, 64 x 1,024 tokens a micro-batch and 524,288 a step, from the model card of
``adamroberts/tinystories-5090`` on the Hugging Face hub (trainer: llm.kittens, step time 2,531 ms)."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A GPT-2 (Radford et al. 2019) and its batch; the defaults are the published run's."""

    layers: int = 12
    hidden: int = 768
    heads: int = 12
    vocab: int = 50_304
    """Rows of the head: 50,257 padded to a multiple of 128."""
    length: int = 1024
    """Tokens of a sequence."""
    sequences: int = 64
    """Of a micro-batch."""
    micro_batches: int = 8

    @property
    def rows(self) -> int:
        """Tokens of a micro-batch."""
        return self.sequences * self.length

    @property
    def tokens(self) -> int:
        """Of an optimizer step."""
        return self.rows * self.micro_batches

    @property
    def parameters(self) -> int:
        """Embeddings, and 12 layers of four matrices, their biases and two norms, and the last norm."""
        E = self.hidden
        return (self.vocab + self.length) * E + self.layers * (12 * E * E + 13 * E) + 2 * E


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What a trainer does with the same mathematics."""

    name: str
    residual_bytes: int
    """Of an element of the residual stream: 2 is bf16, 4 is fp32."""
    fused_bias_gradient: bool
    """The gradient of the MLP's first bias comes out of GELU's backward pass; else it reads that gradient again."""
    split_copies: bool
    """q, k and v are split and their gradients joined by copies; else attention works on the packed projection."""
    optimizer_bytes: int
    """AdamW's traffic a parameter: weight, gradient and two moments read, weight and moments written."""
    weight_copy_bytes: int
    """A parameter and micro-batch: making bf16 weights of fp32 ones, and adding up fp32 gradients."""


TRAINER = Choices(
    name="the published trainer (C++, all activations bf16)",
    residual_bytes=2,
    fused_bias_gradient=False,
    split_copies=False,
    optimizer_bytes=2 + 3 * 4 + 3 * 4 + 2,  # bf16 gradient; fp32 master and moments read and written; bf16 weight
    weight_copy_bytes=2 * 2,  # the bf16 gradient is read and written as products add to it
)
TINYSCALE = Choices(
    name="tinyscale (autocast: fp32 residual stream and weights)",
    residual_bytes=4,
    fused_bias_gradient=True,
    split_copies=True,  # full attention at heads of 64 is torch's own, which takes q, k and v apart
    optimizer_bytes=4 * 4 + 3 * 4,
    weight_copy_bytes=(4 + 2) + (2 + 4) + 3 * 4,  # weights to bf16; gradients to fp32; added to the sum so far
)


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What a card really reaches: assumptions."""

    matmul_flops: float
    attention_forward_flops: float
    attention_backward_flops: float
    bandwidth: float
    """Bytes a second of a kernel that only moves memory."""
    sources: tuple[str, ...]


RTX_5090_RATES = Rates(
    matmul_flops=201.6e12,
    attention_forward_flops=186e12,
    attention_backward_flops=117e12,
    bandwidth=0.9 * RTX_5090.bandwidth,
    sources=(
        "matrix products at 201.6 TFLOP/s, 96 % of the data sheet: the middle of two published measurements of "
        "torch.matmul in bf16, 224.3 (16384 x 8192 x 1280, main-horse.github.io/posts/5090-mm-perf) and 178.9 "
        "(10240 cubed, github.com/zzc0721/torch-performance-test-data/issues/200); cards boost past the sheet's clock",
        "attention at 186 and 117 TFLOP/s forward and backward: torch's SDPA, causal, heads of 64, as published",
        "90 % of 1,792 GB/s for kernels that only move memory: an assumption, not measured",
        "no time between kernels, and none for logging or data: the ops are large enough to hide it",
    ),
)


@dataclass(frozen=True)
class Part:
    """One kind of op in a step."""

    name: str
    work: Work
    """Of one micro-batch."""
    flops_rate: float | None = None
    """None: the rate of matrix products."""
    times: int = 1
    """In a step: ``micro_batches``, or once."""


def parts(shape: Shape, choices: Choices, rates: Rates) -> Iterator[Part]:
    """The step's ops. Elements are counted in units of rows x hidden; activations are bf16, 2 bytes."""
    E, L, N = shape.hidden, shape.layers, shape.rows
    row = N * E  # elements of one (N, E) tensor
    residual, again = choices.residual_bytes, shape.micro_batches

    def product(inputs: int, outputs: int) -> Work:
        """Forward, and backward for the input and for the weight: each reads two of the three and writes the third."""
        moved = 2 * (N * inputs + N * outputs + inputs * outputs)
        return Work(2.0 * N * inputs * outputs, moved) * 3

    matrices = product(E, 3 * E) + product(E, E) + product(E, 4 * E) + product(4 * E, E)
    yield Part("matrix products of the blocks", matrices * L, times=again)
    yield Part("matrix products of the head", product(E, shape.vocab), times=again)

    pairs = attention_pairs(shape.length) * shape.sequences
    yield Part(
        "attention forward", Work(4.0 * pairs * E * L, 4 * row * 2 * L), rates.attention_forward_flops, times=again
    )
    yield Part(
        "attention backward", Work(10.0 * pairs * E * L, 8 * row * 2 * L), rates.attention_backward_flops, times=again
    )
    if choices.split_copies:
        yield Part("joining the gradients of q, k and v", Work(0, 2 * 3 * row * 2 * L), times=again)

    norms = 2 * L + 1
    forward = row * (2 + residual + residual + 2)  # branch, stream; sum, normed
    backward = row * (residual + 2 + residual + residual + (2 if residual != 2 else 0))
    yield Part("norms with the residual addition", Work(0, (forward + backward) * norms), times=again)
    yield Part("GELU", Work(0, (2 + 3) * 4 * row * 2 * L), times=again)
    biases = 3 + 1 + 1 + (0 if choices.fused_bias_gradient else 4)
    yield Part("bias gradients", Work(0, biases * row * 2 * L), times=again)
    yield Part("embeddings", Work(0, 2 * row * (residual + residual)), times=again)
    # One pass over the logits: they are read, and their gradient takes their place (the second read hits the cache).
    yield Part("cross-entropy", Work(0, 2 * N * shape.vocab * 2), times=again)
    yield Part("copies of weights and gradients", Work(0, choices.weight_copy_bytes * shape.parameters), times=again)
    yield Part("AdamW and gradient norm", Work(0, (choices.optimizer_bytes + 4) * shape.parameters))


def seconds(part: Part, rates: Rates) -> float:
    """Of all its repetitions in one step."""
    flops_rate = part.flops_rate or rates.matmul_flops
    return part.times * max(part.work.flops / flops_rate, part.work.bytes_moved / rates.bandwidth)


def tokens_per_s(shape: Shape, choices: Choices, rates: Rates) -> float:
    """Tokens of a step over its time."""
    return shape.tokens / sum(seconds(part, rates) for part in parts(shape, choices, rates))


def report(shape: Shape, choices: Choices, rates: Rates, card: Card) -> str:
    """The step as a table."""
    found = list(parts(shape, choices, rates))
    total = sum(seconds(part, rates) for part in found)
    lines = [f"One step of GPT-2 {shape.parameters / 1e6:.1f}M on an {card.name}: {choices.name}"]
    for part in found:
        lines.append(
            f"  {part.name:<38}{part.times * part.work.flops / 1e12:9.1f} TFLOP"
            f"{part.times * part.work.bytes_moved / 1e9:9.1f} GB{seconds(part, rates) * 1e3:9.1f} ms"
        )
    speed = shape.tokens / total
    lines.append(f"  {'in all':<38}{total * 1e3:37.1f} ms = {speed:,.0f} tokens/s")
    return "\n".join(lines)
