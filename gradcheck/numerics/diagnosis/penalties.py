"""Hypotheses in which a multiple of the weights is missing or too much: a - n = beta theta.

Each takes the evidence and returns a diagnosis, or None where it does not hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from gradcheck.numerics.diagnosis import wording as say
from gradcheck.numerics.diagnosis.evidence import Evidence, is_bias
from gradcheck.numerics.diagnosis.fits import DECADES, UNITS, decades_of, decay, tolerance_of
from gradcheck.numerics.diagnosis.kinds import Diagnosis

Array = np.ndarray

# Figures of a penalty's factor that people type; one weight alone shows a penalty by a factor of no more than these.
FIGURES = 2


def l2(e: Evidence) -> Diagnosis | None:
    """a - n = beta theta on the wrong parameters."""
    rows = e.among(e.broken) & e.judged
    a, n, bound = e.a[rows], e.n[rows], e.bound[rows]
    beta = decay(a - n, e.theta[rows], tolerance_of(1.0, a, n, bound, e.unit))
    if beta is None or decades_of(1.0, a, n, bound, e.wrong[rows], e.unit, 1) < DECADES:
        return None
    names = list(e.broken)
    size = say.number(abs(e.per_theta(beta)))
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


def tangent(e: Evidence) -> Diagnosis | None:
    """a = n - <n, x> x / <x, x>: the gradient is projected on the sphere through x.

    x is all weights together, one parameter, or a row or a column of a matrix.  Then <a, x> = 0, which a penalty's term
    a - n = beta x does not make.
    """
    for words, groups in _spheres(e):
        decades = 0.0
        for rows in groups:
            found = _projected(e, rows)
            if found is None:
                break
            decades += found
        else:
            if decades >= DECADES:
                return Diagnosis(
                    "tangent",
                    f"{say.listed(e.broken)} {say.have(e.broken)} nothing along {words}{say.rest(e)}: the gradient is "
                    f"projected on the tangent of a sphere; fun's own gradient is not.",
                )
    return None


def _spheres(e: Evidence) -> Iterator[tuple[str, list[Array]]]:
    """The groups of weights that may lie on a sphere of their own, the whole wrong parameters first, as flat indices."""
    where = {name: np.arange(part.start, part.stop) for name, part in e.layout.slices.items() if name in e.broken}
    yield "the weights", [np.concatenate(list(where.values()))]
    if len(where) > 1:
        yield "each parameter's weights", list(where.values())
    shapes = dict(zip(e.layout.names, e.layout.shapes, strict=True))
    if all(len(shapes[name]) == 2 for name in where):
        yield "each row of the weights", [row for name, at in where.items() for row in at.reshape(shapes[name])]
        yield "each column of the weights", [row for name, at in where.items() for row in at.reshape(shapes[name]).T]


def _projected(e: Evidence, rows: Array) -> float | None:
    """Digits of evidence that a = n + beta x with <a, x> = 0 on these weights; None where that fails."""
    x, a = e.theta[rows], e.a[rows]
    known = e.judged[rows]
    if not e.wrong[rows].any():
        return 0.0
    n, bound = e.n[rows], e.bound[rows]
    beta = decay(
        (a - n)[known], x[known], tolerance_of(1.0, a[known], n[known], bound[known], e.unit) + _cancelled(e, a, n)
    )
    if beta is None:
        return None
    length = float(np.linalg.norm(x))
    # <a, x> is what two products leave of each other, each rounded as often as there are entries, by chance as its root
    rounding = UNITS * e.unit * math.sqrt(len(rows)) * float(np.linalg.norm(np.append(a, beta * x))) * length
    taken = abs(beta) * length**2
    # where the products are so small that they are 0, nothing is known of them
    if not rounding > 0 or not abs(float(a @ x)) <= rounding or taken <= rounding:
        return None
    along = min(math.log10(taken / rounding), 16.0)
    wrong = e.wrong[rows][known]
    return along + decades_of(1.0, a[known], n[known], bound[known], wrong, e.unit, 1)


def _cancelled(e: Evidence, a: Array, n: Array) -> float:
    """The rounding of a difference of vectors, which is that of the longer one."""
    return UNITS * e.unit * float(max(np.abs(a).max(initial=0.0), np.abs(n).max(initial=0.0)))


def l2_part(e: Evidence) -> Diagnosis | None:
    """a - n = beta theta at the wrong entries, and nothing is wrong at the others of their parameters."""
    rows = e.wrong & e.judged
    a, n, bound, theta = e.a[rows], e.n[rows], e.bound[rows], e.theta[rows]
    if not rows.any() or not theta.all():
        return None
    beta = decay(a - n, theta, tolerance_of(1.0, a, n, bound, e.unit))
    if beta is None:
        return None
    # what lies near 0 would not show a penalty
    shown = e.judged & (np.abs(beta * e.theta) > 10 * e.bound)
    parts = {name: _part(e, name, shown) for name in e.broken}
    if decades_of(1.0, a, n, bound, e.wrong[rows], e.unit, 1) < DECADES and not _typed(e, rows, beta):
        return None
    size = say.number(abs(e.per_theta(beta)))
    where = " and ".join(
        part or f"{int(e.wrong[e.layout.slices[n]].sum())} entries of {n}" for n, part in parts.items()
    )
    if len(where) > 60:
        where = f"{int(rows.sum())} entries of {say.listed(list(parts))}"
    single = int(rows.sum()) == 1 or (len(parts) == 1 and where.startswith(("row", "column")))
    cause = (
        "as of an l2 term on an intercept that the loss has not"
        if beta > 0
        else "an l2 term of the loss is missing there"
    )
    return Diagnosis(
        "l2_part",
        f"{say.first(where)} {'has' if single else 'have'} {size} times the weight too {'much' if beta > 0 else 'little'}, "
        f"{say.others(e)}: {cause} (lambda = {size}).",
    )


def _typed(e: Evidence, rows: Array, beta: float) -> bool:
    """Whether one weight shows a penalty: at an end of its parameter, by a factor of few figures from numbers of many."""
    (index,) = np.flatnonzero(rows)[:1]
    if int(rows.sum()) != 1:
        return False
    name = next(n for n, where in e.layout.slices.items() if where.start <= index < where.stop)
    where = e.layout.slices[name]
    if index not in (where.start, where.stop - 1) or where.stop - where.start < 3:
        return False
    others = (e.theta[index], e.n[index] / e.theta[index], e.a[index] / e.n[index] if e.n[index] else 1.0)
    # the width of beta leaves so many digits, of which DECADES must be zeros
    width = float(e.bound[index] / abs(e.theta[index])) + UNITS * e.unit * abs(e.a[index] / e.theta[index])
    scaled = (
        float(np.ldexp(beta, e.exponent - e.exponent_theta)),
        float(np.ldexp(width, e.exponent - e.exponent_theta)),
    )
    return _few_figures(*scaled) and not any(_few_figures(float(v), 1e-9 * abs(float(v))) for v in others)


def _few_figures(value: float, width: float) -> bool:
    """Whether a value is one of ``FIGURES`` figures, to DECADES digits more."""
    if not (math.isfinite(value) and value != 0):
        return False
    short = float(f"{value:.{FIGURES - 1}e}")
    return abs(value - short) <= width and width <= 10.0 ** -(FIGURES + DECADES) * abs(value)


def _part(e: Evidence, name: str, shown: Array) -> str | None:
    """The row or column of a matrix, or the entry of a vector, that alone is wrong or alone is right; None of another part."""
    shape, where = e.layout.shape(name), e.layout.slices[name]
    found = line(e.wrong[where].reshape(shape), shown[where].reshape(shape))
    if found is None:
        return None
    axis, k, alone = found
    if len(shape) == 1:
        return f"{say.brief(name)}[{k}]" if alone else f"all of {say.brief(name)} but [{k}]"
    word = f"{('row', 'column')[axis]} {k}"
    return f"{word} of {say.brief(name)}" if alone else f"all of {say.brief(name)} but {word}"


def line(wrong: Array, shown: Array) -> tuple[int, int, bool] | None:
    """The axis and place of the first row, column or entry that differs from all others, and whether it is the wrong one.

    Where an error would not show, an entry may be either.  Each line is counted once: a vector may have millions of entries.
    """
    if wrong.ndim not in (1, 2):
        return None
    seen = wrong & shown
    for axis in range(wrong.ndim):
        others = tuple(other for other in range(wrong.ndim) if other != axis)
        n_wrong, n_seen, n_shown = (np.sum(mask, axis=others) for mask in (wrong, seen, shown))
        alone = (n_seen == n_shown) & (n_seen == np.sum(seen)) & (n_wrong > 0)
        spared = (n_seen == 0) & (n_shown > 0) & (n_shown == np.sum(shown) - np.sum(seen))
        places = np.flatnonzero(alone | spared)
        if len(places):
            return axis, int(places[0]), bool(alone[places[0]])
    return None
