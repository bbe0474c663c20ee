"""Gradient checking: from one line of config to the relative error of every single weight."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0.dev0"

# name -> module; imported when first used, so that ``import gradcheck`` stays light
_EXPORTS = {
    "check_gradient": "gradcheck.functions.gradient",
    "assert_gradient": "gradcheck.functions.gradient",
    "Outcome": "gradcheck.functions.outcome",
    "ContractError": "gradcheck.errors",
    "GradientMismatch": "gradcheck.errors",
    "load": "gradcheck.views.runs",
    "textbook": "gradcheck.textbook",
}

if TYPE_CHECKING:
    from gradcheck import textbook
    from gradcheck.errors import ContractError, GradientMismatch
    from gradcheck.functions.gradient import assert_gradient, check_gradient
    from gradcheck.functions.outcome import Outcome
    from gradcheck.views.runs import load

__all__ = [
    "ContractError",
    "GradientMismatch",
    "Outcome",
    "__version__",
    "assert_gradient",
    "check_gradient",
    "load",
    "textbook",
]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'gradcheck' has no attribute {name!r}")
    module = import_module(_EXPORTS[name])
    return module if name == "textbook" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
