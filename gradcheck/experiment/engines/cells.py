"""Cells as they are computed: from a config to an outcome, neighbours together."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, NamedTuple

from gradcheck.errors import Meaningless
from gradcheck.experiment.engines.base import CellFailed, J, Job, Settings, timed_out
from gradcheck.experiment.engines.limits import TimeIsUp, time_limit
from gradcheck.experiment.footprint import MAX_MEMORY
from gradcheck.numerics import threads

CHUNK_CELLS = 100  # that are computed at a time, at most
TOGETHER_WEIGHTS = 2**16  # of cells that are computed together: their numbers take some 20 MB
_last: tuple[str | None, Any] = (None, None)


def compute(config: dict[str, Any], allow: Sequence[str] = (), max_memory: float = MAX_MEMORY) -> Any:
    """CellResult of a canonical config: builds the cell and checks it.

    A pure function of its arguments and of the files that the config names.

    allow : modules that ``model=function`` may import.
    max_memory : bytes that a cell may take.
    """
    from gradcheck.columns.weights import packed
    from gradcheck.experiment.cell import check_cell
    from gradcheck.experiment.config.build import assemble
    from gradcheck.experiment.footprint import require_memory

    cell = assemble(config, tuple(allow))
    require_memory(cell, max_memory)
    return check_cell(cell, config["eps"], partial(_pose, config), packed)


def compute_together(
    configs: Sequence[dict[str, Any]], allow: Sequence[str] = (), max_memory: float = MAX_MEMORY
) -> list[Any]:
    """``compute`` of configs that differ in eps alone, with what they share computed once."""
    from gradcheck.columns.weights import packed
    from gradcheck.experiment.cell import check_cells
    from gradcheck.experiment.config.build import assemble
    from gradcheck.experiment.footprint import layout, require_memory

    cell = assemble(configs[0], tuple(allow))
    require_memory(cell, max_memory)
    steps = [config["eps"] for config in configs]
    size = max(1, TOGETHER_WEIGHTS // max(1, layout(cell).size))
    parts = [steps[start : start + size] for start in range(0, len(steps), size)]
    return [result for part in parts for result in check_cells(cell, part, partial(_pose, configs[0]), packed)]


def _pose(config: dict[str, Any], cell: Any) -> Any:
    """The problem of a cell, posed once for neighbours that differ in eps, scheme or match_at alone.

    Where files or somebody's functions have a say, which may change, it is posed anew.
    """
    from gradcheck.experiment.cell import pose
    from gradcheck.experiment.config.identity import has_sources

    global _last
    if has_sources(config):
        return pose(cell)
    key = json.dumps([config[part] for part in ("model", "data", "init", "bug", "dtype")], sort_keys=True)
    known, problem = _last  # another thread may put its own there at any moment
    if key != known:
        problem = pose(cell)
        _last = key, problem
    return problem


def prepare(settings: Settings) -> None:
    """Import what a cell needs, lest the first one be charged for it."""
    if settings.compute is None:
        import gradcheck.experiment.config.build  # noqa: F401


def outcome_of(config: Any, settings: Settings, cell: str | None = None) -> tuple[Any, float]:
    """Outcome of a config and the seconds it took.  Whatever goes wrong in a cell is its outcome; only
    KeyboardInterrupt passes.

    cell : its id; a cell whose files or functions are others here has failed.
    """
    start = time.perf_counter()
    outcome: Any
    try:
        with time_limit(settings.timeout):
            if cell is not None:
                from gradcheck.experiment.config.identity import require_sources

                require_sources(config, cell, settings.options.get("allow", ()))
            outcome = (settings.compute or compute)(config, **settings.options)
    except Meaningless as error:
        outcome = Meaningless(_one_line(error))
    except TimeIsUp:
        outcome = timed_out(settings)
    except (Exception, SystemExit) as error:
        outcome = CellFailed(message(error))
    return outcome, time.perf_counter() - start


def outcomes_of(group: Sequence[J], settings: Settings) -> Iterator[tuple[J, Any, float]]:
    """Outcomes of cells that differ in eps alone, computed together."""
    found: list[Any] | None = None
    start = time.perf_counter()
    if len(group) > 1 and settings.compute is None and settings.timeout is None:
        # whatever goes wrong, one by one it shows which of them it was
        with suppress(Exception):
            found = compute_together([job.config for job in group], **settings.options)
    if found is None:
        yield from ((job, *outcome_or_skip(job, settings)) for job in group)
    else:
        seconds = (time.perf_counter() - start) / len(group)
        yield from ((job, result, seconds) for job, result in zip(group, found, strict=True))


def differing_in_eps(jobs: Iterable[J]) -> Iterator[list[J]]:
    """Jobs in their order, in groups of neighbours whose configs are the same but for a given eps.

    A job that is skipped stands alone, and so does one whose files or functions have a say: they may change meanwhile.
    """
    group: list[J] = []
    shared = None
    for job in jobs:
        same = _all_but_eps(job)
        if group and (same is None or same != shared or len(group) == CHUNK_CELLS):
            yield group
            group = []
        group.append(job)
        shared = same
    if group:
        yield group


def _all_but_eps(job: Job) -> str | None:
    """What neighbours must have in common to be computed together, as text: equal numbers may be others, such as 0 and -0."""
    config = job.config
    if job.skip is not None or not isinstance(config, dict) or not isinstance(config.get("eps"), float):
        return None
    from gradcheck.experiment.config.identity import has_sources

    return None if has_sources(config) else repr([value for key, value in config.items() if key != "eps"])


def outcome_or_skip(job: Job, settings: Settings) -> tuple[Any, float]:
    return (Meaningless(job.skip), 0.0) if job.skip is not None else outcome_of(job.config, settings, job.cell)


def message(error: BaseException) -> str:
    text = _one_line(error)
    if isinstance(error, (ValueError, FloatingPointError)) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:1000]


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Threads change the order of sums in BLAS, hence the last bits; one thread gives the same everywhere."""
    import numpy  # noqa: F401  # its BLAS must be loaded before it can be limited
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield


class Task(NamedTuple):
    """What of a job travels to the process that computes it."""

    cell: str | None
    config: Any
    skip: str | None = None


def tasks(chunk: Sequence[Sequence[Job]]) -> list[list[Task]]:
    """What of a chunk travels to the process that computes it."""
    return [[Task(job.cell, job.config) for job in group] for group in chunk]


def work(chunk: list[list[Task]], settings: Settings) -> list[tuple[Any, float]]:
    """Outcomes of a chunk, in the process that computes it."""
    prepare(settings)
    # every core has a process of its own
    with one_blas_thread(), threads.limit(1):
        found = [(outcome, seconds) for group in chunk for _, outcome, seconds in outcomes_of(group, settings)]
        return found if settings.pack is None else settings.pack(found)
