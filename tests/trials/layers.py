"""Random nets of convolutions, pooling, norms and dropout: is a right gradient accused, or a mistake of a layer missed?"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from gradcheck.bugs import BUGS
from gradcheck.bugs.images import IMAGE_BUGS
from gradcheck.bugs.norms import NORM_BUGS
from gradcheck.errors import Meaningless
from gradcheck.experiment.cell import Cell, check_cell, check_cells
from gradcheck.experiment.sources.gaussian import Gaussian
from gradcheck.experiment.sources.images import Images
from gradcheck.experiment.sources.init import Normal
from gradcheck.models import Conv, Norm
from gradcheck.models.interfaces import DataSource
from gradcheck.models.layers.layered import LOSSES, Layered
from gradcheck.numerics.check import CellResult
from gradcheck.numerics.schemes import SCHEMES
from gradcheck.numerics.steps import AUTO

from .kills import Failure

STEPS = [AUTO, *(10.0**-k for k in range(1, 10))]


def trial(nets: int) -> str:
    """Check so many nets at every step, and with each mistake that has a meaning in them.  Raises Failure."""
    verdicts: Counter[str] = Counter()
    weights = accused = 0
    for seed in range(nets):
        cell = _cell(np.random.default_rng(seed))
        for found in _right(cell):
            weights += found.summary["n_weights"]
            accused += found.summary["n_mismatch"]
        for bug in IMAGE_BUGS + NORM_BUGS:
            try:
                verdicts[caught(check_cell(replace(cell, bug=bug(), scheme=SCHEMES["central"])))] += 1
            except Meaningless:
                continue
    found = (
        f"{nets} nets at {len(STEPS)} steps: {accused} of {weights} weights with a right gradient accused; "
        f"{verdicts.total()} mistakes planted, {verdicts['caught']} caught, {verdicts['missed']} missed, "
        f"{verdicts['below']} not above the resolution"
    )
    if accused or verdicts["missed"] or not verdicts["caught"]:
        raise Failure(found)
    return found


def caught(found: CellResult) -> str:
    """Whether a mistake was seen, missed, or too small to be seen for certain."""
    if found.summary["verdict"] == "mismatch":
        return "caught"
    size = np.abs(found.weights["analytic"] - found.weights["correct"])
    return "missed" if (size > 2 * found.weights["bound"]).any() else "below"


def _right(cell: Cell) -> list[CellResult]:
    try:
        return check_cells(cell, STEPS)
    except Meaningless:  # a kink has no complex derivative
        return check_cells(replace(cell, scheme=SCHEMES["central"]), STEPS)


def _cell(rng: np.random.Generator) -> Cell:
    """A net with its data, dtype and scheme."""

    def one(*values: object) -> object:
        return values[rng.integers(len(values))]

    model: Layered
    data: DataSource
    seed, dtype = int(rng.integers(10**6)), np.dtype([np.float32, np.float64][rng.integers(2)])
    shared = {
        "loss_name": one(*LOSSES),
        "activation": one("tanh", "relu", "sigmoid", "softplus"),
        "dropout": one(0.0, 0.3),
        "l2": one(0.0, 0.1),
    }
    if rng.random() < 0.5:
        stride, pool = [(1, "max"), (1, "average"), (2, "none"), (1, "none")][rng.integers(4)]
        model = Conv(filters=[2, 2], kernel=one(1, 2, 3), stride=stride, pool=pool, pool_stride=one(0, 1), **shared)  # type: ignore[arg-type]
        data = Images(n=5, channels=one(1, 2), height=8, width=7, seed=seed, grid=one(0.0, 2.0))  # type: ignore[arg-type]
    else:
        model = Norm(layers=[4, 6], norm=one("batch", "layer", "group"), bias=one(True, False), **shared)  # type: ignore[arg-type]
        data = Gaussian(n=10, d=4, seed=seed)
    names = [name for name, scheme in SCHEMES.items() if not scheme.complex_valued or dtype == np.float64]
    return Cell(model, data, Normal(seed, 0.6), BUGS["none"](), SCHEMES[str(one(*names))], dtype, 1e-2)
