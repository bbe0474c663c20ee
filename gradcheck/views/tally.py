"""Counts of the cells of a run: verdicts, planted bugs, failures, the worst weight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict, cast

from gradcheck.experiment.config.schema import FAIL_ON
from gradcheck.experiment.truth import UNKNOWN_MODELS, Truth, truth
from gradcheck.numerics.verdict import ACCEPTED, EXEMPT, VERDICTS, of_counts
from gradcheck.views import words
from gradcheck.views.numbers import larger, or_zero

TALLY_COLUMNS = (
    *("cell", "status", "message", "model", "data", "init", "bug", "scheme", "dtype", "eps", "data_n", "data_d"),
    *("n_weights", "max_rel_err", "max_resolution", "median_resolution", "worst_param", "worst_flat_index"),
    "accept",
    *(f"n_{verdict}" for verdict in VERDICTS),
    *("n_exempt", "n_missed", "verdict", "ok", "diagnosis", "bug_injected"),
)


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


# The axes by which cells are counted; what the table tells apart first stands first.
GROUP_BY = ("bug", "eps", "model", "scheme", "dtype", "data", "init")
Axes = tuple[str | None, float | None, str | None, str | None, str | None, str | None, str | None]
GroupKey = tuple[Axes, bool]


@dataclass
class Group:
    """Weights of some cells, counted by verdict."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(VERDICTS, 0))
    exempt: int = 0  # of the inconclusive ones
    worst: float | None = None  # relative error
    visible: float = 0.0  # the worst resolution of a weight, with what is accepted beside it
    half: float = 0.0  # the worst of the cells' medians of the same
    accept: float = 0.0  # the most that is accepted

    def add(self, row: CellRow) -> None:
        """Add the weights of a cell."""
        counts = self.counts
        counts["match"] += row.get("n_match") or 0
        counts["mismatch"] += row.get("n_mismatch") or 0
        counts["inconclusive"] += row.get("n_inconclusive") or 0
        counts["nondifferentiable"] += row.get("n_nondifferentiable") or 0
        self.exempt += row.get("n_exempt") or 0
        self.worst = larger(self.worst, row.get("max_rel_err"))
        accept = or_zero(row.get("accept"))
        self.visible = max(self.visible, or_zero(row.get("max_resolution")) + accept)
        self.half = max(self.half, or_zero(row.get("median_resolution")) + accept)
        self.accept = max(self.accept, accept)

    def merge(self, other: Group) -> None:
        """Add the weights of another group."""
        for verdict, count in other.counts.items():
            self.counts[verdict] += count
        self.exempt += other.exempt
        self.worst = larger(self.worst, other.worst)
        self.visible, self.half = max(self.visible, other.visible), max(self.half, other.half)
        self.accept = max(self.accept, other.accept)

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


