"""Large models: slopes along random directions in place of one difference a weight, and a search for what is wrong.

Along a direction v a loss of any number of weights is a function of one number, phi(t) = loss(theta + t v), whose slope
at 0 is v . g.  No component of v vanishes, so an error e of the gradient moves v . g by v . e, which is 0 only by a
coincidence of real numbers: one check sees an error in any entry, as long as |v_j e_j| is above its bound.  The bound
is that of every other check; of its parts only the analytic slope's rounding is new, whose deviation is
sqrt(sum (v_j s_j)**2) for entries with the deviations s_j, whatever their correlation, because the signs of v are
independent.

Where a slope is wrong, halves of the direction tell where: the error of a half is its slope minus its part of v . g,
and the errors of both add up.  log2(n) halvings lead to one entry (group testing by bisection: Dorfman, Annals of
Mathematical Statistics 14, 1943; Hwang, JASA 67, 1972).  What is found is then judged like every weight, one by one.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np

from gradcheck.functions.outcome import Outcome
from gradcheck.numerics.diagnosis.diagnose import diagnose
from gradcheck.numerics.examine import examine
from gradcheck.numerics.layout import Layout
from gradcheck.numerics.problem import Problem
from gradcheck.numerics.rounding import Rounding
from gradcheck.numerics.schemes import Scheme
from gradcheck.numerics.steps import AUTO, Step
from gradcheck.numerics.verdict import CORNER, EXEMPT, MIN_JUDGED, REASONS, Whole, of_counts
from gradcheck.numerics.weight_columns import columns, judgement_of

Array = np.ndarray
Limits = tuple[Array, Array]

# With more weights than this directions are checked.  Entry by entry costs 16 losses a weight: 32,000 for this many.
LARGE = 2_000
# Entries that are checked one by one whatever the directions say.
SAMPLED = 5
# Entries more of each parameter that is wrong in many, for the diagnosis.
MORE = 8
# Wrong entries that are searched for; where there are more, the first ones are enough to act on.
LOCATED = 10
# Halvings that may end in nothing before the error is called spread out.
LOST = 3
# Components of a direction: random signs, sizes between this and 1 in units of the parameter's own size.
SMALLEST = 0.5
# An error whose part of the slope is below this share of the bound cannot be followed further: 2.75 of the noise's
# measured deviations, of which the bound has 11.
FOLLOWED = 0.25


class Asked(NamedTuple):
    """How slopes and entries are checked."""

    scheme: Scheme
    eps: Step
    match_at: float


class Calls(Protocol):
    """What is told of the calls of a function, and the limits (size,) outside which it is not evaluated."""

    nfev: int
    njev: int
    raised: list[str]
    low: Array | None
    high: Array | None


@dataclass(frozen=True)
class Slope:
    """The check of one direction.

    name : the parameter that it moves, or None for all.   where : its part of theta.   v : (n,) the direction there.
    numeric : the slope by differences at ``step``, which differs from the true one by at most ``bound``.
    """

    name: str | None
    where: slice
    v: Array
    analytic: float
    numeric: float
    step: float
    bound: float
    verdict: str
    reason: str | None


@dataclass(frozen=True)
class Parameter:
    """What the directions say of one parameter.

    resolution : twice the bound over the slope's size sqrt(sum (v_j g_j)**2): the relative error of the whole that
        shows.
    entry : the smallest error of any one entry, in units of the parameter's largest gradient, that is certain to show.
    """

    name: str
    size: int
    verdict: str
    reason: str | None
    resolution: float
    entry: float


@dataclass(frozen=True, repr=False, eq=False)
class DirectionalOutcome(Outcome):
    """An outcome whose verdict rests on directions; its table holds the entries that were located and those sampled.

    directions : each slope.   parameters : what they say of each parameter.
    explained : whether the wrong entries found account for every slope that is wrong.
    """

    directions: tuple[Slope, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    explained: bool = True

    @cached_property
    def _whole(self) -> Whole:
        """``mismatch`` if any direction or entry is, ``match`` if every one of both that is not exempt is.

        A weight is judged where a direction that covers its parameter is.
        """
        entries = zip(self.table["verdict"], self.table["reason"], strict=True)
        directions = ((d.verdict, d.reason) for d in self.directions)
        seen = Counter("exempt" if reason == EXEMPT else verdict for verdict, reason in (*entries, *directions))
        exempt = sum(p.size for p in self.parameters if p.reason == EXEMPT)
        judged = sum(p.size for p in self.parameters if p.verdict in ("match", "mismatch") or p.reason == CORNER)
        verdict = of_counts(seen, seen.total() - seen["exempt"])
        if verdict == "inconclusive" and any(p.verdict == "match" for p in self.parameters):
            verdict = "partial"
        counted = self.n_weights - exempt
        enough = counted > 0 and judged / counted >= self.min_judged
        everywhere = all(
            p.size == 0 or p.reason == EXEMPT or p.verdict == "match" or p.reason == CORNER for p in self.parameters
        )
        ok = verdict == "match" or (
            verdict in ("partial", "nondifferentiable") and enough and (everywhere or not self.min_judged)
        )
        return Whole(verdict, self.n_weights, exempt, judged, ok)

    @property
    def reason(self) -> str | None:
        """The commonest reason why parameters, or else sampled entries, could not be judged."""
        counts = Counter(p.reason for p in self.parameters if p.reason)
        return counts.most_common(1)[0][0] if counts else super().reason

    @property
    def resolution(self) -> float:
        """The relative error of a parameter's whole gradient that would have been seen in every one that matches.

        Infinite where none matches; 2 bound / sqrt(sum (v_j g_j)**2) along a direction v.
        """
        return max((p.resolution for p in self.parameters if p.verdict == "match"), default=math.inf)

    @property
    def entry_resolution(self) -> float:
        """The error of any one entry that would have been seen, in units of its parameter's largest gradient."""
        return max((p.entry for p in self.parameters if p.verdict == "match"), default=math.inf)

    def _headline(self) -> str:
        n = self.n_weights
        k = len(self.table["verdict"])
        one_by_one = f"{k} of them checked one by one"
        if self.verdict == "match":
            return (
                f"MATCH  {len(self.directions)} random directions through {n} weights agree, {one_by_one}; "
                f"an error above {self.resolution:.0e} of the whole gradient, or in one entry above "
                f"{self.entry_resolution:.0e} of the largest one, would have been seen"
            )
        if self.verdict == "partial":
            counted = n - self._whole.n_exempt
            rest = (
                "not every entry taken one by one could be judged"
                if self._whole.n_judged == counted
                else "the others could not be judged"
            )
            return (
                f"PARTIAL  directions through {self._whole.n_judged} of {counted} weights agree, {rest}; {one_by_one}; "
                f"an error above {self.resolution:.0e} of the whole gradient of these would have been seen"
            )
        if self.verdict != "mismatch":
            return f"{self.verdict.upper()}  {len(self.directions)} random directions through {n} weights tell nothing"
        wrong = [p for p, v in zip(self.table["param"], self.table["verdict"], strict=True) if v == "mismatch"]
        broken = [d.name for d in self.directions if d.verdict == "mismatch" and d.name is not None]
        if not wrong:
            where = ", ".join(broken[:4]) + (", …" if len(broken) > 4 else "") if broken else f"all {n} weights"
            return f"MISMATCH  the slope along a random direction through {where} is wrong; no single entry stands out"
        parts = ", ".join(f"{c} in {p}" for p, c in list(Counter(wrong).items())[:4])
        rest = "nothing else is seen along random directions" if self.explained else "more are wrong"
        are = "entry is" if len(wrong) == 1 else "entries are"
        return f"MISMATCH  {len(wrong)} {are} wrong ({parts}) of {n} weights, {one_by_one}; {rest}"

    def _not_judged(self) -> list[str]:
        lines = [
            f"not judged: {p.name} ({p.reason}): {REASONS[p.reason]}" for p in self.parameters if p.reason in REASONS
        ]
        return lines[:4] or super()._not_judged()


