"""A network that is one function: its loss and intermediates at any parameters, with some intermediates replaced."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from gradcheck.errors import ContractError, one_line
from gradcheck.functions.layers.layer import in_kind
from gradcheck.functions.layers.leaves import Leaf, leaves, real_array, rebuilt, require_usable
from gradcheck.functions.layers.returned import spelled
from gradcheck.functions.layers.state import State

Array = np.ndarray
Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class Network:
    """Functions ``forward(p)`` -> (loss, intermediates) and ``backward(p)`` -> gradients, each call from the same state."""

    forward_: Callable[..., object]
    backward_: Callable[..., object]
    p: object
    args: tuple[object, ...]
    state: State

    @property
    def params(self) -> list[Leaf]:
        """The parameters by name."""
        return [Leaf(leaf.name.removeprefix(".") or "x", leaf.array) for leaf in leaves(self.p, "")]

    @property
    def takes_replace(self) -> bool:
        """Whether forward has the keyword ``replace``."""
        try:
            parameters = inspect.signature(self.forward_).parameters
        except (TypeError, ValueError):
            return False
        return "replace" in parameters or any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())

    def forward(self, params: Arrays, replace: Arrays | None = None) -> tuple[np.floating, dict[str, Array]]:
        """The loss and the intermediates that are real arrays, in order of computation.  ContractError."""
        self.state.restore()
        handed = {} if replace is None else {"replace": {name: np.array(value) for name, value in replace.items()}}
        result = _called("forward", self.forward_, (self._point(params), *self.args), handed)
        if not isinstance(result, (tuple, list)) or len(result) != 2 or not isinstance(result[1], Mapping):
            what = f"{len(result)} values" if isinstance(result, (tuple, list)) else f"a {type(result).__name__}"
            raise ContractError(f"forward returns {what}: it must return (loss, dict of intermediates)")
        if np.size(result[0]) != 1 or real_array(result[0]) is None:
            raise ContractError(
                f"forward returns a loss of the shape {np.shape(result[0])}: it must be one real number"
            )
        found = {
            str(name): np.asarray(array)
            for name, value in result[1].items()
            if (array := real_array(value)) is not None
        }
        loss: np.floating = np.asarray(result[0]).reshape(-1)[0]
        return loss, found

    def backward(self, wanted: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
        """The gradients of these names and shapes; a name that has none is left out.  ContractError."""
        self.state.restore()
        result = _called("backward", self.backward_, (self._point({}), *self.args), {})
        parts = result if isinstance(result, (tuple, list)) else [result]
        named: dict[str, object] = {}
        for part in parts:
            if not isinstance(part, Mapping):
                raise ContractError(
                    f"backward returns a {type(part).__name__}: it must return a dict of gradients by name, of the parameters"
                    " and of the intermediates"
                )
            named |= {str(key): value for key, value in part.items()}
        found = {}
        for name, shape in wanted.items():
            array = real_array(spelled(named, name))
            if array is None:
                continue
            if array.shape != shape:
                hint = ": it is the transpose" if array.ndim > 1 and array.T.shape == shape else ""
                raise ContractError(f"the gradient of {name} has the shape {array.shape}, but must have {shape}{hint}")
            found[name] = np.array(array)
        return found

    def _point(self, params: Arrays) -> object:
        """The caller's structure with these parameters, and copies of the others."""
        return rebuilt(self.p, iter([np.array(params.get(leaf.name, leaf.array)) for leaf in self.params]), in_kind)


def network(forward: object, backward: object, p: object, args: object) -> Network:
    """A network whose parameters can be changed.  ContractError for what is none."""
    for which, function in (("forward", forward), ("backward", backward)):
        if not callable(function):
            raise ContractError(f"{which} is a {type(function).__name__}: it must be a function of p")
    found = Network(forward, backward, p, args if isinstance(args, tuple) else (args,), State(forward, backward, args))  # type: ignore[arg-type]
    if not found.params:
        raise ContractError(f"p is a {type(p).__name__} without an array of real numbers: it must be a dict of arrays")
    for leaf in found.params:
        require_usable(leaf)
    return found


def _called(
    which: str, function: Callable[..., object], positional: tuple[object, ...], named: Mapping[str, object]
) -> object:
    try:
        return function(*positional, **named)
    except Exception as error:  # somebody's function may raise anything
        how = "p, replace={…}" if named else "p"
        raise ContractError(f"{which}({how}) raises {type(error).__name__}: {one_line(error)[:200]}") from error
