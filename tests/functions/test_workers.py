"""Several processes, a map of the caller and stacks of points give the numbers of plain calls, in their order."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from multiprocessing.pool import ThreadPool
from typing import Any

import numpy as np
import pytest

import gradcheck
from gradcheck.functions import processes
from gradcheck.functions.points import Entries

Array = np.ndarray

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 5)), RNG.normal(size=20)
X0 = {"W": RNG.normal(size=(5, 3)), "v": RNG.normal(size=3)}


def loss(p: dict[str, Array], X: Array = X, y: Array = Y) -> float:
    return float(np.mean((np.tanh(X @ p["W"]) @ p["v"] - y) ** 2))


def gradient(p: dict[str, Array], X: Array = X, y: Array = Y) -> dict[str, Array]:
    a = np.tanh(X @ p["W"])
    e = 2 * (a @ p["v"] - y) / len(y)
    return {"W": X.T @ (e[:, None] * p["v"] * (1 - a * a)), "v": a.T @ e}


def both(p: dict[str, Array]) -> tuple[float, dict[str, Array]]:
    return loss(p), gradient(p)


def outputs(x: Array) -> Array:
    return np.array([np.sin(x).sum(), np.prod(x)])


def jacobian(x: Array) -> Array:
    return np.array([np.cos(x), np.prod(x) / x])


def log_sum(x: Array) -> float:
    if (x <= 0).any():
        raise ValueError("outside the domain")
    return float(np.log(x).sum())


def inverse(x: Array) -> Array:
    return 1 / x


CASES: dict[str, tuple[Any, Any, Any, dict[str, Any]]] = {
    "a net": (loss, gradient, X0, {}),
    "with arguments": (loss, gradient, X0, {"args": (2 * X, Y)}),
    "value and gradient": (both, True, X0, {}),
    "several outputs": (outputs, jacobian, np.array([0.3, 1.2, -0.7]), {}),
    "raises beyond its domain": (log_sum, inverse, np.array([1e-12, 1.0, 2.0]), {}),
    "fixed step, bounds": (log_sum, inverse, np.array([0.5, 1.0]), {"eps": 1e-4, "bounds": [(0.5, None)] * 2}),
    "complex step": (outputs, jacobian, np.array([0.3, 1.2, -0.7]), {"scheme": "complex_step"}),
    "a budget": (loss, gradient, X0, {"max_nfev": 120}),
}


def same(a: gradcheck.Outcome, b: gradcheck.Outcome) -> None:
    for name, column in a.table.items():
        assert np.array_equal(np.asarray(column, object), np.asarray(b.table[name], object)) or np.array_equal(
            column, b.table[name], equal_nan=True
        ), name
    assert (a.verdict, a.nfev, a.njev, a.notes) == (b.verdict, b.nfev, b.njev, b.notes)


@pytest.fixture(scope="module")
def threads() -> Iterator[ThreadPool]:
    with ThreadPool(2) as pool:
        yield pool


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["processes", "threads", "map"])
def test_the_numbers_are_those_of_one_process(case: str, kind: str, threads: ThreadPool) -> None:
    fun, jac, x0, options = CASES[case]
    workers: Any = {"processes": 2, "threads": threads.map, "map": map}[kind]
    plain = gradcheck.check_gradient(fun, jac, x0, **options)
    same(plain, gradcheck.check_gradient(fun, jac, x0, **options, workers=workers))


def test_processes_are_started_once_and_gone_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    start = multiprocessing.Process.start

    def counted(process: Any) -> None:
        started.append(process)
        start(process)

    monkeypatch.setattr(multiprocessing.Process, "start", counted)
    gradcheck.check_gradient(loss, gradient, X0, workers=2)
    assert len(started) == 2
    assert not any(process.is_alive() for process in started)
    assert not multiprocessing.active_children()


HERE = os.getpid()


def elsewhere(x: Array) -> float:
    assert os.getpid() != HERE or x[0] == 1, "evaluated in the process that asked"
    return float(np.sum(x**2))


def double(x: Array) -> Array:
    return 2 * x


def dies(x: Array) -> float:
    if os.getpid() != HERE:
        os._exit(9)
    return float(np.sum(x**2))


CALLS = [0]


def dies_later(x: Array) -> float:
    CALLS[0] += os.getpid() != HERE
    if CALLS[0] > 7:
        os._exit(9)
    return float(np.sum(x**2))


def changes(x: Array) -> float:
    x[0] += os.getpid() != HERE
    return float(np.sum(x**2))


def test_other_processes_do_the_work() -> None:
    # the contract is seen to at x0, in this process; its first entry is 1 along the second weight too
    assert gradcheck.check_gradient(elsewhere, double, np.array([1.0, 2.0]), workers=2, sample=1, seed=1).ok


@pytest.mark.parametrize("fun", [dies, dies_later])
def test_a_process_that_dies_is_an_error_and_not_a_wait_for_ever(fun: Callable[[Array], float]) -> None:
    # one that has worked before has its next points already, and may die before it is sent more
    with pytest.raises(gradcheck.ContractError, match="a process died"):
        gradcheck.check_gradient(fun, double, np.ones(30), workers=2)
    assert not multiprocessing.active_children()


class Pipe:
    """An end of a pipe that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[int] = []

    def send_bytes(self, message: bytes) -> None:
        self.sent.append(pickle.loads(message).count)


