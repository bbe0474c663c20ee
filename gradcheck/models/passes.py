"""A pass of dense nets forward, beside it the variances of what each operation is rounded by.

The passes are of p nets at once, of the same layers with as many examples each: the first axis of all arrays.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gradcheck.models.batch import Batch
from gradcheck.models.net import Net, Trace
from gradcheck.models.sums import product_variance, repetitions
from gradcheck.numerics.rounding import ELEMENTARY, VARIANCE, binade, unit_roundoff

Array = np.ndarray


class Values(NamedTuple):
    """A forward pass in the dtype, ``trace``, and its arrays in float64: a_0..a_{L-1}, their squares, z_1..z_L,
    W_1..W_L, g'(z_l), y.

    equal : for each layer how many equal examples there are of each, on average; (p,).   mean : 1/n, or 1 for a sum.
    u : unit roundoff of the dtype.
    """

    trace: Trace
    inputs: list[Array]
    squares: list[Array]
    zs: list[Array]
    weights: list[Array]
    slopes: list[Array]
    y: Array
    equal: list[Array]
    mean: float
    u: float

    def of(self, p: int) -> Values:
        """Those of one net."""
        params = {name: values[p] for name, values in self.trace.params.items()}
        trace = Trace(params, each_of(self.trace.inputs, p), each_of(self.trace.zs, p))
        return self._replace(
            trace=trace,
            inputs=each_of(self.inputs, p),
            squares=each_of(self.squares, p),
            zs=each_of(self.zs, p),
            weights=each_of(self.weights, p),
            slopes=each_of(self.slopes, p),
            y=self.y[p],
            equal=each_of(self.equal, p),
        )


def each_of(columns: list[Array], p: int) -> list[Array]:
    """Of the arrays of each layer those of net p."""
    return [column[p] for column in columns]


class Variances(NamedTuple):
    """Variances of rounding errors, over u**2: of each layer's z and a as they are computed in a full pass, all (p, n, h).

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


def values_of(net: Net, theta: Array, batch: Batch) -> Values:
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


def forward_of(net: Net, v: Values) -> Forward:
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
