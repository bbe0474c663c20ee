"""The words and the forms of numbers in which run, show, page and charts say the same thing.

The glossary in the README of this room explains each word.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from gradcheck.experiment.truth import PLANTED, UNKNOWN_MODELS, Truth
from gradcheck.numerics.steps import eps_text, from_stored
from gradcheck.printable import printable
from gradcheck.views.frames import weight_name
from gradcheck.views.numbers import counted

NOT_JUDGED: Final = "not judged"
VISIBLE_FROM: Final = "visible from"
WORST: Final = "worst rel_err"
NEVER: Final = "never"
NO_BUG: Final = "no bug"
OWN: Final = "your gradient"  # without a planted bug, where all such gradients are of somebody's own functions
NOT_OK: Final = "not ok"
NOT_ACCUSED: Final = "not accused"  # what is left of correct gradients, and of those that nobody knows
NOT_ENOUGH: Final = "not judged enough"  # not accused, and not ok
UNJUDGED: Final = ("inconclusive", "nondifferentiable")  # verdicts of cells of which nothing was judged
# The verdicts of weights that were not judged, as charts and their numbers name them.
VERDICT_WORDS: Final = {"inconclusive": NOT_JUDGED, "nondifferentiable": f"{NOT_JUDGED}: kink"}
_STATUS: Final[Mapping[str, str]] = {"ok": "computed"}
# No error of a gradient is larger than twice the larger of analytic and numeric: beyond that none is certain to be seen.
LARGEST: Final = 2.0
MOST_STEPS: Final = 1000  # of a run that have names with fewer digits
# What a column of a table is called where its own name is not what a person would say.
_COLUMNS: Final[Mapping[str, str]] = {
    "max_resolution": VISIBLE_FROM,
    "visible_from": VISIBLE_FROM,
    "max_rel_err": WORST,
    "worst_rel_err": WORST,
    "worst_param": "worst weight",
    "n_inconclusive": NOT_JUDGED,
    "diagnosis_kind": "diagnosis",
}


def column(name: str) -> str:
    """The name of a column as people see it: ``visible from``, ``not ok``, ``bug.magnitude``."""
    for section in ("model", "data", "init", "bug"):
        if name.startswith(f"{section}_"):
            return f"{section}.{name.removeprefix(f'{section}_')}"
    return _COLUMNS.get(
        name, name if name in ("rel_err", "abs_err", "match_at", "min_judged") else name.replace("_", " ")
    )


def status(name: str) -> str:
    """What became of a cell when it was run: ``computed``, ``failed``, ``skipped``.

    The column says ``ok`` of a cell that was computed; `NOT_OK` says something else, of its verdict.
    """
    return _STATUS.get(name, printable(name))


class Names(NamedTuple):
    """What the views of a run call its values: each step, and a gradient without a planted bug.

    steps : names of the steps that have fewer digits than the steps themselves (`steps`).
    """

    steps: Mapping[float | None, str] = MappingProxyType({})
    unplanted: str = NO_BUG


PLAIN: Final = Names()


def names(values: Iterable[float | None], models: Collection[object]) -> Names:
    """The names in a run.

    values : its steps, as they are stored.   models : of its cells without a planted bug.
    """
    own = bool(models) and all(model in UNKNOWN_MODELS for model in models)
    return Names(steps(values), OWN if own else NO_BUG)


def steps(values: Iterable[float | None]) -> dict[float | None, str]:
    """The names of some steps, as they are stored: ``1e-04``, ``auto``, as many digits as tell them apart."""
    known = list(dict.fromkeys(None if value is None or value != value else float(value) for value in values))
    numbers = [value for value in known if value is not None]
    names = {value: eps_text(value) for value in numbers}
    for digits in range(6):
        few = {value: eps_text(float(f"{value:.{digits}e}")) for value in numbers}
        if len({*few.values()}) == len(numbers):
            names = few
            break
    return {value: eps_text(from_stored(None)) if value is None else names[value] for value in known}


def setting(name: str, value: object, names: Names = PLAIN) -> str:
    """The value of a setting: ``no bug``, ``no data``, ``auto``, ``1e-04``, ``sigmoid``, ``-`` where there is none.

    names : those of the run.
    """
    if name == "eps":
        step = float(value) if isinstance(value, int | float) and value == value else None
        return names.steps.get(step) or eps_text(from_stored(step))
    if value is None or value != value:
        return "-"
    if value == "none":
        return {"bug": names.unplanted, "data": "no data"}.get(name, "none")
    if isinstance(value, bool):
        return "yes" if value else "no"
    return printable(f"{value:g}" if isinstance(value, float) else value)


def weight(param: str | None, position: Sequence[int] | None, flat_index: int | None = None) -> str:
    """``W1[0,3]``, ``b`` where the parameter has no axes, ``W1 #3`` where only its place in theta is known."""
    if position is None and flat_index is not None:
        return printable(f"{param or ''} #{flat_index}".strip())
    return printable(weight_name(param, position))


