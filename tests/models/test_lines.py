"""Losses along lines against the true ones: right within the predicted rounding, and independent of what is beside them."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from covering import covering
from exact import EXTENDED, LONG, U

from gradcheck.models.cross_entropy import LOGIT_LIMIT, cross_entropy_total
from gradcheck.models.fast import blocks, factors
from gradcheck.models.fast import cross_entropy_lines as lines
from gradcheck.models.fast.blocks import SEGMENT
from gradcheck.models.fast.cross_entropy_lines import cross_entropy_along, cross_entropy_along_rounding
from gradcheck.models.fast.factors import REACH
from gradcheck.models.fast.squared_lines import squared_along, squared_along_rounding
from gradcheck.numerics import threads

DTYPES = [np.float32, np.float64, pytest.param(LONG, marks=EXTENDED)]


def problem(n: int, m: int, scale: float, labels: str, dtype, seed: int = 0):
    """Logits of that scale, targets, columns of scale 1."""
    rng = np.random.default_rng([seed, n, m])
    z = (rng.standard_normal(n) * scale).astype(dtype)
    y = {
        "random": (rng.random(n) < 0.5).astype(dtype),
        "right": (z > 0).astype(dtype),
        "wrong": (z < 0).astype(dtype),
        "soft": rng.random(n).astype(dtype),
    }[labels]
    return z, y, rng.standard_normal((m, n)).astype(dtype), rng


def exactly(x) -> mpmath.mpf:
    """The very number: a longdouble is the sum of two float64."""
    high = float(x)
    return mpmath.mpf(high) + mpmath.mpf(float(x - type(x)(high)))


def true_cross_entropy(z, y, column, step) -> mpmath.mpf:
    with mpmath.workdps(50):
        limit, h = exactly(type(z[0])(LOGIT_LIMIT)), exactly(step)
        total = mpmath.mpf(0)
        for z_i, y_i, x_i in zip(z, y, column, strict=True):
            s = min(max(exactly(z_i) + h * exactly(x_i), -limit), limit)
            total += mpmath.log(1 + mpmath.exp(s)) - exactly(y_i) * s
        return total


def true_squares(r, column, step) -> mpmath.mpf:
    with mpmath.workdps(50):
        return sum((exactly(a) + exactly(step) * exactly(x)) ** 2 for a, x in zip(r, column, strict=True))


def error(found, true: mpmath.mpf) -> float:
    with mpmath.workdps(50):
        return float(exactly(found) - true)


def extended_cross_entropy(z, y, columns, steps) -> np.ndarray:
    """The plain formula in longdouble, 2048 times as exact as float64."""
    z, y, columns, steps = (a.astype(LONG) for a in (z, y, columns, steps))
    return np.stack([cross_entropy_total((z + columns * h[:, None])[..., None], y[:, None]) for h in steps.T], axis=1)


# --- right -----------------------------------------------------------------------------------------------------------


# products for any number of examples, where the losses are large enough; and the plain formula for all
WAYS = {"products": 0, "plain": 10**9}


@pytest.fixture(params=WAYS.values(), ids=WAYS)
def both_ways(request, monkeypatch):
    monkeypatch.setattr(factors, "FEWEST_EXAMPLES", request.param)


CASES = [
    (n, scale, labels)
    for n in (1, 2, 7, 40)
    for scale, labels in ((0.3, "random"), (3.0, "soft"), (8.0, "right"), (30.0, "random"), (30.0, "wrong"))
]


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "scale", "labels"), CASES)
def test_cross_entropy_is_that_of_fifty_digits(n, scale, labels, dtype):
    z, y, columns, _ = problem(n, 2, scale, labels, dtype)
    z[0] = LOGIT_LIMIT - 1e-3  # passes the limit within the larger steps
    steps = np.tile(np.array([-5, -0.3, -1e-3, 0, 1e-6, 1e-3, 0.7], dtype), (2, 1))
    found = cross_entropy_along(z, y, columns, steps)
    assert found.dtype == z.dtype
    for r in range(2):
        for c in range(steps.shape[1]):
            # errors far from z are those of the losses there
            moved = (z + steps[r, c] * columns[r]).astype(float)
            sigma = max(
                cross_entropy_along_rounding(at.astype(float), y.astype(float), U[z.dtype]) for at in (z, moved)
            )
            true = true_cross_entropy(z, y, columns[r], steps[r, c])
            # 10 deviations of what is an upper bound of the deviation; the limit itself is rounded to the dtype
            assert abs(error(found[r, c], true)) <= 10 * sigma, (r, c)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_squares_are_those_of_fifty_digits(n, dtype):
    r, _, columns, _ = problem(n, 2, 3.0, "soft", dtype)
    steps = np.tile(np.array([-5, -0.3, 0, 1e-6, 0.7], dtype), (2, 1))
    found = squared_along(r, columns, steps)
    for row in range(2):
        for c in range(steps.shape[1]):
            sigma = max(
                squared_along_rounding((r + h * columns[row]).astype(float), U[r.dtype]) for h in (0, steps[row, c])
            )
            assert abs(error(found[row, c], true_squares(r, columns[row], steps[row, c]))) <= 10 * sigma


def test_a_small_mistake_would_be_seen():
    z, y, columns, _ = problem(40, 1, 0.3, "random", np.float64)
    sigma = cross_entropy_along_rounding(z, y, U[z.dtype])
    true = true_cross_entropy(z, y, columns[0], np.float64(1e-3))
    for wrong in (z + 1e-13, z * (1 + 1e-12)):
        found = cross_entropy_along(wrong, y, columns, np.array([[1e-3]]))[0, 0]
        assert abs(error(found, true)) > 10 * sigma


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("h", [1e-8, 1e-3, 1.0])
@EXTENDED
def test_any_size_of_data_and_step(scale, h):
    z, y, columns, rng = problem(200, 30, 4.0, "random", np.float64)
    columns *= scale
    columns[::7] *= 100
    steps = h * np.array([-4, -1, 1, 4]) * rng.uniform(0.5, 1, (30, 1))
    found = cross_entropy_along(z, y, columns, steps)
    true = extended_cross_entropy(z, y, columns, steps)
    moved = [
        [cross_entropy_along_rounding(z + s * x, y, U[z.dtype]) for s in row]
        for x, row in zip(columns, steps, strict=True)
    ]
    sigma = np.maximum(moved, cross_entropy_along_rounding(z, y, U[z.dtype]))
    # beside its own rounding, that of z + step x, which is that of the perturbed logits
    assert (np.abs(found - true).astype(float) <= 10 * sigma).all()


def test_complex_steps_differentiate():
    z, y, columns, _ = problem(50, 6, 3.0, "random", np.float64)
    h = 1e-30
    slopes = cross_entropy_along(z, y, columns, np.full((6, 1), 1j * h))[:, 0].imag / h
    # sums of 50 terms of size 1, in the worst case one unit each
    np.testing.assert_allclose(slopes, columns @ (1 / (1 + np.exp(-z)) - y), atol=50 * U[z.dtype] * 50)
    slopes = squared_along(z, columns, np.full((6, 1), 1j * h))[:, 0].imag / h
    np.testing.assert_allclose(slopes, 2 * columns @ z, atol=50 * U[z.dtype] * 50 * 10)


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("n", [0, 1, 17, SEGMENT - 1, SEGMENT, 2 * SEGMENT + 5])
@EXTENDED
def test_any_number_of_examples(n):
    z, y, columns, _ = problem(n, 3, 2.0, "random", np.float64)
    steps = np.tile([-1e-2, -1e-3, 1e-3, 1e-2], (3, 1))
    sigma = cross_entropy_along_rounding(z, y, U[z.dtype])
    true = extended_cross_entropy(z, y, columns, steps)
    assert (np.abs(cross_entropy_along(z, y, columns, steps) - true).astype(float) <= 10 * sigma).all()
    true = np.stack([((z + columns * LONG(h)) ** 2).sum(axis=1) for h in steps[0]], axis=1)
    sigma = squared_along_rounding(z, U[z.dtype])
    assert (np.abs(squared_along(z, columns, steps) - true).astype(float) <= 10 * sigma).all()


# --- as exact as predicted -------------------------------------------------------------------------------------------


def rms(values) -> float:
    return math.sqrt(np.mean(np.square(values)))


@EXTENDED
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 3, 40, 300, 5000])
@pytest.mark.parametrize(
    ("scale", "labels"),
    [
        (0.1, "random"),
        (1, "random"),
        (5, "random"),
        (5, "right"),
        (12, "right"),
        (12, "wrong"),
        (5, "soft"),
        (30, "random"),
    ],
)
def test_the_deviation_along_lines_is_the_predicted_one(n, scale, labels, dtype, monkeypatch):
    z, y, columns, rng = problem(n, 100, scale, labels, dtype)
    steps = (0.03 * rng.uniform(0.5, 1, (100, 1)) * [-1, 1]).astype(dtype)
    true = extended_cross_entropy(z, y, columns, steps)
    sigma = cross_entropy_along_rounding(z.astype(float), y.astype(float), U[z.dtype])
    # so few examples are never multiplied
    for way in WAYS if n >= 40 else ["plain"]:
        monkeypatch.setattr(factors, "FEWEST_EXAMPLES", WAYS[way])
        errors = (cross_entropy_along(z, y, columns, steps) - true).astype(float)
        if np.ptp(true) > 100 * sigma:  # not where all examples are saturated, so that nothing moves
            assert 1 / 4 < errors.std() / sigma < 1.1, way
        # what the line as a whole is off by: a few roundings of one direction, and those of the loss at z
        assert rms(errors) / sigma < 3, way


@EXTENDED
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 3, 40, 300, 5000])
def test_the_deviation_of_squares_is_the_predicted_one(n, dtype):
    r, _, columns, rng = problem(n, 100, 1.0, "soft", dtype)
    steps = (0.03 * rng.uniform(0.5, 1, (100, 1)) * [-1, 1]).astype(dtype)
    wide, x = r.astype(LONG), columns.astype(LONG)
    true = np.stack([((wide + x * h[:, None]) ** 2).sum(axis=1) for h in steps.T.astype(LONG)], axis=1)
    errors = (squared_along(r, columns, steps) - true).astype(float)
    sigma = squared_along_rounding(r.astype(float), U[r.dtype])
    assert 1 / 4 < errors.std() / sigma < 1.1
    assert rms(errors) / sigma < 1.3


@pytest.mark.usefixtures("both_ways")
@EXTENDED
@pytest.mark.parametrize(("scale", "labels"), [(1, "random"), (8, "random"), (8, "right")])
def test_the_deviation_in_longdouble(scale, labels):
    z, y, columns, rng = problem(60, 30, scale, labels, LONG)
    steps = (0.03 * rng.uniform(0.5, 1, (30, 1)) * [-1, 1]).astype(LONG)
    found = cross_entropy_along(z, y, columns, steps)
    errors = [
        error(found[r, c], true_cross_entropy(z, y, columns[r], steps[r, c])) for r in range(30) for c in range(2)
    ]
    sigma = cross_entropy_along_rounding(z.astype(float), y.astype(float), U[z.dtype])
    assert 1 / 4 < np.std(errors) / sigma < 1.1
    assert rms(errors) / sigma < 3


@EXTENDED
@pytest.mark.parametrize("scale", [0.3, 1, 5])
def test_differences_are_as_exact_as_those_of_the_plain_formula(scale):
    z, y, columns, _ = problem(5000, 100, scale, "random", np.float64)
    steps = np.tile([-1e-5, 1e-5], (100, 1))
    true = np.diff(extended_cross_entropy(z, y, columns, steps)).astype(float)
    plain = np.stack([cross_entropy_total((z + columns * h)[..., None], y[:, None]) for h in steps[0]], axis=1)
    # a tenth for the spread of 100 samples
    assert rms(np.diff(cross_entropy_along(z, y, columns, steps)) - true) < 1.1 * rms(np.diff(plain) - true)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("scale", "labels"), [(1, "random"), (30, "random"), (12, "right"), (3, "soft")])
def test_the_plain_formula_has_the_bits_of_the_models_loss(scale, labels, dtype):
    z, y, columns, _ = problem(300, 5, scale, labels, dtype)
    for h in (1e-3, 10):
        steps = np.full((5, 1), h, dtype)
        true = cross_entropy_total((z + columns * steps)[..., None], y[:, None])
        np.testing.assert_array_equal(lines._plainly(z, y, columns, steps)[:, 0], true)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_step_of_zero_changes_no_bit(dtype):
    for scale in (1, 30):
        z, y, columns, _ = problem(300, 5, scale, "random", dtype)
        found = cross_entropy_along(z, y, columns, np.zeros((5, 2), dtype))
        assert (found == cross_entropy_total(z[:, None], y[:, None])).all()


# --- whatever is beside it -------------------------------------------------------------------------------------------


def bits_are_the_same(along, columns, steps) -> None:
    with threads.limit(1):
        whole = along(columns, steps)
    some = np.random.default_rng(0).choice(len(columns), len(columns) // 3, replace=False)
    for n_threads in (1, 2, 3):
        with threads.limit(n_threads):
            np.testing.assert_array_equal(along(columns, steps), whole)
            np.testing.assert_array_equal(along(columns[some], steps[some]), whole[some])
            for c in range(steps.shape[1]):
                np.testing.assert_array_equal(along(columns, steps[:, [c]])[:, 0], whole[:, c])
            for r in (0, len(columns) - 1):
                np.testing.assert_array_equal(along(columns[[r]], steps[[r]])[0], whole[r])


@pytest.mark.parametrize(
    ("n", "way", "dtype"),
    [
        pytest.param(*row, marks=EXTENDED if row[-1] is LONG else ())
        for row in covering([1, 2, 15, 16, 33, 100, 1000, SEGMENT + 40], WAYS, [np.float64, np.float32, LONG])
    ],
)
def test_no_value_depends_on_other_weights_steps_or_threads(n, way, dtype, monkeypatch):
    monkeypatch.setattr(factors, "FEWEST_EXAMPLES", WAYS[way])
    monkeypatch.setattr(threads, "WORTH_NUMBERS", 0)
    monkeypatch.setattr(blocks, "BLOCK_NUMBERS", 2**10)
    m = 60 if n < SEGMENT else 20
    z, y, columns, rng = problem(n, m, 9.0, "random", dtype)
    columns[::5] *= 1e3
    # unequal steps on the two sides, of either sign, small ones beside those that leave the reach
    steps = (rng.choice([1e-5, 1e-2, 0.2, 1.0], (m, 4)) * [-1, -0.5, 0.5, 1]).astype(dtype)
    steps[::3] *= -1
    steps[::4, 1] = np.nextafter(steps[::4, 1], dtype(1))
    bits_are_the_same(lambda x, h: cross_entropy_along(z, y, x, h), columns, steps)
    bits_are_the_same(lambda x, h: squared_along(z, x, h), columns, steps)
    largest = np.abs(columns).max(axis=1)
    np.testing.assert_array_equal(
        cross_entropy_along(z, y, columns, steps, largest), cross_entropy_along(z, y, columns, steps)
    )


def test_dependence_on_other_weights_would_be_seen():
    _, _, columns, _ = problem(100, 60, 1.0, "random", np.float64)
    with pytest.raises(AssertionError):
        bits_are_the_same(lambda x, h: h + x.sum(), columns, np.zeros((60, 2)))


@pytest.mark.parametrize(("n", "scale", "labels"), [(300, 1.0, "random"), (300, 30.0, "random"), (300, 12.0, "right")])
def test_each_way_is_taken(n, scale, labels, monkeypatch):
    """Products where the losses are large, the plain formula for confident predictions, large steps and complex ones."""
    taken = []
    for name in ("_by_factors", "_plainly"):
        way = getattr(lines, name)
        monkeypatch.setattr(lines, name, lambda z, *a, way=way, name=name: taken.append((name, z.size)) or way(z, *a))
    z, y, columns, _ = problem(n, 4, scale, labels, np.float64)
    cross_entropy_along(z, y, columns, np.full((4, 1), 1e-3))
    edge = int((np.abs(np.abs(z) - LOGIT_LIMIT) <= REACH).sum())
    if labels == "right":
        assert taken == [("_plainly", n)], "confident"
    else:
        assert taken == [("_by_factors", n)] + [("_plainly", edge)] * (edge > 0)
    assert scale < 30 or edge > 0
    taken.clear()
    cross_entropy_along(z, y, columns, np.full((4, 1), 10.0))
    assert taken[-1] == ("_plainly", n)
