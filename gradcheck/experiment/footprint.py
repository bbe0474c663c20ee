"""How much memory a cell takes, estimated from its sizes before anything is allocated."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from gradcheck.models.batch import Batch
from gradcheck.models.target import Target
from gradcheck.numerics.layout import BLOCK_WEIGHTS, Layout

if TYPE_CHECKING:
    from gradcheck.experiment.cell import Cell

MAX_MEMORY = 4e9
# Measured, and rounded up.
DATA_ARRAYS = 5  # n x d arrays that are alive at once while data are made and standardized
ROW_NUMBERS = 10  # numbers per example
LAYER_ARRAYS = 20  # n x h arrays per layer: forward and backward pass, and their error analysis
WEIGHT_BYTES = 3200  # bytes per weight of the block that is examined, with its row
PACKED_BYTES = 450  # bytes per weight of the other blocks: figures for the cell's summary, and the compressed row
LARGEST = 2**59  # no array is as long as this in any direction


def layout(cell: Cell) -> Layout:
    """The parameters of a cell, from the shape of its data alone.  Raises ValueError where these cannot be used."""
    return cell.model.layout(_outline(cell)[1])


def footprint(cell: Cell) -> float:
    """Bytes that a cell takes at most, roughly: its n x d examples, its layers' n x h activations, its weights."""
    n, outline = _outline(cell)
    found = cell.model.layout(outline)
    widths = cell.model.width(outline) if n else 0
    wide = max(cell.dtype.itemsize, 8) / 8
    numbers = n * (DATA_ARRAYS * outline.X.size + ROW_NUMBERS + LAYER_ARRAYS * wide * widths)
    at_once = min(found.size, BLOCK_WEIGHTS)
    return float(8 * numbers + WEIGHT_BYTES * at_once + PACKED_BYTES * (found.size - at_once))


def require_memory(cell: Cell, max_memory: float = MAX_MEMORY) -> None:
    """Raise ValueError for a cell that takes more than so many bytes."""
    needed = footprint(cell)
    if needed > max_memory:
        n, outline = _outline(cell)
        sizes = f"{n} x {outline.X.size} examples and {cell.model.layout(outline).size} weights"
        named = (
            "data.n",
            "data.d",
            "data.length",
            "model.layers",
            "model.units",
            "model.vocabulary",
            "model.n_classes",
        )
        keys = ", ".join(key for key in named if _has(cell, key))
        raise ValueError(
            f"{keys}: {sizes} take about {needed:.1e} bytes, more than max_memory={max_memory:.1e}; "
            f"raise it with max_memory={needed * 1.1:.1e}"
        )


def _has(cell: Cell, key: str) -> bool:
    section, _, name = key.partition(".")
    settings = {"data": cell.data, "model": cell.model}[section]
    return is_dataclass(settings) and name in {field.name for field in fields(settings)}


def _outline(cell: Cell) -> tuple[int, Batch]:
    """The number of examples, and a batch of one example that has their shape."""
    target = cell.model.target
    n, d, k = cell.data.size(target)
    shape = cell.data.shape(target)
    return n, _example(shape if len(shape) > 1 else (min(d, LARGEST),), min(k, LARGEST), target)


@lru_cache(maxsize=64)
def _example(shape: tuple[int, ...], k: int, target: Target) -> Batch:
    X = np.broadcast_to(np.zeros(1), (1, *shape))  # takes no memory, however large an example is
    return Batch(X, target.example(k))
