"""Which kinds of mistake, in the words of a diagnosis, are right for a wrong gradient, and whether its kind has a name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gradcheck.calibration.zoo.instance import Array, Instance
from gradcheck.errors import NoEffect
from gradcheck.numerics.layout import Layout
from gradcheck.numerics.problem import Problem

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "bugs")]

from kinds import KINDS, OVERLAPS, Wrong, accepted  # noqa: E402

# What may be said of any gradient that is wrong: where it is, not why.
GENERIC = frozenset({"entries", "scattered", "unknown", "zero_entries", "bias"})
# The kind of each mistake that is planted in a function of the zoo.
PLANTED = {
    "scaled": "entries",
    "sign": "entries",
    "zero": "zero_entries",
    "double": "entries",
    "everywhere": "constant_factor",
    "added": "entries",
    "at_x_alone": "entries",
}


class Right(NamedTuple):
    """The kinds that are right, and whether one of them says more than where the mistake is."""

    right: frozenset[str]
    named: bool


NONE = Right(frozenset(), False)


def of_bug(bug: str, problem: Problem) -> Right:
    """The kinds that are right for a bug of the catalogue in this very gradient.  Raises NoEffect where it changes nothing."""
    if bug == "none" or problem.correct is None:
        return NONE
    correct, analytic = (np.asarray(g, float) for g in (problem.correct, problem.analytic))
    wrong = Wrong(problem.layout, np.asarray(problem.theta, float), correct, analytic)
    if not wrong.hit.any():
        raise NoEffect(f"{bug}: no more than rounding here")
    return Right(accepted(bug, wrong), KINDS[bug].name not in GENERIC)


def of_planted(mistake: str, of: Instance, jac: Callable[[Array], Array]) -> Right:
    """The kinds that are right for a mistake that is planted in a function of the zoo."""
    if not mistake:
        return NONE
    layout = Layout(("x",), (of.x.shape,))
    wrong = Wrong(layout, of.x.astype(float), np.asarray(of.correct, float), np.asarray(jac(of.x), float))
    # the conditions hold of what differs by more than rounding
    also = (o.kind for o in OVERLAPS if wrong.hit.any() and not o.bugs and o.holds(wrong))
    return Right(frozenset((PLANTED[mistake], *also)), PLANTED[mistake] not in GENERIC)
