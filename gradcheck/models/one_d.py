"""One parameter, one curve: the exercise with which courses begin."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gradcheck.models.batch import Batch
from gradcheck.models.handwritten import Handwritten
from gradcheck.models.in_full import InFull
from gradcheck.models.parts import TEXTBOOK, Parts
from gradcheck.models.settings import require_choice, require_finite, require_not_negative
from gradcheck.models.symbols import Equations, Symbols, plus
from gradcheck.models.target import NoTarget
from gradcheck.numerics.layout import Layout
from gradcheck.numerics.problem import Crossings
from gradcheck.numerics.rounding import Rounding, unit_roundoff

Array = np.ndarray
LAYOUT = Layout(("theta",), ((),))


class Curve(NamedTuple):
    """f(s), f'(s), f''(s) and whether f has a kink at 0."""

    value: Callable[[Array], Array]
    derivative: Callable[[Array], Array]
    second: Callable[[Array], Array]
    kinked: bool = False


CURVES: dict[str, Curve] = {
    "linear": Curve(lambda s: s, np.ones_like, np.zeros_like),
    "quadratic": Curve(lambda s: s * s, lambda s: 2 * s, lambda s: 2 * np.ones_like(s)),
    "cubic": Curve(lambda s: s * s * s, lambda s: 3 * s * s, lambda s: 6 * s),
    "exp": Curve(np.exp, np.exp, np.exp),
    "sin": Curve(np.sin, np.cos, lambda s: -np.sin(s)),
    # the derivative at the kink is 0 by convention, as that of relu
    "abs": Curve(np.abs, np.sign, np.zeros_like, True),
}


@dataclass
class OneD(Handwritten):
    """J(theta) = f(theta x) + l2 / 2 theta**2 with dJ/dtheta = x f'(theta x) + l2 theta.

    ``curve`` names f: linear s, quadratic s**2, cubic s**3, exp, sin, abs.
    """

    curve: str = "linear"
    x: float = 2.0
    l2: float = 0.0

    name = "one_d"

    @property
    def kink(self) -> str | None:
        return self.curve if CURVES[self.curve].kinked else None

    @property
    def target(self) -> NoTarget:
        return NoTarget()

    def validate(self) -> None:
        """Raise ValueError, naming the key, unless every setting has an allowed value."""
        require_choice("model.curve", self.curve, tuple(CURVES))
        require_finite("model.x", self.x)
        require_not_negative("model.l2", self.l2)

    def layout(self, batch: Batch) -> Layout:
        """One scalar parameter, theta."""
        return LAYOUT

    def argument(self, theta: Array) -> Array:
        """theta x, in theta's dtype."""
        return theta * theta.real.dtype.type(self.x)

    def loss(self, theta: Array, batch: Batch) -> Array:
        """J at theta, shape (1,); scalar of theta's dtype."""
        j = CURVES[self.curve].value(self.argument(theta[0]))
        return j + self.l2 / 2 * (theta[0] * theta[0]) if self.l2 else j

    def gradient(self, theta: Array, batch: Batch, parts: Parts = TEXTBOOK) -> Array:
        """dJ/dtheta, shape (1,), made of ``parts``."""
        x = theta.dtype.type(self.x)
        slope = parts.data_term(np.asarray(x * CURVES[self.curve].derivative(self.argument(theta[0]))))
        gradient = slope + parts.penalty("theta", theta[0], self.l2)
        return np.asarray(gradient, dtype=theta.dtype).reshape(1)

    def equations(self, symbols: Symbols) -> Equations:
        slope = symbols.step("data_term", gradient="x f'(theta x)")
        return Equations({"dtheta": plus(slope, symbols.step("penalty", W="theta"))}, {}, "dtheta")

    def rounding(self, theta: Array, batch: Batch) -> Rounding:
        """Rounding errors of ``loss`` and ``gradient`` at ``theta``: two units each for the argument and the curve."""
        u = unit_roundoff(theta.dtype)
        curve, x, t = CURVES[self.curve], float(self.x), np.asarray(theta[0], np.float64)
        s = x * t
        f, d, d2 = (float(np.abs(part(s))) for part in (curve.value, curve.derivative, curve.second))
        size, penalty = abs(float(s)), self.l2 / 2 * float(t * t) if self.l2 else 0.0
        loss = u * math.hypot(d * size, 2 * f, 2 * penalty, f + penalty)
        gradient = u * math.hypot(abs(x) * d2 * size, 2 * abs(x) * d, 2 * self.l2 * abs(float(t)))
        length = 1 / abs(x) if x else 1.0
        if self.curve in ("cubic", "abs") and t:
            length = min(length, abs(float(t)))  # s**3 has no scale but s, and the kink of |s| lies that far
        return Rounding(loss, np.array([loss]), np.array([gradient]), np.zeros(1), np.array([length]), u)

    def perturbation(self, theta: Array, batch: Batch) -> CurveNear:
        """The curve near ``theta``."""
        return CurveNear(self, theta, batch)


class CurveNear(InFull):
    """The curve around one theta, shape (1,)."""

    def __init__(self, model: OneD, theta: Array, batch: Batch) -> None:
        super().__init__(model.loss, theta, batch)
        self.model = model
        self._argument = model.argument(theta[0])

    @property
    def _jump(self) -> int:
        """Of the slope of |s| at 0, seen from here; at the kink itself the convention f' = 0 makes it 1 on either side."""
        return 2 if self._argument else 1

    def bent(self, point: Array) -> float:
        """How far the kink of ``abs`` has bent the loss at another theta."""
        s = self.model.argument(point[0])
        crossed = not self.model.smooth and np.sign(s) != np.sign(self._argument)
        return float(np.abs(s) * self._jump) if crossed else 0.0

    def crossings(self, index: Array, reach: Array) -> Crossings:
        """The kink of ``abs``, if steps up to ``reach`` (1,) cross it."""
        x = abs(float(self.model.x))
        distance = np.full(1, abs(float(self._argument)) / x if x else np.inf)
        row = np.flatnonzero((distance <= reach) & (not self.model.smooth))
        side = -np.sign(float(self._argument) * float(self.model.x))
        return Crossings(row, distance[row], np.full(len(row), self._jump * x), np.full(len(row), side))
