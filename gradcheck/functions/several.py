"""The outcome of a check at several points, made of the outcomes at each.

A weight is wrong if it is at any point, right if it is at one and wrong at none, and else what it is at the first.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

import numpy as np

from gradcheck.functions.calls import Calls
from gradcheck.functions.directions.outcome import DirectionalOutcome
from gradcheck.functions.outcome import Outcome
from gradcheck.functions.settings import noted
from gradcheck.functions.stacked import stacked
from gradcheck.numerics.verdict import EXEMPT, STATIONARY

Array = np.ndarray


class _Judged(Protocol):
    @property
    def verdict(self) -> str: ...


_Seen = TypeVar("_Seen", bound=_Judged)


def together(outcomes: Sequence[Outcome], calls: Calls) -> Outcome:
    """One outcome for all points; of one point it is that point's own."""
    first = outcomes[0]
    if len(outcomes) == 1:
        return replace(first, nfev=calls.nfev, notes=noted(calls))
    rows, points = _deciding(outcomes)
    starts = np.cumsum([0, *(len(o.table["flat_index"]) for o in outcomes)])
    table = stacked([o.table for o in outcomes], starts[points] + rows)
    for row in _exempt_here_alone(outcomes, table):
        table["reason"][row] = STATIONARY
    wrong = next((o for o in outcomes if o.verdict == "mismatch"), first)
    whole = replace(
        first,
        table=table,
        diagnosis=wrong.diagnosis,
        diagnosis_kind=wrong.diagnosis_kind,
        nfev=calls.nfev,
        njev=calls.njev,
        notes=noted(calls),
        points=tuple(outcomes),
        decided=tuple(points.tolist()),
    )
    directional = [o for o in outcomes if isinstance(o, DirectionalOutcome)]
    if not isinstance(whole, DirectionalOutcome) or not directional:
        return whole
    return replace(
        whole,
        directions=_one_each([{(d.name, i): d for i, d in enumerate(o.directions)} for o in directional]),
        parameters=_one_each([{p.name: p for p in o.parameters} for o in directional]),
        explained=all(o.explained for o in directional),
    )


def _deciding(outcomes: Sequence[Outcome]) -> tuple[Array, Array]:
    """For each weight that was checked anywhere the row that decides, and the point whose it is, in the order of theta."""
    found: dict[int, tuple[tuple[int, float], int, int]] = {}
    for point, outcome in enumerate(outcomes):
        table = outcome.table
        with np.errstate(all="ignore"):
            excess = np.nan_to_num(table["abs_err"] / table["bound"], nan=0.0)
        for row, weight in enumerate(table["flat_index"].tolist()):
            verdict = table["verdict"][row]
            # the clearest mismatch, then the finest match, then whatever came first
            rank = (
                (0, -float(excess[row]))
                if verdict == "mismatch"
                else (1, float(table["resolution"][row]))
                if verdict == "match"
                else (2, float(point))
            )
            if weight not in found or rank < found[weight][0]:
                found[weight] = (rank, row, point)
    order = sorted(found)
    rows = np.array([found[w][1] for w in order], dtype=np.intp)
    return rows, np.array([found[w][2] for w in order], dtype=np.intp)


def _exempt_here_alone(outcomes: Sequence[Outcome], table: Mapping[str, object]) -> list[int]:
    """Rows of weights that are exempt at the first point, but not at all."""
    elsewhere = {
        weight
        for outcome in outcomes
        for weight, reason in zip(outcome.table["flat_index"].tolist(), outcome.table["reason"], strict=True)
        if reason != EXEMPT
    }
    weights, reasons = table["flat_index"], table["reason"]
    assert isinstance(weights, np.ndarray)
    assert isinstance(reasons, list)
    return [i for i, w in enumerate(weights.tolist()) if reasons[i] == EXEMPT and w in elsewhere]


def _one_each(points: Sequence[Mapping[Hashable, _Seen]]) -> tuple[_Seen, ...]:
    """Of things that were seen at each point those that decide."""
    found = []
    for key, first in points[0].items():
        seen = [p[key] for p in points if key in p]
        wrong = [s for s in seen if s.verdict == "mismatch"]
        right = [s for s in seen if s.verdict == "match"]
        found.append((wrong or right or [first])[0])
    return tuple(found)
