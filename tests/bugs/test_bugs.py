"""The bug catalogue: every bug is wrong by exactly its formula, and nothing else."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from instances import INSTANCES, WITH_DATA, Instance

from gradcheck.bugs import BUGS
from gradcheck.bugs.attention import ATTENTION_BUGS
from gradcheck.bugs.base import BackwardBug, Bug, OutputBug, some
from gradcheck.bugs.images import IMAGE_BUGS
from gradcheck.bugs.norms import NORM_BUGS
from gradcheck.bugs.output import lower_precision
from gradcheck.bugs.recurrence import RECURRENCE_BUGS
from gradcheck.errors import Meaningless
from gradcheck.experiment.sources.gaussian import Gaussian
from gradcheck.models import MLP, MODELS, Linear, Logistic, OneD, Softmax
from gradcheck.models.batch import NO_BATCH, Batch
from gradcheck.models.dense import Dense
from gradcheck.models.interfaces import Model
from gradcheck.models.parts import Parts
from gradcheck.models.target import Binary, Classes, NoTarget, Real
from gradcheck.numerics.layout import Layout
from gradcheck.numerics.problem import Problem
from gradcheck.numerics.streams import stream

LONG = np.longdouble
Gradients = dict[str, np.ndarray]

# Entries are sums of at most 30 products that pass at most 4 layers; each rounding is at most u of the largest term,
# and the largest terms are within a factor 10 of the largest entry.  In float64 that makes 6e-14; the smallest default
# error is 1e-3 (downcast: 6e-8).
ROUNDINGS = 500


def close(found: np.ndarray, expected: np.ndarray, roundings: float = ROUNDINGS, scale: float | None = None) -> bool:
    """Whether two gradients agree up to so many roundings of the largest entry, in found's dtype."""
    largest = float(np.abs(expected).max()) if scale is None else scale
    unit = float(np.finfo(found.dtype).eps) / 2
    return found.shape == expected.shape and bool(np.all(np.abs(found - expected) <= roundings * unit * largest))


def meaningful(bug: Bug, instance: Instance) -> bool:
    batch = instance.batch()
    try:
        bug.refuse(instance.model, instance.model.layout(batch), batch)
    except Meaningless:
        return False
    return True


# --- an independent backward pass: one example at a time, in longdouble -----------------------------------------------

SLOPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tanh": lambda z: 1 / np.cosh(z) ** 2,
    "sigmoid": lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2,
    "softplus": lambda z: 1 / (1 + np.exp(-z)),
    "relu": lambda z: np.where(z > 0, LONG(1), LONG(0)),
    "identity": lambda z: np.ones_like(z),
}
VALUES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "softplus": lambda z: np.log(1 + np.exp(z)),
    "relu": lambda z: np.where(z > 0, z, LONG(0)),
    "identity": lambda z: z,
}
CURVE_SLOPES: dict[str, Callable[[Any], Any]] = {
    "linear": lambda s: LONG(1),
    "quadratic": lambda s: 2 * s,
    "cubic": lambda s: 3 * s**2,
    "exp": np.exp,
    "sin": np.cos,
    "abs": np.sign,
}


