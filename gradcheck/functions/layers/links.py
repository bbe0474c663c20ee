"""The layers of a chain in their places: the forward pass, and the backward pass as it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.layers.calling import Returned
from gradcheck.functions.layers.check import ready
from gradcheck.functions.layers.layer import INPUT, Layer, in_kind
from gradcheck.functions.layers.leaves import is_nested, leaves, rebuilt
from gradcheck.functions.layers.options import Options
from gradcheck.functions.layers.prepare import label

Array = np.ndarray


@dataclass(eq=False)
class Link:
    """A layer in its place.

    given : the layer as the caller has it.   layer : the same, prepared at what it gets in the forward pass.
    dout : the upstream gradient that is drawn.   notes : what was found out about it.   x, returned : of the forward pass.
    arrived : the upstream gradient in the backward pass.   chained : the gradients that it made there.
    """

    index: int
    label: str
    given: object
    layer: Layer
    dout: list[Array]
    notes: tuple[str, ...]
    x: object
    returned: Returned
    arrived: list[Array] = field(default_factory=list)
    chained: dict[str, Array] = field(default_factory=dict)

    @property
    def output(self) -> object:
        """The output in the forward pass, the same object."""
        return self.returned.output


def names_of(layers: object) -> dict[str, object]:
    """The layers by what they are called in words.  ContractError for what is no list of layers."""
    if isinstance(layers, Mapping):
        found = {f"layers[{key!r}] {label(layer)}": layer for key, layer in layers.items()}
    elif isinstance(layers, (list, tuple)):
        plain = (callable(f) and not (hasattr(f, "backward") or hasattr(f, "forward")) for f in layers[:2])
        if len(layers) in (2, 3) and all(plain):
            raise ContractError("layers is one pair of functions: hand a list of layers, [(forward, backward)]")
        found = {f"layers[{i}] {label(layer)}": layer for i, layer in enumerate(layers)}
    else:
        raise ContractError(f"layers is a {type(layers).__name__}: it must be a list of layers, or a dict of them")
    if not found:
        raise ContractError("layers is empty: there must be at least one")
    return found


def forward(named: Mapping[str, object], x: object, options: Options, with_loss: bool) -> list[Link]:
    """Run the forward pass, and prepare each layer at what it gets there.   with_loss : the last one is a loss.

    Raises ContractError, which names the layer.
    """
    links: list[Link] = []
    for index, (name, given) in enumerate(named.items()):
        is_loss = with_loss and index == len(named) - 1
        try:
            link = _link(index, name, given, x, options.get("seed", 0) + index, is_loss)
        except ContractError as error:
            text = str(error).removeprefix(f"{label(given)}: ").removeprefix(f"{name}: ")
            if is_loss and "cannot be called" in text:
                text += "; a loss may be a function: loss=lambda out: (layer.forward(out, labels), layer.backward())"
            raise ContractError(f"{name}: {text}") from error
        links.append(link)
        x = link.output
    return links


def _link(index: int, name: str, given: object, x: object, seed: int, is_loss: bool) -> Link:
    pair, params, args = _split(given)
    # a copy: a layer further on may change what it gets
    layer, dout, notes = ready(pair, _copy(x), params, 1.0 if is_loss else None, args, None, seed)
    layer.calling = replace(layer.calling, name=name)
    if index == 0:
        layer.fixed = _lacks_input(layer, dout)
        x = _copy(layer.x)
    layer.state.restore()
    layer.zero()
    return Link(index, name, given, layer, dout, notes, x, layer.calling.run(x, layer.arguments()))


def _split(given: object) -> tuple[object, Mapping[str, object] | None, tuple[object, ...]]:
    """A layer, and the parameters and further arguments of a pair of functions that stand behind them."""
    if not isinstance(given, (tuple, list)) or len(given) <= 2:
        return given, None, ()
    forward_, backward_, params, *args = given
    if len(args) > 1 or not isinstance(params, Mapping) or not isinstance(args[0] if args else (), tuple):
        raise ContractError(
            "functions must be (forward, backward), or with their parameters (forward, backward, {name: array})"
        )
    return (forward_, backward_), params, args[0] if args else ()


def _copy(x: object) -> object:
    if not is_nested(x) and not leaves(x, INPUT):
        return x.copy() if isinstance(x, np.ndarray) else x
    return rebuilt(x, iter([np.array(leaf.array) for leaf in leaves(x, INPUT)]), in_kind)


def _lacks_input(layer: Layer, dout: list[Array]) -> bool:
    """Whether a first layer makes no gradient of its input, which nobody needs."""
    returned, x = layer.forward(layer.point())
    given = layer.read(layer.back(returned, x, dout))
    return any(given.get(leaf.name) is None for leaf in layer.inputs)


def backward(links: list[Link], upstream: object) -> None:
    """Run the backward pass as it is, each layer's gradient handed on to the next, and keep what it makes."""
    for link in reversed(links):
        layer = link.layer
        link.arrived = [np.array(leaf.array) for leaf in leaves(upstream, "upstream")]
        raw = layer.calling.back(upstream, link.x, link.returned)
        link.chained = layer.claimed(raw, layer.point())
        if link.index:
            upstream = layer.read(raw)[INPUT] if not is_nested(link.x) else _like(link)


def _like(link: Link) -> object:
    return rebuilt(link.x, iter([link.chained[leaf.name] for leaf in link.layer.inputs]), in_kind)
