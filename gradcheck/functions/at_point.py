"""The check of a function and its gradient at one point, and at several."""

from __future__ import annotations

import numpy as np

from gradcheck.functions.budget import LARGE, reaches
from gradcheck.functions.calls import Calls
from gradcheck.functions.contract import Held, end, hold_to_contract
from gradcheck.functions.directions.check import check_directions
from gradcheck.functions.domain import require_complex_safe
from gradcheck.functions.jacobian import check_outputs
from gradcheck.functions.outcome import Outcome
from gradcheck.functions.problems import problems
from gradcheck.functions.settings import Settings, sampled, told
from gradcheck.functions.several import together
from gradcheck.functions.starts import around
from gradcheck.functions.surroundings import quiet

Array = np.ndarray


def check_points(calls: Calls, theta: Array, wanted: int | list[Array], asked: Settings) -> Outcome:
    """Check the gradient at theta, and at points around it or at those that are given; what is left is shared by all.

    wanted : how many points, or the points.
    Raises ContractError where the functions do not keep their contract.
    """
    rng = np.random.default_rng(asked.seed)
    count = wanted if isinstance(wanted, int) else len(wanted)
    outcomes: list[Outcome] = []
    first: Held | None = None
    for k in range(count):
        calls.share(count - k)
        if isinstance(wanted, list):
            point = wanted[k]
        else:
            with quiet():
                point = around(calls, theta, rng) if k else theta
        outcome, held = check_at(calls, point, asked, f"points[{k}]" if isinstance(wanted, list) else "x0")
        outcomes.append(outcome)
        first = first or held
    assert first is not None
    with quiet():
        end(calls, first, theta, asked.seed)
    return together(outcomes, calls)


def check_at(calls: Calls, theta: Array, asked: Settings, name: str = "x0") -> tuple[Outcome, Held]:
    """Check the gradient at theta, one weight after the other, or a large one along directions.

    name : the point's name in messages.

    Raises ContractError where the functions do not keep their contract at theta.
    """
    formula = asked.formula
    held = hold_to_contract(calls, theta, asked.seed, asked.vjp, widen=not formula.complex_valued, name=name)
    with quiet():
        return _measured(calls, theta, held, asked), held


def _measured(calls: Calls, theta: Array, held: Held, asked: Settings) -> Outcome:
    formula = asked.formula
    if formula.complex_valued:
        require_complex_safe(calls, theta, asked.seed)
    posed = problems(calls, held.theta, held.value, held.gradient, asked.seed)
    dtype = "longdouble" if theta.dtype == np.longdouble and theta.dtype != np.float64 else str(theta.dtype)
    n = theta.size
    if asked.sample is None and len(posed) == 1 and (n > LARGE or (n > 1 and not reaches(calls, n))):
        return check_directions(posed[0], calls, asked, dtype)
    index = sampled(n, asked.sample, asked.seed)
    if not reaches(calls, len(index)):
        # those that the budget reaches are a sample of all
        index = np.random.default_rng(asked.seed).permutation(index)
    table, diagnosis, layout = check_outputs(posed, calls, asked, index)
    return Outcome(
        table=table,
        layout=layout,
        n_weights=layout.size,
        diagnosis=diagnosis.words,
        diagnosis_kind=diagnosis.kind,
        dtype=dtype,
        **told(asked, calls),
    )
