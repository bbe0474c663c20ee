"""Many weights are screened as arrays: what is found is the same to the bit as by the search of each weight."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcheck
from gradcheck.numerics.measured import columns, estimates, ladder
from gradcheck.numerics.measured.line import Line

Array = np.ndarray

CURVES: list[tuple[Callable[[Array], Array], Callable[[Array], Array]]] = [
    (np.sin, np.cos),
    (np.tanh, lambda z: 1 / np.cosh(z) ** 2),
    (lambda z: np.maximum(z, 0), lambda z: np.where(z > 0, 1.0, 0.0)),
    (np.abs, np.sign),
    (lambda z: z**3, lambda z: 3 * z**2),
    (np.exp, np.exp),
    (lambda z: 0 * z, lambda z: 0 * z),
    (lambda z: np.where(z > 0, np.log(z), np.nan), lambda z: 1 / z),
]


def drawn(seed: int) -> tuple[Callable[[Array], float], Callable[[Array], Array], Array, np.random.Generator]:
    """A sum of curves of many weights, with their gradient, which is wrong for some of them in half of the draws."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(16, 28))
    kinds = rng.choice(len(CURVES) - (seed % 5 > 0), size=3, replace=False)
    which = rng.choice(kinds, size=n)
    a = np.exp(rng.normal(size=n) * rng.choice([0.0, 1.0, 5.0]))
    x = rng.normal(size=n) * np.exp(rng.normal(size=n) * rng.choice([0.0, 3.0]))
    x[rng.random(n) < rng.choice([0.0, 0.2])] = 0
    x = np.where(which == len(CURVES) - 1, np.abs(x) + 1e-3, x)
    level = rng.choice([0.0, 1e-12, 1e-7])
    wrong = np.where(rng.random(n) < (seed % 2) * 0.1, 1 + 10.0 ** rng.uniform(-6, 0, n), 1.0)

    def value(x: Array) -> float:
        whole = sum(CURVES[k][0](a[which == k] * x[which == k]).sum() for k in kinds)
        return float(whole * (1 + level * np.sin(1e7 * x.sum())))

    def gradient(x: Array) -> Array:
        found = np.empty(n)
        for k in kinds:
            found[which == k] = a[which == k] * CURVES[k][1](a[which == k] * x[which == k])
        return found * wrong

    return value, gradient, x, rng


def outcome(seed: int) -> tuple[object, ...]:
    """All that a check says and its evaluations; and the numbers before they are rounded for the record, as bytes."""
    value, gradient, x, rng = drawn(seed)
    options: dict[str, object] = {}
    asked = int(rng.integers(4))
    if asked == 1:
        options["match_at"] = 1e-4
    if asked == 2:
        options["bounds"] = [(t - 1e-3 * abs(t), t + abs(t) + 1e-9) for t in x]
    if asked == 3:
        options |= {"accept": 1e-4, "points": 2}
    numbers = []
    original = estimates.estimates

    def kept(*arguments: Any, **named: Any) -> Any:
        found, rounding = original(*arguments, **named)
        numbers.extend(column.tobytes() for column in (*found, rounding.gradient))
        return found, rounding

    with np.errstate(all="ignore"), pytest.MonkeyPatch.context() as patched:
        patched.setattr(estimates, "estimates", kept)
        r = gradcheck.check_gradient(value, gradient, x, **options)  # type: ignore[arg-type]
    return r.verdict, r.nfev, r.njev, r.diagnosis, numbers, r.errors[["verdict", "reason"]].to_numpy().tolist()


# all verdicts and most reasons, windows, stairs and bounds are among them
SEEDS = (3, 5, 8, 9, 10, 11, 14, 16, 17, 20, 25, 26, 30, 31, 33, 34, 36, 38)


def test_screened_weights_are_as_those_that_are_searched_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    screened = [outcome(seed) for seed in SEEDS]
    monkeypatch.setattr(estimates, "_screen", lambda *_: None)
    assert [outcome(seed) for seed in SEEDS] == screened


def test_a_screen_that_rounds_otherwise_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = [outcome(seed) for seed in SEEDS[:6]]
    monkeypatch.setattr(columns, "power", lambda base, exponent: np.nextafter(base**exponent, np.inf))
    assert [outcome(seed) for seed in SEEDS[:6]] != searched


@pytest.mark.parametrize("count", [2, 3])
def test_bounds_of_columns_are_those_of_single_quotients(count: int) -> None:
    rng = np.random.default_rng(count)
    line = Line(0.0, 1.0, 2.0**-53, noise=1e-10, degrees=9.0, floor=1e-16, size=1.0, level=0.9)
    step = 1e-4 * np.cumprod(rng.uniform(1.5, 6, (400, count)), axis=1)
    bent = np.where(rng.random((400, 1)) < 0.3, np.abs(step), step**2) * rng.choice([0.0, 1.0, 1e3], (400, 1))
    odd = rng.normal(size=(400, 1)) * step + rng.choice([0.0, 1.0, 1e2], (400, 1)) * step ** rng.choice(
        [1.2, 1.6, 3.0], (400, 1)
    )
    above, below = (bent + sign * odd + 1e-10 * rng.normal(size=step.shape) for sign in (1, -1))
    seen = columns.rungs(line, np.zeros(400), step, above, below)
    found = columns.appraised(line, seen)
    kinds = set()
    for row in range(400):
        line.changes = dict(zip(step[row].tolist(), above[row].tolist(), strict=True))
        line.changes |= dict(zip((-step[row]).tolist(), below[row].tolist(), strict=True))
        one = Line(0.0, 1.0, line.unit, noise=1e-10, degrees=9.0, size=1.0, level=0.9, changes=line.changes)
        rungs = [one.rung(h, 0) for h in step[row].tolist()]
        assert rungs == seen.of(row)
        singly = ladder.appraised(one, [r for r in rungs if r is not None])
        together = [ladder.Found(*(float(c[row, k]) for c in found), confirmed=False) for k in range(count)]
        assert singly == together
        kinds |= {f.kink > 0 for f in singly} | {"infinite" for f in singly if f.truncation == np.inf}
    assert kinds == {True, False} | ({"infinite"} if count > 2 else set())


def test_stacks_processes_and_single_points_find_the_same() -> None:
    for seed in (8, 33):
        value, gradient, x, _ = drawn(seed)

        def stacked(rows: Array, value: Callable[[Array], float] = value) -> Array:
            return np.array([value(row) for row in rows])

        with np.errstate(all="ignore"):
            alone = gradcheck.check_gradient(value, gradient, x)
            mapped = gradcheck.check_gradient(value, gradient, x, workers=map)
            together = gradcheck.check_gradient(stacked, gradient, x, vectorized=True)
        frames = [r.to_frame(full=True).drop(columns="cell") for r in (alone, mapped, together)]
        assert all(frame.equals(frames[0]) for frame in frames)
        # a stack of two points, and the second one alone, show that no value depends on the points beside it
        assert alone.nfev == mapped.nfev == together.nfev - 3
