"""A check of functions that overflow or warn, without their warnings: what is looked at is the outcome."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import gradcheck
from gradcheck.functions.outcome import Outcome


def check(fun: Callable[..., Any], jac: Callable[..., Any], x0: Any, **keys: Any) -> Outcome:
    """``check_gradient`` without warnings."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return gradcheck.check_gradient(fun, jac, x0, **keys)
