"""What the mistake in a Hessian looks like, in a sentence.

Known are the Hessian A that is claimed, the differences N of the gradient, and the bound B of each.  A hypothesis says what A
would be, made of the true Hessian: ``A = c N`` on a part of the entries and ``A = N`` on the others.  It holds only if it
explains every judged entry within its bound, and if the wrong ones agree with it to ``fits.DECADES`` digits more than chance
gives, as in a diagnosis of a gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gradcheck.functions.second_order.evidence import NAMED, UNIT, Evidence, Found, many, times

Array = np.ndarray

KINDS: dict[str, str] = {
    "not_finite": "entries are NaN or infinite where the gradient is finite",
    "constant_factor": "every entry is off by one factor: -1 is the observed information for the Hessian, or the reverse",
    "one_triangle": "one triangle is right and the other is not",
    "both_half": "an entry and its transpose, or all beside the diagonal, are half of what they should be",
    "off_diagonal": "all beside the diagonal is off by one factor, 0 included",
    "diagonal": "the diagonal is off by one factor, or by a constant that is added to it",
    "by_the_logarithm": "the derivatives by one parameter are those by its logarithm, or the reverse",
    "inverse": "the inverse of the Hessian: a covariance matrix",
    "asymmetric": "entries differ from their transpose by more than rounding",
    "row": "all wrong entries are derivatives by one parameter",
    "entries": "some entries are wrong without a pattern",
    "gradient": "the gradient is wrong, and so are the differences of it",
    "products": "hessp is not the product with hess",
}


def not_finite(e: Evidence) -> Found | None:
    """Entries are NaN or infinite."""
    bad = ~np.isfinite(e.a) & e.wrong
    if not bad.any():
        return None
    return Found("not_finite", f"{e.said(bad)} {'is' if bad.sum() == 1 else 'are'} not finite where the gradient is.")


def whole_factor(e: Evidence) -> Found | None:
    """The whole Hessian is off by one factor."""
    if e.size == 1:
        return None
    for c in NAMED:
        if e.holds(np.full(e.a.shape, c)):
            words = f"The whole Hessian {times(c)}"
            if c == -1:
                return Found(
                    "constant_factor",
                    f"{words}: hess is the Hessian of -fun. For a log-likelihood -H is the observed information, "
                    "for its negative H is.",
                )
            return Found("constant_factor", f"{words}.")
    found = _free(e, e.judged)
    if found is not None and e.holds(np.full(e.a.shape, found), free=1):
        return Found("constant_factor", f"The whole Hessian {times(found)} (a mean for a sum?).")
    return None


def _free(e: Evidence, where: Array) -> float | None:
    """The factor at the entry of ``where`` that is known best."""
    rows = where & e.counted
    if not rows.any():
        return None
    with np.errstate(all="ignore"):
        sharp = np.where(rows & (e.n != 0), np.abs(e.n) / e.bound, -np.inf)
    best = np.unravel_index(int(np.argmax(sharp)), sharp.shape)
    c = float(e.a[best] / e.n[best]) if e.n[best] != 0 else np.nan
    return c if np.isfinite(c) else None


def one_triangle(e: Evidence) -> Found | None:
    """One triangle is right, or twice the right one, and the other is 0 or another multiple."""
    below = np.tril(np.ones(e.a.shape, bool), -1)
    for filled, other, name, rest in ((below, below.T, "lower", "upper"), (below.T, below, "upper", "lower")):
        # of two parameters a triangle is one entry: another factor than these tells nothing
        factors = (0.0, 2.0, 0.5, -1.0, _free(e, other & e.wrong)) if e.size > 2 else (0.0, 2.0)
        for c, d in [(1.0, d) for d in factors if d is not None] + [(2.0, 0.0)]:
            if not e.only(other if c == 1 else other | filled):
                continue
            if not e.holds(np.where(other, d, np.where(filled, c, 1.0)), free=int(d not in NAMED)):
                continue
            if c == 2:
                words = (
                    f"The {name} triangle is twice what it should be and the {rest} one is 0: halve it, and mirror it."
                )
            elif d == 0:
                words = f"Only the {name} triangle is filled, the {rest} one is 0: mirror it."
            else:
                words = f"The {name} triangle and the diagonal are right, the {rest} triangle {times(d)}."
            return Found("one_triangle", words)
    return None


def off_diagonal(e: Evidence) -> Found | None:
    """All beside the diagonal is off by one factor."""
    beside = ~np.eye(e.size, dtype=bool)
    if e.size < 3 or not e.only(beside):
        return None
    for c in (*NAMED, _free(e, beside & e.wrong)):
        if c is not None and e.holds(np.where(beside, c, 1.0), free=int(c not in NAMED)):
            if c == 0:
                return Found(
                    "off_diagonal",
                    "All beside the diagonal is 0, the diagonal is right: the mixed derivatives are missing.",
                )
            kind = "both_half" if c == 0.5 else "off_diagonal"
            hint = ": (H + H.T) / 2 of a matrix with one triangle halves them" if c == 0.5 else ""
            return Found(kind, f"All beside the diagonal {times(c)}, the diagonal is right{hint}.")
    return None


def diagonal(e: Evidence) -> Found | None:
    """The diagonal is off by one factor, or by a constant."""
    on = np.eye(e.size, dtype=bool)
    if e.size < 2 or (e.wrong & ~on).any() or e.wrong.sum() < 2:
        return None
    if not e.only(on):
        return None
    for c in (*NAMED, _free(e, on & e.wrong)):
        if c is not None and e.holds(np.where(on, c, 1.0), free=int(c not in NAMED)):
            return Found("diagonal", f"The diagonal {times(c)}, all beside it is right.")
    rows = on & e.judged
    gap, bound = (e.a - e.n)[rows], e.bound[rows]
    low, high = float((gap - bound).max()), float((gap + bound).min())
    if low <= high and rows.sum() >= 2 and np.abs(gap).min() > 1e3 * (high - low + 0.0):
        c = (low + high) / 2
        what = "too large" if c > 0 else "too small"
        return Found(
            "diagonal",
            f"Every entry of the diagonal is {abs(c):.4g} {what}, all beside it is right: the ridge (l2) term is "
            f"{'counted twice, or not in fun' if c > 0 else 'missing'}.",
        )
    return None


def pair(e: Evidence) -> Found | None:
    """An entry and its transpose are off by the same named factor; all else is right."""
    most = max(2, e.size * (e.size - 1) // 2)
    if not np.array_equal(e.wrong, e.wrong.T) or np.diagonal(e.wrong).any() or e.wrong.sum() > most:
        return None
    for c in NAMED:
        if e.holds(np.where(e.wrong, c, 1.0)):
            both = "both " if e.wrong.sum() == 2 else ""
            verb, rest = many(times(c)).split(" ", 1)
            words = (
                f"{e.said(e.wrong)} {verb} {both}{rest}" if verb == "are" else f"{e.said(e.wrong)} {both}{verb} {rest}"
            )
            return Found("both_half" if c == 0.5 else "entries", f"{words}; {_others(e)}.")
    return None


def by_the_logarithm(e: Evidence) -> Found | None:
    """The derivatives by one parameter x are those by log x, x times as large, or the reverse; the diagonal does not tell."""
    for p in range(e.size):
        beside = np.zeros(e.a.shape, bool)
        beside[p, :] = beside[:, p] = True
        if (e.wrong & ~beside).any() or e.theta[p] <= 0:
            continue
        beside[p, p] = False
        for s, words in (
            (float(e.theta[p]), f"those by log({e.labels.names[p]}): {e.labels.names[p]} times too large"),
            (1 / float(e.theta[p]), f"divided by {e.labels.names[p]} once too often"),
        ):
            sub = _without(e, p)
            if s != 1 and e.size > 1 and sub.only(beside) and sub.holds(np.where(beside, s, 1.0)):
                return Found("by_the_logarithm", f"The derivatives by {_called(e, p)} are {words}.")
    return None


def _without(e: Evidence, p: int) -> Evidence:
    """The evidence but for one entry of the diagonal, to which the gradient contributes."""
    bound, wrong = e.bound.copy(), e.wrong.copy()
    bound[p, p], wrong[p, p] = np.inf, False
    return Evidence(e.a, e.n, bound, wrong, e.asymmetric, e.theta, e.labels)


def inverse(e: Evidence) -> Found | None:
    """A N = I, or -I."""
    if e.size < 2 or not e.judged.all():
        return None
    product = e.a @ e.n
    tolerance = np.abs(e.a) @ e.bound + 1e3 * UNIT * (np.abs(e.a) @ np.abs(e.n))
    for sign, of in ((1.0, ""), (-1.0, "minus ")):
        one = sign * np.eye(e.size)
        if (np.abs(product - one) <= tolerance).all() and tolerance.max() < 1e-3:
            return Found(
                "inverse", f"hess returns {of}the inverse of the Hessian: the covariance matrix, not the information."
            )
    return None


def asymmetric(e: Evidence) -> Found | None:
    """Entries are wrong whose transpose is right."""
    alone = e.wrong & ~e.wrong.T & e.judged.T
    if not alone.any() or not np.array_equal(alone, e.wrong):
        return None
    right = e.said(alone.T)
    is_wrong, is_right = ("is", "is") if alone.sum() == 1 else ("are", "are")
    return Found(
        "asymmetric", f"{e.said(alone)} {is_wrong} wrong, and {right} {is_right} right: a Hessian is symmetric."
    )


def row(e: Evidence) -> Found | None:
    """All wrong entries are derivatives by one parameter."""
    # an entry and its transpose lie in two rows
    if e.size < 3 or (e.wrong | e.wrong.T).sum() < 3:
        return None
    for p in range(e.size):
        beside = np.zeros(e.a.shape, bool)
        beside[p, :] = beside[:, p] = True
        if not (e.wrong & ~beside).any():
            return Found(
                "row",
                f"All {int(e.wrong.sum())} wrong entries are derivatives by {_called(e, p)}; those by the other parameters "
                "alone are right.",
            )
    return None


def _called(e: Evidence, p: int) -> str:
    return e.labels.names[p] if e.labels.given else f"x[{e.labels.names[p]}]"


def entries(e: Evidence) -> Found:
    """Some entries are wrong."""
    are = "is" if e.wrong.sum() == 1 else "are"
    return Found("entries", f"{e.said(e.wrong)} {are} wrong; {_others(e)}.{_expected(e)}")


def _others(e: Evidence) -> str:
    right = int((e.judged & ~e.wrong).sum())
    return f"the other {right} judged {'is' if right == 1 else 'are'} right" if right else "no other could be judged"


def _expected(e: Evidence) -> str:
    """That A has no negative eigenvalue and N has one: so it is with the expected information, and with Gauss-Newton."""
    if e.size < 2 or not e.judged.all() or e.asymmetric.any():
        return ""
    claimed = np.linalg.eigvalsh((e.a + e.a.T) / 2)
    found = np.linalg.eigvalsh((e.n + e.n.T) / 2)
    # an eigenvalue moves by no more than the norm of the change (Weyl)
    room = float(e.bound.sum()) + 1e3 * UNIT * float(np.abs(e.a).sum())
    for sign, no in ((1.0, "negative"), (-1.0, "positive")):
        if (sign * claimed).min() >= -room and (sign * found).min() < -2 * room:
            return (
                f" What is claimed has no {no} eigenvalue, the Hessian has one: is it the expected information, or"
                " Gauss-Newton?"
            )
    return ""


HYPOTHESES: Sequence[Callable[[Evidence], Found | None]] = (
    not_finite,
    whole_factor,
    one_triangle,
    off_diagonal,
    diagonal,
    pair,
    by_the_logarithm,
    inverse,
    asymmetric,
    row,
)


def diagnose(e: Evidence) -> Found | None:
    """What explains a Hessian that is wrong; None where none of its entries is."""
    if e.wrong.any():
        with np.errstate(all="ignore"):
            return next((found for hypothesis in HYPOTHESES if (found := hypothesis(e)) is not None), None) or entries(
                e
            )
    if e.asymmetric.any():
        lower = np.tril(e.asymmetric)
        its = "its transpose" if lower.sum() == 1 else "their transposes"
        return Found(
            "asymmetric",
            f"{e.said(lower)} and {its} differ by more than rounding, though by less than the differences of the gradient "
            "show: a Hessian is symmetric.",
        )
    return None


def diagnose_products(e: Evidence) -> Found | None:
    """What explains products with drawn vectors (n, k) that are wrong, or that differ from the transposed ones."""
    if not e.wrong.any():
        return Found("asymmetric", "u H v and v H u differ for drawn u and v: a Hessian is symmetric.")
    with np.errstate(all="ignore"):
        found = not_finite(e) or whole_factor(e)
    if found is not None:
        return found
    rows = np.flatnonzero(e.wrong.any(axis=1))
    shown = ", ".join(_called(e, int(i)) for i in rows[:4]) + (f" and {len(rows) - 4} more" if len(rows) > 4 else "")
    are = "The row of H by" if len(rows) == 1 else "The rows of H by"
    rest = "; all others are right" if len(rows) < len(e.wrong) else ""
    return Found("row", f"{are} {shown} {'is' if len(rows) == 1 else 'are'} wrong{rest}.")
