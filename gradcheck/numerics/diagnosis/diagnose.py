"""What a wrong gradient looks like: which kind of mistake explains the analytic gradient, given the numeric one.

What is known of each weight: the analytic gradient a, the numeric gradient n, theta, and the bound B within which n is
the true derivative.  A hypothesis says how a would follow from the true gradient, for instance a = c n, and holds only
if it explains *every* judged weight within its bound (propagated: c B for a factor c).  It must also have been able to
fail: with k unknowns fitted, the digits of agreement of the wrong weights beyond the first k are counted, and below
``DECADES`` of them nothing is claimed.  Hypotheses are tried from the simplest to the widest.

Parameters are told apart by name: ``b``, ``b1``, ``bias`` … are biases, and where every name ends in a number, as in
``W2``, that number orders the layers from the input up.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gradcheck.numerics.diagnosis import wording as say
from gradcheck.numerics.diagnosis.evidence import Claim, Evidence, gather, is_bias, layers
from gradcheck.numerics.diagnosis.fits import DECADES, Fit, decades_of, decay, fit, tolerance_of
from gradcheck.numerics.verdict import Judgement

Array = np.ndarray

KINDS: dict[str, str] = {
    "not_finite": "entries are NaN or infinite where the loss is finite",
    "zero_entries": "some entries are 0 where the slope is not",
    "zero_param": "all of a parameter is 0, or its data term is",
    "bias": "the biases alone are wrong, 0 or otherwise",
    "detached": "a layer and all below it get nothing",
    "precision": "every wrong entry is a rounded one, of a lower precision",
    "constant_factor": "the gradient, or its data term, is off by one factor",
    "l2": "a multiple of the weights is missing or too much",
    "transposed": "the values of a matrix stand in the order of its transpose",
    "param_factor": "each wrong parameter is off by a factor of its own",
    "clipped": "all wrong entries stand at one largest magnitude",
    "permutation": "the values are right, their order is not",
    "activation_derivative": "the upper layers are right, all below is wrong without a pattern",
    "entries": "a few entries are wrong, the others of their parameter are right",
    "scattered": "whole parameters are off without a pattern",
    "unknown": "too few weights are judged to tell",
}


@dataclass(frozen=True)
class Diagnosis:
    """``kind``, one of KINDS, and ``words`` of at most ``wording.LONGEST`` characters; None where nothing is wrong."""

    kind: str | None
    words: str | None


def diagnose(problem: Claim, numeric: Array, judged: Judgement, index: Array | None = None) -> Diagnosis:
    """The kind of mistake that explains a gradient judged wrong.

    numeric : (m,) numeric gradient of the weights that were checked, ``judged`` their verdicts.
    index : (m,) flat indices of these weights, where not all of theta was checked.
    Never raises and never warns, whatever the numbers are.
    """
    if "mismatch" not in judged.verdict:
        return Diagnosis(None, None)
    with np.errstate(all="ignore"):
        evidence = gather(problem, numeric, judged, index)
        for hypothesis in HYPOTHESES:
            found = hypothesis(evidence)
            if found is not None:
                return Diagnosis(found.kind, say.shorten(re.sub("^the ", "The ", found.words or "")))
    raise AssertionError("the last hypothesis always holds")


# --- hypotheses, from the simplest to the widest ----------------------------------------------------------------------


def not_finite(e: Evidence) -> Diagnosis | None:
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


def zeros(e: Evidence) -> Diagnosis | None:
    """Every wrong entry is exactly 0."""
    if (e.raw[e.wrong] != 0).any():
        return None
    if all((e.raw[e.layout.slices[name]] == 0).all() for name in e.broken):
        return _nothing_arrives(e, dict.fromkeys(e.broken, 0.0))
    count = int(e.wrong.sum())
    return Diagnosis(
        "zero_entries",
        f"{say.entries(e, e.wrong)} {say.are(count)} 0 where the slope is not; {say.others(e)}: look for "
        f"{'an entry that is' if count == 1 else 'entries that are'} skipped or overwritten.",
    )


def _nothing_arrives(e: Evidence, decays: dict[str, float]) -> Diagnosis:
    """Words for whole parameters whose data term is 0."""
    names = list(decays)
    penalised = any(decays.values())
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


def precision(e: Evidence) -> Diagnosis | None:
    """Every wrong entry is a number of a lower precision, next to the true one."""
    raw, off, bound = e.raw[e.wrong], np.abs(e.a - e.n)[e.wrong], e.bound[e.wrong]
    if not raw.any():
        return None
    for lower in (np.float64, np.float32, np.float16):
        if np.finfo(lower).nmant >= np.finfo(e.raw.dtype).nmant:
            continue
        low = raw.astype(lower)
        spacing = np.ldexp(np.spacing(np.abs(low)).astype(np.float64), -e.exponent)
        if (low == raw).all() and (off <= spacing / 2 + bound).all():
            return Diagnosis(
                "precision",
                f"{say.some(e)} {say.are(int(e.wrong.sum()))} rounded to {np.dtype(lower).name}: right to its last digit, and "
                f"no further. Keep the gradient in {e.raw.dtype.name}.",
            )
    return None


def single_weight(e: Evidence) -> Diagnosis | None:
    """A gradient of one weight: any mistake is a factor."""
    if e.layout.size != 1 or not np.abs(e.n[0]) > e.bound[0]:
        return None
    found = fit(e, e.judged)
    if found is None:
        return None
    return Diagnosis(
        "constant_factor",
        f"{say.brief(e.layout.names[0])} {say.times(found)}{say.meaning(e, found)}; one weight alone cannot tell a factor from "
        f"any other mistake.",
    )


def constant_factor(e: Evidence) -> Diagnosis | None:
    """a = c n everywhere."""
    return _factor_words(e, fit(e, e.judged))


def constant_factor_of_data(e: Evidence) -> Diagnosis | None:
    """a = c n + d theta, without d for the biases: an l2 term that is not off by the factor."""
    return _factor_words(e, fit(e, e.judged, ~e.bias))


def _factor_words(e: Evidence, found: Fit | None) -> Diagnosis | None:
    if found is None or found.decades < DECADES:
        return None
    if found.factor == 0 and found.decay:
        everything = dict.fromkeys(e.broken, found.decay)
        return _nothing_arrives(e, everything)
    subject = "The data term of the gradient" if found.decay else "The whole gradient"
    tail = f"; beside it stands {say.number(say.l2_of(e, found))} times the weights, the penalty" if found.decay else ""
    return Diagnosis(
        "constant_factor", f"{subject} {say.times(found)}{say.meaning(e, found)}{tail}.{say.hint(e, found)}"
    )


def l2(e: Evidence) -> Diagnosis | None:
    """a - n = beta theta on the wrong parameters."""
    rows = e.among(e.broken) & e.judged
    a, n, bound = e.a[rows], e.n[rows], e.bound[rows]
    beta = decay(a - n, e.theta[rows], tolerance_of(1.0, a, n, bound, e.unit))
    if beta is None or decades_of(1.0, a, n, bound, e.wrong[rows], e.unit, 1) < DECADES:
        return None
    size = say.number(abs(e.per_theta(beta)))
    names = list(e.broken)
    term = f"{size} {names[0]}" if len(names) == 1 else f"{size} times the weight"
    where = say.listed(names)
    if all(is_bias(name) for name in names):
        cause = "a penalty on the biases that the loss has not" if beta > 0 else "a penalty on the biases is missing"
    elif beta > 0:
        cause = f"l2 counted twice or not in the loss (lambda = {size})"
    else:
        cause = f"the l2 term is missing or too small (lambda = {size})"
    return Diagnosis(
        "l2",
        f"{where} {say.have(names)} {term} too {'much' if beta > 0 else 'little'}{say.rest(e)}: {cause}.",
    )


def transposed(e: Evidence) -> Diagnosis | None:
    """The values of each wrong matrix are the numeric ones in the order of the transpose, beside a penalty in place."""
    decades = 0.0
    for name in e.broken:
        shape, where = e.layout.shapes[e.layout.names.index(name)], e.layout.slices[name]
        if sum(length > 1 for length in shape) < 2:
            return None
        order = np.arange(math.prod(shape))
        readings = (order.reshape(shape).T.reshape(-1), order.reshape(shape[::-1]).T.reshape(-1))
        best = [digits for reading in readings if (digits := _reordered(e, where, reading)) is not None]
        if not best:
            return None
        decades += max(best)
    if decades < DECADES:
        return None
    names = list(e.broken)
    return Diagnosis(
        "transposed",
        f"{say.listed(names)} {say.have(names)} the right values in the order of the transpose{say.rest(e)}: look for a .T or "
        f"a reshape in {say.derivatives(names)}.",
    )


def _reordered(e: Evidence, where: slice, order: Array) -> float | None:
    """Decades of evidence for a = n[order] inside a parameter, a penalty d theta in place allowed; None if it fails."""
    a, t, n, bound = e.a[where], e.theta[where], e.n[where][order], e.bound[where][order]
    rows = e.judged[where][order] & (order != np.arange(len(order)))
    if (e.wrong[where] & (order == np.arange(len(order)))).any() or not rows.any():
        return None
    a, n, bound, t, wrong = a[rows], n[rows], bound[rows], (t - t[order])[rows], e.wrong[where][rows]
    tolerance = tolerance_of(1.0, a, n, bound, e.unit)
    own = e.n[where][rows]
    for free, found in ((0, decay(a - n, None, tolerance)), (1, decay(a - n, t, tolerance) if t.any() else None)):
        if found is not None:
            digits = np.clip(np.nan_to_num(np.log10(np.minimum(np.abs(a - own), np.abs(a)) / tolerance)), 0.0, 16.0)
            digits = np.sort(digits[wrong])
            return float(digits[: max(0, len(digits) - free)].sum())
    return None


def factors(e: Evidence) -> Diagnosis | None:
    """Each wrong parameter is off by a factor of its own."""
    found: dict[str, Fit] = {}
    for name in e.broken:
        rows = e.among([name])
        if not e.raw[e.layout.slices[name]].any():
            found[name] = Fit(0.0, 0.0, 0.0, DECADES)
            continue
        one = fit(e, rows)
        if (one is None or one.decades < DECADES) and not is_bias(name):
            both = fit(e, rows, rows)
            one = both if both is not None and (one is None or both.decades > one.decades) else one
        if one is None:
            return None
        found[name] = one
    if sum(one.decades for one in found.values()) < DECADES:
        return None
    if all(one.factor == 0 for one in found.values()):
        return _nothing_arrives(e, {name: one.decay for name, one in found.items()})
    groups: dict[str, list[str]] = {}
    for name, one in found.items():
        groups.setdefault(say.times(one) + say.meaning(e, one), []).append(name)
    parts = []
    for phrase, names in groups.items():
        subject = say.of_data(names) if any(found[name].decay for name in names) else say.listed(names)
        parts.append(f"{subject} {phrase if len(names) == 1 or found[names[0]].decay else say.plural(phrase)}")
    look = f": look at {say.derivatives(e.broken)}{' alone' if e.others_right else ''}."
    words = f"{' and '.join(parts)}{say.rest(e, ';') if e.others_right else ''}{look}"
    if len(words) > say.LONGEST and len(groups) > 1:
        words = f"{say.listed(e.broken)} are each off by a factor of their own{say.rest(e)}."
    return Diagnosis("param_factor", words)


def clipped(e: Evidence) -> Diagnosis | None:
    """The wrong entries share one magnitude, which no other entry of their parameters exceeds."""
    size = np.abs(e.raw.astype(np.float64))
    limit = float(size[e.wrong].max())
    if limit == 0 or int(e.wrong.sum()) < 2 or (size[e.wrong] != limit).any():
        return None
    beyond = (np.abs(e.n) > np.abs(e.a))[e.wrong].all() and (np.sign(e.n) == np.sign(e.a))[e.wrong].all()
    if not beyond or (size[e.among(e.broken)] > limit).any():
        return None
    return Diagnosis(
        "clipped",
        f"{say.some(e)} {say.are(int(e.wrong.sum()))} cut off at {limit:.4g}, no entry is larger and all smaller ones are "
        f"right: gradient clipping is on.",
    )


def permutation(e: Evidence) -> Diagnosis | None:
    """The values are the right ones in another order, inside each wrong parameter or over all of theta."""
    for groups in ([e.among([name]) for name in e.broken], [e.among(e.broken)]):
        found = [_sorted_alike(e, rows) for rows in groups]
        if all(found):
            inside = "entries" if len(groups) == len(e.broken) else "entries, across parameters,"
            return Diagnosis(
                "permutation",
                f"{say.listed(e.broken)} {say.have(e.broken)} the right values in another order{say.rest(e)}: look for "
                f"{inside} swapped, reversed or flattened in another order.",
            )
    return None


def _sorted_alike(e: Evidence, rows: Array) -> bool:
    if not e.judged[rows].all() or int(e.wrong[rows].sum()) < 2:
        return False
    a, n, bound = e.a[rows], e.n[rows], e.bound[rows]
    by_a, by_n = np.argsort(a, kind="stable"), np.argsort(n, kind="stable")
    tolerance = tolerance_of(1.0, a[by_a], n[by_n], bound[by_n], e.unit)
    if not (np.abs(a[by_a] - n[by_n]) <= tolerance).all():
        return False
    # numbers closer together than the tolerance agree by chance
    gaps = np.diff(n[by_n])
    gaps = np.minimum(np.append(gaps, np.inf), np.insert(gaps, 0, np.inf))
    digits = np.log10(gaps / tolerance)[e.wrong[rows][by_a]]
    return float(np.clip(np.nan_to_num(digits, nan=0.0), 0.0, 16.0).sum()) >= DECADES


def biases_alone(e: Evidence) -> Diagnosis | None:
    """Nothing but biases is wrong, and these as a whole."""
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
    """All is right above some hidden layer, and from there down everything is wrong, by whole units."""
    level = layers(e.layout)
    if level is None:
        return None
    top = max(level[name] for name in e.broken)
    here = [name for name in e.layout.names if level[name] == top]
    below = [name for name in e.layout.names if level[name] < top]
    above = e.among([name for name in e.layout.names if level[name] > top]) & e.judged
    if not above.any() or int(e.wrong.sum()) < 3:
        return None
    if any(name not in e.broken for name in here + below if e.counted[e.layout.slices[name]].any()):
        return None
    # where a unit is in its linear part for every example, the derivative is right without being computed
    if not _whole_units(e, here) and e.fraction_wrong(e.among(here + below)) < 0.4:
        return None
    if len(e.broken) == 1 and say.ratios(e)[1] < 1.1 and say.ratios(e)[0] > 0.9:
        # one matrix, by a few per cent: noise in it would look the same
        return None
    return Diagnosis(
        "activation_derivative",
        f"All is right above layer {top}; {say.listed(e.broken)} {say.are(len(e.broken))} wrong without a constant factor: "
        f"look at the activation's derivative in layer {top}.",
    )


def _whole_units(e: Evidence, names: list[str]) -> bool:
    """Whether each unit of a layer, a column of its matrix with its bias, is wrong as a whole or right as a whole.

    A unit of relu that is active for every example is right without the derivative.
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
    """The differences of a bias cancel: residuals of a softmax add up to 0 over the classes, whatever the examples."""
    for name in e.broken:
        where = e.layout.slices[name]
        wrong = e.wrong[where]
        off, bound = (e.a - e.n)[where], e.bound[where]
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