class Case:
    """A model at a point: parameters by name, and its data term by formula, with changes."""

    def __init__(self, model: Any, theta: np.ndarray, batch: Batch) -> None:
        self.model = model
        self.layout = model.layout(batch)
        self.params = {name: value.astype(LONG) for name, value in self.layout.split(theta).items()}
        self.X = batch.X.astype(LONG)
        self.n = len(batch.X)
        self.depth = sum(name.startswith("W") for name in self.params)
        if isinstance(model.target, Classes):
            # the width of the last layer, not the largest label: a stale batch may lack it
            self.Y = np.eye(self.layout.shapes[-1][-1], dtype=LONG)[batch.y]
        else:
            self.Y = batch.y.astype(LONG)

    def names(self, layer: int) -> tuple[str, str]:
        return ("W", "b") if "W" in self.params else (f"W{layer}", f"b{layer}")

    def forward(self, x: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        a, inputs, zs = x, [], []
        for layer in range(1, self.depth + 1):
            weight, bias = self.names(layer)
            inputs.append(a)
            zs.append(a @ self.params[weight] + self.params.get(bias, LONG(0)))
            a = VALUES[getattr(self.model, "activation", "identity")](zs[-1])
        return inputs, zs

    def prediction(self, z: np.ndarray) -> np.ndarray:
        if isinstance(self.model, Linear):
            return z
        if isinstance(self.model, Softmax):
            return np.exp(z) / np.exp(z).sum()
        return 1 / (1 + np.exp(-z))

    def factor(self) -> Any:
        """Of the loss's derivative: 2 for a plain square; over n for a mean."""
        reduction = getattr(self.model, "reduction", "half_mean")
        return LONG(1 if reduction.startswith("half") else 2) / (self.n if reduction.endswith("mean") else 1)

    def data(
        self,
        *,
        Y: np.ndarray | None = None,
        predict: Callable[[np.ndarray], np.ndarray] | None = None,
        output_slope: bool = True,
        slope: Callable[[str, np.ndarray, np.ndarray, int], np.ndarray] | None = None,
        cut: int = 0,
        examples: Sequence[int] | None = None,
        factor: Any = None,
    ) -> Gradients:
        """The data term of each parameter; one_d takes no changes."""
        if isinstance(self.model, OneD):
            x, theta = LONG(self.model.x), self.params["theta"]
            return {"theta": np.asarray(x * CURVE_SLOPES[self.model.curve](x * theta))}
        Y = self.Y if Y is None else Y
        predict = predict or self.prediction
        slope = slope or (lambda name, z, a, layer: SLOPES[name](z))
        total = {name: np.zeros_like(value) for name, value in self.params.items()}
        for i in range(self.n) if examples is None else examples:
            inputs, zs = self.forward(self.X[i])
            delta = predict(zs[-1]) - Y[i]
            if getattr(self.model, "loss_name", "") == "squared_error" and output_slope:
                o = self.prediction(zs[-1])
                delta = delta * o * (1 - o)
            for layer in range(self.depth, 0, -1):
                weight, bias = self.names(layer)
                total[weight] += np.multiply.outer(inputs[layer - 1], delta)
                if bias in total:
                    total[bias] += delta
                if layer > 1:
                    delta = (
                        self.params[weight]
                        @ delta
                        * slope(self.model.activation, zs[layer - 2], inputs[layer - 1], layer - 1)
                    )
                    if layer - 1 <= cut:
                        delta = np.zeros_like(delta)
        factor = self.factor() if factor is None else factor
        return {name: value * factor for name, value in total.items()}

    def penalty(self, times: float = 1, biased: bool = False) -> Gradients:
        return {
            name: LONG(self.model.l2) * (times if name[0] != "b" else float(biased)) * value
            for name, value in self.params.items()
        }

    def flat(self, *terms: Gradients) -> np.ndarray:
        return np.concatenate([sum(term[name] for term in terms).reshape(-1) for name in self.layout.names])

    def right(self) -> np.ndarray:
        return self.flat(self.data(), self.penalty())


def _each(change: Callable[[str, np.ndarray], np.ndarray]) -> Callable[[Case], np.ndarray]:
    return lambda c: c.flat({name: change(name, value) for name, value in c.data().items()}, c.penalty())


def _transpose(name: str, value: np.ndarray) -> np.ndarray:
    if name[0] == "b":
        return value
    out = np.empty_like(value)
    # entry number k of the transposed matrix, counted row by row, is entry (k mod rows, k div rows) of the matrix
    for k in range(value.size):
        out[k // value.shape[1], k % value.shape[1]] = value[k % value.shape[0], k // value.shape[0]]
    return out


def _mean_slips(power: int) -> Callable[[Case], np.ndarray]:
    return lambda c: c.flat(c.data(factor=c.factor() * LONG(c.n) ** power), c.penalty())


def _course_pair(name: str, value: np.ndarray) -> np.ndarray:
    return value * {"W2": 2, "b1": 4}.get(name, 1)


def _broadcast(c: Case) -> np.ndarray:
    if isinstance(c.model, Softmax):
        total = sum(np.exp(c.forward(x)[1][-1]).sum() for x in c.X)
        return c.flat(c.data(predict=lambda z: np.exp(z) / total), c.penalty())
    mean = [sum(c.Y[i, k] for i in range(c.n)) / c.n for k in range(c.Y.shape[1])]
    return c.flat(c.data(Y=np.array([mean] * c.n)), c.penalty())


def _stale(c: Case) -> np.ndarray:
    rows = stream(0, "bug").integers(c.n, size=c.n)
    return c.flat(c.data(examples=[int(i) for i in rows]), c.penalty())


def _first_zero(c: Case) -> np.ndarray:
    wrong = c.right()
    wrong[: c.params[c.layout.names[0]].size] = 0
    return wrong


def _clipped(c: Case) -> np.ndarray:
    g = c.right()
    limit = max(abs(g)) / 2
    return np.array([min(max(v, -limit), limit) for v in g])


FORMULAS: dict[str, Callable[[Case], np.ndarray]] = {
    "none": Case.right,
    "sign_flip": lambda c: -c.right(),
    "scale": lambda c: c.right() * LONG(1.001),
    "zero_param": _first_zero,
    "clipped": _clipped,
    "missing_mean": _mean_slips(1),
    "double_mean": _mean_slips(-1),
    "transposed": _each(_transpose),
    "dropped_bias": _each(lambda name, value: value * (name[0] != "b")),
    "course_pair": _each(_course_pair),
    "double_count": _each(lambda name, value: 2 * value),
    "missing_l2": lambda c: c.flat(c.data()),
    "double_l2": lambda c: c.flat(c.data(), c.penalty(times=2)),
    "l2_on_bias": lambda c: c.flat(c.data(), c.penalty(biased=True)),
    "broadcast": _broadcast,
    "missing_output_derivative": lambda c: c.flat(c.data(output_slope=False), c.penalty()),
    "missing_activation_derivative": lambda c: c.flat(
        c.data(slope=lambda name, z, a, layer: np.ones_like(z)), c.penalty()
    ),
    "activation_derivative_at_output": lambda c: c.flat(
        c.data(slope=lambda name, z, a, layer: SLOPES[name](a)), c.penalty()
    ),
    "detached_layer": lambda c: c.flat(c.data(cut=len(c.model.net.hidden)), c.penalty()),
    "off_by_one": lambda c: c.flat(c.data(examples=range(c.n - 1)), c.penalty()),
    "stale_batch": _stale,
}
# what is drawn, or rounded, is tested by its properties below
DRAWN = {"zero_entry", "single_entry", "relative_noise", "additive_noise", "downcast", "label_flip"}


# test_layer_bugs and test_sequence_bugs have formulas of their own for the mistakes of single layers
OF_LAYERS = {bug.name for bug in (*IMAGE_BUGS, *NORM_BUGS, *RECURRENCE_BUGS, *ATTENTION_BUGS)}


def test_every_bug_has_a_formula_or_a_test_of_its_own() -> None:
    assert set(FORMULAS) | DRAWN | OF_LAYERS == set(BUGS)
    assert not set(FORMULAS) & DRAWN
    assert not set(FORMULAS) & OF_LAYERS


@pytest.mark.parametrize("name", FORMULAS)
def test_the_wrong_gradient_is_its_formula(name: str) -> None:
    instances = [instance for instance in INSTANCES if meaningful(BUGS[name](), instance)]
    assert instances
    other = []
    for instance in instances:
        theta, batch = instance.theta(), instance.batch()
        found = BUGS[name]().gradient(instance.model, theta, batch)
        expected = FORMULAS[name](Case(instance.model, theta, batch))
        # the terms of which the correct gradient is made bound the rounding where a bug cancels most of them
        largest = max(float(np.abs(g).max()) for g in (expected, Case(instance.model, theta, batch).right()))
        if not close(found, expected, scale=largest if name != "double_mean" else None):
            other.append(instance.name)
    assert other == []


@pytest.mark.parametrize("name", [name for name in FORMULAS if name != "none"])
def test_the_formula_check_notices_a_correct_gradient(name: str) -> None:
    caught = 0
    for instance in INSTANCES:
        if meaningful(BUGS[name](), instance):
            theta, batch = instance.theta(), instance.batch()
            caught += not close(
                instance.model.gradient(theta, batch), FORMULAS[name](Case(instance.model, theta, batch))
            )
    assert caught > 0


def test_course_pair_gives_the_published_difference() -> None:
    draw = np.random.RandomState(1)
    columns = draw.randn(4, 3)
    shapes = [(5, 4), (5, 1), (3, 5), (3, 1), (1, 3), (1, 1)]
    W1, b1, W2, b2, W3, b3 = (draw.randn(*shape).T for shape in shapes)
    model, batch = MLP([5, 3], "relu"), Batch(columns.T, np.array([[1.0], [1], [0]]))
    theta = np.concatenate([value.reshape(-1) for value in (W1, b1, W2, b2, W3, b3)])
    right = model.gradient(theta, batch)
    wrong = BUGS["course_pair"]().gradient(model, theta, batch)
    difference = np.linalg.norm(wrong - right) / (np.linalg.norm(wrong) + np.linalg.norm(right))
    # the published one is against finite differences, which are themselves off by 1.2e-7
    assert difference == pytest.approx(0.2850931567761623, abs=1.2e-7)


# --- what is drawn, and what is rounded -------------------------------------------------------------------------------


@pytest.mark.parametrize("instance", INSTANCES, ids=str)
@pytest.mark.parametrize("seed", [0, 1, 7])
def test_one_entry_bugs_change_one_entry(instance: Instance, seed: int) -> None:
    theta, batch = instance.theta(), instance.batch()
    g = instance.model.gradient(theta, batch)
    wrong = BUGS["single_entry"](magnitude=0.5, seed=seed).gradient(instance.model, theta, batch)
    (where,) = np.flatnonzero(wrong != g)
    assert close(wrong[where : where + 1], g[where : where + 1] + 0.5 * np.abs(g).max())
    zeroed = BUGS["zero_entry"](seed=seed).gradient(instance.model, theta, batch)
    assert zeroed[where] == 0  # equal seeds draw the same entry
    assert np.array_equal(np.delete(zeroed, where), np.delete(g, where))


def test_every_entry_is_drawn_by_some_seed() -> None:
    layout, rng = Layout(("a", "b"), ((2,), (3,))), stream(0, "bug")
    g = np.arange(1.0, 6)
    drawn = {
        int(np.argmin(BUGS["zero_entry"](seed=s).corrupt(g, layout, BUGS["zero_entry"](seed=s).random())))
        for s in range(60)
    }
    assert drawn == {0, 1, 2, 3, 4}
    inside = {int(np.argmin(BUGS["zero_entry"](param="b").corrupt(g, layout, rng))) for _ in range(60)}
    assert inside == {2, 3, 4}


@pytest.mark.parametrize("name", ["relative_noise", "additive_noise"])
@pytest.mark.parametrize("instance", INSTANCES, ids=str)
def test_noise_is_standard_normal_in_units_of_its_magnitude(name: str, instance: Instance) -> None:
    theta, batch = instance.theta(), instance.batch()
    g = instance.model.gradient(theta, batch)
    wrong = BUGS[name](magnitude=0.01, fraction=1.0, seed=3).gradient(instance.model, theta, batch)
    unit = g if name == "relative_noise" else np.sqrt((g**2).sum() / g.size)
    noise = 0.01 * stream(3, "bug").standard_normal(g.size)
    assert close(wrong, g + noise * unit)


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.25, 0.5, 0.99, 1.0])
def test_a_fraction_of_the_entries_is_hit(fraction: float) -> None:
    layout, g = Layout(("a", "b"), ((20,), (80,))), np.linspace(1, 2, 100)
    for name in ("relative_noise", "additive_noise"):
        bug = BUGS[name](magnitude=0.1, fraction=fraction)
        assert np.count_nonzero(bug.corrupt(g, layout, bug.random()) != g) == round(100 * fraction)
        bug = BUGS[name](param="a", magnitude=0.1, fraction=fraction)
        changed = np.flatnonzero(bug.corrupt(g, layout, bug.random()) != g)
        assert len(changed) == max(1, round(20 * fraction))
        assert changed.max() < 20


