"""What the loss does not change under is said where the gradient breaks it, of layers and of random gradients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layers.drawn import batch_norm, scores
from layers.inner import INNER
from trials import diagnoses, gradients

import gradcheck
from gradcheck.numerics.diagnosis import evidence, fits, invariances, laws
from gradcheck.numerics.diagnosis.kinds import KINDS
from gradcheck.numerics.layout import Layout

Array = np.ndarray


def test_every_kind_of_a_layer_is_a_kind() -> None:
    assert {kind for mistake in INNER.values() for kind in mistake.kinds} <= set(KINDS)


# each kind once, and each sentence; all of them at many seeds are a trial
SAID = {
    "BatchNormConstantMean": "a constant is added to input along axis 0; your gradient says it does: the path through the mean",
    "BatchNormConstants": "the paths through the mean and the variance",
    "BatchNormConstantVariances": "input along axis 0 is scaled; your gradient says it does: the path through the variance",
    "BatchNormNoGamma": "(1 / gamma)",
    "SoftmaxDiagonal": "the diagonal of a softmax's derivative",
    "TiedWithoutOutput": "in more places than the gradient adds up",
    "EmbeddingUpdatesPadding": "Row 0 of E does not act on the loss",
    "DropoutRedrawn": "another one than that of the forward pass",
    "RNNCut": "input is right at the last index of axis 1",
}


@pytest.mark.parametrize("name", SAID)
def test_a_mistake_in_a_layer_is_named_and_the_words_say_which_path_is_missing(name: str) -> None:
    layer, x = INNER[name].planted(np.random.default_rng(5))
    r = gradcheck.check_layer(layer, x)
    assert r.diagnosis_kind in INNER[name].kinds
    assert SAID[name] in (r.diagnosis or "")


class Shaken:
    """A layer whose gradient is noisy in every entry."""

    def __init__(self, layer: object, rng: np.random.Generator) -> None:
        self.layer, self.rng = layer, rng

    def forward(self, x: Array) -> Array:
        found: Array = self.layer.forward(x)  # type: ignore[attr-defined]
        return found

    def backward(self, dout: Array) -> Array:
        dx: Array = self.layer.backward(dout)  # type: ignore[attr-defined]
        return dx * np.linspace(0.5, 1.5, dx.size).reshape(dx.shape)


@pytest.mark.parametrize("draw", [batch_norm, scores])
def test_the_path_is_named_only_where_the_differences_tell_it(draw: object) -> None:
    layer, x = draw(np.random.default_rng(3))  # type: ignore[operator]
    r = gradcheck.check_layer(Shaken(layer, np.random.default_rng(0)), x)
    assert r.diagnosis_kind == "shift"
    assert "look at what they share" in (r.diagnosis or "")


def evidence_of(n: Array, a: Array, layout: Layout, bound: float, theta: Array) -> evidence.Evidence:
    m = layout.size
    wrong = np.abs(a - n) > bound
    return evidence.Evidence(
        layout, a, n, np.full(m, bound), theta, 0, 0, a, np.ones(m, bool), wrong, ~wrong, 2.0**-53, None, None
    )


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(3, 6), st.sampled_from([-12, -9, -6]))
def test_a_law_holds_exactly_where_its_sums_are_zero_within_the_bounds(seed: int, k: int, m: int, digits: int) -> None:
    rng = np.random.default_rng(seed)
    layout = Layout(("x",), ((k, m),))
    g = rng.normal(size=(k, m))
    g -= g.mean(axis=1, keepdims=True)
    bound = 10.0**digits
    law = laws.Law("x along axis 1", ("x",), np.arange(k * m).reshape(k, m), scaled=False)
    a = g + rng.normal(size=(k, 1))
    good = laws.held(
        evidence_of((g + bound * rng.uniform(-1, 1, (k, m))).ravel(), a.ravel(), layout, bound, g.ravel()), law
    )
    assert good is not None
    assert good.broken.all()
    assert good.digits > k * (-digits - 2)
    off = g.copy()
    off[rng.integers(k), rng.integers(m)] += 3 * m * bound
    assert laws.held(evidence_of(off.ravel(), a.ravel(), layout, bound, g.ravel()), law) is None


@settings(max_examples=40)
@given(st.integers(0, 10**6))
def test_several_small_sums_are_no_more_evidence_than_chance_allows(seed: int) -> None:
    """Fisher's method: of sums that are uniform, a share of 10^-d has d digits or more."""
    digits = -np.log10(np.random.default_rng(seed).random((400, 4)))
    found = np.array([fits.together(row) for row in digits])
    for d in (0.3, 0.7, 1.0):
        assert abs((found >= d).mean() - 10**-d) < 5 * np.sqrt(10**-d / 400)


def test_a_gradient_that_obeys_the_law_is_not_said_to_break_it() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        truth = gradients.draw(rng, gradients.matrix(rng))
        g = truth.g.reshape(truth.layout.shapes[0])
        g = g - g.mean(axis=0)
        off = rng.normal(size=g.shape) * np.abs(g).max()
        found = truth.checked((g + off - off.mean(axis=0)).ravel(), rng, g.ravel()).diagnosis()
        assert found.kind not in {"shift", "scale"}, found.words


def test_the_count_of_planted_laws_sees_a_law_that_needs_no_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: any sum is small enough."""
    monkeypatch.setattr(laws, "NEAR", 10.0)
    monkeypatch.setattr(laws, "CLEARLY", 0.0)
    monkeypatch.setattr(invariances, "DECADES", -9.0)
    monkeypatch.setattr(laws.Held, "broken", property(lambda held: held.tested), raising=False)
    assert diagnoses.invented(60, 1)["scale"] > 10


def test_a_bias_whose_slope_happens_to_be_zero_is_no_law() -> None:
    """As of balanced labels at weights of zero: the bias alone is wrong."""
    rng = np.random.default_rng(2)
    for _ in range(30):
        truth = gradients.draw(rng, gradients.net(rng))
        at = truth.layout.slices["b2"]
        g = truth.g.copy()
        g[at] = truth.bound[at] * rng.uniform(-0.05, 0.05, at.stop - at.start)
        analytic = g.copy()
        analytic[at] += float(np.abs(g).max()) * rng.normal(size=at.stop - at.start)
        found = truth.checked(analytic, rng, g).diagnosis()
        assert found.kind == "bias", found.words
