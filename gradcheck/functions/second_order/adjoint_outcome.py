"""The outcome of the dot-product test, and what a person sees of it."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from gradcheck.functions import frames
from gradcheck.functions.second_order.pairs import Pair
from gradcheck.functions.wording import digits, ratio

if TYPE_CHECKING:
    import pandas as pd

# Rows that are printed.
SHOWN = 5
ALONE = "this does not show that J is the derivative of a function: check_gradient with jac=vjp and vjp=True does"


@dataclass(frozen=True, repr=False, eq=False)
class AdjointOutcome:
    """The outcome of ``check_adjoint``: a verdict for every drawn pair, and words.

    It is true in a condition if, and only if, it is ``ok``.  That both products belong to one J does not show that J is the
    derivative of a function.

    Attributes
    ----------
    verdict : {'match', 'mismatch', 'partial', 'inconclusive'}
        ``mismatch`` if any pair is; ``match`` if all are; ``partial`` if some are, and nothing can be seen of the others.
    ok : bool
        Whether no pair is wrong, and every one matches but for those that ask for entries that are small beside others.
    judged : float
        The share of the pairs that were judged.
    diagnosis, diagnosis_kind : str or None
        What parts both products, in words and as a code.
    resolution : float
        The relative error of a product that would have been seen in every pair that matches.
    errors : pandas.DataFrame
        One row a pair: ``analytic`` is <vjp(x, u), v>, ``numeric`` is <u, jvp(x, v)>.
    pairs : tuple of Pair
        The vectors and the products.
    points : tuple of int
        The number of the point of each pair.
    match_at, accept
        How the pairs were judged.
    njvp, nvjp : int
        Calls of ``jvp`` and of ``vjp``.

    See Also
    --------
    check_adjoint : Makes an outcome; its notes have the formulas.

    Examples
    --------
    >>> import gradcheck
    >>> import numpy as np
    >>> r = gradcheck.check_adjoint(lambda x, v: np.cumsum(v), lambda x, u: np.cumsum(u), np.zeros(6))
    >>> r.verdict, r.diagnosis
    ('mismatch', 'vjp(x, u) is J u: the transpose is missing.')
    """

    pairs: tuple[Pair, ...]
    points: tuple[int, ...]
    match_at: float
    accept: float
    diagnosis: str | None
    diagnosis_kind: str | None
    njvp: int
    nvjp: int

    @cached_property
    def verdicts(self) -> list[Literal["match", "mismatch", "inconclusive"]]:
        """The verdict of each pair."""
        return [verdict_of(p, self.match_at, self.accept) for p in self.pairs]

    @property
    def verdict(self) -> Literal["match", "mismatch", "partial", "inconclusive"]:
        """The verdict of all pairs together."""
        if "mismatch" in self.verdicts:
            return "mismatch"
        matching = self.verdicts.count("match")
        return "match" if matching == len(self.pairs) else "partial" if matching else "inconclusive"

    @property
    def ok(self) -> bool:
        """Whether no pair is wrong, and every one matches but for those that ask for entries that are small beside others."""
        plain = [v for p, v in zip(self.pairs, self.verdicts, strict=True) if not p.equalized]
        return self.verdict in ("match", "partial") and set(plain) == {"match"}

    def __bool__(self) -> bool:
        return self.ok

    @property
    def judged(self) -> float:
        """The share of the pairs that were judged."""
        return 1 - self.verdicts.count("inconclusive") / len(self.pairs)

    @property
    def resolution(self) -> float:
        """The relative error of a product that would have been seen in every pair that matches; infinite where none does."""
        found = [2 * p.bound / p.size for p, v in zip(self.pairs, self.verdicts, strict=True) if v == "match"]
        return max(found) + self.accept if found else math.inf

    @property
    def errors(self) -> pd.DataFrame:
        """One row for each pair; a column ``point`` where there are several points."""
        import pandas as pd

        rows = []
        for k, (p, verdict) in enumerate(zip(self.pairs, self.verdicts, strict=True)):
            rows.append(
                {
                    "param": "pair",
                    "position": [k],
                    "flat_index": k,
                    "analytic": float(np.real(p.pull)),
                    "numeric": float(np.real(p.push)),
                    "ratio": float(np.real(p.pull / p.push)) if p.push else math.nan,
                    "abs_err": p.apart,
                    "bound": p.bound,
                    "verdict": verdict,
                    "reason": None if verdict != "inconclusive" else "flat" if p.size == 0 else "noise",
                }
            )
        frame = pd.DataFrame(rows)
        if len(set(self.points)) > 1:
            frame.insert(0, "point", list(self.points))
        return frame

    def worst(self, n: int = 5) -> pd.DataFrame:
        """The rows of ``errors`` of the n pairs with the largest difference over its bound.

        Parameters
        ----------
        n : int, optional
            How many pairs.
        """
        return frames.worst(self.errors, n)

    def _headline(self) -> str:
        n = len(self.pairs)
        of = f"{n} pairs" if n > 1 else "1 pair"
        if self.verdict == "mismatch":
            return f"MISMATCH  <u, J v> and <J^T u, v> differ for {self.verdicts.count('mismatch')} of {of}"
        seen = f"a relative error above {self.resolution:.0e} would have been seen"
        if self.verdict == "inconclusive":
            return f"INCONCLUSIVE  nothing can be seen of {of}"
        return f"{self.verdict.upper()}  <u, J v> = <J^T u, v> for {self.verdicts.count('match')} of {of}; {seen}"

    def _rows(self) -> list[tuple[str, ...]]:
        rows = []
        for k, (p, verdict) in enumerate(zip(self.pairs, self.verdicts, strict=True)):
            if verdict == "mismatch":
                at = f" at point {self.points[k]}" if len(set(self.points)) > 1 else ""
                rows.append((f"pair {k}{at}", *_figures(p)))
        return rows[:SHOWN]

    def _notes(self) -> Sequence[str]:
        if self.verdict == "mismatch":
            return []
        silent = [p for p in self.pairs if p.size == 0]
        notes = [f" {len(silent)} pairs: both products are 0 at this x0: take another x0"] if silent else []
        return [*notes, f" {ALONE}"]

    def __str__(self) -> str:
        lines = [self._headline()]
        if self.diagnosis:
            lines.append(self.diagnosis)
        rows = self._rows()
        if rows:
            header = ("pair", "<u, J v>", "<J^T u, v>", "ratio", "difference", "correct could show")
            widths = [max(len(r[c]) for r in (header, *rows)) for c in range(len(header))]
            for r in (header, *rows):
                cells = [r[0].ljust(widths[0]), *(r[c].rjust(widths[c]) for c in range(1, len(header)))]
                lines.append(" " + "  ".join(cells))
        lines += self._notes()
        lines.append(f"{self.njvp + self.nvjp} loss evaluations")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The same for a notebook."""
        lines = [self._headline(), *([self.diagnosis] if self.diagnosis else []), *self._notes()]
        head, *rest = (f"<p>{html.escape(line.strip())}</p>" for line in lines)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in self._rows())
        return f"<b>{head}</b>{''.join(rest)}<table><tbody>{body}</tbody></table>"


def verdict_of(p: Pair, match_at: float, accept: float) -> Literal["match", "mismatch", "inconclusive"]:
    """The verdict of a pair."""
    if not (np.isfinite(p.push) and np.isfinite(p.pull)):
        return "mismatch" if np.isfinite(p.push) != np.isfinite(p.pull) else "inconclusive"
    if p.apart > p.bound + accept * p.size:
        return "mismatch"
    return "match" if p.size > 0 and 2 * p.bound / p.size + accept <= match_at else "inconclusive"


def _figures(p: Pair) -> tuple[str, ...]:
    """Both products in a row; the part that differs most of complex ones."""
    gap = complex(p.push - p.pull)
    imaginary = abs(gap.imag) > abs(gap.real)
    a, n = (complex(value).imag if imaginary else complex(value).real for value in (p.pull, p.push))
    shown = digits(a, n)
    return (f"{n:.{shown}e}", f"{a:.{shown}e}", ratio(a, n) if a else "0", f"{p.apart:.1e}", f"{p.bound:.0e}")
