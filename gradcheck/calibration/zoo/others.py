"""The same zoo read by other tools that estimate their own error: how often is the true error beyond the estimate?"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np

from gradcheck.calibration.histogram import Histogram
from gradcheck.calibration.zoo.asked import MATCH_AT, Answer, answer
from gradcheck.calibration.zoo.draw import FAMILIES, Name, instance, name
from gradcheck.calibration.zoo.instance import Array, Instance
from gradcheck.errors import BadInput
from gradcheck.views.layout import Table

Line: TypeAlias = Callable[[float], float]


class Reading(NamedTuple):
    """A derivative, what its tool says of its error, and how many evaluations it took."""

    value: float
    error: float
    evaluations: float


def _counted(line: Line) -> tuple[Line, list[float]]:
    points: list[float] = []

    def fun(at: float) -> float:
        points.append(at)
        return line(at)

    return fun, points


def textbook(line: Line, x: float) -> Reading:
    """Central differences with the usual step; its error is taken from a step twice as large, as textbooks advise."""
    step = float(np.cbrt(np.finfo(float).eps)) * max(abs(x), 1.0)
    near, far = ((line(x + h) - line(x - h)) / (2 * h) for h in (step, 2 * step))
    return Reading(near, abs(near - far), 4)


def scipy_derivative(line: Line, x: float) -> Reading:
    """``scipy.differentiate.derivative`` with its own settings."""
    derivative = importlib.import_module("scipy.differentiate").derivative
    r = derivative(np.vectorize(line, otypes=[float]), x)
    return Reading(float(r.df), float(r.error), float(r.nfev))


def numdifftools_derivative(line: Line, x: float) -> Reading:
    """``numdifftools.Derivative`` with its own settings."""
    numdifftools = importlib.import_module("numdifftools")
    fun, points = _counted(line)
    # up to 0.9 the value and what belongs to it, later one tuple that begins with the value and the error
    value, info, *_ = numdifftools.Derivative(np.vectorize(fun, otypes=[float]), full_output=True)(x)
    return Reading(float(np.squeeze(value)), float(np.squeeze(getattr(info, "error_estimate", info))), len(points))


def jacobi_derivative(line: Line, x: float) -> Reading:
    """``jacobi.jacobi`` with its own settings."""
    jacobi = importlib.import_module("jacobi").jacobi
    fun, points = _counted(line)
    value, error = jacobi(fun, x)
    return Reading(float(value), float(error), len(points))


TOOLS: dict[str, Callable[[Line, float], Reading]] = {
    "textbook": textbook,
    "scipy": scipy_derivative,
    "numdifftools": numdifftools_derivative,
    "jacobi": jacobi_derivative,
}
OWN = "gradcheck"
Column: TypeAlias = tuple[str, bool]


@dataclass
class Read:
    """What a tool said of the derivatives."""

    asked: int = 0
    none: int = 0  # it raised an error, or gave no number or no finite estimate
    beyond: int = 0  # the true error is larger than the estimate
    far_beyond: int = 0  # ten times as large
    useful: int = 0  # the estimate is below match_at / 2 of the derivative
    useful_wrong: int = 0  # and the true error beyond it
    tightness: Histogram = field(default_factory=Histogram)
    evaluations: float = 0.0

    def add(self, reading: Reading | None, correct: float) -> None:
        """Count one derivative."""
        self.asked += 1
        if reading is None or not (np.isfinite(reading.value) and np.isfinite(reading.error)):
            self.none += 1
            self.evaluations += reading.evaluations if reading else 0
            return
        error = abs(reading.value - correct)
        rounding = float(np.spacing(abs(correct))) / 2  # of the stored value
        beyond = error > reading.error + rounding
        self.evaluations += reading.evaluations
        self.beyond += beyond
        self.far_beyond += error > 10 * reading.error + rounding
        useful = reading.error <= MATCH_AT / 2 * abs(reading.value)
        self.useful += useful
        self.useful_wrong += useful and beyond
        if error > 0:
            self.tightness.add(np.array([max(reading.error, 1e-300) / error]))

    def merge(self, other: Read) -> None:
        """Add the counts of another."""
        for key in ("asked", "none", "beyond", "far_beyond", "useful", "useful_wrong", "evaluations"):
            setattr(self, key, getattr(self, key) + getattr(other, key))
        self.tightness = Histogram.merged([self.tightness, other.tightness])


def require_tools() -> None:
    """Raise BadInput where a tool is missing."""
    for module in ("scipy.differentiate", "numdifftools", "jacobi"):
        try:
            importlib.import_module(module)
        except ImportError:
            raise BadInput(f"--others needs {module}: pip install 'gradcheck[zoo,bench]'") from None


def compared(n: int, seed: int = 0, families: Sequence[str] = (), processes: int = 2) -> dict[Column, Read]:
    """What each tool says of n derivatives of the zoo, one of an instance; smooth biases and kinks at x are left out.

    By the tool, and by whether noise was added to the function or its weights were scaled.
    """
    chosen = list(families) or sorted(FAMILIES)
    wanted = [(family, seed * 10_000 + k) for k in range(-(-n // len(chosen))) for family in chosen][:n]
    total: dict[Column, Read] = {}
    with ProcessPoolExecutor(processes) as pool:
        for found in pool.map(_of_one, wanted, chunksize=8):
            for column, read in found.items():
                total.setdefault(column, Read()).merge(read)
    return total


def _of_one(wanted: tuple[str, int]) -> dict[Column, Read]:
    found: dict[Column, Read] = {}
    for named, of, weight in _instances(*wanted):
        line, x, correct = _line(of, weight), float(of.x[weight]), float(of.correct[weight])
        disturbed = (named.noise, named.scale) != ("none", "one")
        found = {(tool, disturbed): Read() for tool in (OWN, *TOOLS)}
        one = answer(named, of)
        if isinstance(one, Answer):
            own = Reading(float(one.numeric[weight]), float(one.bound[weight]), one.nfev / of.x.size)
            found[OWN, disturbed].add(own, correct)
        for tool, read in TOOLS.items():
            found[tool, disturbed].add(_read(read, line, x), correct)
    return found


def _instances(family: str, seed: int) -> Iterator[tuple[Name, Instance, int]]:
    named = name(family, seed)
    of = instance(*named)
    weight = int(np.random.default_rng([seed, 3]).integers(of.x.size))
    if not (of.bias or of.kinks) and np.isfinite(of.correct[weight]):
        yield named, of, weight


def _line(of: Instance, weight: int) -> Line:
    def fun(at: float) -> float:
        x: Array = of.x.copy()
        x[weight] = at
        return of.fun(x)

    return fun


def _read(read: Callable[[Line, float], Reading], line: Line, x: float) -> Reading | None:
    """What a tool says; None where it raises an error."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return read(line, x)
        except Exception:  # each tool has errors of its own
            return None


def tables(reads: dict[Column, Read]) -> list[Table]:
    """The tools side by side: on functions as they are, and with noise or on other scales."""
    titles = {False: "functions as they are", True: "with noise, or weights on other scales"}
    return [
        _table(title, {t: read for (t, d), read in reads.items() if d == disturbed})
        for disturbed, title in titles.items()
    ]


def _table(title: str, reads: dict[str, Read]) -> Table:
    rows = []
    for tool, read in reads.items():
        given = read.asked - read.none
        rows.append(
            [
                tool,
                read.asked,
                _percent(read.none, read.asked),
                _percent(read.beyond, given),
                _percent(read.far_beyond, given),
                _percent(read.useful, read.asked),
                _percent(read.useful_wrong, read.useful),
                read.tightness.quantile(0.5),
                round(read.evaluations / max(1, read.asked), 1),
            ]
        )
    header = ["tool", "derivatives", "no estimate", "error beyond it", "10 times beyond", "estimate below 0.5%"]
    header += ["of these beyond", "estimate / error, median", "evaluations"]
    return Table(f"true errors and the estimates of the tools: {title}", header, rows, left=frozenset({"tool"}))


def _percent(count: int, of: int) -> str:
    return f"{count / of:.1%}" if of else "-"
