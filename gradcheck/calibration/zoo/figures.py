"""The figures of an exam: what must hold, the families side by side, and the failures; as tables and as plain values."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np

from gradcheck.calibration.requirements import Requirement
from gradcheck.calibration.tables import must_hold
from gradcheck.calibration.zoo.instance import Array
from gradcheck.calibration.zoo.tally import BIASED, MANY, Tally
from gradcheck.functions.gradient import check_gradient
from gradcheck.views.layout import Table

FAILURES = ("false alarm", "missed", "error above bound", "needless")
# What must hold of weights that could have been judged: over all, and in each family.
NEEDLESS_SHARE, NEEDLESS_OF_FAMILY = 0.01, 0.1
TIGHT, TIGHT_NOISE = 8, 12
COST, COST_99, FLOAT32_SHARE, OVERHEAD_US = 6, 10, 0.9, 25


def requirements(tally: Tally) -> list[Requirement]:
    """Each figure, and whether what is required of it holds."""
    beside = tally.total("needless beside a kink")
    found = [
        _never(tally, "false alarms, right derivatives", "false alarm", "right", "untouched"),
        _never(tally, "planted errors above the resolution, not mismatch", "missed", "visible"),
        _never(tally, "true error above the bound", "error above bound", "bounds"),
        _share(
            "inconclusive or nondifferentiable without need, auto", tally.total("needless"), tally.total("needless of")
        ),
        _families(tally),
        Requirement("of those without need, beside a kink", "", str(beside), tally.total("needless"), None),
    ]
    for key, limit in (("auto", TIGHT), ("auto, mostly noise", TIGHT_NOISE), ("fixed", 0), ("fixed, mostly noise", 0)):
        histogram = tally.tightness.get(key)
        median = histogram.quantile(0.5) if histogram else None
        found.append(_most(f"median bound / true error, {key}", limit, median, histogram.n if histogram else 0))
    for key, words in (("coarse", "match_at=5e-2"), ("default", "match_at=1e-2")):
        of, hits = tally.total(f"float32 {key} of"), tally.total(f"float32 {key}")
        share = hits / of if of else 0.0
        holds = share >= FLOAT32_SHARE if of and key == "coarse" else None
        required = f"at least {FLOAT32_SHARE:.0%}" if key == "coarse" else ""
        found.append(Requirement(f"float32 entries that match, {words}", required, f"{share:.1%}", of, holds))
    for key, q, limit in (
        ("auto", 0.5, COST),
        ("auto", 0.99, COST_99),
        ("fixed", 0.5, COST),
        ("other fixed", 0.5, 0),
        ("auto, over 24 + 6 a weight", 1.0, 1),
        ("fixed, over 24 + 6 a weight", 1.0, 1),
        ("other schemes, beyond their points", 0.5, 4),
    ):
        values = tally.cost.get(key, [])
        name = {0.5: "median", 0.99: "99th percentile", 1.0: "largest"}[q]
        figure = f"evaluations a weight, {key}, {name}"
        found.append(_most(figure, limit, float(np.quantile(values, q)) if values else None, len(values)))
    found.append(_most("overhead of an evaluation, µs", OVERHEAD_US, overhead() * 1e6, 1))
    raised = tally.raised.total()
    found.append(Requirement("calls that raised an error", "0", str(raised), tally.evaluations, raised == 0))
    return found


def overhead(n: int = 100, times: int = 5) -> float:
    """Seconds of this thread that the checker takes for one evaluation beside the function itself; the median of some calls."""
    spent = 0.0

    def fun(x: Array) -> float:
        nonlocal spent
        begin = time.thread_time()
        value = float(np.sum(np.sin(x)))
        spent += time.thread_time() - begin
        return value

    found = []
    for seed in range(times):
        spent = 0.0
        begin = time.thread_time()
        r = check_gradient(fun, np.cos, np.random.default_rng(seed).normal(size=n))
        found.append((time.thread_time() - begin - spent) / r.nfev)
    return float(np.median(found))


def tables(tally: Tally, rows: list[Requirement]) -> list[Table | str]:
    """What must hold, the families, the groups in which something failed, and failures to look at."""
    header = ["family", "noise", "point", "derivatives", "match", *FAILURES]
    groups = [
        [*group, *_counts(count)]
        for group, count in sorted(tally.counts.items())
        if any(count[kind] for kind in FAILURES)
    ]
    shown: list[Table | str] = [must_hold(rows), _costs(tally), _by_family(tally)]
    left = frozenset({"family", "noise", "point"})
    shown.append(Table("where something failed", header, groups, left=left))
    shown.append(_failures(tally))
    if tally.raised:
        raised = [[family, error, n] for (family, error), n in tally.raised.most_common()]
        shown.append(
            Table("errors that were raised", ["family", "error", "times"], raised, left=frozenset({"family", "error"}))
        )
    return shown


def export(tally: Tally, rows: list[Requirement]) -> dict[str, object]:
    """The figures as plain values."""
    return {
        "requirements": [row._asdict() for row in rows],
        **{key: _sums(tally, place) for place, key in enumerate(("families", "noises", "points"))},
        "failed": [
            {"family": family, "noise": noise, "point": point, **dict(sorted(count.items()))}
            for (family, noise, point), count in sorted(tally.counts.items())
            if any(count[kind] for kind in FAILURES)
        ],
        "bound over true error": {key: h.quantile(0.5) for key, h in sorted(tally.tightness.items())},
        "evaluations a weight": {
            key: [float(np.quantile(values, q)) for q in (0.5, 0.99)] for key, values in sorted(tally.cost.items())
        },
        "failures": [{**one._asdict(), "name": one.name._asdict()} for one in tally.failures],
        "raised": [[family, error, n] for (family, error), n in tally.raised.most_common()],
        "seconds": tally.seconds,
        "evaluations": tally.evaluations,
    }


def _counts(count: Counter[str]) -> list[object]:
    return [count["right"], count["match"], *(count[kind] for kind in FAILURES)]


def _sums(tally: Tally, place: int) -> dict[str, Counter[str]]:
    """Counts by the family, the noise or the point of a group."""
    found: dict[str, Counter[str]] = {}
    for group, count in sorted(tally.counts.items()):
        found.setdefault(group[place], Counter()).update(count)
    return found


def _by_family(tally: Tally) -> Table:
    rows = []
    for family, count in _sums(tally, 0).items():
        histogram = tally.tightness.get(family)
        of, needless = count["needless of"], count["needless"]
        share = f"{needless / of:.0%}" if of else "-"
        rows.append([family, *_counts(count), share, histogram.quantile(0.5) if histogram else None])
    header = ["family", "derivatives", "match at auto", *FAILURES, "needless", "bound / error"]
    return Table("the families", header, rows, left=frozenset({"family"}))


def _costs(tally: Tally) -> Table:
    rows = [
        [key, *(float(np.quantile(values, q)) for q in (0.5, 0.9, 0.99, 1.0)), len(values)]
        for key, values in sorted(tally.cost.items())
    ]
    header = ["steps", "median", "90%", "99%", "largest", "calls"]
    return Table(f"evaluations a weight, functions of {MANY} weights and more", header, rows, left=frozenset({"steps"}))


def _failures(tally: Tally) -> Table:
    """Failures that can be drawn again: ``instance(family, point, noise, scale, seed)``."""
    header = ["what", "family", "point", "noise", "scale", "seed", "planted", "eps", "scheme", "weight"]
    header += ["analytic", "numeric", "correct", "bound", "step", "reason", "shown at"]
    rows = [
        [one.kind, *one.name, one.mistake, "auto" if one.eps is None else one.eps, *one[4:]]
        for one in sorted(tally.failures, key=lambda one: (*FAILURES, one.kind).index(one.kind))
        if one.kind in FAILURES
    ]
    left = frozenset({"what", "family", "point", "noise", "scale", "planted", "scheme", "reason"})
    return Table("failures", header, rows, left=left)


def _families(tally: Tally) -> Requirement:
    """The family with the largest share of weights that were not judged without need."""
    shares = {
        family: count["needless"] / count["needless of"]
        for family, count in _sums(tally, 0).items()
        if count["needless of"]
    }
    worst = max(shares, key=lambda family: shares[family], default="")
    many = sum(share > NEEDLESS_OF_FAMILY for share in shares.values())
    figure = f"families in which more than {NEEDLESS_OF_FAMILY:.0%} were not judged without need"
    found = f"{many} (worst {worst} {shares[worst]:.0%})" if shares else "-"
    return Requirement(figure, "0", found, len(shares), many == 0 if shares else None)


def _never(tally: Tally, figure: str, kind: str, *of: str) -> Requirement:
    count, total = tally.total(kind), sum(tally.total(key) for key in of)
    return Requirement(figure, "0", str(count), total, count == 0 if total else None)


def _share(figure: str, count: int, of: int) -> Requirement:
    share = count / of if of else 0.0
    return Requirement(
        figure, f"at most {NEEDLESS_SHARE:.0%}", f"{share:.2%}", of, share <= NEEDLESS_SHARE if of else None
    )


def _most(figure: str, limit: float, value: float | None, of: int) -> Requirement:
    """A figure with a limit; with none it is stated alone."""
    found = "-" if value is None else f"{value:.3g}"
    holds = None if value is None or not limit else value <= limit
    return Requirement(figure, f"at most {limit:g}" if limit else "", found, of, holds)


def biased(tally: Tally) -> Table:
    """Families that differ from the ideal function by a smooth bias, checked with ``accept``."""
    rows = [[f, p, *_counts(count)] for (f, noise, p), count in sorted(tally.counts.items()) if noise == BIASED]
    header = ["family", "point", "derivatives", "match at auto", *FAILURES]
    return Table(
        "families with a smooth bias, accept ten times as large", header, rows, left=frozenset({"family", "point"})
    )
