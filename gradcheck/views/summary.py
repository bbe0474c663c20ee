"""One screen at the end of a run: what was checked, the verdict, where the results are, what to type next."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

from gradcheck.columns import store
from gradcheck.columns.store import Place
from gradcheck.experiment.config.schema import FAIL_ON
from gradcheck.experiment.results.results import locate
from gradcheck.experiment.truth import UNKNOWN_MODELS, Truth, truth
from gradcheck.numerics.steps import eps_text, from_stored
from gradcheck.numerics.verdict import EXEMPT, VERDICTS, of_counts
from gradcheck.printable import printable
from gradcheck.views.terminal import Table, cut, plain

MAX_ROWS = 10
WIDTH = 110
_COUNTS = {verdict: f"n_{verdict}" for verdict in VERDICTS}
# What the table tells apart first, as long as it stays short.
_GROUP_BY = ("bug", "eps", "model", "scheme", "dtype", "data", "init")
_PLURAL = {
    "model": "models",
    "data": "data sources",
    "init": "inits",
    "bug": "bugs",
    "scheme": "schemes",
    "dtype": "dtypes",
    "eps": "eps",
}
HEADLINE = (*_GROUP_BY, "data_n", "data_d", "n_weights")  # what the first line names
COLUMNS = (
    *("cell", "status", "message", "model", "data", "init", "bug", "scheme", "dtype", "eps", "data_n", "data_d"),
    *("n_weights", "max_rel_err", "max_resolution", "median_resolution", "worst_param", "worst_flat_index"),
    *(f"n_{verdict}" for verdict in VERDICTS),
    *("n_exempt", "n_missed", "verdict", "ok", "diagnosis", "bug_injected"),
)


@dataclass
class Group:
    """Weights of some cells, counted by verdict."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(VERDICTS, 0))
    exempt: int = 0  # of the inconclusive ones
    worst: float | None = None  # relative error
    visible: float = 0.0  # resolution of the weight that is seen worst
    half: float = 0.0  # the same of the better half of each cell

    def add(self, row: Mapping[str, Any]) -> None:
        for verdict, column in _COUNTS.items():
            if count := row.get(column):
                self.counts[verdict] += count
        self.exempt += row.get("n_exempt") or 0
        self.worst = _largest(self.worst, row.get("max_rel_err"))
        self.visible = max(self.visible, _known(row.get("max_resolution")))
        self.half = max(self.half, _known(row.get("median_resolution")))

    def merge(self, other: Group) -> None:
        for verdict, count in other.counts.items():
            self.counts[verdict] += count
        self.exempt += other.exempt
        self.worst = _largest(self.worst, other.worst)
        self.visible, self.half = max(self.visible, other.visible), max(self.half, other.half)

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
        """That of all weights together."""
        return of_counts(self.counts, self.total)


class Tally:
    """Rows of ``cells`` taken one by one, in memory that does not grow with seeds or sizes."""

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        self.status = {"ok": 0, "failed": 0, "skipped": 0}
        self.weights = 0
        self.checked = 0  # cells without an injected bug that were computed
        self.failing = dict.fromkeys(FAIL_ON, 0)  # cells without an injected bug that make a run fail, by `fail_on`
        self.groups: dict[tuple[Any, ...], Group] = {}  # by the axes, and whether there is an injected bug
        self.sizes: set[tuple[Any, Any]] = set()
        self.widths: tuple[int, int] | None = None
        self.planted: dict[str, Counter[Truth]] = {}  # by bug
        self.reasons: Counter[str] = Counter()  # why weights without an injected bug were not judged
        self.planted_mismatch = 0  # cells judged mismatch with a planted bug where nobody knows what was right before
        self.worst: Mapping[str, Any] | None = None  # of those judged mismatch without an injected bug
        self.problems: dict[str, str] = {}  # status: message of the first such cell
        for row in rows:
            self.add(row)

    @property
    def cells(self) -> int:
        return sum(self.status.values())

    @property
    def correct(self) -> Group:
        """The cells without an injected bug."""
        found = Group()
        for (*_, injected), group in self.groups.items():
            if not injected:
                found.merge(group)
        return found

    def add(self, row: Mapping[str, Any], reasons: Iterable[str] = ()) -> None:
        """Count one cell, a row of ``cells`` as a mapping, and why weights of it could not be judged (of ``errors``)."""
        status = row["status"]
        self.status[status] = self.status.get(status, 0) + 1
        if status != "ok":
            self.problems.setdefault(status, str(row.get("message")))
            return
        injected = bool(row.get("bug_injected"))
        key = (*[row.get(axis) for axis in _GROUP_BY], injected)
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
        self.reasons.update(reason for reason in reasons if reason != EXEMPT)
        for fail_on in FAIL_ON:
            self.failing[fail_on] += fails(row, fail_on)
        if row.get("verdict") != "mismatch":
            return
        if self.worst is None or _known(row.get("max_rel_err")) > _known(self.worst.get("max_rel_err")):
            self.worst = dict(row)

    def ok(self, fail_on: str = "auto") -> bool:
        """No cell failed, and none without an injected bug is what `fail_on` says."""
        return not self.status["failed"] and not self.failing[fail_on]


