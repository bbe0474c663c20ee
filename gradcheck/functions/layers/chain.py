"""Check a chain of layers: every layer alone, then the backward pass as it runs; which step is the first wrong one?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Unpack

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.layers.chain_outcome import ChainOutcome
from gradcheck.functions.layers.check import checked
from gradcheck.functions.layers.claim import claim
from gradcheck.functions.layers.held import method
from gradcheck.functions.layers.layer import in_kind
from gradcheck.functions.layers.leaves import leaves, real_array, rebuilt
from gradcheck.functions.layers.links import Link, backward, forward, names_of
from gradcheck.functions.layers.options import Options, require_options
from gradcheck.functions.layers.returned import matched
from gradcheck.functions.layers.second import Claimed, judged
from gradcheck.functions.layers.state import State
from gradcheck.functions.layers.steps import Step, wrong_names
from gradcheck.functions.outcome import Outcome
from gradcheck.functions.surroundings import untouched

Array = np.ndarray
Loss = Callable[[object], object]

# Two computations of one gradient from the same numbers differ by rounding only.  What differs by more than this share of
# the largest entry is looked at with finite differences; so this decides about work, not about a verdict.
APART = {2: 1e-1, 4: 1e-3}
OTHERWISE = 1e-8
LOSS, OUTPUT = "loss", "input"


def check_layers(
    layers: Sequence[object] | Mapping[str, object],
    x: object,
    loss: Loss | object = None,
    **options: Unpack[Options],
) -> ChainOutcome:
    """Find the first wrong step of the backward pass of a chain of layers, counted from the loss.

    Parameters
    ----------
    layers : list or dict
        The layers from the input to the output, each as check_layer takes it: an object with ``forward`` and ``backward``, or
        a pair ``(forward, backward)``.  Functions with parameters are a triple ``(forward, backward, params)``.
    x : array_like or structure of arrays
        The input of the first layer.
    loss : callable or layer, optional
        ``loss(out)`` returns the value and its gradient by ``out``; or it is a layer whose output is one number.  Without it
        an upstream gradient is drawn by ``seed``.
    **options
        Those of check_layer: ``eps``, ``scheme``, ``match_at``, ``accept``, ``min_judged``, ``sample``, ``max_nfev`` (of each
        layer), ``progress`` and ``seed``.

    Returns
    -------
    ChainOutcome
        ``first_wrong`` is None or (index, layer, name): name is ``input`` where the gradient by the layer's input is wrong, so
        that everything below gets a wrong gradient, else the parameter whose gradient is wrong.

    Raises
    ------
    ContractError
        If a layer cannot be called, or has no gradient for a parameter; the message names it.
    ValueError
        If a setting is out of range, or has no meaning for layers.

    See Also
    --------
    check_layer : One layer.
    check_intermediates : The same for a network that is one function.

    Notes
    -----
    Layer i maps a_i to a_(i+1), and its ``backward`` B_i should be the transposed Jacobian of that map.  Three things are
    looked at, at the a_i of the forward pass:

    1. B_i(u) against finite differences of sum(u * layer(a_i)) for an upstream gradient u that is drawn.  So a mistake is
       seen that the gradient which arrives here happens to hide, and no mistake above is counted against this layer.
    2. B_i(u + g) - B_i(u) = B_i(g) for the gradient g that arrives from above, right or wrong.  A map that is right at a drawn
       u and linear is right at g.  Where it is not linear, B_i(g) itself is compared with finite differences.
    3. What the backward pass of the whole chain gives at layer i, against B_i(g) of the layer alone.  They differ where a
       layer above changes what this one keeps, or where one object stands in two places; then the former is compared with
       finite differences.

    Examples
    --------
    >>> import gradcheck
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> W = rng.normal(size=(3, 2))
    >>> dense = (lambda x, W: (x @ W, (x, W)), lambda dout, cache: (dout @ cache[1].T, cache[0].T @ dout), {"W": W})
    >>> tanh = (lambda x: (np.tanh(x), x), lambda dout, x: dout * (1 - np.tanh(x)))  # the square is missing
    >>> r = gradcheck.check_layers([dense, tanh], rng.normal(size=(4, 3)))
    >>> r.first_wrong.index, r.first_wrong.name
    (1, 'input')
    """
    require_options("check_layers", options)
    if options.get("points") is not None:
        raise ValueError(
            "check_layers(points=…): the points of each layer are those of the forward pass; call it for each x"
        )
    named = names_of(layers)
    whole = State(list(named.values()), loss)
    with untouched():
        try:
            return _checked(named, x, loss, options)
        finally:
            whole.restore()


def _checked(named: Mapping[str, object], x: object, loss: Loss | object, options: Options) -> ChainOutcome:
    steps: list[Step] = []
    count = len(named)
    is_layer = isinstance(loss, (tuple, list)) or (loss is not None and method(loss, "backward") is not None)
    links = forward({**named, LOSS: loss} if is_layer else named, x, options, with_loss=is_layer)
    out = links[-1].output
    upstream: object = rebuilt(out, iter([np.array(u) for u in links[-1].dout]), in_kind) if leaves(out, "") else None
    if loss is not None and not is_layer:
        step, upstream = _loss_step(loss, out, count, options)
        steps.append(step)
    backward(links, upstream)
    again = {id(link.given) for i, link in enumerate(links) if any(link.given is o.given for o in links[:i])}
    for link in reversed(links):
        shared = [other for other in links if other.given is link.given] if id(link.given) in again else []
        steps.append(_step(link, shared, options))
    notes = [f"{link.label}: {note}" for link in links for note in link.notes]
    return ChainOutcome(tuple(steps), tuple(notes))


# -------------------------------------------------------------------------------------------------------- the loss


def _loss_step(loss: object, out: object, index: int, options: Options) -> tuple[Step, object]:
    """The check of the loss, and the gradient that it hands down.  ContractError where it is no (value, gradient)."""
    if not callable(loss):
        raise ContractError(
            f"loss is a {type(loss).__name__}: it must be a function out -> (value, gradient), or a layer"
        )
    state = State(loss)
    given = leaves(out, OUTPUT)
    if not given:
        raise ContractError("the last layer returns no array of real numbers: the loss has nothing to differentiate")
    point = {leaf.name: np.array(leaf.array) for leaf in given}

    def call(values: Mapping[str, Array]) -> tuple[object, object]:
        state.restore()
        handed = rebuilt(out, iter([values[leaf.name] for leaf in given]), in_kind)
        try:
            result = loss(handed)
        except Exception as error:  # somebody's loss may raise anything
            shape = given[0].array.shape
            raise ContractError(
                f"loss raises {type(error).__name__}: {' '.join(str(error).split())[:200]} (called with the output {shape})"
            ) from error
        if not isinstance(result, (tuple, list)) or len(result) != 2 or np.size(result[0]) != 1:
            what = f"{len(result)} values" if isinstance(result, (tuple, list)) else f"one {type(result).__name__}"
            raise ContractError(f"loss returns {what}: it must return (value, gradient by the output)")
        return result[0], result[1]

    gradient = call(point)[1]
    missing = [name for name, value in matched(out, gradient, OUTPUT).items() if real_array(value) is None]
    if missing:
        raise ContractError("loss returns no gradient by the output: it must return (value, gradient)")

    def gradients(values: Mapping[str, Array]) -> dict[str, Array]:
        found = matched(out, call(values)[1], OUTPUT)
        return {name: claim(name, value, values[name], values[name].dtype) for name, value in found.items()}

    outcome = _prefixed(
        LOSS,
        lambda: judged(Claimed(lambda values: call(values)[0], gradients, point), options),
    )
    state.restore()
    names = tuple(point)
    step = Step(index, loss, LOSS, outcome, names, names, wrong_names(outcome, names))
    return step, gradient


def _prefixed(label: str, run: Callable[[], Outcome]) -> Outcome:
    try:
        return run()
    except ContractError as error:
        text = str(error)
        raise ContractError(text if text.startswith(label) else f"{label}: {text}") from error


# --------------------------------------------------------------------------------------------------------- a layer


def _step(link: Link, shared: Sequence[Link], options: Options) -> Step:
    """What is right and wrong in one layer, alone and in the chain.   shared : all places of an object that has several."""
    layer = link.layer
    point = layer.point()
    names = tuple(point)
    inputs = tuple(leaf.name for leaf in layer.inputs) if not layer.fixed else ()
    if not point:
        return Step(link.index, link.given, link.label, None, (), ())
    outcome = _prefixed(link.label, lambda: checked(layer, link.dout, (), options))
    wrong = set(wrong_names(outcome, names))
    in_chain = ""
    arrived = link.arrived
    if arrived and all(np.isfinite(a).all() for a in arrived) and any(a.any() for a in arrived):
        alone = layer.gradients(point, arrived)
        if not _is_linear(link, point, alone):
            # right for one upstream gradient does not mean right for this one
            here = _prefixed(link.label, lambda: checked(layer, arrived, (), options))
            outcome = here if here.verdict == "mismatch" and not wrong else outcome
            wrong |= set(wrong_names(here, names))
        compared = [name for name in names if name in link.chained and (name in inputs or not shared)]
        if any(_differ(link.chained[name], alone[name]) for name in compared):
            claims = {name: link.chained[name] if name in compared else alone[name] for name in names}
            here = _prefixed(link.label, lambda: checked(layer, arrived, (), options, claims))
            found = set(wrong_names(here, names)) - wrong
            if found and not wrong:
                outcome, in_chain = here, OVERWRITTEN if shared else CHANGED
            wrong |= found
        if shared and link is shared[0] and not wrong:
            found = _not_added(shared, names, inputs)
            in_chain = NOT_ADDED if found else in_chain
            wrong |= found
    ordered = tuple(name for name in names if name in wrong)
    return Step(link.index, link.given, link.label, outcome, inputs, names, ordered, in_chain)


CHANGED = "Alone it is right: in the chain another layer changes what it keeps."
OVERWRITTEN = "Alone it is right: the same object stands in several places, and a later call overwrites what it keeps."
NOT_ADDED = "The same object stands in several places: the gradients of all of them must be added."


def _is_linear(link: Link, point: Mapping[str, Array], alone: Mapping[str, Array]) -> bool:
    """Whether B(u + s g) - B(u) = s B(g) up to rounding, where s brings the upstream gradient that arrives to the size of u."""
    layer, drawn, arrived = link.layer, link.dout, link.arrived
    size = max(float(np.abs(a).max(initial=0.0)) for a in arrived)
    both = [(u + a / size).astype(u.dtype) for u, a in zip(drawn, arrived, strict=True)]
    first, sum_ = layer.gradients(point, drawn), layer.gradients(point, both)
    return not any(_differ(sum_[name] - first[name], alone[name] / size, first[name]) for name in point)


def _differ(a: Array, b: Array, beside: Array | None = None) -> bool:
    """Whether two gradients differ by more than rounding, relative to the largest entry of either, or of one beside."""
    if not a.size:
        return False
    sizes = [np.abs(v).max() for v in (a, b, *(() if beside is None else (beside,)))]
    limit = APART.get(min(a.dtype.itemsize, b.dtype.itemsize), OTHERWISE) * float(np.max(sizes))
    return not float(np.abs(a - b).max()) <= limit


def _not_added(shared: Sequence[Link], names: Sequence[str], inputs: Sequence[str]) -> set[str]:
    """The parameters of an object in several places whose gradient, in the end, is not the sum of those of all places."""
    found = set()
    parts = [link.layer.gradients(link.layer.point(), link.arrived) for link in shared]
    for name in names:
        last = shared[0].chained.get(name)
        if (
            name not in inputs
            and last is not None
            and _differ(last, sum(part[name] for part in parts[1:]) + parts[0][name])
        ):
            found.add(name)
    return found
