"""The step of a finite difference as it is asked for: a number, or ``auto``, which chooses one for each weight."""

from __future__ import annotations

from typing import Final, Literal

Auto = Literal["auto"]
AUTO: Final[Auto] = "auto"
Step = float | Auto


def stored(step: Step) -> float | None:
    """The step as a table holds it, where null is ``auto``."""
    return None if step == AUTO else step


def from_stored(value: float | None) -> Step:
    """The step that a table holds."""
    return AUTO if value is None else value


def eps_text(step: Step) -> str:
    """``auto``, or 1e-04, 2.5e-07: as many digits as it takes."""
    if step == AUTO:
        return AUTO
    mantissa, _, exponent = f"{step:e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{exponent}" if "." in mantissa else f"{step:e}"
