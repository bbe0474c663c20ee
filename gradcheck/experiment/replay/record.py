"""Reading a record: which of its cells are run again, their rows and their configs."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from gradcheck.columns.places import Place
from gradcheck.errors import BadInput, one_line
from gradcheck.experiment.config import form, identity
from gradcheck.experiment.results.stored import Stored

_MAX_CONFIG = 10_000_000  # characters


def chosen(run_dir: Place, cell: str | None, sample: int | None, seed: int = 0) -> list[str] | None:
    """Ids of the cells to run again, None for all.  Raises BadInput for an id that is not there and for a sample
    below 1.
    """
    if sample is not None and sample < 1:
        raise BadInput(f"--sample={sample}: must be a number of cells >= 1")
    if cell is None and sample is None:
        return None
    ids = [str(row["cell"]) for row in Stored(run_dir).cell_rows(["cell"])]
    if cell is not None:
        ids = [one for one in ids if cell and one.startswith(cell)]
        if len(ids) != 1:
            raise BadInput(f"--cell={cell}: {f'{len(ids)} cells begin so' if ids else 'no such cell'} in {run_dir}")
    return random.Random(seed).sample(sorted(ids), min(sample or 1, len(ids)))


def cell_columns(stored: Stored) -> list[str]:
    """The columns of ``cells`` that are compared."""
    parts = stored.cells
    # version 2 spends evaluations on weights that may be exempt, version 3 takes fewer at eps=auto
    aside = ("seconds", *(("n_evals",) if any(part.version < 3 for part in parts) else ()))
    return [name for name in dict.fromkeys(name for part in parts for name in part.columns) if name not in aside]


def recorded_cells(
    stored: Stored, wanted: set[str] | None
) -> Iterator[tuple[dict[str, object], dict[str, list[object]], int]]:
    """Rows of ``cells`` with the columns of their weights and the version of both, a part at a time."""
    for i, part in enumerate(stored.cells):
        rows = [row for table in stored.rows_of(i) for row in table.to_pylist()]
        rows = [row for row in rows if wanted is None or row["cell"] in wanted]
        if not rows:
            continue
        table = stored.weights({str(row["cell"]) for row in rows}, near=i)
        cells = np.asarray(table["cell"].to_pylist(), dtype=object)
        for row in rows:
            mine = table.filter(cells == row["cell"]) if len(cells) else table
            yield row, mine.to_pydict(), part.version


def recorded_config(row: Mapping[str, object]) -> dict[str, object]:
    """The recorded config, made canonical.  Raises BadInput where it is no config."""
    where = f"config of cell {row['cell']}"
    text = str(row["config"] or "")
    try:
        if len(text) > _MAX_CONFIG:
            raise BadInput(f"{where}: has {len(text)} characters, must have at most {_MAX_CONFIG}")
        return form.canonical(json.loads(text))
    except BadInput:
        raise
    except (ValueError, AttributeError, TypeError, OSError, RecursionError) as error:
        raise BadInput(f"{where}: {one_line(error)[:300]}") from error


def id_now(cell: str, config: Mapping[str, object], allow: Sequence[str]) -> str:
    """The id that the config has now.  Raises BadInput where a file or a function of it cannot or must not be read."""
    try:
        return identity.cell_id(config, allow)
    except (ValueError, OSError) as error:
        raise BadInput(f"config of cell {cell}: {one_line(error)}") from error
