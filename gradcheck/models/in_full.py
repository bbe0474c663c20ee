"""Losses near a theta, each computed in full.

The slow way is the definition: what ``models.fast`` gives must be the same up to rounding, and where it is absent, this stands.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gradcheck.models.batch import Batch
from gradcheck.models.functions import is_complex
from gradcheck.models.kinks import NetAtTheta
from gradcheck.models.net import Net
from gradcheck.numerics.problem import Crossings

Array = np.ndarray


class InFull:
    """A loss around theta that is smooth, as far as is known; a subclass knows kinks."""

    def __init__(self, loss: Callable[[Array, Batch], Array], theta: Array, batch: Batch) -> None:
        self.loss, self.theta, self.batch = loss, theta, batch

    def bent(self, point: Array) -> float:
        """How far kinks between theta and a real point may have bent the loss there."""
        return 0.0

    def losses(self, index: Array, points: Array) -> tuple[Array, Array]:
        """Losses with theta[index[r]] replaced by points[r, c], and how far kinks may have bent them; both (m, k).

        Complex points lie infinitely near theta, where no kink is crossed.
        """
        losses, bent = np.empty(points.shape, points.dtype), np.zeros(points.shape)
        point = self.theta.astype(points.dtype)
        for r, i in enumerate(index):
            for c, value in enumerate(points[r]):
                point[i] = value
                losses[r, c] = self.loss(point, self.batch)
                if not is_complex(point):
                    bent[r, c] = self.bent(point)
            point[i] = self.theta[i]
        return losses, bent

    def crossings(self, index: Array, reach: Array) -> Crossings:
        """The kinks that steps up to ``reach`` (m,) cross along the weights of ``index`` (m,)."""
        return Crossings.none()


class NetInFull(NetAtTheta, InFull):
    """A net around theta: one forward pass a point, and one of derivatives along each weight."""

    def __init__(self, net: Net, theta: Array, batch: Batch) -> None:
        super().__init__(net.loss, theta, batch)
        self.net = net

    def bent(self, point: Array) -> float:
        with np.errstate(all="ignore"):
            zs = [z[None] for z in self.net.forward(point, self.batch).zs]
            bent = sum(float(np.sum(self.kinks.crossed(layer, z))) for layer, z in enumerate(zs[:-1]))
            return bent + float(np.sum(self.kinks.clipping(self.net, zs[-1], self.batch.y)))

    def crossings(self, index: Array, reach: Array) -> Crossings:
        found: list[Crossings] = []
        for r, i in enumerate(index):
            for layer, (z, dz) in enumerate(zip(self.trace.zs[:-1], self._along(i), strict=True)):
                near = self.kinks.near(layer, reach[r : r + 1], z[None], dz[None])
                found.append(near._replace(row=near.row + r))
        return Crossings.joined(found)

    def _along(self, i: int) -> list[Array]:
        """Derivatives of the hidden layers' z by one weight."""
        direction = np.zeros_like(self.theta)
        direction[i] = 1
        moves, g = self.net.layout(self.batch).split(direction), self.net.activation
        found: list[Array] = []
        da = np.zeros_like(self.batch.X)
        for a, z, weight, suffix in zip(
            self.trace.inputs, self.trace.zs, self.trace.weights, self.trace.suffixes, strict=True
        ):
            dz = a @ moves["W" + suffix] + da @ weight
            if self.net.bias:
                dz = dz + moves["b" + suffix]
            found.append(dz)
            da = g.derivative(z) * dz
        return found[:-1]
