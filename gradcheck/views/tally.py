"""Counts of the cells of a run: verdicts, planted bugs, failures, the worst weight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

from gradcheck.experiment.config.schema import FAIL_ON
from gradcheck.experiment.truth import UNKNOWN_MODELS, Truth, truth
from gradcheck.numerics.verdict import ACCEPTED, EXEMPT, VERDICTS
from gradcheck.views import words
from gradcheck.views.axes import SETTING_NAMES
from gradcheck.views.group import CellRow, Group
from gradcheck.views.numbers import or_zero
from gradcheck.views.points import Points, Swept
from gradcheck.views.values import Value
from gradcheck.views.worst import Worst

TALLY_COLUMNS = (
    *("cell", "status", "message", *SETTING_NAMES),
    *("n_weights", "max_rel_err", "max_resolution", "median_resolution", "worst_param", "worst_flat_index"),
    *(f"n_{verdict}" for verdict in VERDICTS),
    *("n_exempt", "n_missed", "verdict", "ok", "diagnosis", "bug_injected"),
)


class Grouped(Protocol):
    """Counts of cells by the settings that were swept."""

    def values(self, name: str) -> list[Value]:
        """The values of a setting."""

    def total(self, planted: bool) -> Group:
        """The counts of all cells with a planted bug, or of those without."""

    def swept(self) -> Swept:
        """The counts by what was swept."""


class Tally:
    """Counts of the rows of ``cells``, one by one, in memory that does not grow with the number of cells.

    names : columns of further settings that may differ; of a plan, those that were swept.
    """

    def __init__(self, rows: Iterable[Mapping[str, object]] = (), names: Sequence[str] = SETTING_NAMES) -> None:
        self.status = {"ok": 0, "failed": 0, "skipped": 0}
        self.weights = 0
        self.checked = 0  # cells without an injected bug that were computed
        self.failing = dict.fromkeys(FAIL_ON, 0)  # cells without an injected bug that make a run fail, by `fail_on`
        self.steps: set[object] = set()  # as they are stored; of more than MOST_STEPS not all
        self.unplanted: set[object] = set()  # the models of cells without a planted bug
        self._one_by_one = Points(names)
        self.points: Grouped = self._one_by_one
        self.sizes: set[tuple[int | None, int | None]] = set()  # (n, d) of the data, two of them at most
        self.widths: tuple[int, int] | None = None  # the fewest and the most weights of a cell
        self.planted: dict[str, Counter[Truth]] = {}  # by bug
        self.reasons: Counter[str] = Counter()  # why weights without an injected bug were not judged
        self.planted_mismatch = 0  # cells judged mismatch with a planted bug where nobody knows what was right before
        self.worst: CellRow | None = None  # of the cells judged mismatch without an injected bug
        self.worst_weight: Worst | None = None  # its worst weight
        self.problems: dict[str, str] = {}  # status: message of the first such cell, by id
        self._first: dict[str, str] = {}  # status: its id
        for row in rows:
            self.add(row)

    @property
    def cells(self) -> int:
        """How many cells were counted."""
        return sum(self.status.values())

    @property
    def names(self) -> words.Names:
        """What the run calls its values (`naming.named`)."""
        few = self.steps if len(self.steps) <= words.MOST_STEPS else set[object]()
        return words.names(cast("set[float | None]", few), self.unplanted)

    @property
    def correct(self) -> Group:
        """The cells without an injected bug."""
        return self.points.total(False)

    @property
    def swept(self) -> Swept:
        """The counts by what was swept."""
        return self.points.swept()

    def add(
        self,
        cell: Mapping[str, object],
        reasons: Iterable[str] = (),
        worst: Callable[[], Worst | None] | None = None,
    ) -> None:
        """Count one cell, a row of ``cells``, and the reasons why weights of it could not be judged (of ``errors``).

        worst : its worst weight; it is asked for where this cell is the worst so far.
        """
        row = cast("CellRow", cell)  # as the schema has it
        status = row["status"]
        self.status[status] = self.status.get(status, 0) + 1
        if len(self.steps) <= words.MOST_STEPS:
            self.steps.add(row.get("eps"))
        if row.get("bug") == "none":
            self.unplanted.add(row.get("model"))
        if status != "ok":
            if row["cell"] < self._first.setdefault(status, "~"):  # cells are done in any order
                self._first[status], self.problems[status] = row["cell"], str(row.get("message"))
            return
        injected = bool(row.get("bug_injected"))
        told = truth(row) if injected else None
        self._one_by_one.add(row, injected, None if told in (None, Truth.UNKNOWN) else told is Truth.CAUGHT)
        if len(self.sizes) < 2:
            self.sizes.add((row.get("data_n"), row.get("data_d")))
        n = row.get("n_weights") or 0
        self.weights += n
        self.widths = (n, n) if self.widths is None else (min(n, self.widths[0]), max(n, self.widths[1]))
        if told is not None:
            self.planted.setdefault(str(row.get("bug")), Counter())[told] += 1
            self.planted_mismatch += row.get("verdict") == "mismatch" and told is Truth.UNKNOWN
            return
        self.checked += 1
        for reason in reasons:
            if reason not in (EXEMPT, ACCEPTED):
                self.reasons[reason] += 1
        if row.get("ok") and row.get("verdict") != "mismatch":  # as nearly all are
            return
        for fail_on in FAIL_ON:
            self.failing[fail_on] += fails(row, fail_on)
        if row.get("verdict") != "mismatch":
            return
        if self.worst is None or or_zero(row.get("max_rel_err")) > or_zero(self.worst.get("max_rel_err")):
            self.worst, found = row.copy(), worst() if worst is not None else None
            named = words.weight(row.get("worst_param"), None, row.get("worst_flat_index"))
            self.worst_weight = found or Worst(named, row.get("max_rel_err"))

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


def in_order(name: str, value: object) -> tuple[Any, ...]:
    """A key to sort the values of a setting by, of whatever kind they are (`order`)."""
    unknown, first, rest = order(name, value)
    if isinstance(value, bool | int | float):
        return unknown, first, 0, rest, ""
    return unknown, first, 1, 0, str(value)
