"""A second look at what a first one left open: entries that a mask hides.

Along such an entry the output is the same to the bit, up to the next kink.

- Where the gradient is 0 there, no relative error can be seen beside it, and nothing is wrong: the entry has no path to the
  output here, and is exempt.
- Where it is not 0, that alone is no evidence: a function of few digits is flat from one of its steps to the next.  It counts
  only where the claimed slope would have moved the output by far more than the noise that was measured at other entries.  Then
  a known slope c is added: s(x) + c x_i has the derivative c if s is flat.  The entry is measured like every other one, and c
  is subtracted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.gradient import check_gradient
from gradcheck.functions.layers.options import Options
from gradcheck.functions.outcome import Outcome
from gradcheck.numerics.diagnosis.diagnose import diagnose
from gradcheck.numerics.diagnosis.kinds import Diagnosis
from gradcheck.numerics.layout import Layout
from gradcheck.numerics.problem import Problem
from gradcheck.numerics.rounding import Rounding
from gradcheck.numerics.verdict import BUDGET, CORNER, EXEMPT, STATIONARY
from gradcheck.numerics.weight_columns import WeightColumns, judgement_of

Array = np.ndarray
Values = Mapping[str, Array]
# Reasons that are no question of flatness: no path, no evaluations left.
OTHER = (EXEMPT, BUDGET, CORNER)
# Advice to do what is being done.
ELSEWHERE = "; check each layer with check_layer."
# How far an entry is moved to see that the output is flat, in units of max(|x|, rms, or 1 where both are 0).
REACHES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
# Within this distance an exempt weight must not move a loss.
EXEMPT_WITHIN = 1e-3
# By how much the claimed slope must exceed what the noise could hide over such a distance.  The noise of other entries is a
# bound already, with Student's factor in it; the rest covers entries whose noise is larger than theirs.
CLEAR = 100.0
# How far the point lies at which a change of this share shows that an output has all its digits, in units of max(|x|, 1).
FAR, FAINT = (1.0, 10.0), 1e-9


@dataclass(frozen=True)
class Claimed:
    """A number to be differentiated, and the gradients that are claimed for it, at a point."""

    fun: Callable[[Values], object]
    jac: Callable[[Values], Mapping[str, Array]]
    point: Mapping[str, Array]


def judged(claimed: Claimed, options: Options) -> Outcome:
    """The outcome of the check, with what it left open looked at again."""
    outcome = check_gradient(claimed.fun, claimed.jac, dict(claimed.point), **options)
    if outcome.diagnosis is not None and outcome.diagnosis.endswith(ELSEWHERE):
        outcome = replace(outcome, diagnosis=outcome.diagnosis.removesuffix(ELSEWHERE) + ".")
    if outcome.points or options.get("max_nfev") is not None:
        return outcome
    return _looked_at_again(_exempted(outcome, claimed), claimed, options)


def _exempted(outcome: Outcome, claimed: Claimed) -> Outcome:
    """The outcome with the entries exempt whose gradient is 0, and along which the output is flat."""
    reasons = list(outcome.table["reason"])
    for row, reason in enumerate(reasons):
        if reason == STATIONARY and outcome.table["analytic"][row] == 0:
            size, reach = _reach(claimed, outcome, row)
            reasons[row] = EXEMPT if reach >= EXEMPT_WITHIN * size else reason
    if reasons == outcome.table["reason"]:
        return outcome
    table = outcome.table.copy()
    table["reason"] = reasons
    return replace(outcome, table=table)


def _looked_at_again(outcome: Outcome, claimed: Claimed, options: Options) -> Outcome:
    """The outcome with the entries judged that the output does not depend on here, although their gradient is not 0."""
    table = outcome.table
    rows = [
        i
        for i, (verdict, reason) in enumerate(zip(table["verdict"], table["reason"], strict=True))
        if verdict == "inconclusive"
        and reason not in OTHER
        and table["analytic"][i] != 0
        and np.isfinite(table["analytic"][i])
    ]
    rows = _flat(outcome, claimed, rows) if rows else []
    if not rows:
        return outcome
    index = np.asarray(table["flat_index"])[rows]
    slopes = np.abs(table["analytic"][rows]) * np.where(np.arange(len(rows)) % 2, -1.0, 1.0)
    seen = _with_slopes(claimed, index, slopes, options)
    table = _filled(table, rows, seen, slopes, outcome.match_at)
    said = _diagnosed(outcome, table, claimed)
    return replace(
        outcome,
        table=table,
        nfev=outcome.nfev + seen.nfev,
        njev=outcome.njev + seen.njev,
        diagnosis=said.words,
        diagnosis_kind=said.kind,
    )


def _flat(outcome: Outcome, claimed: Claimed, rows: Sequence[int]) -> list[int]:
    """Those rows along whose entry the output is flat over a distance in which the claimed slope would clearly show."""
    table = outcome.table
    noise = _noise(outcome, claimed)
    if noise is None:
        return []
    return [
        row for row in rows if abs(float(table["analytic"][row])) * _reach(claimed, outcome, row)[1] > CLEAR * noise
    ]


def _reach(claimed: Claimed, outcome: Outcome, row: int) -> tuple[float, float]:
    """The size of an entry, and how far the output is the same to the bit on both sides of it, as far as was looked."""
    layout, theta = _flattened(claimed)
    i, own = int(outcome.table["flat_index"][row]), claimed.point[outcome.table["param"][row]]
    size = max(abs(float(theta[i])), float(np.sqrt(np.mean(np.square(own, dtype=np.float64))))) or 1.0
    first, reach = claimed.fun(layout.split(theta)), 0.0
    for share in REACHES:
        if any(_at(claimed, layout, theta, i, sign * share * size) != first for sign in (-1, 1)):
            break
        reach = share * size
    return size, reach


def _noise(outcome: Outcome, claimed: Claimed) -> float | None:
    """What the output's noise is at most; None where nothing tells.

    It is that of entries that match.  Where there is none, it is by how much a change of 1e-9 moves the output far away: an
    output of few digits would not move at all.
    """
    table = outcome.table
    matches = [i for i, verdict in enumerate(table["verdict"]) if verdict == "match"]
    if matches:
        return float(np.max(table["roundoff"][matches] * table["step"][matches]))
    layout, theta = _flattened(claimed)
    rng = np.random.default_rng(0)
    least = FAINT if theta.dtype != np.float32 else math.sqrt(float(np.finfo(np.float32).eps))
    for reach in FAR:
        far = theta + (reach * np.maximum(np.abs(theta), 1) * rng.standard_normal(theta.size)).astype(theta.dtype)
        nearly = (far * (1 + least * rng.choice([-1, 1], theta.size))).astype(theta.dtype)
        try:
            first, second = (np.asarray(claimed.fun(layout.split(at)), np.float64) for at in (far, nearly))
        except ContractError:  # its domain ends before
            continue
        moved = float(np.abs(first - second))
        if 0 < moved < np.inf:
            return moved
    return None


def _at(claimed: Claimed, layout: Layout, theta: Array, i: int, h: float) -> object:
    moved = theta.copy()
    moved[i] += h
    return claimed.fun(layout.split(moved))


def _flattened(claimed: Claimed) -> tuple[Layout, Array]:
    layout = Layout(tuple(claimed.point), tuple(a.shape for a in claimed.point.values()))
    return layout, layout.join(dict(claimed.point), np.result_type(*claimed.point.values()))


def _with_slopes(claimed: Claimed, index: Array, slopes: Array, options: Options) -> Outcome:
    """The check of some entries, where each has a known slope added."""
    layout, theta = _flattened(claimed)

    def whole(w: Array) -> Mapping[str, Array]:
        moved = theta.astype(np.result_type(theta.dtype, w.dtype))
        moved[index] = w
        return layout.split(moved)

    def fun(w: Array) -> object:
        return np.asarray(claimed.fun(whole(w))) + (slopes * w).sum()

    def jac(w: Array) -> Array:
        flat = layout.join({name: np.asarray(a) for name, a in claimed.jac(whole(w)).items()}, np.dtype(np.float64))
        return (flat[index] + slopes).astype(w.dtype)

    settings: Options = {"seed": options.get("seed", 0), "match_at": options.get("match_at", 1e-2)}
    return check_gradient(fun, jac, theta[index], **settings)


def _filled(table: WeightColumns, rows: Sequence[int], seen: Outcome, slopes: Array, match_at: float) -> WeightColumns:
    """The columns with those of the second look in some rows, the known slopes taken off."""
    found = table.copy()
    for name in ("numeric", "abs_err", "rel_err", "truncation", "roundoff", "bound", "resolution", "step"):
        found[name] = np.array(table[name])
    found["verdict"], found["reason"] = list(table["verdict"]), list(table["reason"])
    for k, row in enumerate(rows):
        # the subtraction of the known slope rounds
        bound = float(seen.table["bound"][k]) + float(np.finfo(np.float64).eps) * abs(float(slopes[k]))
        if seen.table["verdict"][k] not in ("match", "mismatch") or not np.isfinite(bound):
            continue
        analytic, numeric = float(table["analytic"][row]), float(seen.table["numeric"][k] - slopes[k])
        if abs(numeric) <= bound:
            # flat within the bound, as the first look found it to the bit
            numeric, bound = 0.0, bound + abs(numeric)
        apart, size = abs(analytic - numeric), max(abs(analytic), abs(numeric))
        verdict = "mismatch" if apart > bound else "match" if 2 * bound <= match_at * size else "inconclusive"
        if verdict == "inconclusive":
            continue
        found["numeric"][row], found["abs_err"][row], found["bound"][row] = numeric, apart, bound
        found["rel_err"][row] = apart / max(1e-8, abs(analytic) + abs(numeric))
        found["resolution"][row] = 2 * bound / size
        found["step"][row], found["truncation"][row] = seen.table["step"][k], seen.table["truncation"][k]
        found["roundoff"][row] = bound - seen.table["truncation"][k]
        found["verdict"][row], found["reason"][row] = verdict, None
    return found


def _diagnosed(outcome: Outcome, table: WeightColumns, claimed: Claimed) -> Diagnosis:
    layout = outcome.layout
    analytic = np.zeros(layout.size)
    analytic[np.asarray(table["flat_index"])] = table["analytic"]
    theta = layout.join(dict(claimed.point), np.dtype(np.float64))
    none = np.zeros(layout.size)
    # the diagnosis asks for no loss and for no rounding: only for the numbers
    posed = Problem(layout, theta, np.sum, analytic, None, Rounding(0.0, none, none, none, none, 0.0))
    return diagnose(posed, table["numeric"], judgement_of(table), np.asarray(table["flat_index"]))
