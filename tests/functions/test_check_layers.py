"""Where in the backward pass?  Mistakes that people make, planted in networks, are named; right networks are not accused."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from layers.activations import ReLU, Sigmoid, Tanh
from layers.attention import Embedding
from layers.base import Layer
from layers.convolution import MaxPool2d
from layers.corpus import answer
from layers.dense import Dense, Flatten
from layers.losses import SoftmaxCrossEntropy, SquaredLoss
from layers.mistakes import MISTAKES, DenseWithoutTranspose, ReLUWithoutMask, TanhWithoutSquare
from layers.nets import FAMILIES, LEAST, MOST, net_of, planted
from layers.normalization import BatchNorm, Dropout

from gradcheck import ContractError, check_layer, check_layers
from gradcheck.functions.layers.steps import FirstWrong

Array = np.ndarray
# Entries of each layer that are checked in these tests; the layers of the networks have 40 at the median.
SAMPLE = 25
PARTS = 2


def x_of(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).normal(size=shape)


# --------------------------------------------------------------------------------------------------------- the corpus


@pytest.mark.parametrize("part", range(PARTS))
def test_the_right_step_is_named_and_no_other_is_accused(part: int) -> None:
    """In 95% of the networks at least; the trial ``steps`` plants all mistakes, in many networks each."""
    numbered = [(number, mistake) for number, mistake in enumerate(MISTAKES) if number % 5 < 3]
    mine = numbered[part::PARTS]
    answers = {mistake.wrong.__name__: answer(mistake, 1000 * number, SAMPLE) for number, mistake in mine}
    missed = [name for name, given in answers.items() if not given.named]
    assert len(numbered) >= 40
    assert len(missed) <= 0.05 * len(mine), missed
    assert {name: given.accused for name, given in answers.items() if given.accused} == {}


def test_a_corpus_in_which_steps_are_missed_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer counts only if layer and gradient are right."""
    net, index = planted(MISTAKES[0], 0)
    r = check_layers(net.layers, net.x, net.loss, sample=SAMPLE)
    assert answer(MISTAKES[0], 0, SAMPLE).named
    others = {
        "other layer": FirstWrong(index + 1, net.layers[0], "input"),
        "other gradient": FirstWrong(index, None, "b"),
    }
    for first in (None, *others.values()):
        fake = SimpleNamespace(first_wrong=first, steps=r.steps)
        monkeypatch.setattr("layers.corpus.check_layers", lambda *_, fake=fake, **__: fake)
        assert not answer(MISTAKES[0], 0, SAMPLE).named


def test_the_corpus_has_the_mistakes_that_it_promises() -> None:
    assert len(MISTAKES) >= 60
    assert len({mistake.right for mistake in MISTAKES}) >= 16
    assert all(issubclass(mistake.wrong, mistake.right) for mistake in MISTAKES)


@pytest.mark.parametrize("seed", range(3000, 3000 + 2 * len(FAMILIES)))
def test_no_layer_of_a_right_network_is_accused(seed: int) -> None:
    net = net_of(seed)
    assert LEAST - 4 <= len(net.layers) <= MOST + 4
    r = check_layers(net.layers, net.x, net.loss, seed=seed, sample=SAMPLE)
    assert r.first_wrong is None, str(r)
    assert r.ok, str(r)


# -------------------------------------------------------------------------------------------------- what is wrong, and where


def dense_net(rng: np.random.Generator) -> list[Any]:
    return [Dense(3, 4, rng), Tanh(), Dense(4, 4, rng), ReLU(), Dense(4, 2, rng)]


def loss_of(rng: np.random.Generator) -> SquaredLoss:
    return SquaredLoss(rng.normal(size=(5, 2)))


@pytest.mark.parametrize("where", [0, 2, 4])
@pytest.mark.parametrize("name", ["W", "b"])
def test_a_wrong_parameter_is_named_and_breaks_nothing_below(where: int, name: str) -> None:
    rng = np.random.default_rng(where)
    net = dense_net(rng)
    right = net[where].backward

    def backward(dout: Array) -> Array:
        dx = right(dout)
        net[where].grads[name] = 1.01 * net[where].grads[name]
        return dx

    net[where].backward = backward
    r = check_layers(net, x_of(5, 3), loss_of(rng))
    assert r.first_wrong == (where, net[where], name)
    assert r.first_wrong is not None
    assert (r.first_wrong.index, r.first_wrong.layer, r.first_wrong.name) == (where, net[where], name)
    other = "b" if name == "W" else "W"
    below = "" if where == 0 else "; what is below does not depend on it"
    assert f"layers[{where}] Dense: d{other} and its input gradient are right, d{name} is wrong{below}." in str(r)


