"""A Hessian without a gradient: differences of ``fun`` stand for the gradient, and are differentiated once more.

By each x_j the quotient of order 4 is taken with a step h_j and with its half::

    D_h f(x) = (8 (f(x + h) - f(x - h)) - (f(x + 2h) - f(x - 2h))) / 12 h = f'(x) - h**4 f^(5)(x) / 30 + ...

Both are functions of x, whose derivatives are compared with the Hessian like those of any gradient.  Their own truncation is
not seen there.  It is at most the difference of both, fifteen times what it is where the next term is small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.outcome import Outcome
from gradcheck.functions.second_order.matrices import HessianError
from gradcheck.functions.second_order.structure import Structure
from gradcheck.functions.trees.foreign import numbers
from gradcheck.numerics.layout import Layout
from gradcheck.numerics.verdict import ACCEPTED, EXEMPT
from gradcheck.numerics.weight_columns import WeightColumns

Array = np.ndarray

# Points by each x_j, in units of h_j: both quotients share those at one step.
OFFSETS = (0.5, 1.0, 2.0)
EVALUATIONS = 2 * len(OFFSETS)
# Steps that are tried, each a quarter of the one before; the largest in units of max(|x_j|, 1).
TRIED, LARGEST = 12, 2.0**-3
# A quotient is not believed to be better than so many times the best one: the larger step has less noise.
AS_GOOD = 8.0


@dataclass
class Differences:
    """Quotients of ``fun`` as a flat gradient with 2 n outputs: n with the steps h, then n with h / 2.

    steps : (n,) h.   low, high : limits outside which the quotient is NaN.
    """

    fun: Callable[..., object]
    structure: Structure
    steps: Array
    low: Array | None
    high: Array | None

    def __call__(self, theta: Array, *args: object, **kwargs: object) -> Array:
        """The quotients at a flat point, (2 n,)."""
        return np.concatenate(quotients(self, theta, self.steps, args, kwargs))

    def value(self, theta: Array, args: tuple[object, ...], kwargs: Mapping[str, object]) -> Array:
        """``fun`` at a flat point; NaN outside the limits."""
        if self.low is not None and self.high is not None and ((theta < self.low) | (theta > self.high)).any():
            return np.asarray(np.nan, theta.dtype)
        value = np.asarray(numbers(self.fun(self.structure.tree(theta), *args, **kwargs)))
        if value.size != 1 or value.dtype.kind not in "iuf":
            raise HessianError(f"fun returns the shape {value.shape}, {value.dtype}: it must return one real number")
        return value.reshape(())


@dataclass
class Twice:
    """The Hessian as the Jacobian of ``Differences``, which has every output twice."""

    hessian: Callable[..., Array]

    def __call__(self, theta: Array, *args: object, **kwargs: object) -> Array:
        """The Hessian at a flat point, above itself."""
        one = self.hessian(theta, *args, **kwargs)
        return np.concatenate([one, one])


def quotients(
    f: Differences, theta: Array, steps: Array, args: tuple[object, ...], kwargs: Mapping[str, object]
) -> tuple[Array, Array]:
    """D_h and D_(h/2) of ``fun`` at a flat point, (n,) each."""
    found = np.empty((2, theta.size), theta.dtype)
    for j, h in enumerate(steps.astype(theta.dtype)):
        odd = {}
        for t in OFFSETS:
            up, down = theta.copy(), theta.copy()
            up[j] += theta.dtype.type(t) * h
            down[j] -= theta.dtype.type(t) * h
            # the step that was really taken
            odd[t] = (f.value(up, args, kwargs) - f.value(down, args, kwargs)) / (up[j] - down[j])
        found[0, j] = (4 * odd[1.0] - odd[2.0]) / 3
        found[1, j] = (4 * odd[0.5] - odd[1.0]) / 3
    return found[0], found[1]


def steps_at(
    fun: Callable[..., object],
    structure: Structure,
    theta: Array,
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
    limits: tuple[Array | None, Array | None],
) -> tuple[Array, int]:
    """The step h_j by each x_j, the largest that is about as good as the best, and how often ``fun`` was called.

    A step is good where its quotient and those of the next two smaller ones agree: both truncation and noise are small.
    """
    low, high = limits
    f = Differences(fun, structure, np.zeros(theta.size), low, high)
    size = np.exp2(np.round(np.log2(LARGEST * np.maximum(np.abs(theta.astype(np.float64)), 1.0))))
    tried = [size * 4.0**-k for k in range(TRIED)]
    with np.errstate(all="ignore"):
        known = np.stack([quotients(f, theta, h, args, kwargs)[0].astype(np.float64) for h in tried])
        gaps = np.abs(np.diff(known, axis=0))
        doubt = gaps[:-1] + gaps[1:]
    doubt = np.where(np.isfinite(doubt), doubt, np.inf)
    best = doubt.min(axis=0)
    closed = np.flatnonzero(~np.isfinite(best))
    if closed.size:
        raise ContractError(
            f"jac=None: fun is not finite beside x0 by entry {closed[0]} on both sides, so there are no differences of it:"
            " give jac, or another x0"
        )
    first = (doubt <= AS_GOOD * best).argmax(axis=0)
    return np.stack(tried)[first, np.arange(theta.size)], TRIED * EVALUATIONS * theta.size


def merged(outcome: Outcome, n: int) -> Outcome:
    """One row an entry, of the outcome with every entry twice: judged by the smaller step, and by how both differ."""
    layout = Layout(("H",), ((n, n),))
    if not outcome.points:
        return replace(outcome, table=_table(outcome, n, layout), layout=layout, n_weights=layout.size)
    return replace(
        outcome,
        table=_table(outcome, n, layout),
        layout=layout,
        n_weights=layout.size,
        points=tuple(merged(one, n) for one in outcome.points),
    )


def _table(outcome: Outcome, n: int, layout: Layout) -> WeightColumns:
    by_name = cast("Mapping[str, object]", outcome.table)
    flat = np.asarray(outcome.table["flat_index"])
    first, second = np.flatnonzero(flat < n * n), np.flatnonzero(flat >= n * n)
    table = cast(WeightColumns, {name: _some(column, second) for name, column in by_name.items()})
    table["flat_index"] = flat[second] - n * n
    table["param"], table["position"] = layout.columns(table["flat_index"])
    _judged_anew(table, outcome, first)
    return table


def _judged_anew(table: WeightColumns, outcome: Outcome, first: Array) -> None:
    other = outcome.table
    a, numeric = table["analytic"], table["numeric"]
    with np.errstate(all="ignore"):
        apart = np.abs(numeric - other["numeric"][first])
        truncation = table["truncation"] + np.where(np.isnan(apart), np.inf, apart)
        bound = truncation + table["roundoff"]
        size = np.fmax(np.abs(a), np.abs(numeric))
        resolution = np.where(size > 0, 2 * bound / size, np.inf)
        resolution = np.where(np.isnan(resolution), np.inf, resolution)
        beyond = table["abs_err"] > bound
        wrong = (beyond & (table["abs_err"] > bound + outcome.accept * size)) | ~np.isfinite(a)
    match = ~wrong & (resolution + outcome.accept <= outcome.match_at)
    for row in range(len(a)):
        verdict, reason = table["verdict"][row], table["reason"][row]
        if reason == EXEMPT and other["reason"][first[row]] == EXEMPT:
            continue
        if "nondifferentiable" in (verdict, other["verdict"][first[row]]) and not wrong[row]:
            table["verdict"][row], table["reason"][row] = "nondifferentiable", "kink"
        elif wrong[row] or match[row]:
            table["verdict"][row] = "mismatch" if wrong[row] else "match"
            table["reason"][row] = ACCEPTED if match[row] and beyond[row] else None
        else:
            more = "truncation" if truncation[row] > table["roundoff"][row] else "noise"
            table["verdict"][row] = "inconclusive"
            table["reason"][row] = reason if verdict == "inconclusive" and reason != EXEMPT else more
    table["truncation"], table["bound"], table["resolution"] = truncation, bound, resolution


def _some(column: object, rows: Array) -> object:
    if column is None or isinstance(column, np.ndarray):
        return column if column is None else column[rows]
    listed = cast("list[object]", column)
    return [listed[row] for row in rows.tolist()]
