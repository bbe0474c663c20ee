"""A run that was recorded: what was made with what, and its cells by verdict, by rule, by reason."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from gradcheck.columns.weights import AXES
from gradcheck.errors import BadInput
from gradcheck.experiment.truth import Truth, truths
from gradcheck.numerics.verdict import OF_MANY
from gradcheck.printable import printable
from gradcheck.views.frames import plain_value, records, rule_counts
from gradcheck.views.numbers import counted, larger
from gradcheck.views.recorded import Recorded, cells_of
from gradcheck.views.runs import frame_of, with_missed
from gradcheck.views.summary import headline
from gradcheck.views.tally import HEADLINE, TALLY_COLUMNS, Tally, order

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

GROUPS = ("model", "bug", "eps")

STATUSES = (*OF_MANY, "failed", "skipped")


class Record:
    """The cells of one run, or of several, and what the tables say of them.

    runs : each of them.   folder : of the first.   name : as typed; of several, their names.
    """

    def __init__(self, run: str | os.PathLike[str], *others: str | os.PathLike[str]) -> None:
        self.runs = [Recorded(one) for one in (run, *others)]
        self.folder = self.runs[0].folder
        self.name = ", ".join(one.name for one in self.runs)
        self._twice: list[str] = []
        if others:
            cells, self._twice = cells_of(self.runs)
        else:
            cells = self.runs[0].read_cells()
        self.cells = with_missed(frame_of(cells), self.tables)

    @property
    def several(self) -> bool:
        """Whether there is more than one run; then ``cells`` has a column ``run``."""
        return len(self.runs) > 1

    @property
    def provenance(self) -> Mapping[str, object]:
        """How the run was made; of several, by their names."""
        return {one.name: one.provenance for one in self.runs} if self.several else self.runs[0].provenance

    @property
    def notes(self) -> list[str]:
        """What is missing, what is stored twice, and whether damage would be seen."""
        if not self.several:
            return self.runs[0].notes
        return [*self._twice, *(f"{one.name}: {note}" for one in self.runs for note in one.notes)]

    @property
    def groups(self) -> tuple[str, ...]:
        """The columns by which cells are counted unless others are asked for."""
        return ("run", *GROUPS) if self.several else GROUPS

    @property
    def heading(self) -> str:
        """What ran, with what, and what is wrong with it; a line each."""
        # few rows differ in what the headline names, however many cells there are
        named = ["status", *HEADLINE]
        tally = Tally(records(self.cells.loc[~self.cells.duplicated(named), list(TALLY_COLUMNS)]))
        tally.status |= {str(name): int(n) for name, n in self.cells["status"].value_counts().items()}
        status = ", ".join(f"{n} {printable(name)}" for name, n in tally.status.items() if n) or "no cells yet"
        if not self.several:
            tools = self.runs[0].tools
            first = [f"{printable(self.name)}: {status}{f'  ({tools})' if tools else ''}", headline(tally)]
        else:
            counts = self.cells["run"].value_counts()
            first = [f"{len(self.runs)} runs: {status}", headline(tally)]
            for one in dict.fromkeys((run.name, run.tools) for run in self.runs):
                count = int(counts.get(one[0], 0))
                tools = f"  ({one[1]})" if one[1] else ""
                first.append(f"run  {printable(one[0])}: {counted(count, 'cell')}{tools}")
        return "\n".join([*first, *map(printable, self.notes)])

    def verdicts(self, by: Sequence[str] = GROUPS) -> pd.DataFrame:
        """Number of cells by verdict, worst relative error, worst median resolution, for each value of some columns.

        `not_ok` counts the cells without an injected bug that are wrong or of which too little was judged.
        """
        for name in by:
            if name not in self.cells:
                raise BadInput(f"--by={name}: no such column; try {', '.join(AXES.names)}")
        done = self.cells["status"] == "ok"
        checked = done & ~self.cells["bug_injected"].fillna(False).astype(bool)
        cells = self.cells[list(dict.fromkeys([*by, "max_rel_err", "median_resolution"]))].assign(
            outcome=self.cells["verdict"].where(done, self.cells["status"]),
            # a run of version 1 does not say which cells are ok: none is counted
            not_ok=checked & ~self.cells["ok"].fillna(True).astype(bool),
        )
        rows = []
        for key, group in cells.groupby(list(by), dropna=False, sort=False):
            counts = group["outcome"].value_counts()
            rows.append(
                {
                    **dict(zip(by, key, strict=True)),
                    **{name: int(counts.get(name, 0)) for name in STATUSES},
                    "not_ok": int(group["not_ok"].sum()),
                    "worst_rel_err": larger(group["max_rel_err"].max(), None),
                    "median_resolution": larger(group["median_resolution"].max(), None),
                }
            )
        import pandas as pd

        rows.sort(key=lambda row: [order(name, plain_value(row[name])) for name in by])
        return pd.DataFrame(rows, columns=[*by, *STATUSES, "not_ok", "worst_rel_err", "median_resolution"])

    def looked_at_first(self, by: Sequence[str]) -> dict[tuple[object, ...], int]:
        """How soon the cells with some values of columns deserve a look, the larger the sooner.

        A correct gradient that was accused comes first, then a bug that was missed, then a failure.
        """
        told = truths(self.cells)
        weight = 4 * (told == Truth.FALSE_ALARM) + 2 * (told == Truth.MISSED)
        weight = weight.where(self.cells["status"] == "ok", (self.cells["status"] == "failed").astype(int))
        most = self.cells[list(by)].assign(_weight=weight).groupby(list(by), dropna=False)["_weight"].max()
        return {
            tuple(plain_value(value) for value in (key if isinstance(key, tuple) else (key,))): int(value)
            for key, value in most.items()
        }

    def worst(self, others: Sequence[str] = ()) -> pd.DataFrame:
        """The worst weight of each cell that was judged a mismatch; cells without an injected bug first.

        others : further columns.
        """
        shown = ["cell", "model", "bug", "eps", "worst_param", "worst_flat_index", "max_rel_err", "diagnosis"]
        shown[1:1] = ["run"] if self.several else []
        shown += [name for name in others if name not in shown]
        # only the columns that are shown: all columns of a million cells would take a gigabyte
        wrong = self.cells.loc[self.cells["verdict"] == "mismatch", [*shown, "bug_injected"]]
        ordered = wrong.sort_values(
            ["bug_injected", "max_rel_err", "cell"], ascending=[True, False, True], na_position="last"
        )
        return ordered[shown]

    def rule_table(self) -> pd.DataFrame:
        """For each rule and bug what the rule says of the cells (`rule_counts`); our own verdict comes first."""
        return rule_counts(self.cells)

    def problems(self) -> pd.DataFrame:
        """Failed and skipped cells by reason, failed first: status, message, how many cells, one of them."""
        import pandas as pd

        open_ = self.cells[self.cells["status"] != "ok"]
        rows = [
            {"status": status, "message": message, "cells": len(group), "example": group["cell"].min()}
            for (status, message), group in open_.groupby(["status", "message"], dropna=False, sort=False)
        ]
        table = pd.DataFrame(rows, columns=["status", "message", "cells", "example"])
        return table.sort_values(["status", "cells", "message"], ascending=[True, False, True])

    def cell(self, start: str) -> dict[str, Any]:
        """The row of the cell whose id begins so.  Raises BadInput where there is none, or more than one."""
        found = self.cells[self.cells["cell"].str.startswith(start)] if start else self.cells.iloc[:0]
        if len(found) != 1:
            raise BadInput(
                f"--cell={start}: {f'{len(found)} cells begin so' if len(found) else 'no such cell'} in {self.name}"
            )
        return records(found)[0]

    def first_weights(self, cell: str, most: int) -> pd.DataFrame:
        """The first weights of a cell, as they are stored."""
        return frame_of(self._holder(cell).stored.first_weights(cell, most))

    def weights(self, cell: str) -> pd.DataFrame:
        """The weights of a cell."""
        return frame_of(self._holder(cell).stored.weights({cell}))

    def _holder(self, cell: str) -> Recorded:
        """The run as in which a cell counts."""
        if not self.several:
            return self.runs[0]
        name = self.cells.loc[self.cells["cell"] == cell, "run"]
        return next((run for run in self.runs if name.eq(run.name).any()), self.runs[0])

    def cell_tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Columns of ``cells``, those too that are not held in memory, in pieces of bounded size."""
        return chain.from_iterable(run.stored.cell_tables(columns) for run in self.runs)

    def tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Columns of ``errors`` in pieces of bounded size."""
        return chain.from_iterable(run.tables(columns) for run in self.runs)
