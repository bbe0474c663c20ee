"""The caller's further arguments, which the functions must not change."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import numpy as np

from gradcheck.errors import ContractError

# Bytes of an array.  The functions get copies of arrays up to this size.  A larger array is shared, and its checksum kept.
COPIED = 2**27


class Arguments:
    """Copies of the caller's further arguments, which are handed to the functions and watched for changes."""

    def __init__(
        self,
        args: tuple[object, ...],
        kwargs: Mapping[str, object] | None = None,
        copied: bool = True,
        moving: Sequence[np.ndarray] = (),
    ) -> None:
        """``copied=False`` hands on the caller's own, as the functions need them that compute with what those hold.

        moving : arrays that are changed by the check itself; what shares their memory is not watched.
        """
        given = {f"args[{i}]": a for i, a in enumerate(args)} | {f"kwargs[{k!r}]": v for k, v in (kwargs or {}).items()}
        mine = {name: _copy(value) if copied else value for name, value in given.items()}
        self.values = tuple(mine[f"args[{i}]"] for i in range(len(args)))
        self.named = {name: mine[f"kwargs[{name!r}]"] for name in kwargs or {}}
        own = {n: v for n, v in given.items() if not any(_overlap(v, array) for array in moving)}
        self._watched = [(n, v, mine[n], _checksum(v) if mine[n] is v else None) for n, v in own.items()]

    def require_unchanged(self, which: str) -> None:
        """Raise ContractError where an array has changed.   which : the function that was called, ``fun`` or ``jac``."""
        for name, given, now, known in self._watched:
            if isinstance(given, np.ndarray):
                changed = _checksum(now) != known if now is given else not _same(np.asarray(now), given)
                if changed:
                    raise ContractError(f"{which} changes its argument {name} in place: let it work on a copy")


def _copy(value: object) -> object:
    if isinstance(value, np.ndarray) and value.nbytes > COPIED:
        return value
    try:
        return copy.deepcopy(value)
    except Exception:  # a module, a lock, an open file: shared with the caller as in any other call
        return value


def _overlap(value: object, array: np.ndarray) -> bool:
    return isinstance(value, np.ndarray) and np.may_share_memory(value, array)


def _checksum(value: object) -> int | None:
    """A number that changes with the array; None for what is no array."""
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
