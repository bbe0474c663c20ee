"""Cells as they are computed: from a config to an outcome, neighbours together."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from gradcheck.errors import Meaningless, one_line
from gradcheck.experiment.engines.base import CellFailed, EngineSettings, J, Job, Outcome, Stream, Timed, timed_out
from gradcheck.experiment.engines.limits import TimeIsUp, time_limit
from gradcheck.experiment.footprint import MAX_MEMORY
from gradcheck.numerics import threads
from gradcheck.numerics.steps import AUTO, Step

if TYPE_CHECKING:
    from gradcheck.experiment.cell import Cell
    from gradcheck.numerics.check import CellResult
    from gradcheck.numerics.problem import Problem

CHUNK_CELLS = 400  # that are computed at a time, at most: beside their numbers the calls of NumPy cost little then
TOGETHER_WEIGHTS = 2**16  # of cells that are computed together: their numbers take some 20 MB
_last: tuple[str, Problem | None] = ("", None)


def compute(config: Mapping[str, object], allow: Sequence[str] = (), max_memory: float = MAX_MEMORY) -> CellResult:
    """Build the cell of a canonical config and check it.

    The result depends on the arguments alone, and on the files and functions that the config names.

    allow : modules that ``model=function`` may import.
    max_memory : bytes that a cell may take.
    """
    from gradcheck.columns.weights import packed
    from gradcheck.experiment.cell import check_cell
    from gradcheck.experiment.config.build import assemble
    from gradcheck.experiment.footprint import require_memory

    cell = assemble(config, tuple(allow))
    require_memory(cell, max_memory)
    return check_cell(cell, _step(config), partial(_pose, config), packed)


def compute_together(
    configs: Sequence[Mapping[str, object]], allow: Sequence[str] = (), max_memory: float = MAX_MEMORY
) -> list[CellResult]:
    """``compute`` of configs that differ in eps alone, with what they share computed once."""
    from gradcheck.columns.weights import packed
    from gradcheck.experiment.cell import check_cells
    from gradcheck.experiment.config.build import assemble
    from gradcheck.experiment.footprint import layout, require_memory

    cell = assemble(configs[0], tuple(allow))
    require_memory(cell, max_memory)
    steps = [_step(config) for config in configs]
    size = max(1, TOGETHER_WEIGHTS // max(1, layout(cell).size))
    parts = [steps[start : start + size] for start in range(0, len(steps), size)]
    return [result for part in parts for result in check_cells(cell, part, partial(_pose, configs[0]), packed)]


def _step(config: Mapping[str, object]) -> Step:
    """The step of a canonical config."""
    eps = config["eps"]
    return eps if isinstance(eps, float) else AUTO


def _pose(config: Mapping[str, object], cell: Cell) -> Problem:
    """The problem of a cell, posed once for neighbours that differ in eps, scheme or match_at alone.

    Where the config names files or somebody's functions, which may change, it is posed anew.
    """
    from gradcheck.experiment.cell import pose
    from gradcheck.experiment.config.identity import has_sources

    global _last
    if has_sources(config):
        return pose(cell)
    key = json.dumps([config[part] for part in ("model", "data", "init", "bug", "dtype")], sort_keys=True)
    known, problem = _last  # another thread may put its own there at any moment
    if problem is None or key != known:
        problem = pose(cell)
        _last = key, problem
    return problem


def prepare(settings: EngineSettings) -> None:
    """Import what a cell needs: the seconds of the first cell do not contain it."""
    if settings.compute is None:
        import gradcheck.experiment.config.build  # noqa: F401


def outcome_of(config: Mapping[str, object], settings: EngineSettings, cell: str | None = None) -> Timed:
    """Outcome of a config and the seconds that it took.

    An exception in a cell is its outcome; only KeyboardInterrupt passes.

    cell : the cell's id; a cell whose files or functions are others in this process has failed.
    """
    start = time.perf_counter()
    outcome: Outcome
    try:
        with time_limit(settings.timeout):
            if cell is not None:
                from gradcheck.experiment.config.identity import require_sources

                require_sources(config, cell, settings.options.get("allow", ()))
            outcome = (settings.compute or compute)(config, **settings.options)
    except Meaningless as error:
        outcome = Meaningless(_words(error))
    except TimeIsUp:
        outcome = timed_out(settings)
    except (Exception, SystemExit) as error:
        outcome = CellFailed(message(error))
    return outcome, time.perf_counter() - start


def outcomes_of(group: Sequence[J], settings: EngineSettings) -> Stream[J]:
    """Outcomes of cells that differ in eps alone, computed together."""
    found: list[CellResult] | None = None
    start = time.perf_counter()
    if len(group) > 1 and settings.compute is None and settings.timeout is None:
        # where this fails, the cells are computed one by one: that shows which of them fails
        with suppress(Exception):
            found = compute_together([job.config for job in group], **settings.options)
    if found is None:
        yield from ((job, *outcome_or_skip(job, settings)) for job in group)
    else:
        seconds = (time.perf_counter() - start) / len(group)
        yield from ((job, result, seconds) for job, result in zip(group, found, strict=True))


def outcomes_of_chunk(chunk: Sequence[Sequence[J]], settings: EngineSettings) -> Stream[J]:
    """Outcomes of the groups of a chunk, in their order; cells of equal shape are computed side by side."""
    found: dict[int, list[Timed]] = {}
    if len(chunk) > 1 and settings.compute is None and settings.timeout is None and settings.pack is not None:
        from gradcheck.experiment.engines.stacks import stacked

        found = stacked([group if has_given_step(group[0]) else () for group in chunk], settings.options)
    for place, group in enumerate(chunk):
        if place in found:
            yield from ((job, *timed) for job, timed in zip(group, found[place], strict=True))
        else:
            yield from outcomes_of(group, settings)


def differing_in_eps(jobs: Iterable[J]) -> Iterator[list[J]]:
    """Jobs in their order, in groups of neighbours whose configs are the same but for a given eps.

    A job that is skipped stands alone, and so does one that names files or functions: they may change meanwhile.
    """
    group: list[J] = []
    given = False
    for job in jobs:
        before, given = given, has_given_step(job)
        together = before and given and len(group) < CHUNK_CELLS and _same_but_eps(group[-1].config, job.config)
        if group and not together:
            yield group
            group = []
        group.append(job)
    if group:
        yield group


def _same_but_eps(a: Mapping[str, object], b: Mapping[str, object]) -> bool:
    """Whether two configs are the same but for eps."""
    if a.keys() != b.keys():
        return False
    # as text, since 0 and -0 are equal numbers; most neighbours share their sections
    return all(key == "eps" or value is b[key] or repr(value) == repr(b[key]) for key, value in a.items())


def has_given_step(job: Job) -> bool:
    """Whether a cell that is computed has a given eps, and names no files or functions, which may change meanwhile."""
    config = job.config
    if job.skip is not None or not isinstance(config, dict) or not isinstance(config.get("eps"), float):
        return False
    from gradcheck.experiment.config.identity import has_sources

    return not has_sources(config)


def outcome_or_skip(job: Job, settings: EngineSettings) -> Timed:
    """Outcome of a job and the seconds that it took; a job that is skipped takes none."""
    return (Meaningless(job.skip), 0.0) if job.skip is not None else outcome_of(job.config, settings, job.cell)


def message(error: BaseException) -> str:
    """What is stored of an exception that ended a cell."""
    text = _words(error)
    if isinstance(error, (ValueError, FloatingPointError)) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _words(error: BaseException) -> str:
    return one_line(error)[:1000]


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let BLAS compute on one thread: several would change the order of sums, hence the last bits."""
    import numpy  # noqa: F401  # its BLAS must be loaded before it can be limited
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield


class Task(NamedTuple):
    """The part of a job that travels to the process that computes it."""

    cell: str | None
    config: Mapping[str, object]
    skip: str | None = None


def tasks(chunk: Sequence[Sequence[Job]]) -> list[list[Task]]:
    """The jobs of a chunk as they travel to the process that computes it."""
    return [[Task(job.cell, job.config) for job in group] for group in chunk]


def work(chunk: list[list[Task]], settings: EngineSettings) -> list[Timed]:
    """Outcomes of a chunk, in the process that computes it."""
    prepare(settings)
    # every core has a process of its own
    with one_blas_thread(), threads.limit(1):
        return worked(chunk, settings)


def worked(chunk: Sequence[Sequence[Job]], settings: EngineSettings) -> list[Timed]:
    """The same in a process that is prepared, and computes on one thread."""
    found = [(outcome, seconds) for _, outcome, seconds in outcomes_of_chunk(chunk, settings)]
    return found if settings.pack is None else settings.pack(found)
