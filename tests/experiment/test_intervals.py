"""Figures computed from numbers that moved within their bounds stay within their intervals, which are no wider than that."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradcheck.experiment.replay import comparison, intervals
from gradcheck.numerics.rounding import Rounding

U = 2.0**-53
MANY = 8


def rounding(m: int) -> Rounding:
    zero = np.zeros(m)
    return Rounding(1e-16, zero, zero, zero, zero + 1, U)


def columns(analytic: Any, numeric: Any, truncation: Any, roundoff: Any) -> dict[str, np.ndarray]:
    """The numbers of a cell's weights, the derived ones included."""
    given = {"analytic": analytic, "numeric": numeric, "truncation": truncation, "roundoff": roundoff}
    w = {name: np.array(value, dtype=float) for name, value in given.items()}
    w |= {"correct": w["analytic"].copy(), "weight": np.ones(len(analytic)), "step": np.full(len(analytic), 1e-6)}
    w["bound"] = w["truncation"] + w["roundoff"]
    return w | intervals.derived(w)


@st.composite
def cells(draw: st.DrawFn) -> dict[str, np.ndarray]:
    """Gradients of all sizes, some of them far below their bounds, some 0, some wrong."""
    m = draw(st.integers(1, MANY))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    true = rng.normal(size=m) * 10.0 ** rng.uniform(-12, 3, m) * (rng.random(m) > 0.1)
    roundoff, truncation = (10.0 ** rng.uniform(-14, 0, m) for _ in range(2))
    numeric = true + (roundoff + truncation) * rng.uniform(-1, 1, m) * (rng.random(m) > 0.3)
    analytic = true * rng.choice([1.0, 1.0, 1.0, -1.0, 2.0, 0.0], m)
    return columns(analytic, numeric, truncation, roundoff)


def moved(w: dict[str, np.ndarray], seed: int, share: float) -> dict[str, np.ndarray]:
    """The numbers with errors of this share of their bounds, and what follows from them."""
    rng = np.random.default_rng(seed)
    m = len(w["bound"])
    # both gradients share the bound; half of them take all of it, in one or the other
    split, signs = rng.choice([0.0, 1.0, 0.5], m), rng.choice([-1.0, 1.0], (3, m))
    da, dn = signs[0] * split * share * w["bound"], signs[1] * (1 - split) * share * w["bound"]
    parts = 1 + signs[2] * share * rng.choice([0.0, 1.0], m)
    return columns(w["analytic"] + da, w["numeric"] + dn, w["truncation"] * parts, w["roundoff"] * parts)


def ends(w: dict[str, np.ndarray]) -> tuple[dict[str, intervals.Interval], dict[str, intervals.Interval]]:
    m = len(w["bound"])
    with np.errstate(all="raise", under="ignore"):
        of_weights = intervals.of_weights(w, np.zeros(m, bool), "float64", rounding(m))
        return of_weights, intervals.of_cell(w, of_weights, 1.0, rounding(m))


# a difference that the rounding of a - n makes larger than the bounds that are smaller than it
SLACK = 1 + 1e-9


def within(interval: intervals.Interval, recorded: np.ndarray, w: dict[str, np.ndarray]) -> bool:
    """Within the ends, or beyond them by less than the rounding of the gradients themselves."""
    size = np.max(np.abs(w["analytic"]) + np.abs(w["numeric"]))
    relative = np.max((np.abs(w["analytic"]) + np.abs(w["numeric"])) / w["bound"])
    return bool((interval.distance(recorded) <= SLACK + 8 * U * (relative + size)).all())


