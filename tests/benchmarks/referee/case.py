"""What a tool is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray
Fun: TypeAlias = Callable[[Array], float]
Grad: TypeAlias = Callable[[Array], Array]


@dataclass(frozen=True, eq=False)
class Case:
    """A function with the gradient that is claimed for it, at one point.

    name : what draws it again.   source : ``zoo``, ``reports`` or ``nets``.   family : of the zoo, a report or a net.
    mistake : what was planted; empty where the claim is right.
    x : (n,), in the dtype in which ``fun`` computes.   fun, grad : take (n,) and give a number and (n,), in this dtype.
    correct : (n,), float64, the right gradient at x.
    parameters : name and shape of each part of x, in order.
    kinds : the kinds of mistake, in the words of gradcheck's diagnosis, that are right for it.
    named : whether the mistake has a name: not only where it is, but what it is.
    """

    name: str
    source: str
    family: str
    point: str
    noise: str
    scale: str
    mistake: str
    x: Array
    fun: Fun
    grad: Grad
    correct: Array
    parameters: tuple[tuple[str, tuple[int, ...]], ...]
    kinds: frozenset[str] = frozenset()
    named: bool = False

    @property
    def dtype(self) -> str:
        """float64 or float32."""
        return str(self.x.dtype)

    @cached_property
    def claim(self) -> Array:
        """(n,), float64: the claimed gradient at x."""
        return np.asarray(self.grad(self.x), dtype=float)

    @cached_property
    def off(self) -> Array:
        """(n,): by how much each entry of the claim is wrong."""
        return np.abs(self.claim - self.correct)

    @cached_property
    def size(self) -> float:
        """The largest error of the claim over the size of its entry; 0 of a right one."""
        if not self.mistake:
            return 0.0
        larger = np.maximum(np.abs(self.claim), np.abs(self.correct))
        return float(np.max(np.divide(self.off, larger, out=np.zeros_like(larger), where=larger > 0), initial=0.0))


@dataclass(frozen=True)
class Answer:
    """What a tool says of a claim.

    accused : whether it calls the claim wrong.   said : its words.
    score : by how much the worst comparison exceeds what is allowed, where the tool has such a figure: above 1 it accuses.
    entry : the flat index of the entry that it names, None where it names none.
    size : whether it says how large the error is, or both derivatives.   cause : the kind of mistake that it names.
    verdict, resolution, missed : of a tool that has verdicts of its own; ``missed`` counts errors above its resolution.
    """

    accused: bool
    said: str
    score: float | None = None
    entry: int | None = None
    size: bool = False
    cause: str | None = None
    verdict: str | None = None
    resolution: float | None = None
    missed: int | None = None
    numeric: tuple[float, ...] | None = None


Check: TypeAlias = Callable[[Case], Answer]


@dataclass(frozen=True)
class Tool:
    """A tool that checks gradients.

    name : its row.   package : the distribution that has its version; empty for one that has none.
    rule : when it accuses: its own words, or the limit that is taken because its documentation names none.
    check : asks it.   own : whether it is gradcheck.   version : of a tool without a distribution.
    """

    name: str
    package: str
    rule: str
    check: Check
    own: bool = False
    version: str = ""


@dataclass
class Counts:
    """Calls of the function and of the gradient."""

    fun: int = 0
    grad: int = 0


def counted(case: Case) -> tuple[Case, Counts]:
    """The same case, and the counts of its calls."""
    counts = Counts()

    def fun(x: Array) -> float:
        counts.fun += 1
        return case.fun(x)

    def grad(x: Array) -> Array:
        counts.grad += 1
        return case.grad(x)

    return replace(case, fun=fun, grad=grad), counts


def worst(scores: Array) -> tuple[float, int]:
    """The largest score and its entry; NaN is larger than any number."""
    filled = np.where(np.isnan(scores), np.inf, scores)
    entry = int(np.argmax(filled))
    return float(filled[entry]), entry
