"""Forward error analysis of the dense nets: how far rounding can move the loss and the analytic gradient.

``gradcheck/models/README.md`` has the mathematics on a page, in the order of the functions here.  Rounding errors are
modelled as independent, zero-mean and at most u in relative size (Higham and Mary, "A new approach to probabilistic rounding
error analysis", SIAM J. Sci. Comput. 41, 2019), so that their standard deviations add in squares along the computation.
Examples that are equal make equal errors, which add up linearly; ``repetition`` accounts for that.  Everything here is
computed in float64: it describes the numerics, it is no part of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gradcheck.models.batch import Batch
from gradcheck.models.heads import Head
from gradcheck.models.net import Net, Trace
from gradcheck.models.parts import TEXTBOOK
from gradcheck.models.sums import product_variance, repetition, sum_roundings
from gradcheck.numerics.rounding import ELEMENTARY, VARIANCE, Rounding, binade, known, unit_roundoff

Array = np.ndarray

# inputs below this size say nothing of the scale of the loss
SMALLEST_REACH = 2.0**-24
# below it the square of a number has lost its digits
SMALLEST_SQUARED = 1e-150
# below it products of slopes and rounding errors, and of slopes with each other, underflow
SMALLEST_SLOPE = 1e-50


class Values(NamedTuple):
    """A forward pass in the dtype, ``trace``, and its arrays in float64: a_0..a_{L-1}, their squares, z_1..z_L,
    W_1..W_L, g'(z_l), y.

    equal : for each layer how many equal examples there are of each, on average.   mean : 1/n, or 1 for a sum.
    u : unit roundoff of the dtype.
    """

    trace: Trace
    inputs: list[Array]
    squares: list[Array]
    zs: list[Array]
    weights: list[Array]
    slopes: list[Array]
    y: Array
    equal: list[float]
    mean: float
    u: float


class Variances(NamedTuple):
    """Variances of rounding errors, over u**2: of each layer's z and a as they are computed in a full pass, all (n, h).

    z : of every z_l by its own product.   moved : of z_l where a multiple of one column is added to what is known.
    a : of every hidden a_l by its activation.
    """

    z: list[Array]
    moved: list[Array]
    a: list[Array]


class Forward(NamedTuple):
    """``by`` their own operations, and the variances of z_1..z_L and of the hidden a_1..a_{L-1} by these and all before."""

    by: Variances
    z: list[Array]
    a: list[Array]


class LossErrors(NamedTuple):
    """Variances of what each error adds to the summed loss, to first order.

    own : that of the head's loss.   z, moved, a : those of ``Variances``, (n, h) each.
    deltas : derivatives of the summed loss by every z, (n, h) each, with which they are weighted.
    """

    own: float
    z: list[Array]
    moved: list[Array]
    a: list[Array]
    deltas: list[Array]


class Along(NamedTuple):
    """What is known of losses that are not computed in full where one weight moves.

    variances : of the summed loss along a weight of each layer, (h,), without what all points share.
    last : standard deviation of the summed loss along a weight of the last layer, over u, where that has a formula of its own;
        of the head, z, y and their ``repetition``.
    below : the same of a formula that takes the place of the head's loss along the weights of the layers below.
    """

    variances: Callable[[Net, Values, LossErrors], list[Array]]
    last: Callable[[Head, Array, Array, float], float | None]
    below: Callable[[Head, Array, Array, float], float | None]


class OfLoss(NamedTuple):
    """Standard deviations of the loss in full, and (h,) along the weights of each layer; its size, with the penalty."""

    whole: float
    along: list[Array]
    size: float


class Delta(NamedTuple):
    """delta_l on the way down, (n, h), with the variance of its rounding error; what follows of the step lengths.

    lost : the share of the clipped examples in delta_l; None where none is clipped.
    downstream : (h,) the most that a change of 1 in an entry of z_l changes an entry of a later z.
    """

    value: Array
    variance: Array
    lost: Array | None
    downstream: Array


class Columns(NamedTuple):
    """Of the weights of one parameter: deviation of the gradient, the clipped examples' share, the length."""

    gradient: Array
    clipped: Array | float
    length: Array


