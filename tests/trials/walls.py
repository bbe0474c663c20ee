"""Right gradients beside walls and poles, beneath a loud noise: none is accused."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from .kills import Failure

sys.path.append(str(Path(__file__).resolve().parents[1] / "functions"))  # what the tests share stands there

import quietly
import walls


def trial(seeds: int) -> str:
    """Check so many random functions of each kind, at an automatic step and a given one."""
    found: Counter[str] = Counter()
    for kind in walls.KINDS:
        for seed in range(seeds):
            of = walls.walled(kind, seed)
            for eps in ("auto", 10.0 ** -(1 + seed % 10)):
                r = quietly.check(of.fun, of.jac, of.x, eps=eps, **of.keys)
                found.update(r.errors["verdict"])
                if r.count("mismatch"):
                    raise Failure(f"{kind}, seed {seed}, eps={eps}: {r}")
    return f"{found.total():,} right weights of {len(walls.KINDS)} kinds: 0 accused, {found['match']:,} match"
