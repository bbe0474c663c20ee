"""The complex step of a loss that is measured: it accuses no right gradient for its rounding, and sees mistakes still."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from exact import EXTENDED, LONG, complex_step
from layer_instances import SMOOTH, Case

from gradcheck.experiment.sources.gaussian import Gaussian
from gradcheck.experiment.sources.images import Images
from gradcheck.experiment.sources.init import Normal
from gradcheck.experiment.sources.sequences import Sequences
from gradcheck.models import Attention, Conv, Norm, OneLayer, RecurrentNet
from gradcheck.models.layers.layered import LOSSES
from gradcheck.numerics.check import check
from gradcheck.numerics.measured import complex_step as disputes
from gradcheck.numerics.measured import finer
from gradcheck.numerics.problem import Problem
from gradcheck.numerics.schemes import SCHEMES
from gradcheck.numerics.steps import AUTO, Step

COMPLEX = SCHEMES["complex_step"]
NETS = 8


def _model(rng: np.random.Generator) -> Any:
    loss, act = str(rng.choice(LOSSES)), str(rng.choice(["tanh", "sigmoid", "softplus"]))
    heads, deep = int(rng.integers(1, 3)), int(rng.integers(1, 3))
    output = str(rng.choice(["last", "all"]))
    # a norm over two features is almost a sign: its derivative is what is left of a difference
    block = Attention(loss, 0, output=output, embedding=2 * heads, heads=heads, depth=deep, activation=act)
    kinds = [
        block,
        replace(block, embedding=4, tied=True, loss_name="softmax"),
        RecurrentNet(loss, 0, output=output, cell=str(rng.choice(["rnn", "gru", "lstm"])), units=2, depth=deep),
        Conv(loss, 0, filters=[2], pool=str(rng.choice(["average", "none"])), activation=act),
        Norm(loss, 0, layers=[4], norm=str(rng.choice(["batch", "layer", "group"])), activation=act),
        OneLayer(loss, 0, layer=str(rng.choice(["layer_norm", "dropout", "dense"]))),
    ]
    return kinds[int(rng.choice(len(kinds), p=[0.4, 0.2, 0.1, 0.1, 0.1, 0.1]))]


# Where units are saturated by weights ten times as large, the rounding of a gradient shows in more digits alone.
SCALES = {"finer": (0.3, 1.0, 3.0, 10.0), "coarse": (0.3, 1.0, 3.0)}


def _problem(seed: int, digits: str = "finer") -> Problem:
    """A random net at random weights, large ones among them."""
    rng = np.random.default_rng(seed)
    model = _model(rng)
    model.validate()
    sizes = {"n": int(rng.integers(3, 6)), "seed": seed}
    sources = {"sequences": Sequences(length=4, **sizes), "images": Images(height=5, width=4, **sizes)}
    batch = sources.get(model.suits, Gaussian(d=3, **sizes)).batch(model.target, np.dtype(float))
    theta = Normal(seed, float(rng.choice(SCALES[digits]))).theta(model.layout(batch), np.dtype(float))
    return model.pose(theta, batch)


def _step(seed: int) -> Step:
    steps: list[Step] = [AUTO, 1e-1, 1e-3, 1e-5, 1e-9, 1e-30]
    return steps[seed % len(steps)]


@pytest.fixture(params=["finer", "coarse"])
def digits(request: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether longdouble has more digits than float64."""
    if request.param == "coarse":
        monkeypatch.setattr(finer, "FINER", np.dtype(float))
    return str(request.param)


def _accused(digits: str, nets: int = NETS) -> int:
    with np.errstate(all="ignore"):
        return sum(check(_problem(s, digits), COMPLEX, _step(s), 1e-2).summary["n_mismatch"] for s in range(nets))


def test_no_right_gradient_is_accused(digits: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of these nets some are, by the rounding that is known without looking."""
    assert _accused(digits) == 0
    monkeypatch.setattr(disputes, "settled", lambda problem, disputed, *_: (disputed.estimate, problem.rounding, 0))
    assert _accused(digits) > 0


def test_every_mistake_above_the_resolution_is_seen(digits: str) -> None:
    visible = tiny = 0
    for seed in range(NETS):
        rng, problem = np.random.default_rng(seed), _problem(seed, digits)
        wrong, size = problem.analytic.copy(), np.abs(problem.analytic)
        i = int(rng.choice(np.flatnonzero(size >= 0.1 * size.max())))
        relative = 10.0 ** rng.uniform(-13, 0)
        wrong[i] *= 1 + relative
        with np.errstate(all="ignore"):
            found = check(replace(problem, analytic=wrong), COMPLEX, _step(seed), 1e-2).weights
        seen = [j for j, verdict in enumerate(found["verdict"]) if verdict == "mismatch"]
        assert set(seen) <= {i}
        if abs(wrong[i] - problem.analytic[i]) > 2 * found["bound"][i]:
            assert seen == [i]
            visible, tiny = visible + 1, tiny + (relative < 1e-9)
    # a coarse step hides the small ones; where no more digits can be had, so does a central quotient
    assert visible > NETS // 3
    assert tiny > 0 or digits == "coarse"


@EXTENDED
def test_no_central_quotient_accuses_a_gradient_whose_rounding_shows_in_more_digits_alone() -> None:
    """Saturated attention: entries of 1e-9 beside one of 2,000 are rounding, the same at all points near theta."""
    problem = _problem(2287)
    with np.errstate(all="ignore"):
        assert check(problem, SCHEMES["central"], AUTO, 1e-2).summary["n_mismatch"] == 0


@EXTENDED
@pytest.mark.parametrize("case", SMOOTH, ids=str)
def test_loss_and_gradient_compute_in_the_digits_of_theta(case: Case) -> None:
    """A step that is rounded to float64 on the way would hide what more digits are to show."""
    theta, batch = case.theta(LONG), case.batch()
    gradient = case.model.gradient(theta, batch)
    exact = complex_step(lambda t: case.model.loss(t, batch), theta, np.arange(theta.size), np.full(theta.size, 1e-100))
    # 1e-12 in float64, see test_layered, and 11 bits more
    limit = 1e-12 / 2**11 * np.abs(exact).max()
    assert np.abs(gradient - exact).max() < limit
