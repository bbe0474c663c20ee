"""Hypotheses of a law that the loss obeys and the gradient breaks: shifts and scales that do not move the loss.

Each takes the evidence and returns a diagnosis, or None where it does not hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from gradcheck.numerics.diagnosis import wording as say
from gradcheck.numerics.diagnosis.evidence import Evidence, is_bias
from gradcheck.numerics.diagnosis.fits import DECADES, UNITS
from gradcheck.numerics.diagnosis.kinds import Diagnosis
from gradcheck.numerics.diagnosis.laws import CLEARLY, Held, Law, held, scales, shifts

Array = np.ndarray

# Digits of evidence for a scale beyond DECADES: how near to 0 its sums are is looked at after the fact.
SPARE = 0.5


def no_slope(e: Evidence) -> Diagnosis | None:
    """The slope by a whole vector, such as a bias before a norm, is 0 within its bounds, and it is wrong with others."""
    if not e.others_right or all(is_bias(name) for name in e.broken):
        return None
    for name in reversed(e.broken):
        where = e.layout.slices[name]
        if len(e.layout.shape(name)) != 1:
            continue
        a, n, bound = np.abs(e.a[where]), np.abs(e.n[where]), e.bound[where]
        if not e.judged[where].all() or (n > bound).any():
            continue
        shown = np.log10(np.maximum(a, bound) / bound).clip(0, 16)
        if (a > CLEARLY * bound).mean() > 0.5 and float(shown.sum()) >= DECADES:
            return Diagnosis(
                "shift",
                f"The loss does not move with {say.brief(name)}, as before a norm or a softmax; your gradient says it does: "
                f"the path through the mean, or through what else is subtracted, is missing or wrong{say.below(e)}.",
            )
    return None


def shift(e: Evidence) -> Diagnosis | None:
    """The gradients along some axes sum to 0, and the analytic ones do not."""
    found = _broken(e, shifts)
    if found is None:
        return None
    law = found.law
    words = f"the loss does not move when a constant is added to {law.along}; your gradient says it does"
    return Diagnosis("shift", f"{say.sentence(words)}: {_of_a_shift(e, found)}{say.below(e)}.")


def scale(e: Evidence) -> Diagnosis | None:
    """The products of gradient and weight along some axes sum to 0, and the analytic ones do not."""
    found = _broken(e, scales)
    if found is None:
        return None
    law = found.law
    words = f"the loss does not move when {law.along} {_are(law)} scaled; your gradient says it does"
    missing = _affine(e, found, 2) and len(law.names) == 1
    cause = (
        "the path through the variance is missing or wrong"
        if missing
        else "look at the path through a norm or a variance"
    )
    return Diagnosis("scale", f"{say.sentence(words)}: {cause}{say.below(e)}.")


def _are(law: Law) -> str:
    return "is" if len(law.names) == 1 or law.along.startswith("each") else "are"


def _broken(e: Evidence, laws: Callable[[Evidence, str], Iterator[Law]]) -> Held | None:
    """The law of the smallest groups that holds and is broken in most of them, by the wrong parameter nearest the loss."""
    tried = 0
    for law in (law for name in reversed(e.layout.names) for law in laws(e, name) if set(law.names) & set(e.broken)):
        tried += 1
        found = held(e, law)
        if found is None or found.digits < DECADES + SPARE * law.scaled + math.log10(tried) or not found.broken.any():
            continue
        if 2 * found.broken.sum() > found.tested.sum() and _is_told(e, law):
            return found
    return None


def _is_told(e: Evidence, law: Law) -> bool:
    """Whether a broken law says more than that a gradient is off: noise breaks every law.

    Of a loss over examples something must be right, and what a softmax at the end makes of its own weights is no such law.
    """
    return e.examples is None or (e.others_right and (law.scaled or len(e.broken) > 1))


def _of_a_shift(e: Evidence, found: Held) -> str:
    """What is missing, as far as the differences tell."""
    if _affine(e, found, 1):
        return "the path through the mean is missing or wrong"
    if len(found.law.names) == 1 and _affine(e, found, 2):
        return "the paths through the mean and the variance are missing or wrong"
    if _is_diagonal(e, found):
        return "each entry is taken alone, as by the diagonal of a softmax's derivative"
    instead = _obeyed_instead(e, found)
    if instead is not None:
        return f"it sums to 0{instead} instead, the wrong axis"
    return "look at what they share, such as a mean or a sum"


def _affine(e: Evidence, found: Held, unknowns: int) -> bool:
    """Whether the differences of each group are one number (1 unknown), or one number and a multiple of theta (2)."""
    digits = 0.0
    for at in found.law.groups[found.tested]:
        d, x = (e.a - e.n)[at], e.theta[at]
        slack = e.bound[at] + UNITS * e.unit * (np.abs(e.a[at]) + np.abs(e.n[at]))
        basis = np.stack([np.ones(len(at)), x][:unknowns], axis=1)
        if len(at) <= unknowns or not np.isfinite(d).all():
            continue
        fitted = basis @ np.linalg.lstsq(basis, d, rcond=None)[0]
        # least squares spread the error of each number over all
        if not (np.abs(d - fitted) <= slack + 2 * slack.mean() * math.sqrt(len(at))).all():
            return False
        digits += float(np.sort(np.log10(np.abs(d) / slack).clip(0, 16))[: len(at) - unknowns].sum())
    return digits >= DECADES


def _is_diagonal(e: Evidence, found: Held) -> bool:
    """Whether a = s (1 - s) u where n = s (u - sum s u), for s the softmax of theta along the group and any u.

    Then a / (s (1 - s)) and n / s differ by one number in each group.  Entries without a slope are masked.
    """
    digits = 0.0
    for at in found.law.groups[found.tested]:
        at = at[e.n[at] != 0]
        x = np.ldexp(e.theta[at], e.exponent_theta)
        s = np.exp(x - x.max(initial=0.0)) / np.exp(x - x.max(initial=0.0)).sum()
        if len(at) < 3 or (s == 1).any() or (s == 0).any():
            continue
        apart = e.a[at] / (s * (1 - s)) - e.n[at] / s
        slack = (e.bound[at] + UNITS * e.unit * (np.abs(e.n[at]) + np.abs(e.a[at]) / (1 - s))) / s
        if (apart - slack).max() > (apart + slack).min():
            return False
        spread = np.abs(e.n[at] / s - (e.n[at] / s).mean())
        digits += float(np.sort(np.log10(spread / slack).clip(0, 16))[:-1].sum())
    return digits >= DECADES


def _obeyed_instead(e: Evidence, found: Held) -> str | None:
    """The other axes along which the analytic gradient sums to 0 and the numeric one does not, in words."""
    (name,) = found.law.names
    for law in shifts(e, name):
        a = e.a[law.groups]
        size = np.linalg.norm(a, axis=1)
        slack = UNITS * e.unit * np.abs(a).sum(axis=1)
        told = size > 0
        if told.any() and (np.abs(a.sum(axis=1)) <= slack).all() and held(e, law) is None:
            return law.along.removeprefix(say.brief(name))
    return None