def fails(row: Mapping[str, Any], fail_on: str) -> bool:
    """Whether a computed cell without an injected bug makes a run fail.

    ``mismatch``: it is one.  ``unjudged``: it is not ok, that is a mismatch, or too little of it was judged.  ``auto``: the
    second for somebody's own function, which nobody else vouches for, the first for all others.  ``never``: none does.
    """
    if fail_on == "auto":
        fail_on = "unjudged" if row.get("model") in UNKNOWN_MODELS else "mismatch"
    if fail_on == "unjudged":
        return not row.get("ok")
    return fail_on == "mismatch" and row.get("verdict") == "mismatch"


def text(
    rows: Iterable[Mapping[str, Any]] | Tally,
    run_dir: str | Place,
    overrides: Sequence[str] | None = (),
    *,
    planned: int | None = None,
) -> str:
    """The screen for a run.

    rows : of ``cells``, as mappings with at least COLUMNS (or what was tallied of them).
    overrides : as typed, for the command proposed last; None where none is to be proposed.
    planned : number of cells in the plan, where fewer may be stored.
    """
    tally = rows if isinstance(rows, Tally) else Tally(rows)
    lines = [headline(tally)]
    if tally.groups:
        lines.append(plain(_table(tally)))
    lines += _verdicts(tally)
    lines += _next(tally, store.at(run_dir), overrides, planned)
    return "\n".join(
        cut(line, WIDTH) if not line.startswith(("saved", "look", "page", "break", "resume")) else line
        for line in _flat(lines)
    )


def _flat(blocks: Iterable[str]) -> list[str]:
    return [line for block in blocks for line in block.splitlines()]


def headline(tally: Tally) -> str:
    """``2 cells x 6 weights: logistic, gaussian (n=100, d=5), no bug, central, float64``"""
    cells = f"{tally.cells} cell{'' if tally.cells == 1 else 's'}"
    if tally.widths is None:
        return f"{cells}, none computed"
    low, high = tally.widths
    weights = f"{low} weight{'' if low == 1 else 's'}" if low == high else f"{low} to {high} weights"
    values = _values(tally)
    words = [_named(axis, values[axis], tally) for axis in ("model", "data", "bug", "scheme", "dtype")]
    if len(values["init"]) > 1:
        words.insert(2, _named("init", values["init"], tally))
    return f"{cells} x {weights}: {', '.join(words)}"


def _values(tally: Tally) -> dict[str, list[Any]]:
    return {
        axis: [value for _, value in sorted({(order(axis, key[i]), key[i]) for key in tally.groups}, key=itemgetter(0))]
        for i, axis in enumerate(_GROUP_BY)
    }


def order(axis: str, value: Any) -> tuple[bool, bool, Any]:
    """A key to sort by, since cells come back in any order: large steps first, auto last; without a bug first."""
    return value is None, value != "none", -value if axis == "eps" and value is not None else value


def _named(axis: str, values: list[Any], tally: Tally) -> str:
    if len(values) > 3:
        return f"{len(values)} {_PLURAL[axis]}"
    names = [printable(_value(axis, value)) for value in values]
    if axis == "data" and len(tally.sizes) == 1 and len(values) == 1 and None not in next(iter(tally.sizes)):
        n, d = next(iter(tally.sizes))
        return f"{names[0]} (n={n}, d={d})"
    return "/".join(names)


