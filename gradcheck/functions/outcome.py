"""The outcome of a check of somebody's own gradient, and what a person sees of it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from gradcheck.functions import frames, notebook, report, squares
from gradcheck.numerics.layout import Layout
from gradcheck.numerics.names import Verdict, WeightVerdict
from gradcheck.numerics.schemes import SchemeName
from gradcheck.numerics.steps import Step, eps_text
from gradcheck.numerics.verdict import ACCEPTED, EXEMPT, MIN_JUDGED, Whole, whole
from gradcheck.numerics.weight_columns import WeightColumns

if TYPE_CHECKING:
    import os

    import pandas as pd

# Notes that are printed.
NOTED = 4


@dataclass(frozen=True, repr=False, eq=False)
class Outcome:
    """The outcome of ``check_gradient``: verdict, numbers and words.

    It is true in a condition if, and only if, it is ``ok``.  Printed, it is a report: the verdict, a diagnosis, the worst
    weights, and why others could not be judged.

    Attributes
    ----------
    verdict : {'match', 'mismatch', 'partial', 'inconclusive', 'nondifferentiable'}
        The verdict of all weights together.
    ok : bool
        Whether nothing is wrong and enough was judged.
    judged : float
        The share of the weights that are not exempt which were judged.
    diagnosis, diagnosis_kind : str or None
        What kind of mistake explains a wrong gradient, in words and as a code; None where nothing is wrong, or no kind fits.
    reason : str or None
        The commonest reason why weights could not be judged.
    resolution : float
        The relative error that would have been seen in every weight that matches, ``accept`` included.
    errors : pandas.DataFrame
        The numbers that matter, one row a weight; ``to_frame(full=True)`` has all.
    nfev, njev : int
        Calls of ``fun`` and of ``jac``.
    notes : tuple of str
        What else was seen: what ``fun`` raised at perturbed points, what check_layer found out about a layer.
    frozen : tuple of str
        Names of the leaves of x0 that are no parameters: None, bool, text, and whole numbers without a gradient.
    n_weights : int
        How many weights there are, checked or not.
    scheme, eps, dtype, match_at, accept, min_judged
        How the gradient was checked.
    table : dict
        The columns of the check as NumPy arrays and lists, one entry a weight that was checked.
    layout : Layout
        Names and shapes of the parameters.
    points : tuple of Outcome
        Of a check at several points the outcome at each; else empty.  Then a weight is wrong if it is at any point, else a
        match if it is at one, else what it is at the first; ``table`` has the row of the point that decides.
    decided : tuple of int
        The number of the point that decides, one a weight; empty where there is one point.

    See Also
    --------
    check_gradient : Makes an outcome; its notes have the formulas of the verdicts.

    Examples
    --------
    >>> import gradcheck
    >>> import numpy as np
    >>> r = gradcheck.check_gradient(lambda x: np.sum(x**2) / 2, lambda x: x * [1, 1, -1], [1.0, 2.0, 3.0])
    >>> r.verdict, r.judged, bool(r)
    ('mismatch', 1.0, False)
    >>> r.worst(1)[["param", "position", "analytic", "verdict"]].values.tolist()
    [['x', [2], -3.0, 'mismatch']]
    """

    table: WeightColumns
    layout: Layout
    n_weights: int
    diagnosis: str | None
    diagnosis_kind: str | None
    scheme: SchemeName
    eps: Step
    dtype: str
    match_at: float
    nfev: int
    njev: int
    notes: tuple[str, ...] = ()
    min_judged: float = MIN_JUDGED
    accept: float = 0.0
    points: tuple[Outcome, ...] = ()
    decided: tuple[int, ...] = ()
    frozen: tuple[str, ...] = ()

    @cached_property
    def _whole(self) -> Whole:
        return whole(self.table["verdict"], self.table["reason"], self.table["param"], self.min_judged)

    @property
    def verdict(self) -> Verdict:
        """The verdict of all weights together.

        ``mismatch`` if any weight is a mismatch; else ``match`` if every weight that is not exempt matches and there is one;
        else ``partial`` if some match; else ``nondifferentiable`` if any is; else ``inconclusive``.
        """
        return self._whole.verdict

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong and enough was judged.

        That is, the verdict is ``match``; or it is ``partial`` or ``nondifferentiable``, and of the weights that are not
        exempt a share of ``min_judged`` was judged, in every parameter one at least.
        """
        return self._whole.ok

    @property
    def judged(self) -> float:
        """The share of the weights that are not exempt which were judged; 0 where all are exempt."""
        return self._whole.judged

    def __bool__(self) -> bool:
        return self.ok

    @property
    def reason(self) -> str | None:
        """The commonest reason why weights could not be judged; None where all were judged.

        ``exempt`` only where no weight has another reason.
        """
        given = [r for r in self.table["reason"] if r and r != ACCEPTED]
        counts = Counter(r for r in given if r != EXEMPT) or Counter(given)
        return counts.most_common(1)[0][0] if counts else None

    @property
    def resolution(self) -> float:
        """The relative error that would have been seen in every weight that matches; infinite where none matches.

        The largest 2 bound / max(abs(analytic), abs(numeric)) of these weights, and ``accept`` added to it.
        """
        found = [r for r, v in zip(self.table["resolution"], self.table["verdict"], strict=True) if v == "match"]
        return float(max(found)) + self.accept if found else math.inf

    def count(self, verdict: WeightVerdict) -> int:
        """How many weights have this verdict."""
        return self.table["verdict"].count(verdict)

    @property
    def errors(self) -> pd.DataFrame:
        """One row for each weight that was checked, with ten columns.

        ``param``, ``position`` (a list of int), ``flat_index``, ``analytic``, ``numeric``, ``ratio`` (analytic / numeric, NaN
        where numeric is 0), ``abs_err``, ``bound``, ``verdict`` and ``reason``.  At several points there are as many rows a
        weight, and a column ``point`` comes first.
        """
        return frames.short(self._frames())

    def to_frame(self, full: bool = False) -> pd.DataFrame:
        """The numbers as a DataFrame: the columns of ``errors``, or all.

        Parameters
        ----------
        full : bool, optional
            Give all columns that a run stores of a weight.  ``correct`` is NaN, since nobody knows it, and so is ``eps`` where
            it is auto.
        """
        return frames.full(self._frames()) if full else self.errors

    def worst(self, n: int = 5) -> pd.DataFrame:
        """The rows of ``errors`` of the n weights with the largest abs(analytic - numeric) / bound.

        Parameters
        ----------
        n : int, optional
            How many weights.
        """
        return frames.worst(self.errors, n)

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write the columns of ``to_frame(full=True)`` to one Parquet file in the schema of a run's ``errors`` folder.

        Parameters
        ----------
        path : str or path
            The file.  It appears whole or not at all.
        """
        frames.to_parquet(self._frames(), path)

    def _frames(self) -> list[frames.Point]:
        return [frames.Point(o.table, o.scheme, o.dtype, o.eps) for o in self.points or (self,)]

    def entry(self, row: int) -> str:
        """The name of the weight in this row of ``table`` as a person writes it: ``W2[0,1]``, or ``theta`` for a scalar."""
        name, position = self.table["param"][row], self.table["position"][row]
        point = f" at point {self.decided[row]}" if self.decided else ""
        return name + self.layout.place(name, position) + point

    def _headline(self) -> str:
        total = len(self.table["verdict"])
        what = f"{total} weights" if total == self.n_weights else f"{total} sampled of {self.n_weights} weights"
        if self.verdict == "mismatch":
            wrong = [p for p, v in zip(self.table["param"], self.table["verdict"], strict=True) if v == "mismatch"]
            judged = Counter(
                p for p, v in zip(self.table["param"], self.table["verdict"], strict=True) if v in ("match", "mismatch")
            )
            parts = [
                f"all of {p}" if c == judged[p] and c > 1 else f"{c} of {p}" if c > 1 else f"1 in {p}"
                for p, c in Counter(wrong).items()
            ]
            shown = ", ".join(parts[:4]) + (", …" if len(parts) > 4 else "")
            return f"MISMATCH  {len(wrong)} of {what} {'is' if len(wrong) == 1 else 'are'} wrong ({shown})"
        if total and total == self._whole.n_exempt:
            return f"INCONCLUSIVE  {what}: every one is exempt, none has a path to the loss"
        exempt = f" that are not exempt (of {what})" if self._whole.n_exempt else ""
        counted = f"{total - self._whole.n_exempt} weights{exempt}" if exempt else what
        seen = f"a relative error above {self.resolution:.0e}{self._accepted()} would have been seen"
        if self.verdict == "match":
            return f"MATCH  {self.count('match')} of {counted} agree; {seen}"
        if self.verdict == "partial":
            return f"PARTIAL  {self.count('match')} of {counted} agree, {self._open()} could not be judged; {seen}"
        if self._whole.n_judged:
            where = "lie on a kink, between the slopes on both sides"
            return f"{self.verdict.upper()}  {self._whole.n_judged} of {counted} {where}"
        return f"{self.verdict.upper()}  none of {counted} could be judged"

    def _accepted(self) -> str:
        """That ``accept`` is a part of the error that would have been seen; nothing where it is 0."""
        return f" (accept={self.accept:g} included)" if self.accept else ""

    def _open(self) -> int:
        """Weights that are not exempt and were not judged."""
        return self._whole.n_weights - self._whole.n_exempt - self._whole.n_judged

    def _not_judged(self) -> list[str]:
        return report.not_judged(self.table, self.eps, self.dtype)

    def told(self) -> report.Report:
        """The parts of the report that is printed."""
        rows = [report.cells(self.table, row, self.entry(row)) for row in report.worst(self.table)]
        points = f"; {len(self.points)} points" if self.points else ""
        return report.Report(
            headline=self._headline(),
            diagnosis=self.diagnosis,
            rows=rows,
            more=self.count("mismatch") - len(rows),
            advice=[
                *report.tolerance(self.table, self.match_at),
                *self._not_judged(),
                *self.notes[:NOTED],
                *report.frozen(self.frozen),
            ],
            foot=f"{self.scheme}, step {eps_text(self.eps)}, {self.dtype}{points}; {self.nfev} loss evaluations",
        )

    def __str__(self) -> str:
        return report.text(self.told())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The same for a notebook, with a picture of all entries by verdict; every name is escaped."""
        rows = report.worst(self.table)
        pairs = [notebook.Pair(float(self.table["analytic"][i]), float(self.table["numeric"][i])) for i in rows]
        return notebook.page(self.verdict, self.told(), self._pictures(), pairs)

    def _remark(self, name: str, wrong: int) -> str:
        """What is said of a parameter beside its picture."""
        return f"{wrong:,} wrong" if wrong else ""

    def _pictures(self) -> list[notebook.Picture]:
        """The entries of each parameter, coloured by verdict; of several points by what decides."""
        seen = [
            "exempt" if r == EXEMPT else v for r, v in zip(self.table["reason"], self.table["verdict"], strict=True)
        ]
        ranks = squares.ranks(self.layout.size, self.table["flat_index"], seen)
        wrong: dict[str, list[int]] = {name: [] for name in self.layout.names}
        for row, verdict in enumerate(seen):
            if verdict == "mismatch":
                wrong[self.table["param"][row]].append(row)
        found = []
        for name, shape in zip(self.layout.names, self.layout.shapes, strict=True):
            where = self.layout.slices[name]
            titles = {int(self.table["flat_index"][row]) - where.start: self._title(row) for row in wrong[name]}
            entries = squares.Entries(shape, ranks[where], titles)
            found.append(notebook.Picture(name, entries, self._remark(name, len(wrong[name]))))
        return found

    def _title(self, row: int) -> str:
        a, n = self.table["analytic"][row], self.table["numeric"][row]
        return f"{self.entry(row)}: {a:.4g} for {n:.4g}"
