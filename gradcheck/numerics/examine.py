"""One examination of weights: the numeric derivatives, their bounds and verdicts, and what it cost."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gradcheck.numerics.auto import auto
from gradcheck.numerics.bounds import evaluations, fixed, points_of_steps
from gradcheck.numerics.exempt import Unmoved
from gradcheck.numerics.problem import Evaluations, Problem
from gradcheck.numerics.quotients import KINK_MARGIN, Estimate, Probe
from gradcheck.numerics.schemes import Scheme, losses_at
from gradcheck.numerics.steps import Step
from gradcheck.numerics.verdict import Judgement, at_corners, judge, without_path

Array = np.ndarray

# Noise falls with 1 / h and truncation grows with h**2.  Where truncation is less than this many times the noise at a step that
# was chosen, no smaller step has a bound that is four times smaller: it is noise that hides the derivative.
OUTWEIGHS = 20.0


class Examined(NamedTuple):
    """Estimates and verdicts of some weights.

    n_evals : evaluations of the loss at each step, shared ones included.   center : the loss at theta.
    evaluated : points (m, k) and the losses there, of the first call that evaluated all these weights; None where not kept.
    """

    estimate: Estimate
    judged: Judgement
    n_evals: tuple[int, ...]
    center: Array
    evaluated: tuple[Array, Array] | None

    def one_step(self) -> Examined:
        """This of one step (m,), as if of several (1, m)."""
        return self._replace(estimate=self.estimate.transposed((1, -1)), judged=self.judged.one_step())

    def at(self, step: int) -> Examined:
        """This of one of several steps."""
        n_evals = self.n_evals[step : step + 1]
        return self._replace(estimate=self.estimate.where(step), judged=self.judged.at(step), n_evals=n_evals)


def examine(
    problem: Problem,
    scheme: Scheme,
    eps: Step | Array,
    match_at: float,
    index: Array,
    accept: float = 0.0,
    sought: float | None = None,
) -> Examined:
    """Estimates and verdicts of the weights ``index`` (m,).

    eps : a step; or several, (s,), of a problem that is not measured.  Then estimates and verdicts are (s, m).
    match_at, accept : as in ``judge``.
    sought : the relative error that is to be visible where that can be had, of a loss that is measured; by default
        ``match_at``.

    Raises FloatingPointError where the loss at theta is not finite.
    """
    center = problem.center
    if not np.isfinite(center).all():
        raise FloatingPointError(f"the loss is {float(center)} at theta")
    analytic = problem.analytic.astype(np.float64)[index]
    around = _Around(problem, scheme, eps, index, np.flatnonzero(analytic == 0))
    probe = around.probe

    if problem.measured is not None and not scheme.complex_valued:
        from gradcheck.numerics.measured.estimates import estimates  # most runs measure no loss

        assert not isinstance(eps, np.ndarray)
        estimate, rounding = estimates(problem, probe.evaluate, scheme, eps, sought or match_at, index, accept)
        outweighs = OUTWEIGHS if isinstance(eps, str) else 1.0
        judged = judge(analytic, estimate, rounding, index, match_at, problem.kinked, accept, outweighs)
    else:
        estimate = auto(probe, scheme, index) if isinstance(eps, str) else fixed(probe, scheme, eps, index)
        judged = judge(analytic, estimate, problem.rounding, index, match_at, problem.kinked, accept)
        if problem.measured is not None:
            # no analysis says how much it is rounded: that is measured where a weight would be accused
            rows = np.flatnonzero((judged.verdict == "mismatch") & np.isfinite(analytic) & estimate.finite)
            if len(rows):
                from gradcheck.numerics.measured.complex_step import Disputed, settled

                disputed = Disputed(rows, index, estimate, probe.evaluate)
                estimate, rounding, more = settled(problem, disputed, match_at, accept)
                around.count(more)
                judged = judge(analytic, estimate, rounding, index, match_at, problem.kinked, accept)
    if "nondifferentiable" in judged.verdict:
        judged = at_corners(judged, _corners(problem, scheme, index, estimate, judged))
    judged, counts = around.exempted(judged)
    return Examined(estimate, judged, counts, center, around.evaluated)


class _Around:
    """The loss around theta during one examination.  It counts evaluations, and watches weights whose gradient is 0.

    evaluated : points (m, k) and the losses there, of the first call that evaluated all weights; None where not kept.
    """

    def __init__(self, problem: Problem, scheme: Scheme, eps: Step | Array, index: Array, claimed_zero: Array) -> None:
        self._problem, self._scheme, self._index, self._claimed_zero = problem, scheme, index, claimed_zero
        # several steps are evaluated together; each counts what it would take alone
        self._several = isinstance(eps, np.ndarray)
        self._steps = np.size(eps) if self._several else 1
        self._count = 1
        self.evaluated: tuple[Array, Array] | None = None
        self._unmoved: Unmoved | None = None
        if len(claimed_zero):
            watched = index[claimed_zero]
            self._unmoved = Unmoved(watched, problem.center, self._steps, problem.low, problem.high)

    def count(self, evaluations: int) -> None:
        """Count evaluations that were made elsewhere."""
        self._count += evaluations

    @property
    def probe(self) -> Probe:
        """The loss as schemes see it."""
        known = self._problem
        return Probe(
            known.theta,
            known.center,
            self._evaluate,
            self._derivative,
            known.rounding,
            known.crossings,
        )

    def exempted(self, judged: Judgement) -> tuple[Judgement, tuple[int, ...]]:
        """The judgement with weights without a path to the loss exempt, and the number of evaluations of each step."""
        together = 1 + len(self._index) * evaluations(self._scheme) if self._several else self._count
        counts = np.full(self._steps, together)
        if self._unmoved is not None:
            known = self._problem
            zero, more = self._unmoved.exempt(known.theta, known.layout, lambda some, at: self._losses(some, at).losses)
            counts += more
            exempt = np.zeros((self._steps, len(self._index)), dtype=bool)
            exempt[:, self._claimed_zero] = zero.T
            judged = without_path(judged, exempt if self._several else exempt[0])
        return judged, tuple(counts.tolist())

    def _evaluate(self, some: Array, points: Array) -> Evaluations:
        self._count += points.size
        found = self._losses(some, points)
        if self.evaluated is None and some is self._index and self._problem.perturbed_losses is not None:
            self.evaluated = points, found.losses
        if self._unmoved is not None:
            together = points_of_steps(self._scheme, self._steps, points.shape[1]) if self._several else None
            self._unmoved.see(some, points, found.losses, together)
        return found

    def _losses(self, some: Array, points: Array) -> Evaluations:
        known = self._problem
        if known.perturbed_losses is not None:
            return Evaluations(*known.perturbed_losses(some, points))
        # a user's function may change NumPy's error handling
        with np.errstate():
            return Evaluations(losses_at(known.loss, known.theta, some, points), np.zeros(points.shape))

    def _derivative(self, index: Array, h: Array) -> Array:
        theta = self._problem.theta
        self._count += len(index)
        step = h.astype(theta.dtype)
        found = self._complex_losses(index, theta[index] + 1j * step)
        if self._unmoved is not None:
            at_theta = self._unmoved.see_complex(
                index, found, lambda some: self._complex_losses(some, theta[some] + 0j)
            )
            self._count += at_theta
        return found.imag / step

    def _complex_losses(self, some: Array, points: Array) -> Array:
        known = self._problem
        if known.perturbed_losses is not None:
            return known.perturbed_losses(some, points[:, None])[0][:, 0]
        return losses_at(known.loss, known.theta, some, points[:, None])[:, 0]


def _corners(problem: Problem, scheme: Scheme, index: Array, estimate: Estimate, judged: Judgement) -> Array:
    """Which nondifferentiable weights have theta itself on the kink; bool, of the shape of the verdicts.

    The kinks of a loss that is measured are searched at theta alone, so all of its nondifferentiable weights have.  A model
    that knows its kinks has some at distance 0.  They must explain a part k of the bound B that is at most KINK_MARGIN times
    the difference of both slopes, and the uncertainty B - k of one slope must be less than half of that difference.
    """
    bent = np.atleast_2d(judged.verdict == "nondifferentiable")
    corner = bent.copy()
    for s, some in enumerate([] if problem.measured is not None else map(np.flatnonzero, bent)):
        corner[s] = False
        if not len(some) or problem.crossings is None:
            continue
        reach = np.atleast_2d(estimate.step)[s, some] * max(map(abs, scheme.offsets))
        near = problem.crossings(index[some], reach)
        reached = near.jump * np.maximum(reach[near.row] - near.distance, 0)
        total = np.bincount(near.row, reached, minlength=len(some))
        here = np.bincount(near.row, np.where(near.distance == 0, reached, 0.0), minlength=len(some))
        with np.errstate(all="ignore"):
            known = np.atleast_2d(estimate.kink)[s, some] * np.where(total > 0, here / total, 0.0)
            rest = np.atleast_2d(judged.bound)[s, some] - known
            corner[s, some] = known / KINK_MARGIN > 2 * rest
    return corner.reshape(np.shape(judged.bound))
