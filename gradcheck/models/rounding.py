"""Forward error analysis of the dense models: how far rounding can move the loss and the analytic gradient.

Rounding errors are modelled as independent, zero-mean and at most u in relative size (Higham and Mary, "A new approach to
probabilistic rounding error analysis", SIAM J. Sci. Comput. 41, 2019), so that their standard deviations add in squares along
the computation.  Examples that are equal make equal errors, which add up linearly; ``repetition`` accounts for that.
Everything here is computed in float64: it describes the numerics, it is no part of them.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gradcheck.batch import Batch
from gradcheck.models.parts import Parts

if TYPE_CHECKING:
    from gradcheck.models.net import Net

Array = np.ndarray

# inputs below this size say nothing of the scale of the loss
SMALLEST_REACH = 2.0**-24
# a rounding error is uniform in [-u, u], so its variance is u**2 / 3
VARIANCE = 1 / 3
# an exp, log or tanh in single or double precision is not always rounded correctly: its variance is twice that, measured
ELEMENTARY = 2 * VARIANCE
# below it the square of a number has lost its digits
SMALLEST_SQUARED = 1e-150
# and so will a slope that is multiplied by rounding errors and by other slopes
SMALLEST_SLOPE = 1e-50
# results near 0 that are each rounded to a multiple of the smallest number: as many as the terms of a sum of a million
UNDERFLOWS = 2.0**10


@dataclass(frozen=True, eq=False)
class Rounding:
    """What rounding and clipping do at one theta.

    loss : standard deviation of the rounding error of the loss, evaluated as a whole.
    line : (size,) that of the part which two points that differ in this weight alone do not share.
    gradient : (size,) standard deviation of the analytic gradient's rounding error.
    clipped : (size,) what the clipped examples, whose loss is flat, contribute to the textbook gradient; an upper bound.
    length : (size,) the step at which a weight changes some unit's input by about 1 (linear: by many residuals): the scale
        of the loss.
    unit : unit roundoff u of the dtype.
    """

    loss: float
    line: Array
    gradient: Array
    clipped: Array
    length: Array
    unit: float

    @property
    def underflow(self) -> float:
        """What underflow can take from a loss or a gradient: a thousand spacings of the numbers next to 0."""
        return _underflow(self.unit)


@cache
def _underflow(unit: float) -> float:
    # the smallest normal number times eps is that spacing; for longdouble it is 0 in float64
    known = (np.finfo(t) for t in (np.float32, np.float64, np.longdouble))
    return UNDERFLOWS * next(float(f.tiny) * float(f.eps) for f in known if float(f.eps) == 2 * unit)


def unit_roundoff(dtype: np.dtype) -> float:
    """Half the spacing of the numbers at 1."""
    return float(np.finfo(dtype).eps) / 2


def binade(x: Array | float) -> Any:
    """The largest power of 2 not above abs(x): times u the most by which rounding can change x; 0 of 0.

    A number of NumPy, whose square overflows to inf where that of a Python float raises.
    """
    if isinstance(x, float):
        return np.float64(math.ldexp(0.5, math.frexp(x)[1]) if x else 0.0)
    return np.where(x == 0, 0.0, np.ldexp(0.5, np.frexp(x)[1]))


@lru_cache(maxsize=256)
def _partial_sums(n: int) -> tuple[Array, Array]:
    """How many terms each addition of NumPy's pairwise sum of n terms has gathered, and how often; (m,), (m,).

    Fewer than 8 terms are added in turn; up to 128 in eight sums that are added in pairs, the rest of the division by 8 in
    turn; more are halved.
    """
    counts: Counter[int] = Counter()
    if n < 8:
        counts.update(range(2, n + 1))
    elif n <= 128:
        m = n // 8
        counts.update(dict.fromkeys(range(2, m + 1), 8))
        counts.update({2 * m: 4, 4 * m: 2, 8 * m: 1})
        counts.update(range(8 * m + 1, n + 1))
    else:
        half = n // 2 - n // 2 % 8
        for part in (half, n - half):
            gathered, often = _partial_sums(part)
            counts.update(dict(zip(gathered.tolist(), often.tolist(), strict=True)))
        counts.update([n])
    return np.array(list(counts)), np.array(list(counts.values()))


def sum_roundings(total: float, n: int, groups: float = 1.0) -> float:
    """Sum of the squares of the partial sums' binades, of n terms of about equal size.

    groups : how many equal terms there are of each; sums of equal terms make equal errors.
    """
    gathered, often = _partial_sums(n)
    return float((often * np.minimum(often, groups) * binade(total / max(n, 1) * gathered) ** 2).sum())


def product_variance(a2: Array, w2: Array, z2: Array, u: float) -> Array:
    """Variance of the rounding error of z = a W, from the squares of its factors and its value.

    Each entry is a sum of d products, in the worst implementation accumulated one after the other.  Terms of random sign
    make partial sums whose squares add up to d / 2 times the sum of squares; terms of one sign, to d / 3 of z**2.
    """
    d = a2.shape[1]
    return VARIANCE * u * u * ((1 + d / 2) * (a2 @ w2) + (2 + d / 3) * z2)


def repetition(z: Array) -> float:
    """Mean size of the group of equal examples that an example belongs to, from a layer's outputs z (n, h); >= 1."""
    n = len(z)
    ordered = np.sort(z[:, 0])  # np.unique does the same in ten times the time
    changes = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    if len(changes) >= n - 1:
        return 1.0 if n else 0.0
    ends = np.concatenate([changes, [n]])
    counts = np.concatenate([ends[:1], ends[1:] - ends[:-1]])
    return float((counts.astype(float) ** 2).sum() / n)


