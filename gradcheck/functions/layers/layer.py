"""A layer at its input: its output, and its gradients for an upstream gradient, each from a call that begins the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.layers.calling import Calling, Returned
from gradcheck.functions.layers.claim import claim
from gradcheck.functions.layers.held import held
from gradcheck.functions.layers.leaves import Leaf, leaves, real_array, rebuilt
from gradcheck.functions.layers.places import Place, spelled_gradients
from gradcheck.functions.layers.returned import Wanted, matched, parts, spelled
from gradcheck.functions.layers.slots import Handed
from gradcheck.functions.layers.state import State
from gradcheck.functions.layers.tensors import is_tensor, tensor_of

Array = np.ndarray
INPUT = "input"


@dataclass(eq=False)
class Layer:
    """A layer whose calls all begin in the same state.

    calling : how it is called.   x : its input.   state : what is put back before each call.
    params : what forward takes behind its input, by name; empty for an object.   places : its parameters.
    extra : names of parameters whose gradients backward returns behind that of the input, in order.
    origin : what the layer held before it made its parameters in a first call; None where it has made none.
    fixed : whether the input's gradient is not asked for.   changes_upstream : whether backward changed its argument.
    """

    calling: Calling
    x: object
    state: State
    params: Mapping[str, object] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)
    extra: tuple[str, ...] = ()
    fixed: bool = False
    origin: State | None = None
    changes_upstream: bool = False

    @property
    def name(self) -> str:
        """Its name in messages."""
        return self.calling.name

    @property
    def inputs(self) -> list[Leaf]:
        """The arrays of real numbers in the input, which have gradients."""
        return leaves(self.x, INPUT)

    def point(self) -> dict[str, Array]:
        """Copies of all that has a gradient: the input's arrays, then the parameters."""
        found = {} if self.fixed else {leaf.name: np.array(leaf.array) for leaf in self.inputs}
        for place in self.places:
            if place.name in found:
                raise ContractError(
                    f"{self.name} has two parameters {place.name!r}, or one that is called like its input"
                )
            found[place.name] = np.array(place.slot.array)
        return found

    def put_back(self) -> None:
        """Leave everything as it was before the check."""
        self.state.restore()
        if self.origin is not None:
            self.origin.restore()

    # ------------------------------------------------------------------------------------------------- forward

    def forward(self, values: Mapping[str, Array]) -> tuple[Returned, object]:
        """Call forward at these values, from the state in which all calls begin.  Returns the input that it got too.

        Raises ContractError where it changes its input or a parameter.
        """
        self.state.restore()
        for place in self.places:
            place.slot.write(values[place.name])
        x = rebuilt(self.x, iter([values.get(leaf.name, leaf.array) for leaf in self.inputs]), in_kind)
        handed = leaves(x, INPUT)
        before = [leaf.array.tobytes() for leaf in handed]
        written = [place.slot.array.tobytes() for place in self.places]
        returned = self.calling.run(x, self.arguments())
        for leaf, then in zip(handed, before, strict=True):
            if leaf.array.tobytes() != then:
                raise ContractError(f"{self.name}: forward changes its {leaf.name} in place: let it work on a copy")
        for place, then in zip(self.places, written, strict=True):
            if place.slot.array.tobytes() != then:
                raise ContractError(f"{self.name}: forward changes its parameter {place.name}: let it work on a copy")
        return returned, x

    def arguments(self) -> list[object]:
        """What forward gets behind its input: copies of the parameters with their present values."""
        slots = {place.name: place.slot for place in self.places}
        found: list[object] = []
        for name, value in self.params.items():
            slot = slots.get(name)
            if isinstance(slot, Handed):
                found.append(in_kind(slot.array, value))
            else:
                found.append(value.copy() if isinstance(value, np.ndarray) else value)
        return found

    def outputs(self, returned: Returned) -> list[Array]:
        """The arrays of the output.  ContractError where there is none."""
        found = [leaf.array for leaf in leaves(returned.output, "output")]
        if not found:
            array = None if returned.output is None else np.asarray(returned.output)
            if array is not None and array.dtype.kind in "iub" and array.size:
                return [array.astype(np.float64)]
            kind = type(returned.output).__name__ if array is None else array.dtype
            raise ContractError(f"{self.name}: forward returns {kind}: its output must be an array of real numbers")
        if sum(array.size for array in found) == 0:
            raise ContractError(f"{self.name}: forward returns an empty array: its output must have an entry")
        return found

    # ---------------------------------------------------------------------------------------------- gradients

    def gradients(self, values: Mapping[str, Array], upstream: Sequence[Array]) -> dict[str, Array]:
        """The gradients of sum(upstream * output) that backward claims, by name, in the order of ``point``.

        Gradient buffers are zero before.  Raises ContractError for one that is missing, or has another shape.
        """
        returned, x = self.forward(values)
        self.zero()
        raw = self.back(returned, x, upstream)
        return self.claimed(raw, values)

    def zero(self) -> None:
        """Set the buffers to zero in which gradients may be added up."""
        for place in self.places:
            for read in place.gradients:
                buffer = read()
                array = real_array(buffer)
                if array is not None and array.ndim and array.flags.writeable and not isinstance(buffer, (list, tuple)):
                    array[...] = 0

    def back(self, returned: Returned, x: object, upstream: Sequence[Array]) -> object:
        """Call backward after forward.  ContractError."""
        handed = [np.array(part) for part in upstream]
        whole = rebuilt(returned.output, iter(handed), _upstream) if leaves(returned.output, "") else handed[0]
        raw = self.calling.back(whole, x, returned)
        self.changes_upstream |= any(
            not np.array_equal(leaf.array, part, equal_nan=True)
            for leaf, part in zip(leaves(whole, "dout"), upstream, strict=False)
        )
        return raw

    def claimed(self, raw: object, values: Mapping[str, Array]) -> dict[str, Array]:
        """The gradients by name, from the object or from what backward returned, each held to its shape."""
        given = self.read(raw)
        for name in values:
            if given.get(name) is None:
                raise ContractError(self.lacks(name, raw))
        coarsest: np.dtype[np.floating] = np.dtype(np.longdouble)
        for value in values.values():
            coarsest = value.dtype if np.finfo(value.dtype).eps > np.finfo(coarsest).eps else coarsest
        try:
            return {name: claim(name, given[name], value, coarsest) for name, value in values.items()}
        except ContractError as error:
            raise ContractError(f"{self.name}: {error}") from None

    def read(self, raw: object) -> dict[str, object]:
        """The gradient of each name; None where there is none."""
        argument = next(iter(self.calling.first_names()), INPUT)
        frozen = frozenset(self.params) - {place.name for place in self.places}
        found = parts(raw, Wanted(self.name, self.x, argument, tuple(self.params), frozen))
        first = found.input
        if first is None and not found.params and self.calling.owner is not None:
            first = self._kept(argument)
        given = matched(self.x, first, INPUT)
        others = dict(zip(self.extra, found.others, strict=False))
        for place in self.places:
            value = place.gradient()
            if value is None:
                value = others.get(place.name, spelled(found.params, place.name))
            given[place.name] = value
        return given

    def _kept(self, argument: str) -> object:
        """The gradient of the input that the object keeps as an attribute, such as ``dx`` or ``dinputs``."""
        own = held(self.calling.owner)
        names = [spelled_gradient for name in (argument, INPUT) for spelled_gradient in spelled_gradients(name)]
        return next((own[name] for name in names if own.get(name) is not None), None)

    def lacks(self, name: str, raw: object) -> str:
        """What to say where a gradient is missing."""
        if name.startswith(INPUT) and name not in {place.name for place in self.places}:
            what = "None" if raw is None else f"a {type(raw).__name__}"
            return f"{self.name}: backward returns {what}: it must return the gradient of its {name}"
        return (
            f"{self.name}: the parameter {name} has no gradient after backward: let backward return it behind that of the"
            f" input, or keep it as d{name} or grad_{name}, or in grads"
        )


def in_kind(array: Array, before: object) -> object:
    """A copy of the array in the kind of what stood there: an array, a tensor or a number."""
    if is_tensor(before):
        return tensor_of(array.astype(before.detach().numpy().dtype))  # type: ignore[attr-defined]
    if isinstance(before, (float, np.floating)):
        return type(before)(array)
    kind = real_array(before)
    return np.array(array, dtype=array.dtype if kind is None else kind.dtype)


def _upstream(array: Array, before: object) -> object:
    """The upstream gradient in the kind of an output."""
    if is_tensor(before):
        return tensor_of(array)
    return array if isinstance(before, np.ndarray) and before.ndim else (array if array.ndim else array[()])
