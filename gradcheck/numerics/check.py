"""The check of one problem: from a loss and a claimed gradient to every weight's verdict.  Values in, values out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gradcheck.numerics import plain
from gradcheck.numerics.auto import auto
from gradcheck.numerics.bounds import evaluations, fixed, points_of_steps
from gradcheck.numerics.compare import medians
from gradcheck.numerics.exempt import Unmoved
from gradcheck.numerics.layout import BLOCK_WEIGHTS
from gradcheck.numerics.problem import Evaluations, Problem
from gradcheck.numerics.quotients import KINK_MARGIN, Estimate, Probe
from gradcheck.numerics.rounding import Rounding
from gradcheck.numerics.rules import Evidence, accusations
from gradcheck.numerics.schemes import ONE_SIDED, Scheme, losses_at
from gradcheck.numerics.steps import AUTO, Step
from gradcheck.numerics.verdict import MIN_JUDGED, VERDICTS, Judgement, at_corners, judge, missed, whole, without_path

if TYPE_CHECKING:
    from gradcheck.numerics.diagnosis.diagnose import Diagnosis

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class CellResult:
    """``weights``: one entry a weight for each column of ``errors``, or a list of what was packed of blocks of them;
    ``summary``: one value for each column of ``cells``.

    rounding : by which another computation of the loss and the gradient may differ from this one; not stored.
    """

    weights: dict[str, Any] | list[Any]
    summary: dict[str, Any]
    rounding: Rounding | None = None


def check(
    problem: Problem,
    scheme: Scheme,
    eps: Step,
    match_at: float,
    bug_injected: bool = False,
    min_judged: float = MIN_JUDGED,
) -> CellResult:
    """Compare the analytic gradient with the numeric one, weight by weight.

    Raises FloatingPointError where the loss at theta is not finite, ArithmeticError where losses that a model computes from
    its structure are not those of its plain loss.
    """
    found = examine(problem, scheme, eps, match_at, np.arange(problem.theta.size))
    return _results(problem, found.one_step(), [eps], bug_injected, min_judged)[0]


def check_steps(
    problem: Problem,
    scheme: Scheme,
    eps: Sequence[Step],
    match_at: float,
    bug_injected: bool = False,
    min_judged: float = MIN_JUDGED,
    pack: Callable[[Mapping[str, Any]], Any] | None = None,
) -> list[CellResult]:
    """``check`` at each of several steps, the same to the last bit, in fewer and larger operations.

    What the steps share (the anchors, and whatever a step along a weight needs of its column) is computed once.  A function
    that says nothing of its scale is looked at step by step, and so are complex steps and those that each weight chooses.

    pack : what is made of the columns of a block of weights; a problem with more than one block is then examined block by
        block, with the same outcome, and ``weights`` are a list of what was made of them.
    """
    if pack is not None and problem.theta.size > BLOCK_WEIGHTS:
        return [_in_blocks(problem, scheme, h, match_at, bug_injected, min_judged, pack) for h in eps]
    if scheme.complex_valued or problem.opaque or AUTO in eps:
        return [check(problem, scheme, h, match_at, bug_injected, min_judged) for h in eps]
    found = examine(problem, scheme, np.array(eps), match_at, np.arange(problem.theta.size))
    return _results(problem, found, eps, bug_injected, min_judged)


def _in_blocks(
    problem: Problem,
    scheme: Scheme,
    eps: Step,
    match_at: float,
    bug_injected: bool,
    min_judged: float,
    pack: Callable[[Mapping[str, Any]], Any],
) -> CellResult:
    """``check`` of a problem with many weights: what takes the most memory, their rows, is never there as a whole."""
    index, count, center = np.arange(problem.theta.size), 1, problem.center
    packed, judged = [], Judgement.empty(len(index))
    value, step = np.empty(len(index)), np.empty(len(index))
    for start in range(0, len(index), BLOCK_WEIGHTS):
        block = index[start : start + BLOCK_WEIGHTS]
        found = examine(problem, scheme, eps, match_at, block)
        packed.append(pack(columns(problem, block, found.estimate, found.judged, eps)))
        judged.put(start, found.judged)
        value[start : start + len(block)] = found.estimate.value
        step[start : start + len(block)] = found.estimate.step
        count += found.n_evals[0] - 1  # that at theta is one of each block
    if problem.perturbed_losses is not None:
        count += _compare_with_plain(problem, center, None, step)
    names = [
        n for n, shape in zip(problem.layout.names, problem.layout.shapes, strict=True) for _ in range(math.prod(shape))
    ]
    shared: dict[str, Any] = {"flat_index": index, "param": names, "analytic": problem.analytic.astype(np.float64)}
    shared["correct"] = None if problem.correct is None else problem.correct.astype(np.float64)
    diagnosis = _diagnosis(problem, value, judged)
    dtype = str(problem.theta.dtype)
    (summary,) = summarise(shared, value[None], judged.one_step(), [diagnosis], dtype, bug_injected, min_judged)
    known = {"loss": float(center), "bug_injected": bug_injected, "n_evals": count}
    return CellResult(packed, summary | known, problem.rounding)


def _results(
    problem: Problem, found: Examined, eps: Sequence[Step], bug_injected: bool, min_judged: float
) -> list[CellResult]:
    """What is stored of a problem that was examined with several steps."""
    index = np.arange(problem.theta.size)
    shared = _of_weights(problem, index)
    weights, diagnoses, counts = [], [], []
    for k, h in enumerate(eps):
        estimate, judged, (count,), center, evaluated = found.at(k)
        if problem.perturbed_losses is not None:
            count += _compare_with_plain(problem, center, evaluated, estimate.step)
        counts.append(count)
        weights.append(shared | _of_step(estimate, judged, h))
        diagnoses.append(_diagnosis(problem, estimate.value, judged))
    dtype = str(problem.theta.dtype)
    summaries = summarise(shared, found.estimate.value, found.judged, diagnoses, dtype, bug_injected, min_judged)
    known = {"loss": float(found.center), "bug_injected": bug_injected}
    return [
        CellResult(rows, summary | known | {"n_evals": count}, problem.rounding)
        for rows, summary, count in zip(weights, summaries, counts, strict=True)
    ]


def _diagnosis(problem: Problem, numeric: Array, judged: Judgement) -> Diagnosis | None:
    """What kind of mistake explains a gradient judged wrong; None where none is."""
    if "mismatch" not in judged.verdict:
        return None
    # most cells have nothing to diagnose, and a run of one cell spends a fiftieth of its time on this import
    from gradcheck.numerics.diagnosis.diagnose import diagnose

    return diagnose(problem, numeric, judged)


def _compare_with_plain(problem: Problem, center: Array, evaluated: tuple[Array, Array] | None, step: Array) -> int:
    """Evaluations spent on a few losses in full.  Raises ArithmeticError where they are not those that structure gave."""
    assert problem.perturbed_losses is not None
    assert problem.rounding_at is not None
    apart = plain.compare(
        problem.loss,
        problem.perturbed_losses,
        evaluated,
        problem.theta,
        center,
        problem.rounding_at,
        problem.rounding,
        step,
    )
    if apart is not None:
        i, found, full = apart
        name, position = problem.layout.locate(i)
        raise ArithmeticError(
            f"{name}{list(position)}: the perturbed loss is {float(found)!r} by structure and {float(full)!r} in full, "
            "which rounding does not explain"
        )
    # a loss in full each, and one by structure where the check itself had none
    return (1 if evaluated is not None else 2) * min(plain.COMPARED, problem.theta.size)


class Examined(NamedTuple):
    """Estimates and verdicts for some weights, the number of evaluations of the loss, and the loss at theta.

    n_evals : for each step, those that several share included.
    evaluated : points (m, k) and the losses there, those of the first evaluation of all these weights; None for none.
    """

    estimate: Estimate
    judged: Judgement
    n_evals: tuple[int, ...]
    center: Array
    evaluated: tuple[Array, Array] | None

    def one_step(self) -> Examined:
        """What was found with one step, as with several of which it is the first."""
        return self._replace(estimate=self.estimate.transposed((1, -1)), judged=self.judged.one_step())

    def at(self, step: int) -> Examined:
        """What was found with one of several steps."""
        n_evals = self.n_evals[step : step + 1]
        return self._replace(estimate=self.estimate.where(step), judged=self.judged.at(step), n_evals=n_evals)


def examine(problem: Problem, scheme: Scheme, eps: Step | Array, match_at: float, index: Array) -> Examined:
    """Examine the weights of ``index``; at several steps, eps (s,), of a problem that is not opaque: then all is (s, m).

    Raises FloatingPointError where the loss at theta is not finite.
    """
    center = problem.center
    if not np.isfinite(center):
        raise FloatingPointError(f"the loss is {float(center)} at theta")
    analytic = problem.analytic.astype(np.float64)[index]
    around = _Around(problem, scheme, eps, index, np.flatnonzero(analytic == 0))
    probe = around.probe

    def verdicts(estimate: Estimate) -> Judgement:
        return judge(analytic, estimate, problem.rounding, index, match_at, problem.kinked)

    estimate = auto(probe, scheme, index) if isinstance(eps, str) else fixed(probe, scheme, eps, index)
    judged = verdicts(estimate)
    if problem.opaque and not scheme.complex_valued:
        estimate, judged = _confirmed(probe, scheme, eps, index, (estimate, judged), np.isfinite(analytic), verdicts)
    if any("nondifferentiable" in row for row in (judged.verdict if isinstance(eps, np.ndarray) else [judged.verdict])):
        judged = at_corners(judged, _corners(problem, scheme, index, estimate, judged))
    judged, counts = around.exempted(judged)
    return Examined(estimate, judged, counts, center, around.evaluated)


class _Around:
    """The loss around theta as one examination evaluates it: counted, and watched along weights whose gradient is 0.

    evaluated : points (m, k) and the losses there, those of the first evaluation of all weights; None for none.
    """

    def __init__(self, problem: Problem, scheme: Scheme, eps: Step | Array, index: Array, claimed_zero: Array) -> None:
        self._problem, self._scheme, self._index, self._claimed_zero = problem, scheme, index, claimed_zero
        # several steps are looked at together; each is charged with what it would take alone
        self._several = isinstance(eps, np.ndarray)
        self._steps = np.size(eps) if self._several else 1
        self._count = 1
        self.evaluated: tuple[Array, Array] | None = None
        self._unmoved: Unmoved | None = None
        if len(claimed_zero):
            watched = index[claimed_zero]
            self._unmoved = Unmoved(watched, problem.center, self._steps, problem.low, problem.high)

    @property
    def probe(self) -> Probe:
        """What finds derivatives sees of the loss."""
        known = self._problem
        return Probe(
            known.theta,
            known.center,
            self._evaluate,
            self._derivative,
            known.rounding,
            known.opaque,
            known.relative_noise,
            known.crossings,
        )

    def exempted(self, judged: Judgement) -> tuple[Judgement, tuple[int, ...]]:
        """The judgement in which weights without a path to the loss are exempt, and each step's number of evaluations."""
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
        theta, perturbed = self._problem.theta, self._problem.perturbed
        if self._problem.perturbed_losses is not None:
            return Evaluations(*self._problem.perturbed_losses(some, points))
        assert perturbed is not None
        values = np.empty(points.shape, theta.dtype)
        deviations = np.empty(points.shape)
        point = theta.copy()
        # somebody's function may set NumPy's error handling for itself
        with np.errstate():
            for r, i in enumerate(some):
                for c in range(points.shape[1]):
                    point[i] = points[r, c]
                    values[r, c], deviations[r, c] = perturbed(point)
                point[i] = theta[i]
        return Evaluations(values, deviations)

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


