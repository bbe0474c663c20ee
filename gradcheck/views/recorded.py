"""Runs that were recorded: each with its name and what it was made with, and the cells of all of them, each once."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gradcheck.experiment.results.part import locate
from gradcheck.experiment.results.rows import CELLS
from gradcheck.experiment.results.stored import Stored
from gradcheck.experiment.results.unfinished import unfinished
from gradcheck.printable import printable
from gradcheck.views.numbers import counted
from gradcheck.views.runs import name_of, together

if TYPE_CHECKING:
    import pyarrow as pa

_LARGE = ("config", "seconds")  # no table shows them, and they take half of the memory


class Recorded:
    """One run: where it lies, how it is called, what it was made with.

    kept : the cells that count, None for all; another run may have the others as well.
    """

    def __init__(self, run: str | os.PathLike[str]) -> None:
        self.folder = locate(run)
        self.name = name_of(run, self.folder)
        self.stored = Stored(self.folder, ahead=lambda name: name not in _LARGE)
        self.provenance = self.stored.provenance
        self.unfinished = unfinished(self.stored)
        self.kept: set[str] | None = None

    @property
    def notes(self) -> list[str]:
        """What is missing, what is stored twice, and whether damage would be seen."""
        lacking = [] if self.unfinished is None else [str(self.unfinished)]
        return lacking + self.stored.notes + ([] if self.stored.protected else ["not protected by checksums"])

    @property
    def tools(self) -> str:
        """The versions of the package and of NumPy, and the commit; empty where nothing is known."""
        packages, git = _mapping(self.provenance.get("packages")), _mapping(self.provenance.get("git"))
        versions = [f"{name} {packages[name]}" for name in ("numpy",) if packages.get(name)]
        commit = (
            [f"commit {str(git['commit'])[:10]}{' (changed)' if git.get('dirty') else ''}"] if git.get("commit") else []
        )
        made = [f"gradcheck {self.provenance['gradcheck']}"] if self.provenance.get("gradcheck") else []
        return ", ".join(map(printable, made + versions + commit))

    def read_cells(self) -> pa.Table:
        """The rows of ``cells``, without the columns that no table shows."""
        known = dict.fromkeys(name for part in self.stored.cells for name in part.columns)
        return self.stored.read_cells([name for name in dict.fromkeys([*CELLS.names, *known]) if name not in _LARGE])

    def tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Columns of ``errors`` of the cells that count, in pieces of bounded size."""
        return self.stored.weight_tables(columns, self.kept)


def cells_of(runs: Sequence[Recorded]) -> tuple[pa.Table, list[str]]:
    """The cells of several runs, each once, with the name of their run; and what stood in more than one, a sentence each.

    Of a cell that several runs have, the first one counts: `kept` of the others says which of their cells do.
    """
    import pyarrow as pa

    found, notes = [], []
    first: dict[str, tuple[int, str | None]] = {}  # run and outcome of each cell
    for i, run in enumerate(runs):
        table = run.read_cells()
        again, others = Counter[int](), Counter[int]()
        new = np.ones(table.num_rows, dtype=bool)
        for row, outcome in enumerate(
            zip(*(table[name].to_pylist() for name in ("cell", "status", "verdict")), strict=True)
        ):
            cell, status, verdict = outcome
            told = verdict if status == "ok" else status
            j, before = first.setdefault(cell, (i, told))
            if j != i:
                new[row] = False
                again[j] += 1
                others[j] += before != told
        if not new.all():
            table = table.filter(new)
            run.kept = set(table["cell"].to_pylist())
        found.append(table.append_column("run", pa.array([run.name] * table.num_rows, pa.string())))
        notes += [_twice(runs[j], run, n, others[j]) for j, n in again.items()]
    return together(found), notes


def _twice(first: Recorded, other: Recorded, count: int, changed: int) -> str:
    """That cells of a run stand in another one as well."""
    verdicts = f", {changed} of them with another verdict" if changed else ""
    names = " ".join(map(shlex.quote, (first.name, other.name)))
    return (
        f"TWICE  {counted(count, 'cell')} of {other.name} are in {first.name} too{verdicts}: each counts once, as in"
        f" {first.name}; python -m gradcheck.diff {names} compares them"
    )


def _mapping(value: object) -> Mapping[str, object]:
    """The value where it is a mapping, as it should be in a record; else an empty one."""
    return value if isinstance(value, dict) else {}
