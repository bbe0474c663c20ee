"""Finite differences: what each formula is exact for, how fast it converges, and the steps that are really taken."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from exact import EXTENDED, LONG, REAL, U, complex_step
from hypothesis import assume, example, given
from hypothesis import strategies as st

from gradcheck.numerics.schemes import (
    DISTANCES,
    SCHEMES,
    Pair,
    Scheme,
    difference_quotient,
    losses_at,
    one_sided,
    perturbed_weights,
    representable_step,
    symmetric,
    textbook_gradient,
)

# formulas of one side with more points are no schemes of the package, but can be made
PARABOLAS = (one_sided("forward_parabola", 1, 2), one_sided("backward_parabola", -1, -2))
FORMULAS = [*REAL, *PARABOLAS]
DTYPES = [np.float32, np.float64, LONG]


def named(scheme: Scheme) -> str:
    return scheme.name


def derivative(scheme: Scheme, f, theta: np.ndarray, h: float) -> np.ndarray:
    """The scheme's derivative of the scalar function ``f`` at each entry of theta, at the step ``h`` itself."""
    if scheme.complex_valued:
        return complex_step(lambda t: f(t[0]), theta, np.zeros(1, int), np.full(1, h))
    points = perturbed_weights(theta, np.full(theta.shape, h), scheme.offsets)
    return difference_quotient(scheme, theta, points, f(points), f(theta))


# --- the formulas, in exact arithmetic --------------------------------------------------------------------------------


def moment(scheme: Scheme, power: int) -> Fraction:
    """The scheme's derivative of x**power at 0 with step 1, without rounding."""
    total = Fraction(0)
    for pair in scheme.pairs:
        low, high = Fraction(pair.low), Fraction(pair.high)
        total += pair.weight * (high**power - low**power) / (high - low)
    return total


@pytest.mark.parametrize("scheme", FORMULAS, ids=named)
def test_a_formula_is_exact_for_polynomials_up_to_its_order_and_no_further(scheme):
    assert [moment(scheme, k) for k in range(scheme.order + 1)] == [k == 1 for k in range(scheme.order + 1)]
    assert moment(scheme, scheme.order + 1) != 0


@pytest.mark.parametrize("scheme", FORMULAS, ids=named)
def test_a_wrong_weight_is_not_exact(scheme):
    first, *rest = scheme.pairs
    wrong = replace(scheme, pairs=(first._replace(weight=first.weight * Fraction(10**9 + 1, 10**9)), *rest))
    assert [moment(wrong, k) for k in range(scheme.order + 1)] != [k == 1 for k in range(scheme.order + 1)]


def coefficients(scheme: Scheme) -> dict[float, Fraction]:
    """By which the loss at each point is multiplied, over the step."""
    found = dict.fromkeys(scheme.offsets, Fraction(0))
    for low, high, weight in scheme.pairs:
        found[high] += weight / Fraction(high - low)
        found[low] -= weight / Fraction(high - low)
    return found


def test_the_published_coefficients():
    # Abramowitz and Stegun 25.3.6
    five = {-2: Fraction(1, 12), -1: Fraction(-8, 12), 1: Fraction(8, 12), 2: Fraction(-1, 12)}
    assert coefficients(SCHEMES["five_point"]) == five
    # Fornberg, Mathematics of Computation 51 (1988), table 1
    seven = {1: Fraction(3, 4), 2: Fraction(-3, 20), 3: Fraction(1, 60)}
    assert coefficients(SCHEMES["seven_point"]) == seven | {-o: -c for o, c in seven.items()}
    # two steps of Romberg's scheme from h, h / 2, h / 4
    levels = [{1: Fraction(1)}, {0.5: Fraction(1)}, {0.25: Fraction(1)}]
    for order in (2, 4):
        gain = 2**order
        levels = [
            {s: (gain * fine.get(s, 0) - coarse.get(s, 0)) / Fraction(gain - 1) for s in {*fine, *coarse}}
            for coarse, fine in pairwise(levels)
        ]
    assert {pair.high: pair.weight for pair in SCHEMES["richardson"].pairs} == levels[0]
    assert len(SCHEMES["richardson"].pairs) >= 3
    assert SCHEMES["richardson"].amplification == pytest.approx(85 / 45, abs=2 * U[np.dtype(float)])


# any grid: reaches that are numbers of float64, so that the fractions are exact
grids = st.lists(st.integers(1, 64).map(lambda k: k / 8), min_size=1, max_size=4, unique=True)