@pytest.mark.parametrize(("size", "ahead"), [(100, True), (100_000, False)])
def test_a_process_has_its_next_points_while_it_works_if_they_are_few(size: int, ahead: bool) -> None:
    parts = processes._Parts(Entries(np.ones(size), np.arange(10), np.zeros(10)), 5)
    first, second = Pipe(), Pipe()
    has: Any = {first: [], second: []}
    parts.hand_out(has)
    assert list(has.values()) == ([[0, 2], [1, 3]] if ahead else [[0], [1]])
    has[second].pop(0)
    parts.hand_out(has)
    assert list(has.values()) == ([[0, 2], [3, 4]] if ahead else [[0], [2]])
    has[first].pop(0)
    parts.hand_out(has)
    assert first.sent + second.sent == [2] * (5 if ahead else 4)


def test_a_broken_contract_is_told_from_another_process_too() -> None:
    with pytest.raises(gradcheck.ContractError, match="fun changes its argument x in place"):
        gradcheck.check_gradient(changes, double, np.ones(3), workers=2)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("what", ["fun", "args[0]"])
def test_what_cannot_be_pickled_is_refused_in_one_line_that_says_how(what: str) -> None:
    fun: Any = elsewhere if what != "fun" else lambda x: float(np.sum(x**2))
    args = (threading.Lock(),) if what == "args[0]" else ()
    with pytest.raises(gradcheck.ContractError) as error:
        gradcheck.check_gradient(
            (lambda x, *_: fun(x)) if what == "fun" else with_lock, lambda x, *_: 2 * x, np.ones(3), args, workers=2
        )
    words = str(error.value)
    assert words.startswith(f"workers=2: {what} cannot be pickled (")
    assert "top level of a module" in words
    assert "\n" not in words


def with_lock(x: Array, lock: Any) -> float:
    return float(np.sum(x**2))


@pytest.mark.parametrize("bad", [0, -2, 1.5, True, "two"])
def test_workers_are_a_number_or_a_map(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"^workers=.*must be a number of processes"):
        gradcheck.check_gradient(loss, gradient, X0, workers=bad)


def test_a_map_that_loses_points_is_refused() -> None:
    with pytest.raises(gradcheck.ContractError, match="must map as the builtin map does"):
        gradcheck.check_gradient(loss, gradient, X0, workers=lambda f, points: [f(p) for p in points][:-1])


# --- stacks of points -------------------------------------------------------------------------------------------------


def stacked(fun: Callable[..., Any]) -> Callable[..., Array]:
    """The vectorized form of a function of one point, computed point after point: the very same bits."""

    def values(x: Any, *args: Any) -> Array:
        k = len(x["W"]) if isinstance(x, dict) else len(x)
        points = ({n: part[j] for n, part in x.items()} if isinstance(x, dict) else x[j] for j in range(k))
        return np.array([fun(p, *args) for p in points])

    return values


