"""The caller's own arrays: changed in place while they are checked, and left to the bit whatever happens."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from structures import arrays_of, mapped, trees

import gradcheck
from gradcheck import ContractError, check_gradient
from gradcheck.functions.trees.inplace import in_place

Array = np.ndarray


class TwoLayers:
    """A net with ReLU, as courses write it; it keeps its parameters, its gradients and what it saw last."""

    def __init__(self, seed: int = 0, wrong: str = "") -> None:
        rng = np.random.default_rng(seed)
        self.params = {
            "W1": rng.normal(size=(4, 6)) / 2, "b1": rng.normal(size=6) / 4, "W2": rng.normal(size=(6, 3)), "b2": np.zeros(3),
        }  # fmt: skip
        self.grads = {name: np.zeros_like(p) for name, p in self.params.items()}
        self.X, self.y = rng.normal(size=(5, 4)), rng.integers(0, 3, 5)
        self.wrong = wrong
        self.cache: Any = None

    def loss(self) -> float:
        p = self.params
        z = self.X @ p["W1"] + p["b1"]
        h = np.maximum(z, 0)
        scores = h @ p["W2"] + p["b2"]
        scores = scores - scores.max(axis=1, keepdims=True)
        logs = np.log(np.exp(scores).sum(axis=1))
        self.cache = (h, np.exp(scores - logs[:, None]), self.params["W1"].copy())
        return float(np.mean(logs - scores[np.arange(5), self.y]))

    def gradients(self) -> dict[str, Array]:
        """Written into the same buffers at each call."""
        h, probabilities, _ = self.cache
        d = probabilities.copy()
        d[np.arange(5), self.y] -= 1
        d /= 5
        g, p = self.grads, self.params
        g["W2"][...] = h.T @ d
        g["b2"][...] = d.sum(axis=0)
        back = (d @ p["W2"].T) * (h > 0)
        g["W1"][...] = self.X.T @ back
        g["b1"][...] = back.sum(axis=0)
        if self.wrong:
            g[self.wrong] *= 1.01
        return g


def bits(x: Any) -> list[tuple[int, bytes]]:
    return [(id(a), a.tobytes()) for a in arrays_of(x)]


def test_a_net_that_keeps_its_parameters_is_checked_as_it_is() -> None:
    net = TwoLayers()
    before = bits(net.params)
    r = check_gradient(net.loss, net.gradients, net.params, inplace=True)
    assert r.verdict == "match", str(r)
    assert r.n_weights == 51
    assert bits(net.params) == before
    # it is left as it was: it saw x0 last
    assert np.array_equal(net.cache[2], net.params["W1"])
    wrong = TwoLayers(wrong="b1")
    r = check_gradient(wrong.loss, wrong.gradients, wrong.params, inplace=True)
    assert r.verdict == "mismatch"
    assert {p for p, v in zip(r.table["param"], r.table["verdict"], strict=True) if v == "mismatch"} == {"b1"}


def test_value_and_gradients_of_one_call_arguments_and_an_upstream_gradient() -> None:
    net = TwoLayers()

    def both(scale: float, *, offset: float) -> Any:
        return scale * net.loss() + offset, {f"d{k}": scale * g for k, g in net.gradients().items()}

    r = check_gradient(both, True, net.params, (2.0,), kwargs={"offset": 1.0}, inplace=True)
    assert r.verdict == "match"
    x = np.random.default_rng(1).normal(size=(3, 2))
    layer = {"W": np.random.default_rng(2).normal(size=(2, 2)), "b": np.ones(2)}
    r = check_gradient(
        lambda x: (np.tanh(x @ layer["W"]), layer["b"] ** 2),
        lambda dout, x: {"W": x.T @ (dout[0] * (1 - np.tanh(x @ layer["W"]) ** 2)), "b": 2 * layer["b"] * dout[1]},
        layer, (x,), vjp=True, inplace=True,
    )  # fmt: skip
    assert r.verdict == "match", str(r)


def test_an_argument_that_is_the_net_itself_is_handed_on_as_it_is() -> None:
    net = TwoLayers()
    r = check_gradient(TwoLayers.loss, TwoLayers.gradients, net.params, (net,), inplace=True)
    assert r.verdict == "match"


def test_jac_is_called_directly_after_fun_at_the_same_point_and_the_calls_are_counted() -> None:
    w, log = np.array([0.3, 0.4]), []

    def fun() -> Any:
        log.append(("fun", w.copy()))
        return np.sum(w**3)

    def jac() -> Any:
        log.append(("jac", w.copy()))
        return 3.5 * w**2

    r = check_gradient(fun, jac, w, inplace=True)
    assert r.verdict == "mismatch"
    assert r.njev > 2  # a claim that is disputed is looked at near x0 too
    for before, now in itertools.pairwise(log):
        if now[0] == "jac":
            assert before[0] == "fun"
            assert np.array_equal(before[1], now[1])
    assert [name for name, _ in log].count("fun") == r.nfev
    assert [name for name, _ in log].count("jac") == r.njev
    assert log[-1][0] == "fun"
    assert np.array_equal(log[-1][1], [0.3, 0.4])


def test_a_limit_of_calls_is_kept_to() -> None:
    calls = [0]
    w = np.linspace(0.1, 1, 9)

    def fun() -> Any:
        calls[0] += 1
        return np.sum(np.exp(w))

    for jac in (lambda: np.exp(w), lambda: 2 * np.exp(w)):
        calls[0] = 0
        r = check_gradient(fun, jac, w, inplace=True, max_nfev=80)
        assert calls[0] == r.nfev <= 80


def test_several_points_and_bounds_in_place() -> None:
    w = np.array([0.0, 2.0])
    seen = []

    def fun() -> Any:
        seen.append(w.copy())
        return np.sum(np.exp(w))

    r = check_gradient(fun, lambda: {"dw": np.exp(w)}, {"w": w}, inplace=True, points=3, bounds={"w": (0, None)})
    assert (r.verdict, len(r.points)) == ("match", 3)
    assert np.min(seen) == 0
    r = check_gradient(
        fun, lambda: {"w": np.exp(w)}, {"w": w}, inplace=True, points=[{"w": [1.0, 1.0]}, {"w": [3.0, 1.0]}]
    )
    assert np.array_equal(seen[-1], [0, 2])
    assert np.array_equal(w, [0, 2])


# -------------------------------------------------------------------------------------------------------- kinds of places


def test_numbers_in_a_dict_an_object_or_a_list_and_lists_of_numbers_are_changed_where_they_are() -> None:
    class Logistic:
        def __init__(self) -> None:
            self.w, self.b, self.inner, self.rows = (
                np.array([0.2, 0.4]),
                0.5,
                [1.5, np.float64(0.25)],
                [[0.1, 0.2], [0.3, 0.4]],
            )
            self.epochs, self.name = 3, "logistic"

        def loss(self) -> Any:
            assert type(self.b) is float
            row = sum(v**2 for r in self.rows for v in r)
            return float(np.sum(np.exp(self.w)) + self.b**3 + self.inner[0] * self.inner[1] + row)

        def gradients(self) -> Any:
            rows = [[2 * v for v in r] for r in self.rows]
            return {"dw": np.exp(self.w), "db": 3 * self.b**2, "dinner": [self.inner[1], self.inner[0]], "drows": rows}

    m = Logistic()
    rows = m.rows
    r = check_gradient(m.loss, m.gradients, vars(m), inplace=True)
    assert r.verdict == "match", str(r)
    assert list(dict.fromkeys(r.table["param"])) == ["w", "b", "inner", "rows"]
    assert r.frozen == ("epochs", "name")
    assert (m.b, m.inner, m.rows) == (0.5, [1.5, 0.25], [[0.1, 0.2], [0.3, 0.4]])
    assert type(m.b) is float
    assert m.rows is rows


def test_a_whole_number_that_has_a_gradient_is_changed_as_a_float_and_an_array_of_them_is_frozen() -> None:
    class Model:
        def __init__(self) -> None:
            self.w, self.b, self.epochs, self.order = np.array([0.5, 1.5]), 0, 3, np.array([1, 0])

        def loss(self) -> Any:
            return float(np.sum(np.exp(self.w[self.order])) + np.exp(self.b) * self.epochs)

        def gradients(self, factor: float = 1.0) -> Any:
            return {"w": np.exp(self.w), "b": factor * np.exp(self.b) * self.epochs, "order": np.zeros(2)}

    m = Model()
    r = check_gradient(m.loss, m.gradients, vars(m), inplace=True)
    assert r.verdict == "match", str(r)
    assert r.table["param"] == ["w", "w", "b"]
    assert r.frozen == ("epochs", "order")
    assert (m.b, type(m.b), m.order.tolist()) == (0, int, [1, 0])
    assert check_gradient(m.loss, lambda: m.gradients(1.5), vars(m), inplace=True).verdict == "mismatch"
    assert type(m.b) is int


def test_a_dataclass_is_changed_where_it_is() -> None:
    @dataclass
    class Model:
        W: Array
        s: float

    m = Model(np.ones((2, 2)), 0.25)
    r = check_gradient(lambda: np.sum(np.exp(m.W)) + m.s**2, lambda: Model(np.exp(m.W), 2 * m.s), m, inplace=True)
    assert (r.verdict, m.s) == ("match", 0.25)


VIEWS = {
    "strided": lambda a: a[::2],
    "reversed": lambda a: a[::-1],
    "transposed": lambda a: a.reshape(2, 6).T,
    "a part": lambda a: a[3:8],
    "a column": lambda a: a.reshape(3, 4)[:, 1],
    "0-d": lambda a: a[5:6].reshape(()),
}


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
def test_a_view_of_any_strides_is_changed_in_place(name: str, dtype: Any) -> None:
    base = np.linspace(0.5, 1.5, 12).astype(dtype)
    view, before = VIEWS[name](base), base.tobytes()
    r = check_gradient(lambda: np.sum(base**2), lambda: 2 * view, view, inplace=True)
    assert r.verdict == "match", str(r)
    assert r.dtype == str(np.dtype(dtype)).replace("float128", "longdouble")
    assert base.tobytes() == before


def test_complex_arrays_are_changed_in_place() -> None:
    z = np.array([1 + 2j, 0.5 - 1j])
    r = check_gradient(
        lambda: np.sum(np.abs(z) ** 2), lambda: {"z": 2 * z}, {"z": z}, inplace=True, convention="conjugate"
    )
    assert r.verdict == "match"
    assert z.tolist() == [1 + 2j, 0.5 - 1j]


def test_a_series_a_frame_and_a_sparse_matrix_are_changed_in_place() -> None:
    import pandas as pd

    sparse = pytest.importorskip("scipy.sparse")
    beta = pd.Series([0.5, 1.0], index=["age", "sex"])
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [0.5, 0.25]})
    S = sparse.csr_array(np.array([[0, 1.5, 0], [2.0, 0, 0.5]]))
    x0 = {"beta": beta, "frame": frame, "S": S}
    before = [beta.to_numpy().copy(), frame.to_numpy().copy(), S.data.copy()]

    def fun() -> Any:
        return np.exp(x0["beta"]["age"]) + x0["beta"]["sex"] ** 2 + (frame**2).to_numpy().sum() + (S.data**3).sum()

    def jac() -> Any:
        return {"beta": [np.exp(beta["age"]), 2 * beta["sex"]], "frame": 2 * frame, "S": 3 * S.toarray() ** 2}

    r = check_gradient(fun, jac, x0, inplace=True)
    assert r.verdict == "match", str(r)
    for now, then in zip((beta.to_numpy(), frame.to_numpy(), S.data), before, strict=True):
        assert now.tobytes() == then.tobytes()


# ------------------------------------------------------------------------------------------------------------- memory


def test_an_array_in_several_places_is_one_parameter_whose_gradients_add_up() -> None:
    W = np.array([[0.5, 0.2], [0.1, 0.7]])
    x0 = {"encoder": W, "other": np.ones(2), "decoder": [W]}

    def loss() -> Any:
        return np.sum(np.exp(x0["encoder"])) + np.sum(x0["decoder"][0] ** 2) + np.sum(x0["other"] ** 2)

    def gradients() -> Any:
        return {"encoder": np.exp(W), "other": 2 * x0["other"], "decoder": [2 * W]}

    r = check_gradient(loss, gradients, x0, inplace=True)
    assert r.verdict == "match", str(r)
    assert list(dict.fromkeys(r.table["param"])) == ["encoder", "other"]
    assert r.n_weights == 6
    # the whole gradient in one place does as well
    assert check_gradient(loss, lambda: {"encoder": np.exp(W) + 2 * W, "other": 2 * x0["other"]}, x0, inplace=True).ok
    assert not check_gradient(loss, lambda: {"encoder": np.exp(W), "other": 2 * x0["other"]}, x0, inplace=True).ok


def test_the_same_view_made_twice_is_one_parameter_and_views_apart_are_two() -> None:
    base = np.linspace(0.5, 1.5, 8)
    twice = {"a": base[:4], "b": base[:4]}
    r = check_gradient(
        lambda: np.sum(np.exp(base[:4])) * 2,
        lambda: {"a": np.exp(base[:4]), "b": np.exp(base[:4])},
        twice,
        inplace=True,
    )
    assert (r.verdict, r.n_weights) == ("match", 4)
    apart = {"even": base[::2], "odd": base[1::2]}
    r = check_gradient(lambda: np.sum(base**2), lambda: {k: 2 * v for k, v in apart.items()}, apart, inplace=True)
    assert (r.verdict, r.n_weights) == ("match", 8)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 9), st.integers(1, 4), st.integers(0, 9), st.integers(1, 4), st.integers(1, 6))
def test_views_that_overlap_are_refused_and_no_others(a: int, step: int, b: int, other: int, n: int) -> None:
    base = np.linspace(0.5, 1.5, 40)
    one, two = base[a : a + step * n : step], base[b : b + other * n : other]
    mine, yours = set(range(a, a + step * n, step)), set(range(b, b + other * n, other))
    # a step does not matter to a view of one entry
    same = n == len(mine & yours) and (step == other or n == 1) and a == b
    x0 = {"one": one, "two": two}
    if mine & yours and not same:
        with pytest.raises(ContractError, match="one and two overlap in memory"):
            in_place(x0, None, None)
    else:
        assert len(in_place(x0, None, None)[0].arrays) == (1 if same else 2)


# ------------------------------------------------------------------------------------------------------ left as it was


class Stop(Exception):
    pass


@settings(max_examples=60, deadline=None)
@given(trees(), st.integers(0, 60), st.sampled_from([Stop, KeyboardInterrupt, SystemExit, MemoryError]), st.booleans())
def test_arrays_are_restored_to_the_bit_whatever_is_raised(x: Any, after: int, kind: Any, in_jac: bool) -> None:
    try:
        in_place(x, None, None)
    except ContractError:
        assume(False)
    before, calls = bits(x), [0]

    def raising() -> None:
        calls[0] += 1
        if calls[0] > after:
            raise kind

    def fun() -> Any:
        if not in_jac or calls[0] > after:
            raising()
        return sum((np.sum(np.exp(a)) for a in arrays_of(x)), np.float64(0))

    def jac() -> Any:
        if in_jac:
            raising()
        return mapped(lambda a: np.asarray(2 * np.exp(a)) if isinstance(a, np.ndarray) else a, x)

    try:
        check_gradient(fun, jac, x, inplace=True)
    except (kind, ContractError):
        pass
    assert bits(x) == before


def test_a_second_interrupt_while_arrays_are_restored_does_not_leave_them_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from gradcheck.functions.trees.live import LiveArray

    x = {"a": np.ones(2), "b": np.ones(2)}
    whole, raised = LiveArray.restore, []

    def interrupted(self: LiveArray) -> None:
        if not raised:
            raised.append(True)
            raise KeyboardInterrupt
        whole(self)

    monkeypatch.setattr(LiveArray, "restore", interrupted)
    calls = [0]

    def fun() -> Any:
        calls[0] += 1
        if calls[0] > 20:
            raise KeyboardInterrupt
        return np.sum(np.exp(x["a"])) + np.sum(x["b"] ** 2)

    with pytest.raises(KeyboardInterrupt):
        check_gradient(fun, lambda: {"a": np.exp(x["a"]), "b": 2 * x["b"]}, x, inplace=True)
    assert raised
    assert np.array_equal(x["a"], [1, 1])
    assert np.array_equal(x["b"], [1, 1])


def test_special_values_come_back_to_the_bit() -> None:
    w = np.array([-0.0, 5e-324, 1e308, 0.1])
    before = w.tobytes()
    check_gradient(lambda: np.sum(np.sin(w)), lambda: np.cos(w), w, inplace=True)
    assert w.tobytes() == before


def test_global_random_states_are_left_as_they_were() -> None:
    w = np.ones(2)

    def fun() -> Any:
        np.random.seed(0)
        random.seed(0)
        return np.sum(w**2)

    np.random.seed(7)
    random.seed(7)
    state, own = np.random.get_state()[1].copy(), random.getstate()
    check_gradient(fun, lambda: 2 * w, w, inplace=True)
    assert np.array_equal(np.random.get_state()[1], state)
    assert random.getstate() == own


def test_a_function_that_changes_an_array_of_x0_is_told_so_and_the_array_is_restored() -> None:
    for late in (0, 9):
        w, calls = np.array([0.5, 1.5]), [0]

        def fun(w: Array = w, calls: list[int] = calls, late: int = late) -> Any:
            calls[0] += 1
            if calls[0] > late:
                w -= 0.1
            return np.sum(w**2)

        with pytest.raises(ContractError, match="fun changes its argument w in place"):
            check_gradient(fun, lambda w=w: {"w": 2 * w}, {"w": w}, inplace=True)
        assert w.tolist() == [0.5, 1.5]


def test_a_function_that_replaces_an_array_of_x0_is_told_so_and_the_array_is_put_back() -> None:
    net = TwoLayers()
    W1 = net.params["W1"]

    def step() -> Any:
        g = net.gradients()
        net.params["W1"] = net.params["W1"] - 0.1 * g["W1"]
        return g

    with pytest.raises(ContractError, match="an array of x0 is replaced"):
        check_gradient(net.loss, step, net.params, inplace=True)
    assert net.params["W1"] is W1


def test_arrays_that_the_function_does_not_use_are_seen() -> None:
    net = TwoLayers()
    copies = {name: p.copy() for name, p in net.params.items()}
    with pytest.raises(ContractError, match=r"does not read x.*are not those that fun computes with"):
        check_gradient(net.loss, net.gradients, copies, inplace=True)
    with pytest.raises(ContractError, match=r"does not read x.*inplace=True"):
        check_gradient(lambda p: net.loss(), lambda p: (net.loss(), net.gradients())[1], net.params)


def test_single_precision_stays_single_in_place() -> None:
    w = np.linspace(0.5, 1.5, 5).astype(np.float32)
    kinds = set()

    def fun() -> Any:
        kinds.add(w.dtype)
        return np.sum(np.sin(w))

    r = check_gradient(fun, lambda: np.cos(w), w, inplace=True, match_at=5e-2)
    assert (r.verdict, r.dtype, kinds) == ("match", "float32", {np.dtype(np.float32)})
    assert gradcheck.check_gradient(fun, lambda: 1.2 * np.cos(w), w, inplace=True, match_at=5e-2).verdict == "mismatch"


def test_gradients_that_add_up_are_told_from_those_that_are_drawn() -> None:
    w, grads = np.array([0.5, 1.5]), {"w": np.zeros(2)}

    def adds() -> Any:
        grads["w"] += 2 * w
        return grads

    with pytest.raises(ContractError, match=r"jac is not deterministic.*twice the first: set the gradients to 0"):
        check_gradient(lambda: np.sum(w**2), adds, {"w": w}, inplace=True)
    rng = np.random.default_rng(0)
    with pytest.raises(
        ContractError, match=r"fun is not deterministic.*the same seed at each call, or switch dropout off"
    ):
        check_gradient(lambda: np.sum(w**2) + rng.random(), lambda: {"w": 2 * w}, {"w": w}, inplace=True)


def test_lists_of_complex_numbers_are_changed_in_place() -> None:
    x = {"z": [1 + 2j, 0.5 - 1j], "mixed": [1, 2.5]}

    def fun() -> Any:
        return sum(abs(z) ** 2 for z in x["z"]) + sum(v**2 for v in x["mixed"])

    def jac() -> Any:
        return {"z": [2 * z for z in x["z"]], "mixed": [2 * v for v in x["mixed"]]}

    r = check_gradient(fun, jac, x, inplace=True, convention="conjugate")
    assert r.verdict == "match", str(r)
    assert x == {"z": [1 + 2j, 0.5 - 1j], "mixed": [1, 2.5]}
    assert type(x["mixed"][0]) is int


def test_an_argument_may_be_the_array_that_is_checked() -> None:
    x = np.linspace(0.5, 1.5, 4)

    class Square:
        def forward(self, x: Array, a: Array) -> Array:
            self.x = x
            return a * x**2

        def backward(self, dout: Array, x: Array, a: Array) -> Array:
            return 2 * a * self.x * dout

    layer, a = Square(), np.array([1.0, 2.0, 3.0, 4.0])
    r = check_gradient(layer.forward, layer.backward, x, (x, a), vjp=True, inplace=True, points=3)
    assert r.verdict == "match"

    def spoils(x: Array, a: Array) -> Any:
        a += 1
        return np.sum(a * x)

    with pytest.raises(ContractError, match=r"fun changes its argument args\[1\] in place"):
        check_gradient(spoils, lambda x, a: a, x, (x, a), inplace=True)


def test_all_other_arrays_are_brought_back_where_a_part_of_x0_is_gone() -> None:
    x = {"a": np.ones(2), "layers": [{"W": np.ones(2)}], "z": np.ones(2)}
    W, calls = x["layers"][0]["W"], [0]

    def fun() -> Any:
        calls[0] += 1
        if calls[0] == 12:
            x["layers"] = None
        return sum(np.sum(np.exp(v)) for v in (x["a"], W, x["z"]))

    with pytest.raises(ContractError, match="an array of x0 is replaced"):
        check_gradient(
            fun, lambda: {"a": np.exp(x["a"]), "z": np.exp(x["z"]), "layers": [{"W": np.exp(W)}]}, x, inplace=True
        )
    for array in (x["a"], W, x["z"]):
        assert array.tolist() == [1, 1]