def dense_rounding(net: Net, theta: Array, batch: Batch, along: Along | None = None) -> Rounding:
    """The analysis at ``theta``: one forward and one backward pass of variances beside those of values.

    along : of losses where one weight moves; None where these are computed in full.
    """
    v = _values(net, theta, batch)
    forward = _forward(net, v)
    # by the derivatives in float64: where a probability is next to 1, a smaller dtype has lost them
    last = net.head.delta(v.zs[-1], v.y, TEXTBOOK)
    loss = _of_loss(net, v, forward.by, last, along)
    layout = net.layout(batch)
    found = np.zeros((4, layout.size))
    gradient, clipped, length, line = (layout.split(row) for row in found)
    stretch = net.head.scale_of_z(v.zs[-1], v.y)
    # u (L + l2 h**2 / 2) / h, the noise of a difference, grows where the penalty of the step is more than the loss
    farthest = math.sqrt(2 * loss.size / net.l2) if net.l2 and loss.size > 0 else math.inf
    delta = _last_delta(net, v, forward, last, batch)
    for layer in range(len(v.zs), 0, -1):
        suffix = v.trace.suffixes[layer - 1]
        parameters = {"W" + suffix: _of_weights(net, v, forward, delta, layer, stretch, farthest)}
        if net.bias:
            parameters["b" + suffix] = _of_biases(v, delta, stretch)
        for name, columns in parameters.items():
            gradient[name][...], clipped[name][...], length[name][...] = columns
            line[name][...] = loss.along[layer - 1]
        if layer > 1:
            delta = _below(net, v, forward, delta, layer)
    # the share itself is a float64 sum: 2**-30 covers the rounding of a million terms
    found[1] *= 1 + 2.0**-30
    gradients, shares, lengths, lines = found
    return Rounding(known(loss.whole), known(lines), known(gradients), known(shares), lengths, v.u)


def _values(net: Net, theta: Array, batch: Batch) -> Values:
    trace = net.forward(theta, batch)
    n = len(batch.X)
    zs = [np.asarray(z, np.float64) for z in trace.zs]
    inputs = [np.asarray(a, np.float64) for a in trace.inputs]
    return Values(
        trace=trace,
        inputs=inputs,
        squares=[a * a for a in inputs],
        zs=zs,
        weights=[np.asarray(w, np.float64) for w in trace.weights],
        slopes=[np.asarray(net.activation.derivative(z), np.float64) for z in zs[:-1]],
        y=batch.y if batch.y.dtype.kind in "iu" else np.asarray(batch.y, np.float64),
        # examples that saturated units have made equal make equal errors from there on
        equal=[repetition(z) if n else 1.0 for z in zs],
        mean=1 / n if net.averaged else 1.0,
        u=unit_roundoff(theta.dtype),
    )


def _forward(net: Net, v: Values) -> Forward:
    """Variances of a_{l-1} and z_l, of their own operations and of all before."""
    g, u = net.activation, v.u
    by = Variances(
        [], [VARIANCE * binade(z) ** 2 for z in v.zs], [ELEMENTARY * g.roundings * a * a for a in v.inputs[1:]]
    )
    variance_a: list[Array] = []  # of the hidden layers; the inputs themselves are exact
    variance_z: list[Array] = []
    for layer, w in enumerate(v.weights):
        w2 = w * w
        by.z.append(product_variance(v.squares[layer], w2, v.zs[layer] ** 2, 1.0))
        added = u * u * by.z[layer]
        variance_z.append(variance_a[layer - 1] @ w2 + added if layer else added)
        if layer < len(v.weights) - 1:
            variance_a.append(v.slopes[layer] ** 2 * variance_z[layer] + u * u * by.a[layer])
    return Forward(by, variance_z, variance_a)


# --- the loss: what each of these errors does to it, to first order ---------------------------------------------------