@pytest.mark.parametrize("case", [case for case in CASES if CASES[case][1] is not True and case != "a budget"])
def test_a_vectorized_function_gives_the_same_numbers(case: str) -> None:
    fun, jac, x0, options = CASES[case]
    plain = gradcheck.check_gradient(fun, jac, x0, **options)
    found = gradcheck.check_gradient(stacked(fun), jac, x0, **options, vectorized=True)
    for name in ("numeric", "bound", "step", "abs_err"):
        assert np.array_equal(plain.table[name], found.table[name], equal_nan=True), name
    assert found.table["verdict"] == plain.table["verdict"]


def test_both_together_too() -> None:
    plain = gradcheck.check_gradient(loss, gradient, X0)
    found = gradcheck.check_gradient(stacked_loss, gradient, X0, vectorized=True, workers=2)
    assert np.array_equal(plain.table["numeric"], found.table["numeric"])


def stacked_loss(p: dict[str, Array]) -> Array:
    return stacked(loss)(p)


def test_few_calls_are_made() -> None:
    calls = [0]

    def fun(p: dict[str, Array]) -> Array:
        calls[0] += 1
        return np.mean((np.einsum("knh,kh->kn", np.tanh(np.einsum("nd,kdh->knh", X, p["W"])), p["v"]) - Y) ** 2, axis=1)

    r = gradcheck.check_gradient(fun, gradient, X0, vectorized=True)
    assert r.verdict == "match", str(r)
    assert calls[0] < r.nfev / 4


@pytest.mark.parametrize(("size", "most"), [(20, 128), (300, 109), (2000, 64)])
def test_stacks_are_small_enough_for_their_memory_to_be_kept(size: int, most: int) -> None:
    lengths = []

    def fun(x: Array) -> Array:
        lengths.append(len(x))
        return (x**2).sum(axis=1)

    assert gradcheck.check_gradient(fun, double, np.linspace(1, 2, size), vectorized=True, sample=min(size, 150)).ok
    assert max(lengths) == min(most, 4 * (min(size, 150) - 4))


VECTORIZED: dict[str, tuple[Callable[[Array], Any], str]] = {
    "one number": (lambda x: np.sum(x**2), r"returns the shape \(1,\) for one stacked point, but it returns \(\)"),
    "another axis": (lambda x: np.sum(x**2, axis=0), r"but it returns|returns the shape"),
    "points mixed": (
        lambda x: np.sum((x / x.sum(axis=0)) ** 2, axis=1) + np.sum(x, axis=1),
        "depend on its own point only",
    ),
    "its argument changed": (lambda x: np.sum(np.multiply(x, 2, out=x), axis=1), "changes its argument x in place"),
}


@pytest.mark.parametrize("name", VECTORIZED)
def test_a_function_that_is_not_vectorized_is_told_so(name: str) -> None:
    fun, words = VECTORIZED[name]
    with pytest.raises(gradcheck.ContractError, match=words):
        gradcheck.check_gradient(fun, lambda x: 2 * x, np.arange(1.0, 4.0), vectorized=True)


def test_value_and_gradient_in_one_are_not_vectorized() -> None:
    with pytest.raises(gradcheck.ContractError, match="vectorized=True: needs jac to be a function"):
        gradcheck.check_gradient(both, True, X0, vectorized=True)


def test_a_map_that_pickles_says_what_it_cannot() -> None:
    def pickling(f: Any, points: Any) -> list[Any]:

        return [pickle.loads(pickle.dumps(f))(p) for p in points]

    same(gradcheck.check_gradient(loss, gradient, X0), gradcheck.check_gradient(loss, gradient, X0, workers=pickling))
    with pytest.raises(gradcheck.ContractError, match=r"^workers: .*local.*top level of a module"):
        gradcheck.check_gradient(lambda p: loss(p), gradient, X0, workers=pickling)
