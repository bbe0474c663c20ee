"""How a layer is called: which of its arguments is the input, the upstream gradient, the cache.

A layer is an object with ``forward`` (or ``__call__``) and ``backward``, or a pair of functions.  Their signatures tell what
each wants:

- ``backward`` gets by name whatever ``forward`` got under the same name (``backward(x, dout)``, ``backward(dout, x, w)``);
- the first other argument is the upstream gradient; where ``forward`` has several outputs, the first ones may be;
- the next is the cache that ``forward`` returned behind its output, or else the input, and then the output.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from gradcheck.errors import ContractError, one_line
from gradcheck.functions.layers.held import held
from gradcheck.functions.layers.leaves import is_nested, leaves, real_array

# How a gradient is called after what it is the gradient of.
SPELLINGS = ("{}", "d{}", "grad_{}", "d_{}", "{}_grad")
# Where a layer whose forward returns nothing keeps its output.
OUTPUTS = ("output", "outputs", "out")
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Returned(NamedTuple):
    """What one forward call gave.

    given : forward's arguments by name.   output : what is differentiated.   cache : what is handed on to backward.
    cached : whether there is a cache.   spread : whether each output's gradient is an argument of backward of its own.
    """

    given: Mapping[str, object]
    output: object
    cache: object
    cached: bool
    spread: bool


@dataclass(frozen=True)
class Calling:
    """The two functions of a layer and how they are called.

    name : of the layer, in messages.   owner : the object whose methods they are, None for plain functions.
    args, kwargs : further arguments of forward.   bound : names of positional arguments that were found to fit.
    """

    name: str
    forward: Callable[..., object]
    backward: Callable[..., object]
    owner: object
    args: tuple[object, ...] = ()
    kwargs: Mapping[str, object] | None = None
    bound: dict[tuple[object, ...], list[str]] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def _signatures(self) -> tuple[inspect.Signature | None, inspect.Signature | None]:
        return _signature(self.forward), _signature(self.backward)

    # ------------------------------------------------------------------------------------------------- forward

    def run(self, x: object, params: Sequence[object]) -> Returned:
        """Call forward.  ContractError where it cannot be called so, or raises."""
        signature = self._signatures[0]
        positional, named = self._inputs(signature, x, len(params) + len(self.args))
        everything = (*positional, *params, *self.args)
        named = {**named, **(self.kwargs or {})}
        given: Mapping[str, object] = {}
        if signature is not None:
            given = self._bound("forward", signature, everything, named)
        result = self._called("forward", self.forward, everything, named)
        if result is None:
            result = self._kept_output(given)
        return self._parted(given, result)

    def _inputs(
        self, signature: inspect.Signature | None, x: object, others: int
    ) -> tuple[tuple[object, ...], dict[str, object]]:
        """The input as positional and as named arguments: whole, or each part as an argument of its own."""
        if signature is None or not is_nested(x):
            return (x,), {}
        takes = [p for p in signature.parameters.values() if p.kind in _POSITIONAL]
        if isinstance(x, Mapping):
            return ((), {str(k): v for k, v in x.items()}) if all(k in signature.parameters for k in x) else ((x,), {})
        assert isinstance(x, (list, tuple))
        k = len(x)
        required = sum(p.default is inspect.Parameter.empty for p in takes)
        # an argument whose default is None takes an array; one with another default is a setting
        empty = all(p.default is None or p.default is inspect.Parameter.empty for p in takes[1:k])
        fits = len(takes) >= k + others
        if fits and (required > 1 + others or (isinstance(x, tuple) and empty)):
            return tuple(x), {}
        return (x,), {}

    def _kept_output(self, given: Mapping[str, object]) -> object:
        for name in OUTPUTS:
            found = held(self.owner).get(name) if self.owner is not None else None
            if found is not None:
                return found
        raise ContractError(
            f"{self.name}: forward returns None: it must return its output, or keep it as the attribute output"
        )

    def _parted(self, given: Mapping[str, object], result: object) -> Returned:
        """Output and cache of what forward returned."""
        if type(result) is not tuple or len(result) < 2 or not is_nested(result):
            return Returned(given, result, None, False, False)
        n, last = len(result), result[-1]
        free = self._free(given, 1)
        takes = [p for p in self._free(given, n) if p.default is inspect.Parameter.empty]
        if len(takes) == n == 2 and not _is_gradient(takes[1].name, last):
            # the cache may be called as forward calls its input
            return Returned(given, result[0], last, True, False)
        required = [p for p in free if p.default is inspect.Parameter.empty]
        if self._signatures[1] is None or (len(free) == 2 and n == 2 and not _is_gradient(free[1].name, last)):
            return Returned(given, _single(result[:-1]), last, True, False)
        if len(required) == n and not _is_gradient(required[-1].name, last):
            return Returned(given, _single(result[:-1]), last, True, n > 2)
        if len(free) >= n:
            return Returned(given, result, None, False, True)
        if len(required) == 2:
            return Returned(given, _single(result[:-1]), last, True, False)
        if n == 2 and not leaves(last, ""):
            return Returned(given, result[0], last, True, False)
        return Returned(given, result, None, False, False)

    # ------------------------------------------------------------------------------------------------ backward

    def back(self, upstream: object, x: object, returned: Returned) -> object:
        """Call backward with the upstream gradient.  ContractError where it cannot be called so, or raises."""
        signature = self._signatures[1]
        if signature is None:
            handed: tuple[object, ...] = (upstream, returned.cache) if returned.cached else (upstream,)
            return self._called("backward", self.backward, handed, {})
        douts = list(upstream) if returned.spread and isinstance(upstream, tuple) else [upstream]
        free = [p.name for p in self._free(returned.given, len(douts) + returned.cached)]
        others = [returned.cache] if returned.cached else [x, returned.output]
        roles = dict(zip(free, [*douts, *others], strict=False))
        values: list[object] = []
        named: dict[str, object] = {}
        optional = False
        for p in signature.parameters.values():
            known = p.name in roles or (p.name in returned.given and p.name not in free)
            if p.kind is inspect.Parameter.VAR_POSITIONAL:
                values += [*douts, *([returned.cache] if returned.cached else [])] if not values else []
            if p.kind is inspect.Parameter.VAR_KEYWORD or p.kind is inspect.Parameter.VAR_POSITIONAL:
                continue
            if not known or (p.default is not inspect.Parameter.empty and self._keeps_default(p, free, returned)):
                optional = True
                continue
            value = roles[p.name] if p.name in roles else returned.given[p.name]
            if optional or p.kind is inspect.Parameter.KEYWORD_ONLY:
                named[p.name] = value
            else:
                values.append(value)
        self._bound("backward", signature, tuple(values), named)
        return self._called("backward", self.backward, tuple(values), named)

    def takes_upstream(self) -> bool:
        """Whether backward has an argument at all; that of a loss may have none."""
        signature = self._signatures[1]
        return signature is None or bool(signature.parameters)

    def own_upstream(self) -> tuple[str, float] | None:
        """The upstream gradient that backward has by itself, and its name: a default, or 1 where it takes none."""
        signature = self._signatures[1]
        if signature is None:
            return None
        if not signature.parameters:
            return "", 1.0
        first = self._free(dict.fromkeys(self.first_names()), 1)
        default: object = first[0].default if first else None
        if not isinstance(default, (int, float)) or isinstance(default, bool):
            return None
        return first[0].name, float(default)

    def _keeps_default(self, p: inspect.Parameter, free: list[str], returned: Returned) -> bool:
        """Whether an optional argument is no upstream gradient and no cache, so that its default holds."""
        if p.name not in free:
            return False
        place = free.index(p.name)
        douts = len(returned.output) if returned.spread and isinstance(returned.output, tuple) else 1
        return place >= douts + (1 if returned.cached else 0)

    def _free(self, given: Mapping[str, object], needed: int) -> list[inspect.Parameter]:
        """The positional arguments of backward that forward has not; all where these are fewer than needed."""
        signature = self._signatures[1]
        takes = [p for p in signature.parameters.values() if p.kind in _POSITIONAL] if signature is not None else []
        free = [p for p in takes if p.name not in given]
        return free if len(free) >= needed else takes

    # ------------------------------------------------------------------------------------------------- calling

    def _bound(
        self, which: str, signature: inspect.Signature, positional: tuple[object, ...], named: Mapping[str, object]
    ) -> Mapping[str, object]:
        known = self.bound.get((which, len(positional), *named))
        if known is not None:
            return {**dict(zip(known, positional, strict=True)), **named}
        try:
            arguments = signature.bind(*positional, **named).arguments
            if all(p.kind in _POSITIONAL for p in signature.parameters.values()):
                self.bound[which, len(positional), *named] = list(signature.parameters)[: len(positional)]
            return arguments
        except TypeError as error:
            hint = (
                "further arguments of forward are handed on with args= and kwargs=, parameters with params="
                if which == "forward"
                else "it gets the upstream gradient, then the cache or the input, and by name what forward gets"
            )
            raise ContractError(f"{self.name}: {which}{signature} cannot be called here: {error}; {hint}") from None

    def _called(
        self, which: str, function: Callable[..., object], positional: tuple[object, ...], named: Mapping[str, object]
    ) -> object:
        try:
            return function(*positional, **named)
        except ContractError:
            raise
        except Exception as error:  # somebody's layer may raise anything
            shapes = ", ".join(_shape(value) for value in positional) or "nothing"
            raise ContractError(
                f"{self.name}: {which} raises {type(error).__name__}: {one_line(error)[:200]} (called with {shapes})"
            ) from error

    def first_names(self) -> list[str]:
        """The names of forward's positional arguments, the input's first."""
        signature = self._signatures[0]
        return [] if signature is None else [p.name for p in signature.parameters.values() if p.kind in _POSITIONAL]


def _signature(function: Callable[..., object]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # a function in C
        return None


def _single(values: tuple[object, ...]) -> object:
    return values[0] if len(values) == 1 else values


def _is_gradient(name: str, value: object) -> bool:
    """Whether an argument of backward is the gradient of this output rather than a cache: by its name and the output."""
    return name.startswith(("d", "grad")) and bool(leaves(value, ""))


def _shape(value: object) -> str:
    if is_nested(value):
        return f"a {type(value).__name__} of {len(value)}"  # type: ignore[arg-type]
    array = real_array(value)
    return f"an array {array.shape}" if array is not None else f"{type(value).__name__}"
