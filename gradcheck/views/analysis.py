"""Tables from the results of runs: verdicts, worst weights, which rule accuses what, what failed and why."""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gradcheck import uris
from gradcheck.columns.weights import AXES, SCHEMA_VERSION
from gradcheck.errors import BadInput
from gradcheck.experiment.results.part import locate
from gradcheck.experiment.results.rows import CELLS
from gradcheck.experiment.results.stored import Stored
from gradcheck.experiment.truth import Truth, truths
from gradcheck.numerics.layout import BLOCK_WEIGHTS
from gradcheck.numerics.steps import eps_text, from_stored
from gradcheck.numerics.verdict import OF_MANY
from gradcheck.printable import printable
from gradcheck.views.frames import accusations, plain_value, records
from gradcheck.views.runs import frame_of, with_missed
from gradcheck.views.summary import COLUMNS, HEADLINE, Tally, headline, order
from gradcheck.views.terminal import Table, cut, short

if TYPE_CHECKING:
    import pandas as pd


GROUPS = ("model", "bug", "eps")
STATUSES = (*OF_MANY, "failed", "skipped")


_LARGE = ("config", "seconds")  # no table shows them, and they take half of the memory


class Record:
    """The cells of one run, as the tables need them."""

    def __init__(self, run: str | os.PathLike[str]) -> None:
        self.folder = locate(run)
        self.name = uris.shown(str(run)) if str(run) != "latest" else os.path.relpath(str(self.folder))
        self._stored = Stored(self.folder, ahead=lambda name: name not in _LARGE)
        self.provenance = self._stored.provenance
        known = dict.fromkeys(name for part in self._stored.cells for name in part.columns)
        names = [name for name in dict.fromkeys([*CELLS.names, *known]) if name not in _LARGE]
        self.cells = with_missed(frame_of(self._stored.read_cells(names)), self.tables)

    @property
    def notes(self) -> list[str]:
        """What is missing, what stands twice, and whether damage would be seen."""
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
        # what the headline names stands in few distinct rows, however many cells there are
        named = ["status", *HEADLINE]
        tally = Tally(records(self.cells.loc[~self.cells.duplicated(named), list(COLUMNS)]))
        tally.status |= {str(name): int(n) for name, n in self.cells["status"].value_counts().items()}
        status = ", ".join(f"{n} {printable(name)}" for name, n in tally.status.items() if n)
        tools = ", ".join(map(printable, made + versions + commit))
        first = f"{printable(self.name)}: {status or 'no cells yet'}{f'  ({tools})' if tools else ''}"
        return "\n".join([first, headline(tally), *map(printable, self.notes)])

    def verdicts(self, by: Sequence[str] = GROUPS) -> pd.DataFrame:
        """Number of cells by verdict, worst relative error and worst resolution, for each value of some columns.

        `not_ok` counts the cells without an injected bug that are wrong or of which too little was judged.
        """
        for name in by:
            if name not in self.cells:
                raise BadInput(f"--by={name}: no such column; try {', '.join(AXES.names)}")
        done = self.cells["status"] == "ok"
        checked = done & ~self.cells["bug_injected"].fillna(False).astype(bool)
        cells = self.cells[list(dict.fromkeys([*by, "max_rel_err", "median_resolution"]))].assign(
            outcome=self.cells["verdict"].where(done, self.cells["status"]),
            # what a run of version 1 does not say is not counted
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
                    "worst_rel_err": _largest(group["max_rel_err"]),
                    "median_resolution": _largest(group["median_resolution"]),
                }
            )
        import pandas as pd

        rows.sort(key=lambda row: [order(name, plain_value(row[name])) for name in by])
        return pd.DataFrame(rows, columns=[*by, *STATUSES, "not_ok", "worst_rel_err", "median_resolution"])

    def looked_at_first(self, by: Sequence[str]) -> dict[tuple[Any, ...], int]:
        """How soon cells with some values of columns deserve a look: a correct gradient accused, a bug missed, a failure."""
        told = truths(self.cells)
        weight = 4 * (told == Truth.FALSE_ALARM) + 2 * (told == Truth.MISSED)
        weight = weight.where(self.cells["status"] == "ok", (self.cells["status"] == "failed").astype(int))
        most = self.cells[list(by)].assign(_weight=weight).groupby(list(by), dropna=False)["_weight"].max()
        return {
            tuple(plain_value(value) for value in (key if isinstance(key, tuple) else (key,))): int(value)
            for key, value in most.items()
        }

    def worst(self) -> pd.DataFrame:
        """The worst weight of each cell that was judged a mismatch, those without an injected bug first."""
        shown = ["cell", "model", "bug", "eps", "worst_param", "worst_flat_index", "max_rel_err", "diagnosis"]
        # a few columns of the cells that are shown: all of them, of a million, would take a gigabyte
        wrong = self.cells.loc[self.cells["verdict"] == "mismatch", [*shown, "bug_injected"]]
        ordered = wrong.sort_values(
            ["bug_injected", "max_rel_err", "cell"], ascending=[True, False, True], na_position="last"
        )
        return ordered[shown]

    def rule_table(self) -> pd.DataFrame:
        """For each rule and bug what the rule says of the cells (`accusations`); our own verdict comes first."""
        return accusations(self.cells)

    def problems(self) -> pd.DataFrame:
        """Failed and skipped cells by reason, failed first: status, message, how many, one of them."""
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

    def tables(self, columns: Sequence[str]) -> Iterator[Any]:
        """Columns of ``errors`` in pieces of bounded size, as pyarrow tables."""
        return self._stored.weight_tables(columns)


