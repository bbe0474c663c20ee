"""Entries of the gradient that are checked one by one beside the directions."""

from __future__ import annotations

import numpy as np

from gradcheck.functions.directions.slopes import Asked
from gradcheck.functions.stacked import stacked
from gradcheck.numerics.examine import examine
from gradcheck.numerics.problem import Problem
from gradcheck.numerics.weight_columns import WeightColumns, columns

Array = np.ndarray


class Entries:
    """Weights that were checked one by one.

    numeric : their numeric derivatives, by flat index.   wrong : the flat indices of those that are a mismatch.
    """

    def __init__(self, problem: Problem, asked: Asked) -> None:
        self._problem, self._asked = problem, asked
        self._rows: list[WeightColumns] = []
        self.numeric: dict[int, float] = {}
        self.wrong: set[int] = set()

    def judge(self, index: Array) -> None:
        """Check those of ``index`` that were not checked yet."""
        new = np.array([j for j in np.unique(index).tolist() if j not in self.numeric], dtype=np.intp)
        if not len(new):
            return
        scheme, eps, match_at, accept = self._asked
        estimate, judged, *_ = examine(self._problem, scheme, eps, match_at, new, accept)
        self._rows.append(columns(self._problem, new, estimate, judged, eps))
        self.numeric.update(zip(new.tolist(), estimate.value.tolist(), strict=True))
        self.wrong.update(j for j, verdict in zip(new.tolist(), judged.verdict, strict=True) if verdict == "mismatch")

    def table(self) -> WeightColumns:
        """All columns, in the order of theta."""
        order = np.argsort(np.concatenate([rows["flat_index"] for rows in self._rows]))
        return stacked(self._rows, order)