def test_noise_has_the_moments_of_a_normal_distribution() -> None:
    n = 40_000
    g = np.ones(n)
    bug = BUGS["additive_noise"](magnitude=0.1, fraction=1.0)
    noise = (bug.corrupt(g, Layout(("x",), ((n,),)), bug.random()) - g) / 0.1
    # standard errors 1/sqrt(n), 1/sqrt(2 n), sqrt(24/n): five of them
    assert abs(noise.mean()) < 5 / np.sqrt(n)
    assert abs(noise.std() - 1) < 5 / np.sqrt(2 * n)
    assert abs((noise**4).mean() - 3) < 5 * np.sqrt(96 / n)


def test_additive_noise_keeps_its_relative_size_at_every_scale() -> None:
    layout, g = Layout(("x",), ((5,),)), np.array([1.0, -2, 0, 3, 0.5])
    for dtype, scale in [(np.float32, 1e-30), (np.float32, 1e30), (np.float64, 1e-300), (np.float64, 1e200)]:
        bug = BUGS["additive_noise"]()
        small = bug.corrupt((g * scale).astype(dtype), layout, bug.random()) / dtype(scale)
        assert close(small, bug.corrupt(g, layout, bug.random()).astype(dtype))


@pytest.mark.parametrize("count", [1, 2, 7, 100])
@pytest.mark.parametrize("fraction", [1e-9, 0.1, 0.5, 0.9, 1.0])
def test_some_draws_different_indices_in_order(count: int, fraction: float) -> None:
    drawn = some(np.random.default_rng(0), count, fraction)
    assert len(drawn) == max(1, round(count * fraction))
    assert np.all(np.diff(drawn) > 0)
    assert drawn.min() >= 0
    assert drawn.max() < count


