"""What a caller asks of a check, refused where it has no meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypedDict, TypeGuard

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.calls import Calls
from gradcheck.numerics.schemes import SCHEMES, Scheme, SchemeName
from gradcheck.numerics.steps import AUTO, Step

# A longer value is not shown in a message.
SHOWN = 80


@dataclass(frozen=True)
class Settings:
    """What a check is asked for.

    scheme : the difference formula.   step : the step, or ``auto``.   against : the thresholds of the verdict.
    vjp : whether ``jac`` is a product with an upstream gradient.   sample : how many weights are checked, None for all.
    seed : of all that is drawn.
    """

    scheme: SchemeName
    step: Step
    against: Thresholds
    vjp: bool = False
    sample: int | None = None
    seed: int = 0

    @property
    def formula(self) -> Scheme:
        """The difference formula."""
        return SCHEMES[self.scheme]


class Told(TypedDict):
    """What an outcome says of how the gradient was checked, and what it took."""

    scheme: SchemeName
    eps: Step
    match_at: float
    accept: float
    min_judged: float
    nfev: int
    njev: int
    notes: tuple[str, ...]
    frozen: tuple[str, ...]


def told(asked: Settings, calls: Calls) -> Told:
    """How the gradient was checked, and what it took so far."""
    against = asked.against
    return {
        "scheme": asked.scheme,
        "eps": asked.step,
        "match_at": against.match_at,
        "accept": against.accept,
        "min_judged": against.min_judged,
        "nfev": calls.nfev,
        "njev": calls.njev,
        "notes": noted(calls),
        "frozen": calls.parameters.frozen,
    }


def noted(calls: Calls) -> tuple[str, ...]:
    """What ``fun`` raised at perturbed points, each in a sentence."""
    return tuple(f"fun raised near x0: {error}" for error in calls.raised)


def step_of(eps: object) -> Step:
    """The step that ``eps`` asks for.  Raises ContractError unless it is ``auto`` or a finite number > 0."""
    if isinstance(eps, str) and eps == AUTO:
        return AUTO
    if isinstance(eps, bool) or not isinstance(eps, (int, float, np.number)) or not 0 < eps < np.inf:
        raise ContractError(f"eps={eps!r}: must be a finite number > 0, or 'auto'")
    return float(eps)


def require_scheme(scheme: str, theta: np.ndarray) -> None:
    """Raise ValueError for a name that no scheme has, and for one that theta's dtype does not allow."""
    if scheme not in SCHEMES:
        raise ValueError(f"scheme={scheme!r}: must be one of {', '.join(SCHEMES)}")
    if SCHEMES[scheme].complex_valued and theta.dtype == np.float32:
        raise ValueError("scheme='complex_step': needs float64 or longdouble parameters, not float32")


class Thresholds(NamedTuple):
    """What a verdict is measured against.

    match_at : the relative error that must have been visible for a match.
    accept : the relative difference, beside the bound, that is no mismatch.
    min_judged : the share of the weights that must have been judged.
    """

    match_at: float
    accept: float
    min_judged: float


def thresholds(match_at: object, accept: object, min_judged: object) -> Thresholds:
    """The thresholds of the verdict.  Raises ValueError where one is out of range."""
    if not _is_number(match_at) or not match_at > 0:
        raise ValueError(f"match_at={match_at!r}: must be a number > 0")
    if not _is_number(accept) or not 0 <= accept < match_at:
        raise ValueError(f"accept={accept!r}: must be a number >= 0 below match_at={match_at:g}")
    if not _is_number(min_judged) or not 0 <= min_judged <= 1:
        raise ValueError(f"min_judged={min_judged!r}: must be a share from 0 to 1")
    return Thresholds(float(match_at), float(accept), float(min_judged))


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def require_functions(fun: object, jac: object, vjp: bool, vectorized: bool = False) -> None:
    """Raise ContractError unless ``fun`` and ``jac`` can be called together."""
    if vectorized and jac is True:
        raise ContractError("vectorized=True: needs jac to be a function of one x, not True")
    if jac is not True and not callable(jac):
        raise ContractError(f"{_said('jac', jac)}: must be a function, or True if fun returns (value, gradient)")
    if vjp and jac is True:
        raise ContractError("vjp=True: needs jac to be a function of (x, dout), not True")
    if not callable(fun):
        raise ContractError(f"{_said('fun', fun)}: must be a function")


def _said(key: str, value: object) -> str:
    """What stands for a function, in a few words of one line."""
    text = repr(value)
    return f"{key}={text}" if len(text) <= SHOWN and "\n" not in text else f"{key} is a {type(value).__name__}"


def whole_number(key: str, value: object) -> int | None:
    """A number of things, at least one; None stays None.  Raises ValueError."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{key}={value!r}: must be a whole number >= 1")
    return int(value)


def sampled(size: int, sample: int | None, seed: int) -> np.ndarray:
    """Flat indices of the weights to check: all, or ``sample`` of them drawn by ``seed``."""
    if sample is None:
        return np.arange(size)
    return np.sort(np.random.default_rng(seed).choice(size, min(sample, size), replace=False))
