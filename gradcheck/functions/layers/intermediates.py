"""Check a network that is one function: the first wrong step of its backward pass, by its intermediates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Unpack

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.layers.chain_outcome import ChainOutcome
from gradcheck.functions.layers.network import Network, network
from gradcheck.functions.layers.options import Options, require_options
from gradcheck.functions.layers.second import Claimed, judged
from gradcheck.functions.layers.steps import Step, wrong_names
from gradcheck.functions.surroundings import quiet, untouched

Array = np.ndarray
LOSS = "loss"
# How far an array is moved to see what depends on it, in units of max(|a|, rms).
MOVED = 1e-2
NO_REPLACE = (
    "forward takes no replace={name: array}: let it use these arrays for its own, then the first wrong step is found"
)
NO_GRADIENT = "backward returns the gradient of no intermediate: with those the first wrong step is found"


def check_intermediates(
    forward: Callable[..., object],
    backward: Callable[..., object],
    p: object,
    *,
    args: tuple[object, ...] = (),
    **options: Unpack[Options],
) -> ChainOutcome:
    """Find the first wrong step of the backward pass of a network that is one function, counted from the loss.

    Parameters
    ----------
    forward : callable
        ``forward(p, *args)`` returns (loss, intermediates): a dict of arrays in the order in which they are computed.  With
        ``forward(p, *args, replace={name: array})`` it goes on with this array wherever it would use the intermediate of this
        name.  Without that keyword the answer says only which parameters are wrong.
    backward : callable
        ``backward(p, *args)`` returns a dict of the gradients of the loss by the parameters and by the intermediates, each
        under its name, or ``d`` or ``grad_`` in front of it; or two such dicts.
    p : dict, list or tuple of arrays, or array
        The parameters.  They are not changed.
    args : tuple, optional
        Further arguments of both functions.
    **options
        ``eps``, ``scheme``, ``match_at``, ``accept``, ``min_judged``, ``sample``, ``max_nfev`` (of each step), ``progress`` and
        ``seed`` of check_gradient.

    Returns
    -------
    ChainOutcome
        ``first_wrong`` is None or (index, layer, name): ``layer`` is the intermediate, or ``loss``, through which the step goes
        back, ``index`` its place (the number of intermediates for the loss), ``name`` whose gradient is wrong.

    Raises
    ------
    ContractError
        If the functions cannot be called, or return something else; if a parameter has no gradient; if ``replace`` is ignored.
    ValueError
        If a setting is out of range, or has no meaning here.

    See Also
    --------
    check_layers : The same for a list of layers.

    Notes
    -----
    Let c be what is computed from v directly, that is, with all other intermediates held fixed.  The chain rule is ::

        dL/dv = sum over c of (dL/dc) (dc/dv) + (dL/dv with all other intermediates held fixed)

    Each claimed dL/dv is compared with the right hand side, in which the dL/dc are those that are claimed, and the other
    factors are differences.  So a mistake above is not counted against what is below.  What depends on what directly is found
    by moving one array and holding all others.

    Examples
    --------
    >>> import gradcheck
    >>> import numpy as np
    >>> x = np.array([0.5, -1.0, 2.0])
    >>> def forward(p, replace={}):
    ...     z = replace.get("z", p["w"] * x)
    ...     a = replace.get("a", np.tanh(z))
    ...     return np.sum(a**2), {"z": z, "a": a}
    >>> def backward(p):
    ...     a = np.tanh(p["w"] * x)
    ...     da = 2 * a
    ...     dz = da * (1 - a)  # the square is missing
    ...     return {"da": da, "dz": dz, "dw": dz * x}
    >>> r = gradcheck.check_intermediates(forward, backward, {"w": np.array([1.0, 0.3, -0.4])})
    >>> r.first_wrong.layer, r.first_wrong.name
    ('a', 'z')
    """
    require_options("check_intermediates", options)
    for name in ("points", "bounds"):
        if options.get(name) is not None:
            raise ValueError(f"check_intermediates({name}=…): it has no meaning here; call it for each p")
    net = network(forward, backward, p, args)
    with untouched():
        try:
            return _checked(net, options)
        finally:
            net.state.restore()


class _Node(NamedTuple):
    """A parameter or an intermediate: its place in the order of computation (-1 for a parameter), its value, its gradient."""

    name: str
    place: int
    value: Array
    gradient: Array


def _checked(net: Network, options: Options) -> ChainOutcome:
    params = {leaf.name: np.array(leaf.array) for leaf in net.params}
    loss, found = net.forward(params)
    again, others = net.forward(params)
    if loss != again or any(n not in others or not np.array_equal(found[n], others[n], equal_nan=True) for n in found):
        raise ContractError(
            "forward is not deterministic: two calls with the same p differ; give it a seed, or the mask it drew"
        )
    if not np.isfinite(loss):
        raise ContractError(f"forward returns the loss {loss}: it must be finite at p")
    both = [name for name in found if name in params]
    if both:
        raise ContractError(f"{both[0]} is the name of a parameter and of an intermediate: each must have its own")
    shapes = {name: array.shape for name, array in (params | found).items()}
    gradients = net.backward(shapes)
    missing = [name for name in params if name not in gradients]
    if missing:
        raise ContractError(f"backward returns no gradient of {', '.join(missing)}: every parameter must have one")
    passed_over = [name for name in found if name not in gradients]
    nodes = [_Node(n, -1, a, gradients[n]) for n, a in params.items()]
    names = [n for n in found if n in gradients]
    nodes += [_Node(n, names.index(n), found[n], gradients[n]) for n in names]
    if not net.takes_replace or not names:
        return _whole(
            net, params, gradients, NO_REPLACE if names else "backward returns no gradient of an intermediate", options
        )
    steps = _steps(_Held(net, params, {n: found[n] for n in names}), nodes, options)
    notes = [f"backward returns no gradient of {', '.join(passed_over)}: passed over"] if passed_over else []
    outcome = ChainOutcome(tuple(steps), tuple(notes))
    if outcome.first_wrong is None:
        total = _whole(net, params, gradients, "every step alone is right", options)
        if total.verdict == "mismatch":
            return total
    return outcome


def _whole(
    net: Network, params: Mapping[str, Array], gradients: Mapping[str, Array], why: str, options: Options
) -> ChainOutcome:
    """Which parameters are wrong, without a step."""
    claims = {name: gradients[name] for name in params}
    outcome = judged(Claimed(lambda p: net.forward(p)[0], partial(_constant, claims), params), options)
    names = tuple(params)
    step = Step(0, "network", "the network", outcome, (), names, wrong_names(outcome, names))
    return ChainOutcome((step,), (why,), located=False)


def _constant(claims: Mapping[str, Array], _: Mapping[str, Array]) -> Mapping[str, Array]:
    """The gradients that are claimed, wherever they are asked for."""
    return claims


class _Held:
    """The network with all its intermediates held at what they are, but for those that are moved."""

    def __init__(self, net: Network, params: Mapping[str, Array], base: Mapping[str, Array]) -> None:
        self.net, self.params, self.base = net, params, base
        self.names = list(base)

    def at(self, moved: Mapping[str, Array], child: str) -> Array:
        """An intermediate, or the loss, computed from the others; those of ``moved`` have other values."""
        params = {name: moved.get(name, value) for name, value in self.params.items()}
        held = {name: moved.get(name, value) for name, value in self.base.items() if name != child}
        loss, found = self.net.forward(params, held)
        if child == LOSS:
            return np.asarray(loss)
        if child not in found or found[child].shape != self.base[child].shape:
            raise ContractError(f"forward with replace={{…}} returns no {child} of the shape {self.base[child].shape}")
        return found[child]

    def children(self, node: _Node, rng: np.random.Generator) -> tuple[str, ...]:
        """What is computed from a node directly, in order of computation."""
        size = np.maximum(np.abs(node.value), np.sqrt(np.mean(np.square(node.value))) if node.value.size else 0)
        step = MOVED * np.where(size > 0, size, 1) * rng.choice([-1, 1], node.value.shape)
        moved = {node.name: (node.value + step).astype(node.value.dtype)}
        later = [*self.names[node.place + 1 :], LOSS]
        return tuple(c for c in later if not np.array_equal(self.at(moved, c), self.at({}, c), equal_nan=True))


def _steps(held: _Held, nodes: Sequence[_Node], options: Options) -> list[Step]:
    """The check of each step, from the loss down.  What has the same children is checked together."""
    rng = np.random.default_rng(options.get("seed", 0))
    groups: dict[tuple[str, ...], list[_Node]] = {}
    with quiet():
        for node in nodes:
            groups.setdefault(held.children(node, rng), []).append(node)
    lost = [node for node in groups.pop((), []) if node.gradient.any()]
    for node in lost:
        if node.place >= 0:
            raise ContractError(
                f"forward ignores replace={{{node.name!r}: …}}: neither the loss nor a later intermediate changes; let it use"
                f" the array that replace gives wherever it uses {node.name}"
            )
        raise ContractError(
            f"the loss does not depend on {node.name}, but backward returns a gradient of it that is not 0"
        )
    given = {node.name: node.gradient for node in nodes}
    order = [*held.names, LOSS]
    steps = []
    # the gradient of what has several children is done when the first of them in order of computation is
    for children, group in sorted(groups.items(), key=lambda item: -order.index(item[0][0])):
        inputs = tuple(n.name for n in sorted(group, key=lambda n: -n.place) if n.place >= 0)
        names = (*inputs, *(n.name for n in group if n.place < 0))
        claims = {name: given[name] for name in names}
        point = {name: next(n.value for n in group if n.name == name) for name in names}

        def fun(moved: Mapping[str, Array], children: tuple[str, ...] = children) -> object:
            parts = [(held.at(moved, c), 1.0 if c == LOSS else given[c]) for c in children]
            return sum((part * upstream).sum() for part, upstream in parts)

        outcome = judged(Claimed(fun, partial(_constant, claims), point), options)
        last = children[0]
        steps.append(Step(order.index(last), last, last, outcome, inputs, names, wrong_names(outcome, names)))
    return steps
