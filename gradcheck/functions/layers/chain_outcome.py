"""The outcome of a check of a chain of layers, and what a person sees of it."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from gradcheck.functions import frames
from gradcheck.functions.layers.steps import FirstWrong, Step, first_wrong
from gradcheck.functions.outcome import Outcome
from gradcheck.numerics.names import Verdict

if TYPE_CHECKING:
    import pandas as pd

# Steps that are printed beside those that are wrong.
SHOWN = 30


@dataclass(frozen=True, repr=False, eq=False)
class ChainOutcome:
    """The outcome of ``check_layers`` and ``check_intermediates``: which step of the backward pass is the first wrong one.

    It is true in a condition if, and only if, it is ``ok``.

    Attributes
    ----------
    first_wrong : FirstWrong or None
        (index, layer, name) of the first wrong step, counted from the loss: name is ``input`` or a parameter's name.
    verdict : {'match', 'mismatch', 'partial', 'inconclusive', 'nondifferentiable'}
        The verdict of all steps together.
    ok : bool
        Whether nothing is wrong, and enough was judged in every step.
    judged : float
        The share of the weights that are not exempt which were judged, of all steps.
    diagnosis, diagnosis_kind : str or None
        What is wrong at the first wrong step, in words and as a code; None where nothing is wrong.
    resolution : float
        The relative error that would have been seen in every weight that matches.
    errors : pandas.DataFrame
        The rows of the outcomes of all steps, from the loss down, and a column ``layer`` in front.
    nfev, njev : int
        How often the layers were called, forward and backward, to compare.
    notes : tuple of str
        What was found out about the layers, such as that one draws random numbers.
    steps : tuple of Step
        Each step with its outcome, from the loss down.
    located : bool
        Whether the steps were told apart; otherwise it is known only which parameters are wrong, and ``first_wrong`` is None.

    See Also
    --------
    check_layers : Makes it from a list of layers.
    check_intermediates : Makes it from a network that is one function.

    Examples
    --------
    >>> import gradcheck
    >>> import numpy as np
    >>> square = (lambda x: (x**2, x), lambda dout, x: 2 * x * dout)
    >>> wrong = (lambda x: (np.sin(x), x), lambda dout, x: -np.cos(x) * dout)
    >>> r = gradcheck.check_layers([square, wrong, square], np.array([0.4, 1.1]))
    >>> r.verdict, r.first_wrong.index, r.first_wrong.name
    ('mismatch', 1, 'input')
    """

    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    located: bool = True

    @cached_property
    def _outcomes(self) -> list[Outcome]:
        return [step.outcome for step in self.steps if step.outcome is not None]

    @property
    def first_wrong(self) -> FirstWrong | None:
        """The first wrong step, counted from the loss; None where none is wrong."""
        step = first_wrong(self.steps)
        return None if step is None or not self.located else FirstWrong(step.index, step.layer, step.wrong[0])

    @property
    def verdict(self) -> Verdict:
        """``mismatch`` if any step is wrong; else that of all steps that could be judged."""
        if first_wrong(self.steps) is not None:
            return "mismatch"
        found = {outcome.verdict for outcome in self._outcomes if not _all_exempt(outcome)}
        if found == {"match"}:
            return "match"
        for verdict in ("partial", "match"):
            if verdict in found:
                return "partial"
        return "nondifferentiable" if "nondifferentiable" in found else "inconclusive"

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong, and every step of which anything can be judged is ok."""
        counted = [outcome for outcome in self._outcomes if not _all_exempt(outcome)]
        return first_wrong(self.steps) is None and bool(counted) and all(outcome.ok for outcome in counted)

    def __bool__(self) -> bool:
        return self.ok

    @property
    def judged(self) -> float:
        """The share of the weights that are not exempt which were judged, of all steps."""
        sizes = [len(outcome.table["verdict"]) for outcome in self._outcomes]
        total = sum(sizes)
        return sum(o.judged * n for o, n in zip(self._outcomes, sizes, strict=True)) / total if total else 0.0

    @property
    def diagnosis(self) -> str | None:
        """What is wrong at the first wrong step; None where nothing is wrong."""
        step = first_wrong(self.steps)
        if step is None:
            return None
        below = len(self.steps) - 1 - self.steps.index(step)
        own = step.outcome.diagnosis if step.outcome is not None else None
        return f"{step.sentence(below)} {own}" if own else step.sentence(below)

    @property
    def diagnosis_kind(self) -> str | None:
        """The kind of the mistake of the first wrong step."""
        step = first_wrong(self.steps)
        return step.outcome.diagnosis_kind if step is not None and step.outcome is not None else None

    @property
    def resolution(self) -> float:
        """The relative error that would have been seen in every weight that matches; infinite where none does."""
        found = [o.resolution for o in self._outcomes if math.isfinite(o.resolution)]
        return max(found, default=math.inf)

    @property
    def nfev(self) -> int:
        """Calls forward of single layers, to compare."""
        return sum(outcome.nfev for outcome in self._outcomes)

    @property
    def njev(self) -> int:
        """Calls backward of single layers, to compare."""
        return sum(outcome.njev for outcome in self._outcomes)

    @property
    def errors(self) -> pd.DataFrame:
        """The rows of the outcomes of all steps, from the loss down, and a column ``layer`` in front with the index."""
        return self.to_frame()

    def to_frame(self, full: bool = False) -> pd.DataFrame:
        """The numbers as a DataFrame: the columns of ``errors``, or all that a run stores of a weight.

        Parameters
        ----------
        full : bool, optional
            Give all columns.
        """
        import pandas as pd

        parts = []
        for step in self.steps:
            if step.outcome is not None:
                frame = step.outcome.to_frame(full)
                frame.insert(0, "layer", step.index)
                parts.append(frame)
        return pd.concat(parts, ignore_index=True)

    def worst(self, n: int = 5) -> pd.DataFrame:
        """The rows of ``errors`` of the n weights with the largest abs(analytic - numeric) / bound.

        Parameters
        ----------
        n : int, optional
            How many weights.
        """
        return frames.worst(self.errors, n)

    # ------------------------------------------------------------------------------------------------ for a person

    def _headline(self) -> str:
        step = first_wrong(self.steps)
        if step is not None and not self.located:
            return "MISMATCH  the gradient is wrong; in which step cannot be told"
        if step is not None:
            return f"MISMATCH  the first wrong step of the backward pass is {step.label}"
        counted = f"{len(self.steps)} steps of the backward pass"
        if self.verdict == "match":
            return f"MATCH  all {counted} agree; a relative error above {self.resolution:.0e} would have been seen"
        if self.ok:
            return (
                f"{self.verdict.upper()}  nothing is wrong in {counted}, {self.judged:.0%} of the weights were judged"
            )
        return f"{self.verdict.upper()}  nothing is seen to be wrong, but not enough of {counted} could be judged"

    def _rows(self) -> list[tuple[str, str]]:
        rows = []
        for step in self.steps:
            outcome = step.outcome
            if step.wrong:
                right = [name for name in step.names if name not in step.wrong]
                words = "wrong: " + ", ".join(step.wrong) + (f"; right: {', '.join(right)}" if right else "")
            elif outcome is None:
                words = "nothing to check"
            elif _all_exempt(outcome):
                words = "exempt: the output does not change with any weight"
            elif outcome.ok:
                words = "right: " + ", ".join(step.names)
            else:
                words = f"{outcome.verdict}: {', '.join(step.names)}"
            rows.append((step.label, words))
        return rows

    def __str__(self) -> str:
        lines = [self._headline()]
        step = first_wrong(self.steps)
        if step is not None:
            lines.append(step.sentence(len(self.steps) - 1 - self.steps.index(step)))
        rows = self._rows()[:SHOWN]
        width = max((len(label) for label, _ in rows), default=0)
        lines += [f" {label.ljust(width)}  {words}" for label, words in rows]
        if len(self.steps) > SHOWN:
            lines.append(f" … {len(self.steps) - SHOWN} more: r.steps")
        if step is not None and step.outcome is not None:
            head = [f"{step.label} alone:"] if self.located else []
            lines += [*head, *(f"  {line}" for line in str(step.outcome).splitlines())]
        lines += [f" {note}" for note in self.notes[:4]]
        if step is None:
            lines.append(f"{self.nfev} evaluations of single layers")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The same for a notebook: headline, sentence and a table of the steps, every name escaped."""
        step = first_wrong(self.steps)
        words = step.sentence(len(self.steps) - 1 - self.steps.index(step)) if step is not None else ""
        body = "".join(f"<tr><td>{html.escape(a)}</td><td>{html.escape(b)}</td></tr>" for a, b in self._rows())
        own = step.outcome._repr_html_() if step is not None and step.outcome is not None else ""
        head = f"<p><b>{html.escape(self._headline())}</b></p>"
        return f"{head}<p>{html.escape(words)}</p><table><tbody>{body}</tbody></table>{own}"


def _all_exempt(outcome: Outcome) -> bool:
    """Whether no weight has a path to the output, such as below a unit that is dead for all examples."""
    reasons = outcome.table["reason"]
    return bool(reasons) and all(reason == "exempt" for reason in reasons)