def error(value: float | None) -> str:
    """A relative error: ``4.6e-09``, ``0``, ``-`` where it is unknown."""
    if value is None or math.isnan(value):
        return "-"
    return "0" if value == 0 else f"{value:.1e}"


def number(value: float) -> str:
    """A number of a weight, with enough digits to see where two gradients part: ``0.132834``, ``4.666e-06``, ``0``, ``inf``.

    A page writes it so too, in JavaScript.
    """
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return f"{value:g}"
    if value.is_integer() and abs(value) < 1e15:
        return f"{int(value)}"
    if 1e-3 <= abs(value) < 1e4:
        return f"{value:.6g}"
    return eps_text(float(f"{value:.3e}"))


def visible_from(every: float | None, half: float | None = None) -> str:
    """The smallest relative error that would have been seen: ``3e-08``; ``1e-02*`` in half of the weights; ``never``.

    every : in every weight: the largest `resolution`, with what is accepted beside it.
    half : in half of the weights of each cell: the largest median of the same.
    """
    if every is not None and every <= LARGEST:
        return f"{every:.0e}"
    return f"{half:.0e}*" if half is not None and half <= LARGEST else NEVER


# What the star of `visible_from` means.
HALF: Final = f"* {VISIBLE_FROM} there in half of the weights; in the others no error is certain to be seen"


def percent(count: int, of: int) -> str:
    """A share in %, without the sign: 0 is none, 100 is all, and what lies between is 1 to 99."""
    if not of:
        return "-"
    return str(min(99, max(1, round(100 * count / of))) if 0 < count < of else round(100 * count / of))


def answer(told: Mapping[str, int], own: Mapping[str, int] | None = None, little: int = 0, nothing: int = 0) -> str:
    """What a run found, in a sentence or two.

    ``No false alarm. 1,226 of 1,680 planted bugs caught, 445 could not be told, 9 missed.``

    told : how many cells have which `Truth`.
    own : of the cells of somebody's own function without a planted bug, how many have which verdict.
    little, nothing : of how many correct gradients too little was judged for them to be ok, and of how many nothing.
    """
    count = {truth: int(told.get(str(truth), 0)) for truth in Truth}
    said, alarms, planted = [], count[Truth.FALSE_ALARM], sum(count[truth] for truth in PLANTED)
    if correct := alarms + count[Truth.RIGHT]:
        said.append(_correct(alarms, correct, little, nothing, bool(planted)))
    if planted:
        said.append(
            f"{count[Truth.CAUGHT]:,} of {planted:,} planted bugs caught,"
            f" {count[Truth.CANNOT_BE_TOLD]:,} could not be told, {count[Truth.MISSED]:,} missed"
        )
    if of := sum((own or {}).values()):
        wrong, right = (own or {}).get("mismatch", 0), (own or {}).get("match", 0)
        said.append(f"{wrong:,} of {of:,} gradients wrong, {right:,} right, {of - wrong - right:,} {NOT_JUDGED} wholly")
    return " ".join(f"{one}." for one in said) or "No cell was computed."


def _correct(alarms: int, correct: int, little: int, nothing: int, planted: bool) -> str:
    """What became of the correct gradients; where nothing was judged, that there is no false alarm says nothing."""
    few = f"{little:,} {NOT_ENOUGH}"
    if alarms:
        return f"{counted(alarms, 'false alarm')} in {correct:,}{f', {few}' if little else ''}"
    if nothing == correct:
        return "Nothing could be judged" + (f" of {correct:,} correct gradients" if correct > 1 else "")
    if planted:
        return "No false alarm" + (f", but {little:,} of {correct:,} correct gradients {NOT_ENOUGH}" if little else "")
    if correct == 1:
        return f"The gradient was {NOT_ENOUGH}" if little else "The gradient is ok"
    return f"{correct - little:,} of {correct:,} correct gradients ok{f', {few}' if little else ''}"