def _confirmed(
    probe: Probe,
    scheme: Scheme,
    eps: Step | Array,
    index: Array,
    found: tuple[Estimate, Judgement],
    comparable: Array,
    verdicts: Callable[[Estimate], Judgement],
) -> tuple[Estimate, Judgement]:
    """Estimates of an opaque function that smaller steps do not refute, and those of other formulas where steps are too large.

    comparable : whether the gradient that is judged is finite, bool.
    """
    estimate, judged = found
    doubtful = np.ones(len(index), dtype=bool)
    for power in (1, 2, 3):
        if isinstance(eps, str):
            for attempt in _retries(probe, scheme):
                again = np.array([r in ("overflow", "truncation") for r in judged.reason], dtype=bool)
                if not again.any():
                    break
                estimate = estimate.replaced(again, attempt(index[again]))
                judged = verdicts(estimate)
        accused = doubtful & np.array([v == "mismatch" for v in judged.verdict], dtype=bool) & comparable
        if not accused.any():
            break
        smaller, misled = _at_smaller_scale(probe, scheme, eps, index[accused], power, estimate.where(accused))
        estimate = estimate.replaced(accused, smaller, misled)
        judged = verdicts(estimate)
        # an accusation that the smaller steps do not refute stands
        doubtful[accused] = misled
    return estimate, judged


