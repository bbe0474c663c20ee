"""The evidence of a diagnosis: both gradients, their bounds, theta, and the layers and biases that names tell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from gradcheck.numerics.layout import Layout
from gradcheck.numerics.verdict import STORAGE, Judgement

Array = np.ndarray


class Claim(Protocol):
    """The part of a problem that a diagnosis reads; ``n`` examples and ``n_classes`` may be unknown."""

    @property
    def layout(self) -> Layout: ...
    @property
    def theta(self) -> Array: ...
    @property
    def analytic(self) -> Array: ...
    @property
    def n(self) -> int | None: ...
    @property
    def n_classes(self) -> int | None: ...


@dataclass(frozen=True)
class Evidence:
    """What a hypothesis may read; arrays have one entry for each weight of theta, float64.

    a, n, bound : the analytic and the numeric gradient and the bound, divided by 2**exponent, so that the largest is near 1
        and no product overflows.
    theta : the weights, divided by 2**exponent_theta.
    raw : the analytic gradient as given, in its own dtype.
    judged : where gradients and bound are finite, bool.   wrong : where the verdict is mismatch, bool.
    agree : where the verdict is match, bool.
    unit : unit roundoff of the gradients, at least that of float64.
    examples, classes : how many there are; None where unknown.
    besides : parameters that are wrong too and are left out here, as consequences of what is wrong above them may be.
    """

    layout: Layout
    a: Array
    n: Array
    bound: Array
    theta: Array
    exponent: int
    exponent_theta: int
    raw: Array
    judged: Array
    wrong: Array
    agree: Array
    unit: float
    examples: int | None
    classes: int | None
    besides: tuple[str, ...] = ()

    @cached_property
    def bias(self) -> Array:
        """Which weights belong to a bias."""
        return self.among([name for name in self.layout.names if is_bias(name)])

    @cached_property
    def broken(self) -> tuple[str, ...]:
        """The parameters with a wrong weight."""
        return tuple(name for name, where in self.layout.slices.items() if self.wrong[where].any())

    @cached_property
    def others_right(self) -> bool:
        """Whether some parameter has a weight that agrees and no wrong one, and none is left out."""
        if self.besides:
            return False
        slices = self.layout.slices
        return any(self.agree[slices[name]].any() for name in self.layout.names if name not in self.broken)

    @cached_property
    def names(self) -> dict[float, str]:
        """Factors with a name, and their meaning: -1, 2, 1/2, the numbers of examples and classes and their inverses."""
        found = {-1.0: "", 2.0: "", 0.5: ""}
        for count, meaning in ((self.examples, "number of examples"), (self.classes, "number of classes")):
            if count is not None and count > 1:
                for value in (float(count), 1 / count):
                    known = found.get(value)
                    found[value] = f"{known} and the {meaning}" if known else f"the {meaning}"
        return found

    @cached_property
    def counted(self) -> Array:
        """The judged weights at which at least one of both gradients is not 0."""
        return self.judged & ((self.a != 0) | (np.abs(self.n) > self.bound))

    @cached_property
    def flat(self) -> Array:
        """The judged weights at which the loss has exactly no slope."""
        return self.judged & (self.n == 0)

    @cached_property
    def faint(self) -> Array:
        """Where the difference is below ten bounds, so that not one digit of it is known."""
        return np.abs(self.a - self.n) < 10 * self.bound

    def without(self, names: tuple[str, ...]) -> Evidence:
        """The evidence on all parameters but these, which are wrong too."""
        left = self.among(names)
        return replace(
            self, judged=self.judged & ~left, wrong=self.wrong & ~left, agree=self.agree & ~left, besides=names
        )

    def per_theta(self, d: float) -> float:
        """A fitted multiple of theta in the units of the problem."""
        return float(np.ldexp(d, self.exponent - self.exponent_theta))

    def among(self, names: Sequence[str]) -> Array:
        """Mask of the weights of these parameters."""
        mask = np.zeros(self.layout.size, dtype=bool)
        for name in names:
            mask[self.layout.slices[name]] = True
        return mask

    def fraction_wrong(self, where: Array) -> float:
        """The share of wrong weights among those of ``where`` that are ``counted``."""
        counted = where & self.counted
        return float(self.wrong[counted].mean()) if counted.any() else 0.0


def is_bias(name: str) -> bool:
    """Whether a parameter is called like a bias: b, b1, b_2, bias, layer1.bias …"""
    last = re.split(r"[^A-Za-z0-9_]+", name)[-1] or name
    return re.fullmatch(r"b_?\d*|\w*bias(es)?_?\d*", last, re.IGNORECASE) is not None


def layers(layout: Layout) -> dict[str, int] | None:
    """The layer of each parameter, 1 at the input, from the numbers in the names; None with fewer than two layers.

    A name without a number is below all layers where it stands before the first one, as an embedding does, and above all where
    it stands after the last one, as an output layer does.
    """
    numbers = {name: re.findall(r"\d+", name) for name in layout.names}
    # a number in a name may be longer than Python converts to int
    keys = {name: (len(found[-1].lstrip("0")), found[-1].lstrip("0")) for name, found in numbers.items() if found}
    order = sorted(set(keys.values()))
    numbered = [place for place, name in enumerate(layout.names) if name in keys]
    found = {name: 1 + order.index(key) for name, key in keys.items()}
    for place, name in enumerate(layout.names):
        if name not in found:
            if (numbered and numbered[0] < place < numbered[-1]) or not numbered:
                return None
            found[name] = 0 if place < numbered[0] else len(order) + 1
    return found if len(set(found.values())) > 1 else None


def gather(problem: Claim, numeric: Array, judged: Judgement, index: Array | None = None) -> Evidence:
    """The evidence on all of theta, scaled to magnitudes near 1."""
    size = problem.layout.size
    rows = np.arange(size) if index is None else np.asarray(index)
    n, bound = np.full(size, np.nan), np.full(size, np.inf)
    wrong, agree = np.zeros(size, dtype=bool), np.zeros(size, dtype=bool)
    n[rows], bound[rows] = numeric, judged.bound
    wrong[rows], agree[rows] = judged.verdict == "mismatch", judged.verdict == "match"
    a = problem.analytic.astype(np.float64)
    known = np.isfinite(n) & np.isfinite(bound) & np.isfinite(a)
    # without the part of the bound for storing a, which is large where a is far too large and says nothing of n
    bound = np.fmax(bound - STORAGE * np.abs(a), STORAGE * np.abs(n))
    a, n, bound = np.where(np.isfinite(a), a, 0.0), np.where(known, n, 0.0), np.where(known, bound, np.inf)
    theta = problem.theta.astype(np.float64)
    theta = np.where(np.isfinite(theta), theta, 0.0)
    size_a, size_theta = _exponent(np.append(a, n)), _exponent(theta)
    return Evidence(
        problem.layout,
        np.ldexp(a, -size_a),
        np.ldexp(n, -size_a),
        np.ldexp(bound, -size_a),
        np.ldexp(theta, -size_theta),
        size_a,
        size_theta,
        problem.analytic,
        known,
        wrong & known | wrong & ~np.isfinite(problem.analytic.astype(np.float64)),
        agree & known,
        max(float(np.finfo(problem.theta.dtype).eps) / 2, STORAGE),
        problem.n,
        problem.n_classes,
    )


def _exponent(x: Array) -> int:
    return int(np.frexp(np.abs(x).max(initial=0.0))[1])
