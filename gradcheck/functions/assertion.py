"""What a test asks of an outcome, and the error where it does not hold."""

from __future__ import annotations

from typing import NamedTuple

from gradcheck.errors import GradientMismatch
from gradcheck.functions import report
from gradcheck.functions.directions.outcome import DirectionalOutcome
from gradcheck.functions.outcome import Outcome

FAILED = "STRICT CHECK FAILED"


def require(outcome: Outcome, strict: bool, limited: bool, note: str = "") -> None:
    """Raise GradientMismatch unless an outcome is ok; with ``strict`` unless every weight that is not exempt matches.

    limited : ``max_nfev`` was given, so that weights that were not taken one by one are what was asked for.
    note : a last line of the message.
    """
    __tracebackhide__ = True
    wanting = _strictly(outcome, limited) if strict and outcome.ok else _ok(outcome)
    if wanting is not None:
        words, finding = wanting
        raise GradientMismatch(f"{words}\n{note}" if note else words, finding) from None


class Wanting(NamedTuple):
    """What an outcome lacks: the whole message, and in one line the verdict with the diagnosis or the worst weight."""

    words: str
    finding: str


def _ok(outcome: Outcome) -> Wanting | None:
    if outcome.ok:
        return None
    told = outcome.told()
    verdict, _, about = told.headline.partition("  ")
    if outcome.verdict == "mismatch":
        worst = f"; {told.rows[0][0]} is {told.rows[0][1].strip()} for {told.rows[0][2].strip()}" if told.rows else ""
        about = outcome.diagnosis or about + worst
    return Wanting(report.text(told) + _too_few(outcome), f"{verdict}: {about}")


def _strictly(outcome: Outcome, limited: bool) -> Wanting | None:
    """What ``strict`` misses in an outcome that is ok."""
    told = outcome.told()
    about = told.headline.partition("  ")[2]
    if outcome.verdict != "match":
        why, finding = "every weight that is not exempt must match", about.partition(";")[0]
    elif isinstance(outcome, DirectionalOutcome) and not limited:
        n = outcome.n_weights
        why = f"{n} weights were looked at along directions, not one by one; sample={n} takes all"
        finding = why.partition(";")[0]
    else:
        return None
    # the headline must not say that the outcome is a match
    words = report.text(told._replace(headline=f"{FAILED}  {about}"))
    return Wanting(f"{words}\nstrict: {why}", f"{FAILED}: {finding}")


def _too_few(outcome: Outcome) -> str:
    """What is missing where some weights match and the outcome is not ok."""
    if outcome.verdict != "partial":
        return ""
    if outcome.judged < outcome.min_judged:
        return f"\n{outcome.judged:.3g} of the weights was judged, min_judged={outcome.min_judged:g} asks for more"
    asked = f"min_judged={outcome.min_judged:g} asks for one in each, min_judged=0 for none"
    return f"\nin a parameter no weight was judged; {asked}"
