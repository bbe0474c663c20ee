"""PyTorch: ``torch.autograd.gradcheck`` of a ``torch.autograd.Function``, slow (its default) and fast."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch.autograd.gradcheck import GradcheckError, gradcheck

from tests.benchmarks.referee.case import Answer, Case, Tool

torch.set_num_threads(1)
_COMPARE = sys.modules["torch.autograd.gradcheck"]._allclose_with_type_promotion


def check(case: Case, fast: bool) -> Answer:
    """GradcheckError accuses."""

    class Claimed(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            ctx.save_for_backward(x)
            return torch.tensor(case.fun(x.detach().numpy()), dtype=x.dtype)

        @staticmethod
        def backward(ctx: Any, upstream: torch.Tensor) -> torch.Tensor:
            (x,) = ctx.saved_tensors
            return upstream * torch.tensor(case.grad(x.detach().numpy()), dtype=x.dtype)

    x = torch.tensor(case.x, requires_grad=True)
    torch.manual_seed(0)
    scores = [0.0]

    def compared(a: torch.Tensor, n: torch.Tensor, rtol: float, atol: float) -> bool:
        gap = np.abs(a.detach().numpy() - n.detach().numpy())
        scores.append(float(np.max(gap / (atol + rtol * np.abs(n.detach().numpy())), initial=0.0)))
        return bool(_COMPARE(a, n, rtol, atol))

    # its own comparison, whose numbers are kept
    with patch.object(sys.modules["torch.autograd.gradcheck"], _COMPARE.__name__, compared):
        try:
            gradcheck(Claimed.apply, (x,), fast_mode=fast)
        except GradcheckError as error:
            return Answer(True, str(error), max(scores), size=True)
    return Answer(False, "True", max(scores))


RULE = "GradcheckError: |a - n| > 1e-5 + 1e-3 |n|"
TOOLS = (
    Tool("torch", "torch", RULE, partial(check, fast=False)),
    Tool("torch (fast)", "torch", f"{RULE} along a random direction", partial(check, fast=True)),
)
