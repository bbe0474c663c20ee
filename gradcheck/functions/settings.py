"""What a caller asks of a check, refused where it has no meaning."""

from __future__ import annotations

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.numerics.schemes import SCHEMES, Scheme
from gradcheck.numerics.steps import AUTO, Step


def step_of(eps: object) -> Step:
    """The step that ``eps`` asks for.  Raises ContractError unless it is ``auto`` or a finite number > 0."""
    if isinstance(eps, str) and eps == AUTO:
        return AUTO
    if isinstance(eps, bool) or not isinstance(eps, (int, float, np.number)) or not 0 < eps < np.inf:
        raise ContractError(f"eps={eps!r}: must be a finite number > 0, or 'auto'")
    return float(eps)


def scheme_of(scheme: str) -> Scheme:
    """The scheme of this name.  Raises ValueError for a name that no scheme has."""
    if scheme not in SCHEMES:
        raise ValueError(f"scheme={scheme!r}: must be one of {', '.join(SCHEMES)}")
    return SCHEMES[scheme]


def require_thresholds(match_at: float, min_judged: object) -> None:
    """Raise ValueError for thresholds of the verdict that are out of range."""
    if not match_at > 0:
        raise ValueError(f"match_at={match_at!r}: must be a number > 0")
    if isinstance(min_judged, bool) or not isinstance(min_judged, (int, float, np.number)) or not 0 <= min_judged <= 1:
        raise ValueError(f"min_judged={min_judged!r}: must be a share from 0 to 1")


def require_functions(fun: object, jac: object, vjp: bool) -> None:
    """Raise ContractError unless ``fun`` and ``jac`` can be called together."""
    if jac is not True and not callable(jac):
        raise ContractError(f"jac={jac!r}: must be a function, or True if fun returns (value, gradient)")
    if vjp and jac is True:
        raise ContractError("vjp=True: needs jac to be a function of (x, dout), not True")
    if not callable(fun):
        raise ContractError(f"fun={fun!r}: must be a function")


def sampled(size: int, sample: object, seed: int) -> np.ndarray:
    """Flat indices of the weights to check: all, or ``sample`` of them drawn by ``seed``.  Raises ValueError."""
    if sample is None:
        return np.arange(size)
    if isinstance(sample, bool) or not isinstance(sample, (int, np.integer)) or sample < 1:
        raise ValueError(f"sample={sample!r}: must be a whole number >= 1")
    return np.sort(np.random.default_rng(seed).choice(size, min(int(sample), size), replace=False))
