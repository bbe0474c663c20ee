"""Check your own gradient: ``check_gradient`` says whether it is right, ``assert_gradient`` raises unless it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from gradcheck.functions.assertion import require
from gradcheck.functions.at_point import check_points
from gradcheck.functions.budget import require_enough
from gradcheck.functions.domain import Bounds
from gradcheck.functions.outcome import Outcome
from gradcheck.functions.parameters import Convention, Start
from gradcheck.functions.posed import Posed, by_name, require_real, require_together, restore, settled
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
    kwargs: Mapping[str, object] | None = None,
    eps: Step = AUTO,
    scheme: SchemeName = "central",
    match_at: float = 1e-2,
    accept: float = 0.0,
    min_judged: float = MIN_JUDGED,
    vjp: bool = False,
    bounds: Bounds | None = None,
    inplace: bool = False,
    sample: int | None = None,
    points: Given | None = None,
    max_nfev: int | None = None,
    workers: Workers | None = None,
    vectorized: bool = False,
    names: Sequence[str] | None = None,
    convention: Convention | None = None,
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
        True means that ``fun`` returns ``(value, gradient)``.  The gradients of a structure have the names of its arrays,
        or all of them ``d`` or ``grad_`` before it, as entries or attributes; what else there is, is ignored.
    x0 : array_like, or any nesting of dicts, lists, tuples, NamedTuples and dataclasses of arrays
        The point at which the gradient is checked.  An array may be one of NumPy, PyTorch or JAX, a Series or DataFrame, or
        a sparse matrix of SciPy: both functions get each in its kind.  Numbers and arrays of integers become float64; in a
        structure only those for which ``jac`` has a gradient.  The others are frozen, as are None, bool and text.  Neither
        x0 nor a global random state is changed.
    args : tuple, optional
        Further arguments of ``fun`` and ``jac``.
    kwargs : dict, optional
        Further arguments by name.
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
        ``jac(x, dout, *args)`` returns the product of an upstream gradient ``dout`` with the Jacobian, as the ``backward`` of
        a layer does.  ``dout`` has the shape of ``fun``'s output, or its structure, and is drawn by ``seed``.
    bounds : sequence of (low, high), one such pair, dict of them, or scipy.optimize.Bounds, optional
        No point outside is evaluated; None is no bound.  One pair holds for all weights, a dict has a pair for the name of
        an array, of a part of x0, or of a labelled entry.
    inplace : bool, optional
        x0 holds the very arrays that the functions compute with.  They are called without x, ``fun(*args)`` and
        ``jac(*args)``, or ``jac(dout, *args)``; ``jac`` is called directly after ``fun`` at the same point.  The arrays are
        changed in place and restored to the bit, whatever is raised.  One that stands in several places of x0 is one
        parameter, and its gradients add up.
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
    names : list of str, optional
        Labels of the entries of one array, as in ``x[age]``; or names of the entries of a list or tuple.
    convention : {'conjugate', 'plain'}, optional
        What the gradient by a complex array x + iy is: df/dx + i df/dy, as PyTorch has it, or df/dx - i df/dy, as JAX has
        it.  It must be said where there is one; its rows are ``W.real`` and ``W.imag``.
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

    A net that keeps its parameters, as in courses:

    >>> class Net:
    ...     def __init__(self):
    ...         self.params = {"W": np.array([0.5, -1.0]), "b": np.zeros(1)}
    ...     def loss(self):
    ...         return np.sum(self.params["W"] ** 2) + np.exp(self.params["b"]).sum()
    ...     def gradients(self):
    ...         return {"dW": 2 * self.params["W"], "db": np.exp(self.params["b"])}
    >>> net = Net()
    >>> gradcheck.check_gradient(net.loss, net.gradients, net.params, inplace=True).verdict
    'match'
    """
    require_functions(fun, jac, vjp, vectorized)
    against = thresholds(match_at, accept, min_judged)
    asked = Settings(scheme, step_of(eps), against, vjp, whole_number("sample", sample), seed)
    posed = Posed(
        fun,
        None if jac is True else jac,
        x0,
        args if isinstance(args, tuple) else (args,),
        by_name(kwargs),
        vjp=vjp,
        inplace=inplace,
        names=names,
        convention=convention,
        vectorized=vectorized,
        workers=workers,
        max_nfev=whole_number("max_nfev", max_nfev),
    )
    require_together(posed, scheme)
    calls, theta = settled(posed, bounds)
    require_scheme(scheme, theta)
    require_real(calls.parameters, scheme)
    wanted = given(points, calls.parameters, theta)
    if calls.low is not None and calls.high is not None:
        require_inside([] if isinstance(wanted, int) else wanted, calls.low, calls.high)
    require_enough(calls, wanted if isinstance(wanted, int) else len(wanted), theta.dtype)
    line = Line() if progress else None
    calls.watch = line
    try:
        with untouched():
            return check_points(calls, theta, wanted, asked)
    finally:
        restore(calls)
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
    kwargs: Mapping[str, object] | None = None,
    eps: Step = AUTO,
    scheme: SchemeName = "central",
    match_at: float = 1e-2,
    accept: float = 0.0,
    min_judged: float = MIN_JUDGED,
    vjp: bool = False,
    bounds: Bounds | None = None,
    inplace: bool = False,
    sample: int | None = None,
    points: Given | None = None,
    max_nfev: int | None = None,
    workers: Workers | None = None,
    vectorized: bool = False,
    names: Sequence[str] | None = None,
    convention: Convention | None = None,
    progress: bool = False,
    seed: int = 0,
) -> None:
    """Raise GradientMismatch unless the gradient ``jac`` of ``fun`` is right at ``x0``.

    Parameters
    ----------
    strict : bool, optional
        Every weight that is not exempt must match, one by one.
    fun, jac, x0, args, kwargs, eps, scheme, match_at, accept, min_judged, vjp, bounds, inplace
        Those of check_gradient.
    sample, points, max_nfev, workers, vectorized, names, convention, progress, seed
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
        kwargs=kwargs,
        eps=eps,
        scheme=scheme,
        match_at=match_at,
        accept=accept,
        min_judged=min_judged,
        vjp=vjp,
        bounds=bounds,
        inplace=inplace,
        sample=sample,
        points=points,
        max_nfev=max_nfev,
        workers=workers,
        vectorized=vectorized,
        names=names,
        convention=convention,
        progress=progress,
        seed=seed,
    )
    require(outcome, strict, limited=max_nfev is not None)