def check_directions(
    problem: Problem,
    function: Calls,
    scheme: Scheme,
    eps: Step,
    match_at: float,
    seed: int = 0,
    min_judged: float = MIN_JUDGED,
) -> DirectionalOutcome:
    """Check the gradient of a large problem along random directions, and entry by entry where they say it is wrong.

    One direction moves all weights, one more each parameter (or all again, where there is one parameter only);
    ``SAMPLED`` entries are checked one by one.  About 16 losses a direction and an entry, and 4 log2(n) + 16 for each
    wrong entry that is located.

    function : counts the calls, and knows the limits: at a limit a direction points inwards.
    eps : length of the whole step along a direction, and step of an entry.
    """
    rng = np.random.default_rng(seed)
    asked = Asked(scheme, eps, match_at)
    entries = _Entries(problem, asked)
    gradient = problem.analytic.astype(np.float64)
    unknown = np.flatnonzero(~np.isfinite(gradient))
    # what is not finite is wrong without any check, and no slope can be formed with it
    work = np.where(np.isfinite(gradient), gradient, 0.0)
    explained = len(unknown) <= LOCATED
    limits = None if function.low is None or function.high is None else (function.low, function.high)
    with np.errstate(all="ignore"):
        entries.judge(unknown[:LOCATED])
        slopes = [
            _slope(problem, name, where, _direction(problem, where, eps, unknown, limits, rng), work, asked)
            for name, where in _parts(problem)
        ]
        entries.judge(rng.choice(len(gradient), min(SAMPLED, len(gradient)), replace=False))
        for slope in sorted(slopes, key=lambda s: len(s.v)):
            explained &= _explain(problem, slope, scheme, work, entries, rng)
        table = entries.table()
        judged = judgement_of(table)
        diagnosis = diagnose(problem, table["numeric"], judged, table["flat_index"])
    return DirectionalOutcome(
        table=table,
        layout=problem.layout,
        n_weights=problem.theta.size,
        diagnosis=diagnosis.words,
        diagnosis_kind=diagnosis.kind,
        scheme=scheme.name,
        eps=eps,
        dtype=str(problem.theta.dtype),
        match_at=match_at,
        nfev=function.nfev,
        njev=function.njev,
        notes=tuple(dict.fromkeys(function.raised)),
        min_judged=min_judged,
        directions=tuple(slopes),
        parameters=tuple(_parameter(problem, name, slopes, gradient, match_at) for name in problem.layout.names),
        explained=explained,
    )


