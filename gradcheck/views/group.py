"""Cells counted together: their weights by verdict, the worst of them, and what became of planted bugs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict

from gradcheck.numerics.verdict import VERDICTS, of_counts
from gradcheck.views.numbers import larger, or_zero


class CellRow(TypedDict, total=False):
    """A row of ``cells`` with TALLY_COLUMNS; what is unknown is None."""

    cell: str
    status: str
    message: str | None
    model: str | None
    data: str | None
    init: str | None
    bug: str | None
    scheme: str | None
    dtype: str | None
    eps: float | None
    data_n: int | None
    data_d: int | None
    n_weights: int | None
    max_rel_err: float | None
    max_resolution: float | None
    median_resolution: float | None
    accept: float | None
    worst_param: str | None
    worst_flat_index: int | None
    n_match: int | None
    n_mismatch: int | None
    n_inconclusive: int | None
    n_nondifferentiable: int | None
    n_exempt: int | None
    n_missed: int | None
    verdict: str | None
    ok: bool | None
    diagnosis: str | None
    bug_injected: bool | None


@dataclass(slots=True)
class Group:
    """Weights of some cells, counted by verdict.

    exempt : of the inconclusive ones.   worst : relative error.   visible : the worst resolution of a weight, with what is
    accepted beside it.   half : the worst of the cells' medians of the same.   accept : the most that is accepted.
    planted : cells with a planted bug of which the truth is known.   caught : of these, how many are a mismatch.
    """

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(VERDICTS, 0))
    exempt: int = 0
    worst: float | None = None
    visible: float = 0.0
    half: float = 0.0
    accept: float = 0.0
    planted: int = 0
    caught: int = 0

    def add(self, row: CellRow, caught: bool | None = None) -> None:
        """Add the weights of a cell.

        caught : whether its planted bug was; None where there is none, or where nobody knows the right gradient.
        """
        counts = self.counts
        counts["match"] += row.get("n_match") or 0
        counts["mismatch"] += row.get("n_mismatch") or 0
        counts["inconclusive"] += row.get("n_inconclusive") or 0
        counts["nondifferentiable"] += row.get("n_nondifferentiable") or 0
        self.exempt += row.get("n_exempt") or 0
        self.worst = larger(self.worst, row.get("max_rel_err"))
        accept = or_zero(row.get("accept"))
        visible, half = or_zero(row.get("max_resolution")) + accept, or_zero(row.get("median_resolution")) + accept
        # comparisons, since this is done for each cell twice
        if visible > self.visible:
            self.visible = visible
        if half > self.half:
            self.half = half
        if accept > self.accept:
            self.accept = accept
        if caught is not None:
            self.planted += 1
            self.caught += caught

    def merge(self, other: Group) -> None:
        """Add the weights of another group."""
        for verdict, count in other.counts.items():
            self.counts[verdict] += count
        self.exempt += other.exempt
        self.worst = larger(self.worst, other.worst)
        self.visible, self.half = max(self.visible, other.visible), max(self.half, other.half)
        self.accept = max(self.accept, other.accept)
        self.planted += other.planted
        self.caught += other.caught

    @property
    def total(self) -> int:
        """The weights that are not exempt."""
        return sum(self.counts.values()) - self.exempt

    @property
    def open(self) -> int:
        """Of these, how many neither match nor mismatch."""
        return self.total - self.counts["match"] - self.counts["mismatch"]

    @property
    def verdict(self) -> str:
        """The verdict of all weights together."""
        return of_counts(self.counts, self.total)
