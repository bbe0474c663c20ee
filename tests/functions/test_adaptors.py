"""Arrays of other libraries as leaves: they come in their own kind, and a gradient may come in another."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from structures import leaves, mapped, nested

from gradcheck import ContractError, check_gradient
from gradcheck.functions.trees.start import flatten

Array = np.ndarray


def wrong_entries(r: Any) -> list[str]:
    return [r.entry(i) for i, v in enumerate(r.table["verdict"]) if v == "mismatch"]


# ------------------------------------------------------------------------------------------------------------- pandas

BETA = pd.Series([0.5, -1.0, 2.0], index=["age", "sex", "income"], name="beta")


def test_a_series_comes_with_its_labels_which_name_the_wrong_entries() -> None:
    seen = []

    def fun(b: pd.Series) -> Any:
        seen.append((type(b), b.name, list(b.index)))
        return np.exp(b["age"]) + b["sex"] ** 2 + b["income"] ** 3

    def jac(b: pd.Series) -> pd.Series:
        return pd.Series({"age": np.exp(b["age"]), "sex": 3 * b["sex"], "income": 3 * b["income"] ** 2})

    r = check_gradient(fun, jac, BETA)
    assert wrong_entries(r) == ["beta[sex]"]
    assert "beta[sex] alone is wrong" in str(r)
    assert set(map(str, seen)) == {str((pd.Series, "beta", ["age", "sex", "income"]))}
    nested = check_gradient(lambda p: fun(p["b"].rename("beta")), lambda p: {"db": jac(p["b"])}, {"b": BETA})
    assert wrong_entries(nested) == ["b[sex]"]


@settings(max_examples=20, deadline=None)
@given(st.permutations(["age", "sex", "income"]), st.sampled_from(["series", "dict of series", "array"]))
def test_a_gradient_with_labels_is_taken_by_its_labels_and_one_without_by_its_order(order: Any, kind: str) -> None:
    def jac(b: pd.Series) -> Any:
        return (2 * b).to_numpy() if kind == "array" else (2 * b)[order]

    if kind == "dict of series":
        r = check_gradient(lambda p: (p["b"] ** 2).sum(), lambda p: {"b": jac(p["b"])}, {"b": BETA})
    else:
        r = check_gradient(lambda b: (b**2).sum(), jac, BETA)
    assert r.verdict == "match"


def test_a_frame_has_labels_along_both_axes() -> None:
    frame = pd.DataFrame(
        [[0.5, 1.0], [1.5, 2.0]], index=["a", "b"], columns=pd.MultiIndex.from_tuples([("x", 1), ("y", 2)])
    )

    def jac(f: pd.DataFrame) -> pd.DataFrame:
        g = 2 * f
        g.iloc[1, 0] += 1
        return g.iloc[::-1, ::-1]

    r = check_gradient(lambda p: (p["F"] ** 2).to_numpy().sum(), lambda p: {"F": jac(p["F"])}, {"F": frame})
    assert wrong_entries(r) == ["F[b,x,1]"]
    limits = check_gradient(lambda f: (f**2).to_numpy().sum(), lambda f: 2 * f, frame, bounds=(0, None))
    assert limits.verdict == "match"


def test_columns_of_whole_numbers_and_nullable_types_are_numbers() -> None:
    for series in (pd.Series([1, 2]), pd.Series([1.5, 2.0], dtype="Float64"), pd.Series([1, 2], dtype="Int32")):
        assert check_gradient(lambda s: (s**3).sum(), lambda s: 3 * s**2, series).verdict == "match"
    mixed = pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5]})
    assert check_gradient(lambda f: (f**2).to_numpy().sum(), lambda f: 2 * f, mixed).verdict == "match"
    r = check_gradient(lambda p: (p["x"] ** 2).sum(), lambda p: {"x": 2 * p["x"]}, {"x": BETA, "on": pd.Series([True])})
    assert (r.verdict, r.frozen) == ("match", ("on",))


def test_a_change_of_a_series_by_the_function_is_seen() -> None:
    def fun(b: pd.Series) -> Any:
        b.iloc[0] = 7.0
        return (b**2).sum()

    with pytest.raises(ContractError, match="fun changes its argument beta in place"):
        check_gradient(fun, lambda b: 2 * b, BETA.copy())


def test_a_label_that_the_function_adds_or_a_column_that_it_drops_is_seen() -> None:
    def adds(b: pd.Series) -> Any:
        b["intercept"] = 1.0
        return (b**2).sum()

    with pytest.raises(ContractError, match="fun changes its argument beta in place"):
        check_gradient(adds, lambda b: 2 * b, BETA.copy())

    def drops(f: pd.DataFrame) -> Any:
        del f["b"]
        return (f**2).to_numpy().sum()

    with pytest.raises(ContractError, match="fun changes its argument x in place"):
        check_gradient(drops, lambda f: 2 * f, pd.DataFrame({"a": [1.0], "b": [2.0]}))


def test_points_and_an_upstream_gradient_have_labels_too() -> None:
    r = check_gradient(lambda b: (b**2).sum(), lambda b: 2 * b, BETA, points=[BETA[::-1], BETA + 1])
    assert r.verdict == "match"
    assert r.points[0].table["weight"].tolist() == BETA.tolist()

    def backward(b: pd.Series, dout: pd.Series) -> pd.Series:
        assert list(dout.index) == ["age", "sex", "income"]
        return dout * 2 * b

    assert check_gradient(lambda b: b**2, backward, BETA, vjp=True).verdict == "match"


# ------------------------------------------------------------------------------------------------------------- sparse


def matrices() -> list[Any]:
    sparse = pytest.importorskip("scipy.sparse")
    dense = np.array([[0.0, 1.5, 0.0], [2.0, 0.0, -0.5]])
    return [
        kind(dense)
        for kind in (sparse.csr_array, sparse.csc_array, sparse.coo_array, sparse.csr_matrix, sparse.csc_matrix)
    ]


@pytest.mark.parametrize("how", ["same", "dense", "csr", "coo", "data"])
@pytest.mark.parametrize("which", range(5))
def test_the_stored_entries_of_a_sparse_matrix_are_the_weights(which: int, how: str) -> None:
    S = matrices()[which]
    seen = set()

    def fun(p: dict[str, Any]) -> Any:
        seen.add((type(p["S"]), p["S"].shape, p["S"].nnz))
        return np.sum(np.sin(p["S"].toarray()))

    def jac(p: dict[str, Any], wrong: float = 0) -> Any:
        g = np.cos(p["S"].toarray())  # 1 where nothing is stored
        g[1, 0] += wrong
        if how == "data":
            return {"S": np.cos(p["S"].data) + wrong * (p["S"].data == 2.0)}
        made = {"same": type(S), "csr": matrices()[0].__class__, "coo": matrices()[2].__class__}
        return {"S": g if how == "dense" else made[how](g)}

    r = check_gradient(fun, jac, {"S": S})
    assert (r.verdict, r.n_weights) == ("match", 3), str(r)
    assert seen == {(type(S), (2, 3), 3)}
    assert wrong_entries(check_gradient(fun, lambda p: jac(p, 1.0), {"S": S})) == ["S[1,0]"]
    assert S.data.tolist() == matrices()[which].data.tolist()


def test_a_sparse_gradient_of_a_dense_matrix_is_taken() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    W = np.array([[0.5, 1.0], [1.5, 2.0]])

    def jac(p: dict[str, Array]) -> Any:
        return {"W": sparse.coo_array(2 * p["W"] * [[0, 1], [0, 0]])}

    assert check_gradient(lambda p: p["W"][0, 1] ** 2, jac, {"W": W}).ok


def test_matrices_of_other_formats_and_with_an_entry_twice_are_refused() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    twice = sparse.coo_array((np.array([1.0, 2.0]), ([0, 0], [1, 1])), shape=(2, 2))
    for matrix, words in (
        (twice, r"x0 stores an entry twice: call W.sum_duplicates\(\)"),
        (sparse.lil_array(np.eye(2)), r"x0 is a sparse lil array of 2 axes: pass a matrix in csr, W.tocsr\(\)"),
        (sparse.dok_array(np.eye(2)), "x0 is a sparse dok array"),
    ):
        with pytest.raises(ContractError, match=words):
            check_gradient(lambda S: S.sum(), lambda S: np.ones((2, 2)), matrix)


# -------------------------------------------------------------------------------------------------------------- torch


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["tensor", "requires_grad", "parameter"])
def test_a_tensor_comes_as_it_is(dtype: str, kind: str) -> None:
    torch = pytest.importorskip("torch")
    base = torch.linspace(0.5, 1.5, 6, dtype=getattr(torch, dtype)).reshape(3, 2).T
    x0 = {
        "W": torch.nn.Parameter(base) if kind == "parameter" else base.clone().requires_grad_(kind == "requires_grad")
    }
    seen = set()

    def fun(p: Any) -> Any:
        seen.add((type(p["W"]), p["W"].requires_grad, tuple(p["W"].shape)))
        return torch.sin(p["W"]).sum()

    def jac(p: Any) -> Any:
        if kind == "tensor":
            return {"W": torch.cos(p["W"])}
        assert p["W"].grad is None
        fun(p).backward()
        return {"W": p["W"].grad}

    r = check_gradient(fun, jac, x0, match_at=5e-2)
    assert (r.verdict, r.dtype) == ("match", dtype), str(r)
    assert seen == {(type(x0["W"]), kind != "tensor", (2, 3))}
    assert x0["W"].grad is None
    # a gradient of NumPy does as well
    assert check_gradient(fun, lambda p: {"dW": np.cos(p["W"].detach().numpy())}, x0, match_at=5e-2).verdict == "match"
    assert check_gradient(fun, lambda p: {"W": 1.5 * torch.cos(p["W"])}, x0, match_at=5e-2).verdict == "mismatch"


def test_a_module_is_checked_in_place_and_left_as_it_was() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(1)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    X = torch.randn(8, 3)
    net(X).sum().backward()
    p = dict(net.named_parameters())
    before = {n: (v.detach().clone(), v.grad, v.grad.clone()) for n, v in p.items()}
    state = torch.get_rng_state()

    def loss() -> Any:
        torch.rand(3)
        return (net(X) ** 2).mean()

    def grad(factor: float = 1.0) -> Any:
        net.zero_grad()
        loss().backward()
        p["0.bias"].grad *= factor
        return {n: v.grad for n, v in p.items()}

    r = check_gradient(loss, grad, p, inplace=True, match_at=5e-2)
    assert r.verdict == "match", str(r)
    for n, v in p.items():
        assert torch.equal(v, before[n][0])
        assert v.grad is before[n][1]
        assert torch.equal(v.grad, before[n][2])
    assert torch.equal(torch.get_rng_state(), state)
    wrong = check_gradient(loss, lambda: grad(1.5), p, inplace=True, match_at=5e-2)
    assert {name for name, v in zip(wrong.table["param"], wrong.table["verdict"], strict=True) if v == "mismatch"} == {
        "0.bias"
    }
    with pytest.raises(
        ContractError, match=r"a module of the class Sequential: pass dict\(module.named_parameters\(\)\)"
    ):
        check_gradient(loss, grad, net, inplace=True)


def test_a_module_is_checked_by_a_function_of_its_parameters() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(2)
    net = torch.nn.Linear(3, 2)
    X = torch.randn(5, 3)

    def loss(p: Any) -> Any:
        return (torch.func.functional_call(net, p, X) ** 2).mean()

    p = dict(net.named_parameters())
    assert check_gradient(loss, torch.func.grad(loss), p, match_at=5e-2).verdict == "match"
    named = check_gradient(
        loss, lambda p: dict(zip(p, torch.autograd.grad(loss(p), list(p.values())), strict=True)), p, match_at=5e-2
    )
    assert named.verdict == "match"
    with pytest.raises(ContractError, match=r"is a tuple, but x0 is a dict of weight, bias: return dict\(zip"):
        check_gradient(loss, lambda p: torch.autograd.grad(loss(p), list(p.values())), p)


def test_an_autograd_function_is_checked_as_a_layer() -> None:
    torch = pytest.importorskip("torch")

    factors = [2.0]

    class Square(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x**2

        @staticmethod
        def backward(ctx: Any, dout: Any) -> Any:
            return factors[0] * ctx.saved_tensors[0] * dout

    x = torch.linspace(0.5, 1.5, 4, dtype=torch.float64, requires_grad=True)
    for factors[0], verdict in ((2.0, "match"), (3.0, "mismatch")):
        r = check_gradient(Square.apply, lambda x, d: torch.autograd.grad(Square.apply(x), x, d)[0], x, vjp=True)
        assert r.verdict == verdict


def test_complex_tensors_have_the_conjugate_convention() -> None:
    torch = pytest.importorskip("torch")
    z = torch.tensor([1 + 2j, 0.5 - 1j], dtype=torch.complex128, requires_grad=True)

    def fun(z: Any) -> Any:
        return (z.abs() ** 2).sum() + z.real.sum() * z.imag.sum()

    r = check_gradient(fun, lambda z: torch.autograd.grad(fun(z), z)[0], z, convention="conjugate")
    assert r.verdict == "match"
    assert check_gradient(fun, lambda z: torch.autograd.grad(fun(z), z)[0], z, convention="plain").verdict == "mismatch"


def test_tied_tensors_and_views_are_known_in_place() -> None:
    torch = pytest.importorskip("torch")
    W = torch.linspace(0.5, 1.5, 6, dtype=torch.float64)
    r = check_gradient(
        lambda: (W**2).sum() + W.sum(), lambda: {"a": 2 * W, "b": torch.ones_like(W)}, {"a": W, "b": W}, inplace=True
    )
    assert (r.verdict, r.n_weights) == ("match", 6)
    # the gradient that a tensor keeps is the sum already
    P = torch.nn.Parameter(W.clone())

    def backward() -> Any:
        P.grad = None
        ((P**2).sum() + P.sum()).backward()
        return {"a": P.grad, "b": P.grad}

    assert check_gradient(lambda: (P**2).sum() + P.sum(), backward, {"a": P, "b": P}, inplace=True).verdict == "match"
    with pytest.raises(ContractError, match="a and b overlap in memory"):
        check_gradient(lambda: 1.0, lambda: 1.0, {"a": W[:4], "b": W[2:]}, inplace=True)
    column = {"c": W.reshape(2, 3)[:, 1]}
    before = W.clone()
    r = check_gradient(lambda: (W**2).sum(), lambda: {"c": 2 * W.reshape(2, 3)[:, 1]}, column, inplace=True)
    assert (r.verdict, r.n_weights) == ("match", 2)
    assert torch.equal(W, before)


TENSORS = {
    "half": (
        '{"W": torch.ones(2, dtype=torch.float16)}',
        {},
        r"x0 \(W\) has dtype torch.float16: must be float32 or float64",
    ),
    "bfloat16": ("torch.ones(2, dtype=torch.bfloat16)", {}, "x0 has dtype torch.bfloat16"),
    "sparse": ("torch.eye(2).to_sparse()", {}, r"x0 is a sparse tensor: pass W.to_dense\(\)"),
    "two types": ('{"a": torch.ones(2), "b": torch.ones(2).double()}', {}, r"x0 mixes float32 \(a\) and float64 \(b\)"),
    "a number with more digits": (
        '{"a": torch.ones(2), "s": 0.1}',
        {},
        r"x0 \(s\) is 0.1, which float32 does not hold",
    ),
    "complex": ("torch.ones(2) * 1j", {}, 'convention="conjugate"'),
    "expanded": ("torch.ones(1).expand(3)", {"inplace": True}, "has entries that share their memory"),
    "whole numbers": ("torch.arange(3)", {"inplace": True}, "holds whole numbers"),
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_that_cannot_be_checked_are_refused_in_one_line(name: str) -> None:
    torch = pytest.importorskip("torch")
    source, options, words = TENSORS[name]
    with pytest.raises(ContractError, match=words) as caught:
        check_gradient(lambda *_: 1.0, lambda *_: 1.0, eval(source, {"torch": torch}), **options)
    assert "\n" not in str(caught.value)


def test_frozen_tensors_and_numbers_beside_tensors() -> None:
    torch = pytest.importorskip("torch")
    x0 = {"W": torch.ones(3), "s": 0.5, "index": torch.tensor([2, 0]), "mask": torch.tensor([True, False])}

    def fun(p: Any) -> Any:
        return (p["W"][p["index"]] ** 2).sum() * p["s"]

    def jac(p: Any) -> Any:
        g = torch.zeros(3)
        g[p["index"]] = 2 * p["W"][p["index"]] * float(p["s"])
        return {"W": g, "s": (p["W"][p["index"]] ** 2).sum()}

    r = check_gradient(fun, jac, x0, match_at=5e-2)
    assert r.frozen == ("index", "mask")
    assert r.count("mismatch") == 0
    assert r.count("match") == 3


def test_a_tensor_that_torch_does_not_follow_is_said_to_need_requires_grad() -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor([0.5, 1.5], dtype=torch.float64)

    def loss(x: Any) -> Any:
        return (x**2).sum()

    def gradient(x: Any) -> Any:
        return torch.autograd.grad(loss(x), x)[0]

    with pytest.raises(ContractError, match=r"does not require grad .*x0\.requires_grad_\(\)"):
        check_gradient(loss, gradient, x)
    assert check_gradient(loss, gradient, x.requires_grad_()).verdict == "match"


# ---------------------------------------------------------------------------------------------------------------- jax


def test_a_pytree_of_jax_with_a_custom_vjp() -> None:
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    @jax.custom_vjp
    def softplus(x: Any) -> Any:
        return jnp.logaddexp(x, 0.0)

    factor = [1.0]
    softplus.defvjp(lambda x: (softplus(x), x), lambda x, dout: (factor[0] * dout * jax.nn.sigmoid(x),))

    def loss(p: Any) -> Any:
        assert isinstance(p["layers"][0]["W"], jax.Array)
        return jnp.sum(softplus(p["layers"][0]["W"] @ jnp.ones(2) + p["layers"][1])) * p["s"]

    p = {"layers": ({"W": jnp.array([[0.5, -1.0], [2.0, 0.3]])}, jnp.ones(2)), "s": 0.5}
    r = check_gradient(loss, jax.grad(loss), p, match_at=5e-2)
    assert r.verdict == "match", str(r)
    assert list(dict.fromkeys(r.table["param"])) == ["layers[0].W", "layers[1]", "s"]
    factor[0] = 1.5
    r = check_gradient(loss, jax.grad(loss), p, match_at=5e-2)
    assert {n for n, v in zip(r.table["param"], r.table["verdict"], strict=True) if v == "mismatch"} == {
        "layers[0].W",
        "layers[1]",
    }
    both = check_gradient(jax.value_and_grad(loss), True, p, match_at=5e-2)
    assert both.verdict == "mismatch"
    with pytest.raises(ContractError, match="which cannot be changed in place: let fun and jac take x"):
        check_gradient(lambda: 1.0, lambda: 1.0, p, inplace=True)


def test_complex_arrays_of_jax_have_the_plain_convention() -> None:
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    z = jnp.array([1 + 2j, 0.5 - 1j])

    def fun(z: Any) -> Any:
        return jnp.sum(jnp.real(z) ** 2 + jnp.imag(z) ** 2 * 3)

    assert check_gradient(fun, jax.grad(fun), z, convention="plain", match_at=5e-2).verdict == "match"
    assert check_gradient(fun, jax.grad(fun), z, convention="conjugate", match_at=5e-2).verdict == "mismatch"


def test_an_upstream_gradient_is_one_of_jax() -> None:
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def forward(p: Any) -> Any:
        return jnp.tanh(p["W"]), [jnp.sum(p["W"])]

    r = check_gradient(
        forward, lambda p, dout: jax.vjp(forward, p)[1](dout)[0], {"W": jnp.ones((2, 2)) / 2}, vjp=True, match_at=5e-2
    )
    assert r.verdict == "match"


# ------------------------------------------------------------------------------------------------- kinds beside each other


def kinds_of(a: Array) -> dict[str, Any]:
    """The array in every kind that holds it in float64."""
    found: dict[str, Any] = {"numpy": a.copy(), "strided": np.stack([a, a], axis=-1)[..., 1]}
    if a.ndim == 1:
        found["series"] = pd.Series(a.copy(), index=[f"k{i}" for i in range(a.size)])
    if a.ndim == 2:
        found["frame"] = pd.DataFrame(a.copy())
        if find_spec("scipy"):
            from scipy import sparse

            found |= {"csr": sparse.csr_array(a), "coo": sparse.coo_array(a)}
    if find_spec("torch"):
        import torch

        found |= {"tensor": torch.from_numpy(a.copy()), "parameter": torch.nn.Parameter(torch.from_numpy(a.copy()))}
    return found


def plain(leaf: Any) -> Array:
    """As an array whose sum is added in the same order, whatever its kind."""
    if hasattr(leaf, "toarray"):
        leaf = leaf.toarray()
    return np.array(leaf.detach().numpy() if hasattr(leaf, "detach") else leaf, order="C")


@settings(max_examples=15, deadline=None)
@given(st.data(), nested(st.sampled_from([(3,), (2, 2), (), (1, 3)])), st.booleans())
def test_leaves_of_any_kinds_give_the_numbers_of_numpy_to_the_bit(data: Any, shapes: Any, inplace: bool) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    # an outermost tuple of numbers would be a shape
    arrays = _of_shapes(lambda shape: rng.uniform(0.5, 1.5, shape), {"p": shapes})
    assume(_readable(arrays))
    kinds = mapped(lambda a: data.draw(st.sampled_from(list(kinds_of(a)))), arrays)
    names = iter(leaves(kinds))
    x0 = mapped(lambda a: kinds_of(a)[next(names)], arrays)
    before = [plain(leaf).tobytes() for leaf in leaves(x0)]
    returned = [
        data.draw(st.sampled_from([k for k in kinds_of(a) if k not in ("frame", "series")])) for a in leaves(arrays)
    ]

    def loss(x: Any = x0) -> Any:
        return sum((np.sum(np.sin(plain(leaf)) * (k + 1)) for k, leaf in enumerate(leaves(x))), np.float64(0))

    def gradient(x: Any = x0, as_numpy: bool = False) -> Any:
        count = iter(range(99))

        def one(leaf: Any) -> Any:
            k = next(count)
            g = np.cos(plain(leaf)) * (k + 1) * (1.01 if k == 0 else 1)
            return np.asarray(g) if as_numpy else kinds_of(np.asarray(g))[returned[k]]

        return mapped(one, x)

    # a given step: looking for a good one asks fun a hundred times more, each time with leaves of the same kinds
    r = check_gradient(loss, gradient, x0, inplace=inplace, eps=1e-5)
    numpy = check_gradient(loss, lambda x: gradient(x, True), arrays, eps=1e-5)
    for column in ("numeric", "analytic", "bound", "flat_index"):
        assert np.array_equal(r.table[column], numpy.table[column]), column
    assert r.table["param"] == numpy.table["param"]
    assert r.verdict == "mismatch"
    assert [plain(leaf).tobytes() for leaf in leaves(x0)] == before


def _of_shapes(f: Any, x: Any) -> Any:
    """f of every shape in a structure of shapes, which are tuples of numbers."""
    if isinstance(x, tuple) and all(isinstance(n, int) for n in x):
        return f(x)
    if isinstance(x, dict):
        return {key: _of_shapes(f, value) for key, value in x.items()}
    if isinstance(x, tuple) and hasattr(x, "_make"):
        return x._make(_of_shapes(f, value) for value in x)
    if isinstance(x, (list, tuple)):
        return type(x)(_of_shapes(f, value) for value in x)
    return type(x)(**{field: _of_shapes(f, value) for field, value in vars(x).items()})


def _readable(x: Any) -> bool:
    try:
        flatten(x)
    except ContractError:
        return False
    return True


# --------------------------------------------------------------------------------------------------------- what is loaded


def test_a_library_is_loaded_only_where_an_object_of_its_own_was_passed() -> None:
    code = (
        "import sys, numpy as np, gradcheck\n"
        "x = {'a': [np.ones(2)], 'b': np.ones(1), 'n': None}\n"
        "f = lambda p: np.sum(p['a'][0] ** 2) + np.sum(p['b'] ** 2)\n"
        "r = gradcheck.check_gradient(f, lambda p: {'a': [2 * p['a'][0]], 'b': 2 * p['b']}, x)\n"
        "gradcheck.check_gradient(lambda: f(x), lambda: {'a': [2 * x['a'][0]], 'b': 2 * x['b']}, x, inplace=True)\n"
        "print(r.verdict, [m for m in ('torch', 'jax', 'pandas', 'scipy') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["match", "[]"], done.stdout


def test_the_flat_vector_of_each_kind_is_that_of_numpy() -> None:
    values = np.linspace(0.5, 1.5, 6).reshape(2, 3)
    kinds: list[Any] = [values, pd.DataFrame(values)]
    for name, make in (("torch", "from_numpy"), ("jax.numpy", "asarray")):
        module = sys.modules.get(name)
        kinds += [] if module is None else [getattr(module, make)(values)]
    for kind in kinds:
        parameters, theta = flatten({"W": kind})
        assert np.array_equal(theta.astype(np.float32), values.reshape(-1).astype(np.float32))
        assert parameters.changed(parameters.views(theta), theta) is None
