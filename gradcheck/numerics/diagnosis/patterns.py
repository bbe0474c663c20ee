"""Hypotheses of where the wrong entries lie and in which order their values stand.

Each takes the evidence and returns a diagnosis, or None where it does not hold.
"""

from __future__ import annotations

import math

import numpy as np

from gradcheck.numerics.diagnosis import wording as say
from gradcheck.numerics.diagnosis.evidence import Evidence, is_bias, layers
from gradcheck.numerics.diagnosis.fits import DECADES
from gradcheck.numerics.diagnosis.kinds import Diagnosis

Array = np.ndarray


def not_finite(e: Evidence) -> Diagnosis | None:
    """A wrong entry is NaN or infinite."""
    bad = ~np.isfinite(e.raw.astype(np.float64)) & e.wrong
    if not bad.any():
        return None
    values = sorted({"nan" if np.isnan(v) else "infinite" for v in np.unique(e.raw[bad])}, reverse=True)
    what = " or ".join(values)
    return Diagnosis(
        "not_finite",
        f"{say.entries(e, bad)} {say.are(int(bad.sum()))} {what} where the loss is finite: look for a division by 0, a "
        f"log(0) or an overflow in the gradient.",
    )


def clipped(e: Evidence) -> Diagnosis | None:
    """The wrong entries share one magnitude, and no other entry of their parameters exceeds it."""
    size = np.abs(e.raw.astype(np.float64))
    limit = float(size[e.wrong].max())
    if limit == 0 or int(e.wrong.sum()) < 2 or (size[e.wrong] != limit).any():
        return None
    beyond = (np.abs(e.n) > np.abs(e.a))[e.wrong].all() and (np.sign(e.n) == np.sign(e.a))[e.wrong].all()
    if not beyond or (size[e.among(e.broken)] > limit).any():
        return None
    # a right entry that stands there too tells of a gradient of few values, such as that of a maximum
    if (size[e.judged & ~e.wrong & e.among(e.broken)] == limit).any():
        return None
    return Diagnosis(
        "clipped",
        f"{say.some(e)} {say.are(int(e.wrong.sum()))} cut off at {limit:.4g}, no entry is larger and all smaller ones are "
        f"right: gradient clipping is on.",
    )


def biases_alone(e: Evidence) -> Diagnosis | None:
    """Only biases are wrong, and each of them in all entries."""
    names = list(e.broken)
    if not all(is_bias(name) for name in names) or not e.others_right:
        return None
    if any(e.fraction_wrong(e.among([name])) < 1 for name in names):
        return None
    one = f" ({say.pair(e)})" if int(e.wrong.sum()) == 1 else ""
    return Diagnosis(
        "bias",
        f"Only {say.listed(names)} {say.are(len(names))} wrong{one}{say.rest(e)}: look at the sum over the examples in "
        f"{say.derivatives(names)}.",
    )


def activation_derivative(e: Evidence) -> Diagnosis | None:
    """All is right above some hidden layer; that layer and those below are wrong, by whole units."""
    level = layers(e.layout)
    if level is None:
        return None
    top = max(level[name] for name in e.broken)
    here = [name for name in e.layout.names if level[name] == top]
    below = [name for name in e.layout.names if level[name] < top]
    above = e.among([name for name in e.layout.names if level[name] > top]) & e.judged
    if top == 0 or not above.any() or int(e.wrong.sum()) < 3:
        return None
    here = _first_wrong(e, here)
    if any(name not in e.broken for name in here + below if e.counted[e.layout.slices[name]].any()):
        return None
    # a unit that is linear for every example is right without the activation's derivative
    if not _whole_units(e, here) and e.fraction_wrong(e.among(here + below)) < 0.4:
        return None
    if len(e.broken) == 1 and say.ratios(e)[1] < 1.1 and say.ratios(e)[0] > 0.9:
        # one matrix that is off by a few per cent may just be noisy
        return None
    # a layer of more than a matrix and a bias has more steps than an activation
    dense = sum(level[name] == top for name in e.layout.names) <= 2
    look = (
        f"the activation's derivative in layer {top}"
        if dense
        else f"what comes down to layer {top}, and each step in it"
    )
    return Diagnosis(
        "activation_derivative",
        f"All is right above layer {top}; {say.listed(e.broken)} {say.are(len(e.broken))} wrong without a constant factor: "
        f"look at {look}.",
    )


