"""Tensors of PyTorch as leaves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from gradcheck.errors import ContractError
from gradcheck.functions.trees.foreign import numbers as numbers_of
from gradcheck.functions.trees.kinds import Labels, Read
from gradcheck.functions.trees.live import repeats_itself

Array = np.ndarray

# What NumPy has no dtype for, and what has too few digits for a difference to mean anything.
SHORT = (torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Tensor:
    """A tensor, with the device and ``requires_grad`` of the caller's."""

    device: torch.device
    requires_grad: bool
    parameter: bool
    labels: Labels = ()
    stacks: bool = True

    def make(self, numbers: Array) -> object:
        made = torch.from_numpy(np.asarray(numbers)).to(self.device)
        if self.parameter:
            return torch.nn.Parameter(made, self.requires_grad)
        return made.requires_grad_(self.requires_grad)

    def numbers(self, value: object) -> object:
        return numbers_of(value)


class LiveTensor:
    """The memory of a tensor, and its ``grad``."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self._tensor = tensor
        self._saved = tensor.detach().clone(memory_format=torch.preserve_format)
        self._grad = tensor.grad if tensor.is_leaf else None
        self._grad_saved = None if self._grad is None else self._grad.detach().clone()

    def require_writable(self) -> None:
        if self._tensor.is_inference():
            raise ValueError("was made in inference mode: pass its clone")
        memory = self.memory()
        if memory is not None and repeats_itself(memory):
            raise ValueError("has entries that share their memory: pass the tensor that it is a view of")

    def write(self, numbers: Array) -> None:
        # `data` changes without a trace in the graph of autograd
        self._tensor.data.copy_(torch.from_numpy(numbers))

    def read(self) -> Array:
        found = numbers(self._tensor)
        assert isinstance(found, np.ndarray)
        return found

    def memory(self) -> Array | None:
        return self.read() if self._tensor.device.type == "cpu" else None

    def accumulates(self, gradient: object) -> bool:
        return self._tensor.is_leaf and gradient is self._tensor.grad

    def restore(self) -> None:
        self._tensor.data.copy_(self._saved)
        if self._tensor.is_leaf:
            if self._grad is not None and self._grad_saved is not None:
                self._grad.data.copy_(self._grad_saved)
            self._tensor.grad = self._grad


def read(value: torch.Tensor, what: str) -> Read | None:
    """A tensor as a leaf; None for another object of PyTorch, and for a tensor of bool."""
    if not isinstance(value, torch.Tensor):
        return None
    if value.dtype in SHORT:
        raise ContractError(f"{what} has dtype {value.dtype}: must be float32 or float64; check it as W.float()")
    if value.is_sparse or value.layout != torch.strided:
        raise ContractError(f"{what} is a sparse tensor: pass W.to_dense()")
    wants = value.requires_grad and value.is_leaf
    kind = Tensor(value.device, wants, isinstance(value, torch.nn.Parameter))
    return Read(kind, np.asarray(numbers(value)), partial(LiveTensor, value), fixed=True)


def numbers(value: torch.Tensor) -> object:
    """A tensor, also one on another device or in a graph, as an array over the same memory where it can be."""
    if not isinstance(value, torch.Tensor):
        return value
    if value.layout != torch.strided:
        value = value.to_dense()
    if value.dtype in SHORT:
        value = value.float()
    return value.detach().cpu().resolve_conj().resolve_neg().numpy()
