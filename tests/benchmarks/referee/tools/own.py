"""gradcheck itself: ``check_gradient`` with its defaults, on the parameters by their names."""

from __future__ import annotations

import numpy as np

from gradcheck import __version__, check_gradient
from gradcheck.functions.outcome import Outcome
from gradcheck.numerics.layout import Layout
from tests.benchmarks.referee.case import Answer, Array, Case, Tool


def check(case: Case) -> Answer:
    """A mismatch accuses."""
    layout = Layout(*zip(*case.parameters, strict=True))

    def flat(p: dict[str, Array]) -> Array:
        return layout.join(p, case.x.dtype)

    r = check_gradient(lambda p: case.fun(flat(p)), lambda p: layout.split(case.grad(flat(p))), layout.split(case.x))
    accused = r.verdict == "mismatch"
    return Answer(
        accused,
        str(r),
        score=_score(r),
        entry=_worst(r) if accused else None,
        size=accused,
        cause=r.diagnosis_kind if accused else None,
        verdict=r.verdict,
        resolution=r.resolution if np.isfinite(r.resolution) else None,
        missed=_missed(r, case.correct) if case.mistake else None,
        numeric=tuple(np.asarray(r.table["numeric"], float).tolist()),
    )


def _score(r: Outcome) -> float:
    error, bound = (np.asarray(r.table[key], float) for key in ("abs_err", "bound"))
    with np.errstate(all="ignore"):
        return float(np.nanmax(np.where(error == 0, 0.0, error / bound), initial=0.0))


def _worst(r: Outcome) -> int:
    return int(r.worst(1)["flat_index"].iloc[0])


def _missed(r: Outcome, correct: Array) -> int:
    """Entries whose error is above the resolution that was claimed for them, and that were not accused."""
    analytic, numeric, resolution = (np.asarray(r.table[k], float) for k in ("analytic", "numeric", "resolution"))
    correct = correct[np.asarray(r.table["flat_index"], int)]
    with np.errstate(all="ignore"):
        size = np.abs(analytic - correct) / np.maximum(np.abs(analytic), np.abs(numeric))
        rounding = np.spacing(np.abs(correct)) / 2 / np.abs(analytic)  # of the exact value to float64
        visible = size - rounding > resolution
    accused = np.array(r.table["verdict"], dtype=object) == "mismatch"
    return int((visible & ~accused).sum())


RULE = "a mismatch: |a - n| beyond the bound of n's error"
TOOLS = (Tool("gradcheck", "", RULE, check, own=True, version=__version__),)