def test_a_wrong_input_gradient_breaks_what_is_below_and_accuses_nothing_there() -> None:
    rng = np.random.default_rng(3)
    net = dense_net(rng)
    net[2].__class__ = DenseWithoutTranspose
    r = check_layers(net, x_of(5, 3), loss_of(rng))
    assert r.first_wrong == (2, net[2], "input")
    words = "dW and db are right, its input gradient is wrong; everything below is wrong because of it."
    assert f"layers[2] DenseWithoutTranspose: {words}" in str(r)
    assert [step.index for step in r.steps if step.wrong] == [2]
    assert r.diagnosis is not None
    assert words in r.diagnosis


def test_the_first_of_several_mistakes_is_that_nearest_to_the_loss() -> None:
    rng = np.random.default_rng(4)
    net = dense_net(rng)
    net[1].__class__, net[3].__class__ = TanhWithoutSquare, ReLUWithoutMask
    r = check_layers(net, x_of(5, 3), loss_of(rng))
    assert r.first_wrong == (3, net[3], "input")
    assert [step.index for step in r.steps if step.wrong] == [3, 1]


def test_a_wrong_loss_is_the_first_step() -> None:
    def loss(z: Array) -> tuple[float, Array]:
        return float((z**2).sum()), z

    rng = np.random.default_rng(5)
    net = dense_net(rng)
    r = check_layers(net, x_of(5, 3), loss)
    assert r.first_wrong == (5, loss, "input")
    assert "loss: its input gradient is wrong; everything below is wrong because of it" in str(r)


def test_a_mistake_that_the_arriving_gradient_hides_is_found() -> None:
    """Behind a cross-entropy the gradients of a row add up to 0: a mean that is forgotten does not show there."""

    class Centred(Layer):
        def forward(self, x: Array) -> Array:
            return x - x.mean(axis=1, keepdims=True)

        def backward(self, dout: Array) -> Array:
            return dout.copy()

    rng = np.random.default_rng(6)
    net = [Dense(3, 4, rng), Centred()]
    r = check_layers(net, x_of(5, 3), SoftmaxCrossEntropy(np.array([0, 1, 3, 2, 0])))
    assert r.first_wrong == (1, net[1], "input")


def test_a_backward_that_is_right_for_large_gradients_alone_is_found() -> None:
    """Gradients below 0.1 are dropped: not at an upstream gradient that is drawn, but at the one that arrives."""

    class Drops(Layer):
        def forward(self, x: Array) -> Array:
            return 2 * x

        def backward(self, dout: Array) -> Array:
            return 2 * np.where(np.abs(dout) < 0.1, 0, dout)

    def loss(z: Array) -> tuple[float, Array]:
        return float((0.01 * z).sum()), np.full_like(z, 0.01)

    net = [Tanh(), Drops(), Tanh()]
    assert check_layer(net[1], x_of(4, 3)).ok
    r = check_layers(net, x_of(4, 3), loss)
    assert r.first_wrong == (1, net[1], "input")


# ------------------------------------------------------------------------------------------- wrong in the chain alone


class Overwrites(Layer):
    """Adds 1 to its input, and to what the layer below has kept: its input itself, as a view of it."""

    def forward(self, x: Array) -> Array:
        return x + 1

    def backward(self, dout: Array) -> Array:
        dout *= 2
        dout /= 2
        return dout


def test_one_object_in_two_places_is_told_what_it_overwrites() -> None:
    rng = np.random.default_rng(7)
    shared = Tanh()
    net = [Dense(3, 3, rng), shared, Dense(3, 3, rng), shared]
    r = check_layers(net, x_of(4, 3))
    assert r.first_wrong == (1, shared, "input")
    assert "Alone it is right: the same object stands in several places" in str(r)


