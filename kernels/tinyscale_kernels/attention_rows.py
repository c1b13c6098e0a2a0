"""Launch rows of the attention kernels, by family, dtype, kernel and padded head size.

No card has chosen among them yet: they weigh what the compiler says. No spills; then two or more blocks on an SM where
that can be had, so that one computes while another waits, and few instructions for a pair of query and key. 64 rows of
queries rather than 128 because tiny models have short sequences and windows: of the scores that 64 queries compute with
blocks of 64 keys for a window of 256, 80 % are seen, of those of 128 queries 67 %. Figures were read at T of 500 to
512, with and without a window, with 1 to 4 query heads to a key-value head.
"""

from typing import Literal

import torch

from tinyscale_kernels.launch import Row

Kernel = Literal["forward", "dq", "dkv"]
"""The forward pass; the gradient of the queries; those of the keys and values."""
Table = dict[Kernel, dict[int, Row]]


def padded_head_size(head_size: int) -> int:
    """Channels of a block: the next power of two, and no fewer than the 16 that tensor cores take."""
    return max(16, 1 << (head_size - 1).bit_length())


def attention_row(architecture: str, kernel: Kernel, head_size: int, dtype: torch.dtype) -> Row:
    """The launch of a kernel for a family, fp32 or bf16."""
    tables = _FP32 if dtype == torch.float32 else _BF16
    return tables[architecture][kernel][padded_head_size(head_size)]


def _row(queries: int, keys: int, num_warps: int, num_stages: int, why: str) -> Row:
    return Row({"BLOCK_M": queries, "BLOCK_N": keys}, num_warps, num_stages, why)


# mma.sync on both families. Figures of sm_120; sm_80 takes up to 40 registers more, as much shared memory, no spills.
_BF16_SM_120: Table = {
    "forward": {
        16: _row(64, 64, 4, 3, "10,240 bytes, 71 to 96 registers: 5 blocks an SM"),
        32: _row(64, 64, 4, 3, "20,480 bytes, 92 to 128 registers: 4 blocks an SM"),
        64: _row(64, 64, 4, 3, "40,960 bytes, 168 to 176 registers: 2 blocks an SM; 128 x 64 with 8 warps leaves 1"),
        128: _row(128, 32, 8, 3, "65,536 bytes, 194 registers: 1 block of 8 warps; 64 rows: 1.7 x the instructions"),
    },
    "dq": {
        16: _row(64, 64, 4, 3, "12,288 bytes, 71 to 105 registers: 4 blocks an SM"),
        32: _row(64, 32, 4, 3, "16,384 bytes, 84 to 128 registers: 4 blocks an SM; 64 keys spill 4 bytes"),
        64: _row(64, 32, 4, 3, "32,768 bytes, 168 to 178 registers: 2 or 3 blocks an SM; 128 x 32 spills 4 bytes"),
        128: _row(64, 32, 4, 1, "49,152 bytes, 172 to 190 registers: 2 blocks an SM; a second stage leaves 1"),
    },
    "dkv": {
        16: _row(32, 64, 4, 3, "8,704 bytes, 96 to 128 registers: 4 blocks an SM"),
        32: _row(32, 64, 4, 3, "16,896 bytes, 127 to 236 registers: 2 to 4 blocks an SM; 64 x 64 spills 8 bytes"),
        64: _row(32, 64, 4, 3, "33,280 bytes, 181 to 231 registers: 2 blocks an SM; 64 x 64 spills"),
        128: _row(32, 32, 4, 2, "35,072 bytes, 168 to 210 registers: 2 blocks an SM; 32 x 64 leaves 1"),
    },
}
# wgmma, which needs 64 rows of the first operand: queries, but keys in dkv.
_BF16_SM_90: Table = {
    "forward": {
        16: _row(64, 64, 4, 3, "14,336 bytes, 82 to 96 registers: 5 blocks an SM"),
        32: _row(64, 64, 4, 3, "28,672 bytes, 90 to 115 registers: 4 blocks an SM"),
        64: _row(64, 64, 4, 3, "57,344 bytes, 112 to 138 registers: 3 blocks an SM"),
        128: _row(64, 64, 4, 3, "114,688 bytes, 160 to 231 registers: 2 blocks an SM; 128 x 64 leaves 1"),
    },
    "dq": {
        16: _row(64, 64, 4, 3, "16,384 bytes, 98 to 118 registers: 4 blocks an SM"),
        32: _row(64, 64, 4, 3, "32,768 bytes, 106 to 118 registers: 4 blocks an SM"),
        64: _row(64, 64, 4, 3, "65,536 bytes, 122 to 147 registers: 3 blocks an SM"),
        128: _row(64, 64, 4, 2, "98,304 bytes, 192 to 255 registers: 2 blocks an SM; a third stage leaves 1"),
    },
    "dkv": {
        16: _row(32, 64, 4, 3, "10,752 bytes, 107 to 138 registers: 3 blocks an SM"),
        32: _row(32, 64, 4, 3, "20,992 bytes, 127 to 157 registers: 3 blocks an SM"),
        64: _row(32, 64, 4, 2, "33,024 bytes, 155 to 220 registers: 2 or 3 blocks an SM"),
        128: _row(16, 64, 4, 2, "49,280 bytes, 212 to 254 registers: 2 blocks an SM; 32 x 64 spills 12 bytes"),
    },
}
_BF16 = {"sm_120": _BF16_SM_120, "sm_90": _BF16_SM_90, "sm_80": _BF16_SM_120}

