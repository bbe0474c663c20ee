"""A dry run: what a run would do, printed instead of done."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping

from gradcheck.experiment.config import build, schema
from gradcheck.experiment.footprint import layout
from gradcheck.experiment.results.plan import Ids, Plan
from gradcheck.printable import printable
from gradcheck.views.terminal import say


def dry_run(jobs: Plan) -> int:
    """Print what a run would do; returns the exit status."""
    say(plan_text(jobs))
    return 0


class _Names:
    """Values and how often each appears: the first eight by name, the others as one number."""

    def __init__(self) -> None:
        self._shown: Counter[str] = Counter()
        self._others = Ids()

    def add(self, name: str) -> None:
        if name in self._shown or len(self._shown) < 8:
            self._shown[name] += 1
        else:
            self._others.add(hashlib.sha256(name.encode()).hexdigest()[:16])

    def __str__(self) -> str:
        total = len(self._shown) + len(self._others)
        more = f", … ({total} values)" if self._others else ""
        return ", ".join(f"{name} ({n})" for name, n in self._shown.items()) + more


def plan_text(jobs: Plan) -> str:
    """The cells that a run would compute, their weights, and the cells that it would skip and why."""
    weigh = _weigher()
    keys = sorted({key for values in jobs.swept for key in values})
    names = {name: _Names() for name in ("model", "data", "init", "bug", "eps", "scheme", "dtype", *keys)}
    skipped: Counter[str] = Counter()
    weights = 0
    for job in jobs:
        if job.skip is None:
            weights += weigh(job.config) or 0
        else:
            skipped[job.skip] += 1
        for key, value in job.config.items():
            if key in names:
                names[key].add(str(value[schema.LOOKUP[key]] if isinstance(value, dict) else value))
        for key in keys:
            names[key].add(json.dumps(job.swept.get(key)))
    planned = f"{len(jobs)} cell{'s' * (len(jobs) != 1)} planned"
    lines = [f"{planned}: {len(jobs) - skipped.total()} to compute with {weights} weights, {skipped.total()} skipped"]
    lines += [f"  {key}  {found}" if key in keys else f"  {key:<6} {found}" for key, found in names.items()]
    lines += [printable(note) for note in jobs.notes]
    lines += [f"skipped {n}: {reason}" for reason, n in skipped.most_common(10)]
    if len(skipped) > 10:
        lines.append(f"skipped for {len(skipped) - 10} more reasons")
    return "\n".join(lines)


def _weigher() -> Callable[[Mapping[str, object]], int | None]:
    """The number of weights of a config; None where its data cannot be read.  It is the same whatever the data's seed."""
    known: dict[str, int | None] = {}

    def weigh(form: Mapping[str, object]) -> int | None:
        data = form["data"]
        unseeded = {key: value for key, value in data.items() if key != "seed"} if isinstance(data, dict) else data
        key = json.dumps([form["model"], unseeded])
        if key not in known:
            try:
                known[key] = layout(build.build(form)).size
            except (ValueError, OSError):
                known[key] = None
        return known[key]

    return weigh
