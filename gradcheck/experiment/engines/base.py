"""What every engine shares: a job, the settings, and the ways in which a cell ends without a result."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypedDict, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

    from gradcheck.errors import Meaningless
    from gradcheck.numerics.check import CellResult


class Job(Protocol):
    """A cell to compute."""

    @property
    def cell(self) -> str | None: ...  # its id, by which files and functions are known; None: whatever they are
    @property
    def config(self) -> Mapping[str, object]: ...  # canonical
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


# What comes of a cell: it is computed, skipped or failed.
Outcome: TypeAlias = "CellResult | Meaningless | CellFailed"
# An outcome and the seconds that it took.
Timed: TypeAlias = "tuple[Outcome, float]"
# Cells as they are done: each job, its outcome and the seconds that it took.
Stream: TypeAlias = "Generator[tuple[J, Outcome, float], None, None]"
# What makes a result of a config and ``Options``.
Compute: TypeAlias = "Callable[..., CellResult]"
# What is made of the outcomes of a chunk before they travel to another process.
Pack: TypeAlias = "Callable[[Sequence[Timed]], list[Timed]]"


class Pool(Protocol):
    """Processes that compute chunks of cells, in groups that are computed together."""

    @property
    def workers(self) -> int: ...
    def submit(
        self, chunk: Sequence[Sequence[Job]]
    ) -> Future[list[Timed]]: ...  # RuntimeError where it is not possible
    def wait_until_up(self) -> None: ...
    def killed(self, error: BaseException) -> bool: ...  # was a chunk lost with its process?  May raise EngineLost
    def end(self, stuck: bool = False) -> None: ...  # nothing that was submitted is wanted any more


class Options(TypedDict, total=False):
    """What the computation of a cell is told beside its config.

    allow : modules that ``model=function`` may import.   max_memory : bytes that a cell may take.
    """

    allow: Sequence[str]
    max_memory: float


@dataclass(frozen=True)
class EngineSettings:
    """How cells are computed.

    n_jobs : processes; None or -1 is one for each core, -2 all cores but one.
    timeout : seconds for one cell, or None.
    fail_fast : stop after the first cell that failed.
    compute : what makes a result from a config, instead of ``cells.compute``.
    address : of a Dask scheduler.
    pack : what is made of the outcomes of a chunk before they travel to another process.
    options : further keyword arguments for `compute`.
    """

    n_jobs: int | None = None
    timeout: float | None = None
    fail_fast: bool = False
    compute: Compute | None = None
    address: str | None = None
    pack: Pack | None = None
    options: Options = field(default_factory=Options)


def timed_out(settings: EngineSettings) -> TimedOut:
    """The outcome of a cell that took longer than its limit."""
    return TimedOut(f"not done after cell_timeout={settings.timeout:g} seconds")
