"""Hypotheses of zeros in one of both gradients: entries that are skipped, layers that get nothing, masks that are missing.

Each takes the evidence and returns a diagnosis, or None where it does not hold.
"""

from __future__ import annotations

import numpy as np

from gradcheck.numerics.diagnosis import wording as say
from gradcheck.numerics.diagnosis.evidence import Evidence, is_bias, layers
from gradcheck.numerics.diagnosis.kinds import Diagnosis

Array = np.ndarray


def zeros(e: Evidence) -> Diagnosis | None:
    """Every wrong entry is exactly 0."""
    if (e.raw[e.wrong] != 0).any():
        return None
    if all((e.raw[e.layout.slices[name]] == 0).all() for name in e.broken):
        return nothing_arrives(e, dict.fromkeys(e.broken, 0.0))
    count = int(e.wrong.sum())
    return Diagnosis(
        "zero_entries",
        f"{say.entries(e, e.wrong)} {say.are(count)} 0 where the slope is not; {say.others(e)}: look for "
        f"{'an entry that is' if count == 1 else 'entries that are'} skipped or overwritten.",
    )


def nothing_arrives(e: Evidence, decays: dict[str, float]) -> Diagnosis:
    """The diagnosis of parameters whose data term is 0; ``decays`` has for each the multiple of theta that is left."""
    names = list(decays)
    penalised = any(decays.values())
    if penalised and not _is_penalty(e, decays):
        return _of_theta_alone(e, decays)
    what = f"{say.of_data(names) if penalised else say.listed(names)} {say.are(1 if penalised else len(names))} 0"
    level = layers(e.layout)
    if level is not None and len(names) > 1:
        top = max(level[name] for name in names)
        below = [name for name in e.layout.names if level[name] <= top and e.layout.slices[name].stop > 0]
        silent = all(name in decays or not e.raw[e.layout.slices[name]].any() for name in below)
        if silent and top < max(level.values()):
            return Diagnosis(
                "detached",
                f"{what}, all above is right: nothing flows into layer {top} and below; look at the delta handed down "
                f"to layer {top}.",
            )
    if len(names) == len(e.layout.names) and e.layout.size > 1:
        return Diagnosis("zero_param", f"The whole gradient {'(its data term) ' if penalised else ''}is 0.")
    if all(is_bias(name) for name in names):
        return Diagnosis("bias", f"{what}{say.rest(e)}: look at {say.derivatives(names)}, which may never be computed.")
    return Diagnosis(
        "zero_param", f"{what}{say.rest(e)}: look at {say.derivatives(names)}, which may never be computed."
    )


def _is_penalty(e: Evidence, decays: dict[str, float]) -> bool:
    """Whether what is left of the gradient is a penalty's: a loss over examples may have one.

    Of another function it is one where a bias is 0 beside the weights, or where several parameters have the same multiple:
    the gradient of a different function, 2 x for sum(sin x), is a multiple of the weights too.
    """
    left = [decay for decay in decays.values() if decay]
    silent = [name for name, decay in decays.items() if not decay and not e.raw[e.layout.slices[name]].any()]
    return e.examples is not None or bool(silent) or len(left) > 1


def _of_theta_alone(e: Evidence, decays: dict[str, float]) -> Diagnosis:
    names = list(decays)
    size = say.number(e.per_theta(next(filter(None, decays.values()))))
    what = say.listed(names)
    return Diagnosis(
        "of_theta_alone",
        f"{'The gradient of ' if len(names) == 1 else 'Those of '}{what} {say.are(1)} {size} {what}, whatever the slope is: "
        f"that of another function, or of a penalty alone (lambda = {size}).",
    )


def mask(e: Evidence) -> Diagnosis | None:
    """At every wrong entry the loss has exactly no slope, and the gradient is not 0; or it is 0 where the slope is not."""
    flat, silent = e.wrong & e.flat, e.wrong & (e.raw == 0)
    both = flat.any() and silent.any() and int((flat | silent).sum()) > 2
    if not (both or int(flat.sum()) >= 2) or (e.wrong & ~flat & ~silent).any():
        return None
    moved = e.judged & (np.abs(e.n) > e.bound)
    dead = [name for name in e.broken if not moved[e.layout.slices[name]].any()]
    if len(dead) == len(e.broken):
        return Diagnosis(
            "mask",
            f"The loss does not change at all with {say.listed(dead)}, and the gradient is not 0{say.rest(e)}: is it "
            f"what the loss computes with, no copy? If so, a mask (relu, max) is missing.",
        )
    if silent.any() and not both:
        return None
    if both:
        kept = e.judged & ~e.wrong & (np.abs(e.n) > e.bound) & e.among(e.broken)
        which = (
            "is another one than that of the forward pass"
            if kept.any()
            else "of the backward pass is the other way round"
        )
        return Diagnosis(
            "mask",
            f"The gradient of {say.listed(e.broken)} is 0 where the slope is not, and not 0 where the slope is: the mask "
            f"{which}.",
        )
    return Diagnosis(
        "mask",
        f"{say.some(e)} have exactly no slope, and the gradient is not 0; {say.others(e)}: a mask (relu, dropout, max, clip) "
        f"is missing in the backward pass.",
    )
