"""What a calibration counts, by what the counts are kept, and which weights a figure is about."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple, TypedDict

from gradcheck.calibration.histogram import Histogram
from gradcheck.numerics.schemes import SCHEMES

# Data up to this standard deviation; larger ones saturate hidden units, and gradients vanish under rounding.
ORDINARY_SCALE = 10.0
# The probabilities of most of the loss are clipped: the gradient under test is not the derivative of what is evaluated.
SATURATED = "saturated"


class FalseAlarm(NamedTuple):
    """A correct weight that was judged a mismatch.  ``times_bound``: its error over its bound; ``run``: which of the runs."""

    cell: str
    flat_index: int
    times_bound: float
    model: str
    start: str
    dtype: str
    scheme: str
    eps: float | None
    run: int
    data_scale: float | None


class Made(TypedDict):
    """How a run was made, from its provenance, without what says where it ran."""

    overrides: list[str]
    gradcheck: object
    numpy: object


@dataclass
class Figures:
    """Everything that was counted.  A comment beside each counter names its keys."""

    cells: int = 0
    correct: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)  # model, dtype, scheme, start
    accused: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)  # the same: correct but ``mismatch``
    examples: list[FalseAlarm] = field(default_factory=list)  # the worst of them
    wrong: int = 0
    beyond: int = 0  # wrong with abs_err > 3 bound
    beyond_missed: int = 0  # of these, not ``mismatch``
    certain: int = 0  # wrong by more than the resolution
    certain_missed: int = 0  # of these, not ``mismatch``
    certain_match: int = 0  # of these, ``match``
    detected: dict[tuple[str, float | None, float], list[int]] = field(default_factory=dict)  # scheme, eps, magnitude
    at_auto: Counter[tuple[float | None, str]] = field(default_factory=Counter)  # data scale, verdict or reason
    flat: int = 0  # of weights at auto, float64, random: gradient 0, or less than any step can show
    nondifferentiable_smooth: int = 0
    nondifferentiable: int = 0
    kinked: int = 0  # correct weights of models with kinks
    # model, scheme, start, data scale
    tightness: dict[tuple[str, str, str, float | None], Histogram] = field(default_factory=dict)
    auto_excess: dict[str, Histogram] = field(default_factory=dict)  # scheme
    steps: set[float] = field(default_factory=set)
    # scheme, eps: bound and true error, both over the gradient
    bounds: dict[tuple[str, float | None], tuple[Histogram, Histogram]] = field(default_factory=dict)
    cost_fixed: float = 0.0
    cost_auto: float = 0.0
    # rule: bug, magnitude, accused, and whether the numbers show the bug
    rules: dict[str, Counter[tuple[str, float | None, bool, bool]]] = field(default_factory=dict)
    data_n: set[int] = field(default_factory=set)
    n_weights: set[int] = field(default_factory=set)
    data_scales: set[float] = field(default_factory=set)
    made: list[Made] = field(default_factory=list)


def ordinary(scheme: str, start: str, data_scale: float | None) -> bool:
    """Whether the scheme subtracts, the weights are random, and the data do not saturate every unit."""
    return start == "random" and _subtracts(scheme) and (data_scale or 0) <= ORDINARY_SCALE


def _subtracts(scheme: str) -> bool:
    """Whether losses are subtracted.

    The complex step is as exact as the gradient that it is compared with: no bound of it can be measured by that gradient.
    """
    return not SCHEMES[scheme].complex_valued


class RuleRow(TypedDict):
    """What a rule says of correct cells, and its shares of planted bugs by their magnitude (as text)."""

    rule: str
    correct: int
    accused: int
    caught: dict[str, float]
    missed: dict[str, float]
    cannot_be_told: dict[str, float]


def rule_table(figures: Figures) -> list[RuleRow]:
    """For each rule the correct cells and those that it accuses, and its shares of planted bugs by their magnitude.

    A bug that the rule does not accuse was missed if the numbers of its cell show it, and cannot be told if they do not.
    """
    table: list[RuleRow] = []
    for rule, counts in figures.rules.items():
        by: dict[tuple[bool, float | None], Counter[str]] = {}
        for (bug, magnitude, accused, shown), n in counts.items():
            what = "caught" if accused else "missed" if shown else "cannot_be_told"
            by.setdefault((bug != "none", magnitude), Counter())[what] += n
        none = [c for (planted, _), c in by.items() if not planted]
        of_size = sorted((m, c) for (planted, m), c in by.items() if planted and m is not None)
        table.append(
            {
                "rule": rule,
                "correct": sum(c.total() for c in none),
                "accused": sum(c["caught"] for c in none),
                "caught": {f"{m:g}": c["caught"] / c.total() for m, c in of_size},
                "missed": {f"{m:g}": c["missed"] / c.total() for m, c in of_size},
                "cannot_be_told": {f"{m:g}": c["cannot_be_told"] / c.total() for m, c in of_size},
            }
        )
    return table
