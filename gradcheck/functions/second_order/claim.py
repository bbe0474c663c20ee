"""What a caller claims of a Hessian, as functions of flat vectors, and the checks of it that check_gradient does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.functions.domain import Bounds
from gradcheck.functions.gradient import check_gradient
from gradcheck.functions.outcome import Outcome
from gradcheck.functions.parameters import Start
from gradcheck.functions.processes import Workers
from gradcheck.functions.second_order.adapted import FlatGradient, FlatHessian, OfProducts
from gradcheck.functions.second_order.entries import Labels
from gradcheck.functions.second_order.matrices import Shape
from gradcheck.functions.second_order.structure import Structure
from gradcheck.numerics.schemes import SchemeName
from gradcheck.numerics.steps import Step

Array = np.ndarray


@dataclass(frozen=True)
class How:
    """The settings of check_gradient that a check of a Hessian hands on; those of the points stand in ``Claim``."""

    eps: Step
    scheme: SchemeName
    match_at: float
    accept: float
    min_judged: float
    bounds: Bounds | None
    sample: int | None
    max_nfev: int | None
    workers: Workers | None
    names: Sequence[str] | None
    progress: bool
    seed: int


@dataclass
class Counted:
    """A function of the caller, whose calls are counted."""

    function: Callable[..., object]
    calls: int = 0

    def __call__(self, *given: object, **named: object) -> object:
        """Call it."""
        self.calls += 1
        return self.function(*given, **named)


@dataclass
class Claim:
    """What a caller claims, and where.

    jac : None where there is no gradient, True where ``fun`` returns both.   hess, hessp : None for none.
    points : flat points, the first of which is x0.   several : whether the caller asked for them.
    large : whether products with drawn vectors are compared, not entries.
    """

    fun: Callable[..., object]
    jac: Callable[..., object] | bool | None
    hess: Counted | None
    hessp: Counted | None
    x0: Start
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    structure: Structure
    points: list[Array]
    several: bool
    large: bool
    limits: tuple[Array | None, Array | None]
    labels: Labels
    how: How

    @property
    def products(self) -> OfProducts:
        """``hessp`` as a function of flat vectors."""
        assert self.hessp is not None
        return OfProducts(self.hessp, self.structure)

    @property
    def shape(self) -> Shape:
        """What the Hessian must be like."""
        return Shape(self.structure.layout, self.structure.single)

    @property
    def hessian(self) -> Callable[..., Array]:
        """``hess``, or the matrix of the products of ``hessp``, as a function of a flat x."""
        if self.hess is None:
            return self.products
        return FlatHessian(self.hess, self.structure, self.shape)

    @property
    def flat_gradient(self) -> FlatGradient:
        """``jac`` as a function of a flat x."""
        if self.jac is True:
            return FlatGradient(self.fun, self.structure, pair=True)
        assert callable(self.jac)
        return FlatGradient(self.jac, self.structure)

    def hessian_at(self, theta: Array) -> Array:
        """The Hessian (n, n) at a flat point."""
        return self.hessian(theta.copy(), *self.args, **self.kwargs)

    def product_at(self, theta: Array, p: Array) -> Array:
        """H p at a flat point."""
        return self.products.product(theta.copy(), p, *self.args, **self.kwargs)

    def gradient(self) -> Outcome | None:
        """The gradient against differences of ``fun``; None where there is none."""
        if self.jac is None:
            return None
        tree = self.structure.tree
        points = [tree(point.copy()) for point in self.points] if self.several else None
        return self._run(self.fun, self.jac, self.x0, self.how.bounds, points, self.how.names)

    def jacobian(self, gradient: Callable[..., Array], hessian: Callable[..., Array]) -> Outcome:
        """The Jacobian ``hessian`` of a flat ``gradient`` against differences of it."""
        low, high = self.limits
        bounds = None if low is None or high is None else list(zip(low.tolist(), high.tolist(), strict=True))
        return self._run(gradient, hessian, self.points[0], bounds, self.points if self.several else None)

    def along(self, gradient: Callable[..., Array], products: Callable[..., Array], count: int) -> Outcome:
        """The Jacobian of a gradient by ``count`` numbers at 0."""
        return self._run(gradient, products, np.zeros(count, self.points[0].dtype), None, None)

    def _run(
        self,
        fun: Callable[..., object],
        jac: Callable[..., object] | bool,
        x0: Start,
        bounds: Bounds | None,
        points: Sequence[Any] | None,
        names: Sequence[str] | None = None,
    ) -> Outcome:
        how = self.how
        return check_gradient(
            fun,
            jac,  # type: ignore[arg-type]
            x0,
            self.args,
            kwargs=self.kwargs,
            eps=how.eps,
            scheme=how.scheme,
            match_at=how.match_at,
            accept=how.accept,
            min_judged=how.min_judged,
            bounds=bounds,
            sample=how.sample,
            points=points,
            max_nfev=how.max_nfev,
            workers=how.workers,
            names=names,
            progress=how.progress,
            seed=how.seed,
        )
