"""Public reports of wrong gradients: does the diagnosis name the kind of each?  The half that was held out is counted apart.

Of the half that was held out, the kind must be named in ``NAMED`` of the cells, and a wrong one in no more than ``WRONG``.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "bugs")]

from answers import forms  # noqa: E402
from kinds import Wrong, accepted  # noqa: E402
from reports import held_out, reports  # noqa: E402

from gradcheck.errors import NoEffect  # noqa: E402
from gradcheck.experiment.cell import check_cell, pose  # noqa: E402
from gradcheck.experiment.config.build import build  # noqa: E402

from .kills import Failure  # noqa: E402

NAMED, WRONG = 0.9, 0.01
# What may be said of any gradient that is wrong: where it is, not why.
GENERIC = {"entries", "scattered", "unknown", "zero_entries", "bias", None}


@dataclass
class Half:
    """The cells of some reports: those with the right kind, with a kind that says no more than where, and with a wrong one."""

    cells: int = 0
    right: int = 0
    generic: int = 0
    wrong: int = 0
    missed: int = 0  # no mismatch, though the mistake is above the resolution
    none: int = 0  # the mistake leaves this very gradient as it is, or changes it by less than can be seen
    said: Counter[tuple[str, str | None]] = field(default_factory=Counter)

    def add(self, name: str, found: str, kind: str | None) -> None:
        """One cell of a report."""
        if found == "none":
            self.none += 1
            return
        self.cells += 1
        setattr(self, found, getattr(self, found) + 1)
        if found != "right":
            self.said[name, kind] += 1

    @property
    def words(self) -> str:
        share = f"{100 * self.right / max(self.cells, 1):.1f}%"
        return (
            f"{self.cells} cells, kind named in {share}, no more than where in {self.generic}, a wrong kind in"
            f" {self.wrong}, not caught {self.missed}, no effect {self.none}"
        )


def cell(form: Mapping[str, Any], seed: int) -> Any:
    """The check of a report at other weights and other data."""
    changed = {key: dict(value) if isinstance(value, Mapping) else value for key, value in form.items()}
    for section in ("init", "data", "bug"):
        if "seed" in changed[section]:
            changed[section]["seed"] = seed
    return build(changed)


def answer(name: str, form: Mapping[str, Any], seed: int) -> tuple[str, str, str | None]:
    """What the check says of one report at one seed."""
    one = cell(form, seed)
    try:
        summary = check_cell(one).summary
    except NoEffect:
        return name, "none", None
    if summary["verdict"] != "mismatch":
        return name, "missed" if summary["n_missed"] else "none", summary["verdict"]
    problem = pose(one)
    assert problem.correct is not None
    kind = summary["diagnosis_kind"]
    right = accepted(one.bug.name, Wrong(problem.layout, problem.theta, problem.correct, problem.analytic))
    return name, "right" if kind in right else "generic" if kind in GENERIC else "wrong", kind


def answers(seeds: int, processes: int = 2) -> Iterator[tuple[str, str, str | None]]:
    """The answers to all reports at so many seeds."""
    jobs = [(name, form, seed) for name, form in forms(one.name for one in reports()).items() for seed in range(seeds)]
    if processes == 1:
        yield from map(answer, *zip(*jobs, strict=True))
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(answer, *zip(*jobs, strict=True), chunksize=8)


def counted(seeds: int, processes: int = 2) -> dict[bool, Half]:
    """The half that was held out (True), and the other one."""
    halves = {False: Half(), True: Half()}
    for name, found, kind in answers(seeds, processes):
        halves[held_out(name)].add(name, found, kind)
    return halves


def trial(seeds: int) -> str:
    """A row of the table of trials.  Raises Failure."""
    halves = counted(seeds)
    held = halves[True]
    told = f"held out: {held.words}; the other half: {halves[False].words}"
    if held.right < NAMED * held.cells or held.wrong > WRONG * held.cells or any(h.missed for h in halves.values()):
        most = ", ".join(f"{name} {kind} {n}" for (name, kind), n in (held.said + halves[False].said).most_common(40))
        raise Failure(f"{told}; {most}")
    return told


if __name__ == "__main__":
    for half, found in counted(int(sys.argv[1]) if sys.argv[1:] else 3).items():
        print("held out" if half else "open", found.words)
        for (name, kind), n in sorted(found.said.items(), key=str):
            print(f"  {name}: {kind} {n}")
