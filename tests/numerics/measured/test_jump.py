"""A jump is told from a fast slope, and half of a quotient from a kink."""

from __future__ import annotations

import math
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from gradcheck.numerics.measured.jump import jump
from gradcheck.numerics.measured.line import Line
from gradcheck.numerics.measured.steps import Claim, Steps

Value = Callable[[float], float]


def sought(fun: Value, low: float, high: float, least: float = 1e-9) -> tuple[float, int]:
    """The jump that was found, and how many values it took."""
    halves, taken = jump((low, high), (fun(low), fun(high)), lambda a, b: (a + b) / 2, least), 0
    try:
        place = next(halves)
        while True:
            taken += 1
            place = halves.send(fun(place))
    except StopIteration as end:
        return end.value, taken


@given(at=st.floats(-0.9, 0.9), size=st.floats(1e-6, 1e3), slope=st.floats(-0.3, 1.0))
def test_a_jump_is_found_beneath_a_slope(at: float, size: float, slope: float) -> None:
    found, taken = sought(lambda t: slope * size * t + (size if t > at else 0.0), -1.0, 1.0)
    # 20 halvings leave 2**-19 of the slope, and a jump is known within a tenth of itself
    assert abs(found - size) <= 0.2 * size
    assert taken <= 20


@given(steep=st.floats(0.1, 100.0), phase=st.floats(0.0, 6.0))
def test_a_continuous_function_does_not_jump(steep: float, phase: float) -> None:
    assert sought(lambda t: math.atan(steep * t) + math.sin(3 * t + phase), -1.0, 1.0)[0] == 0


def test_a_function_that_is_not_finite_between_does_not_jump() -> None:
    assert sought(lambda t: math.nan if abs(t) < 0.5 else t, -1.0, 1.0)[0] == 0


@given(a=st.floats(-3, 3), b=st.floats(-3, 3), h=st.floats(1e-6, 1e-2))
def test_half_of_a_quotient_is_that_of_a_parabola(a: float, b: float, h: float) -> None:
    line = Line(1.0, 1.0, 2.0**-53)
    line.changes |= {t: a * t + b * t * t for t in (h, 4 * h, -4 * h)}
    half = line.half(h, 4 * h)
    assert half is not None
    # each change is rounded a few times: of sizes a h and b h**2, over h
    assert abs(half.value - a) <= 2.0**-50 * (abs(a) + abs(b) * h) + half.arithmetic * 2.0**-40
    # all that its even part can be wrong by is a part of its error
    assert half.arithmetic >= abs(b) * h / 2 * 0.99


@given(jumps=st.floats(0.1, 10.0))
def test_half_of_a_quotient_shows_a_kink_by_its_distance_from_the_wider_one(jumps: float) -> None:
    line = Line(1.0, 1.0, 2.0**-53)
    line.changes |= {t: jumps * max(t, 0.0) for t in (0.01, 0.04, -0.04)}
    half, wide = line.half(0.01, 0.04), line.rung(0.04, 0)
    assert half is not None
    assert wide is not None
    assert abs(half.value - wide.value) > 0.3 * jumps


def test_half_of_a_quotient_needs_all_three_points() -> None:
    line = Line(1.0, 1.0, 2.0**-53)
    line.changes |= {0.01: 1.0, 0.04: 2.0, -0.04: math.inf}
    assert line.half(0.01, 0.04) is None


def test_half_of_a_quotient_is_no_second_one_at_the_step_of_a_formula() -> None:
    line = Line(1.0, 1.0, 2.0**-53)
    steps = Steps(line, Claim(1.0, 1e-2))
    near, wide = line.on_grid(0.01), line.on_grid(0.04)
    line.changes |= {t: math.sin(t) for t in (*steps.wanted_half(0.01, 0.04), -near)}
    assert [r.step for r in steps.rungs()] == [near, wide]
    own = line.pair(-near, near)
    assert own is not None
    steps.own = [own]
    assert [r.step for r in steps.rungs()] == [near, wide]
    line.changes |= {t: math.sin(t) for t in steps.other_half()}
    assert [r.step for r in steps.rungs()] == [near, wide]