def _corners(problem: Problem, scheme: Scheme, index: Array, estimate: Estimate, judged: Judgement) -> Array:
    """Where theta itself lies on the kink that makes a weight nondifferentiable; bool, of the shape of the verdicts.

    An opaque function's kinks are looked for at theta alone, and found where the slopes on both sides differ by more than
    their noise.  Where the model knows its kinks, those at distance 0 must make the slopes differ by more than both are unsure:
    the part k of the bound B that they explain is at most KINK_MARGIN times that difference, and the rest B - k is what one
    slope is unsure.
    """
    bent = np.array([[v == "nondifferentiable" for v in row] for row in np.atleast_2d(judged.verdict)], dtype=bool)
    corner = bent.copy()
    for s, some in enumerate([] if problem.opaque else map(np.flatnonzero, bent)):
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


def _at_smaller_scale(
    probe: Probe, scheme: Scheme, eps: Step | Array, index: Array, power: int, accusing: Estimate
) -> tuple[Estimate, Array]:
    """Estimates with scales ``1e-3**power`` times as large, and where they refute the accusing ones; bool (m,).

    The scale of an opaque function is a guess; far above it differences can agree with each other by chance.  Before a
    gradient is accused, the derivative is therefore looked for once more from much smaller steps.
    """

    def at(p: int) -> Probe:
        return probe._replace(rounding=replace(probe.rounding, length=probe.rounding.length * 1e-3**p))

    larger = accusing if isinstance(eps, str) else auto(at(power - 1), scheme, index)
    smaller = auto(at(power), scheme, index)
    with np.errstate(all="ignore"):
        apart = np.abs(larger.value - smaller.value) > larger.bound + smaller.bound
        misled = apart | (np.isfinite(larger.bound) & ~np.isfinite(smaller.bound) & smaller.finite)
    return smaller if isinstance(eps, str) else fixed(at(power), scheme, eps, index), misled


