"""Modules of PyTorch as layers: their autograd is checked, and they are left as they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradcheck import ContractError, check_layer, check_layers

torch = pytest.importorskip("torch")


def x_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape)


def modules() -> dict[str, tuple[Any, Any]]:
    torch.manual_seed(0)
    nn = torch.nn
    return {
        "linear": (nn.Linear(3, 2).double(), x_of(4, 3)),
        "sequential": (nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double(), x_of(4, 3)),
        "batch norm": (nn.BatchNorm1d(3).double(), x_of(6, 3)),
        "dropout": (nn.Dropout(0.5), x_of(4, 5)),
        "lstm": (nn.LSTM(3, 2).double(), x_of(4, 2, 3)),
        "lstm with a state": (nn.LSTM(3, 2).double(), (x_of(4, 2, 3), (x_of(1, 2, 2), x_of(1, 2, 2)))),
        "embedding": (nn.Embedding(5, 2).double(), np.array([[1, 1, 3]])),
        "two inputs": (nn.Bilinear(2, 3, 2).double(), (x_of(4, 2), x_of(4, 3))),
        "a tensor": (nn.Linear(3, 2).double(), torch.tensor(x_of(4, 3))),
    }


@pytest.mark.parametrize("name", modules())
def test_a_module_matches_in_its_input_and_in_every_parameter(name: str) -> None:
    module, x = modules()[name]
    r = check_layer(module, x)
    assert r.ok, str(r)
    assert {n for n, _ in module.named_parameters()} <= set(r.table["param"])


def test_a_module_in_float32_matches_where_larger_errors_would_be_seen() -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    r = check_layer(module, torch.randn(5, 3), match_at=5e-2)
    assert r.ok, str(r)
    assert r.dtype == "float32"


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        (x,) = ctx.saved_tensors
        return upstream * x  # the factor 2 is missing


class Squares(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        return Square.apply(x)


def test_a_function_with_a_wrong_backward_is_found_alone_and_in_a_chain() -> None:
    assert check_layer(Squares(), x_of(4)).diagnosis_kind == "constant_factor"
    torch.manual_seed(0)
    net = [torch.nn.Linear(3, 4).double(), Squares(), torch.nn.Linear(4, 1).double()]
    r = check_layers(net, x_of(5, 3))
    assert r.first_wrong == (1, net[1], "input")


def test_a_module_is_left_as_it_was() -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 4), torch.nn.Dropout(0.5)).double()
    module(torch.tensor(x_of(5, 3))).sum().backward()
    before = {
        n: (id(p), p.detach().numpy().tobytes(), id(p.grad), p.grad.numpy().tobytes())
        for n, p in module.named_parameters()
    }
    buffers = {n: b.numpy().tobytes() for n, b in module.named_buffers()}
    drawn = torch.get_rng_state().numpy().tobytes()
    assert check_layer(module, x_of(5, 3)).ok
    after = {
        n: (id(p), p.detach().numpy().tobytes(), id(p.grad), p.grad.numpy().tobytes())
        for n, p in module.named_parameters()
    }
    assert after == before
    assert {n: b.numpy().tobytes() for n, b in module.named_buffers()} == buffers
    assert torch.get_rng_state().numpy().tobytes() == drawn


def test_an_error_of_torch_is_one_line() -> None:
    with pytest.raises(ContractError, match=r"Linear: forward raises RuntimeError: .*shapes") as caught:
        check_layer(torch.nn.Linear(3, 2).double(), x_of(4, 5))
    assert "\n" not in str(caught.value)
