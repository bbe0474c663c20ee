"""What a caller passes to check_gradient as calls that can be made: x0 taken apart, functions held to it, limits."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Literal, get_args

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.arguments import Arguments
from gradcheck.functions.calls import Calls
from gradcheck.functions.domain import Bounds, limits
from gradcheck.functions.parameters import Convention, Parameters, Start
from gradcheck.functions.processes import Workers
from gradcheck.functions.surroundings import untouched
from gradcheck.functions.trees.inplace import InPlace, WithoutPoint, in_place
from gradcheck.functions.trees.start import CONVENTIONS, taken_apart
from gradcheck.numerics.schemes import SCHEMES

Array = np.ndarray
Function = Callable[..., object]


@dataclass(frozen=True)
class Posed:
    """What is asked to be checked.

    jac : None where ``fun`` returns value and gradient.   args, kwargs : further arguments of both.
    """

    fun: Function
    jac: Function | None
    x0: Start
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    vjp: bool = False
    inplace: bool = False
    names: object = None
    convention: Convention | None = None
    vectorized: bool = False
    workers: Workers | None = None
    max_nfev: int | None = None

    def calls(self) -> tuple[Calls, Array]:
        """The calls of the functions, and x0 as a flat vector.

        Leaves of integers are parameters if ``jac`` has a gradient for them: it is called once at x0 to see.
        Raises ContractError.
        """
        parameters, theta = self._taken_apart(())
        self._require_callable()
        nfev = njev = 0
        if parameters.doubtful:
            calls = self._of(parameters)
            try:
                thawed = _with_gradient(calls, theta)
            finally:
                restore(calls)
            nfev, njev = calls.nfev, calls.njev
            parameters, theta = self._taken_apart(thawed)
        _require_some(parameters)
        if self.vectorized:
            _require_stackable(parameters)
        calls = self._of(parameters)
        calls.nfev, calls.njev = nfev, njev
        return calls, theta

    def _taken_apart(self, thawed: Collection[str]) -> tuple[Parameters, Array]:
        """x0 and its flat vector, where these leaves of integers are parameters.  ContractError."""
        if self.inplace:
            return in_place(self.x0, self.names, self.convention, thawed)
        flat = taken_apart(self.x0, names=self.names, convention=self.convention, thawed=thawed)
        return flat.parameters, flat.theta

    def _of(self, parameters: Parameters) -> Calls:
        fun, jac = self.fun, self.jac
        moving: list[Array] = []
        if isinstance(parameters, InPlace):
            memory = [live.memory() for live in parameters.live]
            moving = [array for array in memory if array is not None]
            fun, jac = WithoutPoint(fun), None if jac is None else WithoutPoint(jac)
        return Calls(
            fun,
            jac,
            Arguments(self.args, self.kwargs, copied=not self.inplace, moving=moving),
            parameters,
            stacked=self.vectorized,
            workers=self.workers,
            max_nfev=self.max_nfev,
            vjp=self.vjp,
            in_place=self.inplace,
        )

    def _require_callable(self) -> None:
        """Raise ContractError where a function does not take the arguments that it gets."""
        x = [] if self.inplace else ["x"]
        self._require_taken("fun", self.fun, x)
        if self.jac is not None:
            self._require_taken("jac", self.jac, [*x, "dout"] if self.vjp else x)

    def _require_taken(self, which: Literal["fun", "jac"], function: Function, before: list[str]) -> None:
        """before : what ``function`` gets before the further arguments."""
        if not self.kwargs and _takes(function, len(before) + len(self.args)):
            return
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):  # a function that is compiled may not tell
            return
        problem = self._unbound(signature, len(before))
        if problem is None:
            return
        if "dout" in before and self._unbound(signature, len(before) - 1) is None:
            hint = "with vjp=True it gets the upstream gradient dout" + ("" if self.inplace else " after x")
        elif not self.inplace and self._unbound(signature, len(before) - 1) is None:
            hint = "it takes no x: say inplace=True if it computes with the arrays in x0 itself"
        elif self.inplace and self._unbound(signature, len(before) + 1) is None:
            hint = "with inplace=True it gets no x: leave x out of its arguments, or leave inplace out"
        else:
            hint = "args= and kwargs= hold what it gets beside x"
        given = ", ".join([*before, *["…"] * len(self.args), *(f"{name}=…" for name in self.kwargs)])
        raise ContractError(f"{which} cannot be called as {which}({given}): {problem}; {hint}")

    def _unbound(self, signature: inspect.Signature, before: int) -> str | None:
        """Why a function does not take so many arguments before the further ones; None where it does."""
        try:
            signature.bind(*[None] * before, *self.args, **self.kwargs)
        except TypeError as error:
            return str(error)
        return None


def by_name(kwargs: object) -> Mapping[str, object]:
    """The further arguments by name.  Raises ContractError unless it is a dict from names, or None."""
    if kwargs is None:
        return {}
    if not isinstance(kwargs, Mapping) or not all(isinstance(key, str) for key in kwargs):
        raise ContractError(f"kwargs={kwargs!r}: must be a dict from names of arguments to values")
    return kwargs


def require_together(posed: Posed, scheme: str) -> None:
    """Raise ContractError or ValueError where settings contradict each other."""
    if posed.convention not in (None, *get_args(Convention)):
        raise ValueError(
            f"convention={posed.convention!r}: must be one of {', '.join(get_args(Convention))}; {CONVENTIONS}"
        )
    if not posed.inplace:
        return
    for key, said, why in (
        (
            "workers",
            posed.workers not in (None, 1),
            "other processes and threads have not the caller's arrays to themselves",
        ),
        ("vectorized", posed.vectorized, "the caller's arrays hold one point"),
        ("scheme='complex_step'", scheme == "complex_step", "the caller's arrays hold real numbers"),
    ):
        if said:
            raise ContractError(f"inplace=True together with {key} has no meaning: {why}; leave one of them out")


def require_real(parameters: Parameters, scheme: str) -> None:
    """Raise ContractError where a scheme steps into the complex plane and a parameter is there already."""
    if SCHEMES[scheme].complex_valued and any(leaf.is_complex for leaf in parameters.arrays):
        names = ", ".join(leaf.name for leaf in parameters.arrays if leaf.is_complex)
        raise ContractError(f"scheme={scheme!r}: {names} of x0 is complex already: take a real scheme, such as central")


def settled(posed: Posed, bounds: Bounds | None) -> tuple[Calls, Array]:
    """The calls within their limits, and x0 as a flat vector."""
    calls, theta = posed.calls()
    if bounds is not None:
        calls.low, calls.high = limits(bounds, calls.parameters, theta)
    return calls, theta


def restore(calls: Calls) -> None:
    """Bring the caller's own arrays back to what they were."""
    if isinstance(calls.parameters, InPlace):
        calls.parameters.restore()


