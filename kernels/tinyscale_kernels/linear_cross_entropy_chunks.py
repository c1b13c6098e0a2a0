"""Losses and gradients of the output head, chunk by chunk of rows.

Shape letters beside those of reference.py: C rows of a chunk, P the vocabulary padded.
"""

import torch
from torch import Tensor

from tinyscale_kernels.dispatch import launch_architecture
from tinyscale_kernels.launch import launch
from tinyscale_kernels.linear_cross_entropy_kernels import logits_gradient_kernel, logits_gradient_row


def extra_bytes(
    rows: int, hidden_size: int, vocab_size: int, dtype: torch.dtype, weight_dtype: torch.dtype = torch.float32
) -> int:
    """Most memory that the mean and its gradients take beside inputs and gradients, which every implementation has.

    In bf16 at 65,536 x 768 x 50,304: 824 MB of a chunk's logits and 77 MB of the cast weight make 0.90 GB. Unfused it
    is 13.2 GB (logits and their gradient, bf16) at the very least, and in eager PyTorch 33 GB (logits in bf16 and fp32,
    and their log-softmax).
    """
    padded = _padded(vocab_size)
    logits = min(rows, chunk_rows(vocab_size, dtype)) * padded * dtype.itemsize
    copied = weight_dtype != dtype or padded != vocab_size
    weight = padded * hidden_size * dtype.itemsize if copied else 0
    wide_gradient = padded * hidden_size if weight_dtype != torch.float32 else (padded - vocab_size) * hidden_size
    return logits + weight + 4 * (wide_gradient + rows)


def chunk_rows(vocab_size: int, dtype: torch.dtype) -> int:
    """Rows of a chunk: 8,192, or 4,096 where the logits of 8,192 take more than 1 GiB.

    Each chunk reads and writes the fp32 gradient of the weight, 8 V E bytes, beside a product of 2 rows V E FLOP: on an
    RTX 5090 (1,792 GB/s, 209.5 TFLOP/s) 6 % of that product's time at 8,192 rows, 11 % at 4,096, as computed.
    """
    return 8192 if 8192 * _padded(vocab_size) * dtype.itemsize <= 2**30 else 4096


def _padded(vocab_size: int) -> int:
    """The vocabulary of the products: a multiple of 64, so that rows of logits start at multiples of 128 bytes.

    What is padded is the copy of the weight, which is made for the cast anyway. A padded stride alone would not do:
    cuBLAS wants the sizes of its fastest kernels to be multiples of 16 bytes too.
    """
    return -(-vocab_size // 64) * 64


def losses_and_gradients(
    hidden_NE: Tensor,
    weight_VE: Tensor,
    targets_N: Tensor,
    scale: Tensor,
    ignore_index: int,
    z_loss: float,
    hidden_wanted: bool,
    weight_wanted: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Losses of the rows, and the wanted gradients of ``(scale * losses).sum()``, the others empty.

    ``scale`` is one number or (N,). All products write into given memory: so logits take that of one chunk, and
    autocast, which may be on in here but leaves such products alone, casts nothing that is meant to be fp32.
    """
    hidden_NE, targets_N = hidden_NE.contiguous(), targets_N.contiguous()
    (N, E), V, padded = hidden_NE.shape, weight_VE.shape[0], _padded(weight_VE.shape[0])
    if padded == V:
        weight_PE = weight_VE.to(hidden_NE.dtype).contiguous()
    else:
        weight_PE = hidden_NE.new_zeros(padded, E)
        weight_PE[:V] = weight_VE
    rows = min(N, chunk_rows(V, hidden_NE.dtype))
    logits_NP = hidden_NE.new_empty(rows, padded)
    losses_N = hidden_NE.new_empty(N, dtype=torch.float32)
    grad_hidden_NE = hidden_NE.new_empty((N, E) if hidden_wanted else 0)
    grad_weight_PE = hidden_NE.new_zeros((padded, E) if weight_wanted else 0, dtype=torch.float32)
    for start in range(0, N, max(rows, 1)):
        chunk = slice(start, min(start + rows, N))
        hidden_CE, logits_CP = hidden_NE[chunk], logits_NP[: chunk.stop - start]
        torch.mm(hidden_CE, weight_PE.t(), out=logits_CP)
        launch(
            logits_gradient_kernel,
            (len(hidden_CE),),
            logits_gradient_row(launch_architecture(hidden_NE), V),
            logits_CP,
            targets_N[chunk],
            scale if scale.numel() == 1 else scale[chunk],
            losses_N[chunk],
            V,
            padded,
            0 if scale.numel() == 1 else scale.stride(0),
            ignore_index,
            z_loss,
        )
        if hidden_wanted:
            torch.mm(logits_CP, weight_PE, out=grad_hidden_NE[chunk])
        if weight_wanted:
            _add_product(grad_weight_PE, logits_CP.t(), hidden_CE)
    return losses_N, grad_hidden_NE, grad_weight_PE[:V].to(weight_VE.dtype)


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """``total += a @ b`` with ``total`` in fp32, whatever the factors' dtype."""
    if a.is_cuda and a.dtype != torch.float32:
        torch.addmm(total, a, b, out_dtype=torch.float32, out=total)
    else:
        total.addmm_(a.float(), b.float())