def _value(axis: str, value: Any) -> str:
    if axis == "eps":
        return eps_text(from_stored(value))
    if value == "none":
        return {"bug": "no bug", "data": "no data"}.get(axis, "none")
    return str(value)


def _table(tally: Tally) -> Table:
    values = _values(tally)
    shown: list[str] = []
    for axis in _GROUP_BY:
        if len(values[axis]) > 1:
            places = [_GROUP_BY.index(name) for name in [*shown, axis]]
            if len({tuple(key[i] for i in places) for key in tally.groups}) <= MAX_ROWS:
                shown.append(axis)
    folded = [axis for axis in _GROUP_BY if len(values[axis]) > 1 and axis not in shown]
    shown = shown or ["eps"]
    if shown == ["eps"] and len(values["eps"]) > MAX_ROWS:
        shown = []
    groups: dict[tuple[Any, ...], Group] = {}
    for key, group in tally.groups.items():
        groups.setdefault(tuple(key[_GROUP_BY.index(axis)] for axis in shown), Group()).merge(group)
    exempt = any(group.exempt for group in groups.values())
    rows = [
        [
            *(_value(axis, value) for axis, value in zip(shown, key, strict=True)),
            group.counts["match"],
            group.counts["mismatch"],
            group.counts["inconclusive"] + group.counts["nondifferentiable"] - group.exempt,
            *([group.exempt] if exempt else []),
            _two_digits(group.worst),
            _visible(group),
        ]
        for key, group in sorted(
            groups.items(), key=lambda item: [order(axis, value) for axis, value in zip(shown, item[0], strict=True)]
        )
    ]
    notes = []
    if folded:
        notes.append("all " + ", ".join(f"{len(values[axis])} {_PLURAL[axis]}" for axis in folded) + " together")
    if any(str(row[-1]).endswith("*") for row in rows):
        notes.append("* by half of the weights; others show nothing here")
    header = [
        *shown,
        "match",
        "mismatch",
        "not judged",
        *(["exempt"] if exempt else []),
        "worst rel_err",
        "bugs visible from",
    ]
    return Table("", header, rows, "; ".join(notes), frozenset(shown) - {"eps"})


def _two_digits(value: float | None) -> str:
    return "-" if value is None else "0" if value == 0 else f"{value:.1e}"


def _visible(group: Group) -> str:
    if math.isfinite(group.visible):
        return f"{group.visible:.0e}"
    return f"{group.half:.0e}*" if math.isfinite(group.half) else "never"


def _verdicts(tally: Tally) -> list[str]:
    lines = _of_gradients(tally)
    known = {bug: counts for bug, counts in tally.planted.items() if not counts[Truth.UNKNOWN]}
    if known:
        caught = sum(counts[Truth.CAUGHT] for counts in known.values())
        planted = sum(counts.total() for counts in known.values())
        rest = [_by_bug(known, truth) for truth in (Truth.MISSED, Truth.CANNOT_BE_TOLD)]
        lines.append("; ".join([f"CAUGHT  {caught} of {planted} planted bugs", *filter(None, rest)]))
    if unknown := sum(counts[Truth.UNKNOWN] for counts in tally.planted.values()):
        lines.append(
            f"PLANTED  {tally.planted_mismatch} of {unknown} cells with a bug planted into somebody's gradient are mismatches;"
            " whether it was right before is not known"
        )
    for status in ("skipped", "failed"):
        if count := tally.status[status]:
            first = printable(tally.problems[status])
            lines.append(f"{status.upper()}  {count} of {tally.cells} cells, the first: {first}")
    return lines or ["NOTHING  no cell was computed"]


