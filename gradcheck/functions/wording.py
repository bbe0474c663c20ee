"""Numbers and reasons in the words of a report."""

from __future__ import annotations

import math

from gradcheck.numerics.steps import AUTO, Step
from gradcheck.numerics.verdict import REASONS


def reason_text(reason: str, eps: Step, dtype: str) -> str:
    """A reason and what is left to do about it, as the caller of ``check_gradient`` would say it."""
    return REASONS[reason].text(eps == AUTO, dtype).replace("theta", "x0")


def digits(a: float, n: float) -> int:
    """Digits after the first that show in what two numbers differ, 3 at least."""
    if not (math.isfinite(a) and math.isfinite(n)) or a == n:
        return 3
    return min(16, max(3, 2 - math.floor(math.log10(abs(a - n) / max(abs(a), abs(n))))))


def ratio(a: float, n: float) -> str:
    """analytic / numeric for a person, with as many digits as show by how much it is not 1; ``-`` where there is none."""
    if n == 0 or not math.isfinite(a / n):
        return "-"
    found = a / n
    return f"{found:.{digits(found, 1.0)}f}" if 0.1 < abs(found) < 1e3 else f"{found:.4g}"
