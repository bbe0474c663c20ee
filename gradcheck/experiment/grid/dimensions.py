"""The dimensions of a grid: its axes, of which some are varied together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hydra.core.override_parser.types import Override

from gradcheck.errors import BadInput
from gradcheck.experiment.config.hydra_private import Hydra
from gradcheck.experiment.config.words import in_one_line
from gradcheck.experiment.grid.axes import SAME_PROBLEM, Axis, axis_of, last_of_each, length
from gradcheck.experiment.grid.paired import Groups, together


@dataclass(frozen=True)
class Dimension:
    """An axis of the grid, or several axes that are varied together.

    place : of the axis that says where it stands, among all keys in the order in which Hydra sets them.
    """

    axes: tuple[Axis, ...]
    place: int

    def __len__(self) -> int:
        return len(self.axes[0].points)

    def __iter__(self) -> Iterator[tuple[Override, ...]]:
        return zip(*(axis.points for axis in self.axes), strict=True)


def grid(hydra: Hydra, lines: Sequence[str], max_cells: int, paired: Groups = ()) -> list[Dimension]:
    """The dimensions of a sweep, in the order in which Hydra would vary them.

    paired : keys whose lists are varied together.

    Raises BadInput for keys that cannot be swept, for groups that cannot be varied together, and for grids larger than
    max_cells, before anything is expanded.
    """
    parser, overrides = last_of_each(hydra, lines)
    by_place = list(overrides.items())
    found, size = together(paired, overrides), 1
    for places in found:
        override = by_place[places[0]][1]
        size *= length(override)
        if size > max_cells:
            raise BadInput(f"{override.input_line}: more than max_cells={max_cells} cells; raise it with max_cells=...")
    with in_one_line(lines):
        return [
            Dimension(tuple(axis_of(hydra, parser, place, *by_place[place]) for place in places), places[0])
            for places in found
        ]


def in_groups(dimensions: Sequence[Dimension]) -> list[Dimension]:
    """Dimensions in the order in which neighbouring points share most: groups of configs first, since composing takes most
    of the time.
    """
    return sorted(
        dimensions,
        key=lambda one: (
            not any(axis.group for axis in one.axes),
            all(axis.path in SAME_PROBLEM for axis in one.axes),
        ),
    )


def job_number(dimensions: Sequence[Dimension], i: int) -> int:
    """Which job of Hydra's is the point i of dimensions that stand in another order."""
    digits = {}
    for one in reversed(dimensions):
        i, digits[one.place] = divmod(i, len(one))
    number = 0
    for one in sorted(dimensions, key=lambda one: one.place):
        number = number * len(one) + digits[one.place]
    return number
