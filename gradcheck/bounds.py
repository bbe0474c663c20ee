"""How far a numeric derivative can be from the true one: roundoff, truncation and kinks, weight by weight.

Roundoff comes from the noise of the loss at the points that were evaluated.  Truncation is measured from the side of the
small steps: at a step h* far below the scale of the loss the difference is trusted as far as its own noise allows, and a
larger step is charged with what separates it from there, truncation(h) = |D(h) - D(h*)| + bound(h*).  A step and its double
may agree with each other far above the scale of the loss; neither agrees with h*.
"""

from __future__ import annotations

import numpy as np

from gradcheck.auto import auto
from gradcheck.ladder import ANCHOR_RATIO, LARGEST_ANCHOR
from gradcheck.numeric import ONE_SIDED, Scheme, perturbed_weights, representable_step
from gradcheck.quotients import (
    CENTRAL,
    Estimate,
    Noise,
    Probe,
    Quotients,
    at_least,
    by_complex_step,
    columns_of,
    estimate,
    noise_along,
    optimal_fraction,
    quotients,
    stacked,
    vanished_at,
)

Array = np.ndarray

# Nor does the leading term of the truncation know the next one, of relative size (h / length)**2, up to 6e-3 at the anchors.
TRUNCATION_MARGIN = 1.1
ANCHOR_GAIN = {2: 4.0, 4: 2.0, 6: 1.0}


def fixed(probe: Probe, scheme: Scheme, eps: float | Array, index: Array) -> Estimate:
    """Derivatives and bounds at one given step for the weights of ``index`` (m,), or at s of them: then all is (s, m).

    Each weight is looked at as if the step were the only one, but the anchors of a scheme of even order, which lie where the
    loss asks for them whatever the step is, are evaluated once for all steps.

    Evaluations for each weight and step: those of the scheme, and at the anchors two (forward, backward), four (central), six
    (five_point), eight (richardson) or one (complex step): in all never more than three times those of the scheme.
    """
    eps = np.asarray(eps)
    if scheme.complex_valued:
        return stacked([by_complex_step(probe, index, np.full(len(index), h)) for h in eps.flat], eps.shape)
    # one row a weight, one column a step, or one for all of them
    noise = Noise(*(column[:, None] for column in noise_along(probe, index)))
    theta = probe.theta[index][:, None]
    h = representable_step(theta, np.broadcast_to(eps.reshape(-1), (len(index), eps.size)))
    points = perturbed_weights(theta, h, scheme.offsets)
    vanished = vanished_at(theta, points)
    here = quotients(probe, scheme, theta, points, probe.evaluate(index, points), noise)
    step = h.astype(np.float64)
    if probe.opaque:
        found = _anchored_on_ladder(probe, scheme, here, step, index)
    else:
        found = _anchored(probe, scheme, here, step, theta, noise, index)
    return estimate(step, here, *found, vanished).transposed((*eps.shape, len(index)))


