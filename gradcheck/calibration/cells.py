"""What the weights of a cell need to know of it, from its row in ``cells`` and its config."""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple, TypedDict

from gradcheck.models.activations import ACTIVATIONS
from gradcheck.models.one_d import CURVES

# Weights at random up to this standard deviation; larger ones are meant to saturate units and probabilities.
RANDOM_SCALE = 1.0
CELL_COLUMNS = (
    *("cell", "status", "model", "init", "bug", "scheme", "dtype", "eps", "data_n", "n_weights", "n_evals", "verdict"),
    *("bug_injected", "n_exempt", "n_missed", "config"),
)


class KnownCell(TypedDict):
    """The row of a cell that was computed and whose truth is known; the columns that are used here."""

    model: str
    init: str
    bug: str
    scheme: str
    dtype: str
    eps: float | None
    n_weights: int
    n_evals: int
    n_exempt: int | None


class _Model(TypedDict, total=False):
    activation: str | None
    layers: list[int] | None
    curve: str | None


class _Scaled(TypedDict, total=False):
    scale: float


class _Bug(TypedDict, total=False):
    magnitude: float


class Sections(TypedDict):
    """The sections of a canonical config, with the settings that are used here."""

    model: _Model
    init: _Scaled
    data: _Scaled
    bug: _Bug


class Facts(NamedTuple):
    """What the weights of a cell need to know of it.

    run : number of the run that holds the cell.   smooth : whether the model has no kinks.
    start : where the weights stand: random, saturated, zero, or the name of the init.
    sweep : the same for all cells that differ in eps alone.
    """

    run: int
    model: str
    smooth: bool
    start: str
    data_scale: float | None
    bug: str
    magnitude: float | None
    scheme: str
    dtype: str
    eps: float | None
    sweep: bytes
    n_weights: int


def facts(number: int, row: KnownCell, config: Sections) -> Facts:
    """Those of a cell of run ``number``."""
    model, init = config["model"], config["init"]
    label, smooth = row["model"], True
    activation, curve = model.get("activation"), model.get("curve")
    if activation is not None and model.get("layers"):
        label, smooth = f"{label} {activation}", not ACTIVATIONS[activation].kinked
    elif curve is not None:
        label, smooth = f"{label} {curve}", not CURVES[curve].kinked
    start = {"normal": "random", "zeros": "zero"}.get(row["init"], row["init"])
    if start == "random" and init.get("scale", 1.0) > RANDOM_SCALE:
        start = "saturated"
    text = json.dumps({k: v for k, v in config.items() if k != "eps"}, sort_keys=True)
    return Facts(
        number,
        label,
        smooth,
        start,
        config["data"].get("scale"),
        row["bug"],
        config["bug"].get("magnitude"),
        row["scheme"],
        row["dtype"],
        row["eps"],
        hashlib.blake2b(text.encode(), digest_size=8).digest(),
        row["n_weights"],
    )
