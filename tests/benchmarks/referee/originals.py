"""The comparisons inside the tools, each by the name of the rule that is its port.

A loader imports the tool, and raises ImportError where it is not here.  What it returns takes the claim and a numeric
gradient, (n,) in the dtype of the computation, and says whether the tool accuses.
"""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import patch

import numpy as np

from tests.benchmarks.referee.case import Array


def pytorch() -> Callable[[Array, Array], bool]:
    """What ``torch.autograd.gradcheck`` calls with its default tolerances."""
    import torch
    from torch.autograd.gradcheck import _allclose_with_type_promotion

    def accuses(a: Array, n: Array) -> bool:
        return not _allclose_with_type_promotion(torch.tensor(a), torch.tensor(n), 1e-3, 1e-5)

    return accuses


def jax() -> Callable[[Array, Array], bool]:
    """``check_close`` as ``check_vjp`` calls it, along each axis with the cotangent 1."""
    import jax as package

    package.config.update("jax_enable_x64", True)
    from jax._src.public_test_util import check_close, default_gradient_tolerance

    def accuses(a: Array, n: Array) -> bool:
        tolerance = default_gradient_tolerance
        try:
            for one, other in zip(a, n, strict=True):
                check_close(np.asarray(one), np.asarray(other), atol=tolerance, rtol=tolerance)
        except AssertionError:
            return True
        return False

    return accuses


def scipy() -> Callable[[Array, Array], bool]:
    """``check_derivative``, whose differences are replaced by the numeric gradient; its documentation has the limit 1e-6."""
    from scipy.optimize import _numdiff

    def accuses(a: Array, n: Array) -> bool:
        with patch.object(_numdiff, "approx_derivative", lambda *args, **kwargs: n):
            return not _numdiff.check_derivative(lambda x: 0.0, lambda x: a, np.zeros_like(a)) <= 1e-6

    return accuses


def pytensor() -> Callable[[Array, Array], bool]:
    """``numeric_grad.max_err`` and the comparison of ``verify_grad``, with its tolerances of the dtype."""
    from pytensor.gradient import numeric_grad

    tolerances = {"float32": 1e-2, "float64": 1e-4}

    def accuses(a: Array, n: Array) -> bool:
        tolerance = tolerances[str(a.dtype)]
        held = numeric_grad.__new__(numeric_grad)
        held.gf = [n]
        _, _, absolute, relative = held.max_err([a], tolerance, tolerance)
        return bool(absolute > tolerance and relative > tolerance)

    return accuses


def openmdao() -> Callable[[Array, Array], bool]:
    """``get_tol_violation`` with the defaults of ``check_partials``."""
    from openmdao.utils.array_utils import get_tol_violation

    return lambda a, n: bool(get_tol_violation(a, n, atol=0.0, rtol=1e-6)[2])


def autograd() -> Callable[[Array, Array], bool]:
    """``scalar_close`` along each axis."""
    from autograd.test_util import scalar_close

    def accuses(a: Array, n: Array) -> bool:
        with np.errstate(all="ignore"):
            return not all(scalar_close(other, one) for one, other in zip(a, n, strict=True))

    return accuses


def ceres() -> Callable[[Array, Array], bool]:
    """``GradientChecker`` of the linear function with the slopes n at 0, where its differences are n to the last bit or two."""
    from tests.benchmarks.referee.tools.ceres import probed

    def accuses(a: Array, n: Array) -> bool:
        slopes = n.astype(float)
        return not probed(np.zeros(n.size), lambda x: float(slopes @ x), lambda x: a.astype(float)).good

    return accuses


ORIGINALS: dict[str, Callable[[], Callable[[Array, Array], bool]]] = {
    "pytorch": pytorch,
    "jax": jax,
    "scipy": scipy,
    "pytensor": pytensor,
    "openmdao": openmdao,
    "ceres": ceres,
    "autograd": autograd,
}
