"""Check a layer: the gradient of its input and of all its parameters, from one ``backward``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Unpack

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.layers.autograd import followed
from gradcheck.functions.layers.layer import Layer
from gradcheck.functions.layers.locate import let_build, locate
from gradcheck.functions.layers.options import Options, require_options
from gradcheck.functions.layers.prepare import Params, prepare, require_repeated, require_same_shapes
from gradcheck.functions.layers.second import Claimed, judged
from gradcheck.functions.layers.slots import InPlace
from gradcheck.functions.layers.ties import beside, is_at_kink
from gradcheck.functions.layers.upstream import upstream_of
from gradcheck.functions.outcome import Outcome
from gradcheck.functions.surroundings import untouched

Array = np.ndarray

DRAWS = "the layer draws random numbers: every call began with the same random state"
INTEGERS = "the input is of integers: it has no gradient"
CHANGES_UPSTREAM = "backward changes its upstream gradient in place: each call got a copy"
BESIDE_A_KINK = "x lies on a kink of the layer (a tie): it was checked at a point beside, 1e-3 max(|x|, rms) away"


def check_layer(
    layer: object,
    x: object,
    *,
    params: Params | None = None,
    upstream: object = None,
    args: tuple[object, ...] = (),
    kwargs: Mapping[str, object] | None = None,
    **options: Unpack[Options],
) -> Outcome:
    """Compare all gradients of a layer's ``backward`` with finite differences of its ``forward``.

    Parameters
    ----------
    layer : object, or pair of functions
        An object with ``forward`` (or ``__call__``) and ``backward``; or functions ``(forward, backward)``, called
        ``forward(x, *params.values(), *args)`` -> out or (out, cache), and ``backward(dout, cache)`` -> gradients in the order
        x, then params.  ``backward`` may take the input too: it gets by name what ``forward`` gets.  A Module of torch is
        checked against its autograd.
    x : array_like, or tuple, list or dict of arrays
        The input.  Arrays of integers, such as words, have no gradient.  It is not changed.
    params : dict or list, optional
        The parameters: of an object its own arrays by name, or the names of its attributes; of functions the arrays behind x.
        Without it they are the first that are found of: dicts or lists ``params`` and ``grads``; attributes ``N`` with ``dN``
        or ``grad_N``; ``parameters()`` with ``.grad``.  Those of layers inside the object are found in the same way.
    upstream : array_like or structure, optional
        The upstream gradient, like the output.  It is drawn by ``seed`` without it.
    args : tuple, optional
        Further arguments of ``forward``.
    kwargs : dict, optional
        Further arguments of ``forward`` by name.
    **options
        ``eps``, ``scheme``, ``match_at``, ``accept``, ``min_judged``, ``bounds``, ``sample``, ``points``, ``max_nfev``,
        ``progress`` and ``seed`` of check_gradient.

    Returns
    -------
    Outcome
        The verdict and the numbers.  The input's gradient is named ``input``.  ``notes`` says what was found out about the
        layer, such as that it draws random numbers.

    Raises
    ------
    ContractError
        If the layer cannot be called, if a parameter has no gradient, if two calls differ, or if ``forward`` changes its
        input.
    ValueError
        If a setting is out of range, or has no meaning for a layer.

    See Also
    --------
    check_layers : Where in a chain of layers is the backward pass wrong?
    check_gradient : Its notes have the formulas.

    Notes
    -----
    For an upstream gradient u with the shape of the output, ``backward`` claims the gradient of ::

        s(x, W, ...) = sum(u * forward(x, W, ...))

    by the input x and by every parameter W.  A drawn u has no entry near 0, so that a mistake in any row of the Jacobian
    shows in s, but for a coincidence of real numbers.

    Each call begins in the same state: what the layer, and whatever it refers to, held before; the random states of NumPy, of
    ``random`` and of generators that it holds.  Gradient buffers are zero before each ``backward``.  In the end everything is
    put back into the same objects.

    Examples
    --------
    >>> import gradcheck
    >>> import numpy as np
    >>> class Dense:
    ...     def __init__(self, W, b):
    ...         self.W, self.b = W, b
    ...     def forward(self, x):
    ...         self.x = x
    ...         return x @ self.W + self.b
    ...     def backward(self, dout):
    ...         self.dW, self.db = self.x.T @ dout, dout.mean(axis=0)
    ...         return dout @ self.W.T
    >>> rng = np.random.default_rng(0)
    >>> r = gradcheck.check_layer(Dense(rng.normal(size=(4, 3)), np.zeros(3)), rng.normal(size=(5, 4)))
    >>> r.verdict, sorted(set(r.errors.query("verdict == 'mismatch'").param))
    ('mismatch', ['b'])
    """
    require_options("check_layer", options)
    with untouched():
        prepared, dout, notes = ready(layer, x, params, upstream, args, kwargs, options.get("seed", 0))
        try:
            if not prepared.point():
                raise ContractError(
                    f"{prepared.name}: there is nothing to check: its input is of integers, which have no gradient, and it has"
                    " no parameters; hand x as float64"
                )
            return checked(prepared, dout, notes, options)
        finally:
            prepared.put_back()


def ready(
    layer: object,
    x: object,
    params: Params | None,
    upstream: object,
    args: tuple[object, ...],
    kwargs: Mapping[str, object] | None,
    seed: int,
) -> tuple[Layer, list[Array], tuple[str, ...]]:
    """A layer whose parameters are known, an upstream gradient for it, and what is to be said of it.  ContractError."""
    args = args if isinstance(args, tuple) else (args,)
    prepared = prepare(followed(layer), x, params, args, kwargs)
    try:
        notes = [made] if (made := let_build(prepared)) else []
        require_repeated(prepared)
        returned, _ = prepared.forward(prepared.point())
        outputs = [np.array(a) for a in prepared.outputs(returned)]
        dout, own = upstream_of(prepared, outputs, upstream, seed)
        locate(prepared, params, dout)
        _require_apart(prepared)
        prepared.state.restore()
        before = prepared.state.drawn()
        returned, handed = prepared.forward(prepared.point())
        prepared.back(returned, handed, dout)
        draws = prepared.state.settle(before)
    except BaseException:
        prepared.put_back()
        raise
    notes += [DRAWS] if draws else []
    notes += [own] if own else []
    return prepared, dout, (*notes, *(() if prepared.inputs else (INTEGERS,)))


def checked(
    layer: Layer,
    dout: Sequence[Array],
    notes: tuple[str, ...],
    options: Options,
    claims: Mapping[str, Array] | None = None,
) -> Outcome:
    """The outcome of the check of a prepared layer with this upstream gradient.

    claims : the gradients to be checked; those of the layer's own backward without it.
    """
    point = layer.point()
    narrow = any(a.dtype == np.float32 for a in point.values())
    if narrow:
        # entries of a float32 array cannot take the steps of float64
        point = {name: array.astype(np.float32) for name, array in point.items()}
    shapes = [u.shape for u in dout]

    def fun(values: Mapping[str, Array]) -> object:
        values = {n: a.astype(np.float32) for n, a in values.items()} if narrow else values
        returned, _ = layer.forward(values)
        out = layer.outputs(returned)
        if [a.shape for a in out] != shapes:
            require_same_shapes(layer.name, out, dout)
        return sum((u * a).sum() for u, a in zip(dout, out, strict=True))

    def jac(values: Mapping[str, Array]) -> dict[str, Array]:
        found = layer.gradients(values, dout) if claims is None else claims
        return {name: array.astype(point[name].dtype) for name, array in found.items()}

    first, second = jac(point), jac(point)
    for name, array in first.items():
        if not np.allclose(array, second[name], rtol=1e-6, atol=0, equal_nan=True):
            raise ContractError(
                f"{layer.name}: backward is not deterministic: the gradient of {name} differs between two calls that began in"
                " the same state"
            )
    before = layer.state.drawn()
    outcome = judged(Claimed(fun, jac, point), options)
    if layer.state.surprises(before):
        outcome = judged(Claimed(fun, jac, point), options)
        notes = tuple(dict.fromkeys((*notes, DRAWS)))
    said = (*notes, CHANGES_UPSTREAM) if layer.changes_upstream else notes
    moved = [leaf.name for leaf in layer.inputs if leaf.name in point]
    if moved and claims is None and is_at_kink(outcome):
        try:
            again = judged(Claimed(fun, jac, beside(point, moved, options.get("seed", 0))), options)
        except ContractError:  # its domain ends here
            again = outcome
        if again.verdict != "mismatch":
            outcome, said = again, (*said, BESIDE_A_KINK)
    raised = [note.replace("fun raised near x0", "forward raised near x", 1) for note in outcome.notes]
    return replace(outcome, notes=(*said, *raised))


def _require_apart(layer: Layer) -> None:
    """Raise ContractError where two parameters show the same memory in part."""
    arrays = [(place.name, place.slot.array) for place in layer.places if isinstance(place.slot, InPlace)]
    for i, (name, array) in enumerate(arrays):
        for other, another in arrays[i + 1 :]:
            if np.may_share_memory(array, another) and np.shares_memory(array, another):
                raise ContractError(
                    f"{layer.name}: the parameters {name} and {other} overlap in memory: each must have its own"
                )
