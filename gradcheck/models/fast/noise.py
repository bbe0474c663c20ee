"""Rounding errors of losses that are computed by structure where one weight moves: what they share cancels in a difference."""

from __future__ import annotations

import numpy as np

from gradcheck.models.analysed import Along, LossErrors, Values
from gradcheck.models.fast.exponentials import quotient_variance
from gradcheck.models.fast.fours import fours_variance
from gradcheck.models.fast.lines import line_by_factors, lines_of
from gradcheck.models.fast.sheets import worth_sheets
from gradcheck.models.heads import Head
from gradcheck.models.net import Net

Array = np.ndarray


def line_variances(net: Net, v: Values, errors: LossErrors) -> list[Array]:
    """Variance of the summed loss along a weight of each layer, (h,).

    Along a weight of column j in layer l, z_l moves in that column alone and a_l with it; z_{l+1} moves by a multiple of a
    row of W_{l+1}; what follows is computed anew.  All before is the same at every point, its errors included.  Where the
    units of layer l+1 are quotients of exponentials the larger variance of both ways counts, as the step decides.
    """
    lines = []
    for layer in range(len(errors.z)):
        variance = _line(errors, layer, layer + 1, 0.0)
        by_exponentials = _by_exponentials(net, v, errors, layer)
        lines.append(variance if by_exponentials is None else np.maximum(variance, by_exponentials))
    return lines


def _line(errors: LossErrors, layer: int, after: int, added: float) -> Array:
    """The variance where everything above ``after`` is computed anew, and z there is what is known plus something small.

    added : what the layers between both add to it.
    """
    base, z, moved, a, _ = errors
    column = moved[layer].sum(axis=0)
    if layer < len(z) - 1:
        column = column + a[layer].sum(axis=0) + moved[after].sum()
    anew = sum(float(v.sum()) for v in (*a[after:], *z[after + 1 :]))
    found: Array = base + added + column + anew
    return found


def _by_exponentials(net: Net, v: Values, errors: LossErrors, layer: int) -> Array | None:
    """The variance where the units of the next layer are computed by ``fast.exponentials``; None where they never are."""
    if layer + 2 > len(errors.z) - 1:
        return None
    z, following = v.trace.zs[layer + 1], v.weights[layer + 2]
    fours = layer + 2 == len(errors.z) - 1 and worth_sheets(v.inputs[layer].shape[1] + 1, z, following.shape[1])
    output = fours_variance(net.activation, z, following[:, 0]) if fours else None
    if output is not None:
        # the single output is the sum of quotients of four units each
        return _line(errors, layer, layer + 2, float((errors.deltas[layer + 2][:, 0] ** 2 * output).sum()))
    units = quotient_variance(net.activation, z)
    if units is None:
        return None
    # units are weighted when what they are at theta was subtracted: beside their own errors the sum has none
    added = (errors.deltas[layer + 2] ** 2 * (units @ following**2)).sum()
    return _line(errors, layer, layer + 2, float(added))


def last_deviations(head: Head, z: Array, y: Array, groups: Array) -> list[float | None]:
    """``last_deviation`` of several nets with examples of their own: z (p, n, h), y, groups (p,)."""
    lines = lines_of(head)
    if lines is not None and lines.roundings is not None and z.size:
        return [*lines.roundings(z, y, 1.0, groups).tolist()]
    return [last_deviation(head, *one) for one in zip(z, y, groups.tolist(), strict=True)]


def last_deviation(head: Head, z: Array, y: Array, groups: float) -> float | None:
    """Standard deviation of the summed loss along a line of the last layer, over u; None where it has no formula of its own."""
    lines = lines_of(head)
    return None if lines is None else lines.rounding(head, z, y, 1.0, groups)


def deviation_below(head: Head, z: Array, y: Array, groups: float) -> float | None:
    """That of the summed loss at a z that moves in all examples at once; None where each example's loss is summed."""
    return None if line_by_factors(head, z, y) is None else last_deviation(head, z, y, groups)


BY_STRUCTURE = Along(line_variances, last_deviations, deviation_below)
