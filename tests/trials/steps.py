"""Mistakes planted in networks of 5 to 12 layers: is the first wrong step of the backward pass named, and no other accused?"""

from __future__ import annotations

import sys
from pathlib import Path

from .kills import Failure

# The share of the networks in which the right step must be named.
NAMED = 0.95


def trial(nets: int) -> str:
    """Plant each mistake in so many networks, and look at as many right networks as that makes.  Raises Failure."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # what the tests share stands beside them
    from layers.corpus import accused, answer
    from layers.inner import in_networks
    from layers.mistakes import MISTAKES

    every = [*MISTAKES, *in_networks()]
    answers = [answer(m, 1000 * k + 37 * i) for k, m in enumerate(every) for i in range(nets)]
    named = sum(a.named for a in answers)
    besides = sum(bool(a.accused) for a in answers)
    right = len(answers)
    wrongly = sum(bool(accused(10**6 + i)) for i in range(right))
    found = (
        f"{len(every)} mistakes in {nets} networks each: the right step is named in {named} of {len(answers)}, another one"
        f" accused besides in {besides}; of {right} right networks {wrongly} have a layer that is accused"
    )
    if named < NAMED * len(answers) or besides or wrongly:
        raise Failure(found)
    return found
