"""Before both products are said to be apart: is it a mistake, or an entry of few digits?

Near points do not show every rounding.  1 - tanh(x)**2 at x = 17 is rounded to a multiple of 2**-53, which is a hundredth of
it, and to the same one at all near points.  But it is small beside what the products are at other points.  Where it is, a
mistake is told by its share of the products: it keeps it where x moves so far that they change, and rounding does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.second_order.operators import Operator
from gradcheck.numerics.measured.student import quantile

Array = np.ndarray

# Shares of x by which it is moved until both products change enough: by MARGIN times what the entries may be off, so that an
# entry that is rounded by so much is rounded anew, and at most by CHANGED, where a mistake keeps its share still.
SHARES, MARGIN, CHANGED = tuple(2.0**-k for k in range(20, 0, -1)), 64.0, 0.3
# At most x is divided by up to 2**TOWARDS.
TOWARDS = 8.0
# Points that are asked, and the fewest that tell.
POINTS, FEWEST = 16, 6
# Points elsewhere at which the size of the products is looked up.
ELSEWHERE = 4


class Products(NamedTuple):
    """Both products at a point, and the share by which the inner products are apart."""

    jv: Array
    w: Array
    share: float


def keeps_its_share(op: Operator, x: Array, u: Array, v: Array, rng: np.random.Generator) -> bool:
    """Whether the inner products are apart by the same share where x is moved, as far as a mean can tell."""
    here = _products(op, x, u, v)
    if here is None:
        return True
    # one entry of all may be off, and it is by its own share
    enough = min(CHANGED, MARGIN * max(len(u), len(v)) * abs(here.share))
    for share in SHARES:
        there = _products(op, _moved(x, share, rng), u, v)
        if there is not None and min(_change(here.jv, there.jv, u), _change(here.w, there.w, v)) >= enough:
            return _holds(op, u, v, (_moved(x, share, rng) for _ in range(POINTS)))
    return _holds(op, u, v, iter(towards_zero(x, rng)))


def reads(op: Operator, x: Array, u: Array, v: Array, rng: np.random.Generator) -> bool:
    """Whether the products change with x at all, far from it too."""
    here = _products(op, x, u, v)
    for point in (*towards_zero(x, rng)[:FEWEST], _moved(x, 1.0, rng)):
        there = _products(op, point, u, v)
        if (
            here is not None
            and there is not None
            and max(_change(here.jv, there.jv, u), _change(here.w, there.w, v)) > 0
        ):
            return True
    return False


def sizes_elsewhere(op: Operator, x: Array, u: Array, v: Array, rng: np.random.Generator) -> list[tuple[float, float]]:
    """The largest entries of J^T u and of J v at points whose entries are near 1 in size, of the signs of x."""
    found = []
    for _ in range(ELSEWHERE):
        signs = np.where(x == 0, rng.choice([-1.0, 1.0], x.size), x / np.where(x == 0, 1.0, np.abs(x)))
        there = _products(op, (signs * np.abs(rng.standard_normal(x.size))).astype(x.dtype), u, v)
        if there is not None:
            found.append((largest(there.w), largest(there.jv)))
    return found


def largest(a: Array) -> float:
    """The size of the largest finite entry."""
    size = np.abs(a).astype(np.float64)
    return float(size[np.isfinite(size)].max(initial=0.0))


def _holds(op: Operator, u: Array, v: Array, points: Iterator[Array]) -> bool:
    """Whether the mean share is more than its own deviation explains."""
    found = [p.share for p in (_products(op, point, u, v) for point in points) if p is not None]
    if len(found) < FEWEST:
        return False
    deviation = float(np.std(found, ddof=1)) / np.sqrt(len(found))
    return bool(abs(np.mean(found)) > quantile(len(found) - 1) * deviation)


def _products(op: Operator, x: Array, u: Array, v: Array) -> Products | None:
    try:
        jv, w = op.push(x, v), op.pull(x, u)
    except ContractError:
        raise
    except Exception:  # beyond the edge of the domain
        return None
    push, pull = op.size(op.inner(u, jv)), op.size(op.inner(w, v))
    size = max(abs(push), abs(pull))
    if not np.isfinite(size) or not size:
        return None
    gap = push - pull
    # of complex products the direction of the difference counts too, and its larger part tells it
    return Products(jv, w, float(max(gap.real, gap.imag, key=abs)) / size)


def _change(before: Array, after: Array, other: Array) -> float:
    """The largest relative change of an entry that the other vector meets."""
    a, b = before[other != 0], after[other != 0]
    size = np.maximum(np.abs(a), np.abs(b))
    known = size > 0
    return float((np.abs(a - b)[known] / size[known]).max(initial=0.0))


def _moved(x: Array, share: float, rng: np.random.Generator) -> Array:
    size = np.where(x == 0, 1.0, np.abs(x))
    return (x + share * size * rng.uniform(-1, 1, x.size)).astype(x.dtype)


def towards_zero(x: Array, rng: np.random.Generator) -> list[Array]:
    """Points nearer to 0, where most functions have all their digits; beside 0 where x is 0."""
    found = []
    for k in range(POINTS):
        factor = np.exp2(-rng.uniform(0, TOWARDS, x.size if k % 2 else None))
        found.append((np.where(x == 0, rng.uniform(-1, 1, x.size), x) * factor).astype(x.dtype))
    return found
