"""Gradients whose bounds are wide: with one factor planted, and without a pattern."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from gradcheck.numerics.layout import Layout

from . import gradients

Wrong = Callable[[gradients.Truth, gradients.Random], gradients.Array]


def times(factor: float) -> Wrong:
    """The whole gradient times a factor."""
    return lambda truth, rng: factor * truth.g


def drawn(rng: gradients.Random, wrong: Wrong, noise: float) -> gradients.Checked:
    """A gradient of some weights whose bounds are 0.1 % to 100 % of the largest slope.

    wrong : what is planted.   noise : the largest error of the numeric gradient, in bounds.
    """
    small = Layout(("W", "b"), ((int(rng.integers(3, 9)), 1), (1,)))
    layout = [small, gradients.vector(rng), gradients.matrix(rng), gradients.net(rng)][rng.integers(4)]
    g = rng.normal(size=layout.size) * 10.0 ** rng.uniform(-3, 3)
    theta = rng.normal(size=layout.size) * 10.0 ** rng.uniform(-1, 1)
    bound = np.full(layout.size, 10.0 ** rng.uniform(-3, 0) * float(np.abs(g).max()))
    analytic = wrong(gradients.Truth(layout, theta, g, bound), rng)
    return gradients.Checked(layout, theta, analytic, g + bound * rng.uniform(-noise, noise, layout.size), bound, n=100)


def kinds(seed: int, count: int, wrong: Wrong, noise: float) -> Counter[str | None]:
    """The kinds of so many cases that are a mismatch in three weights or more."""
    rng, found = np.random.default_rng([seed, int(100 * noise)]), Counter[str | None]()
    while found.total() < count:
        case = drawn(rng, wrong, noise)
        if int((np.abs(case.analytic - case.numeric) > case.bound).sum()) >= 3:
            found[case.diagnosis().kind] += 1
    return found
