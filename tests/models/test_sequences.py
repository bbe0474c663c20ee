"""Models of sequences: their gradients against the complex step, and what they must not depend on."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck.bugs import BUGS
from gradcheck.errors import Meaningless
from gradcheck.experiment.sources.gaussian import Gaussian
from gradcheck.experiment.sources.sequences import Sequences
from gradcheck.experiment.sources.text import Text
from gradcheck.models import MODELS, Attention, RecurrentNet
from gradcheck.models.batch import Batch
from gradcheck.models.layers.layered import LOSSES
from gradcheck.models.sequence import OUTPUTS, TokenModel
from gradcheck.numerics.check import check
from gradcheck.numerics.schemes import SCHEMES
from gradcheck.numerics.steps import AUTO

F64 = np.dtype(np.float64)

# The condition of the sums is not bounded: a softmax or a norm that is almost flat divides by what is left of a difference.
# With parameters of standard deviation 0.5 the largest difference in 1,500 random nets was 2.2e-13 of the largest entry.
AGREES = 1e-12

recurrent = st.builds(
    RecurrentNet,
    loss_name=st.sampled_from(LOSSES),
    l2=st.sampled_from([0.0, 0.3]),
    output=st.sampled_from(OUTPUTS),
    vocabulary=st.just(7),
    embedding=st.integers(1, 4),
    cell=st.sampled_from(["rnn", "gru", "lstm"]),
    units=st.integers(1, 4),
    depth=st.integers(1, 2),
    lengths=st.booleans(),
)


@st.composite
def attention(draw: Any) -> Attention:
    heads, tied = draw(st.integers(1, 3)), draw(st.booleans())
    return Attention(
        loss_name="softmax" if tied else draw(st.sampled_from(LOSSES)),
        l2=draw(st.sampled_from([0.0, 0.3])),
        output=draw(st.sampled_from(OUTPUTS)),
        vocabulary=7,
        embedding=heads * draw(st.integers(2, 3)),
        heads=heads,
        depth=draw(st.integers(1, 2)),
        units=draw(st.integers(1, 4)),
        activation=draw(st.sampled_from(["tanh", "sigmoid", "softplus", "identity"])),
        causal=draw(st.booleans()),
        tied=tied,
    )


models = st.one_of(recurrent, attention())
sources = st.one_of(
    st.builds(
        Sequences,
        n=st.integers(1, 5),
        length=st.integers(1, 6),
        vocabulary=st.integers(2, 7),
        seed=st.integers(0, 10**6),
        outputs=st.just(2),
    ),
    st.builds(
        Text,
        n=st.integers(1, 5),
        length=st.integers(1, 6),
        vocabulary=st.integers(3, 7),
        seed=st.integers(0, 10**6),
        unit=st.sampled_from(["characters", "words"]),
        outputs=st.just(2),
    ),
)
seeds = st.integers(0, 10**6)


def posed(model: TokenModel, source: Any, seed: int, dtype: Any = F64) -> tuple[np.ndarray, Batch]:
    """Parameters and batch."""
    source = replace(source, outputs=1) if model.loss_name == "softmax" else source
    model.validate()
    source.validate()
    batch = source.batch(model.target, dtype)
    model.check_batch(batch)
    size = model.layout(batch).size
    return (0.5 * np.random.default_rng(seed).standard_normal(size)).astype(dtype), batch


def by_complex_step(model: TokenModel, theta: np.ndarray, batch: Batch) -> np.ndarray:
    return np.array([model.loss(theta + 1e-30j * e, batch).imag for e in np.eye(theta.size)]) / 1e-30


@settings(max_examples=25)
@given(models, sources, seeds)
def test_the_gradient_is_that_of_the_loss(model: TokenModel, source: Any, seed: int) -> None:
    """Each parameter to 1e-12 of its largest entry."""
    theta, batch = posed(model, source, seed)
    split = model.layout(batch).split
    found, expected = split(model.gradient(theta, batch)), split(by_complex_step(model, theta, batch))
    for name, value in expected.items():
        # a parameter without a path to the loss is 0 on both sides up to what rounding leaves of sums of others' size
        scale = max(np.abs(value).max(), 1e-3 * max(np.abs(other).max() for other in expected.values()))
        assert np.abs(found[name] - value).max() <= AGREES * scale, name


@settings(max_examples=10)
@given(models, sources, seeds)
def test_the_padding_has_no_gradient(model: TokenModel, source: Any, seed: int) -> None:
    """The row of token 0, unless it is an output too, and positions that are padded in all examples: exactly 0."""
    theta, batch = posed(model, source, seed)
    gradient = model.layout(batch).split(model.gradient(theta, batch))
    if not getattr(model, "tied", False):
        assert np.all(gradient["E"][0] == 0)
    if "P" in gradient:
        assert np.all(gradient["P"][(batch.X == 0).all(axis=0)] == 0)


@settings(max_examples=15)
@given(models, sources, seeds, st.integers(1, 3))
def test_more_padding_changes_nothing(model: TokenModel, source: Any, seed: int, more: int) -> None:
    """What stands in the batch behind the end of all sequences moves neither the loss nor the gradient."""
    if isinstance(model, RecurrentNet) and not model.lengths and model.output == "last":
        return  # the recurrence runs on over the padding
    theta, batch = posed(model, source, seed)
    wide = Batch(
        np.pad(batch.X, ((0, 0), (0, more))),
        batch.y if model.output == "last" else np.pad(batch.y, [(0, 0), (0, more), *[(0, 0)] * (batch.y.ndim - 2)]),
    )
    params = model.layout(batch).split(theta)
    there = model.layout(wide)
    padded = {name: np.pad(v, ((0, more), (0, 0))) if name == "P" else v for name, v in params.items()}
    wide_theta = there.join(padded)
    assert abs(model.loss(wide_theta, wide) - model.loss(theta, batch)) <= 1e-13 * (1 + abs(model.loss(theta, batch)))
    found, expected = (
        there.split(model.gradient(wide_theta, wide)),
        model.layout(batch).split(model.gradient(theta, batch)),
    )
    for name, value in expected.items():
        # sums of other lengths are made in another order
        near = found[name][: len(value)] if name == "P" else found[name]
        assert np.abs(near - value).max() <= 1e-13 * max(1.0, np.abs(value).max()), name
        assert name != "P" or np.all(found[name][len(value) :] == 0)


@settings(max_examples=15)
@given(models, seeds, st.integers(1, 4))
def test_no_output_depends_on_a_later_token(model: TokenModel, seed: int, step: int) -> None:
    model = replace(model, output="all", **({"causal": True} if isinstance(model, Attention) else {}))
    theta, batch = posed(model, Sequences(length=5, vocabulary=7, seed=seed), seed)
    other = batch.X.copy()
    later = other[:, step:]
    later[later > 0] = later[later > 0] % 6 + 1
    z = [model.built(at).forward(model.layout(at).split(theta), at.X)[0] for at in (batch, Batch(other, batch.y))]
    assert not np.array_equal(z[0][:, step:], z[1][:, step:])
    assert np.array_equal(z[0][:, :step], z[1][:, :step])


def test_an_attention_that_is_not_causal_sees_later_tokens_but_no_padded_ones() -> None:
    model = Attention(output="all", causal=False)
    theta, batch = posed(model, Sequences(), 0)
    forward = model.built(batch).forward
    params = model.layout(batch).split(theta)
    z = forward(params, batch.X)[0]
    moved = {
        **params,
        "P": params["P"] + np.eye(5, 4, -4) * 9,
    }  # the last position, where the first sequence alone is real
    real = batch.X != 0
    there = forward(moved, batch.X)[0]
    assert np.abs(there[0, 0] - z[0, 0]).max() > 1e-3
    short = ~real[:, -1]
    assert short.any()
    assert np.array_equal(there[short][real[short]], z[short][real[short]])


def test_what_is_asked_of_padding_and_of_time_can_be_broken() -> None:
    """Planted: a padding that gets a gradient, and attention that sees later tokens."""
    model = RecurrentNet(lengths=False)
    theta, batch = posed(model, Sequences(), 0)
    wrong = BUGS["embedding_padding_updated"]().gradient(model, theta, batch)
    assert np.all(model.layout(batch).split(wrong)["E"][0] != 0)
    open_ = Attention(output="all", causal=False)
    theta, batch = posed(open_, Sequences(), 0)
    other = batch.X.copy()
    other[0, -1] = other[0, -1] % 6 + 1
    z = [open_.built(batch).forward(open_.layout(batch).split(theta), X)[0] for X in (batch.X, other)]
    assert not np.array_equal(z[0][0, :-1], z[1][0, :-1])


# --- the check ----------------------------------------------------------------------------------------------------------


@settings(max_examples=2)
@given(models, sources, seeds, st.sampled_from([np.float32, np.float64]), st.sampled_from(["central", "forward"]))
def test_no_right_gradient_is_accused(model: TokenModel, source: Any, seed: int, dtype: Any, scheme: str) -> None:
    theta, batch = posed(model, source, seed, np.dtype(dtype))
    with np.errstate(all="ignore"):
        problem = model.pose(theta, batch)
        for step in (AUTO, 1e-1, 1e-4, 1e-9):
            assert check(problem, SCHEMES[scheme], step, 1e-2).summary["n_mismatch"] == 0


def test_a_complex_step_that_rounds_more_than_the_gradient_accuses_nothing() -> None:
    """A norm over two features is almost a sign: its derivative is what is left of a difference."""
    model = Attention(embedding=2)
    for seed in range(3):
        theta, batch = posed(model, Sequences(), seed)
        found = check(model.pose(2 * theta, batch), SCHEMES["complex_step"], AUTO, 1e-2).summary
        assert found["n_mismatch"] == 0


# --- refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Attention(heads=3), "model.heads=3: must divide model.embedding=4"),
        (Attention(heads=0), "model.heads=0: must be a whole number >= 1"),
        (Attention(tied=True, loss_name="sigmoid"), "model.tied=true: needs model.loss=softmax"),
        (Attention(tied=True, n_classes=3), "model.n_classes=3: must be 0 or model.vocabulary=8"),
        (Attention(activation="step"), "model.activation=step: must be one of"),
        (RecurrentNet(cell="srn"), "model.cell=srn: must be one of rnn, gru, lstm"),
        (RecurrentNet(output="first"), "model.output=first: must be one of last, all"),
        (RecurrentNet(vocabulary=1), "model.vocabulary=1: must be a whole number >= 2"),
        (RecurrentNet(units=2.5), "model.units=2.5: must be a whole number >= 1"),  # type: ignore[arg-type]
        (RecurrentNet(loss_name="hinge"), "model.loss=hinge: must be one of"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_its_key(model: TokenModel, words: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(words)) as refused:
        model.validate()
    assert "\n" not in str(refused.value)


X = np.array([[1.0, 2.0, 0.0]])


@pytest.mark.parametrize(
    ("X", "words"),
    [
        (X + 0.5, "data.X=1.5: "),
        (X - 2, "data.X=-1: "),
        (X + 9, "data.X=10: recurrent needs tokens below model.vocabulary=8; take model.vocabulary=12"),
        (X[:, ::-1], "data.X=0: token 0 is padding"),
        (np.array([[1.0, 0.0, 2.0]]), "data.X=0: token 0 is padding"),
        (np.ones((1, 3, 3)), "data: model=recurrent takes tokens"),
    ],
)
def test_examples_that_are_no_tokens_are_refused(X: np.ndarray, words: str) -> None:
    with pytest.raises((ValueError, Meaningless)) as refused:
        RecurrentNet().check_batch(Batch(X, np.array([1])))
    assert str(refused.value).startswith(words)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["recurrent", "attention"])
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("loss", LOSSES)
def test_other_data_are_refused_in_one_line(name: str, output: str, loss: str) -> None:
    model = MODELS[name](output=output, loss_name=loss)
    with pytest.raises((ValueError, Meaningless)) as refused:
        model.check_batch(Gaussian().batch(model.target, F64))
    assert str(refused.value).startswith("data.X=")
    assert "\n" not in str(refused.value)
