"""What the error analysis of dense nets hands from step to step, of p nets of one shape: the first axis of all arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gradcheck.models.heads import Head
from gradcheck.models.net import Net, Trace

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
        trace = Trace(params, _each(self.trace.inputs, p), _each(self.trace.zs, p))
        inputs, squares, zs, weights, slopes = (
            _each(columns, p) for columns in (self.inputs, self.squares, self.zs, self.weights, self.slopes)
        )
        return Values(trace, inputs, squares, zs, weights, slopes, self.y[p], _each(self.equal, p), self.mean, self.u)


def _each(columns: list[Array], p: int) -> list[Array]:
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


class LossErrors(NamedTuple):
    """Variances of what each error adds to the summed loss, to first order.

    own : that of the head's loss, (p,).   z, moved, a : those of ``Variances``, (p, n, h) each.
    deltas : derivatives of the summed loss by every z, (p, n, h) each, with which they are weighted.
    """

    own: Array
    z: list[Array]
    moved: list[Array]
    a: list[Array]
    deltas: list[Array]

    def of(self, p: int) -> LossErrors:
        """Those of one net, (n, h) each."""
        return LossErrors(self.own[p], *(_each(columns, p) for columns in (self.z, self.moved, self.a, self.deltas)))


class Along(NamedTuple):
    """What is known of losses of one net that are not computed in full where one weight moves.

    variances : of the summed loss along a weight of each layer, (h,), without what all points share.
    last : standard deviation of the summed loss along a weight of the last layer, over u, where that has a formula of its own;
        of several nets at once: of the head, z (p, n, h), y and their ``repetition``.
    below : that of one net, of a formula that takes the place of the head's loss along the weights of the layers below.
    """

    variances: Callable[[Net, Values, LossErrors], list[Array]]
    last: Callable[[Head, Array, Array, Array], list[float | None]]
    below: Callable[[Head, Array, Array, float], float | None]


class OfLoss(NamedTuple):
    """Standard deviations of the loss in full, (p,), and (p, h) along the weights of each layer; its size, with the penalty."""

    whole: Array
    along: list[Array]
    size: Array


class Delta(NamedTuple):
    """delta_l on the way down, (p, n, h), with the variance of its rounding error; what follows of the step lengths.

    lost : the share of the clipped examples in delta_l; None where none is clipped.
    downstream : (p, h) the most that a change of 1 in an entry of z_l changes an entry of a later z.
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