def as_json(record: Record, cell: str | None = None, by: Sequence[str] | None = None) -> str:
    """All tables (or one cell with its weights) as a JSON object; infinite numbers are the strings "inf" and "-inf"."""
    content: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "run": record.name}
    if cell is not None:
        row = record.cell(cell)
        content |= {"cell": row, "weights": records(record.weights(row["cell"]))}
    else:
        content |= {
            "n_cells": len(record.cells),
            "verdicts": records(record.verdicts(by or GROUPS)),
            "worst": records(record.worst()),
            "rules": records(record.rule_table()),
            "problems": records(record.problems()),
            "provenance": record.provenance,
            "notes": record.notes,
        }
    return json.dumps(_finite(content), allow_nan=False, indent=1)


def _largest(values: pd.Series) -> float | None:
    largest = values.max()
    return None if math.isnan(largest) else float(largest)


def _mapping(value: Any) -> dict[str, Any]:
    """What a record should hold as a mapping; nothing where it holds something else."""
    return value if isinstance(value, dict) else {}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


# ------------------------------------------------------------------------------------------------------ what is shown


def overview(record: Record, lines: int | None, by: Sequence[str] | None = None) -> list[Table | str]:
    """The tables of a run, cut so that they fill no more than `lines` lines (None: whole).

    by : columns to count by; None: as many of model, bug and eps as leave room for the other tables.
    """
    if by is None:
        by = GROUPS if lines is None else _coarse(record, GROUPS, max(4, lines // 4))
    verdicts = _verdict_table(record, by)
    tables = (verdicts, _worst_table(record), _rule_table(record), _problem_table(record))
    sections = [section for section in tables if section.rows]
    blocks: list[Table | str] = [record.heading]
    left = None if lines is None else lines - len(record.notes)
    for section, rows in zip(sections, _shares([len(section.rows) for section in sections], left), strict=True):
        title = section.title
        if rows < len(section.rows):
            title += f"  (first {rows} of {len(section.rows)}; --all shows every row)"
        blocks.append(Table(title, section.header, section.rows[:rows], section.note, section.left))
    return blocks


def _coarse(record: Record, by: Sequence[str], rows: int) -> Sequence[str]:
    """As many of the columns as give no more than so many rows; all of them where even one gives more."""
    for size in range(len(by), 0, -1):
        for some in itertools.combinations(by, size):
            if len(record.verdicts(some)) <= rows:
                return some
    return by


def _shares(lengths: list[int], lines: int | None) -> list[int]:
    """How many rows each table gets, line by line in turn; heading, titles and headers take theirs first."""
    if lines is None:
        return lengths
    shares = [0] * len(lengths)
    free = max(lines - 2 - 2 * len(lengths), 2 * len(lengths))
    while free > 0 and shares != lengths:
        for i, length in enumerate(lengths):
            if shares[i] < length and free > 0:
                shares[i] += 1
                free -= 1
    return shares


def _verdict_table(record: Record, by: Sequence[str]) -> Table:
    frame = record.verdicts(by)
    first = record.looked_at_first(by)
    rows = sorted(records(frame), key=lambda row: -first.get(tuple(row[name] for name in by), 0))
    unused = [
        name
        for name in ("partial", "nondifferentiable", "failed", "skipped", "not_ok")
        if not any(row[name] for row in rows)
    ]
    header = [name for name in frame.columns if name not in unused]
    shown = [[eps_text(from_stored(row[name])) if name == "eps" else row[name] for name in header] for row in rows]
    return Table(
        f"cells by {', '.join(by)}", [_spaced(name) for name in header], shown, left=frozenset(set(by) - {"eps"})
    )


def _worst_table(record: Record) -> Table:
    header = ["cell", "model", "bug", "eps", "worst weight", "rel_err", "diagnosis"]
    # what is the same in the whole run stands in the heading
    same = {name for name in ("model", "bug", "eps") if record.cells[name].nunique(dropna=False) == 1}
    kept = [i for i, name in enumerate(header) if name not in same]
    header = [header[i] for i in kept]
    rows = _Rows(record.worst(), lambda row: [_worst_row(row)[i] for i in kept])
    return Table("mismatches, the worst weight of each cell", header, rows, left=frozenset(header) - {"rel_err", "eps"})


def _worst_row(row: Mapping[str, Any]) -> list[Any]:
    return [
        *(row[name] for name in ("cell", "model", "bug")),
        eps_text(from_stored(row["eps"])),
        f"{row['worst_param']} #{row['worst_flat_index']}",
        row["max_rel_err"],
        row["diagnosis"],
    ]


class _Rows(Sequence[Any]):
    """The rows of a frame, each made when it is asked for: of a million a screen shows a few."""

    def __init__(self, frame: pd.DataFrame, make: Callable[[Mapping[str, Any]], list[Any]]) -> None:
        self._frame, self._make = frame, make

    def __len__(self) -> int:
        return len(self._frame)

    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return [self._make(row) for row in records(self._frame.iloc[place])]
        return self._make(records(self._frame.iloc[[place]])[0])


def _rule_table(record: Record) -> Table:
    frame = record.rule_table()
    planted, correct = frame["caught"].notna(), frame["false_alarms"].notna()
    rows = []
    for rule, group in frame.groupby("rule", sort=False):
        right, wrong = group[correct.loc[group.index]], group[planted.loc[group.index]]
        unknown = group[~(correct | planted).loc[group.index]]
        missed = wrong[wrong["missed"] > 0].sort_values("missed", ascending=False)
        rows.append(
            [
                rule,
                _share(right["false_alarms"], right),
                *(_share(wrong[name], wrong) for name in ("caught", "missed", "cannot_be_told")),
                _share(unknown["accused"], unknown),
                cut(", ".join(f"{printable(row.bug)} {row.missed}/{row.cells}" for row in missed.itertuples()), 40)
                or None,
            ]
        )
    header = ["rule", "false alarms", "caught", "missed", "cannot be told", "accused, truth unknown", "bugs missed"]
    used = [i for i, _ in enumerate(header) if i < 5 or any(row[i] is not None for row in rows)]
    table = [[row[i] for i in used] for row in rows]
    return Table("which rule accuses what", [header[i] for i in used], table, left=frozenset({"rule", "bugs missed"}))


def _share(part: pd.Series, whole: pd.DataFrame) -> str | None:
    return f"{part.sum()}/{whole['cells'].sum()}" if whole["cells"].sum() else None


def _problem_table(record: Record) -> Table:
    rows = [[row["status"], row["cells"], row["example"], row["message"]] for row in records(record.problems())]
    header = ["status", "cells", "such as", "reason"]
    return Table("cells without a result", header, rows, left=frozenset(header) - {"cells"})


def cell_view(record: Record, start: str, lines: int | None) -> list[Table | str]:
    """One cell weight by weight, cut to `lines` lines (None: whole)."""
    row = record.cell(start)
    facts = ", ".join(printable(row[name]) for name in ("model", "data", "bug", "scheme", "dtype"))
    verdict = row["verdict"] or row["status"]
    blocks: list[Table | str] = [f"cell {printable(row['cell'])}: {facts}, eps {eps_text(from_stored(row['eps']))}"]
    blocks.append(f"{printable(verdict).upper()}  {printable(row['diagnosis'] or row['message'] or '')}".rstrip())
    n, most = row["n_weights"] or 0, None if lines is None else max(1, lines - 4)
    if most is not None and n > BLOCK_WEIGHTS:  # they need not all be in memory
        weights = records(record.first_weights(row["cell"], most))
    else:
        weights = records(record.weights(row["cell"]))
    shown = weights if most is None else weights[:most]
    columns = [
        "verdict",
        "analytic",
        "numeric",
        "abs_err",
        "bound",
        "rel_err",
        "resolution",
        "weight",
        "step",
        "reason",
    ]
    if not any(weight["reason"] for weight in weights):
        columns.remove("reason")
    precise = {"analytic", "numeric", "weight", "step"}
    rows = [[_name(w), *(_number(w[c]) if c in precise else w[c] for c in columns)] for w in shown]
    n = max(n, len(weights))
    title = "" if len(shown) == n else f"first {len(shown)} of {n} weights; --all shows every one"
    if rows:
        blocks.append(Table(title, ["parameter", *columns], rows, left=frozenset({"parameter", "verdict", "reason"})))
    return blocks


def _name(weight: dict[str, Any]) -> str:
    place = weight["position"] or []
    return f"{weight['param']}[{', '.join(map(str, place))}]" if place else str(weight["param"])


def _number(value: Any) -> Any:
    """Enough digits of a gradient to see where two of them part."""
    return f"{value:.6g}" if isinstance(value, float) and value != 0 and 1e-4 <= abs(value) < 1e6 else short(value)


def _spaced(name: str) -> str:
    return {"worst_rel_err": "worst rel_err", "median_resolution": "visible from", "not_ok": "not ok"}.get(name, name)
