"""The outcome of a check of a Hessian, and what a person sees of it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from gradcheck.functions import frames
from gradcheck.functions.outcome import Outcome
from gradcheck.functions.second_order.entries import Labels
from gradcheck.functions.second_order.products import Products
from gradcheck.functions.second_order.symmetry import Symmetry
from gradcheck.functions.second_order.words import page, text
from gradcheck.numerics.names import Verdict
from gradcheck.numerics.verdict import EXEMPT, Whole, whole

if TYPE_CHECKING:
    import os

    import pandas as pd

Array = np.ndarray


@dataclass(frozen=True, repr=False, eq=False)
class HessianOutcome:
    """The outcome of ``check_hessian``: gradient, Hessian and symmetry, as numbers and words.

    It is true in a condition if, and only if, it is ``ok``.

    Attributes
    ----------
    verdict : {'match', 'mismatch', 'partial', 'inconclusive', 'nondifferentiable'}
        The verdict of all entries together, of the gradient and of the Hessian.
    ok : bool
        Whether nothing is wrong, and enough of the Hessian was judged.
    judged : float
        The share of the entries that are not exempt which were judged.
    symmetric : bool
        Whether the Hessian is its own transpose within rounding, at every point.
    diagnosis, diagnosis_kind : str or None
        What kind of mistake explains it, in words and as a code.
    reason : str or None
        The commonest reason why entries could not be judged.
    resolution : float
        The relative error that would have been seen in every entry that matches.
    errors : pandas.DataFrame
        All numbers, one row an entry: those of the gradient, then those of the Hessian.  A column ``entry`` has the name.
    gradient : Outcome or None
        The gradient ``jac`` against differences of ``fun``; None where there is no ``jac``.
    hessian : Outcome
        The Hessian against differences of the gradient, as the Jacobian of ``jac``.
    symmetry : tuple of Symmetry
        The Hessian beside its transpose, one for each point.
    products : tuple of Products
        ``hessp`` beside the products of ``hess``, one for each point; empty unless both were given.
    labels : Labels
        The names of the entries of x.
    drawn : int
        With how many drawn vectors the Hessian was multiplied; 0 where it was checked entry by entry.
    nfev, njev, nhev : int
        Calls of ``fun``, of ``jac``, and of ``hess``, or of ``hessp`` where there is no ``hess``.

    See Also
    --------
    check_hessian : Makes an outcome; its notes have the formulas.

    Examples
    --------
    >>> import gradcheck
    >>> import numpy as np
    >>> r = gradcheck.check_hessian(
    ...     lambda x: x[0] ** 2 * x[1], lambda x: np.array([2 * x[0] * x[1], x[0] ** 2]),
    ...     lambda x: np.array([[2 * x[1], x[0]], [x[0], 0]]), [1.0, 3.0])
    >>> r.verdict, r.symmetric, r.diagnosis_kind
    ('mismatch', True, 'both_half')
    """

    gradient: Outcome | None
    hessian: Outcome
    symmetry: tuple[Symmetry, ...]
    products: tuple[Products, ...]
    labels: Labels
    diagnosis: str | None
    diagnosis_kind: str | None
    nfev: int
    njev: int
    nhev: int

    @cached_property
    def parts(self) -> list[Outcome]:
        """The gradient, if there is one, and the Hessian."""
        return [part for part in (self.gradient, self.hessian) if part is not None]

    @cached_property
    def _whole(self) -> Whole:
        tables = [part.table for part in self.parts]
        found = whole(
            [v for t in tables for v in t["verdict"]],
            [r for t in tables for r in t["reason"]],
            [p for t in tables for p in t["param"]],
            self.hessian.min_judged,
        )
        # the verdict of a gradient by many weights rests on directions, which are no rows
        directions = self.gradient is not None and self.gradient.verdict == "mismatch"
        if self.symmetric and not directions and not any(p.wrong.any() for p in self.products):
            return found
        return replace(found, verdict="mismatch")

    @property
    def verdict(self) -> Verdict:
        """``mismatch`` if any entry is, if an entry differs from its transpose, or a product of hessp from that of hess.

        Else ``match`` if every entry that is not exempt matches, else ``partial`` if some match.
        """
        return self._whole.verdict

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong and enough of the Hessian was judged, as in an Outcome, or is 0 beside its diagonal.

        At an optimum the gradient is 0 and cannot be judged.  So nothing more is asked of it than that it is not wrong, unless
        all of the Hessian is exempt, as that of a linear function.
        """
        if self.verdict == "mismatch":
            return False
        counted = len(self.hessian.table["reason"]) - self.hessian.table["reason"].count(EXEMPT)
        if not counted:
            return self.gradient is not None and self.gradient.ok
        seen = self.hessian.judged * counted + len(self.negligible)
        return self.hessian.ok or (self.hessian.count("match") > 0 and seen >= self.hessian.min_judged * counted)

    @cached_property
    def negligible(self) -> list[int]:
        """Rows of the Hessian that are 0 beside its diagonal: bounds below ``match_at`` / 2 of sqrt(abs(H_ii H_jj)).

        No relative error can be seen of them.  So it is with the mixed derivatives of orthogonal parameters at an optimum.
        """
        table = self.hessian.table
        found: list[int] = []
        if self.drawn:
            return found
        for row, (verdict, reason) in enumerate(zip(table["verdict"], table["reason"], strict=True)):
            if verdict == "inconclusive" and reason != EXEMPT:
                diagonal = np.abs(
                    np.diag(self.symmetry[self.hessian.decided[row] if self.hessian.decided else 0].hessian)
                )
                i, j = divmod(int(table["flat_index"][row]), len(diagonal))
                # the square root of each, for the product may overflow
                beside = float(np.sqrt(diagonal[i]) * np.sqrt(diagonal[j]))
                if 2 * float(table["bound"][row]) <= self.hessian.match_at * beside:
                    found.append(row)
        return found

    def __bool__(self) -> bool:
        return self.ok

    @property
    def judged(self) -> float:
        """The share of the entries that are not exempt which were judged."""
        return self._whole.judged

    @property
    def symmetric(self) -> bool:
        """Whether the Hessian is its own transpose within rounding, at every point."""
        return all(s.symmetric for s in self.symmetry)

    @property
    def reason(self) -> str | None:
        """The commonest reason why entries could not be judged."""
        counts = Counter(part.reason for part in reversed(self.parts) if part.reason)
        return counts.most_common(1)[0][0] if counts else None

    @property
    def resolution(self) -> float:
        """The relative error that would have been seen in every entry that matches; infinite where none matches."""
        found = [part.resolution for part in self.parts if part.count("match")]
        return max(found, default=math.inf)

    @property
    def errors(self) -> pd.DataFrame:
        """One row for each entry, of the gradient and then of the Hessian (``param`` H), with its name in ``entry``.

        The other columns are those of an Outcome.
        """
        return self.to_frame()

    def to_frame(self, full: bool = False) -> pd.DataFrame:
        """The numbers as a DataFrame: the columns of ``errors``, or all.

        Parameters
        ----------
        full : bool, optional
            Give all columns that a run stores of a weight, and ``entry``.
        """
        import pandas as pd

        parts = []
        for part in self.parts:
            frame = part.to_frame(full)
            tables = [p.table for p in part.points] or [part.table]
            names = [self.name(part, i) for t in tables for i in t["flat_index"].tolist()]
            frame.insert(0, "entry", pd.Series(names, dtype=object, index=frame.index))
            parts.append(frame)
        return pd.concat(parts, ignore_index=True)

    def worst(self, n: int = 5) -> pd.DataFrame:
        """The rows of ``errors`` of the n entries with the largest abs(analytic - numeric) / bound.

        Parameters
        ----------
        n : int, optional
            How many entries.
        """
        return frames.worst(self.errors, n)

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write the numbers of the Hessian to one Parquet file in the schema of a run's ``errors`` folder.

        Parameters
        ----------
        path : str or path
            The file.  It appears whole or not at all.
        """
        self.hessian.to_parquet(path)

    def name(self, part: Outcome, flat: int) -> str:
        """The name of an entry of the gradient or of the Hessian."""
        if part is self.hessian:
            return self._entry(flat)
        name, position = part.layout.locate(flat)
        return name + part.layout.place(name, position)

    @property
    def drawn(self) -> int:
        """With how many drawn vectors the Hessian was multiplied; 0 where it was checked entry by entry."""
        return 0 if self.hessian.layout.names == ("H",) else self.hessian.layout.shapes[0][1]

    def _entry(self, flat: int) -> str:
        """The name of an entry of the Hessian, or of a product with it."""
        if self.drawn:
            return self.labels.product(*divmod(flat, self.drawn))
        return self.labels.entry(*divmod(flat, self.labels.n))

    def __str__(self) -> str:
        return text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The same for a notebook, every name escaped."""
        return page(self)
