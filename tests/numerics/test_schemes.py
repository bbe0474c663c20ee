"""What every scheme promises, those of the package and those that are added to its table from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import QUICK, rows
from exact import EXTENDED, LONG, REAL, Neighbourhood, U, bound, derivative, error
from instances import INSTANCES

import gradcheck
from gradcheck.experiment.sources.gaussian import Gaussian
from gradcheck.models import MLP, Logistic, OneD
from gradcheck.numerics.bounds import evaluations
from gradcheck.numerics.ladder import FIRST, ladder_of
from gradcheck.numerics.schemes import DISTANCES, SCHEMES, Pair, Scheme, symmetric
from gradcheck.run import main
from gradcheck.views.charts.theme import scheme_colours

# One entry each: as many points as fit; points that no two steps share; steps that are farther apart; no embedded formula.
ADDED = [
    symmetric("nine_point", 1, 2, 3, 4),
    symmetric("scattered", 1, 1.75, 2.5),
    symmetric("coarse", 1, 3, ratio=3.0),
    symmetric("alone", 1, gain=0.5),
]
every = pytest.mark.parametrize("scheme", [*REAL, *ADDED], ids=lambda scheme: scheme.name)
added = pytest.mark.parametrize("scheme", ADDED, ids=lambda scheme: scheme.name)
NETS = {
    "tanh": MLP([5, 3], "tanh"),
    "relu": MLP([5, 3], "relu"),
    "relu, squared": MLP([6], "relu", "squared_error", l2=0.1),
    "logistic": Logistic(),
}


def around(model: Any, seed: int = 0, dtype: Any = np.float64) -> Neighbourhood:
    batch = Gaussian(n=12, d=4, seed=seed).batch(model.target, np.dtype(dtype))
    rng = np.random.default_rng(seed)
    return Neighbourhood(model, rng.normal(0, 0.7, model.layout(batch).size).astype(dtype), batch)


@every
@pytest.mark.parametrize("net", NETS)
def test_its_evaluations_are_within_the_budget(scheme: Scheme, net: str) -> None:
    there = around(NETS[net])
    there.estimate(scheme, None)
    assert there.count <= 2 * DISTANCES * there.theta.size
    there.count = 0
    there.estimate(scheme, 1e-4)
    assert there.count == evaluations(scheme) * there.theta.size <= 3 * scheme.evaluations * there.theta.size


# `test_bounds.py` and `test_kinks.py` ask the same of the package's own
@EXTENDED
@added
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_its_bound_covers_the_true_error(scheme: Scheme, net: str, dtype: Any) -> None:
    for seed in range(3):
        there = around(NETS[net], seed, dtype)
        truth = derivative(there.model, there.theta, there.batch) if there.model.smooth else one_sided_truth(there)
        for eps in (None, 1e-8, 1e-5, 1e-3, 1e-1, 1.0):
            found = there.estimate(scheme, eps)
            limit = bound(found)
            known = np.isfinite(limit)
            # the stored value is rounded once
            rounded = limit * (1 + 2.0**-50) + 2.0**-53 * np.abs(found.value) + 64 * U[np.dtype(LONG)] * np.abs(truth)
            assert (error(found, truth)[known] <= rounded[known]).all(), (seed, eps)
            # a step below the spacing of the numbers has none
            assert known.mean() > 0.5 or (eps == 1e-8 and dtype == np.float32), (seed, eps)


def one_sided_truth(there: Neighbourhood) -> np.ndarray:
    """The gradient of a net with kinks in longdouble: theta is drawn, and lies on none of them."""
    from exact import extended

    return there.model.gradient(there.theta.astype(LONG), extended(there.batch))


@added
@pytest.mark.parametrize("net", NETS)
def test_its_own_step_is_within_three_times_the_least_bound_of_a_sweep(scheme: Scheme, net: str) -> None:
    there = around(NETS[net])
    sweep = np.min([bound(there.estimate(scheme, eps)) for eps in np.logspace(-10, 0, 31)], axis=0)
    assert (bound(there.estimate(scheme, None)) <= 3 * sweep).all()


@every
def test_it_stays_short_of_a_kink(scheme: Scheme) -> None:
    there = Neighbourhood(
        OneD("abs", l2=0.1), np.array([-0.3]), Gaussian(n=1, d=1).batch(Logistic().target, np.dtype(float))
    )
    found = there.estimate(scheme, None)
    assert bound(found)[0] < 1e-6
    assert found.step[0] * max(abs(o) for o in scheme.offsets) < 0.3


@pytest.mark.parametrize("instance", [i for i in INSTANCES if i.model.smooth][::7], ids=str)
def test_steps_that_fit_the_budget_are_used(instance: Any) -> None:
    """A scheme that gave its points up would pass the test of the budget too."""
    there = Neighbourhood(instance.model, instance.theta(np.float64), instance.batch(np.float64))
    for scheme in (s for s in [*REAL, *ADDED] if s.order > 1):
        there.count = 0
        there.estimate(scheme, None)
        index = np.arange(there.theta.size)
        ladder = ladder_of(there.probe, scheme, index)
        assert len(ladder.offsets(ladder.multiples)) > 2 * DISTANCES - scheme.evaluations, scheme.name
        # and those that are tried first are not given up either
        assert there.count >= len(ladder.offsets(ladder.multiples[-FIRST:])) * index.size, scheme.name


@added
def test_an_entry_in_the_table_is_a_scheme_of_the_program(
    scheme: Scheme, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(SCHEMES, scheme.name, scheme)
    grid = ["model=mlp,linear", "bug=none,scale", f"scheme={scheme.name}", "eps=auto,1e-3"]
    small = ["data.n=8", "data.d=2", "-m", *QUICK, f"hydra.sweep.dir={tmp_path / 'run'}"]
    assert main([*grid, *small]) == 0
    cells, _ = rows(tmp_path / "run")
    judged = [row for row in cells if row["status"] == "ok"]
    assert len(judged) == 8
    for row in judged:
        assert row["scheme"] == scheme.name
        assert row["verdict"] == ("match" if row["bug"] == "none" else "mismatch")
        each = 2 * DISTANCES if row["eps"] is None else 3 * scheme.evaluations
        assert row["n_evals"] <= each * row["n_weights"] + 20
    x = np.array([0.3, -1.2])
    assert gradcheck.check_gradient(lambda x: np.exp(x).sum(), np.exp, x, scheme=scheme.name).verdict == "match"
    assert scheme.name in scheme_colours()
    # and without its entry it is none
    monkeypatch.undo()
    assert main([*grid, *small[:-1], f"hydra.sweep.dir={tmp_path / 'other'}"]) == 2


def test_a_formula_with_a_wrong_weight_does_not_pass() -> None:
    right = symmetric("right", 1, 2)
    first, second = right.pairs
    wrong = Scheme("wrong", (Pair(first.low, first.high, first.weight * 2), second), 4)
    there = around(NETS["tanh"])
    truth = derivative(there.model, there.theta, there.batch)
    for scheme, good in ((right, True), (wrong, False)):
        found = there.estimate(scheme, 1e-3)
        assert (error(found, truth) <= bound(found)).all() == good
