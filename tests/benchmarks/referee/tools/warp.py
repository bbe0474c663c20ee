"""NVIDIA Warp on the CPU: ``warp.autograd.gradcheck`` of a function whose backward pass is recorded on the tape."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout

import numpy as np
import warp as wp
from warp.autograd import gradcheck

from tests.benchmarks.referee.case import Answer, Case, Tool

ATOL, RTOL = 1e-3, 1e-2
wp.config.quiet = True
wp.init()


def check(case: Case) -> Answer:
    """ValueError accuses."""
    kind = wp.float32 if case.dtype == "float32" else wp.float64

    def f(x: wp.array) -> wp.array:
        value = np.asarray([case.fun(x.numpy())], case.x.dtype)
        y = wp.array(value, dtype=kind, requires_grad=True, device="cpu")

        def backward() -> None:
            x.grad = wp.array(x.grad.numpy() + y.grad.numpy()[0] * case.grad(x.numpy()), dtype=kind, device="cpu")

        if wp._src.context.runtime.tape is not None:
            wp._src.context.runtime.tape.record_func(backward, [x, y])
        return y

    x = wp.array(case.x, dtype=kind, requires_grad=True, device="cpu")
    with redirect_stdout(io.StringIO()) as said:
        try:
            gradcheck(f, inputs=[x])
        except ValueError as error:
            text = f"{said.getvalue()}\n{error}"
            place = re.search(r"at \(0, (\d+)\)", text)
            return Answer(True, text, _score(text), int(place[1]) if place else None, size=True)
    return Answer(False, said.getvalue(), _score(said.getvalue()))


def _score(said: str) -> float | None:
    """Of the entry that it prints: the largest absolute error, and both derivatives there."""
    row = re.search(r"(\S+) at \(0, \d+\)\s*\|\s*\S+\s*\|\s*(\S+)", said)
    if row is None:
        return None
    score = float(row[1]) / (ATOL + RTOL * abs(float(row[2])))
    return float("inf") if np.isnan(score) else score


RULE = "ValueError: |a - n| > 1e-3 + 1e-2 |n|, step 1e-4"
TOOLS = (Tool("warp", "warp-lang", RULE, check),)
