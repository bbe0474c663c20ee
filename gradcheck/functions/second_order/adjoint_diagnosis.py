"""What parts a product with J from that with its transpose, with the evidence of further products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gradcheck.functions.second_order.operators import Operator
from gradcheck.functions.second_order.pairs import Pair
from gradcheck.functions.second_order.spaces import Space
from gradcheck.functions.wording import ratio

Array = np.ndarray

KINDS: dict[str, str] = {
    "not_finite": "a product is NaN or infinite",
    "zero": "one of both products is 0",
    "not_linear": "one of both is not linear in its vector",
    "conjugate": "vjp multiplies by the transpose, not by its conjugate",
    "not_transposed": "vjp returns J u",
    "constant_factor": "vjp is off by one factor, -1 included",
    "part": "one array of x, or one output, is wrong and the others are right",
    "entries": "some entries are wrong and the others are right",
    "unknown": "no pattern is known",
}
# Entries of x that are multiplied one by one to see which are wrong.
ONE_BY_ONE = 256
# Factors with a name, and what they mean.
NAMED = {-1.0: "the sign of one of both is wrong", 2.0: "", 0.5: "", -2.0: "", -0.5: ""}


@dataclass(frozen=True)
class Found:
    """A kind, one of KINDS, and its words."""

    kind: str
    words: str


def diagnose(op: Operator, pairs: Sequence[Pair], wrong: Sequence[Pair]) -> Found:
    """What explains the pairs that are wrong."""
    with np.errstate(all="ignore"):
        for hypothesis in HYPOTHESES:
            found = hypothesis(op, pairs, wrong)
            if found is not None:
                return found
    return Found("unknown", "Both are linear, and no pattern is known: check jvp and vjp each with check_gradient.")


def not_finite(op: Operator, pairs: Sequence[Pair], wrong: Sequence[Pair]) -> Found | None:
    """A product is NaN or infinite."""
    for name, values in (("jvp", [p.jv for p in wrong]), ("vjp", [p.w for p in wrong])):
        if any(not np.isfinite(value).all() for value in values):
            return Found("not_finite", f"What {name} returns is not finite.")
    return None


def zero(op: Operator, pairs: Sequence[Pair], wrong: Sequence[Pair]) -> Found | None:
    """One of both products is 0."""
    for name, values in (("jvp", [p.jv for p in pairs]), ("vjp", [p.w for p in pairs])):
        if not any(value.any() for value in values):
            return Found("zero", f"What {name} returns is 0, and the other product is not.")
    return None


def not_linear(op: Operator, pairs: Sequence[Pair], wrong: Sequence[Pair]) -> Found | None:
    """A product of a sum is not the sum of the products, by so much that it explains the difference."""
    p = wrong[0]
    other = pairs[1] if len(pairs) > 1 and pairs[1] is not p else pairs[0]
    scale = np.abs(p.v).max() / max(np.abs(other.v).max(), np.finfo(float).tiny)
    # multiples of one unit, so that the sum is exact
    for name, apply, one, two, vector in (
        ("jvp", op.push, _coarse(p.v), _coarse(other.v * scale if other is not p else p.v[::-1]), p.u),
        ("vjp", op.pull, _coarse(p.u), _coarse(p.u[::-1]), p.v),
    ):
        parts = apply(p.x, one) + apply(p.x, two)
        rest = apply(p.x, one + two) - parts
        size = np.abs(parts).max(initial=0.0)
        explained = abs(op.inner(vector, rest)) if name == "jvp" else abs(op.inner(rest, vector))
        # rounding leaves some units of the last place; what is not linear leaves a share of the difference itself
        if np.abs(rest).max(initial=0.0) > _half(op) * size and explained > p.apart / 100:
            constant = apply(p.x, np.zeros_like(one))
            hint = f": {name}(x, 0) is not 0" if constant.any() else ""
            return Found("not_linear", f"{name} is not linear in its vector{hint}.")
    return None


def _coarse(v: Array) -> Array:
    """The vector rounded to 2**-10 of its largest entry."""
    unit = np.exp2(np.floor(np.log2(np.abs(v).max(initial=0.0) or 1.0)) - 10)
    rounded = np.round(v.real / unit) * unit
    if v.dtype.kind == "c":
        return (rounded + 1j * np.round(v.imag / unit) * unit).astype(v.dtype)
    return rounded.astype(v.dtype)


def _half(op: Operator) -> float:
    return float(np.sqrt(op.unit))


def conjugate(op: Operator, pairs: Sequence[Pair], wrong: Sequence[Pair]) -> Found | None:
    """sum(u J v) = sum((vjp u) v): the transpose without the conjugate."""
    if op.bilinear or not (op.space.complex_entries.any() or op.out.complex_entries.any()):
        return None
    plain = Operator(op.jvp, op.vjp, op.args, op.space, op.out, bilinear=True)
    gaps = [abs(plain.inner(p.u, p.jv) - plain.inner(p.w, p.v)) for p in wrong]
    if all(gap <= 2 * p.bound for gap, p in zip(gaps, wrong, strict=True)):
        return Found(
            "conjugate",
            "vjp multiplies by J^T, and <u, J v> with conj(u) needs the conjugate transpose: "
            "np.conj(vjp(x, np.conj(u))); or say convention='plain'.",
        )
    return None


def not_transposed(op: Operator, pairs: Sequence[Pair], wrong: Sequence[Pair]) -> Found | None:
    """vjp(x, u) is jvp(x, u)."""
    if [leaf.shape for leaf in op.space.leaves] != [leaf.shape for leaf in op.out.leaves] or op.space.size < 2:
        return None
    for p in wrong:
        forward = op.push(p.x, p.u.astype(op.space.dtype))
        if np.abs(forward - p.w).max() > _half(op) * np.abs(forward).max():
            return None
    return Found("not_transposed", "vjp(x, u) is J u: the transpose is missing.")


def constant_factor(op: Operator, pairs: Sequence[Pair], wrong: Sequence[Pair]) -> Found | None:
    """<J^T u, v> is one multiple of <u, J v> for all pairs."""
    known = [p for p in pairs if p.size > 0]
    if len(known) < 3 or op.space.size * op.out.size < 2:
        return None
    best = max(known, key=lambda p: abs(p.push) / p.bound)
    if best.push == 0:
        return None
    found = (best.pull / best.push).real
    candidates = {**NAMED, **_sizes(op)}
    for c, meaning in [*candidates.items(), (found, "")]:
        if all(abs(p.pull - c * p.push) <= (2 + 2 * abs(c)) * p.bound for p in known):
            what = "has the wrong sign" if c == -1 else f"is {ratio(c, 1.0)} times what it should be"
            return Found("constant_factor", f"vjp {what} beside jvp{': ' + meaning if meaning else ''}.")
    return None


def _sizes(op: Operator) -> dict[float, str]:
    found: dict[float, str] = {}
    for n, of in ((op.space.size, "entries of x"), (op.out.size, "outputs")):
        if n > 2:
            found |= {
                float(n): f"{n} is the number of {of}",
                1 / n: f"{n} is the number of {of}",
                float(np.sqrt(n)): f"it is the square root of {n}, the number of {of}",
                float(np.sqrt(1 / n)): f"it is 1 over the square root of {n}, the number of {of}",
            }
    return found


def part(op: Operator, pairs: Sequence[Pair], wrong: Sequence[Pair]) -> Found | None:
    """One array of x, or one output, is wrong."""
    p = wrong[0]
    for space, of, name in ((op.space, p.v, "vjp"), (op.out, p.u, "jvp")):
        if len(space.leaves) < 2:
            continue
        bad: list[str] = []
        good: list[str] = []
        for leaf, where in space.parts:
            alone = np.zeros_like(of)
            alone[where] = of[where]
            v, u = (alone, p.u) if name == "vjp" else (p.v, alone)
            gap = abs(op.size(op.inner(u, op.push(p.x, v))) - op.size(op.inner(op.pull(p.x, u), v)))
            (bad if gap > p.bound else good).append(leaf)
        if bad and good:
            what = "what vjp returns for" if name == "vjp" else "the output"
            return Found(
                "part", f"{_listed(bad, what)} wrong (or its part of the other product); the others are right."
            )
    return None


def _listed(names: Sequence[str], what: str) -> str:
    text = f"{what} {', '.join(names[:4])}{' …' if len(names) > 4 else ''}"
    return f"{text[0].upper()}{text[1:]} {'is' if len(names) == 1 else 'are'}"


def entries(op: Operator, pairs: Sequence[Pair], wrong: Sequence[Pair]) -> Found | None:
    """Some entries of x are wrong: <u, J e_j> beside the entry j of J^T u."""
    n = op.space.size
    if not 2 <= n <= ONE_BY_ONE or op.space.complex_entries.any():
        return None
    p = wrong[0]
    found = np.empty(n)
    for j in range(n):
        unit = np.zeros(n, op.space.dtype)
        unit[j] = p.v[j]
        found[j] = op.inner(p.u, op.push(p.x, unit)).real
    gaps = np.abs(found - (p.w.conj() * p.v).real)
    bad = np.flatnonzero(gaps > p.bound)
    if not len(bad):
        return None
    if len(bad) == n:
        return Found("entries", f"vjp is wrong in all {n} entries (or jvp in their columns).")
    shown = ", ".join(_entry(op.space, int(j)) for j in bad[:4]) + (f" and {len(bad) - 4} more" if len(bad) > 4 else "")
    are = "entry" if len(bad) == 1 else "entries"
    return Found("entries", f"vjp is wrong in the {are} {shown} (or jvp in these columns); the others are right.")


def _entry(space: Space, flat: int) -> str:
    return space.entry(flat, "x")


Hypothesis = Callable[[Operator, Sequence[Pair], Sequence[Pair]], Found | None]
HYPOTHESES: tuple[Hypothesis, ...] = (
    not_finite,
    zero,
    not_linear,
    conjugate,
    constant_factor,
    not_transposed,
    part,
    entries,
)
