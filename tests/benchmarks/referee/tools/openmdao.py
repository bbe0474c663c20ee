"""OpenMDAO: ``check_partials`` of an ``ExplicitComponent``, and ``assert_check_partials``."""

from __future__ import annotations

import os

os.environ.setdefault("OPENMDAO_REPORTS", "0")

import numpy as np
import openmdao.api as om
from openmdao.utils.assert_utils import assert_check_partials

from tests.benchmarks.referee.case import Answer, Array, Case, Tool

TOLERANCE = 1e-6


def check(case: Case) -> Answer:
    """``assert_check_partials`` with its defaults accuses."""

    class Claimed(om.ExplicitComponent):  # type: ignore[misc]
        def setup(self) -> None:
            self.add_input("x", np.asarray(case.x, float))
            self.add_output("y", 0.0)
            self.declare_partials("y", "x")

        def compute(self, inputs: dict[str, Array], outputs: dict[str, float]) -> None:
            outputs["y"] = float(case.fun(np.asarray(inputs["x"], case.x.dtype)))

        def compute_partials(self, inputs: dict[str, Array], partials: dict[tuple[str, str], Array]) -> None:
            partials["y", "x"] = np.asarray(case.grad(np.asarray(inputs["x"], case.x.dtype)), float)[None]

    problem = om.Problem(reports=False)
    problem.model.add_subsystem("f", Claimed())
    problem.setup()
    problem.run_model()
    data = problem.check_partials(out_stream=None)
    pair = data["f"]["y", "x"]
    # the finite differences are one array, or a list of one for each step
    numeric = np.asarray(pair["J_fd"], float).ravel()
    with np.errstate(all="ignore"):
        score = float(np.max(np.abs(case.claim - numeric) / (TOLERANCE * (1 + np.abs(numeric)))))
    try:
        assert_check_partials(data)
    except ValueError as error:
        return Answer(True, str(error), score, size=True)
    return Answer(False, "nothing", score)


RULE = "assert_check_partials: |a - n| > 1e-6 (1 + |n|)"
TOOLS = (Tool("openmdao", "openmdao", RULE, check),)