def _takes(function: Function, count: int) -> bool:
    """Whether a function surely takes so many arguments, seen without its whole signature, which takes longer to make."""
    if not isinstance(function, FunctionType) or function.__code__.co_kwonlyargcount:
        return False
    most = function.__code__.co_argcount
    return most - len(function.__defaults__ or ()) <= count <= most


def _with_gradient(calls: Calls, theta: Array) -> list[str]:
    """The doubtful leaves for which the gradient has an entry; all where it cannot be had while they are integers."""
    try:
        with untouched():
            # jac may need what fun has kept
            value = calls.outputs(theta)
            calls.upstream = None if calls.evaluation.emitted is None else np.ones_like(value)
            claim = calls.claim(theta)
    except Exception:  # as float64 they may do, else the same is raised again
        return [name for name, _ in calls.parameters.doubtful]
    return calls.parameters.with_entry(claim, calls.parameters.views(theta.copy()))


def _require_some(parameters: Parameters) -> None:
    if not parameters.arrays and parameters.frozen:
        raise ContractError(
            f"x0 has nothing to check: {', '.join(parameters.frozen[:8])} are frozen (None, bool, text, or whole numbers that"
            " have no gradient); pass arrays of floating type"
        )


def _require_stackable(parameters: Parameters) -> None:
    for leaf in parameters.arrays:
        if not leaf.kind.stacks:
            raise ContractError(
                f"vectorized=True: {leaf.name} is a {type(leaf.kind).__name__.lower()}, which holds one point: pass an array"
            )