def _retries(probe: Probe, scheme: Scheme) -> Iterator[Callable[[Array], Estimate]]:
    """Other ways for weights whose step was too large: one-sided formulas for the edge of a domain, and smaller scales."""
    for formula in () if scheme.complex_valued else ONE_SIDED:
        yield partial(auto, probe, formula)
    for power in (1, 2, 3):
        smaller = replace(probe.rounding, length=probe.rounding.length * 1e-3**power)
        for formula in (scheme, *(() if scheme.complex_valued else ONE_SIDED)):
            yield partial(auto, probe._replace(rounding=smaller), formula)


def columns(problem: Problem, index: Array, estimate: Estimate, judged: Judgement, eps: Step) -> dict[str, Any]:
    """The columns of ``errors`` that the check knows, one entry a weight of ``index``."""
    return _of_weights(problem, index) | _of_step(estimate, judged, eps)


def _of_weights(problem: Problem, index: Array) -> dict[str, Any]:
    """The columns that are the same at every step."""
    names, positions = problem.layout.columns(index)
    return {
        "param": names,
        "position": positions,
        "flat_index": index,
        "weight": problem.theta[index].astype(np.float64),
        "analytic": problem.analytic[index].astype(np.float64),
        "correct": None if problem.correct is None else problem.correct[index].astype(np.float64),
    }