def _of_loss(net: Net, v: Values, by: Variances, last_delta: Array, along: Along | None) -> OfLoss:
    groups = v.equal[-1]
    own = net.head.loss_rounding(v.zs[-1], v.y)
    errors = _loss_errors(own, by, *_backward(v.weights, v.slopes, last_delta))
    full = errors.own + sum(float(part.sum()) for part in (*errors.z, *errors.a))
    data = np.abs(np.float64(net.data_loss(v.zs[-1], v.y)))
    penalty = np.float64(net.penalty({k: np.asarray(p, np.float64) for k, p in v.trace.params.items()}))
    # the sum over the examples, the mean, and the penalty added to it
    terms = v.zs[-1].size if v.y.ndim == 2 else len(v.zs[-1])
    examples = v.mean**2 * sum_roundings(data / v.mean, terms, groups)
    last = VARIANCE * (binade(data) ** 2 + binade(data + penalty) ** 2 + binade(penalty) ** 2)
    sums = VARIANCE * examples + last

    def deviation(terms: Array | float, sums: Array) -> Array:
        # the squares of a very small loss vanish; a rounding of the sum remains
        return v.u * np.maximum(np.sqrt(v.mean**2 * groups * terms + sums), max(data, penalty) * VARIANCE)

    whole = float(deviation(full, sums + VARIANCE * 3 * penalty**2))
    if along is None:
        return OfLoss(whole, [np.full(z.shape[1], whole) for z in v.zs], data + penalty)
    variances = along.variances(net, v, errors)
    lines = [deviation(terms, sums) for terms in variances]
    own_way = along.last(net.head, v.zs[-1], v.y, groups)
    if own_way is not None:
        lines[-1] = np.maximum(lines[-1], deviation((net.head.factor * own_way) ** 2, last))
    below = along.below(net.head, v.zs[-1], v.y, groups) if len(lines) > 1 else None
    if below is not None:
        # the errors of z are those that they are; the loss and its sum have other ones
        others = [deviation(terms - errors.own + (net.head.factor * below) ** 2, last) for terms in variances[:-1]]
        lines = [*map(np.maximum, lines[:-1], others), lines[-1]]
    return OfLoss(whole, lines, data + penalty)


def _backward(weights: list[Array], slopes: list[Array], delta: Array) -> tuple[list[Array], list[Array]]:
    """Derivatives of the summed loss by every z_l, from its derivative by the last, and by every hidden a_l; (n, h) each."""
    deltas, backs = [delta], []
    for weight, slope in zip(weights[:0:-1], slopes[::-1], strict=True):
        backs.append(deltas[-1] @ weight.T)
        deltas.append(backs[-1] * slope)
    return deltas[::-1], backs[::-1]


def _loss_errors(own: Array, by: Variances, deltas: list[Array], backs: list[Array]) -> LossErrors:
    """What the errors of the loss itself, (n,), and of every z and a add to the summed loss."""
    z = [d * d * v for d, v in zip(deltas, by.z, strict=True)]
    moved = [d * d * v for d, v in zip(deltas, by.moved, strict=True)]
    a = [b * b * v for b, v in zip(backs, by.a, strict=True)]
    return LossErrors(float((own * own).sum()), z, moved, a, deltas)


# --- the gradient: variances of delta_l and of the sums over the examples ---------------------------------------------


def _last_delta(net: Net, v: Values, forward: Forward, delta: Array, batch: Batch) -> Delta:
    z = v.trace.zs[-1]
    sigma = net.head.delta_rounding(v.zs[-1], v.y, np.sqrt(forward.z[-1]), v.u)
    # in the dtype first: a delta of 1 - p keeps the digits that the gradient under test has
    if z.dtype != np.float64:
        delta = np.asarray(net.head.delta(z, batch.y, TEXTBOOK), np.float64)
    lost = np.where(net.head.beyond(z, batch.y) > 0, delta, 0.0) if net.head.may_clip(z) else None
    return Delta(delta, sigma**2, lost, np.ones(delta.shape[1]))


