"""Check your own gradient: ``check_gradient`` says whether it is right, ``assert_gradient`` raises unless it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from gradcheck.errors import GradientMismatch
from gradcheck.functions.arguments import Arguments
from gradcheck.functions.calls import Calls
from gradcheck.functions.contract import hold_to_contract
from gradcheck.functions.directions.check import LARGE, check_directions
from gradcheck.functions.directions.outcome import DirectionalOutcome
from gradcheck.functions.domain import Bounds, limits, require_complex_safe
from gradcheck.functions.jacobian import check_outputs
from gradcheck.functions.outcome import Outcome
from gradcheck.functions.parameters import Start, flatten
from gradcheck.functions.problems import problems
from gradcheck.functions.settings import require_functions, sampled, scheme_of, step_of, thresholds
from gradcheck.functions.surroundings import quiet, untouched
from gradcheck.numerics.schemes import SchemeName
from gradcheck.numerics.steps import AUTO, Step
from gradcheck.numerics.verdict import MIN_JUDGED


def check_gradient(
    fun: Callable[..., object],
    jac: Callable[..., object] | Literal[True],
    x0: Start,
    args: tuple[object, ...] = (),
    *,
    eps: Step = AUTO,
    scheme: SchemeName = "central",
    match_at: float = 1e-2,
    accept: float = 0.0,
    min_judged: float = MIN_JUDGED,
    vjp: bool = False,
    bounds: Bounds | None = None,
    sample: int | None = None,
    seed: int = 0,
) -> Outcome:
    """Compare the gradient ``jac`` of ``fun`` with finite differences at ``x0``, weight by weight.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)`` returns a number (or an array of size 1), or an array of k outputs, whose Jacobian is then checked.
    jac : callable or True
        ``jac(x, *args)`` returns an array like ``x``, with the shape of the outputs in front where there are several.
        True means that ``fun`` returns ``(value, gradient)``.
    x0 : array_like, or dict, list or tuple of arrays
        The point at which the gradient is checked.  Integers become float64.  Neither it nor the global random state of
        NumPy is changed.
    args : tuple, optional
        Further arguments of ``fun`` and ``jac``.
    eps : float or 'auto', optional
        The step of the differences.  By default each weight gets the step with the smallest bound.
    scheme : str, optional
        The difference formula, such as 'five_point' or 'complex_step'.  The message about a wrong name lists all.
    match_at : float, optional
        A weight matches only if a relative error of this size would have been seen.
    accept : float, optional
        For a loss that is exact only to a tolerance, such as that of a solver: a relative difference up to this one, beside
        the bound, is no mismatch.  It must be below ``match_at``.
    min_judged : float, optional
        Where some weights match and others cannot be judged, the outcome is ok only if this share of the weights that are
        not exempt was judged, and one weight in every parameter.  0 asks for neither.
    vjp : bool, optional
        ``jac(x, dout, *args)`` returns the product of an upstream gradient ``dout``, of the shape of ``fun``'s output, with
        the Jacobian, as the ``backward`` of a layer does.  ``dout`` is drawn by ``seed``.
    bounds : sequence of (low, high) or scipy.optimize.Bounds, optional
        No point outside is evaluated; None is no bound.
    sample : int, optional
        Check this many weights, drawn by ``seed``.  Without it, the gradient of one output by more than 2,000 weights is
        checked along random directions (see DirectionalOutcome).
    seed : int, optional
        The seed of everything that is drawn.

    Returns
    -------
    Outcome
        The verdict and the numbers.  It is true in a condition if, and only if, the gradient is ok.

    Raises
    ------
    ContractError
        If something is wrong with the functions rather than with the numbers, such as a gradient of another shape, or if
        ``eps`` is not positive.
    ValueError
        If a setting is out of range.

    See Also
    --------
    assert_gradient : The same in a test.

    Notes
    -----
    With the default scheme the derivative by a weight x is (f(x + h) - f(x - h)) / 2h.  Its error is at most::

        bound = truncation + roundoff

    where the roundoff contains the noise of f over h and the rounding of the analytic gradient itself.  The noise of f is
    measured from a table of differences (Moré and Wild, SIAM J. Sci. Comput. 33, 2011), and the truncation from how the
    differences change with h.  A weight is

    - ``mismatch`` if ``|analytic - numeric| > bound + accept max(|analytic|, |numeric|)``: no rounding can explain it,
    - ``match`` if ``2 bound / max(|analytic|, |numeric|) + accept <= match_at``: an error of this size would have been seen,
    - otherwise ``inconclusive``, or ``nondifferentiable`` where a kink of f is most of the bound.

    The complex step is that of Squire and Trapp, SIAM Review 40 (1998).

    Examples
    --------
    >>> import gradcheck
    >>> import numpy as np
    >>> def fun(x):
    ...     return np.sum(x**3)
    >>> gradcheck.check_gradient(fun, lambda x: 3 * x**2, [1.0, 2.0, 3.0]).verdict
    'match'
    >>> r = gradcheck.check_gradient(fun, lambda x: 2 * x**2, [1.0, 2.0, 3.0])
    >>> r.verdict, r.ok, r.diagnosis_kind
    ('mismatch', False, 'constant_factor')
    """
    step = step_of(eps)
    formula = scheme_of(scheme)
    against = thresholds(match_at, accept, min_judged)
    require_functions(fun, jac, vjp)
    parameters, theta = flatten(x0)
    if formula.complex_valued and theta.dtype == np.float32:
        raise ValueError("scheme='complex_step': needs float64 or longdouble parameters, not float32")
    index = sampled(theta.size, sample, seed)
    args = args if isinstance(args, tuple) else (args,)
    calls = Calls(fun, None if jac is True else jac, Arguments(args), parameters)
    if bounds is not None:
        calls.low, calls.high = limits(bounds, theta)
    with untouched():
        value, gradient = hold_to_contract(calls, theta, seed, vjp)
        with quiet():
            if formula.complex_valued:
                require_complex_safe(calls, theta, seed)
            posed = problems(calls, theta, value, gradient, seed)
            if sample is None and len(posed) == 1 and theta.size > LARGE:
                return check_directions(posed[0], calls, scheme, step, against, seed)
            table, diagnosis, layout = check_outputs(posed, formula, step, against, index, calls.outer)
    return Outcome(
        table=table,
        layout=layout,
        n_weights=layout.size,
        diagnosis=diagnosis.words,
        diagnosis_kind=diagnosis.kind,
        scheme=scheme,
        eps=step,
        dtype="longdouble" if theta.dtype == np.longdouble and theta.dtype != np.float64 else str(theta.dtype),
        match_at=against.match_at,
        nfev=calls.nfev,
        njev=calls.njev,
        notes=tuple(dict.fromkeys(calls.raised)),
        min_judged=against.min_judged,
        accept=against.accept,
    )


def assert_gradient(
    fun: Callable[..., object],
    jac: Callable[..., object] | Literal[True],
    x0: Start,
    args: tuple[object, ...] = (),
    *,
    strict: bool = False,
    eps: Step = AUTO,
    scheme: SchemeName = "central",
    match_at: float = 1e-2,
    accept: float = 0.0,
    min_judged: float = MIN_JUDGED,
    vjp: bool = False,
    bounds: Bounds | None = None,
    sample: int | None = None,
    seed: int = 0,
) -> None:
    """Raise GradientMismatch unless the gradient ``jac`` of ``fun`` is right at ``x0``.

    Parameters
    ----------
    strict : bool, optional
        Every weight that is not exempt must match, one by one.
    fun, jac, x0, args, eps, scheme, match_at, accept, min_judged, vjp, bounds, sample, seed
        Those of check_gradient.

    Raises
    ------
    GradientMismatch
        If the outcome of check_gradient is not ok, or with ``strict`` if it is not a match of every weight.  The message is
        the whole report.
    ContractError, ValueError
        As check_gradient does.

    See Also
    --------
    check_gradient : Returns the outcome; its notes have the formulas.

    Examples
    --------
    >>> import gradcheck
    >>> import numpy as np
    >>> gradcheck.assert_gradient(lambda x: np.sum(x**2), lambda x: 2 * x, np.ones(3))
    >>> gradcheck.assert_gradient(lambda x: np.sum(x**2), lambda x: x, np.ones(3))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    gradcheck.errors.GradientMismatch: MISMATCH  3 of 3 weights are wrong (all of x)
    ...
    """
    __tracebackhide__ = True
    outcome = check_gradient(
        fun,
        jac,
        x0,
        args,
        eps=eps,
        scheme=scheme,
        match_at=match_at,
        accept=accept,
        min_judged=min_judged,
        vjp=vjp,
        bounds=bounds,
        sample=sample,
        seed=seed,
    )
    if not outcome.ok:
        raise GradientMismatch(f"{outcome}{_too_few(outcome)}") from None
    if strict and outcome.verdict != "match":
        raise GradientMismatch(f"{outcome}\nstrict: every weight that is not exempt must match") from None
    if strict and isinstance(outcome, DirectionalOutcome):
        raise GradientMismatch(
            f"{outcome}\nstrict: {outcome.n_weights} weights were looked at along directions, not one by one; sample=n takes n"
        ) from None


def _too_few(outcome: Outcome) -> str:
    """What is missing where some weights match and the outcome is not ok."""
    if outcome.verdict != "partial":
        return ""
    if outcome.judged < outcome.min_judged:
        return f"\n{outcome.judged:.3g} of the weights was judged, min_judged={outcome.min_judged:g} asks for more"
    asked = f"min_judged={outcome.min_judged:g} asks for one in each, min_judged=0 for none"
    return f"\nin a parameter no weight was judged; {asked}"
