"""What ``show`` answers of a grid: who was accused wrongly, what was caught where, what the mistakes look like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.experiment.config.columns import FUNCTIONS
from gradcheck.experiment.truth import UNKNOWN_MODELS, Truth
from gradcheck.printable import printable
from gradcheck.views.axes import settings_varied
from gradcheck.views.frames import plain_value, records
from gradcheck.views.layout import Table, Title
from gradcheck.views.matrix import Facet, Matrix, Square, named
from gradcheck.views.numbers import counted
from gradcheck.views.record import Record
from gradcheck.views.squares import legend, share
from gradcheck.views.tally import in_order
from gradcheck.views.words import Names, column, error, setting
from gradcheck.views.worst import Worst

if TYPE_CHECKING:
    import pandas as pd

MANY = 60  # rows of matrices
FEW = 3  # values of a setting that are named; of more, their range or their number is said
_NAMED = ("cell", "model", *FUNCTIONS, "worst_param", "worst_flat_index", "max_rel_err", "diagnosis", "diagnosis_kind")


def accused(record: Record, most: int | None) -> Iterator[str]:
    """The cells without a planted bug that are a mismatch, the largest error first; at most so many."""
    cells = record.cells
    accused_ = (cells["verdict"] == "mismatch") & ~cells["bug_injected"].fillna(False).astype(bool)
    if not accused_.any():
        return
    told = [name for name in settings_varied(cells) if name != "bug" and not name.startswith("bug_")]
    told[:0] = ["run"] if record.several else []
    shown = [name for name in dict.fromkeys([*_NAMED, *told]) if name in cells]
    wrong = cells.loc[accused_, shown]
    alarms = int((~wrong["model"].isin(UNKNOWN_MODELS)).sum())
    kinds = [f"{counted(alarms, 'false alarm')}"] if alarms else []
    kinds += [f"{counted(len(wrong) - alarms, 'wrong gradient')} of your own functions"] if alarms < len(wrong) else []
    chosen = wrong.sort_values(["max_rel_err", "cell"], ascending=[False, True], na_position="first").head(most)
    title = f"cells without a planted bug that are a mismatch: {', '.join(kinds)}"
    yield Title(f"\n{title}{_first(len(chosen), len(wrong))}")
    names = record.worst_weights(chosen)
    for row in records(chosen):
        where = named(told, [row[name] for name in told], record.names) or str(row["model"])
        yield f" {printable(row['cell'])}  {where}: {_worst(row, names)}"


def _first(shown: int, of: int) -> str:
    return f"  (first {shown} of {of}; --all shows every one)" if shown < of else ""


def _worst(row: Mapping[str, Any], weights: Mapping[str, Worst]) -> str:
    """The worst weight of a mismatch and what the mistake looks like."""
    name, rel_err = weights[row["cell"]]
    worst = f"worst {name}, rel_err {error(rel_err)}"
    return f"{worst}. {printable(row['diagnosis'])}" if row["diagnosis"] else worst


def matrices(found: Matrix, most: int | None) -> Iterator[Table | str]:
    """The shares of each facet as a table.

    most : for a terminal, after about so many rows it ends; of MANY rows, those of bugs that were caught in every square of
        their facet become one line.
    """
    squares, shown = found.squares, 0
    if len(squares) < 2:
        return
    yield Title(f"\n{legend(found)}")
    # all tables have their columns below each other
    width = max(len(words) for facet in found.facets for words in (facet.name, *(name for name, _ in facet.rows)))
    many = most is not None and sum(len(facet.rows) for facet in found.facets) > MANY
    for i, facet in enumerate(found.facets):
        if most is not None and shown > most:
            yield f"   {len(found.facets) - i} more of {len(found.facets)} matrices; --all shows every one"
            return
        rows = {row: some for row, some in facet.rows.items() if not (many and _caught(row, some))}
        yield _table(facet, rows, found.columns, width)
        shown += len(rows) + 1
        if others := [name for name, planted in facet.rows if (name, planted) not in rows]:
            yield f"   100 everywhere: {', '.join(others)}"


def _caught(row: tuple[str, bool], squares: Sequence[Square | None]) -> bool:
    """Whether a planted bug was caught in every cell of a row."""
    return row[1] and all(one is None or one.told.get(Truth.CAUGHT) == one.cells for one in squares)


def _table(
    facet: Facet, rows: Mapping[tuple[str, bool], Sequence[Square | None]], columns: Sequence[str], width: int
) -> Table:
    shown = [
        [name.ljust(width), *(None if one is None else share(one, planted) for one in row)]
        for (name, planted), row in rows.items()
    ]
    return Table("", [facet.name, *columns], shown, left=frozenset({facet.name}), named=True)


def diagnoses(record: Record, keys: Sequence[str], most: int | None) -> Iterator[str]:
    """The mismatches by what the mistake looks like, the commonest first: how many cells, and their values of some settings.

    keys : all that was swept.   most : so many of them, with few values of each key; None: all.
    """
    cells = record.cells
    shown = [name for name in dict.fromkeys([*_NAMED, *keys]) if name in cells]
    wrong = cells.loc[cells["verdict"] == "mismatch", shown]
    if len(wrong) < 2:
        return
    kinds = wrong["diagnosis_kind"].fillna("no diagnosis")
    counts = kinds.value_counts()
    order = sorted(counts.index, key=lambda kind: (-counts[kind], str(kind)))[:most]
    yield Title(f"\nmismatches by diagnosis{_first(len(order), len(counts))}")
    examples = {kind: _middle(wrong.loc[kinds == kind, ["cell", "max_rel_err"]]) for kind in order}
    values = {name: {plain_value(v) for v in cells.loc[cells["status"] == "ok", name].unique()} for name in keys}
    for kind, place in examples.items():
        row, of_kind = wrong.loc[[place]], kinds == kind
        (example,) = records(row)
        spread = [
            _spread(name, {plain_value(v) for v in wrong.loc[of_kind, name].unique()}, values[name], record.names, most)
            for name in keys
        ]
        yield f" {printable(kind)}: {'; '.join([counted(int(counts[kind]), 'cell'), *filter(None, spread)])}"
        yield f"   such as {printable(example['cell'])}: {_worst(example, record.worst_weights(row))}"


def _middle(cells: pd.DataFrame) -> object:
    """Where the cell with the middle error is: the largest is often a special case.  Of several it is the first by its id."""
    errors = cells["max_rel_err"].fillna(float("inf")).to_numpy(float)
    own = cells["cell"][errors == np.partition(errors, len(errors) // 2)[len(errors) // 2]]
    return own.idxmin()


def _spread(name: str, values: set[Any], of: set[Any], names: Names, most: int | None) -> str:
    """The values of a setting among some cells: ``bug scale, sign_flip``, ``every scheme``, ``eps 1e-02 to 1e-06``.

    most : where it is None all values are said.
    """
    if len(of) < 2:
        return ""
    title = column(name)
    if len(values) == len(of) > 2:
        return f"every {title}"
    numbers = [value for value in sorted(values, key=partial(in_order, name)) if isinstance(value, int | float)]
    words = [setting(name, value, names) for value in numbers]
    whole = sorted((value for value in of if isinstance(value, int | float)), key=partial(in_order, name))
    beside = bool(numbers) and whole[whole.index(numbers[0]) :][: len(numbers)] == numbers
    if len(numbers) > FEW and most is not None and beside:
        words = [f"{words[0]} to {words[-1]}"]
    words += [setting(name, value, names) for value in sorted((v for v in values if v not in numbers), key=str)]
    if len(words) > 2 * FEW and most is not None:
        words = [*words[:FEW], f"{len(words) - FEW} more"]
    return f"{title} {', '.join(words)}"
