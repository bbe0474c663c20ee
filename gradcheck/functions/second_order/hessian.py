"""Check your own Hessian: the gradient, the Hessian and its symmetry in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.arguments import Arguments
from gradcheck.functions.calls import Calls
from gradcheck.functions.domain import Bounds, limits
from gradcheck.functions.parameters import Start
from gradcheck.functions.posed import Posed, by_name, settled
from gradcheck.functions.processes import Workers
from gradcheck.functions.second_order.callables import require_taken
from gradcheck.functions.second_order.check import checked
from gradcheck.functions.second_order.claim import Claim, Counted, How
from gradcheck.functions.second_order.entries import labels_of
from gradcheck.functions.second_order.outcome import HessianOutcome
from gradcheck.functions.second_order.structure import real
from gradcheck.functions.starts import Given, around, given
from gradcheck.functions.surroundings import quiet, untouched
from gradcheck.functions.trees.start import taken_apart
from gradcheck.numerics.schemes import SchemeName
from gradcheck.numerics.steps import AUTO, Step
from gradcheck.numerics.verdict import MIN_JUDGED

Array = np.ndarray

# A Hessian by more entries of x than this is multiplied by drawn vectors, and not compared entry by entry; fewer where each
# column takes a call of ``hessp``.
LARGEST, COLUMNS = 500, 100


def check_hessian(
    fun: Callable[..., object],
    jac: Callable[..., object] | Literal[True] | None,
    hess: Callable[..., object] | None,
    x0: Start,
    args: tuple[object, ...] = (),
    *,
    hessp: Callable[..., object] | None = None,
    kwargs: Mapping[str, object] | None = None,
    eps: Step = AUTO,
    scheme: SchemeName = "central",
    match_at: float = 1e-2,
    accept: float = 0.0,
    min_judged: float = MIN_JUDGED,
    bounds: Bounds | None = None,
    sample: int | None = None,
    points: Given | None = None,
    max_nfev: int | None = None,
    workers: Workers | None = None,
    names: Sequence[str] | None = None,
    progress: bool = False,
    seed: int = 0,
) -> HessianOutcome:
    """Compare gradient and Hessian of ``fun`` with finite differences at ``x0``, and the Hessian with its transpose.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)`` returns a number.
    jac : callable, True or None
        ``jac(x, *args)`` returns the gradient, like ``x``.  True means that ``fun`` returns ``(value, gradient)``.
    hess : callable or None
        ``hess(x, *args)`` returns the Hessian: an array, matrix or sparse matrix (n, n) over the n entries of x in their
        order, or an array of the shape of x twice; for a dict of arrays also a dict of dicts of blocks.  None where
        ``hessp`` is given.
    x0 : array_like, or dict, list or tuple of arrays
        The point at which both are checked.
    args : tuple, optional
        Further arguments of all functions.
    kwargs : dict, optional
        Further arguments of all functions by name.
    hessp : callable, optional
        ``hessp(x, p, *args)`` returns the product of the Hessian with a vector ``p`` like ``x``, as in SciPy.  It is compared
        with ``hess``; without ``hess`` its products with the unit vectors are the Hessian that is checked.
    eps, scheme, match_at, accept, min_judged, bounds, workers, progress
        Those of check_gradient.
    sample : int, optional
        Check this many columns of the Hessian, and as many entries of the gradient, drawn by ``seed``.  Without it, a Hessian
        by more than 500 entries of x (100, where ``hessp`` alone is given) is multiplied by drawn vectors, and the products
        are compared with differences of ``jac`` along them.
    points : int, array_like or list, optional
        Check at k points: at x0 and at k - 1 points around it, x0 + 0.1 max(abs(x0), 1) N(0, 1); or at these points.
    max_nfev : int, optional
        ``fun`` is never called more often than this for the gradient, nor ``jac`` for the Hessian.
    names : list of str, optional
        Labels of the entries of one array, or names of the entries of a list or tuple, by which reports call the entries:
        ``H[beta,sigma]``.
    seed : int, optional
        The seed of everything that is drawn.

    Returns
    -------
    HessianOutcome
        The verdict and the numbers.  It is true in a condition if, and only if, gradient and Hessian are ok.

    Raises
    ------
    ContractError
        If something is wrong with the functions rather than with the numbers, such as a Hessian of another shape.
    ValueError
        If a setting is out of range.

    See Also
    --------
    check_gradient : Checks the gradient alone; its notes have the formulas of bounds and verdicts.
    check_adjoint : Checks a product with a Jacobian against that with its transpose.

    Notes
    -----
    The Hessian is the Jacobian of the gradient, so that each entry is compared with a central difference of one entry of
    ``jac``, within the bound of check_gradient::

        H_ij = d g_i / d x_j = (g_i(x + h e_j) - g_i(x - h e_j)) / 2h + truncation + roundoff

    Both orders of a mixed derivative are equal (Schwarz), so an entry may differ from its transpose by rounding alone.  How
    much that is, is measured at near points: there H - H^T of a right Hessian is rounding drawn anew.  The bound is at least
    2**10 u sqrt(m_i m_j), with m_i the largest entry of row i: the rounding of a sum of a million terms of the size that
    Cauchy and Schwarz allow.

    Without ``jac`` differences of order 4 of ``fun`` stand for it.  That takes some 24 n**2 calls of ``fun`` for n entries of
    x, and a relative error must be a thousand times larger to be seen: about 1e-7 instead of 1e-10.

    Examples
    --------
    >>> import gradcheck
    >>> from scipy.optimize import rosen, rosen_der, rosen_hess, rosen_hess_prod
    >>> r = gradcheck.check_hessian(rosen, rosen_der, rosen_hess, [1.3, 0.7, 0.8], hessp=rosen_hess_prod)
    >>> r.verdict, r.symmetric
    ('match', True)
    >>> import numpy as np
    >>> r = gradcheck.check_hessian(rosen, rosen_der, lambda x: np.tril(rosen_hess(x)), [1.3, 0.7, 0.8])
    >>> r.verdict, r.symmetric, r.diagnosis_kind, sorted(r.worst(2)["entry"])
    ('mismatch', False, 'one_triangle', ['H[0,1]', 'H[1,2]'])
    """
    _require_functions(fun, jac, hess, hessp)
    arguments, named = args if isinstance(args, tuple) else (args,), by_name(kwargs)
    _require_taken(fun, jac, hess, hessp, arguments, named)
    # without a gradient the value stands for it: nothing of it is read
    posed = Posed(fun, None if jac is True else jac or fun, x0, arguments, named, names=names, convention="conjugate")
    calls, theta = _calls(posed, jac, bounds)
    structure = real(calls.parameters)
    large = sample is None and theta.size > (COLUMNS if hess is None else LARGEST)
    _require_size(theta, jac is None and large)
    if jac is None and max_nfev is not None:
        raise ContractError(
            "max_nfev: needs jac; second differences of fun take what they take, sample=k takes k columns"
        )
    with untouched():
        claim = Claim(
            fun=fun,
            jac=jac,
            hess=None if hess is None else Counted(hess),
            hessp=None if hessp is None else Counted(hessp),
            x0=x0,
            args=arguments,
            kwargs=named,
            structure=structure,
            points=_points(calls, theta, points, seed),
            several=points is not None,
            large=large,
            limits=(calls.low, calls.high),
            labels=labels_of(structure.layout, structure.single),
            how=How(
                eps, scheme, match_at, accept, min_judged, bounds, sample, max_nfev, workers, names, progress, seed
            ),
        )
        return checked(claim)


def _require_taken(
    fun: object, jac: object, hess: object, hessp: object, args: tuple[object, ...], kwargs: Mapping[str, object]
) -> None:
    """Raise ContractError where one of the functions does not take what it gets."""
    x = ["x"]
    for name, function, before in (("fun", fun, x), ("jac", jac, x), ("hess", hess, x), ("hessp", hessp, ["x", "p"])):
        if callable(function):
            require_taken(name, function, before, args, kwargs)


def _calls(posed: Posed, jac: object, bounds: Bounds | None) -> tuple[Calls, Array]:
    """The calls of ``fun`` within the limits, and x0 as a flat vector."""
    if jac is not None:
        return settled(posed, bounds)
    # whole numbers are parameters all: there is no gradient to tell
    parameters, theta, _ = taken_apart(posed.x0, names=posed.names, convention="conjugate")
    calls = Calls(posed.fun, posed.fun, Arguments(posed.args, posed.kwargs), parameters)
    if bounds is not None:
        calls.low, calls.high = limits(bounds, parameters, theta)
    return calls, theta


def _require_functions(fun: object, jac: object, hess: object, hessp: object) -> None:
    """Raise ContractError unless these can be called together."""
    if not callable(fun):
        raise ContractError(
            f"fun={fun!r}: must be a function; check_gradient(jac, hess, x0) checks hess against jac alone"
        )
    if jac is not None and jac is not True and not callable(jac):
        raise ContractError(f"jac={jac!r}: must be a function, True if fun returns (value, gradient), or None")
    if hess is None and hessp is None:
        raise ContractError("hess=None: give hess or hessp; check_gradient checks a gradient alone")
    for name, value in (("hess", hess), ("hessp", hessp)):
        if value is not None and not callable(value):
            hint = "; a difference formula of SciPy leaves nothing to check" if isinstance(value, str) else ""
            kind = repr(value) if isinstance(value, (str, bool, int, float)) else f"<{type(value).__name__}>"
            raise ContractError(f"{name}={kind}: must be a function of x{', p' if name == 'hessp' else ''}{hint}")


def _require_size(theta: Array, second_differences: bool) -> None:
    if theta.size == 0:
        raise ContractError("x0 has no entries: there is no Hessian")
    if second_differences:
        raise ContractError(
            f"jac=None: second differences of fun by {theta.size} entries of x0 take too long; give jac, or sample=k"
            " columns"
        )


def _points(calls: Calls, theta: Array, points: Given | None, seed: int) -> list[Array]:
    """The flat points at which all is checked: those that are given, or drawn around theta where ``fun`` is finite."""
    wanted = given(points, calls.parameters, theta)
    if isinstance(wanted, list):
        return wanted
    if wanted == 1:
        return [theta]
    rng = np.random.default_rng(seed)
    calls.outputs(theta)
    with quiet():
        return [theta, *(around(calls, theta, rng) for _ in range(wanted - 1))]