# Products on the fp32 units, the same on every family: tensor cores would round to tf32. Figures of sm_120.
_FP32_ALL: Table = {
    "forward": {
        16: _row(16, 32, 4, 2, "7,232 bytes, 56 registers: 9 blocks an SM"),
        32: _row(32, 32, 4, 2, "16,384 bytes, 72 to 108 registers: 4 blocks an SM"),
        64: _row(32, 32, 4, 2, "28,800 bytes, 94 to 116 registers: 3 blocks an SM; 64 x 32 spills 236 bytes and more"),
        128: _row(16, 32, 4, 2, "43,008 bytes, 116 to 255 registers: 2 blocks an SM; 32 x 32 spills"),
    },
    "dq": {
        16: _row(16, 32, 4, 2, "8,192 bytes, 56 registers: 9 blocks an SM"),
        32: _row(16, 32, 4, 2, "14,336 bytes, 62 to 106 registers: 4 blocks an SM; 32 x 32 spills 24 bytes"),
        64: _row(32, 32, 4, 2, "36,864 bytes, 106 to 120 registers: 2 blocks an SM; 64 x 32 spills"),
        128: _row(32, 32, 8, 2, "69,632 bytes, 80 to 110 registers: 1 block of 8 warps"),
    },
    "dkv": {
        16: _row(32, 32, 4, 2, "12,544 bytes, 88 to 112 registers: 4 blocks an SM"),
        32: _row(16, 32, 4, 2, "14,464 bytes, 78 to 106 registers: 4 blocks an SM; 32 x 32 spills 4 bytes"),
        64: _row(32, 32, 8, 2, "37,120 bytes, 92 to 128 registers: 2 blocks an SM; with 4 warps it spills"),
        128: _row(16, 32, 8, 2, "51,328 bytes, 95 to 128 registers: 1 block, so of 8 warps"),
    },
}
_FP32_SM_90: Table = _FP32_ALL | {
    "dq": _FP32_ALL["dq"]
    | {32: _row(32, 32, 4, 2, "20,480 bytes, 80 to 108 registers: 4 to 6 blocks an SM; 16 x 32 spills 4 bytes here")}
}
_FP32_SM_80: Table = _FP32_ALL | {
    "dq": _FP32_ALL["dq"]
    | {
        32: _row(32, 32, 4, 2, "20,480 bytes, 80 to 96 registers: 4 blocks an SM; 16 x 32 spills 4 bytes here"),
        128: _row(16, 32, 4, 2, "51,200 bytes, 108 to 128 registers: 1 block an SM; 32 x 32 spills 16 bytes here"),
    }
}
_FP32 = {"sm_120": _FP32_ALL, "sm_90": _FP32_SM_90, "sm_80": _FP32_SM_80}
