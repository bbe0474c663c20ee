"""The cells of a record counted by combination of the swept keys, as the page holds them: what it filters, it adds up again.

The counts stand in arrays with an entry for each combination, each of the narrowest type, in base64.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from gradcheck.experiment.truth import Truth
from gradcheck.numerics.verdict import OF_MANY
from gradcheck.views import facets, naming, words
from gradcheck.views.axes import BASE, axes
from gradcheck.views.charts.cell_data import bug_order, eps_labels, not_enough
from gradcheck.views.charts.weight_data import ErrorCounts
from gradcheck.views.frames import plain_value

if TYPE_CHECKING:
    import pandas as pd

MOST_COMBINATIONS = 10_000
MOST_TYPED = 1000  # values of a key
MOST_MEDIANS = 100_000  # cells whose error and bound are held one by one
KINDS = ("correct", "planted", "unknown")  # what is known of a gradient
STATUSES = (*OF_MANY, "failed", "skipped")
Codes = NDArray[np.int64]
Reals = NDArray[np.float64]
# The type of an entry ("u1", "u2", "u4", "f4", "f8"), and the entries in base64, the lowest byte first; where two more texts
# follow (`coded`), they are of the places of the entries.
Packed = list[str]


class Key(TypedDict):
    """A key of the combinations: its values in order.

    swept : whether it makes a drop-down.   axis : whether no other key tells its value.   panels : whether it makes panels of
    charts.
    typed : what a run calls a value that is shown otherwise: the place of the value.
    """

    name: str
    title: str
    values: list[str]
    swept: bool
    axis: bool
    panels: bool
    typed: dict[str, int]


class Apart(TypedDict):
    """A key that was swept, and how many values it has: too many to tell them apart."""

    title: str
    values: int


class RuleCounts(TypedDict):
    """What a rule says, by combination; `judged` is None where it judges every cell that was computed."""

    rule: str
    judged: Packed | None
    accused: Packed
    seen: Packed  # not accused although the numbers show the bug


class Medians(TypedDict):
    """Error and bound of correct gradients, cell by cell, with the weight of the entry; `step` counts in `steps`."""

    steps: list[float | None]
    combination: Packed
    step: Packed
    error: Packed
    bound: Packed
    weight: Packed
    bounds_alone: bool  # every cell has a planted bug


class Bins(TypedDict):
    """Weights by combination, verdict and bin of their relative error."""

    combination: Packed
    verdict: Packed
    low: Packed  # 1000 + the exponent of the lower end, in bins
    weights: Packed


class Cube(TypedDict):
    """All counts of a page."""

    keys: list[Key]
    aggregated: list[Apart]
    size: int
    codes: list[Packed]  # of each key
    kind: Packed
    statuses: dict[str, Packed]
    not_ok: Packed
    truths: dict[str, Packed]
    worst: Packed  # the largest relative error, NaN where none is known
    visible: Packed  # from where errors are visible in every weight
    half: Packed  # in half of the weights of each cell
    rules: list[RuleCounts]
    medians: Medians


class Combinations(NamedTuple):
    """The combinations of keys that occur, and the one of each cell."""

    keys: list[Key]
    aggregated: list[Apart]
    swept: list[str]  # the columns that were swept, seeds last
    codes: Codes  # (keys, combinations)
    kind: Codes  # of each combination
    of_cell: Codes

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.kind)


def combinations(cells: pd.DataFrame, told: pd.Series) -> Combinations:
    """The combinations of the keys by which the page tells cells apart; at most MOST_COMBINATIONS, unless those of
    `facets.ALWAYS` are more.

    told : the truth of each cell.
    """
    keys, columns = [], []
    run = naming.named(cells)
    labels = eps_labels(cells, run)
    kind = told.map({str(truth): KINDS.index(_kind(truth)) for truth in Truth}).to_numpy(np.int64)
    which, size = np.unique(kind, return_inverse=True)[1], 1
    aggregated: list[Apart] = []
    found = axes(cells[cells["status"] == "ok"])
    # panels take seeds together, a filter tells them apart
    names, seeds = found.names, list(found.seeds)
    for name in dict.fromkeys((*BASE, *names, *facets.ALWAYS, *seeds)):
        titles, codes, typed = _coded(cells[name], name, labels, run)
        paired = np.unique(which * (len(titles) + 1) + codes, return_inverse=True)[1]
        many = int(paired.max(initial=-1)) + 1
        if name not in facets.ALWAYS and (many > MOST_COMBINATIONS or len(titles) > facets.MOST_CHOICES):
            aggregated.append({"title": words.column(name), "values": len(titles)})
            continue
        which, size = paired, many
        made: Key = {
            "name": name,
            "title": words.column(name),
            "values": titles,
            "swept": len(titles) > 1,
            "axis": name in (*BASE, *names, *seeds),
            "panels": name in names and 1 < len(titles) <= facets.MOST_VALUES,
            "typed": typed,
        }
        keys.append(made)
        columns.append(codes)
    first = np.unique(which, return_index=True)[1] if size else np.zeros(0, np.int64)
    of_each = np.array([codes[first] for codes in columns], dtype=np.int64)
    return Combinations(keys, aggregated, [*names, *seeds], of_each, kind[first], which.astype(np.int64))


def _kind(truth: Truth) -> str:
    return "unknown" if truth is Truth.UNKNOWN else "planted" if truth.planted else "correct"


def _coded(
    column: pd.Series, name: str, steps: Mapping[float | None, str], run: words.Names
) -> tuple[list[str], Codes, dict[str, int]]:
    """The names of the values of a key, in order, which of them each cell has, and what a run calls them otherwise."""
    codes, found = column.factorize(use_na_sentinel=False)
    values = [plain_value(value) for value in found]
    shown = [steps[value] if name == "eps" else facets.value_label(name, value, run) for value in values]
    label_of = dict(zip(values, shown, strict=True))
    in_order = [label_of[value] for value in facets.values_of(column, name)]
    titles = list(dict.fromkeys(in_order))
    if name == "bug":
        titles.sort(key=bug_order)
    elif name == "eps":
        titles = [label for label in dict.fromkeys(steps.values()) if label in titles]
    place_of = {label: k for k, label in enumerate(titles)}
    place = np.array([place_of[label] for label in shown], dtype=np.int64)
    typed = {_typed(value): int(at) for value, at in zip(values[:MOST_TYPED], place, strict=False)}
    other = {text: at for text, at in typed.items() if text != titles[at]}
    return titles, place[codes] if len(codes) else np.zeros(0, np.int64), other


def _typed(value: object) -> str:
    """A value as a command line has it."""
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    return facets.label(value)


def cube(cells: pd.DataFrame, told: pd.Series, found: Combinations) -> Cube:
    """The counts of the cells by combination.  told : the truth of each."""

    def count(mask: pd.Series) -> Packed:
        return packed(np.bincount(found.of_cell[mask.to_numpy(bool)], minlength=found.size))

    computed = cells["status"] == "ok"
    outcome = cells["verdict"].where(computed, cells["status"])
    checked = computed & ~cells["bug_injected"].fillna(False).astype(bool)
    accused = computed & (cells["verdict"] == "mismatch")
    accept = cells["accept"].fillna(0.0).astype(float)
    known = {str(truth): computed & (told == truth) for truth in Truth}
    known[str(Truth.UNKNOWN)] &= accused
    known[words.NOT_ENOUGH] = computed & not_enough(cells)
    shown = accused | (computed & (told == Truth.MISSED))
    return {
        "keys": found.keys,
        "aggregated": found.aggregated,
        "size": found.size,
        "codes": [packed(codes) for codes in found.codes],
        "kind": packed(found.kind),
        "statuses": {name: count(outcome == name) for name in STATUSES},
        # a run of version 1 does not say which cells are ok: none is counted
        "not_ok": count(checked & ~cells["ok"].fillna(True).astype(bool)),
        "truths": {name: count(mask) for name, mask in known.items()},
        "worst": _largest(cells["max_rel_err"], found),
        "visible": _largest(cells["max_resolution"] + accept, found),
        "half": _largest(cells["median_resolution"] + accept, found),
        "rules": [
            _rule(name, column, computed, shown, count)
            for name, column in (
                ("gradcheck", accused.astype("boolean")),
                *((name.removeprefix("rule_"), cells[name]) for name in sorted(cells) if name.startswith("rule_")),
            )
        ],
        "medians": _medians(cells, checked, found),
    }


def _rule(
    name: str, column: pd.Series, computed: pd.Series, shown: pd.Series, count: Callable[[pd.Series], Packed]
) -> RuleCounts:
    judged = computed & column.notna()
    accuses = judged & column.fillna(False).astype(bool)
    return {
        "rule": facets.label(name),
        "judged": None if judged.equals(computed) else count(judged),
        "accused": count(accuses),
        "seen": count(judged & ~accuses & shown),
    }


def _largest(column: pd.Series, found: Combinations) -> Packed:
    values, most = column.to_numpy(float), np.full(found.size, np.nan)
    np.fmax.at(most, found.of_cell, values)
    return packed(most)


def _medians(cells: pd.DataFrame, checked: pd.Series, found: Combinations) -> Medians:
    """Error and bound of the cells without a planted bug, or bounds of all where each has one.

    Of more than MOST_MEDIANS cells, some quantiles of each combination and step stand for all of them.
    """
    computed = (cells["status"] == "ok").to_numpy(bool)
    taken, alone = checked.to_numpy(bool), False
    if not taken.any():
        taken, alone = computed, True
    error = cells["median_rel_err"].to_numpy(float)[taken]
    bound = cells["median_resolution"].to_numpy(float)[taken] / 2
    step, steps = cells["eps"][taken].factorize(use_na_sentinel=False)
    which, step = found.of_cell[taken], step.astype(np.int64)
    weight = np.ones(len(which), dtype=np.int64)
    if len(which) > MOST_MEDIANS:
        places, weight = _quantiles(which * (int(step.max()) + 1) + step)
        error, bound = _sorted_within(which, step, error)[places], _sorted_within(which, step, bound)[places]
        order = np.lexsort((step, which))
        which, step = which[order][places], step[order][places]
    return {
        "steps": [plain_value(value) for value in steps],
        "combination": packed(which),
        "step": packed(step),
        "error": packed(error),
        "bound": packed(bound),
        "weight": packed(weight),
        "bounds_alone": alone,
    }


def _sorted_within(which: Codes, step: Codes, values: Reals) -> Reals:
    """The values by combination and step, and by size within them."""
    return values[np.lexsort((values, step, which))]


def _quantiles(groups: Codes) -> tuple[Codes, Codes]:
    """Places of quantiles among entries that are sorted by group, and the number of entries for which each stands."""
    counts = np.unique(groups, return_counts=True)[1]
    few, start = max(1, MOST_MEDIANS // len(counts)), 0
    places, weights = [], []
    for n in counts.tolist():
        ends = np.arange(1, n + 1) if n <= few else np.arange(1, few + 1) * n // few
        weight = np.diff(ends, prepend=0)
        places.append(start + ends - 1 - (weight - 1) // 2)  # the middle of those for which it stands
        weights.append(weight)
        start += n
    return np.concatenate(places), np.concatenate(weights)


def bins(counted: ErrorCounts) -> Bins:
    """The weights that were counted for each combination."""
    rows = np.array(counted.grouped(), dtype=np.int64).reshape(-1, 4)
    return {
        "combination": packed(rows[:, 0]),
        "verdict": packed(rows[:, 1]),
        "low": packed(rows[:, 2] + 1000),
        "weights": packed(rows[:, 3]),
    }


def packed(values: Reals | Codes | Sequence[int], exact: bool = False) -> Packed:
    """Numbers in the narrowest type that holds them; what is no integer in single precision.

    exact : in double precision where one of them is too large or too small for seven digits in single precision.
    """
    array = np.asarray(values)
    if array.dtype.kind == "f":
        size = np.abs(array[np.isfinite(array) & (array != 0)])
        large = exact and bool(((size > 1e38) | (size < 1e-37)).any())
        with np.errstate(over="ignore"):
            return (
                ["f8", _text(array.astype("<f8").tobytes())] if large else ["f4", _text(array.astype("<f4").tobytes())]
            )
    most = int(array.max(initial=0))
    name = "u1" if most < 2**8 else "u2" if most < 2**16 else "u4"
    return [name, _text(array.astype(f"<{name}").tobytes())]


def coded(values: Reals) -> Packed:
    """Numbers of which many are the same: each once, and which of them stands where."""
    found, at = np.unique(values, return_inverse=True)
    few = len(found) <= len(values) // 4
    return [*packed(found, exact=True), *packed(at.astype(np.int64))] if few else packed(values, exact=True)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
