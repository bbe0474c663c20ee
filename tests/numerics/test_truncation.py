"""Bounds hold whatever the errors of the losses are, within what is allowed for rounding and kinks: simulated errors.

Of many bounds the least is taken, so that each of them must be one.  Errors of the usual size would hardly ever show that.
Here every third error is as large as it may be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from exact import EXTENDED, REAL, bound, error

from gradcheck.numerics import ladder
from gradcheck.numerics.auto import auto
from gradcheck.numerics.bounds import fixed
from gradcheck.numerics.ladder import CENTRAL, Ladder, truncations
from gradcheck.numerics.problem import Evaluations
from gradcheck.numerics.quotients import DEVIATIONS, Estimate, Probe, Quotients
from gradcheck.numerics.rounding import Rounding
from gradcheck.numerics.schemes import Scheme

STEPS = np.logspace(-7, -0.5, 27)


def extremes(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers between -1 and 1, a third of which are -1 or 1."""
    return np.clip(rng.uniform(-1.5, 1.5, shape), -1, 1)


@pytest.mark.parametrize("start", [1e-4, 1e-2, 1.0, 1e2])
@pytest.mark.parametrize("kinked", [False, True])
def test_bounds_of_a_ladder_hold_whatever_the_errors_of_its_steps_are(start: float, kinked: bool) -> None:
    """Quotients T r**(2 k) + e_k, where each e_k is anything up to the noise, which falls with the step, and the kinks.

    start : the truncation T of the smallest step, in units of its noise.
    """
    rng, steps, gain = np.random.default_rng(int(1e6 * start)), 5, CENTRAL.ratio**CENTRAL.order
    noise = np.broadcast_to(CENTRAL.ratio ** -np.arange(steps, dtype=float), (4000, steps))
    # a third of the steps cross none
    kink = np.maximum(rng.uniform(-1, 2, noise.shape), 0) * start * gain ** np.arange(steps) * kinked
    off = start * gain ** np.arange(steps) + extremes(rng, noise.shape) * noise + extremes(rng, noise.shape) * kink
    nothing = np.zeros(noise.shape)
    found = Quotients(off, noise, kink, nothing, nothing == 0, nothing > 0)
    multiples = CENTRAL.ratio ** np.arange(steps, dtype=float)
    none = np.zeros(len(noise), dtype=bool)
    limit = noise + kink + truncations(multiples, found, CENTRAL, np.full(len(noise), np.inf), none, nothing)
    # 1e-12: the sums here are rounded
    assert (np.abs(off) <= limit * (1 + 1e-12)).all()


@dataclass
class Simulated:
    """Losses 1 + sum_j c_j t**j / j! along m weights at 0, with errors: the scale of each is 1, its derivative c_1.

    The third derivative is often small by chance, as where the examples' shares of it cancel.  Some weights have a kink.
    """

    scheme: Scheme
    unit: float
    m: int = 3000

    def __post_init__(self) -> None:
        rng = self.rng = np.random.default_rng(3)
        self.c = rng.uniform(-1, 1, (self.m, 10))
        self.c[:, 0] = 1
        self.c[:, 3] *= 10.0 ** -rng.uniform(0, 8, self.m)
        self.kink = 10.0 ** rng.uniform(-3, 0, self.m)
        self.jump = rng.choice([-1, 1, 0, 0, 0, 0], self.m) * 10.0 ** rng.uniform(-6, 0, self.m)
        self.dtype = np.dtype(float if self.unit > 1e-10 else np.longdouble)
        # much more than the losses here are rounded themselves
        self.deviation = self.unit / 2
        # all points may err at once: then the quotient errs by as many deviations as are allowed for, less 1% for own rounding
        shares = np.array([abs(float(p.weight)) / (p.high - p.low) for p in self.scheme.pairs])
        self.most = 0.99 * DEVIATIONS * self.deviation * math.sqrt((shares**2).sum() / 2) / shares.sum()
        center = self._with_errors(np.ones(self.m, self.dtype))
        rounding = Rounding(
            self.deviation,
            np.full(self.m, self.deviation),
            np.zeros(self.m),
            np.zeros(self.m),
            np.ones(self.m),
            self.unit,
        )
        self.probe = Probe(np.zeros(self.m, self.dtype), center, self._losses, self._derivative, rounding)

    def _with_errors(self, losses: np.ndarray) -> np.ndarray:
        return losses + (self.most * extremes(self.rng, losses.shape)).astype(losses.dtype)

    def _losses(self, index: np.ndarray, points: np.ndarray) -> Evaluations:
        terms = (self.c[index] / [math.factorial(j) for j in range(self.c.shape[1])]).astype(self.dtype)
        smooth = np.zeros(points.shape, self.dtype)
        for term in terms.T[::-1]:
            smooth = smooth * points + term[:, None]
        bent = self.jump[index, None] * np.maximum(points - self.kink[index, None], 0)
        return Evaluations(self._with_errors(smooth + bent), np.abs(bent).astype(float))

    @staticmethod
    def _derivative(index: np.ndarray, h: np.ndarray) -> np.ndarray:
        raise NotImplementedError("of no complex step")

    def beyond(self, estimate: Estimate) -> np.ndarray:
        """Which errors exceed their bounds."""
        # where all of an error is noise, the two are equal but for their own rounding
        return error(estimate, self.c[:, 1]) > bound(estimate) * (1 + 1e-9)


UNITS = [2.0**-24, pytest.param(2.0**-53, marks=EXTENDED)]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("scheme", REAL, ids=lambda s: s.name)
def test_bounds_hold_whatever_the_errors_of_the_losses_are(scheme: Scheme, unit: float) -> None:
    losses = Simulated(scheme, unit)
    index = np.arange(losses.m)
    with np.errstate(all="ignore"):
        chosen = auto(losses.probe, scheme, index)
        given = [fixed(losses.probe, scheme, eps, index) for eps in STEPS]
    assert not losses.beyond(chosen).any()
    assert [losses.beyond(one).sum() for one in given] == [0] * len(STEPS)
    # wide bounds hold easily
    excess = bound(chosen) / np.min([bound(one) for one in given], axis=0)
    assert excess[losses.jump == 0].max() < 3


def wrong(losses: Simulated) -> int:
    with np.errstate(all="ignore"):
        return losses.beyond(auto(losses.probe, losses.scheme, np.arange(losses.m))).sum()


def test_a_step_near_the_scale_of_the_loss_shows_no_truncation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "LARGEST_TRUSTED", 0.5)
    monkeypatch.setattr(Ladder, "neglected", lambda self, probe, step, slope: np.zeros(step.shape))
    assert wrong(Simulated(CENTRAL, 2.0**-24)) > 5


@EXTENDED
def test_nor_does_one_far_above_the_noise_where_the_first_term_is_small_by_chance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Ladder, "neglected", lambda self, probe, step, slope: np.zeros(step.shape))
    assert wrong(Simulated(CENTRAL, 2.0**-53)) > 5
