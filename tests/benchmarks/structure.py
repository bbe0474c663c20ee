"""What the structure of a model saves: numeric gradients of many weights against the loops of others over the same loss.

The numeric gradient is timed from the weights to the difference quotients; so is that of every other.  Data are laid out
before, as the cells of a grid share them; the first row says what that takes.  Where a loop would take minutes it is timed on
some of the weights, and the time multiplied: the note says on how many.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from gradcheck.bugs import BUGS
from gradcheck.experiment.cell import Cell, pose
from gradcheck.experiment.sources.gaussian import Gaussian
from gradcheck.experiment.sources.init import Normal
from gradcheck.models import MLP, Logistic, Softmax
from gradcheck.numerics.check import check
from gradcheck.numerics.problem import Problem
from gradcheck.numerics.schemes import SCHEMES, difference_quotient, losses_at, perturbed_weights, representable_step
from gradcheck.numerics.threads import over_blocks
from tests.benchmarks.frame import Row, alternating, at_least, at_most, missing, ratio, skipped, wide

EPS = 1e-5
CENTRAL = SCHEMES["central"]
N, D = 5000, 1000
WIDTHS = [64, 32]
# a block that the second-level cache holds, for the calls of exp
BLOCK = 2**16


def posed(model: Any, n: int, d: int) -> tuple[Problem, Any]:
    """A problem whose logits are of size 1, and its data."""
    data = Gaussian(n=n, d=d)
    cell = Cell(model, data, Normal(0, d**-0.5), BUGS["none"](), CENTRAL, np.dtype(float), 1e-2)
    batch = data.batch(model.target, cell.dtype)
    return pose(cell), batch


def numeric(problem: Problem) -> np.ndarray:
    """Central differences of all weights."""
    theta, index = problem.theta, np.arange(problem.theta.size)
    assert problem.perturbed_losses is not None
    points = perturbed_weights(theta, representable_step(theta, np.full(theta.size, EPS)), CENTRAL.offsets)
    losses, _ = problem.perturbed_losses(index, points)
    # the central formula has no point at theta
    return difference_quotient(CENTRAL, theta, points, losses, np.float64(np.nan))


def agree(problem: Problem, found: Any, index: Any = slice(None)) -> None:
    """Nobody is fast by computing something else: h**2 f''' and the noise over h are below 1e-8 here."""
    np.testing.assert_allclose(np.asarray(found), problem.analytic[index], atol=1e-8)


# --- the others ------------------------------------------------------------------------------------------------------


def scipy_loop(problem: Problem, X: np.ndarray, y: np.ndarray) -> Callable[[], Any]:
    from scipy.optimize._numdiff import approx_derivative

    t = y[:, 0]

    def loss(theta: np.ndarray) -> Any:
        z = X @ theta[:-1] + theta[-1]
        return np.mean(np.logaddexp(0, z) - t * z)

    return lambda: approx_derivative(loss, problem.theta, method="3-point", abs_step=EPS)


def torch_slow(loss: Callable[[Any, Any], Any], problem: Problem, some: np.ndarray) -> Callable[[], Any]:
    """torch.autograd.gradcheck of ``loss(torch, theta)`` in the weights ``some``."""
    import torch

    theta, chosen = torch.tensor(problem.theta), torch.tensor(some)

    def restricted(part: Any) -> Any:
        return loss(torch, theta.index_put((chosen,), part))

    part = theta[chosen].clone().requires_grad_()
    return lambda: torch.autograd.gradcheck(restricted, (part,), eps=EPS, fast_mode=False)


def jax_gradients(problem: Problem, X: np.ndarray, y: np.ndarray) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """By jit and vmap over the whole loss, and over the loss along the line of one logit's input."""
    import jax

    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    theta = jnp.asarray(problem.theta)
    data, t = jnp.asarray(X), jnp.asarray(y[:, 0])
    columns = jnp.concatenate([data.T, jnp.ones((1, len(X)))])

    def total(z: Any) -> Any:
        return jnp.mean(jax.nn.softplus(z) - t * z)

    def loss(theta: Any) -> Any:
        return total(data @ theta[:-1] + theta[-1])

    @jax.jit
    def whole(theta: Any) -> Any:
        steps = EPS * jnp.eye(theta.size)
        return jax.vmap(lambda h: (loss(theta + h) - loss(theta - h)) / (2 * EPS))(steps)

    @jax.jit
    def lines(theta: Any, columns: Any) -> Any:
        z = data @ theta[:-1] + theta[-1]
        return jax.vmap(lambda x: (total(z + EPS * x) - total(z - EPS * x)) / (2 * EPS))(columns)

    return lambda: whole(theta).block_until_ready(), lambda: lines(theta, columns).block_until_ready()


def exponentials(X: np.ndarray) -> Callable[[], None]:
    """One exp for each entry of X, on all cores, in blocks."""
    rows = max(1, BLOCK // X.shape[1])

    def work(blocks: Iterator[slice]) -> None:
        out = np.empty((rows, X.shape[1]))
        for block in blocks:
            np.exp(X[block], out=out[: block.stop - block.start])

    return lambda: over_blocks(work, len(X), rows, X.size)


# --- the figures -----------------------------------------------------------------------------------------------------


def logistic_rows() -> Iterator[Row]:
    name = f"logistic, n = {N}, d = {D}, central, float64: "
    model = Logistic()
    problem, batch = posed(model, N, D)
    X, y = batch.X, batch.y
    agree(problem, numeric(problem))

    def own() -> Any:
        return numeric(problem)

    def anew() -> Any:
        return numeric(replace(problem, perturbed_losses=model.perturbation(problem.theta, batch).losses))

    times, exps, first = alternating(own, exponentials(X), anew, repeats=11)
    one, other, laid = (statistics.median(t) for t in (times, exps, first))
    note = f"{one:.3f} s against {other:.4f} s; {laid:.3f} s where the data must be laid out and passed forward first"
    limit = 2 if wide() else 1.4
    yield at_most(name + "numeric gradient against n d exp on all cores", limit, ratio(times, exps), note)

    def verdict() -> Any:
        return check(problem, CENTRAL, EPS, 1e-2)

    assert verdict().summary["verdict"] == "match"
    times, full, exps = alternating(own, verdict, exponentials(X))
    yield at_most(name + "full verdict, warm, against n d exp on all cores", 5 if wide() else 3, ratio(full, exps))
    yield at_most(name + "full verdict against the numeric gradient alone", 3.5, ratio(full, times))

    if why := missing("scipy"):
        yield skipped(name + "SciPy", "40 or more", why)
    else:
        loop = scipy_loop(problem, X, y)
        agree(problem, loop())
        times, full, theirs = alternating(own, verdict, loop, warm=False)
        note = f"{statistics.median(theirs):.2f} s"
        yield at_least(
            name + "SciPy's 3-point differences against the numeric gradient", 40, ratio(theirs, times), note
        )
        yield at_least(name + "SciPy's 3-point differences against the full verdict", 12, ratio(theirs, full), note)

    if why := missing("torch"):
        yield skipped(name + "torch", "100 or more", why)
    else:
        some = np.arange(0, problem.theta.size, 10)
        import torch

        data, t = torch.tensor(X), torch.tensor(y[:, 0])

        def loss(torch: Any, theta: Any) -> Any:
            z = data @ theta[:-1] + theta[-1]
            return torch.nn.functional.binary_cross_entropy_with_logits(z, t)

        times, theirs = alternating(own, torch_slow(loss, problem, some), warm=False)
        times_all = problem.theta.size / len(some)
        measured = times_all * ratio(theirs, times)
        note = f"{times_all * statistics.median(theirs):.1f} s, measured on {len(some)} weights"
        yield at_least(name + "torch.autograd.gradcheck (slow mode) against the numeric gradient", 100, measured, note)

    if why := missing("jax"):
        yield skipped(name + "JAX", "5 or more", why)
        yield skipped(name + "JAX with the same structure", "1 or more", why)
    else:
        whole, lines = jax_gradients(problem, X, y)
        agree(problem, whole())
        agree(problem, lines())
        times, theirs, structured = alternating(own, whole, lines)
        yield at_least(name + "JAX jit + vmap of the loss against the numeric gradient", 5, ratio(theirs, times))
        yield at_least(name + "JAX jit + vmap along lines against the numeric gradient", 1, ratio(structured, times))


def growth_rows() -> Iterator[Row]:
    for letter, other, sizes in (
        ("d", "n = 2000", (250, 500, 1000, 2000, 4000)),
        ("n", "d = 500", (1250, 2500, 5000, 10_000)),
    ):
        problems = [posed(Logistic(), *((2000, size) if letter == "d" else (size, 500)))[0] for size in sizes]
        times = alternating(*(lambda p=p: numeric(p) for p in problems))
        growths = [ratio(slow, fast) for fast, slow in itertools.pairwise(times)]
        note = f"{letter} from {sizes[0]} to {sizes[-1]}: " + ", ".join(f"{g:.2f}" for g in growths)
        text = f"logistic, {other}: growth of the time when {letter} is doubled, the largest"
        yield at_most(text, 2.1, max(growths), note)


def plain_loop(problem: Problem, some: np.ndarray) -> Callable[[], Any]:
    """The loss in full at two points along each of some weights."""
    points = perturbed_weights(problem.theta[some], np.full(len(some), EPS), CENTRAL.offsets)
    return lambda: losses_at(problem.loss, problem.theta, some, points)


def softmax_row() -> Row:
    n, d, classes = 2000, 100, 10
    problem, _ = posed(Softmax(n_classes=classes), n, d)
    agree(problem, numeric(problem))
    some = np.arange(0, problem.theta.size, 11)
    times, loop = alternating(lambda: numeric(problem), plain_loop(problem, some))
    name = f"softmax, n = {n}, d = {d}, {classes} classes: plain NumPy loop over the loss against the numeric gradient"
    note = f"{statistics.median(times):.4f} s; the loop measured on {len(some)} weights"
    return at_least(name, 25, problem.theta.size / len(some) * ratio(loop, times), note)


def mlp_rows() -> Iterator[Row]:
    n, d = 1000, 100
    problem, batch = posed(MLP(WIDTHS), n, d)
    size = problem.theta.size
    name = f"mlp {d}-{'-'.join(map(str, WIDTHS))}-1, n = {n}, all {size} weights: "
    agree(problem, numeric(problem))
    # of all layers alike
    some = np.arange(0, size, 101)
    times, loop = alternating(lambda: numeric(problem), plain_loop(problem, some))
    note = f"{statistics.median(times):.2f} s; the loop measured on {len(some)} weights"
    measured = size / len(some) * ratio(loop, times)
    yield at_least(name + "plain NumPy loop over the loss against the numeric gradient", 25, measured, note)

    if why := missing("torch"):
        yield skipped(name + "torch", "20 or more", why)
        return
    import torch

    data, t = torch.tensor(batch.X), torch.tensor(batch.y)
    shapes = [(v.shape, v.size) for v in problem.layout.split(problem.theta).values()]

    def loss(torch: Any, theta: Any) -> Any:
        a = data
        parts = [p.reshape(shape) for p, (shape, _) in zip(theta.split([k for _, k in shapes]), shapes, strict=True)]
        for layer in range(0, len(parts), 2):
            a = torch.tanh(a) if layer else a
            a = a @ parts[layer] + parts[layer + 1]
        return torch.nn.functional.binary_cross_entropy_with_logits(a, t)

    np.testing.assert_allclose(loss(torch, torch.tensor(problem.theta)).item(), problem.loss(problem.theta), rtol=1e-12)
    times, theirs = alternating(lambda: numeric(problem), torch_slow(loss, problem, some), warm=False)
    note = f"torch measured on {len(some)} weights"
    measured = size / len(some) * ratio(theirs, times)
    yield at_least(name + "torch.autograd.gradcheck (slow mode) against the numeric gradient", 20, measured, note)


def rows() -> Iterator[Row]:
    """Every figure of this module."""
    yield from logistic_rows()
    yield from growth_rows()
    yield softmax_row()
    yield from mlp_rows()