@given(cells(), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_what_follows_from_numbers_within_their_bounds_lies_within_its_own(w, seed, share):
    other = moved(w, seed, share)
    of_weights, of_cell = ends(w)
    for name in ("analytic", "numeric", *intervals.DERIVED):
        assert within(of_weights[name], other[name], w), name
    for name, recorded in intervals.figures(other).items():
        assert within(of_cell[name], recorded, w), name


@given(cells(), st.integers(0, 2**32 - 1))
def test_a_derived_figure_that_follows_is_no_further_away_than_its_sources(w, seed):
    """In the record itself: what the gradients explain is no finding of its own, however little they fix it."""
    other = moved(w, seed, 1.0)
    apart = compared(other, w)
    for name, sources in intervals.DERIVED.items():
        furthest = np.max([apart.distance[source] for source in sources], axis=0)
        assert (apart.distance[name] <= np.maximum(furthest, 1.0) * SLACK).all()
    for name, (_, distance) in apart.of_cell(cell_of(other), cell_of(w), rounding(len(w["bound"]))).items():
        assert distance <= max(1.0, *(apart.distance[c].max() for c in intervals.FIGURES.get(name, ("bound",)))) * SLACK


def compared(old: dict[str, np.ndarray], new: dict[str, np.ndarray]) -> comparison.Apart:
    m = len(new["bound"])
    return comparison.Apart(old, new, np.zeros(m, bool), "float64", rounding(m))


def cell_of(w: dict[str, np.ndarray]) -> dict[str, float]:
    return {"loss": 1.0} | {name: float(value[0]) for name, value in intervals.figures(w).items()}


def beyond(interval: intervals.Interval, side: int, excess: float) -> np.ndarray:
    """Just or far beyond an end; where there is none, another number than the value."""
    end = interval.high if side > 0 else interval.low
    known = np.isfinite(end)
    distance = np.abs(np.where(known, end, 0.0) - np.where(known, interval.value, 0.0))
    off = np.where(known, end, 0.0) + side * np.maximum(excess * distance, 1e-6 * (1 + distance))
    return np.where(known, off, np.where(np.isfinite(interval.value), 2 * interval.value + 1, 1.0))


@pytest.mark.parametrize("name", intervals.DERIVED)
@given(cells(), st.sampled_from([-1, 1]), st.floats(1e-3, 1e3))
def test_a_derived_number_alone_beyond_its_end_is_reported(name, w, side, excess):
    """Nothing else in the record says that it should be there."""
    apart = compared(w | {name: beyond(ends(w)[0][name], side, excess)}, w)
    assert (apart.distance[name] > 1).all()
    assert all((apart.distance[other] == 0).all() for other in intervals.NUMBERS if other != name)


@pytest.mark.parametrize("name", intervals.FIGURES)
@given(cells(), st.floats(1e-3, 1e3))
def test_a_figure_of_the_cell_alone_beyond_its_end_is_reported(name, w, excess):
    planted = float(beyond(ends(w)[1][name], 1, excess)[0])
    found = compared(w, w).of_cell(cell_of(w) | {name: planted}, cell_of(w), rounding(len(w["bound"])))
    assert found[name][1] > 1
    assert all(distance == 0 for other, (_, distance) in found.items() if other != name)


@pytest.mark.parametrize("name", ["abs_err", "rel_err", "resolution", "norm_difference"])
def test_no_end_is_far_beyond_what_the_numbers_reach(name):
    """One weight whose gradients are well above their bound: some numbers within their bounds come near each finite end."""
    w = columns([1.0], [1.1], [0.004], [0.006])
    of_weights, of_cell = ends(w)
    interval = (of_weights | of_cell)[name]
    reached = []
    for da, dn in [(s * k, t * (1 - k)) for k in (0, 0.5, 1) for s in (-1, 1) for t in (-1, 1)]:
        for parts in (0.0, 1.0, 2.0):
            other = columns([1.0 + da * 0.01], [1.1 + dn * 0.01], [0.004 * parts], [0.006 * parts])
            reached.append(float((other | intervals.figures(other))[name][0]))
    value = float(interval.value[0])
    assert max(reached) - value > 0.6 * float(interval.high[0] - value)
    assert value - min(reached) > 0.6 * float(value - interval.low[0])


def test_the_case_that_made_it_needed_is_within():
    """A gradient smaller than its bound: the resolution has no upper end, where every number lies within its bound."""
    w, other = (columns([a], [n], [1e-9], [4e-9]) for a, n in ((3e-9, 2e-9), (0.7e-9, 0.5e-9)))
    assert (other["resolution"] > 3 * w["resolution"]).all()
    assert (compared(other, w).distance["resolution"] < 1).all()
    # and yet a resolution that nobody computed is seen
    assert compared(w | {"resolution": w["resolution"] * 1.5}, w).distance["resolution"] == math.inf


def test_distances():
    value, radius = np.array([1.0, np.nan, np.nan, np.inf, 1.0, 1.0]), np.array([2.0, 1.0, 1.0, 1.0, 0.0, np.inf])
    recorded = np.array([3.0, np.nan, 1.0, np.inf, 2.0, 2.0])
    with np.errstate(invalid="ignore"):
        distance = intervals.Interval.around(value, radius).distance(recorded)
    assert distance[[0, 3, 5]].tolist() == [1.0, 0.0, 0.0]
    assert math.isinf(distance[2])
    assert math.isinf(distance[4])
    assert comparison.same_bits(recorded, value).tolist() == [False, True, False, True, False, False]
    assert not comparison.same_bits(np.array([0.0]), np.array([-0.0])).any()