def _first_wrong(e: Evidence, names: list[str]) -> list[str]:
    """Of the parameters of one layer those up to the last wrong one, where what stands behind it is more than its bias.

    The layer is made of several then: of attention the output may be right, of a norm the scale, and all that lies below wrong.
    """
    last = max(place for place, name in enumerate(names) if name in e.broken)
    behind = [name for name in names[last + 1 :] if e.judged[e.layout.slices[name]].any()]
    return names if all(is_bias(name) for name in behind) else names[: last + 1]


def _whole_units(e: Evidence, names: list[str]) -> bool:
    """Whether each unit of a layer (a column of its matrix, and its bias) is wholly wrong or wholly right.

    A relu unit that is active for every example is right without the derivative.
    """
    shapes = dict(zip(e.layout.names, e.layout.shapes, strict=True))
    widths = {shapes[name][-1] for name in names if shapes[name]}
    if len(widths) != 1 or any(len(shapes[name]) not in (1, 2) for name in names):
        return all(e.fraction_wrong(e.among([name])) >= 0.6 for name in names)
    width = widths.pop()
    unit = np.full(e.layout.size, -1)
    for name in names:
        unit[e.layout.slices[name]] = np.arange(math.prod(shapes[name])) % max(width, 1)
    shares = [e.fraction_wrong(unit == j) for j in range(width)]
    return all(share == 0 or share >= 0.6 for share in shares)


def other_residuals(e: Evidence) -> Diagnosis | None:
    """The differences of a bias add up to 0, as softmax residuals do over the classes, whatever the examples."""
    level = layers(e.layout)
    for name in e.broken:
        where = e.layout.slices[name]
        wrong = e.wrong[where]
        off, bound = (e.a - e.n)[where], e.bound[where]
        if level is not None and level[name] < max(level.values()):
            continue
        if not is_bias(name) or int(wrong.sum()) < 2 or not e.judged[where].all():
            continue
        together = float(bound.sum())
        if abs(float(off.sum())) <= together and np.abs(off).max() > 10**DECADES * together:
            return Diagnosis(
                "scattered",
                f"{say.listed(e.broken)} {say.are(len(e.broken))} off without a pattern, but the differences in "
                f"{say.brief(name)} add up to 0: softmax residuals of other examples or labels than the loss has.",
            )
    return None


def rows(e: Evidence) -> Diagnosis | None:
    """Some rows of one matrix are wrong, each as a whole, and the others are right, as where an index chooses rows."""
    if len(e.broken) != 1:
        return None
    (name,) = e.broken
    shape, where = e.layout.shape(name), e.layout.slices[name]
    if len(shape) < 2 or int(e.wrong.sum()) < 3:
        return None
    seen = e.counted[where].reshape(shape[0], -1)
    wrong = e.wrong[where].reshape(shape[0], -1) & seen
    whole, right = (wrong == seen).all(axis=1) & seen.any(axis=1), ~wrong.any(axis=1) & seen.any(axis=1)
    if not (whole | right | ~seen.any(axis=1)).all() or not right.any() or not (seen.sum(axis=1)[whole] >= 2).all():
        return None
    which = np.flatnonzero(whole)
    shown = ", ".join(map(str, which[:3])) + (" …" if len(which) > 3 else "")
    subject = f"Row{'s' if len(which) > 1 else ''} {shown} of {say.brief(name)} {say.are(len(which))} wrong as a whole"
    return Diagnosis(
        "entries",
        f"{subject}, the other rows are right: if an index chooses rows and repeats, add all contributions (np.add.at).",
    )


