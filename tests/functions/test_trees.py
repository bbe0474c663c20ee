"""x0 of any structure: names, kinds of leaves, frozen leaves, gradients under the names that people give them."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from structures import Fixed, Layer, Pair, array, arrays_of, leaves, mapped, nested, trees

import gradcheck
from gradcheck import ContractError, assert_gradient, check_gradient
from gradcheck.functions.trees.start import flatten, taken_apart

Array = np.ndarray


def value(x: Any) -> Any:
    """sum (k + 1) sum(sin(leaf k)) over the arrays."""
    return sum((np.sum(np.sin(leaf) * (k + 1)) for k, leaf in enumerate(arrays_of(x))), np.float64(0))


def gradient(x: Any) -> Any:
    count = iter(range(1, 99))
    return mapped(lambda leaf: np.asarray(np.cos(leaf) * next(count)) if isinstance(leaf, np.ndarray) else leaf, x)


def readable(x: Any) -> bool:
    """Whether no two leaves have the same name."""
    try:
        flatten(x)
    except ContractError as error:
        return "two keys that read alike" not in str(error)
    return True


# ------------------------------------------------------------------------------------------------------ random trees


@settings(max_examples=80, deadline=None)
@given(trees())
def test_what_is_taken_apart_is_put_together_again_to_the_bit(x: Any) -> None:
    assume(readable(x))
    parameters, theta = flatten(x)
    again = parameters.views(theta)
    assert type(again) is type(x)
    assert [type(leaf) for leaf in leaves(again)] == [type(leaf) for leaf in leaves(x)]
    for now, then in zip(leaves(again), leaves(x), strict=True):
        assert now is then or (now.dtype, now.shape, now.tobytes()) == (then.dtype, then.shape, then.tobytes())
    assert theta.size == sum(a.size for a in arrays_of(x))
    assert np.array_equal(parameters.read(x), theta)
    assert parameters.changed(again, theta) is None
    same = pickle.loads(pickle.dumps(parameters))
    assert np.array_equal(same.read(same.views(theta)), theta)


@settings(max_examples=40, deadline=None)
@given(trees(), st.integers(0, 99))
def test_a_leaf_that_is_changed_or_lost_is_seen_and_named(x: Any, seed: int) -> None:
    assume(readable(x))
    parameters, theta = flatten(x)
    made = parameters.views(theta)
    changed = [a for a in arrays_of(made) if a.size]
    assume(changed)
    which = seed % len(changed)
    changed[which][...] += 1
    named = [leaf.name for leaf in parameters.arrays if np.prod(leaf.shape)]
    assert parameters.changed(made, parameters.read(x)) == named[which]


@settings(max_examples=15, deadline=None)
@given(nested(array()), st.integers(0, 9))
def test_the_same_loss_of_a_tree_and_of_one_array_gives_the_same_numbers_to_the_bit(x: Any, seed: int) -> None:
    assume(readable(x))
    parameters, theta = flatten(x)
    assume(theta.size)
    flat = np.concatenate([np.empty(0), *(a.reshape(-1) for a in arrays_of(gradient(x)))])
    wrong = flat * np.where(np.arange(theta.size) == seed % theta.size, 1.01, 1.0)
    one = check_gradient(lambda t: value(parameters.views(t)), lambda t: wrong, theta)
    tree = check_gradient(value, lambda p: parameters.views(wrong.copy()), x)
    # scales are taken of each parameter, so that the steps of a tree of one array alone are the same
    if len(parameters.arrays) == 1:
        assert np.array_equal(one.table["numeric"], tree.table["numeric"])
        assert np.array_equal(one.table["bound"], tree.table["bound"])
    flat_dict = {leaf.name: a for leaf, a in zip(parameters.arrays, arrays_of(x), strict=True)}
    order = iter(flat_dict)
    keys = mapped(lambda _: next(order), x)

    def of_dict(p: dict[str, Array]) -> Any:
        return value(mapped(lambda key: p[key], keys))

    named = check_gradient(
        of_dict, lambda p: dict(zip(p, arrays_of(parameters.views(wrong.copy())), strict=True)), flat_dict
    )
    for column in ("numeric", "bound", "analytic", "flat_index"):
        assert np.array_equal(named.table[column], tree.table[column]), column
    assert (named.table["param"], named.table["verdict"]) == (tree.table["param"], tree.table["verdict"])
    assert tree.table["verdict"].count("mismatch") == 1
    assert tree.table["verdict"].index("mismatch") == seed % theta.size


# ------------------------------------------------------------------------------------------------------------- names


def test_leaves_are_named_by_their_path() -> None:
    x0 = {
        "layers": [{"W": np.ones((2, 2)), "b": np.ones(2)}, {"W": np.ones((2, 1))}],
        "enc": {"out": Pair(np.ones(2), (np.ones(1), np.array(2.0)))},
        "s": 0.5,
    }
    parameters, _ = flatten(x0)
    assert parameters.layout.names == (
        "layers[0].W", "layers[0].b", "layers[1].W", "enc.out.W", "enc.out.b[0]", "enc.out.b[1]", "s",
    )  # fmt: skip
    assert flatten([[np.ones(1), np.ones(2)], [np.ones(3)]])[0].layout.names == ("x0[0]", "x0[1]", "x1[0]")
    assert flatten([{"W": np.ones(1)}, {"W": np.ones(2)}])[0].layout.names == ("x0.W", "x1.W")
    assert flatten(np.ones(2))[0].layout.names == ("x",)
    outcome = check_gradient(value, gradient, x0 | {"s": np.array(0.5)})
    assert outcome.entry(3) == "layers[0].W[1,1]"
    assert outcome.table["flat_index"].tolist() == list(range(13))


def test_a_gradient_of_a_namedtuple_may_be_a_plain_tuple() -> None:
    x0 = Pair(1.5, [Pair(np.ones(2), 0.5)])
    flat = check_gradient(lambda p: p.W**2 * p.b, lambda p: (2 * p.W * p.b, p.W**2), Pair(2.0, 3.0))
    assert flat.verdict == "match"

    def fun(p: Any) -> Any:
        return p.W**2 + np.exp(p.b[0].W).sum() + p.b[0].b ** 3

    for jac in (
        lambda p: (2 * p.W, [(np.exp(p.b[0].W), 3 * p.b[0].b ** 2)]),
        lambda p: Pair(2 * p.W, ([np.exp(p.b[0].W), 3 * p.b[0].b ** 2],)),
    ):
        r = check_gradient(fun, jac, x0)
        assert (r.verdict, r.table["param"]) == ("match", ["W", "b[0].W", "b[0].W", "b[0].b"])


def test_two_leaves_of_one_name_are_refused() -> None:
    with pytest.raises(ContractError, match=r"two keys that read alike: a\.b, a\.b"):
        flatten({"a": {"b": np.ones(1)}, "a.b": np.ones(1)})


def test_a_list_that_numpy_makes_one_array_is_one_array_and_any_other_is_a_tree() -> None:
    assert flatten([[1.0, 2.0], [3.0, 4.0]])[0].layout.shapes == ((2, 2),)
    assert flatten((1, 2.5))[0].layout.names == ("x",)
    assert flatten([np.float32(1), np.float64(2)])[0].layout.names == ("x",)
    ragged, _ = flatten([[1.0], [1.0, 2.0]])
    assert (ragged.layout.names, ragged.layout.shapes) == (("x0", "x1"), ((1,), (2,)))
    assert flatten([1.0, None, "text", [True, 2.0]])[0].layout.names == ("x0", "x3[1]")
    named, _ = flatten(Pair(1.5, 2.0))
    assert named.layout.names == ("W", "b")


def test_names_are_labels_of_an_array_or_names_of_a_list() -> None:
    def wrong(x: Array) -> Array:
        return np.cos(x) * [1, 1.5, 1]

    r = check_gradient(lambda x: np.sin(x).sum(), wrong, [0.1, 0.2, 0.3], names=["age", "sex", "income"])
    assert r.entry(1) == "x[sex]"
    assert "x[sex]" in str(r).splitlines()[1]  # the diagnosis
    assert r.worst(1)["position"].tolist() == [[1]]
    x0 = [np.ones((2, 2)) / 2, np.ones(3)]
    r = check_gradient(value, lambda x: {"dW": np.cos(x[0]), "db": 2 * np.cos(x[1])}, x0, names=["W", "b"])
    assert (r.verdict, list(dict.fromkeys(r.table["param"]))) == ("match", ["W", "b"])
    deep = [[np.ones(2), np.ones(1)], [np.ones(3)]]
    r = check_gradient(value, gradient, deep, names=("weights", "biases"))
    assert list(dict.fromkeys(r.table["param"])) == ["weights[0]", "weights[1]", "biases[0]"]


def test_labels_stay_with_a_jacobian() -> None:
    A = np.arange(1.0, 7.0).reshape(2, 3)
    J = A * [1, 1, 1.5]
    r = check_gradient(lambda x: A @ x, lambda x: J, np.ones(3), names=["a", "b", "c"])
    assert [r.entry(i) for i, v in enumerate(r.table["verdict"]) if v == "mismatch"] == ["x[0,c]", "x[1,c]"]


# --------------------------------------------------------------------------------------------------- kinds of containers


@dataclass
class Net:
    """Its constructor does something that must not be done again."""

    layers: list[Any]
    name: str = "net"
    cache: Any = field(default=None, init=False)
    made: int = 0

    def __post_init__(self) -> None:
        self.made += 1


class Slots:
    pass


def test_each_container_comes_in_its_own_class() -> None:
    x0 = Net([Layer(np.ones(2), 0.5), Fixed(np.ones(1), None), Pair(np.ones(1), [np.ones(1)])])
    seen: list[Any] = []

    def fun(net: Net) -> Any:
        seen.append(net)
        a, b, c = net.layers
        return np.sum(a.W**2) + a.b**2 + np.exp(b.W).sum() + np.sum(c.W**3) + np.sum(c.b[0])

    def jac(net: Net) -> Any:
        a, b, c = net.layers
        return {"layers": [{"W": 2 * a.W, "b": 2 * a.b}, {"W": np.exp(b.W)}, Pair(3 * c.W**2, (np.ones(1),))]}

    r = check_gradient(fun, jac, x0)
    assert r.verdict == "match"
    assert r.frozen == ("layers[1].b", "name", "cache", "made")
    assert {type(net) for net in seen} == {Net}
    assert {tuple(map(type, net.layers)) for net in seen} == {(Layer, Fixed, Pair)}
    assert {net.made for net in seen} == {1}
    assert x0.layers[0].b == 0.5
    for kind in (OrderedDict, lambda d: defaultdict(list, d)):
        x = kind({"b": np.ones(2), "a": np.ones(1)})
        found: list[Any] = []
        r = check_gradient(lambda p, found=found: found.append(p) or value(p), gradient, x)
        assert list(dict.fromkeys(r.table["param"])) == ["b", "a"]
        assert {type(p) for p in found} == {type(x)}


def test_a_mapping_that_cannot_be_changed_is_made_anew() -> None:
    seen = set()

    def fun(p: Any) -> Any:
        seen.add(type(p))
        return np.sum(np.exp(p["W"]))

    x0 = MappingProxyType({"W": np.ones(2)})
    assert check_gradient(fun, lambda p: {"W": np.exp(p["W"])}, x0).ok
    assert seen == {MappingProxyType}


def test_numbers_in_a_tree_cannot_be_changed_in_place_by_mistake() -> None:
    def fun(p: Any) -> Any:
        s = p["in"]["s"]
        s += 1.0  # another number, as in Python
        return s**2 + np.sum(p["in"]["W"])

    r = check_gradient(
        fun, lambda p: {"in": {"s": 2 * (p["in"]["s"] + 1), "W": np.ones(2)}}, {"in": {"s": 0.5, "W": np.ones(2)}}
    )
    assert r.verdict == "match"


# ------------------------------------------------------------------------------------------------------- frozen leaves


class State(NamedTuple):
    W: Any
    steps: Any
    mode: Any


@pytest.mark.parametrize("none", [True, False])
@pytest.mark.parametrize("jac", ["separate", "both", "vjp"])
def test_whole_numbers_without_a_gradient_are_frozen_and_handed_on_as_they_are(none: bool, jac: str) -> None:
    x0 = {"W": np.array([0.4, 0.7]), "steps": 3, "order": np.array([1, 0]), "mode": "tanh", "on": True, "bias": None}
    kinds = set()

    def fun(p: dict[str, Any]) -> Any:
        kinds.add((type(p["steps"]), p["order"].dtype.kind, p["mode"], p["on"], p["bias"]))
        h = p["W"][p["order"]] * [1, 2]
        for _ in range(p["steps"]):
            h = np.tanh(h)
        return h if jac == "vjp" else h.sum()

    def grad(p: dict[str, Any], dout: Any = 1.0) -> Any:
        h, slope = p["W"][p["order"]] * [1, 2], np.array([1.0, 2.0])
        for _ in range(p["steps"]):
            h = np.tanh(h)
            slope = slope * (1 - h * h)
        dW = np.zeros(2)
        np.add.at(dW, p["order"], slope * dout)
        return {"dW": dW} | ({"dsteps": None, "dorder": None} if none else {})

    if jac == "both":
        r = check_gradient(lambda p: (fun(p), grad(p)), True, x0)
    else:
        r = check_gradient(fun, grad, x0, vjp=jac == "vjp")
    assert r.verdict == "match", str(r)
    assert r.frozen == ("steps", "order", "mode", "on", "bias")
    assert "frozen, no gradient is asked for: steps, order, mode, on, bias" in str(r)
    assert kinds == {(int, "i", "tanh", True, None)}
    assert set(r.table["param"]) == {"W"}


def test_whole_numbers_with_a_gradient_become_float64() -> None:
    seen = set()

    def fun(p: dict[str, Any]) -> Any:
        seen.add(np.asarray(p["a"]).dtype.kind)
        return np.sum(np.exp(p["W"])) + np.exp(p["a"] / 7)

    x0 = {"W": np.array([[1, 2], [0, 1]]), "a": 3}
    r = check_gradient(fun, lambda p: {"W": np.exp(p["W"]), "a": np.exp(p["a"] / 7) / 7}, x0)
    assert (r.verdict, r.frozen, r.n_weights) == ("match", (), 5)
    assert r.nfev + r.njev > 0
    # one of them frozen: told from the other by its gradient
    half = check_gradient(fun, lambda p: {"W": np.exp(p["W"])}, x0)
    assert (half.verdict, half.frozen) == ("match", ("a",))
    # a single array of integers is a parameter whatever jac says
    with pytest.raises(ContractError, match="the gradient is None"):
        check_gradient(lambda x: np.sum(x**2), lambda x: None, np.array([1, 2]))


def test_the_calls_that_show_what_is_frozen_are_counted() -> None:
    calls = {"fun": 0, "jac": 0}

    def fun(p: dict[str, Any]) -> Any:
        calls["fun"] += 1
        return np.sum(np.exp(p["W"])) * p["k"]

    def jac(p: dict[str, Any]) -> Any:
        calls["jac"] += 1
        return {"W": np.exp(p["W"]) * p["k"]}

    r = check_gradient(fun, jac, {"W": np.ones(3), "k": 2})
    assert (r.nfev, r.njev) == (calls["fun"], calls["jac"])
    r = check_gradient(lambda p: (fun(p), jac(p)), True, {"W": np.ones(3), "k": 2}, max_nfev=70)
    assert r.nfev <= 70


def test_what_is_frozen_is_seen_of_a_gradient_that_needs_what_the_function_kept() -> None:
    kept: dict[str, Any] = {}

    def fun(p: dict[str, Any]) -> Any:
        kept["h"] = np.exp(p["W"]) ** p["k"]
        return np.sum(kept["h"])

    r = check_gradient(fun, lambda p: {"W": p["k"] * kept["h"]}, {"W": np.ones(2) / 3, "k": 2})
    assert (r.verdict, r.frozen) == ("match", ("k",))


def test_where_all_is_frozen_there_is_nothing_to_check() -> None:
    for x0 in ({"n": 3, "on": True}, [None, "a"], {"k": np.array([1, 2])}):
        with pytest.raises(ContractError, match=r"x0 has nothing to check: .* frozen") as caught:
            check_gradient(lambda p: 1.0, lambda p: {} if isinstance(p, dict) else [None] * len(p), x0)
        assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------------------ gradients' names


TREE = {"W1": np.full((2, 2), 0.3), "b1": np.array([0.1, 0.2]), "deep": [{"W": np.ones(2), "b": np.array(0.5)}]}


def renamed(x: Any, prefix: str) -> Any:
    if isinstance(x, dict):
        return {(k if isinstance(v, (dict, list)) else prefix + k): renamed(v, prefix) for k, v in x.items()}
    return [renamed(v, prefix) for v in x] if isinstance(x, list) else x


class Record:
    """An object with attributes."""

    def __init__(self, entries: dict[str, Any]) -> None:
        vars(self).update(entries)


def recorded(x: Any) -> Any:
    if isinstance(x, dict):
        return Record({k: recorded(v) for k, v in x.items()})
    return [recorded(v) for v in x] if isinstance(x, list) else x


def flat_names(x: Any, prefix: str) -> dict[str, Any]:
    parameters, _ = flatten(x)
    return {prefix + leaf.name: a for leaf, a in zip(parameters.arrays, arrays_of(x), strict=True)}


@pytest.mark.parametrize("prefix", ["", "d", "grad_"])
@pytest.mark.parametrize(
    "shape", [renamed, lambda x, p: recorded(renamed(x, p)), flat_names], ids=["nested", "attributes", "flat"]
)
def test_gradients_are_found_under_every_name_that_is_usual(prefix: str, shape: Any) -> None:
    right = check_gradient(value, lambda p: shape(gradient(p), prefix), TREE)
    assert right.verdict == "match"

    def wrong(p: Any) -> Any:
        g = gradient(p)
        g["deep"][0]["W"][1] *= 1.5
        return shape(g, prefix)

    r = check_gradient(value, wrong, TREE)
    assert [r.entry(i) for i, v in enumerate(r.table["verdict"]) if v == "mismatch"] == ["deep[0].W[1]"]


def test_an_object_that_holds_parameters_and_gradients_gives_its_gradients() -> None:
    class Affine:
        W: Any
        b: Any

        def backward(self, p: dict[str, Any]) -> Affine:
            self.W, self.b = p["W"], p["b"]
            self.dW, self.db = np.cos(self.W), 2 * np.cos(self.b)
            return self

    x0 = {"W": np.ones((2, 2)), "b": np.ones(2) / 2}
    assert check_gradient(value, Affine().backward, x0).verdict == "match"


def test_what_else_a_gradient_holds_is_ignored() -> None:
    def jac(p: Any) -> Any:
        return {"dZ2": None, "dA1": np.ones((7, 7)), **{f"d{k}": v for k, v in gradient(p).items()}}

    assert check_gradient(value, jac, {"W": np.ones(2), "b": np.ones(1)}).verdict == "match"


# ---------------------------------------------------------------------------------------------- arguments, limits, points


def test_arguments_by_name_reach_both_functions_and_are_watched() -> None:
    def fun(x: Array, a: Array, *, power: int = 2) -> Any:
        return np.sum(a * x**power)

    def jac(x: Array, a: Array, *, power: int = 2) -> Array:
        return power * a * x ** (power - 1)

    a = np.array([1.0, 2.0])
    assert check_gradient(fun, jac, np.ones(2), (a,), kwargs={"power": 3}).verdict == "match"
    assert check_gradient(fun, jac, np.ones(2), kwargs={"a": a, "power": 3}, workers=1).verdict == "match"

    def spoils(x: Array, a: Array) -> Any:
        a += 1
        return np.sum(a * x)

    with pytest.raises(ContractError, match=r"fun changes its argument kwargs\['a'\] in place"):
        check_gradient(spoils, lambda x, a: a, np.ones(2), kwargs={"a": a})
    assert a.tolist() == [1, 2]


@pytest.mark.parametrize(
    "bounds", [{"net.sigma": (0, None)}, {"net": (0, None)}, (0, None), {"net.sigma": (0, 5), "k": (0.5, 1)}]
)
def test_bounds_by_name_and_one_pair_for_all_are_kept_to(bounds: Any) -> None:
    x0 = {"net": {"sigma": np.array([0.0, 1e-9, 2.0])}, "k": np.array(0.5)}
    seen: list[Any] = []

    def fun(p: Any) -> Any:
        seen.append(copy.deepcopy(p))
        return np.sum(np.exp(p["net"]["sigma"])) + p["k"] ** 2

    r = check_gradient(fun, lambda p: {"net": {"sigma": np.exp(p["net"]["sigma"])}, "k": 2 * p["k"]}, x0, bounds=bounds)
    assert r.verdict == "match", str(r)
    assert min(p["net"]["sigma"].min() for p in seen) >= 0
    if "k" in bounds:
        assert min(p["k"] for p in seen) >= 0.5
    else:
        assert min(p["k"] for p in seen) < 0.5


def test_bounds_by_label() -> None:
    low = []
    r = check_gradient(
        lambda x: low.append(x[1]) or np.sum(np.exp(x)),
        np.exp,
        np.zeros(3),
        names=["a", "s", "c"],
        bounds={"s": (0, None)},
    )
    assert r.verdict == "match"
    assert min(low) == 0


def test_points_may_be_trees_and_x0_is_seen_last() -> None:
    x0 = [{"W": np.ones(2)}, (np.array(0.5),)]
    points = [[{"W": np.array([0.1, 0.2])}, (np.array(1.5),)], [{"W": np.array([2.0, 0.2])}, (np.array(-1.5),)]]
    last: list[Any] = []

    def fun(p: Any) -> Any:
        last[:] = [copy.deepcopy(p)]
        return value(p)

    r = check_gradient(fun, gradient, x0, points=points)
    assert r.verdict == "match"
    assert len(r.points) == 2
    assert np.array_equal(np.concatenate([a.reshape(-1) for a in arrays_of(last[0])]), [1, 1, 0.5])
    r = check_gradient(fun, gradient, x0, points=3)
    assert len(r.points) == 3
    assert np.array_equal(np.concatenate([a.reshape(-1) for a in arrays_of(last[0])]), [1, 1, 0.5])


def test_a_tree_is_evaluated_in_processes_and_in_stacks_with_the_same_numbers() -> None:
    from multiprocessing.pool import ThreadPool

    x0 = {"a": [np.ones(2), np.ones(3) / 2], "n": None}
    plain = check_gradient(value, gradient, x0)
    with ThreadPool(2) as pool:
        mapped_ = check_gradient(value, gradient, x0, workers=pool.map)
    assert np.array_equal(plain.table["numeric"], mapped_.table["numeric"])
    processes = check_gradient(value, gradient, x0, workers=2)
    assert np.array_equal(plain.table["numeric"], processes.table["numeric"])

    def stacked(p: Any) -> Any:
        return np.sin(p["a"][0]).sum(axis=-1) + 2 * np.sin(p["a"][1]).sum(axis=-1)

    assert check_gradient(stacked, gradient, x0, vectorized=True).verdict == "match"


# ------------------------------------------------------------------------------------------------------- structured outputs


def lstm_like(p: Any) -> Any:
    h = np.tanh(p["W"] @ p["x"] + p["b"])
    return {"h": h, "states": (h * h, [np.sum(h)])}


def lstm_like_backward(p: Any, dout: Any) -> Any:
    assert set(dout) == {"h", "states"}
    h = np.tanh(p["W"] @ p["x"] + p["b"])
    dh = dout["h"] + 2 * h * dout["states"][0] + dout["states"][1][0]
    dz = dh * (1 - h * h)
    return {"dW": np.outer(dz, p["x"]), "dx": p["W"].T @ dz, "db": dz}


def test_the_upstream_gradient_has_the_structure_of_the_output() -> None:
    rng = np.random.default_rng(3)
    x0 = {"W": rng.normal(size=(3, 2)), "x": rng.normal(size=2), "b": rng.normal(size=3)}
    r = check_gradient(lstm_like, lstm_like_backward, x0, vjp=True)
    assert r.verdict == "match", str(r)

    def forgets(p: Any, dout: Any) -> Any:
        return lstm_like_backward(p, {**dout, "states": (0 * dout["states"][0], dout["states"][1])})

    assert check_gradient(lstm_like, forgets, x0, vjp=True).verdict == "mismatch"


def test_an_output_whose_structure_changes_is_refused() -> None:
    calls = [0]

    def fun(x: Array) -> Any:
        calls[0] += 1
        return (x, x[:1]) if calls[0] < 6 else (x, x)

    with pytest.raises(ContractError, match=r"fun returns the shape \(2,\) at a perturbed x in x1, but \(1,\) at x0"):
        check_gradient(fun, lambda x, d: d[0] + np.pad(d[1], (0, 1)), np.ones(2), vjp=True)


# -------------------------------------------------------------------------------------------------------- complex leaves


@pytest.mark.parametrize("convention", ["conjugate", "plain"])
@pytest.mark.parametrize("dtype", [np.complex128, np.complex64])
def test_complex_parameters_have_two_rows_in_the_convention_that_is_said(convention: Any, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    z0 = (rng.normal(size=(2, 2)) + 1j * rng.normal(size=(2, 2))).astype(dtype)
    x0 = {"W": z0, "s": np.array([0.5], z0.real.dtype)}

    def fun(p: Any) -> Any:
        assert p["W"].dtype == dtype or p["W"].dtype == np.complex128
        return np.sum(np.abs(p["W"]) ** 2) + np.sum(p["W"].real * p["W"].imag) * p["s"][0]

    def jac(p: Any) -> Any:
        W, s = p["W"], p["s"]
        dx, dy = 2 * W.real + s * W.imag, 2 * W.imag + s * W.real
        sign = 1 if convention == "conjugate" else -1
        return {"W": dx + sign * 1j * dy, "s": np.sum(W.real * W.imag, keepdims=True).reshape(1)}

    r = check_gradient(fun, jac, x0, convention=convention)
    assert r.verdict == "match", str(r)
    assert list(dict.fromkeys(r.table["param"])) == ["W.real", "W.imag", "s"]
    assert r.entry(5) == "W.imag[0,1]"
    other = check_gradient(fun, jac, x0, convention="plain" if convention == "conjugate" else "conjugate")
    assert {p for p, v in zip(other.table["param"], other.table["verdict"], strict=True) if v == "mismatch"} == {
        "W.imag"
    }
    with pytest.raises(ContractError, match=r'convention="conjugate".*"plain"') as caught:
        check_gradient(fun, jac, x0)
    assert "x0 (W) has dtype complex" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_complex_argument_that_is_changed_is_seen() -> None:
    calls = [0]

    def fun(z: Array) -> Any:
        calls[0] += 1
        found = np.sum(np.abs(z) ** 2)
        if calls[0] > 9:
            z += 1
        return found

    with pytest.raises(ContractError, match="fun changes its argument x in place"):
        check_gradient(fun, lambda z: 2 * z, np.array([1 + 1j]), convention="conjugate")


# -------------------------------------------------------------------------------------------------------------- the same


def test_assert_gradient_takes_the_same_keywords() -> None:
    import inspect

    check, held = (inspect.signature(f).parameters for f in (check_gradient, assert_gradient))
    assert set(held) == {*check, "strict"}
    for name, parameter in check.items():
        assert held[name].default == parameter.default
    x0 = {"W": np.ones(2), "b": [np.ones(1)]}
    assert_gradient(value, gradient, x0, bounds={"W": (0, None)})
    with pytest.raises(gradcheck.GradientMismatch, match=r"b\[0\]"):
        assert_gradient(value, lambda p: {"W": np.cos(p["W"]), "b": [p["b"][0]]}, x0)


def test_an_array_of_numpy_and_a_flat_dict_keep_their_quick_way() -> None:
    from gradcheck.functions.trees.start import Pack

    for x0 in (np.ones(3), 1.5, {"W": np.ones(3), "b": 0.5}, [np.ones(2), np.ones(1)], Pair(np.ones(1), np.ones(2))):
        assert not isinstance(taken_apart(x0).parameters.pack, Pack)
    assert isinstance(taken_apart({"a": [np.ones(2)]}).parameters.pack, Pack)
