"""One screen at the end of a run: what was checked, the verdict, where the results are, what to type next."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from gradcheck.columns import places
from gradcheck.columns.places import Place
from gradcheck.experiment.results.part import locate
from gradcheck.experiment.truth import Truth
from gradcheck.printable import printable
from gradcheck.views import words
from gradcheck.views.layout import Table, plain
from gradcheck.views.numbers import counted
from gradcheck.views.reasons import listed
from gradcheck.views.swept_table import swept_tables
from gradcheck.views.tally import Tally, in_order
from gradcheck.views.values import Value
from gradcheck.views.worst import Worst

_PLURAL = {
    "model": "models",
    "data": "data sources",
    "init": "inits",
    "bug": "bugs",
    "scheme": "schemes",
    "dtype": "dtypes",
}


def text(
    rows: Iterable[Mapping[str, object]] | Tally,
    run_dir: str | Place,
    overrides: Sequence[str] | None = (),
    *,
    planned: int | None = None,
) -> str:
    """The screen for a run.

    rows : those of ``cells``, as mappings with at least `tally.TALLY_COLUMNS`, or a tally of them.
    overrides : as typed, for the command that is proposed last; None proposes none.
    planned : number of cells in the plan; fewer may be stored.
    """
    return "\n".join(
        one if isinstance(one, str) else plain(one) for one in screen(rows, run_dir, overrides, planned=planned)
    )


def screen(
    rows: Iterable[Mapping[str, object]] | Tally,
    run_dir: str | Place,
    overrides: Sequence[str] | None = (),
    *,
    planned: int | None = None,
) -> list[Table | str]:
    """The same as text and a table, for a terminal."""
    tally = rows if isinstance(rows, Tally) else Tally(rows)
    return [
        headline(tally),
        *swept_tables(tally),
        *verdicts(tally),
        *_next(tally, places.at(run_dir), overrides, planned),
    ]


def headline(tally: Tally) -> str:
    """``2 cells x 6 weights: logistic, gaussian (n=100, d=5), no bug, central, float64``"""
    cells = counted(tally.cells, "cell")
    if tally.widths is None:
        return f"{cells}, none computed"
    low, high = tally.widths
    weights = counted(low, "weight") if low == high else f"{low:,} to {high:,} weights"
    values = {axis: _values(tally, axis) for axis in _PLURAL}
    named = [_named(axis, values[axis], tally) for axis in ("model", "data", "bug", "scheme", "dtype")]
    if len(values["init"]) > 1:
        named.insert(2, _named("init", values["init"], tally))
    return f"{cells} x {weights}: {', '.join(named)}"


def _values(tally: Tally, axis: str) -> list[Value]:
    """The values of a setting, in order."""
    return sorted(tally.points.values(axis), key=partial(in_order, axis))


def _named(axis: str, values: Sequence[Value], tally: Tally) -> str:
    """The values of an axis in the headline, or how many there are."""
    if len(values) > 3:
        without = axis == "bug" and "none" in values
        return f"{f'{tally.names.unplanted} and ' if without else ''}{len(values) - without} {_PLURAL[axis]}"
    names = [printable(words.setting(axis, value, tally.names)) for value in values]
    if axis == "data" and len(tally.sizes) == 1 and len(values) == 1 and None not in next(iter(tally.sizes)):
        n, d = next(iter(tally.sizes))
        return f"{names[0]} (n={n}, d={d})"
    return "/".join(names)


def verdicts(tally: Tally) -> list[str]:
    """What is said of the gradients, the planted bugs, and the cells without a result; a line or two each."""
    lines = _of_gradients(tally)
    known = {bug: counts for bug, counts in tally.planted.items() if not counts[Truth.UNKNOWN]}
    if known:
        caught = sum(counts[Truth.CAUGHT] for counts in known.values())
        planted = sum(counts.total() for counts in known.values())
        rest = [_by_bug(known, truth) for truth in (Truth.MISSED, Truth.CANNOT_BE_TOLD)]
        all_of = f"NOT CAUGHT  {counted(planted, 'planted bug')}"
        said = f"CAUGHT  {caught:,} of {planted:,} planted bugs" if caught else all_of
        lines.append("; ".join([said, *filter(None, rest)]))
    if unknown := sum(counts[Truth.UNKNOWN] for counts in tally.planted.values()):
        lines.append(
            f"PLANTED  {tally.planted_mismatch:,} of {unknown:,} cells with a bug planted into somebody's gradient are"
            " mismatches; whether it was right before is not known"
        )
    for status in ("skipped", "failed"):
        if count := tally.status[status]:
            first = printable(tally.problems[status])
            lines.append(f"{status.upper()}  {count:,} of {tally.cells:,} cells, the first: {first}")
    return lines or ["NOTHING  no cell was computed"]


def _of_gradients(tally: Tally) -> list[str]:
    """The verdict of the gradients without an injected bug, and on how many of their weights it rests."""
    correct = tally.correct
    if not correct.total:
        return ["INCONCLUSIVE  every weight is exempt: none has a path to the loss"] if correct.exempt else []
    checks = "check" if correct.total == 1 else "checks"
    exempt = f", {correct.exempt:,} more are exempt" if correct.exempt else ""
    if correct.verdict == "mismatch":
        worst, weight = tally.worst or {}, tally.worst_weight or Worst("-", None)
        first = (
            f"MISMATCH  {correct.counts['mismatch']:,} of {correct.total:,} {checks} disagree{exempt};"
            f" worst {weight.name}, rel_err {words.error(weight.rel_err)}"
        )
        return [first, *([f"          {printable(worst['diagnosis'])}"] if worst.get("diagnosis") else [])]
    if correct.verdict not in ("match", "partial"):
        why = f"none of {correct.total:,} {checks} judged{_why(tally, correct.open)}{exempt}"
        return [f"{correct.verdict.upper()}  {why}{_cells_not_ok(tally)}"]
    # beyond 1 even a gradient of 0 would have passed for one of the weights
    accept = f" (accept={correct.accept:g} included)" if correct.accept else ""
    seen = (
        f"; a relative error above {correct.visible:.0e}{accept} would have been seen" if correct.visible <= 1 else ""
    )
    if correct.verdict == "match":
        agree = f"all {correct.total:,} {checks} agree" if correct.total > 1 else "the check agrees"
        return [f"MATCH  {agree}{exempt}{seen}"]
    agree = f"{correct.counts['match']:,} of {correct.total:,} {checks} agree"
    rest = f"{correct.open:,} not judged{_why(tally, correct.open)}"
    return [f"PARTIAL  {agree}, {rest}{exempt}{_cells_not_ok(tally)}{seen}"]


def _cells_not_ok(tally: Tally) -> str:
    """How many cells are not ok; nothing where there is one cell, whose line says it already."""
    count = tally.failing["unjudged"]
    return f"; {count:,} of {tally.checked:,} cells not ok" if count and tally.checked > 1 else ""


def _by_bug(planted: Mapping[str, Counter[Truth]], truth: Truth) -> str:
    """How many cells of each bug have this truth, of how many; empty where none has."""
    found = [f"{printable(bug)} ({c[truth]:,} of {c.total():,})" for bug, c in sorted(planted.items()) if c[truth]]
    return f"{truth}: {', '.join(found)}" if found else ""


def _why(tally: Tally, count: int) -> str:
    """The reasons with their counts, the commonest first.  A resumed run knows those of its new cells only."""
    if tally.reasons.total() != count:
        return ": see reason in errors"
    return f" ({listed(tally.reasons, 4)})"


def _next(tally: Tally, run_dir: Place, overrides: Sequence[str] | None, planned: int | None) -> list[str]:
    """Where the results are, and what to type next."""
    shown = _short_path(run_dir)
    run = _as_typed(run_dir)
    lines = [f"saved  {shown}  ({tally.weights} rows in errors, {tally.cells} in cells)"]
    if planned is not None and planned > tally.cells:
        lines.append(
            f"resume python -m gradcheck.run {shlex.quote(f'resume={shown}')}  ({planned - tally.cells} cells left)"
        )
    cell = f" --cell {tally.worst['cell']}" if tally.worst is not None else ""
    lines.append(f"look   python -m gradcheck.show {run}{cell}")
    if tally.widths:
        out = "" if isinstance(run_dir, Path) else " --out report.html"
        lines.append(f"page   python -m gradcheck.report {run}{out}")
    if overrides is not None and tally.widths and not tally.planted and tally.worst is None:
        science = [
            text
            for text in overrides
            if not text.lstrip("+~").startswith(("hydra", "store=", "engine", "progress=", "bug"))
        ]
        apart = any("experiment=" in text for text in science) or not _paired_within(science)
        again = " ".join(shlex.quote(text) for text in science) if not apart and len(science) <= 6 else ""
        lines.append(f"break  python -m gradcheck.run bug=scale,sign_flip {again} -m".replace("  -m", " -m"))
    return lines


def _paired_within(overrides: Sequence[str]) -> bool:
    """Whether every key that ``zip`` pairs has its list among these overrides; a group without one is refused."""
    keys = {text.lstrip("+").partition("=")[0]: text.partition("=")[2] for text in overrides}
    return all(key in keys for key in re.findall(r"[^][,\s'\"]+", keys.get("zip", "")))


def _short_path(path: Place) -> str:
    """The path from the working folder, where it lies below that."""
    if not isinstance(path, Path):
        return printable(path)
    try:
        return printable(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return printable(path)


def _as_typed(run_dir: Place) -> str:
    """``latest`` where that is this run."""
    try:
        latest = locate("latest")
        if isinstance(run_dir, Path) and isinstance(latest, Path) and latest.resolve() == run_dir.resolve():
            return "latest"
    except (OSError, ValueError):
        pass
    return shlex.quote(_short_path(run_dir))