def entries(e: Evidence) -> Diagnosis | None:
    """A few entries are wrong among many right ones."""
    count = int(e.wrong.sum())
    judged = int(e.counted.sum())
    if not e.agree.any():
        return None
    if judged < 2 and not (count == 1 and e.judged.sum() > 1):
        return None
    if count == 1:
        return Diagnosis("entries", f"{say.entries(e, e.wrong)} alone is wrong: {say.pair(e)}; {say.others(e)}.")
    parameters = [e.among([name]) for name in e.broken]
    whole = any(e.fraction_wrong(rows) == 1 and (rows & e.wrong).sum() > 2 for rows in parameters)
    # differences close to the bound may be the visible part of many
    if 3 * count > judged or whole or e.faint[e.wrong].any():
        return None
    return Diagnosis("entries", f"{count} weights are wrong, {say.others(e)}: {say.entries(e, e.wrong)}.")


def scattered(e: Evidence) -> Diagnosis | None:
    """Several weights are wrong, and no simple pattern explains them."""
    if int((e.wrong & ~e.faint).sum()) < 3:
        return None
    low, high = say.ratios(e)
    ratios = f"analytic/numeric {low:.3g} to {high:.3g}" if math.isfinite(low) and math.isfinite(high) else "no pattern"
    right = [name for name in e.layout.names if name not in e.broken and e.agree[e.layout.slices[name]].any()]
    if e.examples is None and not (len(right) == 1 and is_bias(right[0]) and len(e.broken) == 1):
        # whether fun has examples or labels is not known
        about = "" if ratios == "no pattern" else f" ({ratios})"
        if f"{low:.3g}" == f"{high:.3g}":
            about = " in sign" if low < 0 and f"{low:.3g}" == "-1" else f" (analytic/numeric {low:.3g})"
        many = f"{int(e.wrong.sum())} of {int((e.wrong | e.agree).sum())} judged weights are off{about}{say.rest(e)}"
        return Diagnosis("scattered", f"{many}: no pattern that I know; check each layer with check_layer.")
    if not right:
        return Diagnosis(
            "scattered",
            f"Every judged parameter is off without a pattern ({ratios}): noise, or other examples or labels than the "
            f"loss has; the gradients alone cannot tell which.",
        )
    level = layers(e.layout)
    last = [name for name in right if level is None or level[name] == max(level.values())]
    if len(right) == 1 and last and is_bias(right[0]):
        return Diagnosis(
            "scattered",
            f"{say.listed(e.broken)} {say.are(len(e.broken))} off without a pattern, {right[0]} is right: noise, or residuals "
            f"paired with the wrong examples (labels shuffled, (n, 1) minus (n,)).",
        )
    return Diagnosis(
        "scattered",
        f"{say.listed(e.broken)} {say.are(len(e.broken))} off without a pattern ({ratios}){say.rest(e)}: noise in "
        f"{say.derivatives(e.broken)}, or wrong inputs to {'it' if len(e.broken) == 1 else 'them'}.",
    )


def unknown(e: Evidence) -> Diagnosis | None:
    """Nothing else holds.  This hypothesis always does."""
    count = int(e.wrong.sum())
    pair = f" ({say.pair(e)})" if count == 1 else ""
    if e.faint[e.wrong].all():
        return Diagnosis(
            "unknown",
            f"{say.entries(e, e.wrong)} {say.are(count)} wrong, by less than 10 times what a correct gradient could show: too "
            f"little to tell the kind.",
        )
    return Diagnosis(
        "unknown",
        f"{say.entries(e, e.wrong)} {say.are(count)} wrong{pair}: too little to tell which kind of mistake it is "
        f"({int(e.judged.sum())} of {e.layout.size} weights could be judged).",
    )
