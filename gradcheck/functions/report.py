"""What a person sees of an outcome, as values: from them come the text of a terminal and the HTML of a notebook."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gradcheck.functions.wording import digits, ratio, reason_text
from gradcheck.numerics.steps import Step
from gradcheck.numerics.verdict import ACCEPTED, EXEMPT, is_judged
from gradcheck.numerics.weight_columns import WeightColumns

# Rows of wrong weights that are shown.
SHOWN = 5
# Frozen leaves that are named.
NAMED = 8
# A relative difference up to this one may come from a tolerance to which ``fun`` iterates; few wrong gradients are so close.
SMALL = 1e-4
TITLES = ("weight", "analytic", "numeric", "ratio", "difference", "correct could show")
# Reasons that are named by these words.
_KINDS = {EXEMPT: "exempt", ACCEPTED: "accepted"}


class Report(NamedTuple):
    """A report on one outcome.

    headline : the verdict and how many weights it is about.   diagnosis : what the mistake looks like.
    rows : the worst weights, their cells in the order of TITLES.   more : wrong weights beside these.
    advice : why other weights could not be judged, and what to do.   foot : how the gradient was checked.
    """

    headline: str
    diagnosis: str | None
    rows: Sequence[tuple[str, ...]]
    more: int
    advice: Sequence[str]
    foot: str


def text(report: Report) -> str:
    """The report for a terminal."""
    lines = [report.headline]
    if report.diagnosis:
        lines.append(report.diagnosis)
    if report.rows:
        widths = [max(len(r[c]) for r in (TITLES, *report.rows)) for c in range(len(TITLES))]
        for r in (TITLES, *report.rows):
            cells = [r[0].ljust(widths[0]), *(r[c].rjust(widths[c]) for c in range(1, len(TITLES)))]
            lines.append(" " + "  ".join(cells))
        if report.more > 0:
            lines.append(f" … {report.more} more: r.errors.query(\"verdict == 'mismatch'\")")
    return "\n".join([*lines, *(f" {line}" for line in report.advice), report.foot])


def worst(table: WeightColumns) -> list[int]:
    """The wrong rows of a table, the largest difference first, ``SHOWN`` at most."""
    wrong = np.array([i for i, v in enumerate(table["verdict"]) if v == "mismatch"], dtype=np.intp)
    # by the difference, not by how often the bound goes into it: the noise differs between processors
    size = np.nan_to_num(table["abs_err"][wrong], nan=np.inf)
    found: list[int] = wrong[np.argsort(-size, kind="stable")][:SHOWN].tolist()
    return found


def cells(table: WeightColumns, row: int, name: str) -> tuple[str, ...]:
    """One weight in the words of TITLES."""
    a, n = table["analytic"][row], table["numeric"][row]
    shown = digits(a, n)
    return (
        name,
        f"{a:.{shown}e}",
        f"{n:.{shown}e}",
        ratio(a, n),
        f"{table['abs_err'][row]:.1e}",
        f"{table['bound'][row]:.0e}",
    )


def tolerance(table: WeightColumns, match_at: float) -> list[str]:
    """What small differences may come from, where all that are wrong are small."""
    wrong = np.array([v == "mismatch" for v in table["verdict"]], dtype=bool)
    if not wrong.any():
        return []
    a, n = table["analytic"][wrong], table["numeric"][wrong]
    with np.errstate(all="ignore"):
        apart = float(np.max(table["abs_err"][wrong] / np.fmax(np.abs(a), np.abs(n))))
    if not apart <= SMALL:
        return []
    accept = 10.0 ** math.ceil(math.log10(2 * apart))
    remedy = f"; accept={accept:g} takes it" if accept < match_at else ""
    return [f"they agree to {apart:.1e}: if fun iterates to a tolerance, that is it{remedy}"]


def not_judged(table: WeightColumns, eps: Step, dtype: str) -> list[str]:
    """The reasons why weights could not be judged, in which parameters, and what to do."""
    groups: dict[str, list[str]] = {}
    for param, reason in zip(table["param"], table["reason"], strict=True):
        if reason:
            groups.setdefault(reason, []).append(param)
    lines = []
    for reason, where in groups.items():
        shown = ", ".join(f"{c} in {p}" for p, c in list(Counter(where).items())[:4])
        kind = _KINDS.get(reason, "judged" if is_judged("", reason) else "not judged")
        code = "" if reason in _KINDS else f"{reason}: "
        lines.append(f"{kind}: {shown}, {code}{reason_text(reason, eps, dtype)}")
    return lines


def frozen(names: Sequence[str]) -> list[str]:
    """Which leaves of x0 were no parameters; nothing where all were."""
    shown = [*names[:NAMED], *(["…"] if len(names) > NAMED else [])]
    return [f"frozen, no gradient is asked for: {', '.join(shown)}"] if names else []
