"""Tesseract: ``check-gradients`` of an API module with ``apply`` and ``vector_jacobian_product``."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from pydantic import BaseModel
from tesseract_core.runtime import Array, Differentiable, Float32, Float64
from tesseract_core.runtime.testing.finite_differences import GradientCheckResult, check_gradients

from tests.benchmarks.referee.case import Answer, Case, Tool

ATOL, RTOL = 1e-8, 0.1


def check(case: Case) -> Answer:
    """A failure accuses."""
    failures = [
        failure
        for _, found, _ in check_gradients(_api(case), {"inputs": {"x": case.x}}, seed=0, show_progress=False)
        for failure in found
    ]
    if not failures:
        return Answer(False, "passed")
    first = failures[0]
    said = "\n".join(
        f"Input path: '{f.in_path}', Output path: '{f.out_path}', Index: {f.idx}\n{f.exception or ''}\n"
        f"value: {f.grad_val}\nFinite difference value: {f.ref_val}"
        for f in failures[:10]
    )
    scores = [_score(f) for f in failures]
    return Answer(True, said, max(scores), int(first.idx[0]), size=first.exception is None)


def _score(failure: GradientCheckResult) -> float:
    if failure.grad_val is None or failure.ref_val is None:
        return float("inf")
    a, n = float(np.ravel(failure.grad_val)[0]), float(np.ravel(failure.ref_val)[0])
    return abs(a - n) / (ATOL + RTOL * abs(a))


def _api(case: Case) -> ModuleType:
    kind = Float32 if case.dtype == "float32" else Float64

    class InputSchema(BaseModel):
        x: Differentiable[Array[(case.x.size,), kind]]  # type: ignore[valid-type]

    class OutputSchema(BaseModel):
        y: Differentiable[kind]  # type: ignore[valid-type]

    def apply(inputs: Any) -> Any:
        return OutputSchema(y=np.asarray(case.fun(np.asarray(inputs.x)), case.x.dtype))

    def vector_jacobian_product(inputs: Any, vjp_inputs: set[str], vjp_outputs: set[str], cotangent_vector: Any) -> Any:
        return {"x": np.asarray(cotangent_vector["y"] * case.grad(np.asarray(inputs.x)), case.x.dtype)}

    api = ModuleType("tesseract_api")
    for made in (InputSchema, OutputSchema, apply, vector_jacobian_product):
        setattr(api, made.__name__, made)
    return api


RULE = "a failure: |a - n| > 1e-8 + 0.1 |a|, step 1e-4"
TOOLS = (Tool("tesseract", "tesseract-core", RULE, check),)
