"""The parts of the check of a Hessian, put together: the gradient, the Hessian as its Jacobian, symmetry, products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.outcome import Outcome
from gradcheck.functions.second_order.adapted import in_words_of_the_hessian
from gradcheck.functions.second_order.claim import Claim
from gradcheck.functions.second_order.diagnosis import diagnose, diagnose_products
from gradcheck.functions.second_order.differences import EVALUATIONS, Differences, Twice, merged, steps_at
from gradcheck.functions.second_order.drawn import Along, AlongProducts, BothSides, EachProduct, Multiplied, vectors
from gradcheck.functions.second_order.entries import Labels
from gradcheck.functions.second_order.evidence import Evidence, Found
from gradcheck.functions.second_order.outcome import HessianOutcome
from gradcheck.functions.second_order.products import Products, compared
from gradcheck.functions.second_order.relabelled import as_matrix, matrix
from gradcheck.functions.second_order.symmetry import Symmetry, symmetry
from gradcheck.functions.surroundings import quiet

Array = np.ndarray


@dataclass(frozen=True)
class Compared:
    """The Hessian against differences, and how often ``fun`` and ``jac`` were called for it."""

    outcome: Outcome
    nfev: int
    njev: int


def checked(claim: Claim) -> HessianOutcome:
    """The outcome of all parts.  Raises ContractError."""
    gradient = claim.gradient()
    if claim.large:
        return _of_many(claim, gradient)
    try:
        found = _of_differences(claim) if claim.jac is None else _of_gradient(claim)
    except ContractError as error:
        raise in_words_of_the_hessian(error, "fun" if claim.jac is None else "jac") from None
    with quiet():
        transposed = tuple(symmetry(claim.hessian_at, p, *claim.limits, claim.how.accept) for p in claim.points)
        products: tuple[Products, ...] = ()
        if claim.hess is not None and claim.hessp is not None:
            products = tuple(
                compared(claim.hessian_at, claim.product_at, p, claim.limits, claim.how.accept, claim.how.seed)
                for p in claim.points
            )
    words = _words(gradient, _of_the_hessian(found.outcome, transposed, claim), products)
    return _told(claim, gradient, found, transposed, products, words)


def _told(
    claim: Claim,
    gradient: Outcome | None,
    found: Compared,
    transposed: tuple[Symmetry, ...],
    products: tuple[Products, ...],
    words: Found | None,
) -> HessianOutcome:
    called = claim.hess or claim.hessp
    assert called is not None
    return HessianOutcome(
        gradient=gradient,
        hessian=found.outcome,
        symmetry=transposed,
        products=products,
        labels=claim.labels,
        diagnosis=words.words if words else None,
        diagnosis_kind=words.kind if words else None,
        nfev=found.nfev + (gradient.nfev if gradient is not None else 0),
        njev=found.njev + (gradient.njev if gradient is not None else 0),
        nhev=called.calls,
    )


def _of_many(claim: Claim, gradient: Outcome | None) -> HessianOutcome:
    """The outcome of a Hessian by many parameters: its products with drawn vectors.  Of several points the first wrong one."""
    n, nfev, njev = claim.points[0].size, 0, 0
    multiplied: Callable[..., Array] = (
        EachProduct(claim.products.product)
        if claim.hess is None
        else Multiplied(claim.hess, claim.structure, claim.shape)
    )
    for x in claim.points:
        v = vectors(claim.structure.layout, x, claim.how.seed)
        try:
            found = claim.along(
                Along(claim.flat_gradient, x, v, *claim.limits), AlongProducts(multiplied, x, v), v.shape[1]
            )
        except ContractError as error:
            raise in_words_of_the_hessian(error) from None
        nfev, njev = nfev + (found.nfev if claim.jac is True else 0), njev + found.nfev
        with quiet():
            transposed = symmetry(
                BothSides(multiplied, v, claim.args, claim.kwargs), x, *claim.limits, claim.how.accept
            )
        if found.verdict == "mismatch" or not transposed.symmetric:
            break
    outcome = as_matrix(found, n, "H v")
    own = None
    if outcome.verdict == "mismatch" or not transposed.symmetric:
        own = diagnose_products(_evidence(outcome, transposed, x, claim.labels))
    return _told(claim, gradient, Compared(outcome, nfev, njev), (transposed,), (), _words(gradient, own, ()))


def _of_gradient(claim: Claim) -> Compared:
    """The Hessian as the Jacobian of ``jac``."""
    found = claim.jacobian(claim.flat_gradient, claim.hessian)
    return Compared(as_matrix(found, claim.points[0].size), found.nfev if claim.jac is True else 0, found.nfev)


def _of_differences(claim: Claim) -> Compared:
    """The Hessian as the Jacobian of differences of ``fun``."""
    n = claim.points[0].size
    steps, calls = steps_at(claim.fun, claim.structure, claim.points[0], claim.args, claim.kwargs, claim.limits)
    quotients = Differences(claim.fun, claim.structure, steps, *claim.limits)
    found = claim.jacobian(quotients, Twice(claim.hessian))
    return Compared(merged(as_matrix(found, 2 * n), n), calls + EVALUATIONS * n * found.nfev, 0)


def _words(gradient: Outcome | None, own: Found | None, products: Sequence[Products]) -> Found | None:
    """What the mistakes look like, of the gradient first: the Hessian was compared with differences of it.

    own : what explains the Hessian.
    """
    if gradient is not None and gradient.verdict == "mismatch":
        said = gradient.diagnosis or "The gradient is wrong."
        if own is None:
            tail = "hess is the derivative of this jac: it may have the same mistake."
        else:
            tail = "The Hessian was compared with differences of this jac, so mend jac first."
        return Found("gradient", f"{said} {tail}")
    if own is None and any(p.wrong.any() for p in products):
        return Found("products", "hess is right, and hessp is not the product with it.")
    return own


def _of_the_hessian(hessian: Outcome, transposed: Sequence[Symmetry], claim: Claim) -> Found | None:
    """The diagnosis at the first point where something is wrong."""
    outcomes = hessian.points or (hessian,)
    for k, (one, transpose) in enumerate(zip(outcomes, transposed, strict=True)):
        if one.verdict == "mismatch" or not transpose.symmetric:
            found = diagnose(_evidence(one, transpose, claim.points[k], claim.labels))
            return None if found is None else Found(found.kind, found.words)
    return None


def _evidence(outcome: Outcome, transpose: Symmetry, theta: Array, labels: Labels) -> Evidence:
    wrong = np.zeros(outcome.layout.shapes[0], bool)
    wrong.reshape(-1)[outcome.table["flat_index"]] = [v == "mismatch" for v in outcome.table["verdict"]]
    return Evidence(
        a=matrix(outcome, "analytic", np.nan),
        n=matrix(outcome, "numeric", np.nan),
        bound=matrix(outcome, "bound", np.inf),
        wrong=wrong,
        asymmetric=transpose.asymmetric,
        theta=theta.astype(np.float64),
        labels=labels,
    )
