"""Random grids with paired axes: cells as ``itertools`` gives them, in its order, each with the id that it has alone."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gradcheck.experiment.config import compose
from gradcheck.experiment.config.canonical import Form
from gradcheck.experiment.config.form import canonical, eps_values
from gradcheck.experiment.config.hydra_private import Hydra
from gradcheck.experiment.config.identity import cell_id
from gradcheck.experiment.grid import axes, paired, sweep
from gradcheck.experiment.grid.dimensions import grid
from gradcheck.experiment.grid.points import points

from . import interpolations
from .composing import plainly, remembering
from .kills import Failure

LIMIT = 1_000_000
MOST = 12  # points of a grid: each is composed alone too
VALUES = {
    "data.n": ["5", "6", "7", "8", "9"],
    "data.d": ["1", "2", "3", "4", "5"],
    "data.seed": ["0", "1", "${init.seed}", "3", "4"],
    "init.seed": ["0", "1", "2", "3", "${data.n}"],
    "init.scale": ["0.1", "0.5", "1", "2", "3"],
    "init": ["normal", "optimum"],
    "bug": ["none", "scale", "sign_flip", "zero_entry", "label_flip"],
    "bug.seed": ["0", "1", "2", "3", "4"],
    "model": ["linear", "logistic", "mlp", "softmax"],
    "model.l2": ["0", "0.5", "1", "${init.scale}", "2"],
    "eps": ["1e-4", "auto", "[1e-3,1e-5]", "1e-6", "1e-7"],
    "scheme": ["central", "forward", "backward", "five_point"],
    "dtype": ["float32", "float64"],
    "match_at": ["1e-2", "1e-3", "0.5"],
}


class Grid(NamedTuple):
    """Keys with their values, in the order in which they are typed, and the groups that are varied together."""

    values: dict[str, list[str]]
    groups: list[list[str]]

    def typed(self, draw: random.Random) -> list[str]:
        """As it is typed; ranges and choices stand for lists that they make."""
        lines = [f"{key}={_written(values, draw)}" for key, values in self.values.items()]
        if self.groups:
            one = len(self.groups) == 1 and draw.random() < 0.7
            lists = [f"[{','.join(group)}]" for group in self.groups]
            lines.insert(draw.randrange(len(lines) + 1), "zip=" + (lists[0] if one else f"[{','.join(lists)}]"))
        return lines

    def expected(self) -> list[list[str]]:
        """The overrides of each point, by ``itertools``: a group stands where its first key stands."""
        keys = list(self.values)
        first = {group[0]: group for group in self.groups}
        inside = {key for group in self.groups for key in group}
        axes_ = [first.get(key, [key]) for key in keys if key in first or key not in inside]
        rows = [list(zip(*(self.values[key] for key in axis), strict=True)) for axis in axes_]
        found = []
        for chosen in itertools.product(*rows):
            values = {key: v for axis, row in zip(axes_, chosen, strict=True) for key, v in zip(axis, row, strict=True)}
            found.append([f"{key}={values[key]}" for key in keys])
        return found


def _written(values: list[str], draw: random.Random) -> str:
    whole = [int(v) for v in values if v.isdigit()]
    steady = len(whole) == len(values) > 1 and whole == list(range(whole[0], whole[0] + len(whole)))
    if steady and draw.random() < 0.5:
        return f"range({whole[0]},{whole[-1] + 1})"
    if len(values) > 1 and draw.random() < 0.2:
        return f"choice({','.join(values)})"
    return ",".join(values)


def drawn(draw: random.Random) -> Grid:
    """A grid of two to six keys, at least one of them an axis, with as many groups as fit."""
    while True:
        keys = draw.sample(sorted(VALUES), draw.randint(2, 6))
        free, groups = list(keys), []
        while len(free) >= 2 and draw.random() < 0.7:
            groups.append([free.pop(draw.randrange(len(free))) for _ in range(draw.randint(2, min(3, len(free))))])
        lengths = {key: min(draw.choice([1, 2, 2, 3]), len(VALUES[key])) for key in keys}
        for group in groups:
            lengths |= dict.fromkeys(group, draw.randint(2, min(len(VALUES[key]) for key in group)))
        alone = [n for key, n in lengths.items() if not any(key in group for group in groups)]
        if math.prod([*alone, *(lengths[group[0]] for group in groups)]) <= MOST:
            starts = {key: draw.randrange(len(VALUES[key]) - lengths[key] + 1) for key in keys}
            return Grid({key: VALUES[key][starts[key] : starts[key] + lengths[key]] for key in keys}, groups)


def planned(hydra: Hydra, typed: list[str]) -> list[Form]:
    """The points of a sweep as we plan them, in Hydra's order."""
    master = interpolations.masters(hydra, typed)
    return list(points(hydra, master, grid(hydra, axes.typed(master), LIMIT, paired.groups(master))))


def difference(hydra: Hydra, one: Grid, draw: random.Random) -> str | None:
    """In what our plan of a grid differs from that of ``itertools``; None where it does not."""
    typed = one.typed(draw)
    ours = planned(hydra, typed)
    alone = [compose.science(compose.compose(hydra, lines)) for lines in one.expected()]
    if ours != alone:
        return f"{typed}: points {ours} :: {alone}"
    ids = [cell_id(canonical(form | {"eps": eps})) for form in alone for eps in eps_values(form["eps"])]
    cells = [job.cell for job in sweep.sweep(hydra, interpolations.masters(hydra, typed), LIMIT)]
    return None if sorted(cells) == sorted(set(ids)) else f"{typed}: ids {cells} :: {ids}"


def compared(hydra: Hydra, number: int, seed: int) -> Iterator[str | None]:
    """The difference of each of so many grids, drawn from a seed."""
    draw = random.Random(seed)
    for n in range(number):
        # what is composed of the same files is composed once, but for one grid in so many
        with remembering(interpolations.MADE) if n % interpolations.CHECKED else plainly():
            yield difference(hydra, drawn(draw), draw)


def trial(folder: Path, sets: int) -> str:
    """So many grids.  Raises Failure."""
    with compose.opened() as hydra:
        wrong = [found for found in compared(hydra, sets, 0) if found is not None]
    if wrong:
        raise Failure(f"{len(wrong)} of {sets}: " + " ;; ".join(wrong[:5]))
    return f"{sets} grids: the cells of `itertools`, in its order, each with the id that it has alone"
