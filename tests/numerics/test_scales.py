"""At any scale of data, weights and penalty a cell is judged or refused: no number of the analysis may raise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gradcheck.models.rounding as rounding
from gradcheck.errors import Meaningless
from gradcheck.experiment.cell import check_cell
from gradcheck.experiment.config.build import build
from gradcheck.models import OneD
from gradcheck.models.activations import ACTIVATIONS
from gradcheck.models.batch import NO_BATCH
from gradcheck.models.linear import REDUCTIONS
from gradcheck.models.mlp import LOSSES
from gradcheck.models.one_d import CURVES
from gradcheck.numerics.check import CellResult, check
from gradcheck.numerics.schemes import SCHEMES
from gradcheck.numerics.steps import AUTO

SCALE = st.floats(-300, 300).map(lambda exponent: 10.0**exponent)
NET = {"activation": st.sampled_from(sorted(ACTIVATIONS)), "l2": st.just(0.0) | SCALE}
MODELS = st.one_of(
    st.fixed_dictionaries({"name": st.just("one_d"), "curve": st.sampled_from(sorted(CURVES)), "x": SCALE}),
    st.fixed_dictionaries({"name": st.just("linear"), "reduction": st.sampled_from(REDUCTIONS), "l2": NET["l2"]}),
    st.fixed_dictionaries({"name": st.just("logistic"), "l2": NET["l2"]}),
    st.fixed_dictionaries({"name": st.just("mlp"), "layers": st.just([3]), "loss": st.sampled_from(LOSSES), **NET}),
    st.fixed_dictionaries({"name": st.just("softmax"), "layers": st.sampled_from([[], [2]]), **NET}),
)
DATA = st.fixed_dictionaries(
    {"source": st.just("gaussian"), "n": st.sampled_from([1, 9, 300]), "d": st.just(2), "scale": SCALE, "noise": SCALE}
)
INITS = st.fixed_dictionaries({"name": st.just("normal"), "seed": st.integers(0, 9), "scale": st.just(1.0) | SCALE})
SQUARES_OVERFLOW = {"model": {"name": "linear"}, "data": {"source": "gaussian", "scale": 1e78}}


def config(**given: Any) -> dict[str, Any]:
    plain = {"init": {"name": "normal"}, "bug": {"name": "none"}, "eps": "auto"}
    return plain | {"scheme": "central", "dtype": "float64", "match_at": 1e-2} | given


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    model = draw(MODELS)
    data = {"source": "none"} if model["name"] == "one_d" else draw(DATA)
    eps, scheme = draw(st.just("auto") | SCALE), draw(st.sampled_from(sorted(SCHEMES)))
    dtype = draw(st.sampled_from(["float32", "float64"]))
    return config(model=model, data=data, init=draw(INITS), eps=eps, scheme=scheme, dtype=dtype)


def require_judged(found: CellResult) -> None:
    """Each weight of a correct gradient has a bound that it keeps, or a reason why none can be given.

    A textbook gradient that has itself overflowed, where the loss has not, is a mismatch.
    """
    rows = found.weights
    for claim, verdict, reason, bound in zip(
        *(rows[name] for name in ("analytic", "verdict", "reason", "bound")), strict=True
    ):
        assert not np.isnan(bound)
        assert (verdict == "mismatch") == (not np.isfinite(claim))
        assert (reason is None) == (verdict in ("match", "mismatch"))
        assert np.isfinite(bound) or verdict in ("inconclusive", "mismatch")


@settings(max_examples=100)
@given(configs())
def test_no_scale_makes_the_analysis_raise_or_accuse_a_correct_gradient(form: dict[str, Any]) -> None:
    try:
        found = check_cell(build(form), form["eps"])
    except (ValueError, Meaningless, FloatingPointError):
        return  # refused, in words: a number that the dtype has not, a combination without meaning, an infinite loss
    require_judged(found)


def test_a_loss_whose_square_overflows_is_judged() -> None:
    found = check_cell(build(config(**SQUARES_OVERFLOW)))
    assert 1e156 < found.summary["loss"] < 1e157
    require_judged(found)


def test_the_square_of_a_python_float_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    binade = rounding.binade
    monkeypatch.setattr(rounding, "binade", lambda x: np.asarray(binade(x)).astype(object))
    with pytest.raises(OverflowError):
        check_cell(build(config(**SQUARES_OVERFLOW)))


@pytest.mark.parametrize("eps", [AUTO, 1e-3])
@pytest.mark.parametrize("scheme", ["central", "forward", "five_point", "richardson"])
def test_a_step_that_the_spacing_lifts_above_the_scale_accuses_nothing(scheme: str, eps: Any) -> None:
    """sin(1e5 theta) near theta = 30 in float32: 64 spacings of theta are twelve periods' worth of steps too long."""
    model, batch = OneD("sin", x=1e5), NO_BATCH
    for theta in np.linspace(1, 60, 40, dtype=np.float32):
        posed = model.pose(np.array([theta]), batch)
        result = check(posed, SCHEMES[scheme], eps, 1e-2)
        assert result.summary["verdict"] == "inconclusive"
        assert result.weights["reason"] in (["truncation"], ["noise"])
