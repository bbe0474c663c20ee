"""The dot-product test: <u, J v> and <J^T u, v> for drawn pairs (u, v), and by how much rounding may part them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.second_order.confirmed import keeps_its_share, largest, reads, sizes_elsewhere
from gradcheck.functions.second_order.operators import Operator
from gradcheck.functions.second_order.spaces import Space
from gradcheck.numerics.measured.student import quantile

Array = np.ndarray

# Repetitions with u and v moved by one unit in the last place; and with x, u and v moved by so much that float32 inside a
# function is rounded anew.  A mistake changes by these shares at most.
LAST_PLACE, FURTHER = 4, 4
SHARE_UV, SHARE_X = 2.0**-16, 2.0**-20
# Roundings of one number from x to the product that are the same in every repetition: those of constants.
SYSTEMATIC = 16.0
# Entries of J^T u are made equal in size, so that an error in a small one is seen; in one sum down to this share of the
# largest.
EQUAL = 2.0**-26
# Both may be apart by a smaller share than this because rounding drops the same small term everywhere, as 1 - t**2 does.
COARSE = 2.0**-20


@dataclass(frozen=True, eq=False)
class Pair:
    """A drawn pair and both inner products.

    push : <u, J v>.   pull : <J^T u, v>.   bound : what rounding explains.   jv, w : J v and J^T u.
    equalized : whether it asks for entries that are small beside others.
    """

    x: Array
    u: Array
    v: Array
    jv: Array
    w: Array
    push: complex
    pull: complex
    bound: float
    equalized: bool = False

    @property
    def apart(self) -> float:
        """How far both are from each other."""
        return abs(self.push - self.pull)

    @property
    def size(self) -> float:
        """The larger one."""
        return max(abs(self.push), abs(self.pull))


def drawn(op: Operator, x: Array, count: int, accept: float, rng: np.random.Generator) -> list[Pair]:
    """Pairs at x with their bounds: ``count`` at least.

    No entry of u and v is near 0, and every term of <u, J v> is positive, so that they do not cancel.  Half of the pairs are
    equalized: every entry of x contributes alike, whatever its scale.  Entries whose scales are too far apart for one sum, and
    those of which vjp returns 0, have a pair of their own, and so have outputs.

    accept : a difference of this share is none.
    """
    plain = [_signed(op, x, _vector(op.space, rng), rng) for _ in range(max(1, count - count // 2))]
    w, jv = plain[0].w, plain[0].jv
    masks = classes(w)
    again = max(1, count // 2 // len(masks))
    equalized = [_signed(op, x, _equal(_vector(op.space, rng), w) * mask, rng) for mask in masks for _ in range(again)]
    rows = classes(jv)
    if len(rows) > 1:
        equalized += [_signed(op, x, _vector(op.space, rng), rng, mask) for mask in rows]
    # where both products of a class are 0, nothing is to be seen, and nothing wrong
    seen = [replace(pair, equalized=True) for pair in equalized if pair.size > 0 or not np.isfinite(pair.size)]
    return [_disputed(op, pair, plain[0], accept, rng) for pair in (*plain, *seen)]


def _disputed(op: Operator, pair: Pair, first: Pair, accept: float, rng: np.random.Generator) -> Pair:
    """The pair; where both products are apart and it may be what rounding leaves of 0, with an infinite bound.

    A matrix that does not depend on x has no roundings that x could draw anew.  Of one that does, an equalized pair asks for
    entries of few digits too.

    first : the first pair that is not equalized.
    """
    if not pair.bound + accept * pair.size < pair.apart < np.inf:
        return pair
    sizes = [(largest(first.w), largest(first.jv)), *sizes_elsewhere(op, pair.x, first.u, first.v, rng)]
    w, jv = (max(size[k] for size in sizes) for k in (0, 1))
    left = _rounding(op) * float(w * np.abs(pair.v).sum() + jv * np.abs(pair.u).sum())
    if pair.apart > pair.bound + left + accept * pair.size:
        return pair
    if not reads(op, pair.x, pair.u, pair.v, rng):
        return pair
    few_digits = abs(pair.push) == 0 or abs(pair.pull) == 0 or pair.apart < COARSE * pair.size
    if not pair.equalized and not few_digits and keeps_its_share(op, pair.x, pair.u, pair.v, rng):
        return pair
    return replace(pair, bound=np.inf)


def classes(factor: Array) -> list[Array]:
    """Masks (size,) of the entries whose sizes are within EQUAL of the largest of them; and of those that are 0."""
    size = np.abs(factor).astype(np.float64)
    left = np.isfinite(size) & (size > 0)
    found = [~left] if (~left).any() else []
    while left.any():
        mask = left & (size >= EQUAL * size[left].max())
        found.append(mask)
        left &= ~mask
    return found


def _signed(op: Operator, x: Array, v: Array, rng: np.random.Generator, rows: Array | None = None) -> Pair:
    """The pair of v and a u by which every term of <u, J v> is positive.

    rows : outputs that alone have a u other than 0, equalized.
    """
    v = v.astype(op.space.dtype)
    jv = op.push(x, v)
    u = np.abs(_vector(op.out, rng)) * _phase(jv, op, rng)
    if rows is not None:
        u = _equal(u, jv) * rows
    return _paired(op, x, u.astype(op.out.dtype), v, rng)


def _paired(op: Operator, x: Array, u: Array, v: Array, rng: np.random.Generator) -> Pair:
    jv, w = op.push(x, v), op.pull(x, u)
    push, pull = op.size(op.inner(u, jv)), op.size(op.inner(w, v))
    apart = [push - pull]
    for k in range(LAST_PLACE + FURTHER):
        share = 0.0 if k < LAST_PLACE else SHARE_UV
        beside = x if k < LAST_PLACE else _moved(x, SHARE_X, rng)
        near_u, near_v = _moved(u, share, rng), _moved(v, share, rng)
        try:
            near_jv, near_w = op.push(beside, near_v), op.pull(beside, near_u)
        except ContractError:
            raise
        except Exception:  # beyond the edge of the domain
            continue
        gap = op.size(op.inner(near_u, near_jv)) - op.size(op.inner(near_w, near_v))
        if np.isfinite(gap):
            apart.append(gap)
    return Pair(x, u, v, jv, w, push, pull, _bound(op, apart, u, v, jv, w))


def _bound(op: Operator, apart: list[complex], u: Array, v: Array, jv: Array, w: Array) -> float:
    """What rounding explains: a quantile of what is measured, and at least u sqrt(n) (||u|| ||J v|| + ||J^T u|| ||v||)."""
    n = max(op.space.size, op.out.size)
    with np.errstate(all="ignore"):
        # of the products what the other vector meets
        floor = _rounding(op) * (_norm(u) * _norm(jv[u != 0]) + _norm(w[v != 0]) * _norm(v))
        # the smallest numbers are rounded to multiples of the spacing at 0
        floor += n * float(np.finfo(np.float32 if op.unit > 2.0**-40 else np.float64).smallest_subnormal)
        noise = float(np.std(np.array(apart), ddof=1)) if len(apart) > 3 else 0.0
        bound = float(floor + quantile(len(apart) - 1) * noise)
    return bound if np.isfinite(bound) else np.inf


def _rounding(op: Operator) -> float:
    """The relative rounding of a sum of as many terms as there are entries, and of each term."""
    return op.unit * float(SYSTEMATIC + np.sqrt(max(op.space.size, op.out.size)))


def _norm(a: Array) -> float:
    size = np.abs(a).astype(np.float64)
    most = float(size.max(initial=0.0))
    # in units of the largest: squares may overflow
    return most * float(np.sqrt(((size / most) ** 2).sum())) if 0 < most < np.inf else most


def _vector(space: Space, rng: np.random.Generator) -> Array:
    """No entry near 0, of random signs; of random phases where complex."""
    size = rng.uniform(0.5, 1.5, space.size)
    real = size * rng.choice([-1.0, 1.0], space.size)
    if not space.complex_entries.any():
        return real
    return np.where(space.complex_entries, size * np.exp(2j * np.pi * rng.uniform(size=space.size)), real)


def _phase(jv: Array, op: Operator, rng: np.random.Generator) -> Array:
    """The sign, or the phase, by which u J v is positive; a random one where J v is 0."""
    size = np.abs(jv)
    with np.errstate(all="ignore"):
        known = np.where(size > 0, jv / np.where(size > 0, size, 1), rng.choice([-1.0, 1.0], jv.size))
    known = known if op.bilinear is False else known.conj()
    return known if op.out.complex_entries.any() else known.real


def _equal(vector: Array, factor: Array) -> Array:
    """The vector over the size of what it is multiplied by, so that every product has about the same size; as is beside 0."""
    size = np.abs(factor).astype(np.float64)
    known = np.isfinite(size) & (size > 0)
    return vector / np.where(known, size, 1.0)


def _moved(a: Array, share: float, rng: np.random.Generator) -> Array:
    """Every entry changed by one unit in the last place up or down, or by a random share of it."""
    if share:
        return (a * (1 + share * rng.uniform(-1, 1, a.size))).astype(a.dtype)
    if a.dtype.kind == "c":
        return (_moved(a.real, 0.0, rng) + 1j * _moved(a.imag, 0.0, rng)).astype(a.dtype)
    # 0 stays 0: the entries of another class
    return np.where(a == 0, a, np.nextafter(a, rng.choice([-np.inf, np.inf], a.size).astype(a.dtype)))
