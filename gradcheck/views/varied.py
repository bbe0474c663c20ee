"""The settings in which the cells of a record differ: the keys of its grid, and what changes with them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gradcheck.experiment.config.columns import ASIDE, column_name
from gradcheck.views.axes import settings_varied
from gradcheck.views.record import Record

if TYPE_CHECKING:
    import pandas as pd


def varied(record: Record) -> list[str]:
    """The columns of settings that have more than one value, null among them, in the order of the columns."""
    return settings_varied(record.cells)


def in_order(record: Record, names: Sequence[str]) -> pd.DataFrame:
    """The cells of a record, sorted by some columns and then by their ids: cells are stored in any order."""
    try:
        return record.cells.sort_values([*names, "cell"])
    except TypeError:  # no order, in a column of somebody else's
        return record.cells.sort_values("cell")


def arrays(record: Record) -> pd.DataFrame:
    """A column for each array of the config in which the cells of a record differ, in the order of its cells.

    Such arrays (``data.X``, ``init.values``, …) stand in no column of their own.  They are read where there are any.
    """
    cells = record.cells
    held = cells["cell"][(cells["data"] == "values") | (cells["init"] == "values")]
    texts: dict[str, dict[str, str]] = {}
    if len(held):
        wanted = set(held)
        for table in record.cell_tables(("cell", "config")):
            for cell, config in zip(table["cell"].to_pylist(), table["config"].to_pylist(), strict=True):
                if cell in wanted:
                    for name, text in _arrays(config).items():
                        texts.setdefault(name, {})[cell] = text
    new = {name: cells["cell"].map(found) for name, found in texts.items() if len(set(found.values())) > 1}
    nothing = cells[["cell"]].iloc[:, :0]
    return nothing.assign(**{name: column.map(json.loads, na_action="ignore") for name, column in new.items()})


def _arrays(config: object) -> Mapping[str, str]:
    """The arrays in a recorded config by the names that their columns would have; a record may hold anything."""
    try:
        form = json.loads(str(config))
        found = {
            column_name(f"{section}.{key}"): form[section][key]
            for section, keys in ASIDE.items()
            for key in keys
            if isinstance(form[section].get(key), list | dict)
        }
        return {name: json.dumps(value) for name, value in found.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}