def entries(e: Evidence) -> Diagnosis | None:
    """A few entries are wrong among many right ones."""
    count = int(e.wrong.sum())
    judged = int(e.counted.sum())
    if judged < 2 and not (count == 1 and e.judged.sum() > 1):
        return None
    if count == 1:
        return Diagnosis("entries", f"{say.entries(e, e.wrong)} alone is wrong: {say.pair(e)}; {say.others(e)}.")
    parameters = [e.among([name]) for name in e.broken]
    whole = any(e.fraction_wrong(rows) == 1 and (rows & e.wrong).sum() > 2 for rows in parameters)
    # differences close to the bound are the visible ones of many
    if 3 * count > judged or whole or e.faint[e.wrong].any():
        return None
    return Diagnosis("entries", f"{count} weights are wrong, {say.others(e)}: {say.entries(e, e.wrong)}.")


def scattered(e: Evidence) -> Diagnosis | None:
    """Whole parameters are off, and nothing simple explains by what."""
    if int((e.wrong & ~e.faint).sum()) < 3:
        return None
    low, high = say.ratios(e)
    ratios = f"analytic/numeric {low:.3g} to {high:.3g}" if math.isfinite(low) and math.isfinite(high) else "no pattern"
    right = [name for name in e.layout.names if name not in e.broken and e.judged[e.layout.slices[name]].any()]
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
    """What is left."""
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


HYPOTHESES: tuple[Callable[[Evidence], Diagnosis | None], ...] = (
    not_finite,
    zeros,
    precision,
    single_weight,
    constant_factor,
    l2,
    constant_factor_of_data,
    transposed,
    factors,
    clipped,
    permutation,
    other_residuals,
    biases_alone,
    activation_derivative,
    entries,
    scattered,
    unknown,
)