def _of_weights(
    net: Net, v: Values, forward: Forward, delta: Delta, layer: int, stretch: float, farthest: float
) -> Columns:
    """Of W_l, whose gradient is mean a_{l-1}^T delta_l + l2 W_l."""
    a, a2, w, u = v.inputs[layer - 1], v.squares[layer - 1], v.weights[layer - 1], v.u
    total = a.T @ delta.value
    # adding equal terms to a sum makes equal errors, so the sum's own rounding grows with them too
    delta2 = delta.value**2
    inner = a2.T @ delta.variance
    if layer > 1:
        inner = inner + forward.a[layer - 2].T @ delta2
    inner = inner + product_variance(a2.T, delta2, total**2, u)
    penalised = net.l2 * w
    ends = VARIANCE * u * u * (penalised**2 + (v.mean * total + penalised) ** 2)
    sigma = np.sqrt(v.mean**2 * v.equal[layer - 1] * inner + ends)
    clipped = 0.0 if delta.lost is None else v.mean * (np.abs(a).T @ np.abs(delta.lost))
    # the largest absolute value without an array of them all
    reach = np.maximum(a.max(axis=0, initial=0.0), -a.min(axis=0, initial=0.0))
    # a unit that is all but silent has no scale of its own: its weights take that of its layer, or of single precision
    reach = np.maximum(reach, max(1e-3 * float(reach.max(initial=0.0)), SMALLEST_REACH))
    scale = stretch / (reach[:, None] * np.maximum(delta.downstream, 1.0)[None, :])
    return Columns(_kept(sigma, v.mean * u, a, delta.value), clipped, np.minimum(scale, farthest))


def _of_biases(v: Values, delta: Delta, stretch: float) -> Columns:
    """Of b_l, whose gradient is mean sum_i delta_l,i."""
    n = len(delta.value)
    total = delta.value.sum(axis=0)
    # summed in pairs, so that equal terms are only as bad as terms of one sign
    sums = product_variance(np.ones((1, n)), delta.value**2, total[None] ** 2, v.u)[0]
    sigma = v.mean * np.sqrt((v.equal[-1] * delta.variance).sum(axis=0) + sums)
    clipped = 0.0 if delta.lost is None else v.mean * np.abs(delta.lost).sum(axis=0)
    length = stretch / np.maximum(delta.downstream, 1.0)
    return Columns(_kept(sigma, v.mean * v.u, np.ones(n), delta.value), clipped, length)


def _below(net: Net, v: Values, forward: Forward, delta: Delta, layer: int) -> Delta:
    """delta_{l-1} = (delta_l W_l^T) * g'(z_{l-1})."""
    g, w, u, slope = net.activation, v.weights[layer - 1], v.u, v.slopes[layer - 2]
    w2 = w * w
    back = delta.value @ w.T
    variance_back = delta.variance @ w2.T + product_variance(delta.value**2, w2.T, back**2, u)
    # g' moves with z by at most its curvature, and is itself rounded by a few units
    curvature = np.full(slope.shape, g.curvature)
    if g.steepness is not None:
        # what is smaller could not be squared
        np.minimum(curvature, g.steepness * slope, out=curvature, where=slope > SMALLEST_SLOPE)
    variance_slope = curvature**2 * forward.z[layer - 2] + ((3 if g.roundings else 0) * u * slope) ** 2
    variance = variance_back * slope**2 + back**2 * variance_slope
    lost = delta.lost
    if lost is not None:
        # in the dtype first: the clipped share is that of the gradient under test, digit for digit
        lost = (lost @ w.T) * np.asarray(g.derivative(v.trace.zs[layer - 2]), np.float64)
    return Delta(back * slope, variance, lost, np.abs(w) @ np.maximum(delta.downstream, 1.0))


def _kept(sigma: Array, unit: float, a: Array, delta: Array) -> Array:
    """Standard deviations of a^T delta; where they are so small that their squares vanish, 8 units of |a|^T |delta|."""
    vanished = sigma < SMALLEST_SQUARED
    return np.where(vanished, sigma + 8 * unit * (np.abs(a).T @ np.abs(delta)), sigma) if vanished.any() else sigma
