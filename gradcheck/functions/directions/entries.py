"""Entries of the gradient that are checked one by one beside the directions."""

from __future__ import annotations

import numpy as np

from gradcheck.functions.budget import groups
from gradcheck.functions.calls import Calls
from gradcheck.functions.jacobian import checked
from gradcheck.functions.settings import Settings
from gradcheck.functions.stacked import stacked
from gradcheck.numerics.problem import Problem
from gradcheck.numerics.weight_columns import WeightColumns

Array = np.ndarray


class Entries:
    """Weights that were checked one by one.

    numeric : their numeric derivatives, by flat index.   wrong : the flat indices of those that are a mismatch.
    """

    def __init__(self, problem: Problem, calls: Calls, asked: Settings) -> None:
        self._problem, self._calls, self._asked = problem, calls, asked
        self._rows: list[WeightColumns] = []
        self.numeric: dict[int, float] = {}
        self.wrong: set[int] = set()

    def judge(self, index: Array) -> None:
        """Check those of ``index`` that were not checked yet, as many as the evaluations allow."""
        new = np.array([j for j in dict.fromkeys(index.tolist()) if j not in self.numeric], dtype=np.intp)
        for some in groups(self._calls, new):
            table = checked(self._problem, self._calls, self._asked, some)
            self._rows.append(table)
            self.numeric.update(zip(some.tolist(), table["numeric"].tolist(), strict=True))
            self.wrong.update(j for j, v in zip(some.tolist(), table["verdict"], strict=True) if v == "mismatch")

    def table(self) -> WeightColumns:
        """All columns, in the order of theta."""
        if not self._rows:
            self._rows.append(checked(self._problem, self._calls, self._asked, np.empty(0, dtype=np.intp)))
        order = np.argsort(np.concatenate([rows["flat_index"] for rows in self._rows]))
        return stacked(self._rows, order)