@given(grids)
def test_the_weights_of_any_symmetric_grid_cancel_all_powers_below_its_order(reaches):
    scheme = formula(symmetric, reaches)
    assert scheme.order == 2 * len(reaches)
    assert [moment(scheme, k) for k in range(scheme.order + 1)] == [k == 1 for k in range(scheme.order + 1)]
    # what is left: 1, or -1, times the squares of all reaches
    assert abs(moment(scheme, scheme.order + 1)) == math.prod(Fraction(s) ** 2 for s in reaches)
    if scheme.embedded is not None:
        assert set(scheme.embedded.offsets) < set(scheme.offsets)
        assert scheme.embedded.order == scheme.order - 2
        assert moment(scheme.embedded, 1) == 1
        assert all(moment(scheme.embedded, k) == 0 for k in range(2, scheme.embedded.order + 1))


@given(grids, st.sampled_from([1, -1]))
def test_the_weights_of_any_one_sided_grid_cancel_all_powers_below_its_order(reaches, side):
    scheme = formula(one_sided, [side * s for s in reaches])
    assert scheme.order == len(reaches)
    assert [moment(scheme, k) for k in range(scheme.order + 1)] == [k == 1 for k in range(scheme.order + 1)]
    assert abs(moment(scheme, scheme.order + 1)) == math.prod(Fraction(s) for s in reaches)


def formula(kind, reaches):
    """The formula of a grid that leaves room for two steps, as every ratio of up to four reaches does."""
    assert 2 * len(reaches) <= DISTANCES
    return kind("drawn", *reaches)


@given(grids, st.sampled_from([2.0, 3.0, 4.0, 1.5]))
def test_the_steps_of_a_ladder_are_as_many_as_fit(reaches, ratio):
    scheme = replace(formula(symmetric, reaches), ratio=ratio)
    for limit in range(1, 2 * DISTANCES):
        count = scheme.rungs(limit)
        points = [{s * scheme.ratio**k for k in range(n) for s in reaches} for n in (count, count + 1)]
        assert len(points[0]) <= limit < len(points[1])


@pytest.mark.parametrize("reaches", [(1, 1), (0,), (1, 2, 3, 5, 7)])
def test_a_grid_that_makes_no_scheme_is_refused(reaches):
    with pytest.raises(ValueError, match=r"different points|all that eps=auto evaluates"):
        symmetric("wrong", *reaches)


# --- convergence ------------------------------------------------------------------------------------------------------


@EXTENDED
@pytest.mark.parametrize("scheme", [*SCHEMES.values(), *PARABOLAS], ids=named)
def test_the_order_of_convergence(scheme):
    x = np.array([0.3], dtype=LONG)
    steps = [2.0**-k for k in range(2, 6)]
    errors = [float(np.abs(derivative(scheme, np.exp, x, h) - np.exp(x))[0]) for h in steps]
    for h, coarse, fine in zip(steps, errors, errors[1:], strict=False):
        # all derivatives of exp are equal, and each further term of the series is less than h times the one before
        assert math.log2(coarse / fine) == pytest.approx(scheme.order, abs=2 * h)
    if not scheme.complex_valued:
        h, order = steps[-1], scheme.order
        leading = abs(float(moment(scheme, order + 1))) / math.factorial(order + 1) * h**order * float(np.exp(x)[0])
        assert errors[-1] == pytest.approx(leading, rel=2 * h)


@pytest.mark.parametrize("scheme", [*SCHEMES.values(), *PARABOLAS], ids=named)
@given(
    coefficients=st.lists(st.integers(-1000, 1000), min_size=7, max_size=7),
    x=st.integers(-400, 400).map(lambda k: k / 128),
    h=st.sampled_from([2.0**-10, 2.0**-4, 0.5, 2.0]),
)
def test_exact_on_polynomials_of_its_degree_up_to_rounding(scheme, coefficients, x, h):
    c = coefficients[: scheme.order + 1]

    def f(t):
        total = np.zeros_like(t)
        for a in reversed(c):
            total = total * t + a
        return total

    theta = np.array([x])
    found = float(derivative(scheme, f, theta, h)[0])
    exact = float(sum(k * a * Fraction(x) ** (k - 1) for k, a in enumerate(c) if k))
    # Horner's rule: 2 k roundings on the path of the term of degree k, each relative to its size
    reach = abs(x) + 2 * h
    size = sum((2 * k + 1) * abs(a) * reach**k for k, a in enumerate(c))
    narrowest = min((pair.high - pair.low for pair in scheme.pairs), default=h)
    if scheme.complex_valued:
        rounding = 8 * sum((2 * k + 1) * k * abs(a) * reach ** (k - 1) for k, a in enumerate(c) if k)
    else:
        # two losses for each quotient; subtraction, division, the product with the weight and the sum: 6 roundings
        rounding = scheme.amplification * (2 * size / (narrowest * h) + 6 * size / (narrowest * h))
    assert abs(found - exact) <= rounding * U[np.dtype(float)]


