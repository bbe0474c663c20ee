"""Arrays of torch, without importing it: only what somebody who passes a tensor or a Module has imported is used."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

Array = np.ndarray
# A tensor, a Module, or torch itself: without importing it nobody can say more.
Torch: TypeAlias = Any


def _torch() -> Torch:
    """The module torch if somebody has imported it, else None."""
    return sys.modules.get("torch")


def is_tensor(value: object) -> bool:
    """Whether this is a tensor of torch."""
    torch = _torch()
    return torch is not None and isinstance(value, torch.Tensor)


def is_module(value: object) -> bool:
    """Whether this is a Module of torch, whose backward pass is that of autograd."""
    torch = _torch()
    return torch is not None and isinstance(value, torch.nn.Module)


def array_of(value: Torch) -> Array:
    """A tensor as an array, which shares its memory where it can."""
    found: Array = value.detach().cpu().numpy()
    return found


def tensor_of(array: Array | np.generic, gradient: bool = False) -> Torch:
    """A tensor with a copy of the array; with ``gradient`` autograd follows it."""
    return _torch().tensor(array, requires_grad=gradient)


def backward(output: object, dout: object) -> None:
    """Let autograd go back from the output, or from all tensors in it, with these upstream gradients."""
    pairs = [(t, d) for t, d in zip(_tensors(output), _tensors(dout), strict=False) if t.requires_grad]
    _torch().autograd.backward([t for t, _ in pairs], [d for _, d in pairs])


def _tensors(value: Torch) -> list[Torch]:
    if is_tensor(value):
        return [value] if value.is_floating_point() else []
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [tensor for part in parts for tensor in _tensors(part)]


def parameters_of(module: Torch) -> dict[str, Torch]:
    """The parameters of a Module by name; each name once."""
    return dict(module.named_parameters())


def kept(value: Torch) -> Callable[[], None] | None:
    """What puts a tensor's numbers and its gradient back; None for what is no tensor."""
    if not is_tensor(value):
        return None
    saved, gradient = value.detach().clone(), value.grad if value.is_leaf else None
    numbers = None if gradient is None else gradient.detach().clone()

    def put_back() -> None:
        with _torch().no_grad():
            value.detach().copy_(saved)
            if value.is_leaf:
                value.grad = gradient
            if gradient is not None and numbers is not None:
                gradient.detach().copy_(numbers)

    return put_back


def random_state() -> tuple[Callable[[], object], Callable[[], None]] | None:
    """What reads torch's global random state, and what puts it back to what it is now; None without torch."""
    torch = _torch()
    if torch is None:
        return None
    state = torch.get_rng_state()
    return lambda: torch.get_rng_state().tolist(), lambda: torch.set_rng_state(state)
