"""The check of a large gradient: slopes along random directions, instead of one difference for each weight.

Along a direction v a loss of any number of weights is a function of one number, phi(t) = loss(theta + t v), whose slope
at 0 is v . g.  No component of v vanishes, so an error e of the gradient moves v . g by v . e, which is 0 only by a
coincidence of real numbers: one check sees an error in any entry, as long as |v_j e_j| is above its bound.  The bound
is that of every other check; of its parts only the analytic slope's rounding is new, whose deviation is
sqrt(sum (v_j s_j)**2) for entries with the deviations s_j, whatever their correlation, because the signs of v are
independent.

Where a slope is wrong, `search` finds the wrong entries.  They are then judged like every weight, one by one.
"""

from __future__ import annotations

import numpy as np

from gradcheck.functions.budget import DIRECTION, entries_taken
from gradcheck.functions.calls import Calls
from gradcheck.functions.directions.entries import Entries
from gradcheck.functions.directions.outcome import DirectionalOutcome
from gradcheck.functions.directions.parameters import parameter
from gradcheck.functions.directions.search import LOCATED, explain
from gradcheck.functions.directions.slopes import Slope, direction, parts, slope_along
from gradcheck.functions.settings import Settings, told
from gradcheck.numerics.diagnosis.diagnose import diagnose
from gradcheck.numerics.problem import Problem
from gradcheck.numerics.weight_columns import judgement_of


def check_directions(problem: Problem, calls: Calls, asked: Settings, dtype: str) -> DirectionalOutcome:
    """Check the gradient of a large problem along random directions, and entry by entry where they say it is wrong.

    One direction moves all weights, and one more the weights of each parameter (all again, where there is one parameter).
    ``entries_taken`` entries are checked one by one.  The search for a wrong entry takes 4 log2(n) losses beside the entry.
    Of directions and entries as many are taken as ``max_nfev`` allows, one direction in any case.

    calls : those of the function so far, and its limits: at a limit a direction points inwards.
    asked : its step is the length of the whole step along a direction, and the step of an entry.
    dtype : that of x0, for the outcome.
    """
    rng = np.random.default_rng(asked.seed)
    entries = Entries(problem, calls, asked)
    gradient = problem.analytic.astype(np.float64)
    unknown = np.flatnonzero(~np.isfinite(gradient))
    # an entry that is not finite is wrong without any check, and would make every slope NaN
    work = np.where(np.isfinite(gradient), gradient, 0.0)
    explained = len(unknown) <= LOCATED
    limits = None if calls.low is None or calls.high is None else (calls.low, calls.high)
    with np.errstate(all="ignore"):
        entries.judge(unknown[:LOCATED])
        slopes: list[Slope] = []
        for name, where in parts(problem):
            if slopes and calls.left is not None and calls.left < DIRECTION:
                break
            v = direction(problem, where, asked.step, unknown, limits, rng)
            slopes.append(slope_along(problem, calls, name, where, v, work, asked))
        entries.judge(rng.choice(len(gradient), entries_taken(len(gradient)), replace=False))
        for slope in sorted(slopes, key=lambda s: len(s.v)):
            explained &= explain(problem, slope, asked.formula, work, entries, rng)
        table = entries.table()
        diagnosis = diagnose(problem, table["numeric"], judgement_of(table), table["flat_index"])
    return DirectionalOutcome(
        table=table,
        layout=problem.layout,
        n_weights=problem.theta.size,
        diagnosis=diagnosis.words,
        diagnosis_kind=diagnosis.kind,
        dtype=dtype,
        directions=tuple(slopes),
        parameters=tuple(parameter(problem, name, slopes, gradient, asked.against) for name in problem.layout.names),
        explained=explained,
        **told(asked, calls),
    )