def _of_step(estimate: Estimate, judged: Judgement, eps: Step) -> dict[str, Any]:
    return {
        "step": estimate.step,
        "step_rule": ["auto" if eps == AUTO else "fixed"] * len(estimate.step),
        "numeric": estimate.value,
        "abs_err": judged.abs_err,
        "rel_err": judged.rel_err,
        "truncation": judged.truncation,
        "roundoff": judged.roundoff,
        "bound": judged.bound,
        "resolution": judged.resolution,
        "verdict": judged.verdict,
        "reason": judged.reason,
    }


def summarise(
    weights: Mapping[str, Any],
    numeric: Array,
    judged: Judgement,
    diagnoses: Sequence[Diagnosis | None],
    dtype: str,
    bug_injected: bool = False,
    min_judged: float = MIN_JUDGED,
) -> list[dict[str, Any]]:
    """The columns of ``cells`` that follow from the weights, for each of s steps; unknown is None.

    weights : of the columns of ``errors`` those that are the same at every step.
    numeric : (s, m) the numeric gradients, ``judged`` with them.
    """
    index, names = weights["flat_index"], weights["param"]
    rel_err, resolution = judged.rel_err, judged.resolution
    worst = [-1] * len(numeric)
    if len(index):
        # -1 where all are NaN
        known = np.where(np.isnan(rel_err), -1.0, rel_err)
        chosen = known.argmax(axis=-1)
        worst = np.where(known.max(axis=-1) >= 0, chosen, -1).tolist()
    evidence = Evidence(weights["analytic"], numeric, dtype)
    wholes = [
        whole(verdicts, reasons, names, min_judged)
        for verdicts, reasons in zip(judged.verdict, judged.reason, strict=True)
    ]
    figures = {
        "max_rel_err": [None if w < 0 else float(row[w]) for row, w in zip(rel_err, worst, strict=True)],
        "median_rel_err": _known(medians(rel_err)),
        "norm_difference": _known(evidence.norms),
        "max_resolution": resolution.max(axis=-1).tolist() if len(index) else [None] * len(numeric),
        "median_resolution": _known(medians(resolution)),
        "worst_param": [None if w < 0 else names[w] for w in worst],
        "worst_flat_index": [None if w < 0 else int(index[w]) for w in worst],
        **{f"n_{v}": [verdicts.count(v) for verdicts in judged.verdict] for v in VERDICTS},
        "n_exempt": [one.n_exempt for one in wholes],
        "n_judged": [one.n_judged for one in wholes],
        "n_missed": _missed(weights, judged, bug_injected),
        "verdict": [one.verdict for one in wholes],
        "ok": [one.ok for one in wholes],
        "diagnosis": [diagnosis and diagnosis.words for diagnosis in diagnoses],
        "diagnosis_kind": [diagnosis and diagnosis.kind for diagnosis in diagnoses],
        **{f"rule_{name}": accused for name, accused in accusations(evidence).items()},
    }
    rows = (dict(zip(figures, row, strict=True)) for row in zip(*figures.values(), strict=True))
    return [{"n_weights": len(index)} | row for row in rows]


def _missed(weights: Mapping[str, Any], judged: Judgement, bug_injected: bool) -> list[int | None]:
    """At each step the weights whose planted bug the numbers show and which were judged a match; None: nobody knows."""
    correct = weights["correct"]
    if correct is None or not bug_injected:
        return [None if correct is None else 0] * len(judged.verdict)
    shown = zip(judged.bound, judged.verdict, strict=True)
    return [missed(weights["analytic"], correct, bound, verdicts) for bound, verdicts in shown]


def _known(figures: Array) -> list[float | None]:
    return [None if math.isnan(x) else x for x in figures.tolist()]
