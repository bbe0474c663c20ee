"""Charts of runs that hold little: one step, one error, no planted bug, nothing that could be judged."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("altair", reason="needs Altair: pip install 'gradcheck[charts]'")

from gradcheck.views.charts import cell_data, drawing, v_curve


def points(values: tuple[float, ...], steps: tuple[float, ...] = (1e-8,)) -> list[cell_data.VPoint]:
    return [
        {
            "row": "", "column": f"panel {k}", "scheme": "central", "eps": eps, "step": f"{eps:.0e}",
            "what": v_curve.ERROR, "value": value, "cells": 1,
        }
        for k, value in enumerate(values) for eps in steps
    ]  # fmt: skip


@pytest.mark.parametrize("values", [(1.0,), (3e-7,), (1.0, 1.0), (1.0, 1e-9), (1e-17,), (2.0,)])
@pytest.mark.parametrize("steps", [(1e-8,), (1e-8, 1e-2)])
def test_an_axis_of_errors_names_powers_of_ten_on_both_sides(
    values: tuple[float, ...], steps: tuple[float, ...]
) -> None:
    """Where all errors are one number, a logarithmic axis of the data alone would have all the decades of doubles."""
    svg = drawing.svg(v_curve.v_curve(points(values, steps)))
    steps_at = svg.index("relative to the gradient")
    named = [float(one) for one in re.findall(r">(\d[^<]*)</text>", svg[:steps_at])]
    assert len(named) >= 2
    assert named[0] < min(values)
    assert max(values) < named[-1]
    assert named[-1] / named[0] <= 1e3 * max(values) / min(values)
