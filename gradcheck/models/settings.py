"""Checks of the models' settings, in the words that a user reads."""

from __future__ import annotations

import math

from gradcheck.errors import Meaningless


def require_choice(key: str, value: object, allowed: tuple[str, ...]) -> None:
    """Raise ValueError unless ``value`` is one of ``allowed``."""
    if value not in allowed:
        raise ValueError(f"{key}={value}: must be one of {', '.join(allowed)}")


def require_finite(key: str, value: float) -> None:
    """Raise ValueError unless ``value`` is a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{key}={value}: must be a finite number")


def require_not_negative(key: str, value: float) -> None:
    """Raise ValueError unless ``value`` is a finite number >= 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (0 <= value < math.inf):
        raise ValueError(f"{key}={value}: must be a finite number >= 0")


def require_whole(key: str, value: object, low: int = 1) -> None:
    """Raise ValueError unless ``value`` is a whole number of at least ``low``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ValueError(f"{key}={value}: must be a whole number >= {low}")


def require_rows(model: str, shape: tuple[int, ...]) -> None:
    """Raise Meaningless unless an example of this shape is a row of features."""
    if len(shape) != 1:
        raise Meaningless(
            f"data: model={model} takes rows of features, such as those of data=gaussian; "
            f"these examples have the shape {shape}"
        )
