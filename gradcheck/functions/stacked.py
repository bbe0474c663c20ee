"""The columns of several groups of weights as one group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np

from gradcheck.numerics.weight_columns import WeightColumns


def stacked(groups: Sequence[WeightColumns], order: np.ndarray) -> WeightColumns:
    """The weights of all groups, one group after the other, and then in a given order.

    order : (m,) for each weight of the result its place among all weights.   A column that is None in the first group is None.
    """
    if len(groups) == 1 and np.array_equal(order, np.arange(len(groups[0]["flat_index"]))):
        return groups[0]
    by_name: Sequence[Mapping[str, object]] = groups
    return cast(WeightColumns, {name: _stacked([group[name] for group in by_name], order) for name in by_name[0]})


def _stacked(columns: Sequence[object], order: np.ndarray) -> object:
    if columns[0] is None:
        return None
    if isinstance(columns[0], np.ndarray):
        return np.concatenate(cast("Sequence[np.ndarray]", columns))[order]
    flat = [entry for column in cast("Sequence[list[object]]", columns) for entry in column]
    return [flat[i] for i in order.tolist()]
