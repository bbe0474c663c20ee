"""Random nets of sequences: no right gradient is accused, and every planted mistake above the resolution is found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.random import Generator

from gradcheck.bugs import BUGS
from gradcheck.bugs.attention import ATTENTION_BUGS
from gradcheck.bugs.recurrence import RECURRENCE_BUGS
from gradcheck.errors import Meaningless
from gradcheck.experiment.cell import Cell, check_cells
from gradcheck.experiment.sources.init import Normal
from gradcheck.experiment.sources.sequences import Sequences
from gradcheck.experiment.sources.text import Text
from gradcheck.models import Attention, RecurrentNet
from gradcheck.models.layers.layered import LOSSES
from gradcheck.models.sequence import OUTPUTS
from gradcheck.numerics.schemes import SCHEMES
from gradcheck.numerics.steps import AUTO

from .kills import Failure

STEPS = (AUTO, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9)
NAMES = [bug.name for bug in (*RECURRENCE_BUGS, *ATTENTION_BUGS)]


@dataclass
class Tally:
    """What was found."""

    checks: int = 0
    judged: int = 0
    planted: int = 0
    visible: int = 0
    wrong: list[str] = field(default_factory=list)


def net(rng: Generator) -> Any:
    """A random model."""
    loss, output = str(rng.choice(LOSSES)), str(rng.choice(OUTPUTS))
    l2 = float(rng.choice([0.0, 0.1]))
    if rng.random() < 0.5:
        cell = str(rng.choice(["rnn", "gru", "lstm"]))
        depth, lengths = int(rng.integers(1, 3)), bool(rng.random() < 0.7)
        sizes = {"embedding": int(rng.integers(1, 5)), "units": int(rng.integers(1, 4))}
        return RecurrentNet(loss, 0, l2, output=output, cell=cell, depth=depth, lengths=lengths, **sizes)
    heads, tied = int(rng.integers(1, 4)), bool(rng.random() < 0.3)
    return Attention(
        "softmax" if tied else loss,
        0,
        l2,
        embedding=heads * int(rng.integers(1, 3)),
        output=output,
        heads=heads,
        depth=int(rng.integers(1, 3)),
        units=int(rng.integers(1, 5)),
        activation=str(rng.choice(["tanh", "relu", "sigmoid", "softplus"])),
        causal=bool(rng.random() < 0.6),
        tied=tied,
    )


def source(rng: Generator, loss: str) -> Any:
    """Random data."""
    sizes = {"n": int(rng.integers(1, 8)), "length": int(rng.integers(1, 7)), "seed": int(rng.integers(2**31))}
    outputs = 1 if loss == "softmax" else int(rng.integers(1, 4))
    return (Sequences if rng.random() < 0.6 else Text)(outputs=outputs, **sizes)


def cell(rng: Generator, bug: Any) -> Cell:
    """A random cell."""
    model = net(rng)
    dtype = np.dtype(np.float32 if rng.random() < 0.5 else np.float64)
    scheme = SCHEMES[str(rng.choice(["central", "forward", "five_point"]))]
    init = Normal(int(rng.integers(2**31)), float(rng.choice([0.1, 0.5, 1.0])))
    return Cell(model, source(rng, model.loss_name), init, bug, scheme, dtype, 1e-2)


def right(rng: Generator, found: Tally) -> None:
    """A right gradient at all steps."""
    drawn = cell(rng, BUGS["none"]())
    for step, result in zip(STEPS, check_cells(drawn, STEPS), strict=True):
        found.checks += 1
        found.judged += result.summary["n_match"]
        if result.summary["n_mismatch"]:
            found.wrong.append(f"right, eps={step}: {drawn}")


def wrong(rng: Generator, found: Tally) -> None:
    """A planted mistake at the automatic step."""
    drawn = cell(rng, BUGS[str(rng.choice(NAMES))](seed=int(rng.integers(2**31))))
    try:
        (result,) = check_cells(drawn, [AUTO])
    except Meaningless:
        return
    weights = result.weights
    assert isinstance(weights, dict)
    found.planted += 1
    size = np.abs(weights["analytic"] - weights["correct"])
    visible = bool(np.any(size > 2 * weights["bound"]))
    found.visible += visible
    if visible and result.summary["verdict"] != "mismatch":
        found.wrong.append(f"missed: {drawn}")


def trial(nets: int, seed: int = 0) -> str:
    """So many right nets and as many with a mistake."""
    found, rng = Tally(), np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        for _ in range(nets):
            right(rng, found)
            wrong(rng, found)
    if found.wrong:
        raise Failure("; ".join(found.wrong[:3]))
    return (
        f"{nets} right nets at {len(STEPS)} steps, {found.checks} checks: none accused, {found.judged} weights match;"
        f" {found.planted} planted mistakes, {found.visible} above the resolution: all found"
    )
