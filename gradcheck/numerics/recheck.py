"""A second look at estimates of an opaque function.

The scale of an opaque function is a guess.  Before a gradient is called wrong, smaller steps must agree with the accusation.
Where a step was too large, one-sided formulas and smaller scales are tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from gradcheck.numerics.auto import auto
from gradcheck.numerics.bounds import fixed
from gradcheck.numerics.quotients import Estimate, Probe
from gradcheck.numerics.schemes import ONE_SIDED, Scheme
from gradcheck.numerics.steps import Step
from gradcheck.numerics.verdict import Judgement

Array = np.ndarray

# Scales that are tried are 1e-3, 1e-6 and 1e-9 times the guess.
SMALLER = 1e-3
POWERS = (1, 2, 3)


def confirmed(
    probe: Probe,
    scheme: Scheme,
    eps: Step | Array,
    index: Array,
    found: tuple[Estimate, Judgement],
    comparable: Array,
    verdicts: Callable[[Estimate], Judgement],
) -> tuple[Estimate, Judgement]:
    """The estimates and verdicts ``found``, corrected where smaller steps refute them or the step was too large.

    comparable : whether the analytic gradient is finite, bool.   verdicts : judges estimates of all weights ``index``.
    """
    estimate, judged = found
    doubtful = np.ones(len(index), dtype=bool)
    for power in POWERS:
        if isinstance(eps, str):
            for attempt in _retries(probe, scheme):
                again = (judged.reason == "overflow") | (judged.reason == "truncation")
                if not again.any():
                    break
                estimate = estimate.replaced(again, attempt(index[again]))
                judged = verdicts(estimate)
        accused = doubtful & (judged.verdict == "mismatch") & comparable
        if not accused.any():
            break
        smaller, misled = _at_smaller_scale(probe, scheme, eps, index[accused], power, estimate.where(accused))
        estimate = estimate.replaced(accused, smaller, misled)
        judged = verdicts(estimate)
        # an accusation that the smaller steps do not refute stands
        doubtful[accused] = misled
    return estimate, judged


def _at_smaller_scale(
    probe: Probe, scheme: Scheme, eps: Step | Array, index: Array, power: int, accusing: Estimate
) -> tuple[Estimate, Array]:
    """Estimates with scales ``SMALLER**power`` times the guess, and where they refute the accusing ones, bool (m,).

    Far above the scale of a function, differences at several steps can agree with each other by chance.
    """

    def at(p: int) -> Probe:
        return probe._replace(rounding=replace(probe.rounding, length=probe.rounding.length * SMALLER**p))

    larger = accusing if isinstance(eps, str) else auto(at(power - 1), scheme, index)
    smaller = auto(at(power), scheme, index)
    with np.errstate(all="ignore"):
        apart = np.abs(larger.value - smaller.value) > larger.bound + smaller.bound
        misled = apart | (np.isfinite(larger.bound) & ~np.isfinite(smaller.bound) & smaller.finite)
    return smaller if isinstance(eps, str) else fixed(at(power), scheme, eps, index), misled


def _retries(probe: Probe, scheme: Scheme) -> Iterator[Callable[[Array], Estimate]]:
    """What to try where a step was too large: one-sided formulas, for the edge of a domain, then smaller scales."""
    for formula in () if scheme.complex_valued else ONE_SIDED:
        yield partial(auto, probe, formula)
    for power in POWERS:
        smaller = replace(probe.rounding, length=probe.rounding.length * SMALLER**power)
        for formula in (scheme, *(() if scheme.complex_valued else ONE_SIDED)):
            yield partial(auto, probe._replace(rounding=smaller), formula)
