"""Rows of a frame as Python values, and how many cells each rule accuses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gradcheck.experiment import truth
from gradcheck.experiment.truth import PLANTED, Truth, truths

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


RULE_COLUMNS = ("rule", "bug", "cells", "accused", "false_alarms", "caught", "missed", "cannot_be_told")


def rule_counts(cells: pd.DataFrame) -> pd.DataFrame:
    """For each rule and bug: how many cells there are, and how many of them the rule accuses; our own verdict comes first.

    ``false_alarms`` is null where a bug was planted; ``caught``, ``missed`` and ``cannot_be_told`` where none was; all four
    where nobody knows the right gradient.  Of the cells with a planted bug, the rule has caught those that it accuses.  Of
    the others it has missed those whose numbers show the bug: our own verdict is a mismatch, or a weight that was judged a
    match is wrong by more than 2 bounds.  The rest cannot be told.
    """
    import pandas as pd

    rules = sorted(name.removeprefix("rule_") for name in cells.columns if name.startswith("rule_"))
    needed = [name for name in cells.columns if name in ("bug", *truth.COLUMNS) or name.startswith("rule_")]
    done = cells.loc[cells["status"] == "ok", needed]
    done = done.assign(_truth=truths(done))
    known, planted = done["_truth"] != Truth.UNKNOWN, done["_truth"].isin([str(one) for one in PLANTED])
    own = done["verdict"] == "mismatch"
    done = done.assign(_known=known, _planted=planted, _own=own, _visible=own | (done["_truth"] == Truth.MISSED))
    columns = {"gradcheck": "_own"} | {rule: f"rule_{rule}" for rule in rules}
    judged = {rule: done[column].notna().to_numpy() for rule, column in columns.items()}
    accused = {rule: done[column].eq(True).fillna(False).to_numpy(bool) for rule, column in columns.items()}
    visible = done["_visible"].to_numpy(bool)
    done = done.assign(_place=range(len(done)))
    rows = []
    for (bug, known, planted), group in done.groupby(["bug", "_known", "_planted"], dropna=False, sort=True)["_place"]:
        place = group.to_numpy()
        for rule in columns:
            count, told = int(accused[rule][place].sum()), int(judged[rule][place].sum())
            missed = int((judged[rule] & ~accused[rule] & visible)[place].sum())
            shares = (
                {"caught": count, "missed": missed, "cannot_be_told": told - count - missed}
                if planted
                else {"false_alarms": count if known else None}
            )
            rows.append({"rule": rule, "bug": bug, "cells": told, "accused": count, **shares})
    frame = pd.DataFrame(rows, columns=list(RULE_COLUMNS))
    return frame.astype(dict.fromkeys(RULE_COLUMNS[2:], "Int64"))


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as mappings of Python values; what is unknown is None."""
    import pandas as pd

    rows = frame.astype(object).to_dict("records")
    return [{key: _plain(value, pd.NA) for key, value in row.items()} for row in rows]


def plain_value(value: object) -> Any:
    """A value of a frame as a Python value; what is unknown is None."""
    import pandas as pd

    return _plain(value, pd.NA)


def _plain(value: Any, unknown: object) -> Any:
    if hasattr(value, "tolist"):  # a NumPy array (position) or scalar
        value = value.tolist()
    return None if value is unknown or (isinstance(value, float) and math.isnan(value)) else value


def weight_name(param: str | None, position: Sequence[int] | None) -> str | None:
    """``W1[0,3]``, or ``b`` where the parameter has no axes; None where the parameter is unknown."""
    return f"{param}[{','.join(map(str, position))}]" if position else param


def weight_names(rows: pa.Table) -> pa.ChunkedArray:
    """``weight_name`` of many rows of ``errors``."""
    import pyarrow as pa
    import pyarrow.compute as pc

    param, position = rows["param"], rows["position"]
    places = pc.binary_join(position.cast(pa.list_(pa.string())), ",")
    named = pc.binary_join_element_wise(param, "[", places, "]", "")
    return pc.if_else(pc.greater(pc.fill_null(pc.list_value_length(position), 0), 0), named, param)