class Stacked(Layer):
    """A dense layer that may stand in several places: it keeps a stack of inputs, and may add up its gradients."""

    def __init__(self, d: int, rng: np.random.Generator, adds: bool) -> None:
        super().__init__(W=rng.normal(size=(d, d)))
        self.kept, self.adds = [], adds
        self.grads = {"W": np.zeros((d, d))}

    def forward(self, x: Array) -> Array:
        self.kept.append(x)
        return x @ self.params["W"]

    def backward(self, dout: Array) -> Array:
        x = self.kept.pop()
        if self.adds:
            self.grads["W"] += x.T @ dout
        else:
            self.grads["W"] = x.T @ dout
        return dout @ self.params["W"].T


@pytest.mark.parametrize("adds", [True, False])
def test_gradients_of_one_object_in_two_places_must_be_added(adds: bool) -> None:
    shared = Stacked(3, np.random.default_rng(8), adds)
    r = check_layers([shared, Tanh(), shared], x_of(4, 3))
    if adds:
        assert r.ok, str(r)
    else:
        assert r.first_wrong == (0, shared, "W")
        assert "must be added" in str(r)


def test_a_layer_whose_cache_another_one_changes_is_right_alone() -> None:
    class Spoils(Layer):
        """Writes into the array that the layer below has kept, its own output."""

        def forward(self, x: Array) -> Array:
            self.kept = x
            return 3 * x

        def backward(self, dout: Array) -> Array:
            dx = 3 * dout
            self.kept *= 0.5
            return dx

    net = [Dense(3, 3, np.random.default_rng(9)), Tanh(), Spoils()]
    r = check_layers(net, x_of(4, 3))
    assert r.first_wrong == (1, net[1], "input")
    assert "Alone it is right: in the chain another layer changes what it keeps" in str(r)


# ------------------------------------------------------------------------------------------ forms of layers and losses


def affine_forward(x: Array, w: Array, b: Array) -> Any:
    return x @ w + b, (x, w)


def affine_backward(dout: Array, cache: Any) -> Any:
    x, w = cache
    return dout @ w.T, x.T @ dout, dout.sum(axis=0)


def wrong_backward(dout: Array, cache: Any) -> Any:
    dx, dw, db = affine_backward(dout, cache)
    return dx, dw, db / len(dout)


def relu_forward(x: Array) -> Any:
    return np.maximum(x, 0), x


def relu_backward(dout: Array, x: Array) -> Array:
    return dout * (x > 0)


def test_pairs_of_functions_with_their_parameters_are_layers() -> None:
    rng = np.random.default_rng(10)
    first, second = (
        {"w": rng.normal(size=(3, 4)), "b": rng.normal(size=4)},
        {"w": rng.normal(size=(4, 2)), "b": np.zeros(2)},
    )
    relu = (relu_forward, relu_backward)
    net = [(affine_forward, affine_backward, first), relu, (affine_forward, wrong_backward, second), Tanh()]
    r = check_layers(net, x_of(5, 3))
    assert r.first_wrong == (2, net[2], "b")
    assert "layers[2] affine" in str(r)
    net[2] = (affine_forward, affine_backward, second)
    assert check_layers(net, x_of(5, 3)).ok


def test_layers_may_be_a_dict_with_names() -> None:
    rng = np.random.default_rng(11)
    net = OrderedDict(first=Dense(3, 3, rng), act=TanhWithoutSquare(), last=Dense(3, 2, rng))
    r = check_layers(net, x_of(4, 3))
    assert r.first_wrong == (1, net["act"], "input")
    assert "layers['act'] TanhWithoutSquare" in str(r)


class LossLayer:
    """A loss as a layer: backward ignores what arrives, which is 1."""

    def __init__(self, target: Array, factor: float = 1.0) -> None:
        self.target, self.factor = target, factor
        self.target.flags.writeable = False

    def forward(self, z: Array) -> float:
        self.apart = z - self.target
        return float((self.apart**2).sum() / 2)

    def backward(self, dout: float = 1) -> Array:
        return self.factor * self.apart


def test_the_loss_may_be_a_layer() -> None:
    rng = np.random.default_rng(12)
    net = dense_net(rng)
    assert check_layers(net, x_of(5, 3), LossLayer(rng.normal(size=(5, 2)))).ok
    wrong = LossLayer(rng.normal(size=(5, 2)), 0.5)
    r = check_layers(net, x_of(5, 3), wrong)
    assert r.first_wrong == (5, wrong, "input")


def test_without_a_loss_an_upstream_gradient_is_drawn() -> None:
    rng = np.random.default_rng(13)
    net = dense_net(rng)
    assert check_layers(net, x_of(5, 3)).ok
    net[4].backward = lambda dout: np.zeros((5, 4))
    with pytest.raises(ContractError, match=r"layers\[4\] Dense: W, b have no gradient"):
        check_layers(net, x_of(5, 3))


