"""What a check of somebody's function costs beside the function itself, and what processes and stacks of points save.

The overhead of an evaluation is the time of ``check_gradient`` less that of as many plain calls, in time of the thread, for
a gradient of 441 weights.  Two processes are compared with one on a loss that waits 5 ms, as for a simulation elsewhere,
which shows what handing over costs; and on a loss that computes for 5 ms, beside two bare loops, which shows what the cores
give.  A net of 441 weights is evaluated one point after the other and vectorized, in time of the thread.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import gradcheck
from tests.benchmarks.frame import REPEATS, Row, alternating, at_least, at_most, compared, ratio

WEIGHTS = 441
OVERHEAD_US, PROCESSES, VECTORIZED = 25.0, 1.8, 4.0
LOSS_SECONDS = 5e-3

Array = np.ndarray
RNG = np.random.default_rng(0)
A = RNG.normal(size=WEIGHTS)
X, Y = RNG.normal(size=(8, 13)), RNG.normal(size=(8, 8))
NET = {"W1": RNG.normal(size=(13, 20)) / 4, "b1": np.zeros(20), "W2": RNG.normal(size=(20, 8)) / 4, "s": np.zeros(())}
LONG = RNG.normal(size=2000)


def wave(x: Array) -> Any:
    return np.sum(np.sin(A * x))


def wave_gradient(x: Array) -> Array:
    return A * np.cos(A * x)


def net(p: dict[str, Array]) -> Any:
    """sum((tanh(X W1 + b1) W2 + s - Y)**2) / 2; of one net, or of a stack of k."""
    a = np.tanh(X @ p["W1"] + p["b1"][..., None, :])
    e = a @ p["W2"] + p["s"][..., None, None] - Y
    return (e * e).sum(axis=(-2, -1)) / 2


def net_gradient(p: dict[str, Array]) -> dict[str, Array]:
    a = np.tanh(X @ p["W1"] + p["b1"])
    e = a @ p["W2"] + p["s"] - Y
    back = e @ p["W2"].T * (1 - a * a)
    return {"W1": X.T @ back, "b1": back.sum(axis=0), "W2": a.T @ e, "s": e.sum()}


def waits(x: Array) -> float:
    """sum of sin(x), after 5 ms."""
    time.sleep(LOSS_SECONDS)
    return float(np.sum(np.sin(x)))


def busy(x: Array, rounds: int) -> float:
    """sum of sin(x), and work that does not change it; no threads of BLAS take part."""
    for _ in range(rounds):
        np.sin(LONG)
    return float(np.sum(np.sin(x)))


def busy_gradient(x: Array, rounds: int) -> Array:
    return np.cos(x)


def thread_seconds(work: Callable[[], object]) -> float:
    """The least time of the thread that a work takes: other programs of the machine take none of it."""
    found = []
    for _ in range(REPEATS):
        start = time.thread_time()
        work()
        found.append(time.thread_time() - start)
    return min(found)


def overhead(fun: Callable[[Any], Any], jac: Callable[[Any], Any], x0: Any, **options: Any) -> float:
    """Seconds of an evaluation beside ``fun``."""
    r = gradcheck.check_gradient(fun, jac, x0, **options)
    assert r.ok, str(r)
    own = thread_seconds(lambda: [fun(x0) for _ in range(r.nfev)])
    return (thread_seconds(lambda: gradcheck.check_gradient(fun, jac, x0, **options)) - own) / r.nfev


def rows() -> Iterator[Row]:
    x0 = RNG.normal(size=WEIGHTS)
    for name, fun, jac, start in (("an array", wave, wave_gradient, x0), ("a dict of 4", net, net_gradient, NET)):
        for eps in ("auto", 1e-6):
            text = f"check_gradient, {WEIGHTS} weights in {name}, eps={eps}: µs of an evaluation beside fun"
            yield at_most(text, OVERHEAD_US, overhead(fun, jac, start, eps=eps) * 1e6)
    rounds = max(1, round(LOSS_SECONDS / thread_seconds(lambda: np.sin(LONG))))
    text = "check_gradient, a loss that {} 5 ms, 40 weights: one process over workers=2"
    yield at_least(text.format("waits"), PROCESSES, _two_processes(waits, np.cos, x0[:40]))
    yield compared(text.format("computes for"), _two_processes(busy, busy_gradient, x0[:40], (rounds,)))
    yield compared(
        "two bare loops one after the other over side by side: what the cores give", _side_by_side(99 * rounds)
    )
    plain, stacked = (
        thread_seconds(lambda v=v: gradcheck.check_gradient(net, net_gradient, NET, vectorized=v))
        for v in (False, True)
    )
    yield at_least(
        f"check_gradient, a net of {WEIGHTS} weights: one by one over vectorized", VECTORIZED, plain / stacked
    )


def _two_processes(fun: Any, jac: Any, x0: Array, args: tuple[object, ...] = ()) -> float:
    one, two = alternating(
        *(lambda w=w: gradcheck.check_gradient(fun, jac, x0, args, workers=w) for w in (None, 2)), repeats=3, warm=False
    )
    return ratio(one, two)


def _side_by_side(rounds: int) -> float:
    def both() -> None:
        started = [multiprocessing.Process(target=busy, args=(np.zeros(1), rounds)) for _ in range(2)]
        for process in started:
            process.start()
        for process in started:
            process.join()

    one, two = alternating(lambda: busy(np.zeros(1), 2 * rounds), both, repeats=3, warm=False)
    return ratio(one, two)