@given(
    st.tuples(*[st.floats(-100, 100)] * 3), st.floats(-1e3, 1e3), st.integers(-30, 4), st.floats(1, 2, exclude_max=True)
)
def test_central_is_exact_on_quadratics_up_to_rounding(abc, x, exponent, mantissa):
    a, b, c = abc
    theta = np.array([x])
    h = float(representable_step(theta, np.array([mantissa * 2.0**exponent]))[0])
    assume(h > 0)
    found = derivative(SCHEMES["central"], lambda t: (a * t + b) * t + c, theta, h)[0]
    # exact where all is symmetric: two losses of four roundings each, over 2 h; and the result's own three
    size = (abs(a) * (abs(x) + h) + abs(b)) * (abs(x) + h) + abs(c)
    exact = 2 * Fraction(a) * Fraction(x) + Fraction(b)
    assert abs(Fraction(found) - exact) <= Fraction(U[np.dtype(float)]) * Fraction(8 * size / h + 4 * float(abs(exact)))


# --- the steps that are taken -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@given(
    mantissa=st.floats(-1, 1),
    exponent=st.integers(-20, 20),
    wanted=st.floats(1, 2),
    step_exponent=st.integers(-30, 4),
)
@example(mantissa=0.0, exponent=0, wanted=1.1, step_exponent=-12)
@example(mantissa=0.1, exponent=0, wanted=1.3, step_exponent=-21)
def test_the_realised_step_is_a_number_and_symmetric(dtype, mantissa, exponent, wanted, step_exponent):
    theta = (np.array([mantissa * 2.0**exponent]) * LONG(1.1)).astype(dtype)
    h = np.array([wanted * 2.0**step_exponent])
    step = representable_step(theta, h)
    assert step.dtype == dtype
    low, high = perturbed_weights(theta, step, (-1.0, 1.0))[0]
    t, u = LONG(theta[0]), U[np.dtype(dtype)]
    if h[0] <= abs(float(t)):
        # on both sides the step is what it says, to the bit: float64 differences of neighbours are exact in longdouble
        assert LONG(high) - t == t - LONG(low) == LONG(step[0])
    else:
        # the step is longer than theta has digits: each point is rounded once
        assert abs(float((LONG(high) - t) - (t - LONG(low)))) <= 2 * u * (abs(float(t)) + 1.01 * h[0])
    # nearest: the rounding of h to the dtype, and half a spacing of the farther point
    assert abs(float(step[0]) - h[0]) <= 2 * u * (abs(float(t)) + 1.01 * h[0])


