"""Hypotheses of a factor, 0 included, and of a multiple of the weights: a = c n + d theta.

Each takes the evidence and returns a diagnosis, or None where it does not hold.
"""

from __future__ import annotations

import numpy as np

from gradcheck.numerics.diagnosis import wording as say
from gradcheck.numerics.diagnosis.evidence import Evidence, is_bias
from gradcheck.numerics.diagnosis.fits import DECADES, LIKELY, Fit, fit, tolerance_of
from gradcheck.numerics.diagnosis.kinds import Diagnosis
from gradcheck.numerics.diagnosis.zeros import nothing_arrives


def precision(e: Evidence) -> Diagnosis | None:
    """Every wrong entry is the true one rounded to a lower precision."""
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
    """The gradient has one weight, so any mistake looks like a factor."""
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
    """a = c n + d theta, with d = 0 for biases: the data term is off by a factor, the l2 term is not."""
    return _factor_words(e, fit(e, e.judged, ~e.bias))


def _factor_words(e: Evidence, found: Fit | None) -> Diagnosis | None:
    """The diagnosis of a factor of all weights, if its evidence suffices."""
    if found is None or found.decades < DECADES:
        return None
    if found.factor == 0 and found.decay:
        everything = dict.fromkeys(e.broken, found.decay)
        return nothing_arrives(e, everything)
    subject = "The data term of the gradient" if found.decay else "The whole gradient"
    tail = f"; beside it stands {say.number(say.l2_of(e, found))} times the weights, the penalty" if found.decay else ""
    return Diagnosis(
        "constant_factor", f"{subject} {say.times(found)}{say.meaning(e, found)}{tail}.{say.hint(e, found)}"
    )


def likely_factor(e: Evidence) -> Diagnosis | None:
    """a = c n everywhere, where nothing else is known to hold: bounds are too wide to rule out all other mistakes.

    Where too little agrees even for that, the factor is spoken of, and the kind stays open.
    """
    found = fit(e, e.judged)
    if found is None:
        return None
    said = f"{say.times(found)}{say.meaning(e, found)}"
    if found.decades >= LIKELY:
        return Diagnosis(
            "constant_factor", f"The whole gradient {said}, as far as bounds this wide can tell.{say.hint(e, found)}"
        )
    # where bounds are as large as the gradient any factor fits, and an unknown one fits one weight whatever it is
    telling = tolerance_of(found.factor, e.a, e.n, e.bound, e.unit) < np.abs(e.a)
    if int((telling & e.wrong).sum()) < (2 if found.width == 0 else 3):
        return None
    return Diagnosis(
        "unknown",
        f"{say.some(e)} are wrong. If the whole gradient {said}, that explains each of them, but bounds are too wide to tell "
        f"it from other mistakes.",
    )


def factors(e: Evidence) -> Diagnosis | None:
    """Each wrong parameter is off by a factor of its own."""
    found = _factor_of_each(e)
    if not found or sum(one.decades for one in found.values()) < DECADES:
        return None
    if all(one.factor == 0 for one in found.values()):
        return nothing_arrives(e, {name: one.decay for name, one in found.items()})
    groups: dict[str, list[str]] = {}
    for name, one in found.items():
        groups.setdefault(say.times(one) + say.meaning(e, one), []).append(name)
    parts = []
    for phrase, names in groups.items():
        subject = say.of_data(names) if any(found[name].decay for name in names) else say.listed(names)
        parts.append(f"{subject} {phrase if len(names) == 1 or found[names[0]].decay else say.plural(phrase)}")
    look = f": look at {say.derivatives(e.broken)}{' alone' if e.others_right else ''}."
    words = f"{' and '.join(parts)}{say.rest(e, ';') if e.others_right or e.besides else ''}{look}"
    if len(words) > say.LONGEST and len(groups) > 1:
        words = f"{say.listed(e.broken)} are each off by a factor of their own{say.rest(e)}."
    return Diagnosis("param_factor", words)


def _factor_of_each(e: Evidence) -> dict[str, Fit] | None:
    """A fit for each wrong parameter, with a multiple of theta if the factor alone does not suffice; None if one has none."""
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
    return found
