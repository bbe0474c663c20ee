"""Somebody else's function and gradient: called with care, counted, and held to their contract."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.arguments import Arguments
from gradcheck.functions.claimed import Wanted, rows
from gradcheck.functions.evaluation import Batch, Evaluation
from gradcheck.functions.explained import explained
from gradcheck.functions.parameters import Parameters
from gradcheck.functions.points import Entries, Line, Points, Rows, one
from gradcheck.functions.processes import Crew, Workers, crew
from gradcheck.functions.trees.emitted import Emitted

Array = np.ndarray

# Seconds for which a line on a terminal may stand still.
SHOWN = 0.2
# Different exceptions of ``fun`` at perturbed points that are kept.
KEPT = 20
# Evaluations that end a check: one at x0; and where all values are the same, those that show whether ``fun`` reads x at all.
LAST, PROBES = 1, 10


class Spent(RuntimeError):
    """``max_nfev`` does not allow a gradient that ``fun`` returns with its value."""


@dataclass
class Cut:
    """What was not evaluated because ``max_nfev`` was spent.

    weights : flat indices of weights.   other : whether points were cut that belong to no single weight.
    """

    weights: set[int] = field(default_factory=set)
    other: bool = False

    def add(self, points: Points) -> None:
        """These points were cut."""
        if isinstance(points, Entries):
            self.weights.update(points.index.tolist())
        else:
            self.other = True

    def __bool__(self) -> bool:
        return self.other or bool(self.weights)


class Calls:
    """Calls of ``fun`` and ``jac`` at a flat theta.

    jac : None where ``fun`` returns value and gradient.
    stacked : ``fun`` takes points with a leading axis.   workers : who evaluates many points, as in SciPy.
    max_nfev : points at which ``fun`` may be called; None for no limit.   nfev, njev : calls so far.
    low, high : limits (size,) outside which nothing is evaluated.   raised : what ``fun`` raised at perturbed points.
    cut : what was not evaluated for want of more.
    until : what ``nfev`` may reach at the point that is checked now; None for no limit.
    ending : whether what is kept for the end of a check may be spent.
    watch : is told how often ``fun`` was called.
    same : whether every value so far is the first one, to the bit.
    given : dtype of x0, None before the first gradient; ``jac`` is called in it, whatever the dtype of theta.
    in_place : ``fun`` and ``jac`` compute with the caller's own arrays; ``jac`` is called directly after ``fun``.
    """

    def __init__(
        self,
        fun: Callable[..., object],
        jac: Callable[..., object] | None,
        args: Arguments,
        parameters: Parameters,
        *,
        stacked: bool = False,
        workers: Workers | None = None,
        max_nfev: int | None = None,
        vjp: bool = False,
        in_place: bool = False,
    ) -> None:
        self.evaluation = Evaluation(
            fun,
            args.values,
            parameters,
            args.named,
            pair=jac is None,
            stacked=stacked,
            emitted=Emitted() if vjp else None,
        )
        self.in_place = in_place
        self._jac, self.args, self.parameters = jac, args, parameters
        self._workers = workers
        self._crew: Crew | None = None
        self.max_nfev, self.nfev, self.njev = max_nfev, 0, 0
        self.until: int | None = None
        self.ending = False
        self.low: Array | None = None
        self.high: Array | None = None
        self.raised: list[str] = []
        self.cut = Cut()
        self.given: np.dtype[np.floating] | None = None
        self.same = True
        self._first: Array | None = None
        self.watch: Callable[[int], None] | None = None
        self._shown: int | None = None

    # ------------------------------------------------------------------------------------------------ the value

    @property
    def precision(self) -> np.dtype[np.floating] | None:
        """The coarsest floating type of a value; None before the first call."""
        return self.evaluation.precision

    @property
    def left(self) -> int | None:
        """Evaluations that may still be asked for; None for any number."""
        if self.max_nfev is None:
            return None
        kept = 0 if self.ending else LAST + (PROBES if self.same else 0)
        most = self.max_nfev if self.until is None or self.ending else self.until
        return max(0, most - self.nfev - kept)

    def share(self, points: int) -> None:
        """Leave the next of so many points its share of what is left; nothing of it was cut so far."""
        self.cut = Cut()
        if self.max_nfev is not None:
            self.until = self.nfev + (self.max_nfev - self.nfev) // points

    def outputs(self, theta: Array) -> Array:
        """The value of ``fun``, flat (k,), in theta's dtype (complex for a complex theta)."""
        self.nfev += 1
        value = self.evaluation.outputs(theta)
        self._compare(value[None])
        return value

    def scalars(self, theta: Array) -> Array:
        """The numbers that are differentiated: the outputs (k,), or their product with the upstream gradient (1,)."""
        value = self.outputs(theta)
        return value if self.upstream is None else (self.upstream * value).sum(keepdims=True)

    @property
    def upstream(self) -> Array | None:
        """dout of a vector-Jacobian product, flat."""
        return self.evaluation.upstream

    @upstream.setter
    def upstream(self, dout: Array | None) -> None:
        self.evaluation.upstream = dout
        self._first = None  # the values so far were other numbers

    # -------------------------------------------------------------------------------------------- many values

    def perturbed(self, theta: Array) -> Array:
        """The numbers that are differentiated at theta (k,); as ``many`` has them."""
        return self.many(one(theta))[0]

    def entries(self, theta: Array, index: Array, points: Array) -> Array:
        """The numbers at theta with entry ``index[r]`` replaced by ``points[r, c]``: (m, c, k)."""
        found = self.many(Entries(theta, np.repeat(index, points.shape[1]), points.reshape(-1)))
        return found.reshape(*points.shape, found.shape[1])

    def along(self, theta: Array, where: slice, v: Array, t: Array) -> Array:
        """The numbers at theta + t v (m, k), where v moves a part of theta."""
        return self.many(Line(theta, where, v, t))

    def many(self, points: Points) -> Array:
        """The numbers that are differentiated at all points, (count, k).

        NaN outside the limits, where ``fun`` raises, as it may beyond the edge of its domain, and beyond ``max_nfev``.
        """
        wanted = np.arange(points.count)
        if self.low is not None and self.high is not None:
            wanted = np.flatnonzero(points.inside(self.low, self.high))
        if len(wanted) == points.count and self.max_nfev is None and self.watch is None:
            return self._evaluate(points).values
        found = np.full((points.count, self.evaluation.width), np.nan, points.dtype)
        while len(wanted):
            room = self._room(len(wanted))
            if not room:
                self.cut.add(points.some(wanted))
                break
            found[wanted[:room]] = self._evaluate(points.some(wanted[:room])).values
            wanted = wanted[room:]
        return found

    def _room(self, count: int) -> int:
        """How many of so many points are evaluated next: as many as are allowed, and as take a moment where it is shown."""
        if self.left is not None:
            # where a stack raises, its points are evaluated once more, each alone
            count = min(count, max(self.left // 2, min(self.left, 1)) if self.stacked else self.left)
        if self.watch is not None:
            self._shown = 1 if self._shown is None else self._shown
            count = min(count, self._shown)
        return count

    @property
    def stacked(self) -> bool:
        """Whether ``fun`` takes points with a leading axis."""
        return self.evaluation.stacked

    def _evaluate(self, points: Points) -> Batch:
        if self._crew is None:
            self._crew = crew(self.evaluation, self._workers)
        before = time.monotonic()
        try:
            batch = self._crew.many(points)
        except BaseException:
            self.nfev += points.count
            raise
        self.nfev += batch.calls
        if self.watch is not None:
            self.watch(self.nfev)
            # twice as many, as long as they take no longer than a line on a terminal may stand still
            quick = time.monotonic() - before < SHOWN
            self._shown = max(1, points.count * 2 if quick else points.count // 2)
        if len(batch.raised) and len(self.raised) < KEPT:
            self.raised = list(dict.fromkeys([*self.raised, *batch.raised]))[:KEPT]
        if batch.precision is not None:
            self.evaluation.precision = batch.precision
        self._compare(batch.values)
        return batch

    def anywhere(self, thetas: Array) -> None:
        """Evaluate ``fun`` at thetas (count, size) that may be NaN.  It may do anything there; ``same`` tells."""
        try:
            self._evaluate(Rows(thetas))
        except ContractError:
            self.same = False

    def constant(self, thetas: Array) -> bool:
        """Whether ``fun`` has the very same value at thetas (count, size), which may be NaN."""
        try:
            values = self._evaluate(Rows(thetas)).values
        except ContractError:
            return False
        # NaN, which stands for an exception too, is another value
        return bool((values == values[0]).all())

    def in_float64(self, theta: Array) -> Array | None:
        """The numbers at a float64 theta; None where ``fun`` does not return float64."""
        known = self.evaluation.precision
        self.evaluation.precision = np.dtype(np.float64)
        self.nfev += 1
        try:
            value = self.evaluation.scalars(theta)
            return value if self.evaluation.precision == np.float64 else None
        finally:
            self.evaluation.precision = known

    def _compare(self, values: Array) -> None:
        if self.same and len(values):
            if self._first is None or self._first.shape != values[0].shape:
                self._first = values[0]
            # NaN, which stands for an exception too, is another value
            self.same = bool((values == self._first).all())

    def close(self) -> None:
        """End the processes that were started."""
        if self._crew is not None:
            self._crew.close()

    # --------------------------------------------------------------------------------------------- the gradient

    def gradient(self, theta: Array) -> Array:
        """The caller's gradient, flat, in the dtype of x0: (k, size), one row for each of ``scalars``."""
        theta = theta.astype(self.given or theta.dtype)
        return rows(self.claim(theta), self._wanted(theta.dtype))

    def claim(self, theta: Array) -> object:
        """The caller's gradient at theta as it is returned."""
        if self.paired and self.max_nfev is not None and self.nfev >= self.max_nfev:
            raise Spent(f"max_nfev={self.max_nfev} calls of fun are spent")
        self.njev += 1
        if self.paired:
            self.nfev += 1
            value = self.evaluation.call(theta)[1]
        if self._jac is None:
            return value
        x = self.parameters.views(theta.copy())
        if self.upstream is None:
            value = self._returned(x)
        else:
            dout = self.upstream.astype(theta.dtype).reshape(self.evaluation.output or ())
            before = dout.copy()
            emitted = self.evaluation.emitted
            value = self._returned(x, dout if emitted is None else emitted.upstream(dout))
            if not np.array_equal(dout, before):
                raise ContractError("jac changes its argument dout in place: let it work on a copy")
        self.evaluation.require_unchanged("jac", x, theta)
        return value

    def _returned(self, *before: object) -> object:
        """What ``jac`` returns for these, and the further arguments."""
        assert self._jac is not None
        try:
            return self._jac(*before, *self.args.values, **self.args.named)
        except Exception as error:
            why = None if isinstance(error, ContractError) else explained(error, self.evaluation.emitted)
            if why is None:
                raise
            raise why from error

    @property
    def paired(self) -> bool:
        """Whether a gradient takes a call of ``fun``."""
        return self._jac is None or self.in_place

    @property
    def separate(self) -> bool:
        """Whether ``jac`` is a function of its own."""
        return self._jac is not None

    @property
    def outer(self) -> tuple[int, ...]:
        """Shape of several outputs, which stands in front of the parameters' own in a Jacobian; () for one output."""
        return self._wanted(np.dtype(np.float64)).outer

    def _wanted(self, dtype: np.dtype[np.floating]) -> Wanted:
        least = dtype if self.precision is None else max(dtype, self.precision, key=lambda kind: np.finfo(kind).eps)
        return Wanted(self.parameters, self.evaluation.output or (), self.upstream is not None, dtype, least)
