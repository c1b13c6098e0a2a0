"""Parameters, FLOPs and bytes by formula: the one place that counts. No torch in here."""

import re
from dataclasses import dataclass

from tinyscale.spec import ModelConfig

_FP32_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class ParameterCount:
    """Parameters of a model by part."""

    token_embedding: int
    position_embedding: int
    """0 unless positions are learned."""
    blocks: int
    """Matrices, biases and norms of all layers."""
    final_norm: int
    head: int
    """0 where the head is the token embedding."""

    @property
    def total(self) -> int:
        """All of them; a tied head counts once."""
        return self.token_embedding + self.position_embedding + self.blocks + self.final_norm + self.head

    @property
    def non_embedding(self) -> int:
        """Without token embedding, learned positions and untied head (the N of Kaplan et al. 2020)."""
        return self.blocks + self.final_norm


def count_parameters(model: ModelConfig) -> ParameterCount:
    """Count what :class:`tinyscale.model.transformer.Transformer` holds, without building it."""
    hidden, kv_size, intermediate = model.hidden_size, model.num_kv_heads * model.head_size, model.intermediate_size
    norm = {"layer": 2, "rms": 1, "none": 0}[model.norm] * hidden
    attention_bias = model.qkv_bias * (hidden + 2 * kv_size) + model.bias * hidden
    mlp_bias = model.bias * (_mlp_inputs(model) * intermediate + hidden)
    return ParameterCount(
        token_embedding=model.vocab_size * hidden,
        position_embedding=model.context_length * hidden if model.positions == "learned" else 0,
        blocks=model.num_layers * (_block_matrices(model) + attention_bias + mlp_bias + 2 * norm),
        final_norm=norm if model.norm_position == "pre" else 0,
        head=0 if model.tie_embeddings else model.vocab_size * hidden,
    )


