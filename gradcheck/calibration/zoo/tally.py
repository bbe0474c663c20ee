"""What the exam counts of the answers, by family, noise and point."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np

from gradcheck.calibration.histogram import Histogram
from gradcheck.calibration.zoo.asked import CENTRAL, COARSE, Answer, Raised
from gradcheck.calibration.zoo.draw import Name
from gradcheck.calibration.zoo.instance import Array
from gradcheck.calibration.zoo.need import showing_step, shows
from gradcheck.numerics.schemes import SCHEMES

# family, noise, point; the noise of a family with a smooth bias is called so
Group: TypeAlias = tuple[str, str, str]
BIASED = "bias"
# A function of at least so many weights has its evaluations counted per weight.
MANY = 20
# Of the weights that were not judged in one call, so many are looked at: the true noise is slow to find.
LOOKED_AT = 4
# Failures of each kind that are kept of one family, noise and point.
KEPT = 3
# Entries of a float32 gradient that count are at least this part of its largest.
PART_OF_LARGEST = 1e-2
ORDINARY_STEPS = (1e-7, 1e-4)


class Failure(NamedTuple):
    """One weight of which the checker said something wrong."""

    kind: str
    name: Name
    mistake: str
    eps: float | None
    scheme: str
    weight: int
    analytic: float
    numeric: float
    correct: float
    bound: float
    step: float
    reason: str
    shown_at: float | None  # a step that shows the derivative


@dataclass
class Tally:
    """Counts by group, histograms of ratios, and some of the failures."""

    counts: dict[Group, Counter[str]] = field(default_factory=dict)
    tightness: dict[str, Histogram] = field(
        default_factory=dict
    )  # of auto and fixed steps, where noise is most of the bound, of each family
    cost: dict[str, list[float]] = field(default_factory=dict)  # evaluations for each weight
    failures: list[Failure] = field(default_factory=list)
    raised: Counter[tuple[str, str]] = field(default_factory=Counter)  # family and error
    seconds: float = 0.0
    evaluations: int = 0

    def add(self, answer: Answer | Raised) -> None:
        """Count what was said of one instance."""
        if isinstance(answer, Raised):
            self.raised[answer.name.family, answer.error[:150]] += 1
            return
        group = (answer.name.family, BIASED if answer.of.bias else answer.name.noise, answer.name.point)
        count = self.counts.setdefault(group, Counter())
        if answer.of.float32 and not answer.mistake and answer.eps is None:
            _float32(count, answer)
        if answer.match_at == COARSE:
            return
        self.seconds += answer.seconds
        self.evaluations += answer.nfev
        with np.errstate(all="ignore"):
            self._verdicts(group, count, answer)
            self._bounds(group, count, answer)
            if not answer.mistake:
                if answer.scheme == CENTRAL:
                    self._needless(group, count, answer)
                self._cost(answer)

    def merge(self, other: Tally) -> None:
        """Add the counts of another."""
        for group, count in other.counts.items():
            self.counts.setdefault(group, Counter()).update(count)
        for key, histogram in other.tightness.items():
            self.tightness[key] = Histogram.merged([self.tightness.get(key, Histogram()), histogram])
        for key, values in other.cost.items():
            self.cost.setdefault(key, []).extend(values)
        self.failures += other.failures
        self.raised.update(other.raised)
        self.seconds += other.seconds
        self.evaluations += other.evaluations

    def total(self, key: str, groups: Iterable[Group] | None = None) -> int:
        """The sum of one count over some groups, by default over those without a smooth bias."""
        chosen = [g for g in self.counts if g[1] != BIASED] if groups is None else groups
        return sum(self.counts[g][key] for g in chosen)

    def _verdicts(self, group: Group, count: Counter[str], answer: Answer) -> None:
        """False alarms, and planted mistakes that were to be seen and were not."""
        correct, accused = answer.of.correct, answer.verdict == "mismatch"
        right = np.full(accused.size, True)
        if answer.mistake:
            off = np.abs(answer.analytic - correct)
            size = off / np.maximum(np.abs(answer.analytic), np.abs(answer.numeric))
            # the exact value was rounded to float64
            visible = size - _rounding(correct) / np.abs(answer.analytic) > answer.resolution + 2 * answer.accept
            count["visible"] += int(visible.sum())
            self._fail("missed", group, answer, visible & ~accused)
            with np.errstate(all="ignore"):
                right = answer.analytic == answer.of.jac(answer.of.x)
            count["untouched"] += int(right.sum())
        else:
            count["right"] += accused.size
        if not answer.mistake and answer.scheme == CENTRAL:
            for word in ("match", "inconclusive", "nondifferentiable"):
                count[word if answer.eps is None else f"{word} fixed"] += int((answer.verdict == word).sum())
        self._fail("false alarm", group, answer, right & accused)

    def _bounds(self, group: Group, count: Counter[str], answer: Answer) -> None:
        """True errors above the bound, and how far above them the bound is."""
        error = np.abs(answer.numeric - answer.of.correct)
        known = np.isfinite(answer.bound) & np.isfinite(answer.of.correct)
        allowed = answer.bound + _rounding(answer.of.correct) + answer.of.bias * np.abs(answer.of.correct)
        count["bounds"] += int(known.sum())
        self._fail("error above bound", group, answer, known & ~(error <= allowed))
        if group[1] == BIASED or answer.of.kinks or answer.scheme != CENTRAL:
            return
        steps = "auto" if answer.eps is None else "fixed"
        told = known & (answer.of.correct != 0)
        ratio = np.where(error > 0, answer.bound / error, np.inf)
        self._tight(steps, ratio[told])
        self._tight(f"{steps}, mostly noise", ratio[told & (answer.roundoff > answer.truncation)])
        if answer.eps is None:
            self._tight(group[0], ratio[told])

    def _tight(self, key: str, ratio: Array) -> None:
        self.tightness.setdefault(key, Histogram()).add(ratio)

    def _needless(self, group: Group, count: Counter[str], answer: Answer) -> None:
        """Weights that were not judged although some step, or the step that was asked for, shows them."""
        if answer.of.exact is None or answer.of.bias or answer.name.point == "optimum":
            return
        if answer.of.kinks and answer.name.point != "near_kink":
            return
        told = (answer.of.correct != 0) & np.isfinite(answer.of.correct)
        open_ = np.flatnonzero(told & np.isin(answer.verdict, ("inconclusive", "nondifferentiable")))
        key = "needless" if answer.eps is None else "needless fixed"
        count[f"{key} of"] += int(told.sum())
        if not open_.size:
            return
        looked = open_[np.linspace(0, open_.size - 1, min(LOOKED_AT, open_.size)).astype(int)]
        shown = np.zeros(answer.verdict.size)
        for i in looked:
            step = float(answer.step[i])
            if answer.eps is None:
                shown[i] = showing_step(answer.of, int(i), answer.match_at)
            elif shows(answer.of, int(i), step, answer.match_at):
                shown[i] = step
        needless = shown > 0
        self._fail(key, group, answer, needless, times=open_.size / looked.size, shown=shown)
        if answer.of.kinks:
            count[f"{key} beside a kink"] += round(int(needless.sum()) * open_.size / looked.size)

    def _cost(self, answer: Answer) -> None:
        """Evaluations of the whole call over weights, of ordinary functions away from where nothing moves."""
        n = answer.of.x.size
        known = answer.of.correct != 0
        if answer.of.kinks or answer.of.bias or not known.all() or answer.name.point == "optimum":
            return
        if answer.scheme != CENTRAL:
            if n >= MANY:
                points = SCHEMES[answer.scheme].evaluations
                self.cost.setdefault("other schemes, beyond their points", []).append(answer.nfev / n - points)
            return
        if answer.eps is not None and not ORDINARY_STEPS[0] <= answer.eps <= ORDINARY_STEPS[1]:
            key = "other fixed"
        else:
            key = "auto" if answer.eps is None else "fixed"
        if n >= MANY:
            self.cost.setdefault(key, []).append(answer.nfev / n)
            self.cost.setdefault(f"{key}, noise {answer.name.noise}", []).append(answer.nfev / n)
        else:
            self.cost.setdefault(f"{key}, over 24 + 6 a weight", []).append(answer.nfev / (24 + 6 * n))

    def _fail(
        self, kind: str, group: Group, answer: Answer, failed: Array, times: float = 1.0, shown: Array | None = None
    ) -> None:
        count = self.counts[group]
        places = np.flatnonzero(failed)
        before = count[kind]
        count[kind] += round(places.size * times)
        if places.size and before < KEPT:
            i = int(places[0])
            self.failures.append(
                Failure(
                    kind,
                    answer.name,
                    answer.mistake,
                    answer.eps,
                    answer.scheme,
                    i,
                    float(answer.analytic[i]),
                    float(answer.numeric[i]),
                    float(answer.of.correct[i]),
                    float(answer.bound[i]),
                    float(answer.step[i]),
                    str(answer.reason[i]),
                    None if shown is None else float(shown[i]),
                )
            )


def _rounding(correct: Array) -> Array:
    """What a value may have lost when it was rounded to float64."""
    return np.spacing(np.abs(correct)) / 2


def _float32(count: Counter[str], answer: Answer) -> None:
    """How many of the larger entries of a float32 gradient at a random point match."""
    if answer.name.point != "random" or answer.name[2:4] != ("none", "one") or answer.scheme != CENTRAL:
        return
    correct = np.abs(answer.of.correct)
    large = correct >= PART_OF_LARGEST * np.max(correct, initial=0.0)
    key = "coarse" if answer.match_at == COARSE else "default"
    count[f"float32 {key} of"] += int(large.sum())
    count[f"float32 {key}"] += int((large & (answer.verdict == "match")).sum())
