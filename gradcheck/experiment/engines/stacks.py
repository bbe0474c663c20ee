"""Cells of equal shape, computed side by side: small cells take less time than the calls that compute each of them."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gradcheck.experiment.engines.base import Job, Options, Timed
from gradcheck.experiment.footprint import MAX_MEMORY

if TYPE_CHECKING:
    from gradcheck.experiment.cell import Cell
    from gradcheck.numerics.problem import Problem

STACK_WEIGHTS = 2**15  # rows of a stack, and of the group that is put on it last
STACK_BYTES = 5e7  # that the problems of a stack take, and the one that is put on it last
_PROBLEM = ("data", "init", "bug")  # in these the cells of a stack may differ, and their steps are the stack's


class Group(NamedTuple):
    """Cells that differ in eps alone.   place : among the groups.   problem : by which others with the same one are found."""

    place: int
    cell: Cell
    problem: str


@dataclass
class Stack:
    """Groups that differ in data, start and bug, to be computed together.

    size : weights of all cells.   bytes : that their problems take.
    """

    eps: tuple[float, ...]
    groups: list[Group] = field(default_factory=list)
    size: int = 0
    bytes: float = 0.0


def stacked(groups: Sequence[Sequence[Job]], options: Options) -> dict[int, list[Timed]]:
    """The outcomes of those groups of cells that can be computed side by side with others, by their place among the groups.

    Each group holds cells that differ in eps alone, or nothing.  A group that is not in the answer is to be computed alone:
    it may have failed here, and then it says why.
    """
    found: dict[int, list[Timed]] = {}
    stacks: dict[str, Stack] = {}
    for place, group in enumerate(groups):
        if not group:
            continue
        config, eps = group[0].config, tuple(float(str(job.config["eps"])) for job in group)
        key = repr([eps, sorted((name, value) for name, value in config.items() if name not in ("eps", *_PROBLEM))])
        stack = stacks.setdefault(key, Stack(eps))
        # where it cannot be built, it is computed alone and says so
        with suppress(Exception):
            _put(stack, place, config, options)
        if stack.size > STACK_WEIGHTS or stack.bytes > STACK_BYTES:
            found |= _computed(stacks.pop(key))
    for stack in stacks.values():
        found |= _computed(stack)
    return found


def _put(stack: Stack, place: int, config: Mapping[str, object], options: Options) -> None:
    """Build the cell of a group and put it on its stack, unless it is large.  Raises what hinders that."""
    from gradcheck.experiment.cell import refuse
    from gradcheck.experiment.config.build import assemble
    from gradcheck.experiment.footprint import footprint, layout

    cell = assemble(config, tuple(options.get("allow", ())))
    refuse(cell)
    size, needed = layout(cell).size * len(stack.eps), footprint(cell)
    if size > STACK_WEIGHTS or needed > min(STACK_BYTES, options.get("max_memory", MAX_MEMORY)):
        return
    stack.groups.append(Group(place, cell, repr([config[name] for name in _PROBLEM])))
    stack.size += size
    stack.bytes += needed


def _computed(stack: Stack) -> dict[int, list[Timed]]:
    """The outcomes of the groups of a stack, but for those that are to be computed alone."""
    from gradcheck.experiment.cell import pose_together
    from gradcheck.numerics.side_by_side import shape_of

    found: dict[int, list[Timed]] = {}
    if len(stack.groups) < 2:
        return found
    start = time.perf_counter()
    distinct = {group.problem: group.cell for group in stack.groups}
    alike: dict[Hashable, list[tuple[Group, Problem]]] = {}
    # what raises an error here is computed one by one, where it is seen which cell fails
    with suppress(Exception), np.errstate(all="ignore"):
        problems = dict(zip(distinct, pose_together(list(distinct.values())), strict=True))
        for group in stack.groups:
            if (problem := problems[group.problem]) is not None:
                alike.setdefault(shape_of(problem), []).append((group, problem))
    alike.pop(None, None)
    posing = (time.perf_counter() - start) / len(stack.groups)
    for some in alike.values():
        if len(some) > 1:
            with suppress(Exception), np.errstate(all="ignore"):
                found |= dict(_examined(stack.eps, some, posing))
    return found


def _examined(
    eps: Sequence[float], some: Sequence[tuple[Group, Problem]], posing: float
) -> Iterator[tuple[int, list[Timed]]]:
    """The outcomes of groups of one shape, by their places.   posing : the seconds that it took to pose each problem."""
    from gradcheck.columns.weights import side_by_side
    from gradcheck.numerics.check import CellResult
    from gradcheck.numerics.side_by_side import check_side_by_side

    start = time.perf_counter()
    cell = some[0][0].cell
    found = check_side_by_side(
        [problem for _, problem in some],
        cell.scheme,
        eps,
        cell.match_at,
        [group.cell.bug.name != "none" for group, _ in some],
        cell.min_judged,
        cell.accept,
    )
    weights: list[Any] = side_by_side(found.columns, found.size)  # in the form in which they are stored
    seconds = (posing + (time.perf_counter() - start) / len(some)) / len(eps)
    for k, (group, _) in enumerate(some):
        cells = slice(k * len(eps), (k + 1) * len(eps))
        pairs = zip(weights[cells], found.summaries[cells], strict=True)
        yield group.place, [(CellResult(w, summary), seconds) for w, summary in pairs]