# ---------------------------------------------------------------------------------------------------------- directions


def _parts(problem: Problem) -> list[tuple[str | None, slice]]:
    """The directions to take: a parameter's name, or None, and its part of theta."""
    everything = slice(0, problem.theta.size)
    named: list[tuple[str | None, slice]] = [(n, w) for n, w in problem.layout.slices.items() if w.stop > w.start]
    return [(None, everything), *(named if len(named) > 1 else [(named[0][0], everything)])]


def _size(problem: Problem, where: slice) -> float:
    """Root mean square of some weights, 1 where all are 0."""
    values = problem.theta[where].astype(np.float64)
    return float(np.sqrt(np.mean(values**2))) or 1.0


def _direction(
    problem: Problem, where: slice, eps: Step, unknown: Array, limits: Limits | None, rng: np.random.Generator
) -> Array:
    """A random direction for some weights: no component is 0 but those of ``unknown``, and none leaves the limits."""
    n = where.stop - where.start
    v = np.empty(n)
    for inner in problem.layout.slices.values():
        low, high = max(inner.start, where.start), min(inner.stop, where.stop)
        if high > low:
            own = rng.uniform(SMALLEST, 1.0, high - low)
            own *= _size(problem, slice(low, high)) if eps == AUTO else 1.0
            v[low - where.start : high - where.start] = own
    v *= rng.integers(0, 2, n) * 2 - 1
    if eps != AUTO:
        # a step of this length moves each weight by its square root's part
        v /= np.linalg.norm(v)
    if limits is not None:
        low, high = (limit[where] for limit in limits)
        theta = problem.theta[where]
        v = np.where(theta <= low, np.abs(v), np.where(theta >= high, -np.abs(v), v))
    if unknown.size:
        v[unknown[(unknown >= where.start) & (unknown < where.stop)] - where.start] = 0.0
    return v.astype(problem.theta.dtype)


def _slope(problem: Problem, name: str | None, where: slice, v: Array, gradient: Array, asked: Asked) -> Slope:
    """The slope along v of some weights, those of a parameter or (None) all, beside that of the gradient."""
    line = _along(problem, where, v, gradient, asked.eps)
    index = np.zeros(1, dtype=np.intp)
    estimate, judged, *_ = examine(line, asked.scheme, asked.eps, asked.match_at, index)
    return Slope(
        name,
        where,
        v,
        float(line.analytic[0]),
        float(estimate.value[0]),
        float(estimate.step[0]),
        float(judged.bound[0]),
        judged.verdict[0],
        judged.reason[0],
    )