@pytest.mark.parametrize("dtype", [np.longdouble, np.float64, np.float32])
def test_downcast_rounds_to_the_next_lower_precision(dtype: Any) -> None:
    layout = Layout(("a", "b"), ((2,), (2,)))
    g = np.array([1 / 3, -np.pi, 1e-3, 2.0], dtype)
    lower = {np.longdouble: np.float64, np.float64: np.float32, np.float32: np.float16}[dtype]
    if np.finfo(np.longdouble).nmant == np.finfo(np.float64).nmant and dtype is np.longdouble:
        lower = np.float32
    assert lower_precision(np.dtype(dtype)) == lower
    for bug, changed in [
        (BUGS["downcast"](), [0, 1, 2, 3]),
        (BUGS["downcast"](param="a"), [0, 1]),
        (BUGS["downcast"](param="b", index=0), [2]),
        (BUGS["downcast"](index=1), [1]),
    ]:
        expected = [lower(v) if i in changed else v for i, v in enumerate(g)]
        wrong = bug.corrupt(g, layout, bug.random())
        assert wrong.dtype == g.dtype
        assert np.array_equal(wrong, np.array(expected, dtype))


def test_downcast_overflows_as_the_lower_precision_does() -> None:
    bug = BUGS["downcast"]()
    with np.errstate(all="raise"):
        wrong = bug.corrupt(np.array([1e6, -1e6, 1e-9], np.float32), Layout(("x",), ((3,),)), bug.random())
    assert np.array_equal(wrong, [np.inf, -np.inf, 0])


FLIPPABLE = [i for i in WITH_DATA if not isinstance(i.model.target, Real)]


@pytest.mark.parametrize("instance", FLIPPABLE, ids=str)
@pytest.mark.parametrize("seed", [0, 5])
def test_one_flipped_label_is_one_of_the_possible_ones(instance: Instance, seed: int) -> None:
    theta, batch = instance.theta(), instance.batch()
    found = BUGS["label_flip"](fraction=1e-9, seed=seed).gradient(instance.model, theta, batch)
    case = Case(instance.model, theta, batch)
    matches = 0
    for i in range(case.n):
        for k in range(case.Y.shape[1]):
            flipped = case.Y.copy()
            if isinstance(instance.model.target, Binary):
                flipped[i, k] = 1 - flipped[i, k]
            elif flipped[i, k]:
                continue
            else:
                flipped[i] = np.eye(case.Y.shape[1])[k]
            matches += close(found, case.flat(case.data(Y=flipped), case.penalty()))
    assert matches == 1


