"""The kind of mistake that explains a wrong gradient.

For each weight are known the analytic gradient a, the numeric gradient n, theta, and the bound B within which n is the true
derivative.  A hypothesis says how a follows from the true gradient, for instance a = c n.  It holds only if it explains
*every* judged weight within its bound (c B for a factor c).  It must also have been able to fail.  So the digits are counted to
which the wrong weights agree with it; with k fitted unknowns the k best weights do not count.  Below ``fits.DECADES`` digits
nothing is claimed.  Hypotheses are tried from the simplest to the widest.

Names tell what parameters are: ``b``, ``b1``, ``bias`` … are biases.  Where every name ends in a number, as in ``W2``, that
number orders the layers from the input up.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from gradcheck.numerics.diagnosis import (
    above,
    factors,
    invariances,
    orders,
    patterns,
    penalties,
    ratios,
    reach,
    symmetry,
    zeros,
)
from gradcheck.numerics.diagnosis import wording as say
from gradcheck.numerics.diagnosis.evidence import Claim, Evidence, gather
from gradcheck.numerics.diagnosis.kinds import Diagnosis
from gradcheck.numerics.verdict import Judgement

Array = np.ndarray

# From the simplest to the widest; the last one always holds.
HYPOTHESES: tuple[Callable[[Evidence], Diagnosis | None], ...] = (
    patterns.not_finite,
    reach.causality,
    reach.ends,
    reach.truncated,
    zeros.zeros,
    reach.padding,
    zeros.mask,
    factors.precision,
    factors.single_weight,
    ratios.alike,
    factors.constant_factor,
    ratios.bent,
    penalties.tangent,
    penalties.l2,
    symmetry.one_triangle,
    penalties.l2_part,
    factors.constant_factor_of_data,
    orders.transposed,
    factors.factors,
    ratios.repeated,
    patterns.clipped,
    orders.flipped,
    orders.blocks,
    orders.permutation,
    orders.shifted,
    ratios.of_each_slice,
    above.above,
    invariances.no_slope,
    invariances.shift,
    invariances.scale,
    reach.causality_besides,
    reach.tied,
    reach.padding_besides,
    factors.likely_factor,
    patterns.other_residuals,
    patterns.biases_alone,
    patterns.activation_derivative,
    patterns.rows,
    patterns.entries,
    patterns.scattered,
    patterns.unknown,
)


def diagnose(problem: Claim, numeric: Array, judged: Judgement, index: Array | None = None) -> Diagnosis:
    """The kind of mistake that explains a gradient judged wrong.

    numeric : (m,) the numeric gradient of the weights that were checked.   judged : their verdicts.
    index : (m,) flat indices of these weights; None where all of theta was checked.
    No numbers make it raise or warn.
    """
    if "mismatch" not in judged.verdict:
        return Diagnosis(None, None)
    with np.errstate(all="ignore"):
        evidence = gather(problem, numeric, judged, index)
        for hypothesis in HYPOTHESES:
            found = hypothesis(evidence)
            if found is not None:
                return Diagnosis(found.kind, say.shorten(re.sub("^the ", "The ", found.words or "")))
    raise AssertionError("the last hypothesis always holds")
