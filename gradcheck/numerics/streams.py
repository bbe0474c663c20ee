"""Independent random streams for data, weights and bugs, each with a seed of its own."""

from __future__ import annotations

from typing import Literal

import numpy as np

STREAMS = {"data": 1, "weights": 2, "bug": 3}


def stream(seed: int, name: Literal["data", "weights", "bug"]) -> np.random.Generator:
    """A fresh generator for one purpose.

    ``default_rng(SeedSequence(seed, spawn_key=(k,)))`` with k = 1, 2, 3 for data, weights and bugs: equal seeds of
    different streams give independent numbers, and drawing more from one stream leaves the others as they were.

    seed : integer >= 0.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(STREAMS[name],)))


def validate_seed(key: str, seed: object) -> None:
    """Raise a ValueError that names `key` unless seed is an integer >= 0."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"{key}={seed}: must be an integer >= 0")
