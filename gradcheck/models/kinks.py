"""What a step crosses: kinks of hidden units and the limit where probabilities are clipped.

At a kink the loss leaves the smooth function that it was on this side.  For a unit with relu whose input changes its sign
between theta and a perturbed point, it leaves it by |dL/da| |z|, to first order, where z is the unit's input at the perturbed
point and dL/da the derivative of the loss by the unit's output; for an example whose probability is clipped on one side only,
by |dL/dz| times the distance of its logit from the limit.  The sum over all of them bounds what the kinks do to a difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gradcheck.models.batch import Batch
from gradcheck.models.net import Net, Trace
from gradcheck.models.parts import TEXTBOOK
from gradcheck.numerics.problem import Crossings

Array = np.ndarray


@dataclass(frozen=True)
class Kinks:
    """On which side of its kinks each unit and example is at theta.

    positive : for each hidden layer with a kinked activation, z > 0, bool (n, h).
    slopes : |dL/da| beside it, float64 (n, h).
    clipped : where the loss is clipped, bool (n, k) or (n, 1).
    scale : factor of the sum over the examples in the loss.
    """

    positive: list[Array]
    slopes: list[Array]
    clipped: Array
    scale: float

    def crossed(self, layer: int, z: Array, column: Array | None = None) -> Array | float:
        """Upper bound, to first order, of how far the loss leaves its continuation by the kinks that a layer crosses; (B,).

        z : the layer's outputs (B, n, h) at B points; or, where one ``column`` (B,) moves alone, that one, (B, n).
        """
        if not self.positive:
            return 0.0
        positive, slopes = self.positive[layer], self.slopes[layer]
        crossed = (z > 0) != (positive if column is None else positive.T[column])
        if not crossed.any():
            return 0.0
        if column is not None:
            slopes = slopes.T[column]
        return (slopes * np.abs(z) * crossed).reshape(len(z), -1).sum(axis=1)

    def near(self, layer: int, reach: Array, z: Array, dz: Array, column: Array | None = None) -> Crossings:
        """The kinks of a layer that steps up to ``reach`` (B,) cross; rows count the B directions.

        z, dz : the layer's outputs and their derivatives along each direction, (B, n, h); or those of the one ``column``
        (B,) that moves, (B, n).
        """
        slopes = self.slopes[layer] if column is None else self.slopes[layer].T[column]
        fast = np.abs(dz)
        found = np.nonzero((np.abs(z) <= reach.reshape(-1, *[1] * (dz.ndim - 1)) * fast) & (fast > 0))
        speed = fast[found].astype(np.float64)
        height = np.broadcast_to(z, dz.shape)[found].astype(np.float64)
        # at 0 a unit is off, so that it is the step upwards of z that crosses
        side = np.where(height > 0, -1.0, 1.0) * np.sign(dz[found]).astype(np.float64)
        return Crossings(found[0], np.abs(height) / speed, np.broadcast_to(slopes, dz.shape)[found] * speed, side)

    def clipping(self, net: Net, z: Array, y: Array, clipped: Array | None = None) -> Array | float:
        """How far the loss leaves its continuation by examples clipped at theta or at z alone, (B,).

        z : the outputs of the last layer, (B, n, k).
        clipped : ``self.clipped`` of the examples and outputs of z, where these are not all.
        """
        clipped = self.clipped if clipped is None else clipped
        if not clipped.any() and not net.head.may_clip(z):
            return 0.0
        beyond = np.asarray(net.head.beyond(z, y), np.float64)
        crossed = (beyond > 0) != clipped
        return self.scale * np.where(crossed, np.abs(beyond), 0.0).sum(axis=(1, 2))


def dense_kinks(net: Net, trace: Trace, batch: Batch) -> Kinks:
    """On which side of its kinks each unit and example is in a forward pass."""
    y = batch.y
    scale = net.head.factor / len(batch.X) if net.averaged else net.head.factor
    positive: list[Array] = []
    slopes: list[Array] = []
    if net.kinked:
        g = net.activation
        weights = trace.weights
        mean = 1 / len(batch.X) if net.averaged else 1.0
        delta = net.head.delta(trace.zs[-1], y, TEXTBOOK)
        for layer in range(len(trace.zs) - 1, 0, -1):
            back = delta @ weights[layer].T
            z = trace.zs[layer - 1]
            positive.insert(0, z > 0)
            slopes.insert(0, mean * np.abs(np.asarray(back, np.float64)))
            delta = back * g.derivative(z)
    return Kinks(positive, slopes, np.asarray(net.head.beyond(trace.zs[-1], y)) > 0, scale)


class NetAtTheta:
    """A net at theta, with what all losses near theta share; each is computed when it is first asked for."""

    net: Net
    theta: Array
    batch: Batch

    @cached_property
    def trace(self) -> Trace:
        """The forward pass at theta."""
        return self.net.forward(self.theta, self.batch)

    @cached_property
    def kinks(self) -> Kinks:
        """On which side of its kinks theta lies."""
        return dense_kinks(self.net, self.trace, self.batch)
