"""The numbers of an outcome as a pandas DataFrame and as a Parquet file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gradcheck.numerics.steps import Step
from gradcheck.numerics.weight_columns import WeightColumns

if TYPE_CHECKING:
    import os

    import pandas as pd

# What a person looks at; ``ratio`` is the one column that a run does not store.
SHORT = ("param", "position", "flat_index", "analytic", "numeric", "ratio", "abs_err", "bound", "verdict", "reason")


class Point(NamedTuple):
    """The columns of the weights at one point, and how they were found."""

    table: WeightColumns
    scheme: str
    dtype: str
    eps: Step


def short(points: Sequence[Point]) -> pd.DataFrame:
    """The columns of ``SHORT``, one row a weight; of several points ``point`` comes first."""
    return _each(points, _short)


def full(points: Sequence[Point]) -> pd.DataFrame:
    """The columns that a run stores of a weight, one row a weight; of several points ``point`` comes first."""
    return _each(points, _full)


def _each(points: Sequence[Point], one: Callable[[Point], pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    frames = [one(point) for point in points]
    if len(frames) == 1:
        return frames[0]
    for number, frame in enumerate(frames):
        frame.insert(0, "point", number)
    return pd.concat(frames, ignore_index=True)


def _short(point: Point) -> pd.DataFrame:
    frame = _full(point)
    with np.errstate(all="ignore"):
        ratio = np.asarray(point.table["analytic"]) / np.asarray(point.table["numeric"])
    # beside a slope of 0 there is no ratio
    frame["ratio"] = np.where(np.asarray(point.table["numeric"]) == 0, np.nan, ratio)
    return frame[list(SHORT)]


def _full(point: Point) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    from gradcheck.columns.weights import outcome_table

    table = outcome_table(*point)
    frame: pd.DataFrame = table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    frame["flat_index"] = np.asarray(point.table["flat_index"])
    frame["position"] = pd.Series(list(point.table["position"]), dtype=object, index=frame.index)
    return frame


def worst(frame: pd.DataFrame, n: int) -> pd.DataFrame:
    """The n rows with the largest difference over its bound; what is not finite comes first, 0 over 0 last."""
    abs_err, bound, analytic = (frame[name].to_numpy(float) for name in ("abs_err", "bound", "analytic"))
    with np.errstate(all="ignore"):
        score = abs_err / bound
    score = np.where(np.isnan(score), np.where(np.isfinite(analytic), 0.0, np.inf), score)
    return frame.iloc[np.argsort(-score, kind="stable")[:n]]


def to_parquet(points: Sequence[Point], path: str | os.PathLike[str]) -> None:
    """Write the columns of ``full`` to one file in the schema of a run.  It appears whole or not at all."""
    from gradcheck.columns.weights import outcome_table, with_points, write_table

    tables = [outcome_table(*point) for point in points]
    write_table(with_points(tables) if len(tables) > 1 else tables[0], path)
