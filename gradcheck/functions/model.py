"""A model that is somebody's function and its gradient, found by their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike

from gradcheck.errors import ContractError, Meaningless
from gradcheck.functions.imports import digest, find, require_name
from gradcheck.models.batch import Batch
from gradcheck.models.interfaces import Model
from gradcheck.models.target import NoTarget
from gradcheck.numerics.layout import Layout
from gradcheck.numerics.problem import Problem

if TYPE_CHECKING:
    from gradcheck.functions.calls import Calls

Array = np.ndarray
# What ``fun`` returns with ``jac=true``: the value and the gradient.
Pair = tuple[object, object]

# The seed of the directions along which noise is measured.  It is fixed, so that a cell's rows follow from its config.
SEED = 0


@dataclass
class Function(Model):
    """J(x) = fun(x, *args) with the gradient jac(x, *args).

    fun, jac : where they are found, as ``scipy.optimize.rosen`` or ``package.module:name``; ``jac=true``: fun returns
        the value and the gradient.
    x0 : nested lists of numbers, the parameter ``x``; or a mapping from names to nested lists, which the functions get
        as a dict in the order of the sorted names.  Its shapes are those of the parameters, its numbers those of theta
        unless ``init`` says otherwise.
    args : further arguments.  Lists of numbers become arrays, fractions in the dtype of theta.
    """

    fun: str = "???"
    jac: str = "???"
    x0: Any = "???"
    args: list[Any] = field(default_factory=list)

    name = "function"

    def __post_init__(self) -> None:
        self._allowed: tuple[str, ...] = ()
        self._found: dict[str, Callable[..., object]] = {}

    @property
    def target(self) -> NoTarget:
        return NoTarget()

    @property
    def both(self) -> bool:
        """Whether ``fun`` returns the value and the gradient."""
        return self.jac in ("true", "True")

    def validate(self) -> None:
        """Raise ValueError, naming the key, unless every setting has an allowed value.  Nothing is imported."""
        for key, name in self._names():
            require_name(f"model.{key}", name)
        self.start()

    def permit(self, modules: Iterable[str]) -> None:
        """Allow functions of these modules (or one function by its whole name) to be imported."""
        self._allowed = tuple(modules)

    def start(self) -> Array | dict[str, Array]:
        """x0 as float64 arrays: one, or a dict of them in the order of the names."""
        if isinstance(self.x0, dict):
            if not self.x0:
                raise ValueError("model.x0={}: must map names of parameters to nested lists of numbers")
            return {str(name): _numbers(f"model.x0.{name}", self.x0[name]) for name in sorted(self.x0, key=str)}
        return _numbers("model.x0", self.x0)

    def values(self) -> dict[str, object]:
        """x0 as a mapping from parameters' names to nested lists."""
        return dict(self.x0) if isinstance(self.x0, dict) else {"x": self.x0}

    def arguments(self, dtype: np.dtype[np.floating]) -> tuple[object, ...]:
        """What the functions get after x."""
        return tuple(_argument(value, dtype) for value in self.args)

    def layout(self, batch: Batch) -> Layout:
        """The parameters of x0."""
        start = self.start()
        named = start if isinstance(start, dict) else {"x": start}
        return Layout(tuple(named), tuple(array.shape for array in named.values()))

    def loss(self, theta: Array, batch: Batch) -> Array:
        """fun at theta; scalar of theta's dtype."""
        out = self.function("fun")(self._x(theta, batch), *self.arguments(theta.real.dtype))
        value = np.asarray(cast(Pair, out)[0] if self.both else out).reshape(-1)[0]
        return value.astype(np.result_type(value, theta.dtype) if value.dtype.kind == "c" else theta.dtype)

    def gradient(self, theta: Array, batch: Batch) -> Array:
        """jac at theta, flat, in theta's dtype."""
        function = self.function("fun" if self.both else "jac")
        out = function(self._x(theta, batch), *self.arguments(theta.dtype))
        found = cast(Pair, out)[1] if self.both else out
        if isinstance(self.x0, dict):
            return self.layout(batch).join(cast("Mapping[str, ArrayLike]", found), theta.dtype)
        return self.layout(batch).join({"x": np.asarray(found).reshape(self.layout(batch).shapes[0])}, theta.dtype)

    def pose(self, theta: Array, batch: Batch) -> Problem:
        """The problem as ``check_gradient`` poses it: rounding errors, kinks and scale are measured.

        Raises ContractError where the functions do not keep their contract at theta.
        """
        # only a run of this model measures a function
        from gradcheck.functions.contract import hold_to_contract
        from gradcheck.functions.problems import problems
        from gradcheck.functions.surroundings import quiet, untouched

        calls = self._calls(theta)
        with untouched(), quiet():
            calls.outputs(theta)
            if calls.outer:
                raise ContractError(f"model.fun={self.fun}: returns the shape {calls.outer}, must return one number")
            held = hold_to_contract(calls, theta, SEED, False)
            # nobody knows whether the gradient is right before the bug, so `correct` is None
            return problems(calls, held.theta, held.value, held.gradient, SEED)[0]

    def require_complex(self, theta: Array) -> None:
        from gradcheck.functions.domain import require_complex_safe
        from gradcheck.functions.surroundings import quiet, untouched

        with untouched(), quiet():
            try:
                require_complex_safe(self._calls(theta), theta, SEED)
            except ContractError as error:
                words = str(error).replace("scheme='complex_step'", "scheme=complex_step")
                raise Meaningless(words.replace("fun is", f"{self.fun} is")) from None

    def _calls(self, theta: Array) -> Calls:
        from gradcheck.functions.arguments import Arguments
        from gradcheck.functions.calls import Calls
        from gradcheck.functions.trees.start import flatten

        parameters, _ = flatten(self.start())
        jac = None if self.both else self.function("jac")
        return Calls(self.function("fun"), jac, Arguments(self.arguments(theta.dtype)), parameters)

    def _x(self, theta: Array, batch: Batch) -> Array | dict[str, Array]:
        named = {name: part.copy() for name, part in self.layout(batch).split(theta).items()}
        return named if isinstance(self.x0, dict) else named["x"]

    def _names(self) -> Iterator[tuple[str, str]]:
        yield "fun", self.fun
        if not self.both:
            yield "jac", self.jac

    def function(self, key: str) -> Callable[..., object]:
        """The function that ``fun`` or ``jac`` names.

        Raises ValueError, naming key and value, where its module is not permitted, cannot be imported or has no such
        function.
        """
        if key not in self._found:
            self._found[key] = find(f"model.{key}", dict(self._names())[key], self._allowed)
        return self._found[key]

    def digests(self) -> dict[str, str]:
        """sha256 of the source file of each function, by its key.  See `digest`."""
        return {key: digest(self.function(key)) for key, _ in self._names()}


def _numbers(key: str, value: object) -> Array:
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(f"{key}: is ragged, its rows have different lengths") from None
    if array.size == 0 or array.dtype.kind not in "iuf":
        raise ValueError(f"{key}={value}: must be numbers in nested lists")
    return array.astype(np.float64)


def _argument(value: object, dtype: np.dtype[np.floating]) -> object:
    if isinstance(value, float):
        return dtype.type(value)
    if not isinstance(value, list):
        return value
    try:
        array = np.asarray(value)
    except ValueError:  # ragged: it stays a list
        return value
    return array.astype(dtype) if array.dtype.kind == "f" else array if array.dtype.kind in "iub" else value
