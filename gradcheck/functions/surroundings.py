"""What somebody else's function may leave changed around it, and the warnings it gives."""

from __future__ import annotations

import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def untouched() -> Iterator[None]:
    """Restore the global random states, NumPy's error settings and the filters of warnings when the block ends."""
    state, own = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002  (the caller's function may use it)
    # a caller whose functions draw with PyTorch has loaded it
    torch = sys.modules.get("torch")
    drawn = torch.get_rng_state() if torch is not None and hasattr(torch, "get_rng_state") else None
    try:
        with warnings.catch_warnings(), np.errstate():
            yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
        random.setstate(own)
        if torch is not None and drawn is not None:
            torch.set_rng_state(drawn)


@contextmanager
def quiet() -> Iterator[None]:
    """Show no warnings: near the edge of its domain a function may overflow."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