@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.7, 1.0])
def test_label_flip_hits_its_fraction_of_the_labels(fraction: float) -> None:
    n = 20
    # one-hot rows and no bias: the gradient is (a_i - y_i) / n, entry by entry, with a_i = 1/2 at zero
    X, y = np.eye(n), (np.arange(n) % 2).astype(float)[:, None]
    bug = BUGS["label_flip"](fraction=fraction)
    g = bug.gradient(Logistic(bias=False), np.zeros(n), Batch(X, y))
    seen = np.rint(0.5 - n * g)
    assert np.count_nonzero(seen != y[:, 0]) == round(fraction * n)
    labels = np.arange(n) % 3
    g = bug.gradient(Softmax(bias=False), np.zeros(3 * n), Batch(X, labels)).reshape(n, 3)
    onehot = np.rint(1 / 3 - n * g)
    assert np.array_equal(onehot.sum(axis=1), np.ones(n))
    assert np.count_nonzero(onehot.argmax(axis=1) != labels) == round(fraction * n)


def test_label_flip_reaches_every_other_class() -> None:
    X, y = np.eye(1), np.array([1])
    seen = set()
    for seed in range(40):
        g = BUGS["label_flip"](fraction=1.0, seed=seed).gradient(
            Softmax(n_classes=4, bias=False), np.zeros(4), Batch(X, y)
        )
        seen.add(int(g.argmin()))
    assert seen == {0, 2, 3}


def test_stale_batch_counts_rows_of_the_same_source() -> None:
    n = 12
    X, y = np.eye(n), np.arange(1.0, n + 1)[:, None]
    bug = BUGS["stale_batch"]()
    # r = -y at zero: entry i of X'^T r' is minus y_i times how often row i was drawn
    times = -bug.gradient(Linear("half_sum", bias=False), np.zeros(n), Batch(X, y)) / y[:, 0]
    assert np.array_equal(times, np.rint(times))
    assert times.sum() == n
    assert times.max() > 1


def test_stale_batch_without_the_largest_label_keeps_the_shape() -> None:
    model, n = Softmax([3]), 12
    batch = Batch(np.linspace(-1, 1, 2 * n).reshape(n, 2), np.array([0, 1] * 5 + [0, 4]))
    theta = np.linspace(-1, 1, model.layout(batch).size)
    lost = 0
    for seed in range(20):
        rows = stream(seed, "bug").integers(n, size=n)
        lost += batch.y[rows].max() < 4
        found = BUGS["stale_batch"](seed=seed).gradient(model, theta, batch)
        fixed = Softmax([3], n_classes=5).gradient(theta, Batch(batch.X[rows], batch.y[rows]))
        assert np.array_equal(found, fixed)
    assert lost > 0


# --- param, index, magnitude ------------------------------------------------------------------------------------------

PARAM_BUGS = [name for name, cls in BUGS.items() if "param" in cls.uses]


@pytest.mark.parametrize("name", PARAM_BUGS)
def test_param_restricts_the_mistake(name: str) -> None:
    tried = 0
    for instance in INSTANCES:
        theta, batch = instance.theta(), instance.batch()
        layout = instance.model.layout(batch)
        right = layout.split(instance.model.gradient(theta, batch))
        for param in layout.names:
            bug = BUGS[name](param=param)
            if not meaningful(bug, instance):
                continue
            wrong = layout.split(bug.gradient(instance.model, theta, batch))
            changed = {key for key in layout.names if not np.array_equal(wrong[key], right[key])}
            # a hidden layer's mistake reaches everything below it; all others stay where they are
            below = instance.model.lacks.hidden is None and name in (
                "missing_activation_derivative",
                "activation_derivative_at_output",
                "detached_layer",
            )
            allowed = {key for key in layout.names if int(key[1:]) <= int(param[1:])} if below else {param}
            assert changed <= allowed
            tried += bool(changed)
    assert tried > 0


@pytest.mark.parametrize("name", ["missing_activation_derivative", "activation_derivative_at_output", "detached_layer"])
def test_param_picks_one_hidden_layer(name: str) -> None:
    instance = Instance("deep", MLP([4, 3, 2], "tanh", l2=0.1))
    theta, batch = instance.theta(), instance.batch()
    case = Case(instance.model, theta, batch)
    for layer in (1, 2, 3):

        def slope(g: str, z: np.ndarray, a: np.ndarray, here: int, layer: int = layer) -> np.ndarray:
            if here != layer:
                return SLOPES[g](z)
            return np.ones_like(z) if name.startswith("missing") else SLOPES[g](a)

        data = case.data(cut=layer) if name == "detached_layer" else case.data(slope=slope)
        found = BUGS[name](param=f"W{layer}").gradient(instance.model, theta, batch)
        assert close(found, case.flat(data, case.penalty()), scale=float(np.abs(case.right()).max()))


@pytest.mark.parametrize("name", ["zero_entry", "single_entry", "downcast"])
def test_index_counts_inside_param_or_over_theta(name: str) -> None:
    layout, g = Layout(("a", "b"), ((2, 2), (3,))), np.pi / np.arange(3.0, 10)
    for settings, where in [({"index": 5}, 5), ({"param": "b", "index": 1}, 5), ({"param": "a", "index": 3}, 3)]:
        bug = BUGS[name](**settings)
        wrong = bug.corrupt(g, layout, bug.random())
        assert np.flatnonzero(wrong != g).tolist() == [where]


@pytest.mark.parametrize("name", [name for name, cls in BUGS.items() if "magnitude" in cls.uses and name != "clipped"])
def test_the_error_grows_in_proportion_to_the_magnitude(name: str) -> None:
    for instance in INSTANCES:
        theta, batch = instance.theta(), instance.batch()
        g = instance.model.gradient(theta, batch)
        error = [BUGS[name](magnitude=m).gradient(instance.model, theta, batch) - g for m in (0.25, 0.5)]
        assert np.abs(error[0]).max() > 0
        assert close(error[1], 2 * error[0], scale=float(np.abs(g).max()))


