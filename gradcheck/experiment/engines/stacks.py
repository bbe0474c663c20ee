"""Cells of equal shape, computed side by side: small cells take less time than the calls that compute each of them."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from gradcheck.experiment.engines.base import Job, Options, Timed
from gradcheck.experiment.footprint import MAX_MEMORY
from gradcheck.numerics.problem import Problem

STACK_WEIGHTS = 2**15  # rows of a stack at most
STACK_BYTES = 5e7  # that the problems of a stack take, at most


class Posed(NamedTuple):
    """A group of cells that differ in eps alone, with its problem.   place : among the groups."""

    place: int
    problem: Problem
    injected: bool
    seconds: float


@dataclass
class Stack:
    """Groups that may be computed together, and what these have in common.

    size : weights of all cells.   bytes : that the problems take.
    """

    scheme: str
    eps: tuple[float, ...]
    match_at: float
    min_judged: float
    accept: float
    posed: list[Posed] = field(default_factory=list)
    size: int = 0
    bytes: float = 0.0


def stacked(groups: Sequence[Sequence[Job]], options: Options) -> dict[int, list[Timed]]:
    """The outcomes of those groups of cells that can be computed side by side with others, by their place among the groups.

    Each group holds cells that differ in eps alone.  A group that is not among them is to be computed alone: it may have
    failed here, and then it says why.
    """
    found: dict[int, list[Timed]] = {}
    stacks: dict[Hashable, Stack] = {}
    problems: dict[str, tuple[Problem, bool, float]] = {}
    for place, group in enumerate(groups):
        if not group:
            continue
        config = group[0].config
        key = repr([config["model"], *(config[name] for name in _SHARED), [job.config["eps"] for job in group]])
        stack = stacks.get(key)
        if stack is None:
            stack = stacks[key] = _stack(group)
        # where it cannot be posed, it is computed alone and says so
        with suppress(Exception):
            _pose(stack, place, config, options, problems)
        if stack.size > STACK_WEIGHTS or stack.bytes > STACK_BYTES:
            found |= _computed(stacks.pop(key))
    for stack in stacks.values():
        found |= _computed(stack)
    return found


_SHARED = ("scheme", "dtype", "match_at", "min_judged", "accept")
_PROBLEM = ("model", "data", "init", "bug", "dtype")


def _stack(group: Sequence[Job]) -> Stack:
    config = group[0].config
    eps = tuple(float(str(job.config["eps"])) for job in group)
    numbers = (float(str(config[name])) for name in ("match_at", "min_judged", "accept"))
    return Stack(str(config["scheme"]), eps, *numbers)


def _pose(
    stack: Stack,
    place: int,
    config: Mapping[str, object],
    options: Options,
    problems: dict[str, tuple[Problem, bool, float]],
) -> None:
    """Pose the problem of a group and put it on its stack.  Raises what hinders that."""
    from gradcheck.experiment.cell import pose, refuse
    from gradcheck.experiment.config.build import assemble
    from gradcheck.experiment.footprint import footprint, require_memory

    start = time.perf_counter()
    cell = assemble(config, tuple(options.get("allow", ())))
    require_memory(cell, options.get("max_memory", MAX_MEMORY))
    refuse(cell)
    key = repr([config[name] for name in _PROBLEM])
    if key not in problems:
        with np.errstate(all="ignore"):
            problems[key] = pose(cell), bool(cell.bug.name != "none"), footprint(cell)
            problems[key][0].center  # noqa: B018  # its time belongs to this cell
    problem, injected, size = problems[key]
    stack.posed.append(Posed(place, problem, injected, time.perf_counter() - start))
    stack.size += problem.layout.size * len(stack.eps)
    stack.bytes += size


def _computed(stack: Stack) -> dict[int, list[Timed]]:
    """The outcomes of the groups of a stack."""
    from gradcheck.numerics.side_by_side import shape_of

    found: dict[int, list[Timed]] = {}
    alike: dict[Hashable, list[Posed]] = {}
    for posed in stack.posed:
        alike.setdefault(shape_of(posed.problem), []).append(posed)
    for shape, some in alike.items():
        if shape is not None and len(some) > 1:
            with suppress(Exception):  # computed one by one, it is seen which of them fails
                found |= dict(_examined(stack, some))
    return found


def _examined(stack: Stack, some: Sequence[Posed]) -> Iterator[tuple[int, list[Timed]]]:
    from gradcheck.columns.weights import side_by_side
    from gradcheck.numerics.check import CellResult
    from gradcheck.numerics.schemes import SCHEMES
    from gradcheck.numerics.side_by_side import check_side_by_side

    start = time.perf_counter()
    with np.errstate(all="ignore"):
        found = check_side_by_side(
            [posed.problem for posed in some],
            SCHEMES[stack.scheme],
            stack.eps,
            stack.match_at,
            [posed.injected for posed in some],
            stack.min_judged,
            stack.accept,
        )
    weights = side_by_side(found.columns, found.size)
    steps = len(stack.eps)
    shared = (time.perf_counter() - start) / len(some)
    for k, posed in enumerate(some):
        cells = slice(k * steps, (k + 1) * steps)
        pairs = zip(weights[cells], found.summaries[cells], strict=True)
        yield posed.place, [(CellResult(w, s), (posed.seconds + shared) / steps) for w, s in pairs]
