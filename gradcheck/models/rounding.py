"""Forward error analysis of the dense nets: how far rounding can move the loss and the analytic gradient.

``gradcheck/models/README.md`` has the mathematics on a page, in the order of the functions here.  Rounding errors are
modelled as independent, zero-mean and at most u in relative size (Higham and Mary, "A new approach to probabilistic rounding
error analysis", SIAM J. Sci. Comput. 41, 2019), so that their standard deviations add in squares along the computation.
Examples that are equal make equal errors, which add up linearly; ``repetition`` accounts for that.  Everything here is
computed in float64: it describes the numerics, it is no part of them.

The analysis is one of p nets at once, of the same layers with as many examples each: the first axis of all arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from gradcheck.models.analysed import Along, Columns, Delta, Forward, LossErrors, OfLoss, Values, Variances
from gradcheck.models.batch import Batch
from gradcheck.models.net import Net
from gradcheck.models.parts import TEXTBOOK
from gradcheck.models.sums import product_variance, repetitions, sum_roundings
from gradcheck.numerics.rounding import ELEMENTARY, VARIANCE, Rounding, binade, known, unit_roundoff

Array = np.ndarray

# inputs below this size say nothing of the scale of the loss
SMALLEST_REACH = 2.0**-24
# below it the square of a number has lost its digits
SMALLEST_SQUARED = 1e-150
# below it products of slopes and rounding errors, and of slopes with each other, underflow
SMALLEST_SLOPE = 1e-50


def dense_rounding(net: Net, theta: Array, batch: Batch, along: Along | None = None) -> Rounding:
    """The analysis at ``theta``: one forward and one backward pass of variances beside those of values.

    along : of losses where one weight moves; None where these are computed in full.
    """
    return dense_roundings(net, theta[None], Batch(batch.X[None], batch.y[None]), along)[0]


def dense_roundings(net: Net, thetas: Array, batches: Batch, along: Along | None = None) -> list[Rounding]:
    """The analyses at p thetas (p, size), each with n examples of its own.

    batches : X (p, n, d) and y (p, n, k), or (p, n) class labels.
    """
    v = _values(net, thetas, batches)
    forward = _forward(net, v)
    # by the derivatives in float64: where a probability is next to 1, a smaller dtype has lost them
    last = net.head.delta(v.zs[-1], v.y, TEXTBOOK)
    loss = _of_loss(net, v, forward.by, last, along)
    layout = net.layout(batches)
    found = np.zeros((4, len(thetas), layout.size))
    gradient, clipped, length, line = (layout.split(row) for row in found)
    stretch = np.array([net.head.scale_of_z(z, y) for z, y in zip(v.zs[-1], v.y, strict=True)])
    farthest = np.full(len(thetas), np.inf)
    if net.l2:
        # u (L + l2 h**2 / 2) / h, the noise of a difference, grows where the penalty of the step is more than the loss
        farthest = np.sqrt(2 * loss.size / net.l2, out=farthest, where=loss.size > 0)
    delta = _last_delta(net, v, forward, last, batches)
    for layer in range(len(v.zs), 0, -1):
        suffix = v.trace.suffixes[layer - 1]
        parameters = {"W" + suffix: _of_weights(net, v, forward, delta, layer, stretch, farthest)}
        if net.bias:
            parameters["b" + suffix] = _of_biases(v, delta, stretch)
        for name, columns in parameters.items():
            gradient[name][...], clipped[name][...], length[name][...] = columns
            line[name][...] = loss.along[layer - 1].reshape(len(thetas), *[1] * (line[name].ndim - 2), -1)
        if layer > 1:
            delta = _below(net, v, forward, delta, layer)
    # the share itself is a float64 sum: 2**-30 covers the rounding of a million terms
    found[1] *= 1 + 2.0**-30
    gradients, shares, lengths, lines = found
    each = zip(loss.whole.tolist(), known(lines), known(gradients), known(shares), lengths, strict=True)
    return [Rounding(known(whole), line, own, share, size, v.u) for whole, line, own, share, size in each]


def _values(net: Net, theta: Array, batch: Batch) -> Values:
    trace = net.forward(theta, batch)
    n = batch.X.shape[1]
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
        equal=[repetitions(z) if n else np.ones(len(z)) for z in zs],
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
    full = errors.own + sum(part.reshape(len(part), -1).sum(axis=1) for part in (*errors.z, *errors.a))
    data = np.abs(np.asarray(net.data_loss(v.zs[-1], v.y), np.float64))
    penalty = np.zeros(len(data)) + net.penalty({k: np.asarray(p, np.float64) for k, p in v.trace.params.items()})
    # the sum over the examples, the mean, and the penalty added to it
    terms = math.prod(v.zs[-1].shape[1:]) if v.y.ndim == 3 else v.zs[-1].shape[1]
    examples = v.mean**2 * sum_roundings(data / v.mean, terms, groups)
    last = VARIANCE * (binade(data) ** 2 + binade(data + penalty) ** 2 + binade(penalty) ** 2)
    sums = VARIANCE * examples + last
    # the squares of a very small loss vanish; a rounding of the sum remains
    least = np.where(penalty > data, penalty, data) * VARIANCE

    def deviation(terms: Array, sums: Array) -> Array:
        """From variances (p,), or (p, h)."""
        wide = (-1, *[1] * (terms.ndim - 1))
        squares = v.mean**2 * groups.reshape(wide) * terms + sums.reshape(wide)
        return v.u * np.maximum(np.sqrt(squares), least.reshape(wide))

    # the power of one number, which is not always rounded as a product is
    whole = deviation(full, sums + VARIANCE * 3 * np.array([number**2 for number in penalty]))
    if along is None:
        return OfLoss(whole, [np.repeat(whole[:, None], z.shape[2], axis=1) for z in v.zs], data + penalty)
    variances = [along.variances(net, v.of(p), errors.of(p)) for p in range(len(data))]
    of_layers = [np.stack(of_layer) for of_layer in zip(*variances, strict=True)]
    lines = [deviation(terms, sums) for terms in of_layers]
    own_ways = [way for way in along.last(net.head, v.zs[-1], v.y, groups) if way is not None]
    if own_ways:
        own_way = deviation(np.array([(net.head.factor * way) ** 2 for way in own_ways]), last)
        lines[-1] = np.maximum(lines[-1], own_way[:, None])
    each = zip(v.zs[-1], v.y, groups.tolist(), strict=True)
    below = [along.below(net.head, z, y, equal) for z, y, equal in each] if len(lines) > 1 else []
    if any(way is not None for way in below):
        squares = np.array([[np.nan if way is None else (net.head.factor * way) ** 2] for way in below])
        # the errors of z are those that they are; the loss and its sum have other ones
        others = [deviation(terms - errors.own[:, None] + squares, last) for terms in of_layers[:-1]]
        has_one = ~np.isnan(squares)
        pairs = zip(lines[:-1], others, strict=True)
        lines = [*(np.where(has_one, np.maximum(line, other), line) for line, other in pairs), lines[-1]]
    return OfLoss(whole, lines, data + penalty)


def _backward(weights: list[Array], slopes: list[Array], delta: Array) -> tuple[list[Array], list[Array]]:
    """Derivatives of the summed loss by every z_l, from that by the last, and by every hidden a_l; (p, n, h) each."""
    deltas, backs = [delta], []
    for weight, slope in zip(weights[:0:-1], slopes[::-1], strict=True):
        backs.append(deltas[-1] @ _T(weight))
        deltas.append(backs[-1] * slope)
    return deltas[::-1], backs[::-1]


def _loss_errors(own: Array, by: Variances, deltas: list[Array], backs: list[Array]) -> LossErrors:
    """What the errors of the loss itself, (p, n), and of every z and a add to the summed loss."""
    z = [d * d * v for d, v in zip(deltas, by.z, strict=True)]
    moved = [d * d * v for d, v in zip(deltas, by.moved, strict=True)]
    a = [b * b * v for b, v in zip(backs, by.a, strict=True)]
    return LossErrors((own * own).sum(axis=1), z, moved, a, deltas)


# --- the gradient: variances of delta_l and of the sums over the examples ---------------------------------------------


def _last_delta(net: Net, v: Values, forward: Forward, delta: Array, batch: Batch) -> Delta:
    z = v.trace.zs[-1]
    sigma = net.head.delta_rounding(v.zs[-1], v.y, np.sqrt(forward.z[-1]), v.u)
    # in the dtype first: a delta of 1 - p keeps the digits that the gradient under test has
    if z.dtype != np.float64:
        delta = np.asarray(net.head.delta(z, batch.y, TEXTBOOK), np.float64)
    lost = np.where(net.head.beyond(z, batch.y) > 0, delta, 0.0) if net.head.may_clip(z) else None
    return Delta(delta, sigma**2, lost, np.ones((len(delta), delta.shape[2])))


def _of_weights(
    net: Net, v: Values, forward: Forward, delta: Delta, layer: int, stretch: Array, farthest: Array
) -> Columns:
    """Of W_l, whose gradient is mean a_{l-1}^T delta_l + l2 W_l."""
    a, a2, w, u = v.inputs[layer - 1], v.squares[layer - 1], v.weights[layer - 1], v.u
    total = _T(a) @ delta.value
    # adding equal terms to a sum makes equal errors, so the sum's own rounding grows with them too
    delta2 = delta.value**2
    inner = _T(a2) @ delta.variance
    if layer > 1:
        inner = inner + _T(forward.a[layer - 2]) @ delta2
    inner = inner + product_variance(_T(a2), delta2, total**2, u)
    penalised = net.l2 * w
    ends = VARIANCE * u * u * (penalised**2 + (v.mean * total + penalised) ** 2)
    sigma = np.sqrt(v.mean**2 * v.equal[layer - 1][:, None, None] * inner + ends)
    clipped = 0.0 if delta.lost is None else v.mean * (_T(np.abs(a)) @ np.abs(delta.lost))
    # the largest absolute value without an array of them all
    reach = np.maximum(a.max(axis=1, initial=0.0), -a.min(axis=1, initial=0.0))
    # a unit that is all but silent has no scale of its own: its weights take that of its layer, or of single precision
    reach = np.maximum(reach, np.maximum(1e-3 * reach.max(axis=1, initial=0.0, keepdims=True), SMALLEST_REACH))
    scale = stretch[:, None, None] / (reach[:, :, None] * np.maximum(delta.downstream, 1.0)[:, None, :])
    kept = _kept(sigma, v.mean * u, lambda: _T(np.abs(a)) @ np.abs(delta.value))
    return Columns(kept, clipped, np.minimum(scale, farthest[:, None, None]))


def _of_biases(v: Values, delta: Delta, stretch: Array) -> Columns:
    """Of b_l, whose gradient is mean sum_i delta_l,i."""
    n = delta.value.shape[1]
    total = delta.value.sum(axis=1)
    # summed in pairs, so that equal terms are only as bad as terms of one sign
    sums = product_variance(np.ones((1, n)), delta.value**2, total[:, None] ** 2, v.u)[:, 0]
    sigma = v.mean * np.sqrt((v.equal[-1][:, None, None] * delta.variance).sum(axis=1) + sums)
    clipped = 0.0 if delta.lost is None else v.mean * np.abs(delta.lost).sum(axis=1)
    length = stretch[:, None] / np.maximum(delta.downstream, 1.0)
    return Columns(_kept(sigma, v.mean * v.u, lambda: np.ones(n) @ np.abs(delta.value)), clipped, length)


def _below(net: Net, v: Values, forward: Forward, delta: Delta, layer: int) -> Delta:
    """delta_{l-1} = (delta_l W_l^T) * g'(z_{l-1})."""
    g, w, u, slope = net.activation, v.weights[layer - 1], v.u, v.slopes[layer - 2]
    w2 = w * w
    back = delta.value @ _T(w)
    variance_back = delta.variance @ _T(w2) + product_variance(delta.value**2, _T(w2), back**2, u)
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
        lost = (lost @ _T(w)) * np.asarray(g.derivative(v.trace.zs[layer - 2]), np.float64)
    downstream = (np.abs(w) @ np.maximum(delta.downstream, 1.0)[:, :, None])[:, :, 0]
    return Delta(back * slope, variance, lost, downstream)


def _kept(sigma: Array, unit: float, size: Callable[[], Array]) -> Array:
    """Standard deviations of a^T delta; where they are so small that their squares vanish, 8 units of |a|^T |delta|."""
    vanished = sigma < SMALLEST_SQUARED
    return np.where(vanished, sigma + 8 * unit * size(), sigma) if vanished.any() else sigma


def _T(matrices: Array) -> Array:
    """Each matrix transposed."""
    return matrices.swapaxes(-1, -2)
