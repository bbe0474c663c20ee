"""Checks of the settings of data and init sources, in the words that a user reads."""

from __future__ import annotations

import math

import numpy as np


def require_count(key: str, value: object) -> None:
    """Raise ValueError unless the value is a whole number >= 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{key}={value}: must be an integer >= 1")


def require_text(key: str, value: object, allowed: str) -> None:
    """Raise ValueError unless the value is text that is given and not empty."""
    if not isinstance(value, str) or value in ("", "???"):  # ??? is OmegaConf's mark of a missing value
        raise ValueError(f"{key}={value}: must be {allowed}")


def require_list(key: str, value: object, content: str) -> None:
    """Raise ValueError unless the value is a list that is not empty."""
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f"{key}={value}: must be a list of {content}")


def require_flag(key: str, value: object) -> None:
    """Raise ValueError unless the value is true or false."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{key}={value}: must be true or false")


def require_number(key: str, value: object, low: float, high: float = math.inf, strict: bool = False) -> None:
    """Raise ValueError unless the value is a finite number from ``low`` to ``high``; ``strict`` excludes ``low``."""
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= high or (strict and value == low):  # type: ignore[arg-type, operator]
        limits = f"> {low:g}" if strict else f">= {low:g}"
        raise ValueError(
            f"{key}={value}: must be a finite number {limits}" + (f" and <= {high:g}" if high < math.inf else "")
        )
