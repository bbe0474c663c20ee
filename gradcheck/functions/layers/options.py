"""What else a check of layers may be asked: the settings of ``check_gradient`` that have a meaning for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from gradcheck.functions.domain import Bounds
from gradcheck.functions.starts import Given
from gradcheck.numerics.schemes import SchemeName
from gradcheck.numerics.steps import Step


class Options(TypedDict, total=False):
    """Settings of ``check_gradient``, with the same meaning and defaults."""

    eps: Step
    scheme: SchemeName
    match_at: float
    accept: float
    min_judged: float
    bounds: Bounds | None
    sample: int | None
    points: Given | None
    max_nfev: int | None
    progress: bool
    seed: int


# Settings of check_gradient that have no meaning for a layer, and why.
REFUSED = {
    "vjp": "a layer's backward is always a product with an upstream gradient; upstream= gives it",
    "inplace": "a layer's own arrays are always changed in place and restored",
    "workers": "a layer keeps a state between its calls, so that they cannot run side by side",
    "vectorized": "a layer is called at one point at a time",
    "names": "the names are those of the layer's parameters",
    "convention": "parameters must be real",
    "kwargs": "it is an argument of its own",
}


def require_options(which: str, options: Mapping[str, object]) -> None:
    """Raise ValueError for a setting that has no meaning here.   which : the function that was called."""
    for name in options:
        if name in REFUSED:
            raise ValueError(f"{which}({name}=…): {REFUSED[name]}")
        if name not in Options.__annotations__:
            raise ValueError(
                f"{which}({name}=…): there is no such setting; settings are {', '.join(Options.__annotations__)}"
            )
    scheme = options.get("scheme")
    if scheme == "complex_step":
        raise ValueError(
            f"{which}(scheme='complex_step'): a layer's arrays are real, complex numbers do not fit into them"
        )