def _kept(sigma: Array, unit: float, a: Array, delta: Array) -> Array:
    """Standard deviations of a^T delta; where they are so small that their squares vanish, 8 units of |a|^T |delta|."""
    vanished = sigma < SMALLEST_SQUARED
    return np.where(vanished, sigma + 8 * unit * (np.abs(a).T @ np.abs(delta)), sigma) if vanished.any() else sigma


class Variances(NamedTuple):
    """Variances of rounding errors, over u**2: of each layer's z and a as they are computed in a full pass, all (n, h).

    z : of every z_l by its own product.   moved : of z_l where a multiple of one column is added to what is known.
    a : of every hidden a_l by its activation.
    """

    z: list[Array]
    moved: list[Array]
    a: list[Array]


def _backward(weights: list[Array], slopes: list[Array], delta: Array) -> tuple[list[Array], list[Array]]:
    """Derivatives of the summed loss by every z_l, from its derivative by the last, and by every hidden a_l; (n, h) each."""
    deltas, backs = [delta], []
    for weight, slope in zip(weights[:0:-1], slopes[::-1], strict=True):
        backs.append(deltas[-1] @ weight.T)
        deltas.append(backs[-1] * slope)
    return deltas[::-1], backs[::-1]


def _line_variances(own: Array, by: Variances, deltas: list[Array], backs: list[Array]) -> tuple[float, list[Array]]:
    """Variance of the summed loss in a full pass, and for each layer (h,) of what points along one of its weights add.

    Along a weight of column j in layer l, z_l moves in that column alone and a_l with it; z_{l+1} moves by a multiple of a
    row of W_{l+1}; what follows is computed anew.  All before is the same at every point, its errors included.
    """
    z = [d * d * v for d, v in zip(deltas, by.z, strict=True)]
    moved = [d * d * v for d, v in zip(deltas, by.moved, strict=True)]
    a = [b * b * v for b, v in zip(backs, by.a, strict=True)]
    base = float((own * own).sum())
    full = base + sum(float(v.sum()) for v in (*z, *a))
    lines = []
    last = len(z) - 1
    for layer in range(last + 1):
        column = moved[layer].sum(axis=0)
        if layer < last:
            column = column + a[layer].sum(axis=0) + moved[layer + 1].sum()
        anew = sum(float(v.sum()) for v in (*a[layer + 1 :], *z[layer + 2 :]))
        lines.append(base + column + anew)
    return full, lines


