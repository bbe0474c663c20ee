"""How often the diagnosis names the right kind: random models, sizes, seeds, settings, and every bug of the catalogue.

As a script, ``python tests/bugs/bug_kinds.py [MODELS] [SEED]`` prints the table bug x kind.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from kinds import KINDS, Wrong, accepted

from gradcheck.bugs import BUGS
from gradcheck.errors import Meaningless
from gradcheck.experiment.cell import Cell, check_cell, pose
from gradcheck.experiment.sources.data import NoData
from gradcheck.experiment.sources.gaussian import Gaussian
from gradcheck.experiment.sources.init import Normal
from gradcheck.models import MLP, Linear, Logistic, OneD, Softmax
from gradcheck.models.activations import ACTIVATIONS
from gradcheck.models.linear import REDUCTIONS
from gradcheck.models.mlp import LOSSES
from gradcheck.models.one_d import CURVES
from gradcheck.models.target import NoTarget
from gradcheck.numerics.schemes import SCHEMES

# kinds that a bug of these has when nothing more can be known: any other name would be a wrong one with confidence
HONEST = {"scattered", "unknown"}


@dataclass
class Tally:
    """Counts of (bug, kind named) over the mismatch cells, and the cells where the name was wrong."""

    named: Counter[tuple[str, str]] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    total: Counter[str] = field(default_factory=Counter)
    overconfident: int = 0
    hopeless: int = 0
    wrong: list[tuple[Cell, str, str]] = field(default_factory=list)

    @property
    def share(self) -> float:
        return sum(self.right.values()) / sum(self.total.values())

    @property
    def overconfidence(self) -> float:
        return self.overconfident / self.hopeless


def random_model(rng: np.random.Generator) -> Any:
    bias = bool(rng.random() < 0.8)
    l2 = float(rng.choice([0.0, 0.01, 0.1, 1.0]))
    hidden = [int(h) for h in rng.integers(1, 7, size=rng.choice([0, 1, 1, 2, 2, 3]))]
    activation = str(rng.choice(list(ACTIVATIONS)))
    match int(rng.integers(9)):
        case 0:
            return OneD(str(rng.choice(list(CURVES))), float(rng.normal()) * 2, l2)
        case 1 | 2:
            return Linear(str(rng.choice(REDUCTIONS)), bias, l2)
        case 3 | 4:
            return Logistic(bias, l2)
        case 5 | 6 | 7:
            return MLP(hidden, activation, str(rng.choice(LOSSES)), bias, l2)
        case _:
            return Softmax(hidden, activation, int(rng.integers(2, 6)), bias, l2)


def random_bug(rng: np.random.Generator, name: str, params: tuple[str, ...]) -> Any:
    """A bug with its defaults; now and then with a parameter, another magnitude or fraction."""
    bug = BUGS[name](seed=int(rng.integers(2**31)))
    if "magnitude" in bug.uses and rng.random() < 0.5:
        bug.magnitude = float(rng.choice([0.9, 0.5, 0.1, 1e-2, 1e-3]))
    if "fraction" in bug.uses and rng.random() < 0.3:
        bug.fraction = float(rng.choice([0.05, 0.2, 1.0]))
    if "param" in bug.uses and rng.random() < 0.25:
        bug.param = str(rng.choice(params))
    return bug


def cells(seed: int, count: int, bugs: tuple[str, ...] = tuple(KINDS)) -> Iterator[tuple[str, Cell]]:
    """``count`` random models, each with every bug."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        model = random_model(rng)
        source: Any = NoData()
        if not isinstance(model.target, NoTarget):
            source = Gaussian(
                n=int(rng.integers(1, 60)),
                d=int(rng.integers(1, 9)),
                seed=int(rng.integers(2**31)),
                scale=float(rng.choice([0.3, 1.0, 3.0])),
                outputs=int(rng.integers(1, 4)) if isinstance(model, MLP) else 1,
            )
        init = Normal(int(rng.integers(2**31)), float(rng.choice([0.3, 0.7, 1.0])))
        layout = model.layout(source.batch(model.target, np.dtype(np.float64)))
        for name in bugs:
            bug = random_bug(rng, name, layout.names)
            yield name, Cell(model, source, init, bug, SCHEMES["central"], np.dtype(np.float64), 1e-2)


def measure(seed: int, count: int, bugs: tuple[str, ...] = tuple(KINDS)) -> Tally:
    tally = Tally()
    for name, cell in cells(seed, count, bugs):
        try:
            result = check_cell(cell)
            problem = pose(cell)
        except (Meaningless, FloatingPointError, ValueError):
            continue
        if result.summary["verdict"] != "mismatch":
            continue
        assert problem.correct is not None
        kinds = accepted(name, Wrong(problem.layout, problem.theta, problem.correct, problem.analytic))
        kind = result.summary["diagnosis_kind"]
        tally.named[name, kind] += 1
        tally.total[name] += 1
        tally.right[name] += kind in kinds
        if KINDS[name].name in HONEST:
            tally.hopeless += 1
            tally.overconfident += kind not in kinds | HONEST
        if kind not in kinds:
            tally.wrong.append((cell, kind, result.summary["diagnosis"]))
    return tally


def table(tally: Tally) -> str:
    """One line a bug: cells, share named rightly, and the kinds that were named."""
    lines = []
    for bug in KINDS:
        kinds = {kind: count for (name, kind), count in tally.named.most_common() if name == bug}
        if kinds:
            named = ", ".join(f"{kind} {count}" for kind, count in kinds.items())
            lines.append(f"{bug:32} {tally.total[bug]:5} {tally.right[bug] / tally.total[bug]:7.1%}  {named}")
    lines.append(f"{'all':32} {sum(tally.total.values()):5} {tally.share:7.1%}")
    plain = sum(tally.named[bug, kind.name] for bug, kind in KINDS.items()) / sum(tally.total.values())
    lines.append(f"the bug's own kind, coincidences left aside: {plain:.1%}")
    lines.append(f"a wrong name where nothing can be known: {tally.overconfident} of {tally.hopeless}")
    return "\n".join(lines)


if __name__ == "__main__":
    count, seed = (int(value) for value in (sys.argv[1:] + ["100", "0"][len(sys.argv) - 1 :]))
    found = measure(seed, count)
    print(table(found))
    for cell, kind, words in found.wrong[:40]:
        print(f"{kind:20} {cell.bug} {cell.model} {cell.data}\n{'':20} {words}")
