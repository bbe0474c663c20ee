"""Rows of numbers in blocks that fit the cache; they follow from the number of examples alone, so that the sums do too."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradcheck.numerics.threads import over_blocks

Array = np.ndarray

# numbers of a block: half a megabyte in float64, so that the second-level cache holds three; with fewer, threads would wait
# for each other between the calls
BLOCK_NUMBERS = 2**16
# examples that are summed at once: BLAS adds that many with one thread, and a column of them is contiguous enough
SEGMENT = 2**13
CACHE_LINE = 64
# examples that are transposed at once: all of them take four times as long where their rows are a power of 2 apart
TRANSPOSED = 64
# rows of fewer numbers are not worth an alignment
SHORT = 256


def in_block(numbers: int) -> int:
    """How many rows of so many numbers make a block."""
    return max(1, BLOCK_NUMBERS // max(1, numbers))


def rows_of_block(n: int) -> int:
    """How many rows of n examples make a block, of which a segment is looked at at once."""
    return in_block(min(n, SEGMENT))


def aligned(m: int, n: int, dtype: np.dtype) -> Array:
    """An array (m, n) whose rows each begin with a line of the cache: additions of misaligned rows take twice as long."""
    if n < SHORT:
        # short rows are contiguous, so that a call goes over all of them at once
        return np.empty((m, n), dtype)
    line = CACHE_LINE // dtype.itemsize
    stride = -(-n // line) * line
    memory = np.empty(m * stride + line, dtype)
    start = -memory.ctypes.data % CACHE_LINE // dtype.itemsize
    return memory[start : start + m * stride].reshape(m, stride)[:, :n]


def columns_of(a: Array) -> Array:
    """The columns of a (n, h) and one of ones, each contiguous, (h + 1, n)."""
    # row by row in memory; np.concatenate would keep the order of a.T
    found = np.ones((a.shape[1] + 1, len(a)), a.dtype)
    for start in range(0, len(a), TRANSPOSED):
        found[:-1, start : start + TRANSPOSED] = a[start : start + TRANSPOSED].T
    return found


def segments(n: int) -> Iterator[slice]:
    """The examples, so many at a time as are summed at once."""
    return (slice(start, min(start + SEGMENT, n)) for start in range(0, n, SEGMENT))


def largest_of(columns: Array) -> Array:
    """max |columns[r]|, (m,), without a temporary."""
    found = np.empty(len(columns), columns.dtype)

    def work(blocks: Iterator[slice]) -> None:
        for block in blocks:
            x = columns[block]
            np.maximum(x.max(axis=1, initial=0), -x.min(axis=1, initial=0), out=found[block])

    over_blocks(work, len(columns), rows_of_block(columns.shape[1]), columns.size)
    return found
