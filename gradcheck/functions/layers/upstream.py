"""The upstream gradient with which a layer is checked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.layers.layer import Layer
from gradcheck.functions.layers.leaves import is_nested, leaves, real_array

Array = np.ndarray


def upstream_of(layer: Layer, outputs: Sequence[Array], given: object, seed: int) -> tuple[list[Array], str]:
    """The upstream gradient for each output, and what is to be said of it.

    It is that which is given; of one output that is a number that which backward has as its default, such as ``dout=1``, or 1
    where backward takes none; else one that is drawn.  Raises ContractError for one of another shape.
    """
    if given is not None:
        found = [leaf.array for leaf in leaves(given, "upstream")]
        if not is_nested(given) and real_array(given) is None:
            try:
                found = [np.asarray(given, dtype=outputs[0].dtype)]
            except (TypeError, ValueError):
                raise ContractError(
                    f"upstream is a {type(given).__name__}: it must be an array like the output"
                ) from None
        shapes, wanted = [a.shape for a in found], [a.shape for a in outputs]
        if shapes != wanted:
            raise ContractError(
                f"upstream has the shape {_listed(shapes)}, but the output of {layer.name} has {_listed(wanted)}"
            )
        return [np.array(u, dtype=a.dtype) for u, a in zip(found, outputs, strict=True)], ""
    size = sum(a.size for a in outputs)
    if not layer.calling.takes_upstream() and size > 1:
        raise ContractError(
            f"{layer.name}: backward takes no upstream gradient, but the output has the shape {outputs[0].shape}: let it"
            " take dout, or let forward return one number"
        )
    own = layer.calling.own_upstream()
    if own is not None and size == 1:
        what = f"takes {own[0]}={own[1]:g} as its default" if own[0] else "takes no upstream gradient"
        return [np.full_like(outputs[0], own[1])], f"backward {what}: it was checked with {own[1]:g}"
    rng = np.random.default_rng(seed)
    # no entry near 0, so that the mistake of no output is multiplied by almost 0
    drawn = [rng.uniform(0.5, 1.5, a.shape) * rng.choice([-1.0, 1.0], a.shape) for a in outputs]
    return [u.astype(a.dtype) for u, a in zip(drawn, outputs, strict=True)], ""


def _listed(shapes: Sequence[tuple[int, ...]]) -> str:
    return " and ".join(map(str, shapes)) or "of no array"
