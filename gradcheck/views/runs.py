"""Results of runs as tables: what `gradcheck.load` gives."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gradcheck import uris
from gradcheck.columns.parquet import reading
from gradcheck.columns.places import Place
from gradcheck.errors import BadInput, one_line
from gradcheck.experiment.results.part import locate
from gradcheck.experiment.results.stored import Stored
from gradcheck.experiment.truth import Truth, truths

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.dataset as ds

    from gradcheck.views.plots import Plots


@dataclass(frozen=True, repr=False)
class Runs:
    """Results of one or several runs, as ``load`` reads them.

    Attributes
    ----------
    cells : pandas.DataFrame
        One row a cell, with integers and booleans in pandas' nullable types.  Where several runs were loaded, the column
        ``run`` holds the folder.
    errors : pyarrow.dataset.Dataset
        One row a weight.  It is read when it is asked: ``errors.to_table(filter=...)``.
    status : int or None
        Of ``run_experiment`` the exit status of the run: 0, or 1 where a cell failed or a gradient without an injected bug is
        wrong.  None where the runs were loaded.
    plot : Plots
        Charts: ``plot.detection()``, ``plot.rules()``, ``plot.v_curve()``, ``plot.weights(cell)``, ``plot.histogram()``.  The
        first four take panels and filters: ``plot.detection(row="scheme", column="dtype", bug="scale")``.

    See Also
    --------
    load : Reads runs.
    run_experiment : Runs an experiment, and reads it.

    Examples
    --------
    >>> import gradcheck
    >>> runs = gradcheck.load("runs/reference")
    >>> wrong = runs.cells[runs.cells["verdict"] == "mismatch"]
    >>> bool(wrong["bug_injected"].all())
    True
    >>> weights = runs.weights(wrong["cell"].iloc[0])
    >>> bool((weights["abs_err"] > weights["bound"]).any())
    True
    """

    cells: pd.DataFrame
    errors: ds.Dataset
    status: int | None = None

    def __repr__(self) -> str:
        from gradcheck.views import notebook

        return notebook.text(self.cells)

    def _repr_html_(self) -> str:
        from gradcheck.views import notebook

        return notebook.as_html(self.cells)

    def weights(self, cell: str) -> pd.DataFrame:
        """The weights of one cell, in the order of ``flat_index``.

        Parameters
        ----------
        cell : str
            The id of the cell, as in ``cells["cell"]``.  Where several runs hold the cell, the weights of all are returned.
        """
        import pyarrow.dataset as ds

        with reading("errors"):
            table = self.errors.to_table(filter=ds.field("cell") == cell)
            table.validate(full=True)
            return frame_of(table.sort_by("flat_index"))

    def tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Columns of ``errors`` in pieces of bounded size."""
        import pyarrow as pa

        with reading("errors"):
            for batch in self.errors.to_batches(columns=list(columns), batch_size=65_536):
                batch.validate(full=True)
                yield pa.Table.from_batches([batch])

    @property
    def plot(self) -> Plots:
        """Charts of these runs.  They need Altair: ``pip install 'gradcheck[charts]'``."""
        from gradcheck.views.plots import Plots

        return Plots(self)