def test_the_first_layer_may_make_no_gradient_of_its_input() -> None:
    class First(Dense):
        def backward(self, dout: Array) -> None:  # type: ignore[override]
            super().backward(dout)

    rng = np.random.default_rng(14)
    net = [First(3, 4, rng), Tanh()]
    r = check_layers(net, x_of(5, 3))
    assert r.ok, str(r)
    assert r.steps[-1].names == ("W", "b")
    with pytest.raises(ContractError, match=r"layers\[1\] First: .*gradient of its input"):
        check_layers([Tanh(), First(3, 4, rng)], x_of(5, 3))


def test_ties_under_a_maximum_are_no_mistake() -> None:
    """Behind a relu many entries are 0, and two equal ones are under one window: what backward chooses there is right."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        net = [ReLU(), MaxPool2d(2, 1), Flatten(), Dense(9, 2, rng)]
        x = np.round(rng.normal(size=(2, 1, 4, 4)))
        r = check_layers(net, x)
        assert r.first_wrong is None, str(r)


@pytest.mark.parametrize(
    "wrong", [ReLUWithoutMask, type("Leaky", (ReLU,), {"backward": lambda s, d: np.where(s.kept, d, 0.01 * d)})]
)
def test_a_missing_mask_is_seen_although_the_output_is_flat_there(wrong: type) -> None:
    r = check_layer(wrong(), x_of(6, 4))
    dead = {tuple(p) for p in np.argwhere(x_of(6, 4) <= 0)}
    assert {tuple(p) for p, v in zip(r.table["position"], r.table["verdict"], strict=True) if v == "mismatch"} == dead


def test_a_missing_mask_is_seen_where_everything_is_masked() -> None:
    r = check_layer(ReLUWithoutMask(), -np.abs(x_of(3, 2)))
    assert r.count("mismatch") == 6, str(r)


def test_a_layer_of_few_digits_is_not_accused_of_a_missing_mask() -> None:
    """The output has steps of 1e-3: flat in between, although its slope is right."""

    class Coarse(Layer):
        def forward(self, x: Array) -> Array:
            self.kept = x
            return np.round(x**2, 3)

        def backward(self, dout: Array) -> Array:
            return 2 * self.kept * dout

    for seed in range(5):
        rng = np.random.default_rng(seed)
        for x in (rng.normal(size=(4, 3)), 1e-3 * rng.normal(size=3)):
            assert check_layer(Coarse(), x, seed=seed).count("mismatch") == 0


# -------------------------------------------------------------------------------------------------- what comes back


def test_the_outcome_has_all_numbers_and_words() -> None:
    rng = np.random.default_rng(15)
    net = dense_net(rng)
    right = check_layers(net, x_of(5, 3), loss_of(rng))
    assert bool(right)
    assert (right.verdict, right.diagnosis, right.diagnosis_kind, right.first_wrong) == ("match", None, None, None)
    assert right.judged == 1
    assert right.resolution < 1e-4
    assert str(right).startswith("MATCH  all 6 steps of the backward pass agree; a relative error above")
    assert [step.index for step in right.steps] == [5, 4, 3, 2, 1, 0]
    net[1].__class__ = TanhWithoutSquare
    wrong = check_layers(net, x_of(5, 3), loss_of(rng))
    assert not wrong
    assert wrong.verdict == "mismatch"
    frame = wrong.errors
    assert frame.columns[0] == "layer"
    assert {"param", "analytic", "numeric", "bound"} <= set(frame.columns)
    assert set(frame.query("verdict == 'mismatch'").layer) == {1}
    assert {"truncation", "resolution"} <= set(wrong.to_frame(full=True).columns)
    assert set(wrong.worst(2).layer) == {1}
    assert "check each layer" not in str(wrong)
    assert wrong.nfev == sum(step.outcome.nfev for step in wrong.steps if step.outcome is not None)
    html = wrong._repr_html_()
    assert "layers[1] TanhWithoutSquare" in html
    assert "<script" not in html


def test_a_layer_that_draws_is_said_and_drawn_the_same_everywhere() -> None:
    rng = np.random.default_rng(16)
    net = [
        Dense(3, 4, rng),
        Dropout(0.5, np.random.default_rng(1)),
        Dense(4, 4, rng),
        Dropout(0.5, np.random.default_rng(2)),
    ]
    r = check_layers(net, x_of(5, 3))
    assert r.ok, str(r)
    assert [note.partition(":")[0] for note in r.notes] == ["layers[1] Dropout", "layers[3] Dropout"]


def state(layers: list[Any]) -> list[Any]:
    return [
        {
            key: (id(v), v.tobytes() if isinstance(v, np.ndarray) else repr(v))
            for key, v in (vars(one) | one.params).items()
        }
        for one in layers
    ]


def test_the_layers_are_left_as_they_were() -> None:
    rng = np.random.default_rng(17)
    net = [Dense(3, 4, rng), BatchNorm(4, rng), Sigmoid(), Dropout(0.5, np.random.default_rng(3)), Dense(4, 2, rng)]
    x = x_of(5, 3)
    out = x
    for layer in net:
        out = layer.forward(out)
    before, given = state(net), x.copy()
    np.random.seed(1)
    drawn = repr(np.random.get_state())
    assert check_layers(net, x, loss_of(rng)).ok
    assert state(net) == before
    assert np.array_equal(x, given)
    assert repr(np.random.get_state()) == drawn
    broken = copy.copy(net)
    broken[4] = Tanh()
    with pytest.raises(ContractError):
        check_layers(broken, x, loss_of(rng))
    assert state(net) == before


# ------------------------------------------------------------------------------------------------------------ wrong uses


class Forgets(Dense):
    def backward(self, dout: Array) -> Array:
        dx = super().backward(dout)
        del self.grads["b"]
        return dx


R = np.random.default_rng(0)
X = x_of(4, 3)
WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no list": (lambda: check_layers(Tanh(), X), ContractError, "layers is a Tanh: it must be a list"),
    "an empty list": (lambda: check_layers([], X), ContractError, "layers is empty"),
    "one pair": (lambda: check_layers((np.sin, np.cos), X), ContractError, r"hand a list of layers, \[\(forward, backward\)\]"),
    "a function": (lambda: check_layers([Tanh(), np.tanh], X), ContractError, r"layers\[1\] ufunc: .*no backward"),
    "shapes that do not fit": (
        lambda: check_layers([Dense(3, 4, R), Dense(3, 2, R)], X), ContractError, r"layers\[1\] Dense: forward raises"),
    "a parameter without gradient": (
        lambda: check_layers([Tanh(), Forgets(3, 2, R)], X), ContractError, r"layers\[1\] Forgets: b has no gradient"),
    "functions without parameters": (
        lambda: check_layers([(affine_forward, affine_backward)], X), ContractError, r"layers\[0\] affine: .*params="),
    "parameters that are no dict": (
        lambda: check_layers([(affine_forward, affine_backward, 3)], X), ContractError, "functions must be .forward"),
    "a loss without gradient": (
        lambda: check_layers([Tanh()], X, lambda z: (z**2).sum()), ContractError, "loss returns one float64: .*gradient"),
    "a loss whose gradient is None": (
        lambda: check_layers([Tanh()], X, lambda z: ((z**2).sum(), None)), ContractError, "loss returns no gradient"),
    "a loss that raises": (
        lambda: check_layers([Tanh()], X, lambda z: z.nothing), ContractError, "loss raises AttributeError"),
    "a loss of another shape": (
        lambda: check_layers([Tanh()], X, lambda z: ((z**2).sum(), z.T)), ContractError, "loss: the gradient.*transpose"),
    "a loss that is a number": (
        lambda: check_layers([Tanh()], X, 3.0), ContractError, "loss is a float: it must be a function"),
    "points": (lambda: check_layers([Tanh()], X, points=3), ValueError, "call it for each x"),
    "workers": (lambda: check_layers([Tanh()], X, workers=2), ValueError, "side by side"),
    "an unknown setting": (lambda: check_layers([Tanh()], X, tolerance=1), ValueError, "no such setting"),
    "words into a dense layer": (
        lambda: check_layers([Embedding(4, 3, R), Dense(2, 2, R)], np.array([[0, 1]])), ContractError, r"layers\[1\] Dense"),
}  # fmt: skip


@pytest.mark.parametrize(("use", "kind", "words"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_use_is_refused_in_one_line_that_names_the_layer(
    use: Callable[[], Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words) as caught:
        use()
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