def dense_rounding(net: Net, theta: Array, batch: Batch) -> Rounding:
    """The analysis at ``theta``: one forward and one backward pass of variances beside those of values."""
    u = unit_roundoff(theta.dtype)
    trace = net.forward(theta, batch)
    inputs = [np.asarray(a, np.float64) for a in trace.inputs]
    zs = [np.asarray(z, np.float64) for z in trace.zs]
    weights = [np.asarray(v, np.float64) for name, v in trace.params.items() if name[0] == "W"]
    y = batch.y if batch.y.dtype.kind in "iu" else np.asarray(batch.y, np.float64)
    g = net.activation
    n = len(batch.X)

    # forward: variances of a_{l-1} and z_l, of their own operations and of all before
    by = Variances([], [VARIANCE * binade(z) ** 2 for z in zs], [ELEMENTARY * g.roundings * a * a for a in inputs[1:]])
    slopes = [np.asarray(g.derivative(z), np.float64) for z in zs[:-1]]
    variance_a: list[Array] = []  # of the hidden layers; the inputs themselves are exact
    variance_z: list[Array] = []
    for layer, w in enumerate(weights):
        w2 = w * w
        by.z.append(product_variance(inputs[layer] ** 2, w2, zs[layer] ** 2, 1.0))
        added = u * u * by.z[layer]
        variance_z.append(variance_a[layer - 1] @ w2 + added if layer else added)
        if layer < len(weights) - 1:
            variance_a.append(slopes[layer] ** 2 * variance_z[layer] + u * u * by.a[layer])
    sigma_delta = net.head.delta_rounding(zs[-1], y, np.sqrt(variance_z[-1]), u)

    # the loss: what each of these errors does to it, to first order
    mean = 1 / n if net.averaged else 1.0
    # examples that saturated units have made equal make equal errors from there on
    equal = [repetition(z) if n else 1.0 for z in zs]
    groups = equal[-1]
    own = net.head.loss_rounding(zs[-1], y)
    # by the derivatives in float64: where a probability is next to 1, a smaller dtype has lost them
    last_delta = net.head.delta(zs[-1], y, Parts())
    full, lines = _line_variances(own, by, *_backward(weights, slopes, last_delta))
    data = np.abs(np.float64(net.data_loss(zs[-1], y)))
    penalty = np.float64(net.penalty({k: np.asarray(v, np.float64) for k, v in trace.params.items()}))
    # the sum over the examples, the mean, and the penalty added to it
    examples = mean**2 * sum_roundings(data / mean, zs[-1].size if y.ndim == 2 else n, groups)
    last = VARIANCE * (binade(data) ** 2 + binade(data + penalty) ** 2 + binade(penalty) ** 2)
    sums = VARIANCE * examples + last

    def deviation(terms: Array | float, sums: Array) -> Array:
        # the squares of a very small loss vanish; a rounding of the sum remains
        return u * np.maximum(np.sqrt(mean**2 * groups * terms + sums), max(data, penalty) * VARIANCE)

    along = [deviation(terms, sums) for terms in lines]
    if net.head.lines is not None:
        # small steps of the last layer's weights have a formula of their own
        own_way = net.head.factor * net.head.lines.rounding(zs[-1], y, 1.0, groups)
        along[-1] = np.maximum(along[-1], deviation(own_way**2, last))
    # backward: variances of delta_l and of the sums over the examples
    layout = net.layout(batch)
    found = np.zeros((4, layout.size))
    gradient, clipped, length, line = (layout.split(row) for row in found)
    # in the dtype first: a delta of 1 - p keeps the digits that the gradient under test has
    delta = last_delta
    if trace.zs[-1].dtype != np.float64:
        delta = np.asarray(net.head.delta(trace.zs[-1], batch.y, Parts()), np.float64)
    lost = None
    if net.head.may_clip(trace.zs[-1]):
        lost = np.where(net.head.beyond(trace.zs[-1], batch.y) > 0, delta, 0.0)
    variance = sigma_delta**2
    downstream = np.ones(delta.shape[1])
    stretch = net.head.scale_of_z(zs[-1], y)
    # u (L + l2 h**2 / 2) / h, the noise of a difference, grows where the penalty of the step is more than the loss
    farthest = math.sqrt(2 * (data + penalty) / net.l2) if net.l2 and data + penalty > 0 else math.inf
    suffixes = [name[1:] for name in trace.params if name[0] == "W"]
    for layer in range(len(zs), 0, -1):
        a, suffix = inputs[layer - 1], suffixes[layer - 1]
        a2 = a * a
        total = a.T @ delta
        # adding equal terms to a sum makes equal errors, so the sum's own rounding grows with them too
        delta2 = delta**2
        inner = a2.T @ variance
        if layer > 1:
            inner = inner + variance_a[layer - 2].T @ delta2
        inner = inner + product_variance(a2.T, delta2, total**2, u)
        w = weights[layer - 1]
        penalised = net.l2 * w
        sigma = np.sqrt(
            mean**2 * equal[layer - 1] * inner + VARIANCE * u * u * (penalised**2 + (mean * total + penalised) ** 2)
        )
        gradient["W" + suffix][...] = _kept(sigma, mean * u, a, delta)
        line["W" + suffix][...] = along[layer - 1]
        size = np.abs(a)
        if lost is not None:
            clipped["W" + suffix][...] = mean * (size.T @ np.abs(lost))
        reach = size.max(axis=0, initial=0.0)
        # a unit that is all but silent has no scale of its own: its weights take that of its layer, or of single precision
        reach = np.maximum(reach, max(1e-3 * float(reach.max(initial=0.0)), SMALLEST_REACH))
        scale = stretch / (reach[:, None] * np.maximum(downstream, 1.0)[None, :])
        length["W" + suffix][...] = np.minimum(scale, farthest)
        if net.bias:
            total_b = delta.sum(axis=0)
            # summed in pairs, so that equal terms are only as bad as terms of one sign
            sigma_b = mean * np.sqrt(
                (groups * variance).sum(axis=0) + product_variance(np.ones((1, n)), delta2, total_b[None] ** 2, u)[0]
            )
            gradient["b" + suffix][...] = _kept(sigma_b, mean * u, np.ones(n), delta)
            line["b" + suffix][...] = along[layer - 1]
            if lost is not None:
                clipped["b" + suffix][...] = mean * np.abs(lost).sum(axis=0)
            length["b" + suffix][...] = stretch / np.maximum(downstream, 1.0)
        if layer > 1:
            w2 = w * w
            slope = slopes[layer - 2]
            back = delta @ w.T
            variance_back = variance @ w2.T + product_variance(delta2, w2.T, back**2, u)
            # g' moves with z by at most its curvature, and is itself rounded by a few units
            curvature = np.full(slope.shape, g.curvature)
            if g.steepness is not None:
                # what is smaller could not be squared
                np.minimum(curvature, g.steepness * slope, out=curvature, where=slope > SMALLEST_SLOPE)
            variance_slope = curvature**2 * variance_z[layer - 2] + ((3 if g.roundings else 0) * u * slope) ** 2
            variance = variance_back * slope**2 + back**2 * variance_slope
            delta = back * slope
            # in the dtype first: the clipped share is that of the gradient under test, digit for digit
            if lost is not None:
                lost = (lost @ w.T) * np.asarray(g.derivative(trace.zs[layer - 2]), np.float64)
            downstream = np.abs(w) @ np.maximum(downstream, 1.0)
    # the share itself is a float64 sum: 2**-30 covers the rounding of a million terms
    found[1] *= 1 + 2.0**-30
    gradients, shares, lengths, along_lines = found
    of_loss = float(deviation(full, sums + VARIANCE * 3 * penalty**2))
    return Rounding(_known(of_loss), _known(along_lines), _known(gradients), _known(shares), lengths, u)


def _known(deviation: Any) -> Any:
    """The deviations, inf where squares that left the range of float64 have made them NaN: nothing is known there."""
    unknown = np.isnan(deviation)
    if isinstance(deviation, float):
        return math.inf if unknown else deviation
    return np.where(unknown, np.inf, deviation) if unknown.any() else deviation
