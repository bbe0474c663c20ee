"""A run that was recorded: what was made with what, and its cells by verdict, by rule, by reason."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

from gradcheck.columns.weights import AXES
from gradcheck.errors import BadInput
from gradcheck.experiment.truth import Truth, truths
from gradcheck.numerics.verdict import ACCEPTED, EXEMPT, OF_MANY
from gradcheck.printable import printable
from gradcheck.views import words
from gradcheck.views.frames import plain_value, records, rule_counts
from gradcheck.views.naming import named
from gradcheck.views.numbers import counted, larger
from gradcheck.views.recorded import Recorded, cells_of
from gradcheck.views.runs import frame_of, with_missed
from gradcheck.views.summary import headline
from gradcheck.views.tallied import tallied, visible
from gradcheck.views.tally import Tally, order
from gradcheck.views.worst import WORST_COLUMNS, Worst, WorstWeights

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

GROUPS = ("model", "bug", "eps")

_FIGURES = ("not_ok", "worst_rel_err", "visible_from", "half_visible_from")
_FEW_WEIGHTS = 1_000_000  # of them the reasons are counted: in a longer run that takes seconds
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

    @cached_property
    def names(self) -> words.Names:
        """What the views call the values of these cells."""
        return named(self.cells)

    @property
    def tools(self) -> str:
        """What the first run was made with; empty where nothing is known."""
        return self.runs[0].tools

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

    @cached_property
    def tally(self) -> Tally:
        """The counts of the cells."""
        found = tallied(self.cells)
        if found.worst is not None:
            cell = found.worst["cell"]
            found.worst_weight = self.worst_weights(self.cells[self.cells["cell"] == cell])[cell]
        if found.correct.open and found.weights <= _FEW_WEIGHTS:
            found.reasons = self._reasons()
        return found

    def _reasons(self) -> Counter[str]:
        """Why weights without an injected bug were not judged, in one pass over ``errors``."""
        import pyarrow.compute as pc

        found = Counter[str]()
        for table in self.tables(("bug", "reason")):
            reasons = table.filter(pc.equal(table["bug"], "none"))["reason"].drop_null()
            found.update({one["values"]: one["counts"] for one in reasons.value_counts().to_pylist()})
        return Counter({reason: n for reason, n in found.items() if reason not in (EXEMPT, ACCEPTED)})

    @property
    def heading(self) -> str:
        """What ran, with what, and what is wrong with it; a line each."""
        tally = self.tally
        status = ", ".join(f"{n:,} {words.status(name)}" for name, n in tally.status.items() if n) or "no cells yet"
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
        """Number of cells by verdict, the worst relative error, and from where errors are visible, for each value of columns.

        `not_ok` counts the cells without an injected bug that are wrong or of which too little was judged.  `visible_from`
        is the relative error that would have been seen in every weight of these cells, `half_visible_from` that in half of
        the weights of each.
        """
        for name in by:
            if name not in self.cells:
                raise BadInput(f"--by={name}: no such column; try {', '.join(AXES.names)}")
        done = self.cells["status"] == "ok"
        checked = done & ~self.cells["bug_injected"].fillna(False).astype(bool)
        seen = visible(self.cells)
        cells = self.cells[list(dict.fromkeys([*by, "max_rel_err"]))].assign(
            _every=seen["every"].where(done),
            _half=seen["half"].where(done),
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
                    "visible_from": larger(group["_every"].max(), None),
                    "half_visible_from": larger(group["_half"].max(), None),
                }
            )
        import pandas as pd

        rows.sort(key=lambda row: [order(name, plain_value(row[name])) for name in by])
        return pd.DataFrame(rows, columns=[*by, *STATUSES, *_FIGURES])

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

    def worst_weights(self, cells: pd.DataFrame) -> dict[str, Worst]:
        """The worst weights of some cells, found in one pass over their weights."""
        found, known = WorstWeights(cells), set(cells["cell"][cells["worst_flat_index"].notna()])
        for run in self.runs:
            own = known if run.kept is None else known & run.kept
            for table in run.stored.weight_tables(WORST_COLUMNS, own) if own else ():
                found.add(table)
        return found.worst()

    def first_weights(self, cell: str, most: int) -> pd.DataFrame:
        """The first weights of a cell, as they are stored."""
        return frame_of(self._holder(cell).stored.first_weights(cell, most))

    def wrong_weights(self, cell: str, most: int) -> pd.DataFrame:
        """The weights of a cell that are a mismatch, the largest difference first, at most so many, in bounded memory."""
        import pandas as pd
        import pyarrow.compute as pc

        kept = self.first_weights(cell, 0)
        for table in self._holder(cell).stored.weight_tables(None, {cell}):
            wrong = frame_of(table.filter(pc.equal(table["verdict"], "mismatch")))
            if len(wrong):
                joined = pd.concat([kept, wrong]) if len(kept) else wrong
                kept = joined.sort_values(["abs_err", "flat_index"], ascending=[False, True], na_position="first").head(
                    most
                )
        return kept

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
