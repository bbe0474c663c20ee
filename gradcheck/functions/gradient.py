"""Check your own gradient: ``check_gradient`` says whether it is right, ``assert_gradient`` raises unless it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from gradcheck.errors import ContractError, GradientMismatch
from gradcheck.functions.directional import LARGE, DirectionalOutcome, check_directions
from gradcheck.functions.domain import limits, require_complex_safe
from gradcheck.functions.function import Arguments, Function, hold_to_contract, problems, quiet, untouched
from gradcheck.functions.outcome import Outcome
from gradcheck.functions.parameters import flatten
from gradcheck.numerics.diagnosis.diagnose import diagnose
from gradcheck.numerics.diagnosis.kinds import Diagnosis
from gradcheck.numerics.examine import examine
from gradcheck.numerics.layout import Layout
from gradcheck.numerics.problem import Problem
from gradcheck.numerics.schemes import SCHEMES, Scheme
from gradcheck.numerics.steps import AUTO, Step
from gradcheck.numerics.verdict import MIN_JUDGED
from gradcheck.numerics.weight_columns import columns, judgement_of

Array = np.ndarray


def check_gradient(
    fun: Callable[..., Any],
    jac: Callable[..., Any] | bool,
    x0: Any,
    args: tuple[Any, ...] = (),
    *,
    eps: Step = AUTO,
    scheme: str = "central",
    match_at: float = 1e-2,
    min_judged: float = MIN_JUDGED,
    vjp: bool = False,
    bounds: Any = None,
    sample: int | None = None,
    seed: int = 0,
) -> Outcome:
    """Compare the gradient ``jac`` of ``fun`` with finite differences at ``x0``, weight by weight.

    fun : ``fun(x, *args)``, a number (or array of size 1), or an array of k outputs, whose Jacobian is then checked.
    jac : ``jac(x, *args)``, an array like x (with the outputs' shape in front for several outputs); True means that ``fun``
        returns (value, gradient).  With ``vjp`` it is ``jac(x, dout, *args)``, the product of an upstream gradient ``dout``,
        of the shape of ``fun``'s output, with the Jacobian, as a layer's ``backward`` computes it.
    x0 : an array of any shape (integers become float64), or a dict, list or tuple of arrays.  It is not changed.
    eps : a step, or ``auto`` for each weight's own.   scheme : a name of ``gradcheck.numerics.schemes.SCHEMES``.
    match_at : a weight matches only if a relative error of this size would have been seen.
    min_judged : where not all weights match, the result is ok only if this share of those that are not exempt was judged,
        and in every parameter one; 0 asks for neither.
    bounds : pairs (low, high), None for no bound, or SciPy's ``Bounds``: no point outside is evaluated.
    sample : check only so many weights, drawn by ``seed``.  Without it a function of one output and of more than
        ``directional.LARGE`` (2,000) weights is checked along random directions, and entry by entry where they say that
        it is wrong.

    Returns an ``Outcome``.  Raises ContractError where something is wrong with the functions rather than with the numbers,
    ValueError for an unknown scheme or a setting that is out of range.
    """
    step = _step(eps)
    if scheme not in SCHEMES:
        raise ValueError(f"scheme={scheme!r}: must be one of {', '.join(SCHEMES)}")
    if not match_at > 0:
        raise ValueError(f"match_at={match_at!r}: must be a number > 0")
    if isinstance(min_judged, bool) or not isinstance(min_judged, (int, float, np.number)) or not 0 <= min_judged <= 1:
        raise ValueError(f"min_judged={min_judged!r}: must be a share from 0 to 1")
    if jac is not True and not callable(jac):
        raise ContractError(f"jac={jac!r}: must be a function, or True if fun returns (value, gradient)")
    if vjp and jac is True:
        raise ContractError("vjp=True: needs jac to be a function of (x, dout), not True")
    if not callable(fun):
        raise ContractError(f"fun={fun!r}: must be a function")
    formula = SCHEMES[scheme]
    parameters, theta = flatten(x0)
    if formula.complex_valued and theta.dtype == np.float32:
        raise ValueError("scheme='complex_step': needs float64 or longdouble parameters, not float32")
    index = _sample(theta.size, sample, seed)
    args = args if isinstance(args, tuple) else (args,)
    function = Function(fun, None if jac is True else jac, Arguments(args), parameters)
    if bounds is not None:
        function.low, function.high = limits(bounds, theta)
    with untouched():
        value, gradient = hold_to_contract(function, theta, seed, vjp)
        with quiet():
            if formula.complex_valued:
                require_complex_safe(function, theta, seed)
            posed = problems(function, theta, value, gradient, seed)
            if sample is None and len(posed) == 1 and theta.size > LARGE:
                return check_directions(posed[0], function, formula, step, match_at, seed, float(min_judged))
            table, diagnosis, layout = _judged(posed, formula, step, match_at, index, function.outer)
    return Outcome(
        table=table,
        layout=layout,
        n_weights=layout.size,
        diagnosis=diagnosis.words,
        diagnosis_kind=diagnosis.kind,
        scheme=scheme,
        eps=step,
        dtype=_dtype_name(theta.dtype),
        match_at=match_at,
        nfev=function.nfev,
        njev=function.njev,
        notes=tuple(dict.fromkeys(function.raised)),
        min_judged=float(min_judged),
    )


def assert_gradient(
    fun: Callable[..., Any],
    jac: Callable[..., Any] | bool,
    x0: Any,
    args: tuple[Any, ...] = (),
    *,
    strict: bool = False,
    **options: Any,
) -> None:
    """Raise GradientMismatch, whose message is the whole report, unless the outcome is ok.

    strict : every weight that is not exempt must match, one by one.   options : those of ``check_gradient``.
    """
    __tracebackhide__ = True
    outcome = check_gradient(fun, jac, x0, args, **options)
    if not outcome.ok:
        raise GradientMismatch(f"{outcome}{_too_few(outcome)}") from None
    if strict and outcome.verdict != "match":
        raise GradientMismatch(f"{outcome}\nstrict: every weight that is not exempt must match") from None
    if strict and isinstance(outcome, DirectionalOutcome):
        raise GradientMismatch(
            f"{outcome}\nstrict: {outcome.n_weights} weights were looked at along directions, not one by one; sample=n takes n"
        ) from None


def _too_few(outcome: Outcome) -> str:
    """What is missing where weights match and yet the outcome is not ok."""
    if outcome.verdict != "partial":
        return ""
    if outcome.judged < outcome.min_judged:
        return f"\n{outcome.judged:.3g} of the weights was judged, min_judged={outcome.min_judged:g} asks for more"
    asked = f"min_judged={outcome.min_judged:g} asks for one in each, min_judged=0 for none"
    return f"\nin a parameter no weight was judged; {asked}"


def _step(eps: Any) -> Step:
    if isinstance(eps, str) and eps == AUTO:
        return AUTO
    if isinstance(eps, bool) or not isinstance(eps, (int, float, np.number)) or not 0 < eps < np.inf:
        raise ContractError(f"eps={eps!r}: must be a finite number > 0, or 'auto'")
    return float(eps)


def _dtype_name(dtype: np.dtype[Any]) -> str:
    return "longdouble" if dtype == np.longdouble and dtype != np.float64 else str(dtype)


def _sample(size: int, sample: int | None, seed: int) -> Array:
    if sample is None:
        return np.arange(size)
    if isinstance(sample, bool) or not isinstance(sample, (int, np.integer)) or sample < 1:
        raise ValueError(f"sample={sample!r}: must be a whole number >= 1")
    return np.sort(np.random.default_rng(seed).choice(size, min(int(sample), size), replace=False))


def _judged(
    posed: list[Problem], formula: Scheme, step: Step, match_at: float, index: Array, outer: tuple[int, ...]
) -> tuple[dict[str, Any], Diagnosis, Layout]:
    """The columns of all outputs' weights in the order of the Jacobian, the diagnosis, and the layout of the Jacobian."""
    parts = [(p, *examine(p, formula, step, match_at, index)[:2]) for p in posed]
    tables: list[dict[str, Any]] = [dict(columns(p, index, estimate, judged, step)) for p, estimate, judged in parts]
    if not outer:
        (problem, estimate, judged), table = parts[0], tables[0]
        return table, diagnose(problem, estimate.value, judged, index), problem.layout
    first = posed[0]
    jacobian = Layout(first.layout.names, tuple(outer + shape for shape in first.layout.shapes))
    flat = np.concatenate([_place(first.layout, index, k, len(posed)) for k in range(len(posed))])
    order = np.argsort(flat, kind="stable")
    table = {name: _joined([t[name] for t in tables], order) for name in tables[0]}
    table["flat_index"] = flat[order]
    table["param"], table["position"] = jacobian.columns(flat[order])
    judged = judgement_of(table)
    every = np.concatenate(
        [_place(first.layout, np.arange(first.theta.size), k, len(posed)) for k in range(len(posed))]
    )
    theta, analytic = np.empty(every.size, first.theta.dtype), np.empty(every.size, first.theta.dtype)
    theta[every] = np.concatenate([p.theta for p in posed])
    analytic[every] = np.concatenate([p.analytic for p in posed])
    whole = replace(first, layout=jacobian, theta=theta, analytic=analytic)
    return table, diagnose(whole, table["numeric"], judged, table["flat_index"]), jacobian


def _place(layout: Layout, index: Array, output: int, outputs: int) -> Array:
    """Where the weights of ``index`` stand in a Jacobian whose parameters have the outputs' shape in front of their own."""
    places = np.empty(index.size, np.int64)
    for where in layout.slices.values():
        mine = (index >= where.start) & (index < where.stop)
        size = where.stop - where.start
        places[mine] = outputs * where.start + output * size + (index[mine] - where.start)
    return places


def _joined(parts: list[Any], order: Array) -> Any:
    if parts[0] is None:
        return None
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)[order]
    flat = [entry for part in parts for entry in part]
    return [flat[i] for i in order]
