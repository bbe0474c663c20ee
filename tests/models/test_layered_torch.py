"""The gradients of the models that are chains of layers beside those of torch's autograd, where torch is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from layer_instances import CASES as ALL
from layer_instances import Case
from test_layered import off

from gradcheck.models import Conv, Norm, OneLayer
from gradcheck.models.layers.dropout import drawn

CASES = [case for case in ALL if isinstance(case.model, Conv | Norm | OneLayer)]
torch = pytest.importorskip("torch")
F = torch.nn.functional


def dropped(model: Conv | Norm, x: Any, layer: int) -> Any:
    """The very mask of the model."""
    kept = drawn(tuple(x.shape), model.dropout, model.dropout_seed, layer)
    return x * torch.tensor(np.array(kept)) / (1 - model.dropout) if model.dropout else x


def normed(kind: str, model: Any, x: Any, params: dict[str, Any], tag: str) -> Any:
    gamma, beta = params[f"gamma{tag}"], params[f"beta{tag}"]
    if kind == "batch":
        return F.batch_norm(x, None, None, gamma, beta, training=True, eps=1e-5)
    if kind == "layer":
        return F.layer_norm(x, gamma.shape, gamma, beta, eps=1e-5)
    return F.group_norm(x, 2, gamma, beta, eps=1e-5)


def output(model: Any, params: dict[str, Any], x: Any) -> Any:
    if isinstance(model, Conv):
        for tag in map(str, range(1, len(model.filters) + 1)):
            x = F.conv2d(x, params[f"W{tag}"], params[f"b{tag}"], model.stride, model.padding, model.dilation)
            x = getattr(torch, model.activation)(x)
            if model.pool != "none":
                pool = F.max_pool2d if model.pool == "max" else F.avg_pool2d
                x = pool(x, model.pool_size, model.pool_stride or None)
        last = len(model.filters) + 1
        x = dropped(model, x.flatten(1), last)
        return x @ params[f"W{last}"] + params[f"b{last}"]
    if isinstance(model, OneLayer):
        x = x @ params["W1"] + params["b1"]
        x = normed(model.layer.partition("_")[0], model, x, params, "2")
        return x.flatten(1) @ params["W3"] + params["b3"]
    for tag in map(str, range(1, len(model.layers) + 1)):
        x = x @ params[f"W{tag}"]
        x = x + params[f"b{tag}"] if model.bias else x
        x = getattr(torch, model.activation)(normed(model.norm, model, x, params, tag))
        x = dropped(model, x, int(tag))
    last = len(model.layers) + 1
    return x @ params[f"W{last}"] + params[f"b{last}"]


def gradient(case: Case) -> np.ndarray:
    model, batch = case.model, case.batch()
    layout = model.layout(batch)
    params = {name: torch.tensor(value, requires_grad=True) for name, value in layout.split(case.theta()).items()}
    z, y = output(model, params, torch.tensor(batch.X)), torch.tensor(batch.y)
    if model.loss_name == "softmax":
        loss = F.cross_entropy(z, y)
    elif model.loss_name == "sigmoid":
        loss = F.binary_cross_entropy_with_logits(z, y, reduction="sum") / len(z)
    else:
        loss = ((z - y) ** 2).sum() / 2 / len(z)
    penalty = sum((value**2).sum() for name, value in params.items() if name[0] == "W")
    (loss + model.l2 / 2 * penalty).backward()
    return layout.join({name: value.grad.numpy() for name, value in params.items()})


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_agree_with_autograd(case: Case) -> None:
    exact = gradient(case)
    found = case.model.gradient(case.theta(), case.batch())
    # two backward passes of some ten layers, each rounded 1,000 times at most
    assert off(case, found, exact) < 1e-10
    assert off(case, found * (1 + 1e-9), exact) > 1e-10
