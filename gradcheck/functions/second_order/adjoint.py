"""The dot-product test: do a product with a Jacobian and a product with its transpose belong together?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.arguments import Arguments
from gradcheck.functions.second_order.adjoint_diagnosis import diagnose
from gradcheck.functions.second_order.adjoint_outcome import AdjointOutcome, verdict_of
from gradcheck.functions.second_order.callables import require_taken
from gradcheck.functions.second_order.operators import Operator
from gradcheck.functions.second_order.pairs import Pair, drawn
from gradcheck.functions.second_order.spaces import Space, Vector, space_of
from gradcheck.functions.settings import thresholds, whole_number
from gradcheck.functions.starts import SPREAD, Given
from gradcheck.functions.surroundings import quiet, untouched
from gradcheck.numerics.verdict import MIN_JUDGED

Array = np.ndarray

# Two calls with the same vectors may differ by so many units of rounding: threads may add in another order.
THREADS = 8


def check_adjoint(
    jvp: Callable[..., object],
    vjp: Callable[..., object],
    x0: Vector,
    args: tuple[object, ...] = (),
    *,
    pairs: int = 6,
    points: Given | None = None,
    convention: Literal["conjugate", "plain"] = "conjugate",
    match_at: float = 1e-2,
    accept: float = 0.0,
    seed: int = 0,
) -> AdjointOutcome:
    """Check that ``jvp`` and ``vjp`` multiply by a matrix and by its transpose: <u, J v> = <J^T u, v> for drawn u and v.

    Parameters
    ----------
    jvp : callable
        ``jvp(x, v, *args)`` returns J v, the product of the Jacobian at ``x`` with ``v`` like ``x``: an array of any shape, or
        any nesting of dicts, lists and tuples of arrays.
    vjp : callable
        ``vjp(x, u, *args)`` returns J^T u, like ``x``, for ``u`` like what ``jvp`` returns.
    x0 : array_like, or any nesting of dicts, lists and tuples of arrays
        The point.  Real or complex; integers become float64.
    args : tuple, optional
        Further arguments of both.
    pairs : int, optional
        How many pairs (u, v) are drawn at each point, at least; more where the scales of the entries lie far apart.
    points : int, array_like or list, optional
        Check at k points: at x0 and at k - 1 points x0 + 0.1 max(abs(x0), 1) N(0, 1); or at these points.
    convention : {'conjugate', 'plain'}, optional
        Of complex vectors: <u, w> is sum(conj(u) w), and vjp multiplies by the conjugate transpose; or it is sum(u w), and vjp
        multiplies by the transpose.
    match_at : float, optional
        A pair matches only if a relative error of this size would have been seen.
    accept : float, optional
        A relative difference up to this one, beside the bound, is no mismatch.
    seed : int, optional
        The seed of everything that is drawn.

    Returns
    -------
    AdjointOutcome
        The verdict and the numbers.  It is true in a condition if, and only if, it is ok.

    Raises
    ------
    ContractError
        If something is wrong with the functions rather than with the numbers, such as a product of another shape.
    ValueError
        If a setting is out of range.

    See Also
    --------
    check_gradient : With ``vjp=True`` it compares a product with the transpose with differences of the function itself.

    Notes
    -----
    The test does not show that J is the derivative of a function: both may be products with the same wrong matrix.

    In exact arithmetic both inner products are equal at every x, u and v.  So what they differ by beside the drawn ones is
    rounding alone, and its deviation s is measured there: with u and v changed by one unit in the last place, and with x, u
    and v changed by shares of 2**-20 and 2**-16, which are seen by a float32 inside the functions too.  A pair is a mismatch if
    they differ by more than::

        bound = t s + u (16 + sqrt(n)) (||u|| ||J v|| + ||J^T u|| ||v||)

    with t a quantile of Student's distribution and u the unit roundoff.  Where both products are linear in their vectors, as
    the test itself shows, n random pairs see any difference of the matrices but for a set of measure 0.  Half of the pairs
    are scaled so that every entry of x contributes alike, whatever its scale.  For real x with complex outputs the real part
    counts.

    The test is that of Claerbout, Earth Soundings Analysis (1992), chapter 5.

    Examples
    --------
    >>> import gradcheck
    >>> import numpy as np
    >>> A = np.random.default_rng(0).normal(size=(4, 3))
    >>> gradcheck.check_adjoint(lambda x, v: A @ v, lambda x, u: A.T @ u, np.zeros(3)).verdict
    'match'
    >>> r = gradcheck.check_adjoint(lambda x, v: np.fft.fft(v), lambda x, u: np.fft.ifft(u), np.zeros(8, complex))
    >>> r.verdict, r.diagnosis
    ('mismatch', 'vjp is 0.125 times what it should be beside jvp: 8 is the number of outputs.')
    """
    _require_functions(jvp, vjp)
    if convention not in ("conjugate", "plain"):
        raise ValueError(f"convention={convention!r}: must be 'conjugate' or 'plain'")
    against = thresholds(match_at, accept, MIN_JUDGED)
    count = whole_number("pairs", pairs) or 1
    space, x = space_of(x0, "x0")
    if not np.isfinite(x).all():
        raise ContractError("x0 has an entry that is not finite")
    rng = np.random.default_rng(seed)
    arguments = Arguments(args if isinstance(args, tuple) else (args,))
    require_taken("jvp", jvp, ["x", "v"], arguments.values)
    require_taken("vjp", vjp, ["x", "u"], arguments.values)
    with untouched():
        out, calls = _output(jvp, space, x, arguments.values, rng)
        op = Operator(jvp, vjp, arguments.values, space, out, bilinear=convention == "plain", njvp=calls)
        _require_repeated(op, x, rng)
        found: list[Pair] = []
        where: list[int] = []
        with quiet():
            for k, point in enumerate(_points(points, space, x, rng)):
                found += drawn(op, point, count, against.accept, rng)
                where += [k] * (len(found) - len(where))
            arguments.require_unchanged("jvp or vjp")
            wrong = [p for p in found if verdict_of(p, against.match_at, against.accept) == "mismatch"]
            words = diagnose(op, found, wrong) if wrong else None
    return AdjointOutcome(
        pairs=tuple(found),
        points=tuple(where),
        match_at=against.match_at,
        accept=against.accept,
        diagnosis=words.words if words else None,
        diagnosis_kind=words.kind if words else None,
        njvp=op.njvp,
        nvjp=op.nvjp,
    )


def _require_functions(jvp: object, vjp: object) -> None:
    for name, value, glue in (("jvp", jvp, "lambda x, v: A @ v"), ("vjp", vjp, "lambda x, u: A.T @ u")):
        if callable(value) and not hasattr(value, "matvec"):
            continue
        is_matrix = hasattr(value, "shape") or hasattr(value, "matvec")
        hint = f"; of a matrix or LinearOperator A it is {glue}{', A.H @ u where complex' if name == 'vjp' else ''}"
        kind = f"<{type(value).__name__}>" if is_matrix else repr(value)
        raise ContractError(
            f"{name}={kind}: must be a function of (x, {'v' if name == 'jvp' else 'u'}){hint if is_matrix else ''}"
        )


def _output(
    jvp: Callable[..., object], space: Space, x: Array, args: tuple[object, ...], rng: np.random.Generator
) -> tuple[Space, int]:
    """The structure of what ``jvp`` returns, and how often it was called to see."""
    v = rng.uniform(0.5, 1.5, space.size) * rng.choice([-1.0, 1.0], space.size)
    value = jvp(space.tree(x), space.tree(v), *args)
    out, flat = space_of(value, "what jvp returns")
    calls = 1
    if isinstance(value, tuple) and len(value) == 2 and len(out.leaves) == 2:
        calls, first = 2, out.parts[0][1]
        other = space_of(jvp(space.tree(x), space.tree(2 * v), *args), "what jvp returns")[1]
        # the value itself may be rounded otherwise
        if flat[first].any() and other.size == flat.size and np.allclose(other[first], flat[first], rtol=1e-6, atol=0):
            raise ContractError(
                "jvp returns two things, the first of which does not depend on v: if it is (value, J v), take [1]"
            )
    return out, calls


def _require_repeated(op: Operator, x: Array, rng: np.random.Generator) -> None:
    """Raise ContractError where two calls with the same vectors differ, or where x0 is no place for them."""
    v = rng.uniform(0.5, 1.5, op.space.size).astype(op.space.dtype)
    u = rng.uniform(0.5, 1.5, op.out.size).astype(op.out.dtype)
    for name, apply, vector in (("jvp", op.push, v), ("vjp", op.pull, u)):
        one, two = apply(x, vector), apply(x, vector)
        size = float(np.abs(one[np.isfinite(one)]).max(initial=0.0))
        with np.errstate(all="ignore"):
            gap = np.abs(one - two)
        gap = gap[np.isfinite(gap)]
        if gap.max(initial=0.0) > THREADS * op.unit * size:
            raise ContractError(
                f"{name} is not deterministic: two calls with the same x and vector differ by {gap.max():.2g}"
            )


def _points(points: object, space: Space, x: Array, rng: np.random.Generator) -> list[Array]:
    if points is None:
        return [x]
    if isinstance(points, (int, np.integer)) and not isinstance(points, bool):
        if points < 1:
            raise ValueError(f"points={points!r}: must be a number of points >= 1, or the points")
        size = SPREAD * np.maximum(np.abs(x), 1.0)
        return [x, *((x + size * rng.standard_normal(x.size)).astype(x.dtype) for _ in range(points - 1))]
    if not isinstance(points, (list, tuple, np.ndarray)) or len(points) == 0:
        raise ValueError(f"points={points!r}: must be a number of points >= 1, or the points")
    return [space.flat(point, f"points[{i}]").astype(x.dtype) for i, point in enumerate(points)]
