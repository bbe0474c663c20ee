"""What every engine shares: a job, the settings, and the ways in which a cell ends without a result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar


class Job(Protocol):
    """A cell to compute."""

    @property
    def cell(self) -> str | None: ...  # its id, by which files and functions are known; None: whatever they are
    @property
    def config(self) -> Any: ...  # canonical, a plain dict
    @property
    def skip(self) -> str | None: ...  # why it is not to be computed


J = TypeVar("J", bound=Job)


class CellFailed(RuntimeError):
    """A cell could not be computed; the message begins with the kind of error, if that is not a plain ValueError."""


class WorkerDied(CellFailed):
    """The process that computed a cell ended, by a signal or for want of memory."""


class TimedOut(CellFailed):
    """A cell took longer than `cell_timeout`."""


class EngineLost(RuntimeError):
    """Nobody is left who computes (a cluster's scheduler or all its workers are gone); what was yielded stands."""


@dataclass(frozen=True)
class Settings:
    """How cells are computed.

    n_jobs : processes; None or -1 is one for each core, -2 all cores but one.
    address : of a Dask scheduler.
    timeout : seconds for one cell, or None.
    fail_fast : stop after the first cell that failed.
    compute : what makes a result from a config; another one is for tests.
    pack : what is made of the outcomes of a chunk, (outcome, seconds) each, before they travel to another process.
    options : further keyword arguments for `compute`.
    """

    n_jobs: int | None = None
    timeout: float | None = None
    fail_fast: bool = False
    compute: Compute | None = None
    address: str | None = None
    pack: Callable[[list[tuple[Any, float]]], list[tuple[Any, float]]] | None = None
    options: dict[str, Any] = field(default_factory=dict)


Compute = Callable[..., Any]


def timed_out(settings: Settings) -> TimedOut:
    return TimedOut(f"not done after cell_timeout={settings.timeout:g} seconds")