def _anchored(
    probe: Probe, scheme: Scheme, here: Quotients, step: Array, theta: Array, noise: Noise, index: Array
) -> tuple[Array, Array, Array]:
    """Truncation, kink's part and finiteness at given steps (m, s) from a step far below the scale of the loss."""
    one_sided = scheme.order == 1
    formula = scheme if scheme.order > 2 else CENTRAL
    ratio = ANCHOR_RATIO[formula.order]
    fraction = np.minimum(ANCHOR_GAIN[formula.order] * optimal_fraction(probe, formula.order, index), LARGEST_ANCHOR)
    scale = probe.rounding.length[index][:, None]
    # with one anchor alone convergence is assumed, so it lies where truncation is far below the noise
    length = scale * (fraction / 32 if one_sided else fraction)[:, None]
    length = at_least(length, theta, probe.rounding.unit)
    if one_sided:
        # together with the step itself the anchor shows the third derivative, unless they lie too near to each other
        length = np.where((length > step / 2) & (length < 2 * step), 4 * length, length)
    a = representable_step(theta, length)
    inner = formula.offsets
    outer = tuple(ratio * o for o in inner)
    offsets = inner if one_sided else tuple(sorted({*inner, *outer}))
    anchor_points = perturbed_weights(theta, a, offsets)
    found = probe.evaluate(index, anchor_points)

    def at(wanted: tuple[float, ...]) -> Quotients:
        columns = [offsets.index(o) for o in wanted]
        return quotients(probe, formula, theta, anchor_points[..., columns], columns_of(found, columns), noise)

    near = at(inner)
    a = a.astype(np.float64)
    with np.errstate(all="ignore"):
        if one_sided:
            third = _third_derivative(probe, scheme, here, near, step, a, found.losses, np.minimum(step, scale))
            far_truncation, largest = np.maximum(near.roundoff, third * a**2), a
        else:
            gain = ratio**formula.order
            far = at(outer)
            far_truncation = (
                TRUNCATION_MARGIN * (np.abs(far.value - near.value) + near.roundoff / 2) * gain / (gain - 1)
            )
            largest = a * ratio
        near_truncation = far_truncation * (a / largest) ** formula.order
        near_bound = near.roundoff + near_truncation + near.kink
        anchored = np.abs(here.value - near.value) + near_bound
        # at or below the anchors the truncation is theirs, scaled down
        direct = far_truncation * (step / largest) ** formula.order
        if one_sided:
            direct = direct + (near.bend / a + 2 * near.roundoff / a) * step / 2 + third * step**2
        direct = np.where(step <= largest, direct + here.kink, np.inf)
        truncation = np.minimum(direct, anchored)
        kink = np.minimum(np.maximum(here.kink, near.kink), truncation)
    return truncation, kink, here.finite & near.finite & np.isfinite(truncation)


def _third_derivative(
    probe: Probe, scheme: Scheme, here: Quotients, near: Quotients, step: Array, a: Array, losses: Array, reach: Array
) -> Array:
    """Upper bound of a sixth of the third derivative from a one-sided quotient at ``step`` and the losses at -a and a; (m,).

    (D(h) - f'' h / 2) - C(a) = f''' (h**2 - a**2) / 6 with the central quotient C.  Where the loss is next to 0, its noise is
    too, and the truncation of C may be far above it.  ``reach``: the step, or the scale of the loss where that is smaller.
    """
    change = (losses - probe.center).astype(np.float64).sum(axis=-1)
    side = 1 if scheme.pairs[0].high > 0 else -1
    rest = np.abs(here.value - near.value - side * change / a**2 * step / 2)
    noise = here.roundoff + 2 * near.roundoff * (1 + step / a)
    # twice, since at a step near the scale of the loss the higher derivatives may take half of it away
    return 2 * (rest + noise) / np.abs(reach**2 - a**2)


def _anchored_on_ladder(
    probe: Probe, scheme: Scheme, here: Quotients, step: Array, index: Array
) -> tuple[Array, Array, Array]:
    """Truncation, kink's part and finiteness at given steps (m, s) of an opaque function, from the best step of a ladder."""
    best = auto(probe, CENTRAL if scheme.order <= 2 else scheme, index)
    for formula in ONE_SIDED:
        # beyond the edge of a domain there is nothing to be seen
        lost = ~np.isfinite(best.truncation)
        if lost.any():
            best = best.replaced(lost, auto(probe, formula, index[lost]))
    # one column for all steps
    best = best.transposed((len(index), 1))
    with np.errstate(all="ignore"):
        anchored = np.abs(here.value - best.value) + best.truncation + best.roundoff
        if scheme.order > 1:
            # below the best step the truncation is less than there
            anchored = np.where(step <= best.step, np.minimum(anchored, best.truncation), anchored)
    truncation = np.where(np.isnan(anchored), np.inf, anchored)
    return truncation, np.minimum(best.kink, truncation), here.finite & np.isfinite(truncation)
