"""The least bound of each weight over a sweep of eps, against its true error and against the bound of eps=auto."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gradcheck.calibration.cells import Facts
from gradcheck.calibration.figures import SATURATED, Figures
from gradcheck.calibration.histogram import Histogram

Array = np.ndarray


@dataclass
class Sweep:
    """The cells of a sweep over eps that have come so far; one number a weight in each array."""

    expected: int  # weights that are still to come
    least: Array  # the least bound
    error: Array  # the true error where the bound is least
    auto: Array  # the bound of eps=auto
    fixed: Array  # least bound over the steps given
    told: Array  # gradient not 0, and not clipped where the bound is least


def in_sweep(one: Facts) -> bool:
    """Whether the cell is one of a sweep whose bounds are measured: float64, no planted bug."""
    return one.bug == "none" and one.dtype == "float64"


def add_to_sweep(
    figures: Figures, state: dict[bytes, Sweep], expected: int, one: Facts, w: Mapping[str, Array]
) -> None:
    """Add the weights of a cell to its sweep.  A sweep whose last weight has come is counted and forgotten.

    state : the sweeps that are not complete, by their key.   expected : how many weights the whole sweep has.
    """
    m = one.n_weights
    if one.sweep not in state:
        least, error, auto, fixed = (np.full(m, np.inf) for _ in range(4))
        state[one.sweep] = Sweep(expected, least, error, auto, fixed, np.zeros(m, bool))
    sweep = state[one.sweep]
    place, bound = w["flat_index"], w["bound"]
    better = bound < sweep.least[place]
    sweep.error[place] = np.where(better, np.abs(w["numeric"] - w["correct"]), sweep.error[place])
    sweep.least[place] = np.where(better, bound, sweep.least[place])
    clear = (w["correct"] != 0) & (w["reason"] != SATURATED)
    sweep.told[place] = np.where(better, clear, sweep.told[place])
    if one.eps is None:
        sweep.auto[place] = bound
    else:
        sweep.fixed[place] = np.fmin(sweep.fixed[place], bound)
    sweep.expected -= len(place)
    if sweep.expected > 0:
        return
    del state[one.sweep]
    with np.errstate(all="ignore"):
        told = np.isfinite(sweep.least) & sweep.told
        ratio = sweep.least[told] / sweep.error[told]
        figures.tightness.setdefault((one.model, one.scheme, one.start, one.data_scale), Histogram()).add(ratio)
        both = np.isfinite(sweep.auto) & np.isfinite(sweep.fixed) & (sweep.fixed > 0)
        figures.auto_excess.setdefault(one.scheme, Histogram()).add(sweep.auto[both] / sweep.fixed[both])