def test_a_step_that_is_not_representable_is_not_symmetric():
    """What the realised step is for: 1e-6 itself is not a difference of float32 numbers near 1.1."""
    theta = np.array([1.1], np.float32)
    _, high = perturbed_weights(theta, np.array([1e-6]), (-1.0, 1.0))[0]
    assert high - theta[0] != np.float32(1e-6)
    assert float(representable_step(theta, np.array([1e-6]))[0]) == float(high - theta[0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_step_below_half_the_spacing_vanishes(dtype):
    u = U[np.dtype(dtype)]
    theta = np.array([1.5, -1.5, 3.0], dtype)
    assert (representable_step(theta, np.full(3, 0.9 * u)) == 0).all()
    assert (representable_step(theta, np.full(3, 4 * u)) > 0).all()
    assert representable_step(np.zeros(1, dtype), np.array([1e-30]))[0] == dtype(1e-30)
    points = perturbed_weights(theta, np.zeros(3, dtype), (-1.0, 1.0))
    assert np.isnan(difference_quotient(SCHEMES["central"], theta, points, points**2, theta[0])).all()


@EXTENDED
@pytest.mark.parametrize("scheme", FORMULAS, ids=named)
def test_longdouble_keeps_its_digits(scheme):
    u = U[np.dtype(LONG)]
    theta = np.array([1], dtype=LONG) / 3
    h = float(representable_step(theta, np.array([2.0**-3]))[0])
    found = derivative(scheme, lambda t: 7 * t, theta, h)
    assert found.dtype == LONG
    # f is 7 / 3 and each quotient rounds two values of it, over 2**-4 at least; then 6 roundings of 7
    assert abs(float(found[0] - 7)) <= scheme.amplification * u * (2 * 7 * (1 / 3 + 2 * h) / (h / 2) + 6 * 7)


@EXTENDED
def test_a_weight_rounded_to_float64_costs_longdouble_its_digits():
    rounded = Scheme("rounded", (Pair(-1, 1, Fraction(4 / 3)), Pair(-2, 2, Fraction(-1 / 3))), 4)
    theta = np.array([0.5], dtype=LONG)
    exact, wrong = (derivative(s, lambda t: 3 * t, theta, 0.125) for s in (SCHEMES["five_point"], rounded))
    assert exact[0] == 3
    assert abs(float(wrong[0] - 3)) > 100 * U[np.dtype(LONG)]


def test_the_quotient_is_over_the_distance_that_was_stepped():
    """f(x) = x has the slope 1 whatever the points are, even where they are 5% away from where they should be."""
    theta = np.array([1.0])
    points = perturbed_weights(theta, np.array([1e-15]), SCHEMES["central"].offsets)
    assert difference_quotient(SCHEMES["central"], theta, points, points, theta[0])[0] == 1
    assert abs(textbook_gradient(lambda t: t[0], theta, 1e-15)[0] - 1) > 0.05


# --- the loop over the weights ----------------------------------------------------------------------------------------


class Recorded:
    """A loss that keeps every point it was asked for."""

    def __init__(self) -> None:
        self.points: list[np.ndarray] = []

    def __call__(self, theta: np.ndarray) -> np.ndarray:
        self.points.append(theta.copy())
        return (theta * theta).sum() + theta[0]


THETA = np.array([0.1, -0.3, 1e8, 1e-8, 0.7])


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=named)
def test_evaluations_for_each_weight(scheme):
    loss, index = Recorded(), np.arange(THETA.size)
    if scheme.complex_valued:
        complex_step(loss, THETA, index, np.full(THETA.size, 1e-20))
    else:
        losses_at(loss, THETA, index, perturbed_weights(THETA, np.full(THETA.size, 0.1), scheme.offsets))
    ends = {end for pair in scheme.pairs for end in (pair.low, pair.high)} - {0}
    assert scheme.evaluations == (1 if scheme.complex_valued else len(ends))
    assert len(loss.points) == scheme.evaluations * THETA.size


def others_unchanged(points: list[np.ndarray], each: int) -> bool:
    """Whether every point differs from THETA in the one weight that is perturbed, to the bit."""
    rows = np.array(points).reshape(THETA.size, each, THETA.size)
    return all((np.delete(rows[i], i, axis=1) == np.delete(THETA, i)).all() for i in range(THETA.size))


def test_weights_are_restored_by_assignment():
    theta = THETA.copy()
    theta.flags.writeable = False
    loss = Recorded()
    textbook_gradient(loss, theta, 1e-7)
    assert others_unchanged(loss.points, 2)
    loss = Recorded()
    losses_at(loss, theta, np.arange(5), perturbed_weights(theta, np.full(5, 1e-3), SCHEMES["richardson"].offsets))
    assert others_unchanged(loss.points, 6)
    loss = Recorded()
    complex_step(loss, theta, np.arange(5), np.full(5, 1e-20))
    assert others_unchanged([p.real + p.imag for p in loss.points], 1)


def test_restoring_by_subtraction_would_be_seen():
    point, points = THETA.copy(), []
    for i in range(THETA.size):
        for step in (1e-7, -1e-7):
            point[i] += step
            points.append(point.copy())
            point[i] -= step
    assert not others_unchanged(points, 2)


def test_only_the_weights_that_are_asked_for():
    loss, index = Recorded(), np.array([3, 1])
    out = losses_at(loss, THETA, index, THETA[index][:, None] + np.array([[0.0, 1.0]]))
    assert out.shape == (2, 2)
    assert [np.flatnonzero(p != THETA).tolist() for p in loss.points] == [[], [3], [], [1]]


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=5), st.sampled_from([1e-7, 1e-4, 3e-3, 0.5]))
def test_the_textbook_gradient_divides_by_two_epsilon(values, epsilon):
    theta = np.array(values)

    def loss(t):
        return np.sin(t).sum()

    expected = []
    for i in range(theta.size):
        plus, minus = theta.copy(), theta.copy()
        plus[i] = theta[i] + epsilon
        minus[i] = theta[i] - epsilon
        expected.append((loss(plus) - loss(minus)) / (2 * epsilon))
    assert np.array_equal(textbook_gradient(loss, theta, epsilon), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_dtype_of_theta_is_kept(dtype):
    theta = np.array([0.5, 2.0], dtype)

    def loss(t):
        assert t.dtype in (dtype, np.result_type(dtype, np.complex64))
        return (t * t).sum()

    for scheme in REAL:
        points = perturbed_weights(theta, np.full(2, 0.25), scheme.offsets)
        losses = losses_at(loss, theta, np.arange(2), points)
        assert losses.dtype == points.dtype == dtype
        slopes = difference_quotient(scheme, theta, points, losses, loss(theta))
        assert slopes.dtype == dtype
    assert textbook_gradient(loss, theta, 0.25).dtype == dtype
    assert complex_step(loss, theta, np.arange(2), np.full(2, 1e-9)).dtype == dtype
