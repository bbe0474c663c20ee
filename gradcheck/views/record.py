"""A run that was recorded: what was made with what, and its cells by verdict, by rule, by reason."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gradcheck.columns.weights import AXES
from gradcheck.errors import BadInput
from gradcheck.experiment.results.part import locate
from gradcheck.experiment.results.rows import CELLS
from gradcheck.experiment.results.stored import Stored
from gradcheck.experiment.truth import Truth, truths
from gradcheck.numerics.verdict import OF_MANY
from gradcheck.printable import printable
from gradcheck.views.frames import plain_value, records, rule_counts
from gradcheck.views.numbers import larger
from gradcheck.views.runs import frame_of, name_of, with_missed
from gradcheck.views.summary import headline
from gradcheck.views.tally import HEADLINE, TALLY_COLUMNS, Tally, order

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

GROUPS = ("model", "bug", "eps")

STATUSES = (*OF_MANY, "failed", "skipped")

_LARGE = ("config", "seconds")  # no table shows them, and they take half of the memory


class Record:
    """The cells of one run, and what the tables say of them."""

    def __init__(self, run: str | os.PathLike[str]) -> None:
        self.folder = locate(run)
        self.name = name_of(run, self.folder)
        self._stored = Stored(self.folder, ahead=lambda name: name not in _LARGE)
        self.provenance = self._stored.provenance
        known = dict.fromkeys(name for part in self._stored.cells for name in part.columns)
        names = [name for name in dict.fromkeys([*CELLS.names, *known]) if name not in _LARGE]
        self.cells = with_missed(frame_of(self._stored.read_cells(names)), self.tables)

    @property
    def notes(self) -> list[str]:
        """What is missing, what is stored twice, and whether damage would be seen."""
        return self._stored.notes + ([] if self._stored.protected else ["not protected by checksums"])

    @property
    def heading(self) -> str:
        """What ran, with what, and what is wrong with it; a line each."""
        found = self.provenance
        packages, git = _mapping(found.get("packages")), _mapping(found.get("git"))
        versions = [f"{name} {packages[name]}" for name in ("numpy",) if packages.get(name)]
        commit = (
            [f"commit {str(git['commit'])[:10]}{' (changed)' if git.get('dirty') else ''}"] if git.get("commit") else []
        )
        made = [f"gradcheck {found['gradcheck']}"] if found.get("gradcheck") else []
        # few rows differ in what the headline names, however many cells there are
        named = ["status", *HEADLINE]
        tally = Tally(records(self.cells.loc[~self.cells.duplicated(named), list(TALLY_COLUMNS)]))
        tally.status |= {str(name): int(n) for name, n in self.cells["status"].value_counts().items()}
        status = ", ".join(f"{n} {printable(name)}" for name, n in tally.status.items() if n)
        tools = ", ".join(map(printable, made + versions + commit))
        first = f"{printable(self.name)}: {status or 'no cells yet'}{f'  ({tools})' if tools else ''}"
        return "\n".join([first, headline(tally), *map(printable, self.notes)])

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

    def worst(self) -> pd.DataFrame:
        """The worst weight of each cell that was judged a mismatch; cells without an injected bug first."""
        shown = ["cell", "model", "bug", "eps", "worst_param", "worst_flat_index", "max_rel_err", "diagnosis"]
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
        return frame_of(self._stored.first_weights(cell, most))

    def weights(self, cell: str) -> pd.DataFrame:
        """The weights of a cell."""
        return frame_of(self._stored.weights({cell}))

    def tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Columns of ``errors`` in pieces of bounded size."""
        return self._stored.weight_tables(columns)


def _mapping(value: object) -> Mapping[str, object]:
    """The value where it is a mapping, as it should be in a record; else an empty one."""
    return value if isinstance(value, dict) else {}
