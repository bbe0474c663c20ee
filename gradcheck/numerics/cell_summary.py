"""The columns of ``cells`` that a check fills: figures of all weights of a cell, and what the rules of other tools say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gradcheck.numerics.compare import medians
from gradcheck.numerics.rules import Gradients, accusations
from gradcheck.numerics.verdict import MIN_JUDGED, VERDICTS, Judgement, missed, whole
from gradcheck.numerics.weight_columns import GradientColumns

if TYPE_CHECKING:
    from gradcheck.numerics.diagnosis.kinds import Diagnosis

Array = np.ndarray
# One value of a cell's row; None where it is not known.
Figure = bool | int | float | str | None


def summarise(
    weights: GradientColumns,
    numeric: Array,
    judged: Judgement,
    diagnoses: Sequence[Diagnosis | None],
    dtype: str,
    bug_injected: bool | Sequence[bool] = False,
    min_judged: float = MIN_JUDGED,
) -> list[dict[str, Figure]]:
    """The columns of ``cells`` that follow from the weights: one dict for each of s steps.

    weights : the gradient under test, (m,); or one for each step, (s, m), where these are those of several problems.
    numeric : (s, m) the numeric gradients.   judged : the verdicts, (s, m).
    diagnoses : one for each step; None where nothing is wrong.
    bug_injected : whether the gradient under test has a planted bug; one for each step, where it is that of several problems.
    """
    index, names = weights["flat_index"], weights["param"]
    rel_err, resolution = judged.rel_err, judged.resolution
    verdicts, reasons = judged.verdict.tolist(), judged.reason.tolist()
    worst = [-1] * len(numeric)
    if len(index):
        # -1 where every relative error is NaN
        known = np.where(np.isnan(rel_err), -1.0, rel_err)
        chosen = known.argmax(axis=-1)
        worst = np.where(known.max(axis=-1) >= 0, chosen, -1).tolist()
    gradients = Gradients(weights["analytic"], numeric, dtype)
    wholes = [whole(*words, names, min_judged) for words in zip(verdicts, reasons, strict=True)]
    figures: dict[str, Sequence[Figure]] = {
        "max_rel_err": [None if w < 0 else float(row[w]) for row, w in zip(rel_err, worst, strict=True)],
        "median_rel_err": _none_for_nan(medians(rel_err)),
        "norm_difference": _none_for_nan(gradients.norms),
        "max_resolution": resolution.max(axis=-1).tolist() if len(index) else [None] * len(numeric),
        "median_resolution": _none_for_nan(medians(resolution)),
        "worst_param": [None if w < 0 else names[w] for w in worst],
        "worst_flat_index": [None if w < 0 else int(index[w]) for w in worst],
        **{f"n_{v}": [row.count(v) for row in verdicts] for v in VERDICTS},
        "n_exempt": [one.n_exempt for one in wholes],
        "n_judged": [one.n_judged for one in wholes],
        "n_missed": _missed(weights, judged, bug_injected),
        "verdict": [one.verdict for one in wholes],
        "ok": [one.ok for one in wholes],
        "diagnosis": [one.words if one else None for one in diagnoses],
        "diagnosis_kind": [one.kind if one else None for one in diagnoses],
        **{f"rule_{name}": accused for name, accused in accusations(gradients).items()},
    }
    rows = (dict(zip(figures, row, strict=True)) for row in zip(*figures.values(), strict=True))
    return [{"n_weights": len(index)} | row for row in rows]


def _missed(weights: GradientColumns, judged: Judgement, bug_injected: bool | Sequence[bool]) -> list[int | None]:
    """At each step, how many weights match though the numbers show the planted bug; None where the bug is not known."""
    correct, count = weights["correct"], len(judged.verdict)
    if correct is None:
        return [None] * count
    injected = [bug_injected] * count if isinstance(bug_injected, bool) else bug_injected
    shape = judged.bound.shape
    claims, truths = np.broadcast_to(weights["analytic"], shape), np.broadcast_to(correct, shape)
    columns = zip(injected, claims, truths, judged.bound, judged.verdict, strict=True)
    return [missed(*row) if planted else 0 for planted, *row in columns]


def _none_for_nan(figures: Array) -> list[float | None]:
    return [None if math.isnan(x) else x for x in figures.tolist()]
