"""Which kind of mistake each bug of the catalogue is, in the words of a diagnosis, and where kinds coincide.

A diagnosis sees the two gradients and theta, not the code: where a bug makes the very gradient that another kind of
mistake makes, either name is right.  ``KINDS`` gives the kind of a bug as it is, ``OVERLAPS`` the kinds that hold
as well, whichever the bug is, where the wrong gradient a and the correct one g say so.  They are decided with g, which
a diagnosis never sees, and up to rounding alone.

Bugs whose kind is ``scattered`` cannot be told apart by their gradients: a - g is some vector, and which examples,
labels or random numbers made it cannot be read from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gradcheck.bugs import BUGS
from gradcheck.numerics.layout import Layout

Array = np.ndarray


class Kind(NamedTuple):
    """The kind that a bug is wherever nothing coincides, and why."""

    name: str
    why: str


KINDS = {name: Kind(bug.kind, bug.why) for name, bug in BUGS.items() if name != "none"}


@dataclass(frozen=True)
class Wrong:
    """A wrong gradient beside the correct one, flat float64, at the weights ``theta`` (all of them known exactly)."""

    layout: Layout
    theta: Array
    correct: Array
    analytic: Array

    @property
    def rounding(self) -> float:
        """What sums over the examples round: 2**-40 of the largest entry, 4096 units of float64."""
        return 2.0**-40 * float(np.abs(np.append(self.correct, self.analytic)).max(initial=0.0))

    @property
    def hit(self) -> Array:
        """The entries that differ."""
        return np.abs(self.analytic - self.correct) > self.rounding

    @property
    def broken(self) -> list[tuple[str, slice]]:
        """The parameters that differ."""
        return [(name, where) for name, where in self.layout.slices.items() if self.hit[where].any()]

    def explained(self, where: slice | Array, *columns: Array) -> bool:
        """Whether a is a linear combination of these at ``where``: least squares leaves rounding alone."""
        a = self.analytic[where]
        matrix = np.stack([column[where] for column in columns], axis=1)
        found = np.linalg.lstsq(matrix, a, rcond=None)[0]
        return bool((np.abs(a - matrix @ found) <= 4 * self.rounding).all())


@dataclass(frozen=True)
class Overlap:
    """``kind`` is right as well for any bug of ``bugs`` (all where empty) whenever ``holds``; ``why``, in words."""

    kind: str
    why: str
    holds: Callable[[Wrong], bool]
    bugs: tuple[str, ...] = ()


def _bias(name: str) -> bool:
    return name.startswith("b")


def _everywhere(w: Wrong) -> slice:
    return slice(0, w.layout.size)


def _is_multiple(w: Wrong) -> bool:
    return w.explained(_everywhere(w), w.correct)


def _is_multiple_of_data(w: Wrong) -> bool:
    weights = np.concatenate([np.full(where.stop - where.start, not _bias(n)) for n, where in w.layout.slices.items()])
    return w.explained(_everywhere(w), w.correct, w.theta * weights)


def _is_multiple_by_parameter(w: Wrong) -> bool:
    return all(w.explained(where, w.correct, *(() if _bias(name) else (w.theta,))) for name, where in w.broken)


def _is_theta_apart(w: Wrong) -> bool:
    off, t = (w.analytic - w.correct), w.theta
    rows = np.concatenate([np.arange(where.start, where.stop) for _, where in w.broken])
    beta = float(off[rows] @ t[rows]) / max(float(t[rows] @ t[rows]), np.finfo(np.float64).tiny)
    return bool((np.abs(off[rows] - beta * t[rows]) <= 4 * w.rounding).all())


def _is_penalty_alone(w: Wrong, wheres: list[tuple[str, slice]]) -> bool:
    """Whether these parameters are 0, or the weights among them one multiple of theta."""
    rows = np.concatenate([np.arange(where.start, where.stop) for _, where in wheres])
    a = w.analytic[rows]
    t = np.concatenate([w.theta[where] * (not _bias(name)) for name, where in wheres])
    d = float(a @ t) / max(float(t @ t), np.finfo(np.float64).tiny)
    # one entry is a multiple of theta whatever it is
    return not a.any() or (len(rows) > 1 and bool((np.abs(a - d * t) <= w.rounding).all()))


def _is_zero(w: Wrong) -> bool:
    return _is_penalty_alone(w, w.broken)


def _is_zero_from_a_layer_down(w: Wrong) -> bool:
    level = {name: int(name[1:]) for name in w.layout.names if name[1:].isdigit()}
    if len(level) < len(w.layout.names):
        return False
    top = max(level[name] for name, _ in w.broken)
    below = [(name, where) for name, where in w.layout.slices.items() if level[name] <= top]
    return top < max(level.values()) and _is_penalty_alone(w, below)


def _is_sorted_alike(w: Wrong) -> bool:
    gaps = (np.sort(w.analytic[where]) - np.sort(w.correct[where]) for _, where in w.broken)
    return all((np.abs(gap) <= 4 * w.rounding).all() for gap in gaps)


def _single_entries(w: Wrong) -> bool:
    return all(where.stop - where.start == 1 for _, where in w.broken)


def _is_multiple_by_slice(w: Wrong) -> bool:
    """Whether in the last matrix that is wrong each slice along some axis is a multiple of its own, and not all the same."""
    matrices = [(w.layout.shape(name), where) for name, where in w.broken if len(w.layout.shape(name)) > 1]
    if not matrices or w.explained(matrices[-1][1], w.correct):
        return False
    shape, where = matrices[-1]
    places = np.arange(where.start, where.stop).reshape(shape)
    # a slice of one entry is a multiple whatever it is
    axes = [k for k, length in enumerate(shape) if length > 1 and places.size > length]
    slices = (np.moveaxis(places, k, 0).reshape(shape[k], -1) for k in axes)
    return any(all(w.explained(rows, w.correct) for rows in some) for some in slices)


OVERLAPS: tuple[Overlap, ...] = (
    Overlap("constant_factor", "a = c g: with one weight always, with one example often", _is_multiple),
    Overlap("constant_factor", "a = c g + d W: a factor of the data term beside a penalty", _is_multiple_of_data),
    Overlap("param_factor", "a = c g in each parameter that is wrong, or c g + d W", _is_multiple_by_parameter),
    Overlap("slice_factor", "a = c g in each slice of the last matrix that is wrong", _is_multiple_by_slice),
    Overlap("l2", "a - g = beta theta in what is wrong, as in any parameter of one entry", _is_theta_apart),
    Overlap("zero_param", "what is wrong is 0, or the penalty alone, the whole parameter", _is_zero),
    Overlap(
        "bias",
        "the parameters that are wrong are biases, and wrong as a whole",
        lambda w: all(_bias(name) and (w.hit | (w.correct == 0))[where].all() for name, where in w.broken),
    ),
    Overlap("detached", "0, or the penalty alone, from a layer down", _is_zero_from_a_layer_down),
    Overlap("entries", "one entry is all that is wrong", lambda w: int(w.hit.sum()) == 1),
    Overlap("entries", "every parameter that is wrong has one entry", _single_entries),
    Overlap(
        "unknown",
        "two parameters of one entry are wrong, each by a factor and a penalty that one number cannot tell apart",
        lambda w: int(w.hit.sum()) == 2 and _single_entries(w),
        ("course_pair",),
    ),
    Overlap(
        "entries",
        "at most a third of the entries are hit",
        lambda w: 3 * int(w.hit.sum()) <= w.layout.size,
        ("relative_noise", "additive_noise"),
    ),
    Overlap(
        "mask", "what is wrong stands where the slope is 0", lambda w: bool(w.hit.any()) and not w.correct[w.hit].any()
    ),
    Overlap("zero_entries", "what is wrong is 0", lambda w: not w.analytic[w.hit].any()),
    Overlap("permutation", "the same values in another order", _is_sorted_alike),
    Overlap(
        "unknown",
        "one or two entries are wrong, too few for a pattern, and these are half of the gradient or more",
        lambda w: int(w.hit.sum()) <= 2 and 2 * int(w.hit.sum()) >= w.layout.size,
        tuple(bug for bug, kind in KINDS.items() if kind.name == "scattered"),
    ),
)


def accepted(bug: str, wrong: Wrong) -> frozenset[str]:
    """Every kind that is right for this bug in this very gradient."""
    also = (c.kind for c in OVERLAPS if (not c.bugs or bug in c.bugs) and c.holds(wrong))
    return frozenset((KINDS[bug].name, *also))
