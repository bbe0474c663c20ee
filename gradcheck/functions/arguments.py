"""The caller's further arguments, which the functions must not change."""

from __future__ import annotations

import copy

import numpy as np

from gradcheck.errors import ContractError

# Bytes of an array.  The functions get copies of arrays up to this size.  A larger array is shared, and its checksum kept.
COPIED = 2**27


class Arguments:
    """Copies of the caller's further arguments, which are handed to the functions and watched for changes."""

    def __init__(self, args: tuple[object, ...]) -> None:
        self._given = args
        self.values = tuple(_copy(a) for a in args)
        self._sums = [_checksum(a) if a is b else None for a, b in zip(args, self.values, strict=True)]

    def require_unchanged(self, which: str) -> None:
        """Raise ContractError where an array has changed.   which : the function that was called, ``fun`` or ``jac``."""
        for i, (given, now, known) in enumerate(zip(self._given, self.values, self._sums, strict=True)):
            if isinstance(given, np.ndarray):
                changed = _checksum(now) != known if now is given else not _same(np.asarray(now), given)
                if changed:
                    raise ContractError(f"{which} changes its argument args[{i}] in place: let it work on a copy")


def _copy(value: object) -> object:
    if isinstance(value, np.ndarray) and value.nbytes > COPIED:
        return value
    try:
        return copy.deepcopy(value)
    except Exception:  # a module, a lock, an open file: shared with the caller as in any other call
        return value


def _checksum(value: object) -> int | None:
    if not isinstance(value, np.ndarray) or value.dtype.hasobject:
        return None
    if not value.flags.c_contiguous or value.dtype.itemsize % 8:
        return hash(value.tobytes())
    # one pass without a copy; a sum that wraps around changes with every single entry
    return int(value.reshape(-1).view(np.uint64).sum(dtype=np.uint64))


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
