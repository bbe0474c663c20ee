"""The outcome of a check along random directions, and what a person sees of it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from gradcheck.functions.directions.parameters import Parameter
from gradcheck.functions.directions.slopes import Slope
from gradcheck.functions.outcome import Outcome
from gradcheck.functions.wording import reason_text
from gradcheck.numerics.names import Verdict
from gradcheck.numerics.verdict import CORNER, EXEMPT, REASONS, Whole, of_counts

_ALONG = {"match": "right", "mismatch": "wrong", "inconclusive": "not judged", "nondifferentiable": "at a kink"}


@dataclass(frozen=True, repr=False, eq=False)
class DirectionalOutcome(Outcome):
    """An outcome of ``check_gradient`` whose verdict rests on slopes along random directions.

    A function of one output and more than 2,000 weights, or of more than ``max_nfev`` reaches, is checked in this way: one
    direction through all weights, one through each parameter, and a part of the entries one by one.  Where a slope is wrong,
    bisection finds the wrong entries.

    Attributes
    ----------
    directions : tuple of Slope
        The slope along each direction, beside that of the gradient.
    parameters : tuple of Parameter
        What the directions say of each parameter: verdict, reason, and the error that would have been seen.
    explained : bool
        Whether the wrong entries that were found account for every slope that is wrong.
    entry_resolution : float
        The error of any one entry that would have been seen, in units of the largest gradient of its parameter.

    See Also
    --------
    Outcome : All other attributes; its table holds the entries that were checked one by one.

    Notes
    -----
    Along a direction v the loss is a function of one number, phi(t) = loss(theta + t v), whose slope at 0 is v . g.  No
    entry of v is 0, so that an error e of the gradient g is seen unless v . e is below the bound of the slope.  Entries are
    located by group testing (Dorfman, Annals of Mathematical Statistics 14, 1943; Hwang, JASA 67, 1972).

    Examples
    --------
    >>> import gradcheck
    >>> import numpy as np
    >>> def wrong(x):
    ...     g = 2 * x
    ...     g[1234] *= 1.5
    ...     return g
    >>> r = gradcheck.check_gradient(lambda x: x @ x, wrong, np.linspace(1, 2, 5000))
    >>> r.verdict, len(r.directions), r.worst(1)["flat_index"].tolist()
    ('mismatch', 2, [1234])
    """

    directions: tuple[Slope, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    explained: bool = True

    @cached_property
    def _whole(self) -> Whole:
        """``mismatch`` if any direction or entry is a mismatch, ``match`` if all that are not exempt match.

        A weight counts as judged where a direction that moves its parameter is judged.
        """
        entries = zip(self.table["verdict"], self.table["reason"], strict=True)
        directions = ((d.verdict, d.reason) for d in self.directions)
        seen = Counter("exempt" if reason == EXEMPT else verdict for verdict, reason in (*entries, *directions))
        exempt = sum(p.size for p in self.parameters if p.reason == EXEMPT)
        judged = sum(p.size for p in self.parameters if p.verdict in ("match", "mismatch") or p.reason == CORNER)
        verdict: Verdict = of_counts(seen, seen.total() - seen["exempt"])
        if verdict == "inconclusive" and any(p.verdict == "match" for p in self.parameters):
            verdict = "partial"
        counted = self.n_weights - exempt
        enough = counted > 0 and judged / counted >= self.min_judged
        everywhere = all(
            p.size == 0 or p.reason == EXEMPT or p.verdict == "match" or p.reason == CORNER for p in self.parameters
        )
        ok = verdict == "match" or (
            verdict in ("partial", "nondifferentiable") and enough and (everywhere or not self.min_judged)
        )
        return Whole(verdict, self.n_weights, exempt, judged, ok)

    @property
    def reason(self) -> str | None:
        """The commonest reason why parameters, or else sampled entries, could not be judged."""
        counts = Counter(p.reason for p in self.parameters if p.reason)
        return counts.most_common(1)[0][0] if counts else super().reason

    @property
    def resolution(self) -> float:
        """The relative error of a parameter's whole gradient that would have been seen in every parameter that matches.

        That is 2 bound / sqrt(sum (v_j g_j)**2) along a direction v, and ``accept`` added to it; infinite where no parameter
        matches.
        """
        return self.accept + max((p.resolution for p in self.parameters if p.verdict == "match"), default=math.inf)

    @property
    def entry_resolution(self) -> float:
        """The error of any one entry that would have been seen, in units of the largest gradient of its parameter."""
        return self.accept + max((p.entry for p in self.parameters if p.verdict == "match"), default=math.inf)

    def _headline(self) -> str:
        n = self.n_weights
        k = len(self.table["verdict"])
        one_by_one = f"{k} of them checked one by one"
        if self.verdict == "match":
            return (
                f"MATCH  {len(self.directions)} random directions through {n} weights agree, {one_by_one}; "
                f"an error above {self.resolution:.0e} of the whole gradient, or in one entry above "
                f"{self.entry_resolution:.0e} of the largest one{self._accepted()}, would have been seen"
            )
        if self.verdict == "partial":
            counted = n - self._whole.n_exempt
            rest = (
                "not every entry taken one by one could be judged"
                if self._whole.n_judged == counted
                else "the others could not be judged"
            )
            return (
                f"PARTIAL  directions through {self._whole.n_judged} of {counted} weights agree, {rest}; {one_by_one}; "
                f"an error above {self.resolution:.0e} of the whole gradient of these{self._accepted()} would have been seen"
            )
        if self.verdict != "mismatch":
            return f"{self.verdict.upper()}  {len(self.directions)} random directions through {n} weights tell nothing"
        wrong = [p for p, v in zip(self.table["param"], self.table["verdict"], strict=True) if v == "mismatch"]
        broken = [d.name for d in self.directions if d.verdict == "mismatch" and d.name is not None]
        if not wrong:
            where = ", ".join(broken[:4]) + (", …" if len(broken) > 4 else "") if broken else f"all {n} weights"
            return f"MISMATCH  the slope along a random direction through {where} is wrong; no single entry stands out"
        parts = ", ".join(f"{c} in {p}" for p, c in list(Counter(wrong).items())[:4])
        rest = "nothing else is seen along random directions" if self.explained else "more are wrong"
        are = "entry is" if len(wrong) == 1 else "entries are"
        return f"MISMATCH  {len(wrong)} {are} wrong ({parts}) of {n} weights, {one_by_one}; {rest}"

    def _remark(self, name: str, wrong: int) -> str:
        found = next((p for p in self.parameters if p.name == name), None)
        along = f"along a direction {_ALONG[found.verdict]}" if found is not None and found.size else ""
        return "; ".join(filter(None, (along, super()._remark(name, wrong))))

    def _not_judged(self) -> list[str]:
        lines = [
            f"not judged: {p.name} ({p.reason}): {reason_text(p.reason, self.eps, self.dtype)}"
            for p in self.parameters
            if p.reason in REASONS
        ]
        return lines[:4] or super()._not_judged()