def padded_vocab(vocab_size: int) -> int:
    """Rows of embedding and head in codes that pad the vocabulary: the next multiple of 64, such as 50,304 of 50,257.

    Matrix products are fastest where sizes are multiples of 128 bytes, 64 numbers of bf16 (NVIDIA, Matrix
    Multiplication Background User's Guide, "Requirements to Use Tensor Cores"). Published counts of parameters may have
    those rows, which no token ever uses. Here our kernel of head and loss pads the product itself: weights,
    checkpoints and exports have a row for each token, and their count is :func:`count_parameters`.
    """
    return -(-vocab_size // 64) * 64


def _mlp_inputs(model: ModelConfig) -> int:
    """Matrices that read the MLP's input: up, and gate where there is one."""
    return 2 if model.mlp in ("swiglu", "geglu") else 1


def _block_matrices(model: ModelConfig) -> int:
    """Weights of one layer that multiply a token."""
    hidden, kv_size = model.hidden_size, model.num_kv_heads * model.head_size
    attention = hidden * (hidden + 2 * kv_size) + hidden * hidden
    return attention + (_mlp_inputs(model) + 1) * hidden * model.intermediate_size


def flops_per_token(model: ModelConfig) -> float:
    """Training FLOPs a token, forward and backward, at full context.

    A weight that multiplies a token costs one multiplication and one addition forward, and twice that backward (for
    the gradients of its input and of itself): 6 FLOPs (Kaplan et al. 2020, section 2.1). These weights, N_matmul, are
    the matrices of the blocks and the output head, tied or not; looking up an embedding multiplies nothing. Biases,
    norms, activations, rotations and softmax are left out.

    Attention adds, in each layer and for each key that a token looks at, a product of hidden_size channels for the
    score and another for the sum of values: 2 * 2 * E forward, three times that in all (Chowdhery et al. 2022, PaLM,
    appendix B). With S keys a token::

        flops = 6 N_matmul + sum over layers of 12 * S * E

    S is the whole context T, as PaLM counts, and not the (T + 1) / 2 that a causal token sees on average: MFU is then
    comparable with published figures. A layer with a sliding window w has S = min(w, T). Nothing is added for
    recomputation, such as that of scores in the backward pass of flash attention: a machine's count of executed FLOPs
    is higher there by 2 * S * E a layer, and equal to this one where attention is two plain products.
    """
    matmul_weights = model.num_layers * _block_matrices(model) + model.vocab_size * model.hidden_size
    window_layers = model.num_layers // 2 if model.sliding_window else 0
    window = min(model.sliding_window, model.context_length)
    keys = (model.num_layers - window_layers) * model.context_length + window_layers * window
    return float(6 * matmul_weights + 12 * keys * model.hidden_size)


def training_flops(model: ModelConfig, tokens: int) -> float:
    """C: FLOPs of training on so many tokens."""
    return flops_per_token(model) * tokens


def model_bytes(model: ModelConfig) -> int:
    """Bytes of the weights in fp32: the size of model.safetensors but for its header of a few kB."""
    return _FP32_BYTES * count_parameters(model).total


def checkpoint_bytes(model: ModelConfig) -> int:
    """Bytes of a checkpoint: the weights and both moments of AdamW, in fp32."""
    return 3 * model_bytes(model)


def weights_bytes(params: int, bits: int, *, gradients: bool = False) -> int:
    """Bytes of parameters in a precision, and of a gradient in the same for each.

    8 billion of 16 bits take 16 GB, with their gradients 32 GB.
    """
    return -(-params * bits // 8) * (1 + gradients)


def state_bytes(params: int, *, workers: int = 1) -> int:
    """Memory that a model's state takes of each worker in training, activations aside: ZeRO stage 1 in fp32.

    Each worker has all weights and, from the backward pass to the update, all gradients. AdamW's two moments, and the
    copy of the weights that DeepSpeed updates, are split over the workers (Rajbhandari et al. 2020, section 5.1, with
    K = 12 bytes a parameter, though there weights and gradients are of 16 bits)::

        bytes = (8 + 12 / workers) params

    Measured with DeepSpeed 0.19.8, by the tensors alive: 4 + 12 / workers after a step, for 1, 2 and 4 workers. The
    plain engine updates the weights themselves, and has 4 bytes a parameter less.

    :param params: all of the model's parameters.
    """
    return weights_bytes(params, 32, gradients=True) + -(-3 * _FP32_BYTES * params // workers)


_LOGIT_ROWS = 8_192
"""Rows of logits that are there at once with the fused loss."""


def training_bytes(model: ModelConfig, sequences: int, *, workers: int = 1, fused_loss: bool = False) -> int:
    """Memory that a worker needs for training steps: what stays between steps, and what autograd keeps within one.

    The model's state (:func:`state_bytes`), and the weights in bf16 that autocast makes. Activations are counted as
    PyTorch's own ops save them in fp32, without recomputation; bf16 keeps about two thirds of that and our kernels
    less, which pays for gradients of activations. Logits, their log-softmax and its gradient: 12 V bytes a token.

    :param sequences: of a forward pass, each of the whole context.
    :param fused_loss: logits are computed some rows at a time, as on GPUs.
    """
    tokens = sequences * model.context_length
    parameters = count_parameters(model).total
    rotated = 2 * model.hidden_size if model.positions == "rope" else 0
    layer = 8 * model.hidden_size + rotated + 2 * _mlp_inputs(model) * model.intermediate_size
    activations = _FP32_BYTES * tokens * (model.num_layers * layer + 4 * model.hidden_size)
    logits = 3 * _FP32_BYTES * model.vocab_size * (min(tokens, _LOGIT_ROWS) if fused_loss else tokens)
    return state_bytes(parameters, workers=workers) + weights_bytes(parameters, 16) + activations + logits


_BF16_PEAKS: tuple[tuple[str, float, str], ...] = (
    # A pattern for torch.cuda.get_device_name(), FLOP/s, source. Dense: data sheets that quote sparsity are halved.
    # GeForce cards accumulate in fp32 at half the rate of their fp16-accumulate peak; training needs the former.
    (r"RTX 5090", 209.5e12, "NVIDIA RTX Blackwell white paper, bf16 with fp32 accumulation"),
    (r"RTX 4090", 165.2e12, "NVIDIA Ada white paper, bf16 with fp32 accumulation"),
    (
        r"RTX PRO 6000 Blackwell (Workstation|Server) Edition",
        503.8e12,
        "NVIDIA RTX Blackwell PRO white paper, bf16 with fp32 accumulation",
    ),
    (r"H200", 989e12, "NVIDIA H200 data sheet (1,979 with sparsity)"),
    (r"H100 80GB HBM3", 989e12, "NVIDIA H100 SXM data sheet (1,979 with sparsity)"),
    (r"A100(-SXM4|-PCIE|-PCIe)?[- ](40|80)GB( PCIe)?", 312e12, "NVIDIA A100 data sheet"),
    (r"L4", 121e12, "NVIDIA L4 data sheet (242 with sparsity)"),
)


def device_peak(device_name: str, precision: str) -> tuple[float, str] | None:
    """Dense FLOP/s of a device in a precision, and where the figure comes from.

    ``device_name`` as from ``torch.cuda.get_device_name()``; the whole name must match, so that a laptop or Max-Q
    sister of a card gets no peak rather than a wrong one. None for CPUs, unknown devices, and any precision but bf16:
    MFU is then left out.
    """
    if precision != "bf16":
        return None
    for pattern, flops, source in _BF16_PEAKS:
        if re.fullmatch(rf"(NVIDIA )?(GeForce )?{pattern}", device_name):
            return flops, f"{flops / 1e12:g} TFLOP/s dense bf16, {source}"
    return None
