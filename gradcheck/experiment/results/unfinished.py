"""How much of its plan a run has stored: nothing else tells of the cells that a run lacks which was stopped or goes on."""

from __future__ import annotations

import shlex
from typing import NamedTuple

import pyarrow as pa

from gradcheck.columns import parquet, places
from gradcheck.columns.store import PLAN
from gradcheck.experiment.results.stored import Stored


class Unfinished(NamedTuple):
    """A run that lacks cells.   stored, planned : numbers of cells.   resume : the command that computes the others."""

    stored: int
    planned: int
    resume: str

    def __str__(self) -> str:
        return f"UNFINISHED  {self.stored} of {self.planned} planned cells are stored; {self.resume} finishes it"


def unfinished(run: Stored) -> Unfinished | None:
    """What a run lacks of its plan; None for a finished run, and for one without a plan that can be read."""
    path = run.run_dir / PLAN
    try:
        if not places.inside(run.run_dir, path) or not path.is_file():
            return None
        planned = parquet.opened(path).metadata.num_rows
    except (pa.ArrowException, OSError, ValueError):
        return None
    command = f"python -m gradcheck.run {shlex.quote(f'resume={run.run_dir}')}"
    return Unfinished(run.n_cells, planned, command) if run.n_cells < planned else None
