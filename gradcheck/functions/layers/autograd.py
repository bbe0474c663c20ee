"""A Module of torch as a layer with forward and backward: what is checked are the gradients of its autograd."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import numpy as np

from gradcheck.functions.layers.leaves import is_nested, real_array, rebuilt
from gradcheck.functions.layers.tensors import Torch, backward, is_module, is_tensor, parameters_of, tensor_of


def followed(layer: object) -> object:
    """The layer itself, or of a Module of torch without ``backward`` an object with both methods."""
    return Followed(layer) if is_module(layer) and not hasattr(layer, "backward") else layer


class Followed:
    """A Module of torch with the methods of a layer.

    Arrays become tensors of the floating type of its parameters.  ``backward`` is that of autograd.
    """

    def __init__(self, module: Torch) -> None:
        self.module = module
        self.inputs: list[Torch] = []
        self.args: tuple[object, ...] = ()
        self.output: object = None
        forward = self._forward
        forward.__dict__["__signature__"] = inspect.signature(module.forward)
        self.forward = forward

    @property
    def _forward(self) -> Torch:
        def forward(*args: object, **kwargs: object) -> object:
            self.inputs, self.args = [], args
            moved = [self._followed(value) for value in args]
            self.output = self.module(*moved, **{name: self._followed(value) for name, value in kwargs.items()})
            return self.output

        return forward

    def _followed(self, value: object) -> object:
        """Tensors for the arrays of a value, whose gradients autograd keeps."""

        def made(array: np.ndarray, before: object) -> object:
            tensor = tensor_of(array.astype(self._dtype(array.dtype)), gradient=True)
            self.inputs.append(tensor)
            return tensor

        if not is_nested(value) and real_array(value) is None:
            return tensor_of(value) if isinstance(value, np.ndarray) else value
        return rebuilt(value, _arrays(value), made) if _has_arrays(value) else value

    def _dtype(self, own: np.dtype[np.floating]) -> np.dtype[Torch]:
        first = next(iter(parameters_of(self.module).values()), None)
        return own if first is None else first.detach().cpu().numpy().dtype

    def backward(self, dout: object) -> object:
        """The gradients of the input, by autograd; those of the parameters are kept in ``grad``."""
        backward(self.output, dout)
        gradients = iter([np.zeros(tuple(t.shape)) if t.grad is None else t.grad for t in self.inputs])
        found = [rebuilt(arg, gradients, lambda gradient, _: gradient) for arg in self.args]
        return found[0] if len(found) == 1 else found

    def named_parameters(self) -> list[tuple[str, Torch]]:
        """The parameters that autograd follows, by name."""
        return [(name, p) for name, p in parameters_of(self.module).items() if p.requires_grad]


def _has_arrays(value: object) -> bool:
    return isinstance(value, np.ndarray) or is_tensor(value) or is_nested(value)


def _arrays(value: object) -> Iterator[np.ndarray]:
    from gradcheck.functions.layers.leaves import leaves

    return (leaf.array for leaf in leaves(value, ""))
