"""Kernels of attention's backward pass (Dao 2023): one for queries, one for keys and values, neither with atomics.

They write the gradient of the packed projection, (B, T, G, D) without gaps. Loops are as in the forward pass.
"""

from tinyscale_kernels._triton import tl, triton
from tinyscale_kernels.attention_forward import key_bounds, load_rows, store_rows, visible


@triton.jit
def dq_kernel(
    qkv_ptr,
    y_ptr,
    dy_ptr,
    lse_ptr,
    delta_ptr,
    grad_ptr,
    T,
    window,
    scale,
    stride_b,
    stride_t,
    stride_g,
    H: tl.constexpr,
    K: tl.constexpr,
    D: tl.constexpr,
    UNIT: tl.constexpr,
    HAS_WINDOW: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """Gradient of a block of queries of one head, and ``delta = sum(dy * y)`` of its rows, which dkv_kernel reads."""
    stride_t, stride_g = stride_t * UNIT, stride_g * UNIT
    blocks = tl.cdiv(T, BLOCK_M)
    start_m = (blocks - 1 - tl.program_id(0) % blocks) * BLOCK_M
    b = (tl.program_id(0) // blocks // H).to(tl.int64)
    h = tl.program_id(0) // blocks % H
    q_ptr = qkv_ptr + b * stride_b * UNIT + h * stride_g
    k_ptr = qkv_ptr + b * stride_b * UNIT + (H + h // (H // K)) * stride_g
    v_ptr = k_ptr + K * stride_g
    m = tl.arange(0, BLOCK_M)
    n = tl.arange(0, BLOCK_N)
    at_y = (b * T * H + h) * D
    y = load_rows(y_ptr + at_y, start_m, m, T, H * D, True, D, BLOCK_D)
    dy = load_rows(dy_ptr + at_y, start_m, m, T, H * D, True, D, BLOCK_D)
    delta = tl.sum(y.to(tl.float32) * dy.to(tl.float32), axis=1)
    at_lse = (b * H + h) * T + start_m + m
    tl.store(delta_ptr + at_lse, delta, mask=start_m + m < T)
    lse = tl.load(lse_ptr + at_lse, mask=start_m + m < T, other=0.0)
    q = load_rows(q_ptr, start_m, m, T, stride_t, True, D, BLOCK_D)
    dq = tl.zeros((BLOCK_M, BLOCK_D), dtype=tl.float32)
    scale_log2e = scale * 1.4426950408889634
    bounds = key_bounds(start_m, T, window, HAS_WINDOW, BLOCK_M, BLOCK_N)
    tl.assume(bounds[2] < bounds[3])
    for part in tl.static_range(2, -1, -1):  # cut by the diagonal, whole, cut by the window
        for start_n in range(bounds[part], bounds[part + 1], BLOCK_N):
            k = load_rows(k_ptr, start_n, n, T, stride_t, part == 2, D, BLOCK_D)
            v = load_rows(v_ptr, start_n, n, T, stride_t, part == 2, D, BLOCK_D)
            s = tl.dot(q, tl.trans(k), input_precision="ieee")
            p = tl.exp2(s * scale_log2e - lse[:, None])
            if part != 1:
                seen = visible((start_m - start_n + m)[:, None], n[None, :], window, part == 2, HAS_WINDOW)
                p = tl.where(seen, p, 0.0)
            dp = tl.dot(dy, tl.trans(v), input_precision="ieee")
            ds = p * (dp - delta[:, None])
            dq = tl.dot(ds.to(k.dtype), k, dq, input_precision="ieee")
    G: tl.constexpr = H + 2 * K
    store_rows(grad_ptr + (b * T * G + h) * D, start_m, m, T, G * D, dq * scale, D, BLOCK_D)


@triton.jit
def query_bounds(start_n, T, window, HAS_WINDOW: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    """First block of queries that is masked, that sees all keys; and the end.

    With a window all are masked: a third loop here costs registers that are not there, and the masks matter less
    than in the other kernels, with four matrix products to a block.
    """
    begin = start_n // BLOCK_M * BLOCK_M
    if HAS_WINDOW:
        end = tl.minimum(start_n + BLOCK_N - 1 + window, T)
        return begin, end, end
    return begin, tl.minimum(tl.cdiv(start_n + BLOCK_N - 1, BLOCK_M) * BLOCK_M, T), T


@triton.jit
def dkv_kernel(
    qkv_ptr,
    dy_ptr,
    lse_ptr,
    delta_ptr,
    grad_ptr,
    T,
    window,
    scale,
    stride_b,
    stride_t,
    stride_g,
    H: tl.constexpr,
    K: tl.constexpr,
    D: tl.constexpr,
    UNIT: tl.constexpr,
    HAS_WINDOW: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """Gradients of a block of keys and values of one head, summed over the query heads that share it."""
    stride_t, stride_g = stride_t * UNIT, stride_g * UNIT
    blocks = tl.cdiv(T, BLOCK_N)
    start_n = tl.program_id(0) % blocks * BLOCK_N
    b = (tl.program_id(0) // blocks // K).to(tl.int64)
    g = tl.program_id(0) // blocks % K
    k_ptr = qkv_ptr + b * stride_b * UNIT + (H + g) * stride_g
    m = tl.arange(0, BLOCK_M)
    n = tl.arange(0, BLOCK_N)
    k = load_rows(k_ptr, start_n, n, T, stride_t, True, D, BLOCK_D)
    v = load_rows(k_ptr + K * stride_g, start_n, n, T, stride_t, True, D, BLOCK_D)
    dk = tl.zeros((BLOCK_N, BLOCK_D), dtype=tl.float32)
    dv = tl.zeros((BLOCK_N, BLOCK_D), dtype=tl.float32)
    scale_log2e = scale * 1.4426950408889634
    bounds = query_bounds(start_n, T, window, HAS_WINDOW, BLOCK_M, BLOCK_N)
    for h in range(g * (H // K), (g + 1) * (H // K)):
        q_ptr = qkv_ptr + b * stride_b * UNIT + h * stride_g
        dy_h_ptr = dy_ptr + (b * T * H + h) * D
        at_lse = (b * H + h) * T
        for part in tl.static_range(2):  # masked, whole
            for start_m in range(bounds[part], bounds[part + 1], BLOCK_M):
                q = load_rows(q_ptr, start_m, m, T, stride_t, True, D, BLOCK_D)
                dy = load_rows(dy_h_ptr, start_m, m, T, H * D, True, D, BLOCK_D)
                lse = tl.load(lse_ptr + at_lse + start_m + m, mask=start_m + m < T, other=0.0)
                delta = tl.load(delta_ptr + at_lse + start_m + m, mask=start_m + m < T, other=0.0)
                s = tl.dot(k, tl.trans(q), input_precision="ieee")
                p = tl.exp2(s * scale_log2e - lse[None, :])
                if part == 0:
                    seen = visible(m[None, :], (start_n - start_m + n)[:, None], window, True, HAS_WINDOW)
                    p = tl.where(seen, p, 0.0)
                dv = tl.dot(p.to(dy.dtype), dy, dv, input_precision="ieee")
                dp = tl.dot(v, tl.trans(dy), input_precision="ieee")
                ds = p * (dp - delta[None, :])
                dk = tl.dot(ds.to(q.dtype), q, dk, input_precision="ieee")
    G: tl.constexpr = H + 2 * K
    at = (b * T * G + H + g) * D
    store_rows(grad_ptr + at, start_n, n, T, G * D, dk * scale, D, BLOCK_D)
    store_rows(grad_ptr + at + K * D, start_n, n, T, G * D, dv, D, BLOCK_D)
