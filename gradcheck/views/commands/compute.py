"""Compute the cells of a plan, store them as they come, and print the summary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gradcheck.columns import lock, store
from gradcheck.columns.places import Place
from gradcheck.columns.weights import errors_tables
from gradcheck.experiment.config.columns import column_name
from gradcheck.experiment.engines import engines
from gradcheck.experiment.engines.base import EngineLost, Stream
from gradcheck.experiment.engines.interrupts import sigterm_interrupts
from gradcheck.experiment.grid.record import write_plan
from gradcheck.experiment.results import provenance
from gradcheck.experiment.results.plan import Ids, Left, Plan, Planned
from gradcheck.experiment.results.rows import cell_row
from gradcheck.experiment.results.writer import Writer
from gradcheck.printable import printable
from gradcheck.views import summary
from gradcheck.views.commands.folders import refuse_run
from gradcheck.views.commands.settings import RunSettings
from gradcheck.views.progress import Progress
from gradcheck.views.tally import TALLY_COLUMNS, Tally
from gradcheck.views.worst import WORST_COLUMNS, Worst, wrong_weight

if TYPE_CHECKING:
    from gradcheck.experiment.results.stored import Stored

INTERRUPTED = 130


def compute(jobs: Plan, run_dir: Path, chosen: RunSettings, overrides: Sequence[str]) -> int:
    """Compute the cells of a plan in a new run, store them as they come, print the summary; returns the exit status."""
    place = run_dir if chosen.store is None else chosen.store
    chosen.caller.runs.append(place)
    with lock.locked(place) as target:
        refuse_run(target)  # another process may have made it meanwhile
        return compute_left(jobs, target, chosen, overrides, None)


@contextmanager
def _storing(target: Place) -> Iterator[None]:
    """Raise WriteError for an error of the disk or the network while a run is stored."""
    try:
        yield
    except OSError as error:
        raise store.not_stored(target, error) from error


def compute_left(
    jobs: Plan,
    target: Place,
    chosen: RunSettings,
    overrides: Sequence[str],
    stored: Stored | None,
    proposed: bool = True,
) -> int:
    """Compute the cells of a plan that are not `stored`, in a run that this process has locked; returns the exit status.

    stored : what the run holds; None for a new one.
    proposed : whether the overrides may stand in a command that the summary proposes.
    """
    done = Ids() if stored is None else stored.done()
    left = Left(jobs, done)
    tally = _tally(jobs, done, stored)
    caller, log = chosen.caller, chosen.caller.log
    log.info("%d cells planned, %d to compute, engine %s", len(jobs), len(left), chosen.engine)
    interrupted, lost = False, ""
    with sigterm_interrupts(alone=caller.alone):
        try:
            if stored is None:
                with _storing(target):  # first: a run that has results can then be resumed
                    write_plan(target, jobs, overrides)
            with (
                Writer(target, provenance.collect(overrides)) as writer,
                Progress(len(left), chosen.progress) as progress,
            ):
                for job, outcome, seconds in outcomes(left, chosen):
                    rows = cell_row(job, outcome, seconds)
                    writer.add(rows)
                    tally.add(rows.cell, rows.reasons, partial(wrong_weight, errors_tables([rows]), job.cell))
                    progress.advance(rows.cell["status"] == "failed")
                    if rows.cell["status"] == "failed":
                        log.warning("cell %s failed: %s", job.cell, printable(rows.cell["message"]))
        except KeyboardInterrupt:
            interrupted = True
        except EngineLost as error:
            lost = f"engine={chosen.engine}: {error}; what was finished is stored"
            caller.fail(lost)
    if stored is not None and not interrupted:
        with _storing(target):
            _settle(jobs, target, overrides, stored)
    for note in jobs.notes:
        log.info("%s", printable(note))
        caller.note(note)
    caller.show(summary.screen(tally, target, overrides if proposed else None, planned=len(jobs)))
    end = "interrupted" if interrupted else printable(lost) or "done"
    log.info("%s: %s", end, ", ".join(f"{n} {word}" for word, n in tally.status.items()))
    if interrupted:
        return INTERRUPTED
    return 0 if tally.ok(chosen.fail_on) and not lost else 1


def _tally(jobs: Plan, done: Ids, stored: Stored | None) -> Tally:
    """The counts of the planned cells that are stored already."""
    tally = Tally(names=[column_name(key) for swept in jobs.swept for key in swept])
    for table in () if stored is None else stored.cell_tables(TALLY_COLUMNS):
        for row in table.to_pylist():
            if row["cell"] in done and row["cell"] in jobs.ids:
                tally.add(row, (), partial(_wrong_weight, stored, row["cell"]))
    return tally


def _wrong_weight(stored: Stored | None, cell: str) -> Worst | None:
    """The worst of the stored weights of a mismatch; None where their rows are lost."""
    return None if stored is None else wrong_weight(stored.weight_tables(WORST_COLUMNS, {cell}), cell)


def _settle(jobs: Plan, target: Place, overrides: Sequence[str], stored: Stored) -> None:
    """Remove rows that were computed again; once all cells are stored, write the plan with the ids that they have now."""
    from gradcheck.experiment.results import repair  # a new run has nothing to repair

    complete = not repair.untidy(stored, jobs) or repair.tidy(target, jobs.ids, len(jobs))
    if complete and jobs.former:
        write_plan(target, jobs, overrides)


def outcomes(jobs: Left, chosen: RunSettings) -> Stream[Planned]:
    """The outcomes of cells as they are computed."""
    told = chosen.computing
    return engines.run(
        jobs,
        told.n_jobs,
        chosen.engine,
        timeout=told.timeout,
        fail_fast=told.fail_fast,
        address=told.address,
        pack=told.pack,
        early=chosen.early,
        **told.options,
    )