def _along(problem: Problem, where: slice, v: Array, gradient: Array, eps: Step) -> Problem:
    """phi(t) = loss(theta + t v) as a problem of one weight, t = 0."""
    rounding = problem.rounding
    own = float(np.linalg.norm(v.astype(np.float64) * rounding.gradient[where]))
    # t = 1 moves the weights by about their own size
    length = 1.0 if eps == AUTO else _size(problem, where) * len(v) ** 0.5

    def at(t: Array) -> Array:
        point = problem.theta.astype(np.result_type(problem.theta.dtype, t.dtype))
        point[where] += t[0] * v
        return point

    perturbed = problem.perturbed
    assert perturbed is not None
    return Problem(
        layout=Layout(("t",), ((),)),
        theta=np.zeros(1, problem.theta.dtype),
        loss=lambda t: problem.loss(at(t)),
        perturbed=lambda t: perturbed(at(t)),
        analytic=np.array([_dot(v, gradient[where])]),
        correct=None,
        rounding=Rounding(
            rounding.loss, np.array([rounding.loss]), np.array([own]), np.zeros(1), np.array([length]), rounding.unit
        ),
        kinked=problem.kinked,
        opaque=True,
    )


def _dot(v: Array, g: Array) -> float:
    """v . g, summed pairwise in the widest dtype, so that its rounding is far below that of the terms."""
    return float((v.astype(np.longdouble) * g).sum())


def _parameter(problem: Problem, name: str, slopes: list[Slope], gradient: Array, match_at: float) -> Parameter:
    where = problem.layout.slices[name]
    size = where.stop - where.start
    if not size:
        return Parameter(name, 0, "inconclusive", None, math.inf, math.inf)
    g = np.where(np.isfinite(gradient[where]), gradient[where], 0.0)
    largest = float(np.max(np.abs(g), initial=0.0))
    found = [s for s in slopes if s.where.start <= where.start and where.stop <= s.where.stop]
    own = next(s for s in slopes if s.name == name)
    alone = len(problem.layout.names) == 1
    if own.verdict == "mismatch" or (alone and any(s.verdict == "mismatch" for s in found)):
        return Parameter(name, size, "mismatch", None, math.inf, math.inf)
    resolution = entry = math.inf
    for s in found:
        v = np.abs(s.v[where.start - s.where.start : where.stop - s.where.start].astype(np.float64))
        smallest = float(np.min(v, initial=math.inf, where=v > 0))
        if largest > 0 and s.verdict not in ("nondifferentiable", "mismatch"):
            resolution = min(resolution, 2 * s.bound / float(np.linalg.norm(v * g)))
            entry = min(entry, 2 * s.bound / (smallest * largest))
    if resolution <= match_at:
        return Parameter(name, size, "match", None, resolution, entry)
    verdict = "nondifferentiable" if own.verdict == "nondifferentiable" else "inconclusive"
    reason = own.reason or ("stationary" if largest == 0 else "noise")
    if reason == EXEMPT and largest > 0:
        reason = "noise"  # the slope is 0 by chance
    return Parameter(name, size, verdict, reason, resolution, entry)


# ------------------------------------------------------------------------------------------------------------- entries


class _Entries:
    """Weights that were checked one by one, as columns of a table."""

    def __init__(self, problem: Problem, asked: Asked) -> None:
        self._problem, self._asked = problem, asked
        self._rows: list[dict[str, Any]] = []
        self.numeric: dict[int, float] = {}
        self.wrong: set[int] = set()

    def judge(self, index: Array) -> None:
        """Check those of ``index`` that were not checked yet."""
        new = np.array([j for j in np.unique(index).tolist() if j not in self.numeric], dtype=np.intp)
        if not len(new):
            return
        scheme, eps, match_at = self._asked
        estimate, judged, *_ = examine(self._problem, scheme, eps, match_at, new)
        self._rows.append(dict(columns(self._problem, new, estimate, judged, eps)))
        self.numeric.update(zip(new.tolist(), estimate.value.tolist(), strict=True))
        self.wrong.update(j for j, verdict in zip(new.tolist(), judged.verdict, strict=True) if verdict == "mismatch")

    def table(self) -> dict[str, Any]:
        """All columns, in the order of theta."""
        order = np.argsort(np.concatenate([rows["flat_index"] for rows in self._rows]))
        joined: dict[str, Any] = {}
        for name, first in self._rows[0].items():
            parts = [rows[name] for rows in self._rows]
            if first is None:
                joined[name] = None
            elif isinstance(first, np.ndarray):
                joined[name] = np.concatenate(parts)[order]
            else:
                flat = [entry for part in parts for entry in part]
                joined[name] = [flat[i] for i in order.tolist()]
        return joined