def test_a_tiny_magnitude_survives_in_longdouble() -> None:
    if np.finfo(np.longdouble).nmant <= np.finfo(np.float64).nmant:
        pytest.skip("longdouble is float64 here")
    g = np.array([1, 3], np.longdouble)
    bug = BUGS["scale"](magnitude=2.0**-60)
    assert np.array_equal(bug.corrupt(g, Layout(("x",), ((2,),)), bug.random()) - g, g * np.longdouble(2.0**-60))


# --- values in, values out --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("name", BUGS)
def test_nothing_is_changed_in_place_and_the_dtype_is_kept(
    name: str, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    join = Layout.join

    def same_dtype_join(self: Layout, values: Any, to: Any = None) -> np.ndarray:
        # a model casts its gradient at the end, which would hide a step in another precision
        assert {value.dtype for value in values.values()} == {np.dtype(dtype)}
        return join(self, values, to)

    for instance in INSTANCES:
        if not meaningful(BUGS[name](), instance):
            continue
        theta, batch = instance.theta(dtype), instance.batch(dtype)
        for array in (theta, batch.X, batch.y):
            array.flags.writeable = False  # a write in place raises
        kept = [array.copy() for array in (theta, batch.X, batch.y)]
        with monkeypatch.context() as patch:
            patch.setattr(Layout, "join", same_dtype_join)
            wrong = BUGS[name]().gradient(instance.model, theta, batch)
        assert wrong.dtype == theta.dtype
        assert wrong.shape == theta.shape
        assert all(np.array_equal(a, b) for a, b in zip((theta, batch.X, batch.y), kept, strict=True))
        if name not in ("downcast", "none") and dtype is not np.float64:
            double = BUGS[name]().gradient(instance.model, instance.theta(), instance.batch())
            coarse = np.result_type(np.float32 if dtype is np.float32 else np.float64)
            assert close(wrong.astype(coarse), double), instance


@pytest.mark.parametrize("name", [name for name, cls in BUGS.items() if issubclass(cls, OutputBug)])
def test_output_bugs_leave_the_correct_gradient_alone(name: str) -> None:
    g = np.array([1 / 3, -2 / 3, 0.7])
    g.flags.writeable = False
    bug = BUGS[name]()
    wrong = bug.corrupt(g, Layout(("x",), ((3,),)), bug.random())
    assert not np.shares_memory(wrong, g)
    assert np.array_equal(wrong, g) == (name == "none")


@pytest.mark.parametrize("name", BUGS)
def test_equal_settings_give_equal_gradients_wherever_they_are_computed(name: str) -> None:
    bug = BUGS[name](seed=4)
    elsewhere = pickle.loads(pickle.dumps(bug))
    assert elsewhere == bug == BUGS[name](seed=4)
    for instance in INSTANCES:
        if meaningful(bug, instance):
            theta, batch = instance.theta(), instance.batch()
            first = bug.gradient(instance.model, theta, batch)
            assert np.array_equal(first, bug.gradient(instance.model, theta, batch))
            assert np.array_equal(first, elsewhere.gradient(instance.model, theta, batch))


RANDOM = {"zero_entry", "single_entry", "relative_noise", "additive_noise", "label_flip", "stale_batch"}


@pytest.mark.parametrize("name", BUGS)
def test_the_seed_moves_bugs_with_chance_only(name: str) -> None:
    instance = Instance("net", MLP([4], "tanh", "squared_error", l2=0.1), n=40, outputs=2)
    theta, batch = instance.theta(), instance.batch()
    gradients = [BUGS[name](seed=seed).gradient(instance.model, theta, batch) for seed in range(4)]
    same = all(np.array_equal(gradients[0], g) for g in gradients[1:])
    assert same == (name not in RANDOM)


def test_bugs_draw_from_no_global_state() -> None:
    instance = Instance("net", MLP([4]))
    theta, batch = instance.theta(), instance.batch()
    state = np.random.get_state()[1].copy()
    for name in RANDOM:
        BUGS[name]().gradient(instance.model, theta, batch)
    assert np.array_equal(state, np.random.get_state()[1])


# --- a model of which only loss and gradient are known ----------------------------------------------------------------


class Opaque(Model):
    """f = sum(A**2) + 3 c: a gradient given whole, as a user's own function is."""

    name = "opaque"
    target = NoTarget()

    def validate(self) -> None:
        """There are no settings."""

    def layout(self, batch: Batch) -> Layout:
        return Layout(("A", "c"), ((2, 2), ()))

    def gradient(self, theta: np.ndarray, batch: Batch) -> np.ndarray:
        return np.append(2 * theta[:4], theta.dtype.type(3))

    def loss(self, theta: np.ndarray, batch: Batch) -> np.ndarray:
        return (theta[:4] ** 2).sum() + 3 * theta[4]

    def pose(self, theta: np.ndarray, batch: Batch) -> Problem:
        raise NotImplementedError


@pytest.mark.parametrize("name", BUGS)
def test_output_bugs_need_nothing_but_a_gradient_and_a_layout(name: str) -> None:
    model, theta = Opaque(), np.array([0.1, -0.7, 0.3, 2 / 3, 1])
    bug = BUGS[name]()
    if issubclass(BUGS[name], OutputBug):
        bug.refuse(model, model.layout(NO_BATCH), NO_BATCH)
        wrong = bug.gradient(model, theta, NO_BATCH)
        assert np.array_equal(wrong, model.gradient(theta, NO_BATCH)) == (name == "none")
    else:
        with pytest.raises(Meaningless, match=f"bug={name}: opaque "):
            bug.refuse(model, model.layout(NO_BATCH), NO_BATCH)


# --- refusals ---------------------------------------------------------------------------------------------------------

SQUARED = "(mlp with model.loss=squared_error has)"
REFUSED: list[tuple[str, dict[str, Any], Any, str]] = [
    (
        "sign_flip",
        {"magnitude": 0.1},
        Logistic(),
        "bug.magnitude=0.1: sign_flip has no such setting (it uses bug.param)",
    ),
    ("missing_mean", {"param": "W"}, Logistic(), "bug.param=W: missing_mean has no such setting (it has none)"),
    ("none", {"fraction": 0.5}, Logistic(), "bug.fraction=0.5: none has no such setting (it has none)"),
    ("scale", {"index": 0}, Logistic(), "bug.index=0: scale has no such setting (it uses bug.param, bug.magnitude)"),
    (
        "label_flip",
        {"magnitude": 1.0},
        Logistic(),
        "bug.magnitude=1.0: label_flip has no such setting (it uses bug.fraction)",
    ),
    (
        "missing_mean",
        {},
        Linear("sum"),
        "bug=missing_mean: linear with model.reduction=sum has no mean over the examples",
    ),
    (
        "double_mean",
        {},
        Linear("half_sum"),
        "bug=double_mean: linear with model.reduction=half_sum has no mean over the examples",
    ),
    ("missing_mean", {}, OneD(), "bug=missing_mean: one_d has no mean over examples"),
    ("double_mean", {}, OneD(), "bug=double_mean: one_d has no mean over examples"),
    ("transposed", {}, OneD(), "bug=transposed: one_d has neither examples nor weight matrices"),
    ("off_by_one", {}, OneD(), "bug=off_by_one: one_d has neither examples nor weight matrices"),
    ("stale_batch", {}, OneD(), "bug=stale_batch: one_d has neither examples nor weight matrices"),
    ("broadcast", {}, OneD(), "bug=broadcast: one_d has neither examples nor weight matrices"),
    ("label_flip", {}, OneD(), "bug=label_flip: one_d has neither examples nor weight matrices"),
    ("label_flip", {}, Linear(), "bug=label_flip: linear has real targets, which cannot be flipped"),
    ("dropped_bias", {}, OneD(), "bug=dropped_bias: one_d has no bias"),
    *(
        (bug, {}, model(bias=False), f"bug={bug}: {name} has no bias (model.bias=false)")
        for bug in ("dropped_bias", "l2_on_bias")
        for name, model in MODELS.items()
        if issubclass(model, Dense)
    ),
    ("course_pair", {}, MLP([3], bias=False), "bug=course_pair: mlp has no bias (model.bias=false)"),
    ("course_pair", {}, MLP([]), "bug=course_pair: mlp has no second layer"),
    ("course_pair", {}, Logistic(), "bug=course_pair: logistic has no second layer"),
    *(
        (bug, {}, model, f"bug={bug}: {words}")
        for bug in ("missing_activation_derivative", "activation_derivative_at_output", "detached_layer")
        for model, words in [
            (OneD(), "one_d has no hidden layer"),
            (Linear(), "linear has no hidden layer"),
            (Logistic(), "logistic has no hidden layer"),
            (MLP([]), "mlp has no hidden layer (model.layers=[])"),
            (Softmax(), "softmax has no hidden layer (model.layers=[])"),
        ]
    ),
    *(
        (
            "missing_output_derivative",
            {},
            model,
            f"bug=missing_output_derivative: {name} has no output derivative to forget {SQUARED}",
        )
        for name, model in [("mlp", MLP()), ("logistic", Logistic()), ("softmax", Softmax()), ("one_d", OneD())]
    ),
    ("sign_flip", {"param": "V"}, MLP([3]), "bug.param=V: must be one of W1, b1, W2, b2 (sign_flip in mlp), or null"),
    ("zero_param", {"param": "W1"}, Logistic(), "bug.param=W1: must be one of W, b (zero_param in logistic), or null"),
    ("dropped_bias", {"param": "W1"}, MLP([3]), "bug.param=W1: must be one of b1, b2 (dropped_bias in mlp), or null"),
    ("missing_l2", {"param": "b"}, Linear(), "bug.param=b: must be one of W (missing_l2 in linear), or null"),
    ("missing_l2", {"param": "W"}, OneD(), "bug.param=W: must be one of theta (missing_l2 in one_d), or null"),
    ("l2_on_bias", {"param": "W"}, Linear(), "bug.param=W: must be one of b (l2_on_bias in linear), or null"),
    ("transposed", {"param": "b"}, Linear(), "bug.param=b: must be one of W (transposed in linear), or null"),
    (
        "detached_layer",
        {"param": "W3"},
        MLP([4, 3]),
        "bug.param=W3: must be one of W1, W2 (detached_layer in mlp), or null",
    ),
    ("zero_entry", {"index": 6}, Linear(), "bug.index=6: must be from 0 to 5, theta of linear has 6 entries"),
    ("zero_entry", {"param": "b", "index": 1}, Linear(), "bug.index=1: must be from 0 to 0, b has 1 entries"),
    ("single_entry", {"param": "W", "index": 5}, Linear(), "bug.index=5: must be from 0 to 4, W has 5 entries"),
    ("downcast", {"index": 1}, OneD(), "bug.index=1: must be from 0 to 0, theta of one_d has 1 entries"),
]


@pytest.mark.parametrize(("name", "settings", "model", "message"), REFUSED)
def test_what_has_no_meaning_is_refused_in_one_line(
    name: str, settings: dict[str, Any], model: Any, message: str
) -> None:
    batch = NO_BATCH if isinstance(model.target, NoTarget) else Gaussian(n=6, d=5).batch(model.target, np.dtype(float))
    bug = BUGS[name](**settings)
    bug.validate()
    with pytest.raises(Meaningless) as caught:
        bug.refuse(model, model.layout(batch), batch)
    assert str(caught.value) == message


@pytest.mark.parametrize(("name", "settings", "model", "message"), [r for r in REFUSED if r[3].startswith("bug=")])
def test_what_the_model_lacks_is_known_without_data(
    name: str, settings: dict[str, Any], model: Any, message: str
) -> None:
    with pytest.raises(Meaningless) as caught:
        BUGS[name](**settings).refuse_model(model)
    assert str(caught.value) == message


def test_labels_other_than_0_and_1_cannot_be_flipped() -> None:
    model = MLP([2], loss_name="squared_error")
    batch = Batch(np.ones((2, 2)), np.array([[0.01], [0.99]]))
    with pytest.raises(Meaningless) as caught:
        BUGS["label_flip"]().refuse(model, model.layout(batch), batch)
    assert str(caught.value) == "bug=label_flip: data.y=0.01 cannot be flipped, targets must be 0 or 1"


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("scale", {"magnitude": 0.0}, "bug.magnitude=0.0: must be a finite number other than 0"),
        ("scale", {"magnitude": float("nan")}, "bug.magnitude=nan: must be a finite number other than 0"),
        ("scale", {"magnitude": float("inf")}, "bug.magnitude=inf: must be a finite number other than 0"),
        ("scale", {"magnitude": True}, "bug.magnitude=True: must be a finite number other than 0"),
        ("scale", {"magnitude": "1"}, "bug.magnitude=1: must be a finite number other than 0"),
        ("scale", {"magnitude": None}, "bug.magnitude=null: scale needs a finite number other than 0"),
        ("clipped", {"magnitude": -1.0}, "bug.magnitude=-1.0: must be a finite number > 0"),
        ("clipped", {"magnitude": None}, "bug.magnitude=null: clipped needs a finite number > 0"),
        ("relative_noise", {"magnitude": -1.0}, "bug.magnitude=-1.0: must be a finite number > 0"),
        ("relative_noise", {"fraction": 0.0}, "bug.fraction=0.0: must be a number in (0, 1]"),
        ("relative_noise", {"fraction": 1.5}, "bug.fraction=1.5: must be a number in (0, 1]"),
        ("relative_noise", {"fraction": float("nan")}, "bug.fraction=nan: must be a number in (0, 1]"),
        ("label_flip", {"fraction": None}, "bug.fraction=null: label_flip needs a number in (0, 1]"),
        ("zero_entry", {"index": -1}, "bug.index=-1: must be a whole number >= 0 or null"),
        ("zero_entry", {"index": 1.5}, "bug.index=1.5: must be a whole number >= 0 or null"),
        ("zero_entry", {"index": True}, "bug.index=True: must be a whole number >= 0 or null"),
        ("sign_flip", {"param": ""}, "bug.param=: must be the name of a parameter, such as W1, or null"),
        ("sign_flip", {"param": 1}, "bug.param=1: must be the name of a parameter, such as W1, or null"),
        ("zero_entry", {"seed": -1}, "bug.seed=-1: must be an integer >= 0"),
        ("zero_entry", {"seed": 0.5}, "bug.seed=0.5: must be an integer >= 0"),
    ],
)
def test_wrong_values_are_refused_whatever_the_model(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="bug") as caught:
        BUGS[name](**settings).validate()
    assert str(caught.value) == message
    assert not isinstance(caught.value, Meaningless)


@pytest.mark.parametrize("name", BUGS)
def test_a_setting_that_is_not_used_is_refused(name: str) -> None:
    given = {"param": "W1", "index": 0, "magnitude": 0.5, "fraction": 0.5}
    for key, value in given.items():
        bug = BUGS[name](**{key: value})
        if key in bug.uses:
            bug.validate()
        else:
            with pytest.raises(Meaningless, match=rf"^bug\.{key}=.*: {name} has no such setting"):
                bug.refuse_model(MLP([3], loss_name="squared_error"))


def test_backward_bugs_override_a_step() -> None:
    steps = {name for name in dir(Parts) if not name.startswith("_")} | {"steps"}
    for name, cls in BUGS.items():
        if issubclass(cls, BackwardBug):
            own = cls.__mro__[: cls.__mro__.index(BackwardBug)]
            assert any(steps & set(vars(part)) for part in own), name
