"""Parts of the sentences of a diagnosis: what is wrong, by how much, what is right, and where to look."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from gradcheck.numerics.diagnosis.evidence import Evidence
from gradcheck.numerics.diagnosis.fits import Fit

Array = np.ndarray

LONGEST = 200


def shorten(text: str) -> str:
    """The text, cut to LONGEST characters."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1].rstrip() + "…"


def brief(name: str) -> str:
    """A name, cut to 24 characters."""
    return name if len(name) <= 24 else name[:23] + "…"


def listed(names: Sequence[str], d: str = "") -> str:
    """``W1, b1 and W2``; of more than four the first three, and how many more."""
    shown = [d + brief(name) for name in names[:4]]
    if len(names) > 4:
        return f"{', '.join(shown[:3])} and {len(names) - 3} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def derivatives(names: Sequence[str]) -> str:
    """``dW1 and db1``."""
    return listed(names, "d")


def of_data(names: Sequence[str]) -> str:
    """``the data term of W1 and W2``: the gradient without the penalty."""
    return f"the data term of {listed(names)}"


def entries(e: Evidence, where: Array) -> str:
    """``W2[0,1] and b1[2]``; of more than four the first three, and how many more."""
    index = np.flatnonzero(where)
    names, positions = e.layout.columns(index[:4])
    shown = [brief(name) + e.layout.place(name, position) for name, position in zip(names, positions, strict=True)]
    if len(index) > 4:
        return f"{', '.join(shown[:3])} and {len(index) - 3} more entries"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def some(e: Evidence) -> str:
    """The wrong entries; of more than three their number and parameters."""
    count = int(e.wrong.sum())
    return entries(e, e.wrong) if count <= 3 else f"{count} entries of {listed(e.broken)}"


def first(phrase: str) -> str:
    """The phrase as the beginning of a sentence, unless it begins with the name of a parameter."""
    return re.sub(r"^(all|row|column)\b", lambda match: match[0].capitalize(), phrase)


def are(count: int) -> str:
    return "is" if count == 1 else "are"


def have(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"


def rest(e: Evidence, mark: str = ",") -> str:
    """What is known of the parameters without a wrong weight; empty if there are none."""
    if e.besides:
        return f"{mark} {listed(e.besides)} {are(len(e.besides))} wrong too"
    if len(e.broken) == len(e.layout.names):
        return ""
    return (
        f"{mark} {'every other judged parameter is right' if e.others_right else 'no other parameter could be judged'}"
    )


def below(e: Evidence) -> str:
    """What is known of the parameters that are wrong besides; empty if there are none."""
    return f"; {listed(e.besides)} {are(len(e.besides))} wrong too" if e.besides else ""


def sentence(phrase: str) -> str:
    """The phrase as a sentence: its first letter is a capital, unless it is a name."""
    return phrase[:1].upper() + phrase[1:]


def others(e: Evidence) -> str:
    """What is known of the weights that are not wrong."""
    right = int(e.agree.sum())
    return f"the other {right} judged {'is' if right == 1 else 'are'} right" if right else "no other could be judged"


def pair(e: Evidence) -> str:
    """The analytic and the numeric number of the first wrong weight."""
    i = int(np.flatnonzero(e.wrong)[0])
    n = float(np.ldexp(e.n[i], e.exponent))
    a = float(e.raw[i])
    largest = max(abs(a), abs(n))
    # enough digits to show the difference, at least four
    differ = math.isfinite(a) and math.isfinite(n) and a != n
    digits = min(17, max(4, 2 - math.floor(math.log10(abs(a - n) / largest)))) if differ else 4
    return f"{a:.{digits}g} for {n:.{digits}g}"


def ratios(e: Evidence) -> tuple[float, float]:
    """The smallest and the largest a / n of the wrong weights; NaN where n is 0 at all of them."""
    known = e.wrong & (e.n != 0)
    ratios = (e.a[known] / e.n[known]) if known.any() else np.array([np.nan])
    return float(ratios.min()), float(ratios.max())


def number(x: float, width: float = 0.0) -> str:
    """x with the digits that its uncertainty leaves, at most six; near 1 as many as x - 1 needs."""
    digits = 4
    if width > 0 and x != 0:
        digits = min(6, max(1, math.floor(math.log10(max(abs(x) / width, 1.0)))))
        if 0 < abs(x - 1) < 0.1 and width < abs(x - 1):
            # near 1 the reader needs the difference from 1
            digits = min(17, max(digits, 3 + math.ceil(-math.log10(abs(x - 1)))))
    return f"{x:.{digits}g}"


def times(found: Fit) -> str:
    """What a factor does: ``is 2 times too large``, ``has the wrong sign``."""
    c, named = found.factor, found.width == 0
    if c == -1:
        return "has the wrong sign"
    if c == 0:
        return "is 0"
    if named:
        return f"is {whole(c)} times too large" if c > 1 else f"is {whole(1 / c)} times too small"
    doubt = f" (± {found.width:.0e})"
    if c > 1.1:
        return f"is {number(c, found.width)} times too large{doubt}"
    return f"is {number(c, found.width)} times what it should be{doubt}"


def whole(x: float) -> str:
    """x as a whole number."""
    return f"{round(x)}" if abs(x) < 1e15 else f"{x:.6g}"


def plural(phrase: str) -> str:
    """The phrase with its verb in the plural."""
    return re.sub(r"^(is|has)\b", lambda match: {"is": "are", "has": "have"}[match[0]], phrase)


def meaning(e: Evidence, found: Fit) -> str:
    """The meaning of a named factor: ``, 100 being the number of examples``; else empty."""
    what = e.names.get(found.factor) if found.width == 0 else None
    return f", {whole(max(found.factor, 1 / found.factor))} being {what}" if what else ""


def hint(e: Evidence, found: Fit) -> str:
    """A sentence on the mean over the examples, where the factor is their number; else empty."""
    what = e.names.get(found.factor, "") if found.width == 0 else ""
    if "examples" in what:
        return f" The mean over the examples is {'missing' if found.factor > 1 else 'taken twice'}."
    return ""


def l2_of(e: Evidence, found: Fit) -> float:
    """The lambda of the penalty, from a = c (n - lambda theta) + lambda theta."""
    return e.per_theta(found.decay / (1 - found.factor)) if found.factor != 1 else 0.0
