"""What must hold of a calibration, and whether it does."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from gradcheck.calibration.figures import ORDINARY_SCALE, SATURATED, Figures, ordinary
from gradcheck.calibration.histogram import Histogram

# Evaluations that a verdict may cost: times those of the scheme at a given step, times those of central differences at auto.
FIXED_COST, AUTO_COST = 3, 8


class Requirement(NamedTuple):
    """A figure and what is required of it.

    found : what was found.   of : of how many.   holds : whether the requirement holds; None where nothing was judged.
    """

    figure: str
    required: str
    found: str
    of: int
    holds: bool | None


def requirements(figures: Figures) -> list[Requirement]:
    """Each requirement, and whether it holds."""
    correct, accused = sum(figures.correct.values()), sum(figures.accused.values())
    alarms = sum(n for (label, *_), n in figures.accused.items() if label.endswith(("relu", "abs")))
    random = [h for (_, scheme, start, scale), h in figures.tightness.items() if ordinary(scheme, start, scale)]
    tightness, excess = Histogram.merged(random), Histogram.merged(figures.auto_excess.values())
    bound, factor, most = tightness.quantile(0.5), excess.quantile(0.5), excess.largest
    rows = [
        _never("correct weights judged mismatch", accused, correct),
        _never("wrong by more than 3 bounds, not judged mismatch", figures.beyond_missed, figures.beyond),
        _never("bug larger than the resolution, judged match", figures.certain_match, figures.certain),
        _never("bug larger than the resolution, not judged mismatch", figures.certain_missed, figures.certain),
        _most("median of least bound over true error, float64", 8, bound, tightness.n),
        _inconclusive(figures, "inconclusive at eps=auto, float64, at random, not flat", 0.0),
        _inconclusive(figures, f"of these, data scale above {ORDINARY_SCALE:g}", ORDINARY_SCALE)._replace(
            required="", holds=None
        ),
        _never("nondifferentiable on smooth models", figures.nondifferentiable_smooth, correct - figures.kinked),
        _never("kinks crossed with an effect, judged mismatch", alarms, figures.kinked),
        _most("bound of auto over the sweep's least, median", 1.2, factor, excess.n),
        _most("bound of auto over the sweep's least, largest", 3, most, excess.n),
        _most("evaluations over the scheme's, fixed eps", FIXED_COST, figures.cost_fixed, figures.cells),
        _most("evaluations over central's, eps=auto", AUTO_COST, figures.cost_auto, figures.cells),
    ]
    return [row if row.of else row._replace(found="-", holds=None) for row in rows]


def _never(figure: str, count: int, of: int) -> Requirement:
    """Something that must not happen, and how often it did."""
    return Requirement(figure, "0", str(count), of, count == 0)


def _most(figure: str, limit: float, value: float | None, of: int) -> Requirement:
    """A figure that must not exceed a limit."""
    found = "-" if value is None else f"{value:.3g}"
    return Requirement(figure, f"<= {limit:g}", found, of, _at_most(value, limit))


def _inconclusive(figures: Figures, name: str, above: float) -> Requirement:
    """The share of weights that could not be judged, of those whose gradient is neither 0 nor hidden by clipping.

    above : count weights of data with a larger scale only; 0 counts all, those of models without data too.
    """
    verdicts = ("match", "mismatch", "nondifferentiable")
    counts: Counter[bool] = Counter()
    for (scale, word), n in figures.at_auto.items():
        if word != SATURATED and (not above or (scale or 0) > above):
            counts[word in verdicts] += n
    total = counts.total()
    share = counts[False] / total if total else None
    return Requirement(name, "<= 1%", "-" if share is None else f"{share:.2%}", total, _at_most(share, 0.01))


def _at_most(value: float | None, limit: float) -> bool | None:
    return None if value is None else value <= limit