def _of_gradients(tally: Tally) -> list[str]:
    """The verdict of the gradients without an injected bug, and how many of how many weights it rests on."""
    correct = tally.correct
    if not correct.total:
        return ["INCONCLUSIVE  every weight is exempt: none has a path to the loss"] if correct.exempt else []
    checks = "check" if correct.total == 1 else "checks"
    exempt = f", {correct.exempt} more are exempt" if correct.exempt else ""
    if correct.verdict == "mismatch":
        worst = tally.worst or {}
        where = f"{printable(worst.get('worst_param'))} (flat index {worst.get('worst_flat_index')})"
        first = (
            f"MISMATCH  {correct.counts['mismatch']} of {correct.total} {checks} disagree{exempt}; worst {where},"
            f" rel_err {_two_digits(worst.get('max_rel_err'))}"
        )
        return [first, *([f"          {printable(worst['diagnosis'])}"] if worst.get("diagnosis") else [])]
    if correct.verdict not in ("match", "partial"):
        why = f"none of {correct.total} {checks} can be judged{_why(tally, correct.open)}{exempt}"
        return [f"{correct.verdict.upper()}  {why}{_cells_not_ok(tally)}"]
    # beyond 1 even a gradient of 0 would have passed for one of the weights
    seen = f"; a relative error above {correct.visible:.0e} would have been seen" if correct.visible <= 1 else ""
    if correct.verdict == "match":
        agree = f"all {correct.total} {checks} agree" if correct.total > 1 else "the check agrees"
        return [f"MATCH  {agree}{exempt}{seen}"]
    agree = f"{correct.counts['match']} of {correct.total} {checks} agree, {_not_judged(tally, correct.open)}"
    return [f"PARTIAL  {agree}{exempt}{_cells_not_ok(tally)}{seen}"]


def _cells_not_ok(tally: Tally) -> str:
    """Of how many cells too little was judged; that of one cell is said already."""
    count = tally.failing["unjudged"]
    return f"; {count} of {tally.checked} cells not ok" if count and tally.checked > 1 else ""


def _by_bug(planted: Mapping[str, Counter[Truth]], truth: Truth) -> str:
    """How many cells of which bug, of how many; empty where there are none."""
    found = [f"{printable(bug)} ({c[truth]} of {c.total()})" for bug, c in planted.items() if c[truth]]
    return f"{truth}: {', '.join(found)}" if found else ""


def _not_judged(tally: Tally, count: int) -> str:
    return f"{count} cannot be judged{_why(tally, count)}"


def _why(tally: Tally, count: int) -> str:
    """The reasons with their counts, the commonest first; a resumed run knows those of its new cells alone."""
    if tally.reasons.total() != count:
        return ": see reason in errors"
    return f" ({', '.join(f'{printable(reason)} {n}' for reason, n in tally.reasons.most_common(4))})"


def _next(tally: Tally, run_dir: Place, overrides: Sequence[str] | None, planned: int | None) -> list[str]:
    shown = _short_path(run_dir)
    run = _as_typed(run_dir)
    lines = [f"saved  {shown}  ({tally.weights} rows in errors, {tally.cells} in cells)"]
    if planned is not None and planned > tally.cells:
        lines.append(
            f"resume python -m gradcheck.run {shlex.quote(f'resume={shown}')}  ({planned - tally.cells} cells left)"
        )
    cell = f" --cell {tally.worst['cell']}" if tally.worst is not None else ""
    lines.append(f"look   python -m gradcheck.show {run}{cell}")
    if tally.cells > 1 and tally.groups:
        out = "" if isinstance(run_dir, Path) else " --out report.html"
        lines.append(f"page   python -m gradcheck.report {run}{out}")
    if overrides is not None and tally.groups and not tally.planted and tally.worst is None:
        science = [
            text
            for text in overrides
            if not text.lstrip("+~").startswith(("hydra", "store=", "engine", "progress=", "bug"))
        ]
        grid = any("experiment=" in text for text in science)
        again = " ".join(shlex.quote(text) for text in science) if not grid and len(science) <= 6 else ""
        lines.append(f"break  python -m gradcheck.run bug=scale,sign_flip {again} -m".replace("  -m", " -m"))
    return lines


def _short_path(path: Place) -> str:
    if not isinstance(path, Path):
        return printable(path)
    try:
        return printable(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return printable(path)


def _as_typed(run_dir: Place) -> str:
    """``latest`` where that is this run."""
    try:
        if isinstance(run_dir, Path) and locate("latest").resolve() == run_dir.resolve():
            return "latest"
    except (OSError, ValueError):
        pass
    return shlex.quote(_short_path(run_dir))


def _known(value: float | None) -> float:
    return 0.0 if value is None or math.isnan(value) else float(value)


def _largest(a: float | None, b: float | None) -> float | None:
    if a is None or math.isnan(a):
        return None if b is None or math.isnan(b) else b
    return a if b is None or not b > a else b
