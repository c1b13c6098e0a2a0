"""Kernel of attention's forward pass (Dao et al. 2022, Dao 2023), and what the backward kernels share with it.

``m`` are rows of queries, ``n`` rows of keys, both counted from the block's first token. Three loops, unrolled from one
text by ``tl.static_range``, walk over the blocks that the diagonal cuts, those seen whole and those the window cuts;
the second needs no mask. Two things that look simpler are worse, as the compiler's output shows:

- One loop with a branch for the mask. Triton then no longer sees that one matrix product feeds the other, spreads the
  warps over the keys too, and has to reduce between warps: 564 instructions an iteration, where a loop of its own for
  the blocks without masks has 353 (head size 64, sm_120).
- The loops from left to right. Only the diagonal's surely runs, and the compiler is told so; were another the first,
  the sums could be those of that loop or the initial zeros, and sm_90 would wait for each wgmma before the next.
"""

from tinyscale_kernels._triton import tl, triton


@triton.jit
def load_rows(ptr, start, row, T, stride, BOUNDED: tl.constexpr, D: tl.constexpr, BLOCK_D: tl.constexpr):
    """Rows ``start + row`` of a (T, D) matrix, zero past its ends; ``BOUNDED``: some rows may lie past T."""
    d = tl.arange(0, BLOCK_D)
    at = ptr + start * tl.cast(stride, tl.int64) + row[:, None] * stride + d[None, :]
    if BOUNDED:
        if D < BLOCK_D:
            return tl.load(at, mask=(start + row < T)[:, None] & (d < D)[None, :], other=0.0)
        return tl.load(at, mask=(start + row < T)[:, None], other=0.0)
    if D < BLOCK_D:
        return tl.load(at, mask=(d < D)[None, :], other=0.0)
    return tl.load(at)


@triton.jit
def store_rows(ptr, start, row, T, stride, value, D: tl.constexpr, BLOCK_D: tl.constexpr):
    """Write what :func:`load_rows` reads."""
    d = tl.arange(0, BLOCK_D)
    at = ptr + start * tl.cast(stride, tl.int64) + row[:, None] * stride + d[None, :]
    inside = (start + row < T)[:, None]
    if D < BLOCK_D:
        inside = inside & (d < D)[None, :]
    tl.store(at, value.to(ptr.dtype.element_ty), mask=inside)


@triton.jit
def key_bounds(start_m, T, window, HAS_WINDOW: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    """First block of keys that the window cuts, that is seen whole, that the diagonal cuts; and the end."""
    diagonal = start_m // BLOCK_N * BLOCK_N
    end = tl.minimum(start_m + BLOCK_M, T)
    if HAS_WINDOW:
        begin = tl.maximum(start_m + 1 - window, 0) // BLOCK_N * BLOCK_N
        whole = tl.cdiv(tl.maximum(start_m + BLOCK_M - window, 0), BLOCK_N) * BLOCK_N
        diagonal = tl.maximum(diagonal, begin)
        return begin, tl.minimum(whole, diagonal), diagonal, end
    return 0, 0, diagonal, end


@triton.jit
def visible(m, n, window, DIAGONAL: tl.constexpr, HAS_WINDOW: tl.constexpr):
    """Whether query m sees key n, in a block that the diagonal cuts or, if not that, the window."""
    if not DIAGONAL:
        return m - window < n
    if HAS_WINDOW:
        return (m >= n) & (m - window < n)
    return m >= n


@triton.jit
def forward_kernel(
    qkv_ptr,
    y_ptr,
    lse_ptr,
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
    """Output and logsumexp, in base 2, of a block of queries of one head; the last blocks, which see most, go first."""
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
    q = load_rows(q_ptr, start_m, m, T, stride_t, True, D, BLOCK_D)
    scale = scale * 1.4426950408889634  # log2(e): exp2 is an instruction, exp is two
    highest = tl.full((BLOCK_M,), -1e30, dtype=tl.float32)  # finite: a query may see nothing of its first blocks
    total = tl.zeros((BLOCK_M,), dtype=tl.float32)
    y = tl.zeros((BLOCK_M, BLOCK_D), dtype=tl.float32)
    bounds = key_bounds(start_m, T, window, HAS_WINDOW, BLOCK_M, BLOCK_N)
    tl.assume(bounds[2] < bounds[3])
    for part in tl.static_range(2, -1, -1):  # cut by the diagonal, whole, cut by the window
        for start_n in range(bounds[part], bounds[part + 1], BLOCK_N):
            k = load_rows(k_ptr, start_n, n, T, stride_t, part == 2, D, BLOCK_D)
            v = load_rows(v_ptr, start_n, n, T, stride_t, part == 2, D, BLOCK_D)
            s = tl.dot(q, tl.trans(k), input_precision="ieee")
            if part != 1:
                seen = visible((start_m - start_n + m)[:, None], n[None, :], window, part == 2, HAS_WINDOW)
                s = tl.where(seen, s, float("-inf"))
            higher = tl.maximum(highest, tl.max(s, axis=1) * scale)
            p = tl.exp2(s * scale - higher[:, None])
            shrink = tl.exp2(highest - higher)
            total = total * shrink + tl.sum(p, axis=1)
            y = tl.dot(p.to(v.dtype), v, y * shrink[:, None], input_precision="ieee")
            highest = higher
    store_rows(y_ptr + (b * T * H + h) * D, start_m, m, T, H * D, y / total[:, None], D, BLOCK_D)
    tl.store(lse_ptr + (b * H + h) * T + start_m + m, highest + tl.log2(total), mask=start_m + m < T)
