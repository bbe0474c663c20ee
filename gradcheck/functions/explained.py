"""Exceptions of somebody's function that come from how it was passed, in words that say what to do."""

from __future__ import annotations

from textwrap import shorten

from gradcheck.errors import ContractError, one_line
from gradcheck.functions.trees.emitted import Emitted

# What PyTorch says of a tensor that it was not told to follow.
UNTRACKED = "does not require grad"
# Characters of an exception that are shown.
SHOWN = 80


def explained(error: Exception, emitted: Emitted | None) -> ContractError | None:
    """What is behind an exception of ``jac``; None where that is its own affair.

    emitted : the structure of the outputs, of which the upstream gradient was made; None where there is none.
    """
    said = f"jac raises {type(error).__name__}: {shorten(one_line(error), SHOWN, placeholder=' …')}"
    if isinstance(error, RuntimeError) and UNTRACKED in str(error):
        return ContractError(
            f"{said}: pass x0 with requires_grad, x0.requires_grad_(), or let jac call x.requires_grad_()"
        )
    if emitted is not None and emitted.root is not None and not emitted.single:
        return ContractError(
            f"{said}: dout has the structure of fun's output, {len(emitted.parts)} arrays; where fun returns (out, cache),"
            " pass its output alone, lambda x: forward(x)[0], or use check_layer"
        )
    return None
