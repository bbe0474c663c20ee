"""What is known of a Hessian that is wrong, and whether a hypothesis explains all of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gradcheck.functions.second_order.entries import Labels
from gradcheck.functions.wording import ratio
from gradcheck.numerics.diagnosis.fits import DECADES, decades_of, tolerance_of
from gradcheck.numerics.rounding import unit_roundoff

Array = np.ndarray

# Factors with a name, from the commonest.
NAMED = (-1.0, 2.0, 0.5, 0.0, -2.0, -0.5)
UNIT = unit_roundoff(np.dtype(np.float64))


@dataclass(frozen=True, eq=False)
class Evidence:
    """The Hessian that is claimed, the differences, their bounds, and which entries are wrong; each (n, n).

    bound : infinite where an entry was not judged.   theta : the flat x.   asymmetric : entries unlike their transpose.
    """

    a: Array
    n: Array
    bound: Array
    wrong: Array
    asymmetric: Array
    theta: Array
    labels: Labels

    @property
    def size(self) -> int:
        return len(self.a)

    @cached_property
    def judged(self) -> Array:
        """Where both are finite and a bound is known."""
        return np.isfinite(self.a) & np.isfinite(self.n) & np.isfinite(self.bound)

    @cached_property
    def counted(self) -> Array:
        """The judged entries that are not 0."""
        return self.judged & ((self.a != 0) | (np.abs(self.n) > self.bound))

    def holds(self, factors: Array, free: int = 0) -> bool:
        """Whether a = factors n explains every judged entry, and the wrong ones to enough digits."""
        c, a, n, bound = (x[self.judged] for x in (factors, self.a, self.n, self.bound))
        wrong = self.wrong[self.judged]
        if not wrong.any():
            return False
        tolerance = np.where(c == 0, 0.0, bound * np.abs(c) + tolerance_of(1.0, a, n, 0 * bound, UNIT))
        if not (np.abs(a - c * n) <= tolerance).all():
            return False
        found = sum(
            decades_of(value, a[some], n[some], bound[some], np.ones(int(some.sum()), bool), UNIT, free)
            for value in np.unique(c[wrong])
            for some in [wrong & (c == value)]
        )
        return found >= DECADES

    def only(self, where: Array) -> bool:
        """Whether all that is wrong lies in ``where``, and all of it that is judged and not 0 is wrong."""
        return not (self.wrong & ~where).any() and bool(self.wrong[where & self.counted].all())

    def said(self, where: Array) -> str:
        """``H[0,1], H[2,1] and 3 more``."""
        places = np.argwhere(where)
        drawn = self.a.shape[0] != self.a.shape[1]
        name = self.labels.product if drawn else self.labels.entry
        shown = [name(int(i), int(j)) for i, j in places[:4]]
        if len(places) > 4:
            return f"{', '.join(shown[:3])} and {len(places) - 3} more"
        return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


@dataclass(frozen=True)
class Found:
    """A kind, one of KINDS, and its words."""

    kind: str
    words: str


def times(c: float) -> str:
    """What a factor does to what it multiplies."""
    known = {
        -1.0: "has the wrong sign",
        2.0: "is twice what it should be",
        0.5: "is half of what it should be",
        0.0: "is 0",
        -2.0: "is twice as large and has the wrong sign",
        -0.5: "is half as large and has the wrong sign",
    }
    return known.get(c, f"is {ratio(c, 1.0)} times what it should be")


def many(words: str) -> str:
    plural = words.replace("what it should", "what they should")
    return plural.replace("has ", "have ", 1) if words.startswith("has") else plural.replace("is ", "are ", 1)