# -------------------------------------------------------------------------------------------------------------- search


def _explain(
    problem: Problem, slope: Slope, scheme: Scheme, work: Array, entries: _Entries, rng: np.random.Generator
) -> bool:
    """Find the entries that make a slope wrong; returns whether they account for it.

    work : the gradient in which wrong entries are replaced by their numeric derivatives as they are found.
    """
    where = slope.where

    def correct() -> None:
        """Put the numeric derivatives of wrong entries in the gradient's place."""
        for j in entries.wrong:
            if math.isfinite(entries.numeric[j]):
                work[j] = entries.numeric[j]

    def error() -> float:
        return slope.numeric - _dot(slope.v, work[where])

    correct()
    if slope.verdict != "mismatch" or abs(error()) <= slope.bound:
        return True
    here = np.array([j for j in entries.numeric if where.start <= j < where.stop], dtype=np.intp)
    dense = sum(int(j) in entries.wrong for j in here) >= 2
    if not dense:
        lost = 0
        for j in _descents(problem, slope, scheme, work):
            before = len(entries.wrong)
            if j is not None:
                entries.judge(np.array([j]))
            lost += len(entries.wrong) == before
            correct()
            if abs(error()) <= slope.bound:
                return True
            if lost >= LOST or len(entries.wrong) >= LOCATED:
                break
    # too many to be found one by one: some more of them tell what the mistake looks like
    n = where.stop - where.start
    entries.judge(where.start + rng.choice(n, min(MORE, n), replace=False))
    return False


def _descents(problem: Problem, slope: Slope, scheme: Scheme, work: Array) -> Iterator[int | None]:
    """Entries that carry the error of a slope, the largest part first; None for a descent that lost it in the noise.

    ``work`` may be corrected between two descents.
    """
    base, step = slope.where.start, problem.theta.dtype.type(slope.step)
    center = problem.loss(problem.theta)
    perturbed = problem.perturbed
    assert perturbed is not None

    def error(low: int, high: int) -> float:
        """Slope minus the part of v . g over theta[low:high]; NaN where the loss is not finite."""
        v = slope.v[low - base : high - base]

        def at(t: Any) -> Array:
            point = problem.theta.astype(np.result_type(problem.theta.dtype, t))
            point[low:high] += t * v
            return point

        if scheme.complex_valued:
            found = float(problem.loss(at(1j * step)).imag / step)
        else:
            up, down = (perturbed(at(t))[0] for t in (step, -step))
            if np.isfinite(up) and np.isfinite(down):
                found = float((up - center) / step - (down - center) / step) / 2
            else:
                # at the edge of a domain three points on one side, (-3 f(0) + 4 f(h) - f(2 h)) / 2 h
                h, near = (step, up) if np.isfinite(up) else (-step, down)
                far = perturbed(at(2 * h))[0]
                found = float((4 * (near - center) - (far - center)) / (2 * h))
        return found - _dot(v, work[low:high])

    queue = [(-abs(slope.numeric - slope.analytic), base, slope.where.stop)]
    while queue:
        size, low, high = heapq.heappop(queue)
        if -size < FOLLOWED * slope.bound:
            return
        while high - low > 1:
            middle = (low + high) // 2
            halves = []
            for half in ((low, middle), (middle, high)):
                e = error(*half)
                halves.append((-abs(e) if math.isfinite(e) else 0.0, *half))
            halves.sort()
            heapq.heappush(queue, halves[1])
            size, low, high = halves[0]
            if -size < FOLLOWED * slope.bound:
                break
        yield low if high - low == 1 else None
