"""Repairing a run when it is resumed: no stored row is removed before its successor is stored.

First, cells that are missing, failed or not whole are computed and stored in new parts.  Then each part with rows that do
not count any more is written anew without them, and its old file is removed.  If the process ends at any moment, a reader
still finds each cell whole at least once, and counts it once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterator

import pyarrow as pa

from gradcheck.columns.parquet import PROVENANCE
from gradcheck.columns.places import Place
from gradcheck.columns.store import PLAN
from gradcheck.errors import BadInput
from gradcheck.experiment.results.part import Part, number_in
from gradcheck.experiment.results.plan import Plan
from gradcheck.experiment.results.stored import Stored
from gradcheck.experiment.results.writer import write_pair


def require_word(stored: Stored, jobs: Plan, replace: bool) -> None:
    """Raise BadInput where whole rows would be removed and `replace` is false, and where the plan is that of another run."""
    n = unknown = named = changed = 0
    for cell, _ in stored.statuses():
        n += 1
        old = cell in jobs.former
        named += old or cell in jobs.ids
        unknown += cell not in jobs.ids
        changed += old and cell not in jobs.ids
    where = stored.run_dir
    if n and not named:
        raise BadInput(
            f"{where / PLAN}: names none of the {n} cells that are stored; it is the plan of another run: put that of"
            " this run in its place, or move it away and run the same command into another folder"
        )
    if not unknown or replace:
        return
    why = f"{unknown} of {n} stored cells are not in {PLAN}"
    if changed:
        why = f"{jobs.changed}: has changed since {changed} of {n} stored cells were computed; put back what was there"
    raise BadInput(
        f"resume={where}: {why}, or add replace=true: their rows go once those of the plan are stored"
        if changed
        else f"resume={where}: {why}; add replace=true, and their rows go once those of the plan are stored"
    )


def findings(stored: Stored, jobs: Plan) -> Iterator[str]:
    """The faults of a run that is resumed, a line each."""
    for folder, _, words in stored.damaged:
        yield f"repair  {words}; {'its cells' if folder == 'cells' else 'the cells of its rows'} are computed again"
    for lost in sorted({lost.fellow for cell, lost in stored.lost.items() if cell in jobs.ids}):
        cells = [found for cell, found in stored.lost.items() if found.fellow == lost and cell in jobs.ids]
        rows = sum(found.need - found.found for found in cells)
        yield f"repair  {lost}: {rows} rows of {len(cells)} cells are missing; these cells are computed again"
    for name in stored.doubled:
        yield f"repair  {name}: its rows stand elsewhere too; it is removed"
    for j in sorted(stored.repeated):
        yield f"repair  errors/{stored.errors[j].path.name}: rows stand twice in it; it is written anew"
    if len(stored.done()) < len(jobs):
        numbers = {part.number for part in stored.cells} | {None}
        there = {number_in(found.path.name) for found in stored.damaged}
        known = {part.number for part in stored.errors} | numbers | there
        last = max((number for number in known if number is not None), default=-1)
        for number in range(last + 1):
            if number not in numbers | there:
                yield f"repair  cells/part-{number:05d}-*.parquet: is not there; its cells are computed again"


def untidy(stored: Stored, jobs: Plan) -> bool:
    """Whether rows or files must be removed once the cells of a plan are stored."""
    if (
        stored.damaged
        or stored.lost
        or stored.doubled
        or stored.repeated
        or stored.rows
        or len(stored.used) < len(stored.errors)
    ):
        return True
    return any(status == "failed" or cell not in jobs.ids for cell, status in stored.statuses())


def tidy(run_dir: Place, planned: Container[str], count: int) -> bool:
    """Remove the rows that have successors and, once all planned cells are stored, the rows that are not planned.

    count : the number of planned cells.   Returns whether all of them are stored.  Raises OSError.
    """
    stored = Stored(run_dir, repair=True)
    complete = sum(cell in planned and cell not in stored.lost for cell, _ in stored.statuses()) == count

    def stays(cell: str) -> bool:
        return not complete or cell in planned

    replaced = {path for i in range(len(stored.cells)) for path in _replace(stored, i, stays, complete)}
    if replaced or complete:
        now = Stored(run_dir, repair=True)
        for j, part in enumerate(now.errors):
            if j not in now.used and (complete or part.path in replaced) and (part.n_rows or part.path in replaced):
                part.path.unlink(missing_ok=True)
        for found in now.damaged if complete else ():
            found.path.unlink(missing_ok=True)
    return complete


def _replace(stored: Stored, i: int, stays: Callable[[str], bool], complete: bool) -> list[Place]:
    """Write a part of ``cells`` anew, with its weights, where not all of its rows stay, and remove it.

    Returns the parts of ``errors`` that are not needed any more, unless another part of ``cells`` does.
    """
    part, fellow = stored.cells[i], stored.fellows[i]
    stay = [[stays(cell) for cell in table["cell"].to_pylist()] for table in stored.rows_of(i, ["cell"])]
    n = sum(map(sum, stay))
    if n == part.n_rows and (fellow is not None or not complete or not stored.weights_of(i)):
        return []
    written = ""
    if n:
        stamp = {PROVENANCE: json.dumps(part.provenance, sort_keys=True).encode()}
        kept = [table.filter(pa.array(mask)) for table, mask in zip(stored.rows_of(i), stay, strict=True)]
        cells = pa.concat_tables(kept)
        weights = [stored.weights(set(cells["cell"].to_pylist()))]
        written = write_pair(stored.run_dir, _free(stored, part), weights, [cells], stamp).name
    if written != part.path.name:
        part.path.unlink(missing_ok=True)
    return [] if fellow is None else [stored.errors[fellow].path]


def _free(stored: Stored, part: Part) -> int:
    """The number of a part; where it has none, a number that no part has."""
    if part.number is not None:
        return part.number
    return max((p.number for p in [*stored.cells, *stored.errors] if p.number is not None), default=-1) + 1
