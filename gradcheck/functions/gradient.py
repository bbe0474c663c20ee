"""Check your own gradient: ``check_gradient`` says whether it is right, ``assert_gradient`` raises unless it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from gradcheck.functions.arguments import Arguments
from gradcheck.functions.assertion import require
from gradcheck.functions.at_point import check_points
from gradcheck.functions.budget import require_enough
from gradcheck.functions.calls import Calls
from gradcheck.functions.domain import Bounds, limits
from gradcheck.functions.outcome import Outcome
from gradcheck.functions.parameters import Start, flatten
from gradcheck.functions.processes import Workers
from gradcheck.functions.progress import Line
from gradcheck.functions.settings import Settings, require_functions, require_scheme, step_of, thresholds, whole_number
from gradcheck.functions.starts import Given, given, require_inside
from gradcheck.functions.surroundings import untouched
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
    points: Given | None = None,
    max_nfev: int | None = None,
    workers: Workers | None = None,
    vectorized: bool = False,
    progress: bool = False,
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
        checked along random directions, and a part of the weights one by one (see DirectionalOutcome).
    points : int, array_like or list, optional
        Check at k points: at x0 and at k - 1 points around it, x0 + 0.1 max(abs(x0), 1) N(0, 1), drawn by ``seed`` inside
        ``bounds``; or at these points, an array with one more axis in front or a list of structures like x0.  A weight is
        a mismatch if it is at any point, else a match if it is at one, else what it is at the first.
    max_nfev : int, optional
        ``fun`` is never called more often than this.  Where that is not enough for all weights, directions and a sample of
        the weights are taken.
    workers : int or map-like callable, optional
        Evaluate ``fun`` in so many processes (-1: in one for each core), or with ``workers(f, points)`` instead of
        ``map(f, points)``, as in SciPy.  Everything must be picklable.  The numbers are the same.
    vectorized : bool, optional
        ``fun`` takes k points at once, every array of x with a leading axis k, and returns k values.  ``jac`` takes one.
    progress : bool, optional
        Show a line on standard error while it takes, if that is a terminal.
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
    measured on a line of near points (Moré and Wild, SIAM J. Sci. Comput. 33, 2011), the truncation and the scale of f by
    each weight from how the differences change with h.  Two steps suffice where they agree with each other and with the
    gradient.  An accusation is confirmed by points around x at the scale of h, where the noise and kinks are measured anew,
    and by smaller steps that do not contradict it.  A weight is

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
    require_functions(fun, jac, vjp, vectorized)
    parameters, theta = flatten(x0)
    require_scheme(scheme, theta)
    against = thresholds(match_at, accept, min_judged)
    asked = Settings(scheme, step_of(eps), against, vjp, whole_number("sample", sample), seed)
    wanted = given(points, parameters, theta)
    calls = Calls(
        fun,
        None if jac is True else jac,
        Arguments(args if isinstance(args, tuple) else (args,)),
        parameters,
        stacked=vectorized,
        workers=workers,
        max_nfev=whole_number("max_nfev", max_nfev),
    )
    if bounds is not None:
        calls.low, calls.high = limits(bounds, theta)
        require_inside([] if isinstance(wanted, int) else wanted, calls.low, calls.high)
    require_enough(calls, wanted if isinstance(wanted, int) else len(wanted), theta.dtype)
    line = Line() if progress else None
    calls.watch = line
    try:
        with untouched():
            return check_points(calls, theta, wanted, asked)
    finally:
        calls.close()
        if line is not None:
            line.wipe()


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
    points: Given | None = None,
    max_nfev: int | None = None,
    workers: Workers | None = None,
    vectorized: bool = False,
    progress: bool = False,
    seed: int = 0,
) -> None:
    """Raise GradientMismatch unless the gradient ``jac`` of ``fun`` is right at ``x0``.

    Parameters
    ----------
    strict : bool, optional
        Every weight that is not exempt must match, one by one.
    fun, jac, x0, args, eps, scheme, match_at, accept, min_judged, vjp, bounds
        Those of check_gradient.
    sample, points, max_nfev, workers, vectorized, progress, seed
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
    gradcheck.GradientMismatch: MISMATCH  3 of 3 weights are wrong (all of x)
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
        points=points,
        max_nfev=max_nfev,
        workers=workers,
        vectorized=vectorized,
        progress=progress,
        seed=seed,
    )
    require(outcome, strict, limited=max_nfev is not None)
