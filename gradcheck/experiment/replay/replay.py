"""Running recorded configs again and comparing every number with the record.

Two computations of a number on different machines differ by rounding.  A weight's own bound, recomputed, says by how much:
it holds for any computation of that weight, and a number that is further away was not computed from the same inputs.  A
number that the record's other numbers give (a maximum, an error) is at most as far away as these.  Another one is compared
on its own, in the unit that error propagation gives (`intervals`).  A record is data: its configs go through
`gradcheck.experiment.config.build.build`, which looks up classes in tables by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from gradcheck.columns.places import Place, local
from gradcheck.columns.weights import WEIGHTS, Packed
from gradcheck.errors import BadInput
from gradcheck.experiment.engines.base import EngineSettings, Options, Outcome
from gradcheck.experiment.engines.cells import one_blas_thread, outcome_of
from gradcheck.experiment.footprint import MAX_MEMORY, WEIGHT_BYTES
from gradcheck.experiment.replay.comparison import Column, Comparison, compare, reals
from gradcheck.experiment.replay.files import Files
from gradcheck.experiment.replay.record import cell_columns, id_now, recorded_cells, recorded_config
from gradcheck.experiment.results import version_1
from gradcheck.experiment.results.plan import Planned
from gradcheck.experiment.results.rows import cell_row
from gradcheck.experiment.results.stored import Stored
from gradcheck.numerics.check import CellResult
from gradcheck.numerics.weight_columns import WeightColumns


def reproduce(
    run_dir: Place,
    wanted: Sequence[str] | None = None,
    allow: Sequence[str] = (),
    allow_path: Sequence[str | Path] = (),
    max_memory: float | None = None,
    data_root: str | Path | None = None,
) -> Comparison:
    """Run recorded cells again (all, or those wanted) and compare every column but `seconds`.

    allow : modules that a recorded ``model=function`` may import.
    allow_path : folders, beside the current one, in which a recorded config may name data files.
    max_memory : bytes that a cell may take.
    data_root : the folder in which the files are looked for that a config names; None for where it names them.

    Raises BadInput where the record cannot be read or a config in it is none.
    """
    stored = Stored(run_dir)
    found = Comparison(summary={name: Column(name) for name in cell_columns(stored)}, notes=stored.notes)
    files = Files(run_dir, (Path.cwd(), *map(local, allow_path)), None if data_root is None else local(data_root))
    options: Options = {"allow": tuple(allow)} if allow else {}
    if max_memory is not None:
        options["max_memory"] = max_memory
    settings = EngineSettings(options=options)
    with one_blas_thread():
        for row, weights, version in recorded_cells(stored, None if wanted is None else set(wanted)):
            cell = str(row["cell"])
            config = recorded_config(row)
            here = files.located(cell, config)
            planned = Planned(id_now(cell, here, allow), config)
            outcome, _ = outcome_of(here, settings)
            outcome = _unpacked(outcome, cell, MAX_MEMORY if max_memory is None else max_memory)
            new = cell_row(planned, outcome, 0.0)
            new = version_1.retold(new, weights) if version < 2 else new
            compare(found, cell, row, weights, new, outcome.rounding if isinstance(outcome, CellResult) else None)
            found.cells += 1
    if wanted is not None and found.cells < len(set(wanted)):
        raise BadInput(f"{run_dir}: {len(set(wanted)) - found.cells} of the cells asked for are not stored")
    return found


def _unpacked(outcome: Outcome, cell: str, max_memory: float) -> Outcome:
    """The outcome of a cell with its weights by column.  Raises BadInput for a cell that has too many of them."""
    if not isinstance(outcome, CellResult) or not isinstance(outcome.weights, list):
        return outcome
    pieces = [piece for piece in outcome.weights if isinstance(piece, Packed)]
    needed = 2 * WEIGHT_BYTES * sum(piece.size for piece in pieces)
    if needed > max_memory:
        raise BadInput(
            f"cell {cell}: comparing its weights takes about {needed:.1e} bytes, more than max_memory={max_memory:.1e};"
            f" allow it with --max-memory={needed * 1.1:.1e}"
        )
    columns: dict[str, list[object]] = {name: [] for name in WEIGHTS.names}
    for piece in pieces:
        for name, values in piece.unpacked().to_pydict().items():
            columns[name] += values
    real = {f.name for f in WEIGHTS if f.type == "double"}
    weights = {name: reals(v) if name in real else v for name, v in columns.items()}
    return replace(outcome, weights=cast(WeightColumns, weights))
