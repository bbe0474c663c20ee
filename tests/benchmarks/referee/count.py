"""What the answers add up to: false alarms, catches, calls, words.  Tables in, values out."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

# Sizes of planted mistakes: the largest error of an entry over the entry.
LARGE, MIDDLE = 1e-2, 1e-4


class Plane(NamedTuple):
    """A tool on some cases.

    right, alarms : right gradients that it answered, and those that it accuses.
    wrong, caught : wrong ones that it answered, and those that it accuses.   silent : cases without an answer.
    """

    right: int
    alarms: int
    wrong: int
    caught: int
    silent: int

    @property
    def alarmed(self) -> float:
        """The share of right gradients that it accuses."""
        return self.alarms / self.right if self.right else np.nan

    @property
    def catching(self) -> float:
        """The share of wrong gradients that it accuses."""
        return self.caught / self.wrong if self.wrong else np.nan


def plane(of: pd.DataFrame) -> Plane:
    """The counts of the rows of one tool."""
    told = of[of["status"] == "ok"]
    wrong = told["bug_injected"].astype(bool)
    accused = told["accused"].astype(bool)
    return Plane(
        int((~wrong).sum()),
        int((accused & ~wrong).sum()),
        int(wrong.sum()),
        int((accused & wrong).sum()),
        len(of) - len(told),
    )


def by_size(of: pd.DataFrame) -> dict[str, Plane]:
    """A tool on right gradients, beside mistakes of each size."""
    size, wrong = of["mistake_size"], of["bug_injected"].astype(bool)
    return {
        "1% and more": plane(of[~wrong | (size >= LARGE)]),
        "0.01% to 1%": plane(of[~wrong | ((size >= MIDDLE) & (size < LARGE))]),
        "smaller": plane(of[~wrong | (size < MIDDLE)]),
    }


def where(of: pd.DataFrame) -> dict[str, Plane]:
    """A tool on each part of the corpus."""
    zoo, single = of["source"] == "zoo", of["dtype"] == "float32"
    disturbed = (of["noise"] != "none") | (of["scale"] != "one")
    parts: dict[str, pd.Series] = {
        "functions, float64": zoo & ~single & ~disturbed,
        "with noise or other scales": zoo & disturbed,
        "functions, float32": zoo & single,
        "nets, float64": ~zoo & ~single,
        "nets, float32": ~zoo & single,
    }
    return {words: plane(of[chosen]) for words, chosen in parts.items()}


class Loosened(NamedTuple):
    """A tool whose limits are multiplied until it accuses no right gradient."""

    factor: float
    plane: Plane


def loosened(of: pd.DataFrame) -> Loosened | None:
    """With the least such factor; None of a tool that says no figure of its accusations."""
    told = of[of["status"] == "ok"].copy()
    if told.loc[told["accused"].astype(bool), "score"].isna().any():
        return None
    scores = told["score"].fillna(0.0).astype(float)
    right = ~told["bug_injected"].astype(bool)
    factor = max(1.0, float(scores[right].max()) if right.any() else 1.0)
    told["accused"] = scores > factor
    return Loosened(factor, plane(told))


def undisturbed(of: pd.DataFrame) -> pd.DataFrame:
    """The rows in float64, without noise and other scales: what a tool for float64 may expect."""
    return of[(of["dtype"] == "float64") & (of["noise"] == "none") & (of["scale"] == "one")]


class Words(NamedTuple):
    """Of the mistakes of 1% and more that a tool catches, those of which it names a wrong entry, a size, a cause."""

    caught: int
    entry: int
    size: int
    cause: int
    named: int  # caught mistakes of kinds that have a name
    named_right: int


def words(of: pd.DataFrame) -> Words:
    """What a tool says of what it catches."""
    caught = of[of["accused"].eq(True) & of["bug_injected"].astype(bool) & (of["mistake_size"] >= LARGE)]
    named = caught[caught["has_name"].astype(bool)]

    def count(rows: pd.DataFrame, column: str) -> int:
        return int(rows[column].eq(True).sum())

    return Words(
        len(caught),
        count(caught, "names_entry"),
        count(caught, "names_size"),
        count(caught, "names_cause"),
        len(named),
        count(named, "names_cause"),
    )


def each(answers: pd.DataFrame, what: Callable[[pd.DataFrame], object]) -> dict[str, object]:
    """Something of every tool, by its name."""
    return {str(tool): what(of) for tool, of in answers.groupby("tool", sort=True)}


def cost(of: pd.DataFrame) -> dict[str, float]:
    """Medians: calls of the function for each weight, and milliseconds of the processor a case."""
    told = of[of["status"] == "ok"]
    return {
        "calls": float((told["calls"] / told["n_weights"]).median()),
        "milliseconds": 1e3 * float(told["seconds"].median()),
    }