class Tally:
    """Counts of the rows of ``cells``, one by one, in memory that does not grow with the number of seeds or sizes."""

    def __init__(self, rows: Iterable[Mapping[str, object]] = ()) -> None:
        self.status = {"ok": 0, "failed": 0, "skipped": 0}
        self.weights = 0
        self.checked = 0  # cells without an injected bug that were computed
        self.failing = dict.fromkeys(FAIL_ON, 0)  # cells without an injected bug that make a run fail, by `fail_on`
        self.groups: dict[GroupKey, Group] = {}  # by the axes, and whether there is an injected bug
        self.sizes: set[tuple[int | None, int | None]] = set()  # (n, d) of the data, two of them at most
        self.widths: tuple[int, int] | None = None  # the fewest and the most weights of a cell
        self.planted: dict[str, Counter[Truth]] = {}  # by bug
        self.reasons: Counter[str] = Counter()  # why weights without an injected bug were not judged
        self.planted_mismatch = 0  # cells judged mismatch with a planted bug where nobody knows what was right before
        self.worst: CellRow | None = None  # of the cells judged mismatch without an injected bug
        self.worst_weight = ""  # its worst weight, by name
        self.problems: dict[str, str] = {}  # status: message of the first such cell, by id
        self._first: dict[str, str] = {}  # status: its id
        for row in rows:
            self.add(row)

    @property
    def cells(self) -> int:
        """How many cells were counted."""
        return sum(self.status.values())

    @property
    def correct(self) -> Group:
        """The cells without an injected bug."""
        found = Group()
        for (_, injected), group in self.groups.items():
            if not injected:
                found.merge(group)
        return found

    def add(
        self,
        cell: Mapping[str, object],
        reasons: Iterable[str] = (),
        position: Callable[[int], Sequence[int] | None] | None = None,
    ) -> None:
        """Count one cell, a row of ``cells``, and the reasons why weights of it could not be judged (of ``errors``).

        position : the place of a weight of it within its parameter; it is asked where this cell is the worst so far.
        """
        row = cast("CellRow", cell)  # as the schema has it
        status = row["status"]
        self.status[status] = self.status.get(status, 0) + 1
        if status != "ok":
            if row["cell"] < self._first.setdefault(status, "~"):  # cells are done in any order
                self._first[status], self.problems[status] = row["cell"], str(row.get("message"))
            return
        injected = bool(row.get("bug_injected"))
        axes: Axes = (
            row.get("bug"),
            row.get("eps"),
            row.get("model"),
            row.get("scheme"),
            row.get("dtype"),
            row.get("data"),
            row.get("init"),
        )
        key = (axes, injected)
        group = self.groups.get(key)
        if group is None:
            group = self.groups[key] = Group()
        group.add(row)
        if len(self.sizes) < 2:
            self.sizes.add((row.get("data_n"), row.get("data_d")))
        n = row.get("n_weights") or 0
        self.weights += n
        self.widths = (n, n) if self.widths is None else (min(n, self.widths[0]), max(n, self.widths[1]))
        if injected:
            self.planted.setdefault(str(row.get("bug")), Counter())[truth(row)] += 1
            self.planted_mismatch += row.get("verdict") == "mismatch" and truth(row) is Truth.UNKNOWN
            return
        self.checked += 1
        self.reasons.update(reason for reason in reasons if reason not in (EXEMPT, ACCEPTED))
        for fail_on in FAIL_ON:
            self.failing[fail_on] += fails(row, fail_on)
        if row.get("verdict") != "mismatch":
            return
        if self.worst is None or or_zero(row.get("max_rel_err")) > or_zero(self.worst.get("max_rel_err")):
            self.worst, place = row.copy(), row.get("worst_flat_index")
            where = None if position is None or place is None else position(place)
            self.worst_weight = words.weight(row.get("worst_param"), where, place)

    def ok(self, fail_on: str = "auto") -> bool:
        """Whether no cell failed, and no cell without an injected bug makes the run fail (`fails`)."""
        return not self.status["failed"] and not self.failing[fail_on]


def fails(row: CellRow, fail_on: str) -> bool:
    """Whether a computed cell without an injected bug makes a run fail.

    ``mismatch``: a cell that is one does.  ``unjudged``: a cell that is not ok does, which is a mismatch or too little
    judged.  ``auto``: as ``unjudged`` for somebody's own function, for which nobody else vouches, as ``mismatch`` for all
    other models.  ``never``: no cell does.
    """
    if fail_on == "auto":
        fail_on = "unjudged" if row.get("model") in UNKNOWN_MODELS else "mismatch"
    if fail_on == "unjudged":
        return not row.get("ok")
    return fail_on == "mismatch" and row.get("verdict") == "mismatch"


def order(axis: str, value: object) -> tuple[bool, bool, Any]:
    """A key to sort the values of an axis by, since cells come in any order: large steps first, auto last; no bug first."""
    return value is None, value != "none", -value if axis == "eps" and isinstance(value, (int, float)) else value
