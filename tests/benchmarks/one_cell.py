"""One cell from its settings to its verdict: beside the loop of another tool alone, and at a chosen step beside a given one.

The clock runs while data are drawn and laid out, the gradient and its error analysis are computed, and all weights are judged.
What is compared is the other's numeric gradient alone, over data that lie ready.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from gradcheck.bugs import BUGS
from gradcheck.experiment.cell import Cell, check_cell, pose
from gradcheck.experiment.sources.gaussian import Gaussian
from gradcheck.experiment.sources.init import Normal
from gradcheck.models import MLP, Logistic, Softmax
from gradcheck.models.interfaces import Model
from gradcheck.numerics.check import check
from gradcheck.numerics.steps import AUTO
from tests.benchmarks.frame import Row, alternating, at_least, at_most, compared, missing, ratio, skipped
from tests.benchmarks.structure import CENTRAL, EPS, D, N, scipy_loop

# cells of which many make a sweep, and large ones
CHOSEN: tuple[tuple[str, Model, int, int], ...] = (
    ("logistic, n = 100, d = 10", Logistic(), 100, 10),
    ("mlp 10-5-3-1, n = 100", MLP([5, 3]), 100, 10),
    ("mlp 10-20-1 with relu, n = 100", MLP([20], "relu"), 100, 10),
    ("mlp 10-64-32-1 with relu, n = 100", MLP([64, 32], "relu"), 100, 10),
    ("softmax, n = 100, d = 10", Softmax(n_classes=3), 100, 10),
    (f"logistic, n = {N}, d = {D}", Logistic(), N, D),
    ("softmax, n = 2000, d = 100, 10 classes", Softmax(n_classes=10), 2000, 100),
    ("mlp 100-64-32-1, n = 1000", MLP([64, 32]), 1000, 100),
)


def cell_of(model: Model, n: int, d: int) -> Cell:
    return Cell(model, Gaussian(n=n, d=d), Normal(0, d**-0.5), BUGS["none"](), CENTRAL, np.dtype(float), 1e-2)


def whole_cell_rows() -> Iterator[Row]:
    name = f"logistic, n = {N}, d = {D}, central, float64: SciPy's 3-point differences alone against "
    cold, from_arrays = "a whole cell, data drawn", "the same from arrays in memory"
    if why := missing("scipy"):
        yield skipped(name + cold, "15 or more", why)
        yield skipped(name + from_arrays, "25 or more", why)
        return
    cell = cell_of(Logistic(), N, D)
    problem, batch = pose(cell), cell.data.batch(cell.model.target, cell.dtype)

    def whole() -> Any:
        return check_cell(cell, EPS)

    def again() -> Any:
        return check(cell.model.pose(problem.theta, batch), CENTRAL, EPS, cell.match_at)

    assert whole().summary["verdict"] == again().summary["verdict"] == "match"
    theirs, ours, arrays, drawn = alternating(
        scipy_loop(problem, batch.X, batch.y),
        whole,
        again,
        lambda: cell.data.batch(cell.model.target, cell.dtype),
        warm=False,
    )
    note = f"{statistics.median(theirs):.2f} s against {{:.3f}} s"
    yield at_least(name + cold, 15, ratio(theirs, ours), note.format(statistics.median(ours)))
    yield at_least(name + from_arrays, 25, ratio(theirs, arrays), note.format(statistics.median(arrays)))
    yield compared("of the whole cell, the share in which data are drawn", ratio(drawn, ours))


def chosen_step_rows() -> Iterator[Row]:
    for name, model, n, d in CHOSEN:
        problem = pose(cell_of(model, n, d))
        assert check(problem, CENTRAL, AUTO, 1e-2).summary["verdict"] == "match"
        # small cells many times, so that a turn takes some milliseconds
        times = max(1, 10**6 // (n * problem.theta.size))

        def repeated(eps: Any, times: int = times, problem: Any = problem) -> Callable[[], None]:
            def work() -> None:
                for _ in range(times):
                    # a verdict keeps the loss at theta
                    check(replace(problem), CENTRAL, eps, 1e-2)

            return work

        given, chosen = alternating(repeated(EPS), repeated(AUTO), repeats=9)
        yield at_most(f"{name}: eps=auto against the same cell at one eps", 2, ratio(chosen, given))


def rows() -> Iterator[Row]:
    """Every figure of this module."""
    yield from whole_cell_rows()
    yield from chosen_step_rows()
