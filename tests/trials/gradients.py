"""Random gradients with what is measured of them, of shapes that people have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcheck.numerics.diagnosis.diagnose import diagnose
from gradcheck.numerics.diagnosis.kinds import Diagnosis
from gradcheck.numerics.layout import Layout
from gradcheck.numerics.quotients import Estimate
from gradcheck.numerics.rounding import Rounding
from gradcheck.numerics.verdict import judge

Array = np.ndarray
Random = np.random.Generator


@dataclass(frozen=True)
class Checked:
    """A wrong gradient of somebody's own function, and what was measured of it."""

    layout: Layout
    theta: Array
    analytic: Array
    numeric: Array
    bound: Array
    n: int | None = None
    n_classes: int | None = None

    def diagnosis(self) -> Diagnosis:
        """What the package says of it."""
        m = self.layout.size
        zero = np.zeros(m)
        with np.errstate(all="ignore"):
            estimate = Estimate(
                np.ones(m), self.numeric, self.bound, zero, zero, np.ones(m, dtype=bool), np.zeros(m, dtype=bool)
            )
            rounding = Rounding(0.0, zero, zero, zero, np.ones(m), 2.0**-53)
            verdicts = judge(self.analytic, estimate, rounding, np.arange(m), 1e-2, False)
        return diagnose(self, self.numeric, verdicts)


@dataclass(frozen=True)
class Truth:
    """A true gradient g at theta, and the numeric one within its bound."""

    layout: Layout
    theta: Array
    g: Array
    bound: Array

    def checked(self, analytic: Array, rng: Random, g: Array | None = None) -> Checked:
        """The wrong gradient beside a measurement of g; a slope of 0 is measured as 0."""
        g = self.g if g is None else g
        numeric = np.where(g == 0, 0.0, g + self.bound * rng.uniform(-0.9, 0.9, len(g)))
        return Checked(self.layout, self.theta, analytic, numeric, self.bound)


def draw(rng: Random, layout: Layout) -> Truth:
    """Weights and slopes of a common size each, which is not 1, and bounds of 4 to 12 digits below it."""
    m = layout.size
    g = rng.normal(size=m) * 10.0 ** rng.uniform(-3, 3)
    theta = rng.normal(size=m) * 10.0 ** rng.uniform(-1, 1)
    return Truth(layout, theta, g, np.full(m, 10.0 ** rng.uniform(-12, -6) * float(np.abs(g).max())))


def vector(rng: Random) -> Layout:
    return Layout(("x",), ((int(rng.integers(4, 40)),),))


def matrix(rng: Random, least: int = 3) -> Layout:
    return Layout(("W",), (tuple(int(k) for k in rng.integers(least, 9, 2)),))


def square(rng: Random) -> Layout:
    k = int(rng.integers(3, 8))
    return Layout(("S",), ((k, k),))


def net(rng: Random) -> Layout:
    d, h, k = (int(v) for v in rng.integers(3, 6, 3))
    return Layout(("W1", "b1", "W2", "b2"), ((d, h), (h,), (h, k), (k,)))


def any_layout(rng: Random) -> Layout:
    return [vector, matrix, square, net][rng.integers(4)](rng)


def image(rng: Random) -> Layout:
    return Layout(("K",), (tuple(int(k) for k in (*rng.integers(1, 4, 2), *rng.integers(3, 6, 2))),))


def sequence(rng: Random) -> Layout:
    return Layout(("x",), (tuple(int(k) for k in rng.integers(3, 6, 3)),))


def relative_noise(t: Truth, rng: Random) -> Array:
    return t.g * (1 + rng.uniform(0.01, 2) * rng.normal(size=len(t.g)))


def additive_noise(t: Truth, rng: Random) -> Array:
    return t.g + rng.uniform(0.01, 1) * float(np.abs(t.g).max()) * rng.normal(size=len(t.g))