def load(run: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> Runs:
    """Read the results of a run, or of several.

    Parameters
    ----------
    run : str or path, or a sequence of them
        The folder of a run, the URI of a remote one, or ``latest``: the newest run below the folder ``runs``.

    Returns
    -------
    Runs
        The cells as a DataFrame, the weights as a dataset, and charts of both.

    Raises
    ------
    BadInput
        If a folder is no run, or if a file is damaged or has a newer schema version.  It is a ValueError.

    Examples
    --------
    >>> import gradcheck
    >>> runs = gradcheck.load("runs/reference")
    >>> sorted(set(runs.cells["status"]))
    ['ok']
    """
    if isinstance(run, (str, os.PathLike)):
        return read([locate(run)])
    folders = [locate(one) for one in run]
    if not folders:
        raise BadInput("load([]): needs at least one run folder")
    return read(folders, named=True)


def read(folders: Sequence[Place], *, named: bool = False, status: int | None = None) -> Runs:
    """The results in some folders.

    named : whether the column ``run`` names the folder even of a single one.
    status : the exit status of the run that made them.
    """
    import pyarrow as pa
    import pyarrow.dataset as ds

    several = named or len(folders) > 1
    tables, datasets = [], []
    for folder in folders:
        stored = Stored(folder, ahead=lambda name: True)
        tables.append(stored.read_cells())
        for note in stored.notes:
            warnings.warn(f"{folder}: {note}", stacklevel=3)
        if several:
            n = tables[-1].num_rows
            tables[-1] = tables[-1].append_column("run", pa.array([str(folder)] * n, pa.string()))
        datasets.append(stored.dataset())
    runs = Runs(frame_of(together(tables)), datasets[0] if len(datasets) == 1 else ds.dataset(datasets), status)
    return replace(runs, cells=with_missed(runs.cells, runs.tables))


def name_of(typed: str | os.PathLike[str], folder: Place) -> str:
    """The name of a run for people: as it was typed, without a password; of ``latest`` the folder that it stands for."""
    return uris.shown(str(typed)) if str(typed) != "latest" else os.path.relpath(str(folder))


def together(tables: list[pa.Table]) -> pa.Table:
    """The cells of several runs in one table.  It empties the list, so that nothing else holds the cells.

    Raises BadInput where they do not fit together.
    """
    import pyarrow as pa

    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise BadInput(f"load: runs that do not fit together: {one_line(error)[:200]}") from error
    finally:
        tables.clear()


def frame_of(table: pa.Table) -> pd.DataFrame:
    """The table as a frame, with integers and booleans in pandas' nullable types.

    Of many cells one column after the other, each released when pandas has it: a million are in memory once, not twice.
    Of few all at once, since each conversion takes as long as that of ten thousand values.
    """
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    names, n, columns = table.schema.names, table.num_rows, dict(enumerate(table.columns))
    del table
    reals = [i for i, column in columns.items() if column.type == pa.float64()]
    block, nothing = np.empty((len(reals), n)), None
    for row, i in zip(block, reals, strict=True):
        row[:] = columns.pop(i).to_numpy()
    pieces = [pd.DataFrame(block.T, columns=reals, copy=False)] if reals or not columns else []
    left = list(columns)
    for some in [left] if left and n <= FEW_CELLS else [[i] for i in left]:
        taken = []
        for column in map(columns.pop, some):
            if column.type in (pa.bool_(), pa.int64()):  # pandas converts one piece in a fraction of the time of many
                column = column.combine_chunks()
            elif column.type == pa.string() and column.null_count == n:  # one array for all such columns
                column = nothing = pa.nulls(n, pa.large_string()) if nothing is None else nothing
            taken.append(column)
        part = pa.Table.from_arrays(taken, names=[str(i) for i in some])
        del taken, column  # else two columns are in memory at once
        pieces.append(part.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}.get))
        pieces[-1].columns = some
    frame = pd.concat(pieces, axis=1)[list(range(len(names)))]
    frame.columns = pd.Index(names)
    return frame


FEW_CELLS = 10_000
_JUDGED = ("cell", "analytic", "correct", "bound", "verdict")


def with_missed(cells: pd.DataFrame, tables: Callable[[Sequence[str]], Iterable[pa.Table]]) -> pd.DataFrame:
    """The cells with `n_missed`; where a run of version 1 did not store it, it is counted in ``errors``."""
    told = truths(cells)
    open_ = (cells["status"] == "ok") & cells["n_missed"].isna() & (told == Truth.CANNOT_BE_TOLD)
    if not open_.any():
        return cells
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted, counts = pa.array(cells.loc[open_, "cell"], pa.string()), Counter[str]()
    for table in tables(_JUDGED):
        beyond = pc.greater(pc.abs(pc.subtract(table["analytic"], table["correct"])), pc.multiply(table["bound"], 2.0))
        seen = pc.and_(pc.and_(beyond, pc.equal(table["verdict"], "match")), pc.is_in(table["cell"], value_set=wanted))
        counts.update(table.filter(seen)["cell"].to_pylist())
    found = cells["n_missed"].where(~open_, cells["cell"].map(lambda cell: counts[cell]))
    return cells.assign(n_missed=found.astype("Int64"))
