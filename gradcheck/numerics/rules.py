"""What other tools' rules would have said of a gradient, written from their published definitions.

A rule takes the analytic gradient a, the numeric gradient n and the precision of the computation.  It accuses or it does
not.  It sees our numeric gradient, whatever step and scheme made it: the rule is compared, not the tool's own finite
differences.  All comparisons are made in float64.

Common to all rules:

* Entries are compared one by one and one bad entry suffices, except in the rules on norms.
* NaN or inf in either gradient accuses.  Most of the tools raise or fail then; the course exercise, which asks
  ``difference > 2e-7``, and OpenMDAO would let NaN pass.
* No entries, no accusation.
* At the limit itself each rule does what the tool does: ``<`` and ``<=`` are the tool's own.
* A dtype the tool does not know (longdouble) is held to the tool's float64 tolerance, its nearest and strictest.

JAX and autograd do not compare entries: they draw one random direction v ~ N(0, I) and compare v.a with v.n (in
backward mode both multiplied by one random cotangent).  Here their tolerances are applied along each coordinate axis,
v = e_i, with cotangent 1: the same test, weight after weight.  Along a random direction the difference
v.(a - n) has standard deviation ||a - n||_2, and the relative part of the tolerance is a multiple of |v.n|, of order
||n||_2.  So an error in one entry of many drowns in the projection (the entrywise form accuses more often), while
errors too small to be seen in any entry add up over m entries as sqrt(m) (the entrywise form accuses less often):
neither form implies the other.  For a single weight they differ by the random factor in the absolute part of the
tolerance alone.

``scipy.optimize.check_grad`` has no rule here: it returns ||a - n||_2 and its documentation names no threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from types import MappingProxyType

import numpy as np

from gradcheck.numerics.compare import absolute_error, norms, of_norms, relative_error

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Gradients:
    """What a rule is told: the analytic and the numeric gradient, (m,) float64 each, and the computation's dtype by name.

    ``numeric`` may be (s, m): s numeric gradients of one loss, which are judged separately.  The figures of a whole gradient
    then have the shape (s,), else ().  What several rules compare is computed once.
    """

    analytic: Array
    numeric: Array
    dtype: str

    @cached_property
    def finite(self) -> Array:
        """Whether every entry of both gradients is finite."""
        return np.isfinite(self.analytic).all(axis=-1) & np.isfinite(self.numeric).all(axis=-1)

    @cached_property
    def difference(self) -> Array:
        """|a - n|."""
        return absolute_error(self.analytic, self.numeric)

    @cached_property
    def relative(self) -> Array:
        """|a - n| / max(1e-8, |a| + |n|)."""
        return relative_error(self.analytic, self.numeric)

    @cached_property
    def size(self) -> Array:
        """|n|."""
        return np.abs(self.numeric)

    @cached_property
    def larger(self) -> Array:
        """max(|a|, |n|)."""
        return np.maximum(np.abs(self.analytic), self.size)

    @cached_property
    def over_larger(self) -> Array:
        """|a - n| / max(|a|, |n|), 0 where both are 0."""
        return np.divide(self.difference, self.larger, out=np.zeros_like(self.difference), where=self.larger > 0)

    @cached_property
    def largest_relative(self) -> Array:
        """The largest ``relative``, 0 of none; NaN where one is, which no limit holds."""
        return self.relative.max(axis=-1, initial=0.0)

    @cached_property
    def largest_over_larger(self) -> Array:
        """The largest ``over_larger``."""
        return self.over_larger.max(axis=-1, initial=0.0)

    @cached_property
    def lengths(self) -> tuple[Array, Array, Array]:
        """||a - n||_2, ||a||_2, ||n||_2."""
        return norms(self.difference), norms(self.analytic), norms(self.numeric)

    @cached_property
    def norms(self) -> Array:
        """||a - n||_2 / (||a||_2 + ||n||_2)."""
        return of_norms(*self.lengths)


@dataclass(frozen=True)
class Rule:
    """A published rule.

    name : an identifier; the column of ``cells`` is ``rule_<name>``.
    words : when it accuses, in one line.
    source : where it is published.
    entrywise : whether it compares entries one by one; else a figure of the whole gradient.
    within : Gradients -> bools, is each comparison within its limit?  of finite gradients only.
    """

    name: str
    words: str
    source: str
    within: Callable[[Gradients], Array]
    entrywise: bool = True

    def accuses(self, gradients: Gradients) -> bool | list[bool]:
        """Whether this rule calls the analytic gradient wrong: one bool, or one for each numeric gradient of several."""
        answer: bool | list[bool] = _accused(gradients, [self])[0].tolist()
        return answer


# JAX, jax/_src/public_test_util.py, default_gradient_tolerance: atol and rtol alike
JAX_TOLERANCE: Mapping[str, float] = MappingProxyType({"float16": 1e-2, "float32": 2e-3, "float64": 1e-5})
# PyTensor, pytensor/gradient.py, verify_grad, _type_tol: abs_tol and rel_tol alike
PYTENSOR_TOLERANCE: Mapping[str, float] = MappingProxyType({"float16": 5e-2, "float32": 1e-2, "float64": 1e-4})


def _tolerance(by_dtype: Mapping[str, float], dtype: str) -> float:
    return by_dtype.get(dtype, by_dtype["float64"])


def _textbook(gradients: Gradients, limit: float) -> Array:
    """|a - n| / max(1e-8, |a| + |n|) <= limit."""
    return gradients.largest_relative <= limit


def _norms(gradients: Gradients, limit: float) -> Array:
    """||a - n||_2 / (||a||_2 + ||n||_2) <= limit: the stored ``norm_difference``; NaN is not within."""
    return gradients.norms <= limit


def _cs231n(gradients: Gradients, limit: float) -> Array:
    """|a - n| / max(|a|, |n|) <= limit; two zeros pass."""
    return gradients.largest_over_larger <= limit


def _allclose(gradients: Gradients, atol: float, rtol: float) -> Array:
    """|a - n| <= atol + rtol |n|, not symmetric: the numeric gradient is the reference, as in allclose(a, n)."""
    return gradients.difference <= atol + rtol * gradients.size


def _jax(gradients: Gradients) -> Array:
    """|a - n| <= tol + tol |n| with the tolerance of the dtype, entry by entry."""
    tol = _tolerance(JAX_TOLERANCE, gradients.dtype)
    return _allclose(gradients, tol, tol)


def _autograd(gradients: Gradients, tol: float, rtol: float) -> Array:
    """|a - n| < tol or |a - n| / |a + n| < rtol, entry by entry."""
    relative = gradients.difference / np.abs(gradients.analytic + gradients.numeric)
    return (gradients.difference < tol) | (relative < rtol)


def _scipy(gradients: Gradients, limit: float) -> Array:
    """|a - n| / max(1, |n|) <= limit."""
    return gradients.difference / np.maximum(1.0, gradients.size) <= limit


def _pytensor(gradients: Gradients) -> Array:
    """|a - n| <= tol or |a - n| / max(|a| + |n|, 1e-8) <= tol with the tolerance of the dtype."""
    tol = _tolerance(PYTENSOR_TOLERANCE, gradients.dtype)
    return (gradients.difference <= tol) | (gradients.relative <= tol)


def _caffe(gradients: Gradients, threshold: float) -> Array:
    """|a - n| <= threshold max(|a|, |n|, 1)."""
    return gradients.difference <= threshold * np.maximum(gradients.larger, 1.0)


def _openmdao_norm(gradients: Gradients, atol: float, rtol: float) -> Array:
    """||a - n||_2 < atol and ||a - n||_2 / ||n||_2 < rtol, with ||a||_2 for a zero ||n||_2; two zeros pass.

    The tool takes the norms of each output by input block of the Jacobian; here the gradient is one block.
    """
    error, analytic, numeric = gradients.lengths
    size = np.where(numeric == 0, analytic, numeric)
    return (error < atol) & ((size == 0) | (error / size < rtol))


def _ceres(gradients: Gradients, precision: float) -> Array:
    """|a - n| / max(|a|, |n|) < precision; where one of them is 0, |a - n| < precision."""
    one_is_zero = (gradients.analytic == 0) | (gradients.numeric == 0)
    return np.where(one_is_zero, gradients.difference, gradients.over_larger) < precision


_CS231N = "https://cs231n.github.io/neural-networks-3/#gradcheck"
_CAFFE = "https://github.com/BVLC/caffe/blob/master/include/caffe/test/test_gradient_check_util.hpp"
_OPENMDAO = "https://github.com/OpenMDAO/OpenMDAO/blob"

_RULES = (
    Rule(
        "textbook",
        "relative error |a-n| / max(1e-8, |a|+|n|) > 1e-7 in some entry",
        "formula: rel_error of the CS231n assignments, https://cs231n.github.io/assignments2017/assignment1/;"
        f" limit: {_CS231N}",
        partial(_textbook, limit=1e-7),
        entrywise=False,
    ),
    Rule(
        "textbook_norm",
        "norm difference ||a-n|| / (||a||+||n||) > 1e-7",
        "A. Ng, Deep Learning Specialization, course 2, lecture Gradient checking,"
        " https://www.coursera.org/lecture/deep-neural-network/gradient-checking-htA0l",
        partial(_norms, limit=1e-7),
        entrywise=False,
    ),
    Rule(
        "course_norm",
        "norm difference ||a-n|| / (||a||+||n||) > 2e-7",
        "deeplearning.ai, Deep Learning Specialization, course 2, programming assignment Gradient Checking"
        " (gradient_check_n), https://www.coursera.org/learn/deep-neural-network",
        partial(_norms, limit=2e-7),
        entrywise=False,
    ),
    Rule(
        "cs231n_wrong",
        "|a-n| / max(|a|, |n|) > 1e-2 in some entry: the gradient is probably wrong",
        _CS231N,
        partial(_cs231n, limit=1e-2),
        entrywise=False,
    ),
    Rule(
        "cs231n_uncomfortable",
        "|a-n| / max(|a|, |n|) > 1e-4 in some entry: should make you feel uncomfortable",
        _CS231N,
        partial(_cs231n, limit=1e-4),
        entrywise=False,
    ),
    Rule(
        "cs231n_unhappy",
        "|a-n| / max(|a|, |n|) > 1e-7 in some entry: not yet the band where you should be happy",
        _CS231N,
        partial(_cs231n, limit=1e-7),
        entrywise=False,
    ),
    Rule(
        "pytorch",
        "|a-n| > 1e-5 + 1e-3 |n| in some entry (gradcheck's defaults, meant for float64)",
        "https://docs.pytorch.org/docs/stable/generated/torch.autograd.gradcheck.gradcheck.html",
        partial(_allclose, atol=1e-5, rtol=1e-3),
    ),
    Rule(
        "jax",
        "|a-n| > tol (1 + |n|) in some entry; tol 1e-5 in float64, 2e-3 in float32 (check_grads, axis by axis)",
        "https://github.com/jax-ml/jax/blob/main/jax/_src/public_test_util.py (check_vjp, default_gradient_tolerance)",
        _jax,
    ),
    Rule(
        "scipy",
        "|a-n| / max(1, |n|) > 1e-6 in some entry (check_derivative)",
        "https://github.com/scipy/scipy/blob/main/scipy/optimize/_numdiff.py (check_derivative)",
        partial(_scipy, limit=1e-6),
    ),
    Rule(
        "pytensor",
        "|a-n| > tol and |a-n| / max(|a|+|n|, 1e-8) > tol in some entry; tol 1e-4 in float64, 1e-2 in float32",
        "https://github.com/pymc-devs/pytensor/blob/main/pytensor/gradient.py (verify_grad)",
        _pytensor,
    ),
    Rule(
        "caffe",
        "|a-n| > 1e-3 max(|a|, |n|, 1) in some entry (the threshold of most of its layer tests)",
        f"{_CAFFE} (CheckGradientSingle); threshold:"
        " https://github.com/BVLC/caffe/blob/master/src/caffe/test/test_neuron_layer.cpp",
        partial(_caffe, threshold=1e-3),
    ),
    Rule(
        "caffe_loose",
        "|a-n| > 1e-2 max(|a|, |n|, 1) in some entry (the threshold of its loss layer tests)",
        f"{_CAFFE} (CheckGradientSingle); threshold:"
        " https://github.com/BVLC/caffe/blob/master/src/caffe/test/test_euclidean_loss_layer.cpp",
        partial(_caffe, threshold=1e-2),
    ),
    Rule(
        "openmdao",
        "|a-n| > 0 + 1e-6 |n| in some entry (check_partials' defaults)",
        f"{_OPENMDAO}/master/openmdao/utils/array_utils.py (get_tol_violation);"
        f" defaults: {_OPENMDAO}/master/openmdao/core/problem.py (check_partials)",
        partial(_allclose, atol=0.0, rtol=1e-6),
    ),
    Rule(
        "openmdao_norm",
        "||a-n|| >= 1e-6 or ||a-n|| / ||n|| >= 1e-6 (check_partials' defaults in OpenMDAO 2 and earlier 3)",
        f"{_OPENMDAO}/3.6.0/openmdao/core/problem.py (check_partials)",
        partial(_openmdao_norm, atol=1e-6, rtol=1e-6),
        entrywise=False,
    ),
    Rule(
        "ceres",
        "|a-n| / max(|a|, |n|) >= 1e-8 in some entry, |a-n| >= 1e-8 where one of them is 0",
        "https://github.com/ceres-solver/ceres-solver/blob/master/internal/ceres/is_close.cc; default:"
        " http://ceres-solver.org/nnls_solving.html (gradient_check_relative_precision)",
        partial(_ceres, precision=1e-8),
    ),
    Rule(
        "autograd",
        "|a-n| >= 1e-6 and |a-n| / |a+n| >= 1e-6 in some entry (check_grads, axis by axis)",
        "https://github.com/HIPS/autograd/blob/master/autograd/test_util.py (scalar_close)",
        partial(_autograd, tol=1e-6, rtol=1e-6),
    ),
)

RULES: dict[str, Rule] = {rule.name: rule for rule in _RULES}


def accusations(gradients: Gradients) -> dict[str, list[bool]]:
    """For each rule by name whether it accuses the analytic gradient, beside each of s numeric gradients (s, m)."""
    return dict(zip(RULES, _accused(gradients, RULES.values()).tolist(), strict=True))


def _accused(gradients: Gradients, rules: Iterable[Rule]) -> Array:
    """Whether each rule accuses, bool: one row a rule, of one entry for each numeric gradient."""
    with np.errstate(all="ignore"):
        passed = [rule.within(gradients).all(axis=-1) if rule.entrywise else rule.within(gradients) for rule in rules]
    # NaN and inf accuse, whatever a comparison with them says
    return np.logical_not(np.stack(passed) & gradients.finite)


def table() -> list[dict[str, str]]:
    """One row a rule, in the order of the columns: ``rule``, ``accuses when``, ``source``."""
    return [{"rule": rule.name, "accuses when": rule.words, "source": rule.source} for rule in RULES.values()]
