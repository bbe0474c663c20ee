"""Gradients of the models of sequences against torch's autograd: its own cells, attention and norm."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_sequences import posed

from gradcheck.experiment.sources.sequences import Sequences
from gradcheck.models import Attention, RecurrentNet
from gradcheck.models.batch import Batch
from gradcheck.models.sequence import TokenModel

torch = pytest.importorskip("torch")
T = Any


def recurrence(model: RecurrentNet, p: dict[str, T], x: T, lengths: T) -> T:
    """torch's own rnn, gru and lstm on packed sequences."""
    cls = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[model.cell]
    for k in range(1, model.depth + 1):
        net = cls(x.shape[-1], model.units, batch_first=True, dtype=torch.float64)
        # its bias of the state's share is 0
        named = {
            "weight_ih_l0": p[f"Wx{k}"].T,
            "weight_hh_l0": p[f"Wh{k}"].T,
            "bias_ih_l0": p[f"b{k}"],
            "bias_hh_l0": torch.zeros_like(p[f"b{k}"]),
        }
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        out = torch.func.functional_call(net, named, (packed,))[0]
        x, _ = torch.nn.utils.rnn.pad_packed_sequence(out, batch_first=True, total_length=x.shape[1])
    return x @ p[f"W{model.depth + 1}"] + p[f"b{model.depth + 1}"]


def transformer(model: Attention, p: dict[str, T], x: T, real: T) -> T:
    steps, d = x.shape[1:]
    x = x + p["P"]
    seen = torch.tril(torch.ones(steps, steps, dtype=bool)) if model.causal else torch.ones(steps, steps, dtype=bool)
    seen = seen[None, None] & real[:, None, None, :]
    for one in range(1, 3 * model.depth + 1, 3):
        y = torch.nn.functional.layer_norm(x, (d,), p[f"gamma{one}"], p[f"beta{one}"])
        q, k, v = (
            (y @ p[f"W{name}{one}"]).unflatten(-1, (model.heads, d // model.heads)).transpose(1, 2) for name in "qkv"
        )
        mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=seen).transpose(1, 2).flatten(2)
        x = x + mixed @ p[f"Wo{one}"]
        y = torch.nn.functional.layer_norm(x, (d,), p[f"gamma{one + 1}"], p[f"beta{one + 1}"])
        within = getattr(torch, model.activation)(y @ p[f"W{one + 1}"] + p[f"b{one + 1}"])
        x = x + within @ p[f"W{one + 2}"] + p[f"b{one + 2}"]
    top = 3 * model.depth + 1
    return x @ (p["E"].T if model.tied else p[f"W{top}"]) + p[f"b{top}"]


def by_autograd(model: TokenModel, theta: np.ndarray, batch: Batch) -> np.ndarray:
    flat = torch.tensor(theta, requires_grad=True)
    layout = model.layout(batch)
    p = {
        name: flat[layout.slices[name]].reshape(shape) for name, shape in zip(layout.names, layout.shapes, strict=True)
    }
    tokens = torch.tensor(batch.X.astype(int))
    real = tokens != 0
    x = torch.nn.functional.embedding(tokens, p["E"]) * real[..., None]
    z = recurrence(model, p, x, real.sum(1)) if isinstance(model, RecurrentNet) else transformer(model, p, x, real)
    y = torch.tensor(batch.y)
    if model.output == "last":
        z = z[torch.arange(len(z)), real.sum(1) - 1]
    else:
        z, y = z[real], y[real]
    losses = {
        "softmax": lambda: torch.nn.functional.cross_entropy(z, y.long()),
        "sigmoid": lambda: torch.nn.functional.binary_cross_entropy_with_logits(z, y, reduction="sum") / len(z),
        "squared_error": lambda: ((z - y) ** 2).sum() / 2 / len(z),
    }
    penalty = sum((v**2).sum() for name, v in p.items() if name.startswith("W"))
    (gradient,) = torch.autograd.grad(losses[model.loss_name]() + model.l2 / 2 * penalty, flat)
    return np.asarray(gradient.numpy())


NETS = [
    *(RecurrentNet(cell=cell, depth=2) for cell in ("rnn", "gru", "lstm")),
    *(Attention(heads=heads, causal=causal, depth=2) for heads in (1, 2) for causal in (True, False)),
]
CASES = [
    replace(net, output=out, loss_name=loss, l2=0.1)
    for net in NETS
    for out, loss in (("last", "softmax"), ("all", "sigmoid"), ("all", "squared_error"), ("all", "softmax"))
]
CASES += [Attention(tied=True, output=out) for out in ("last", "all")]


@pytest.mark.parametrize("model", CASES, ids=str)
def test_the_gradient_is_that_of_autograd(model: TokenModel) -> None:
    """To 1e-10 of the largest entry of each parameter."""
    seed = CASES.index(model)
    theta, batch = posed(model, Sequences(n=7, length=6, seed=seed, outputs=2), seed)
    split = model.layout(batch).split
    found, expected = split(model.gradient(theta, batch)), split(by_autograd(model, theta, batch))
    for name, value in expected.items():
        assert np.abs(found[name] - value).max() <= 1e-10 * np.abs(value).max(), name
