"""The checker is asked about one instance: with the right gradient or a wrong one, at one step."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gradcheck.calibration.zoo.draw import Name, instance
from gradcheck.calibration.zoo.instance import Array, Instance
from gradcheck.calibration.zoo.planted import planted
from gradcheck.functions.gradient import check_gradient
from gradcheck.numerics.schemes import SchemeName
from gradcheck.numerics.steps import AUTO, Step

CENTRAL: SchemeName = "central"
MATCH_AT = 1e-2
# float32 functions are asked about at this resolution, too.
COARSE = 5e-2
SMALLEST_STEP, LARGEST_STEP = 1e-12, 1.0
# One instance in four is asked about with another scheme, too.
OTHER_SCHEMES: tuple[SchemeName, ...] = ("forward", "backward", "five_point", "seven_point", "richardson")
OTHER_SHARE = 0.25
# accept, as a multiple of the bias of a family that has one
ACCEPT = 10.0


@dataclass(frozen=True, eq=False)
class Answer:
    """What the checker said of each weight of an instance.

    mistake : what was planted; empty for the right gradient.   eps : None where each weight chose its step.
    """

    name: Name
    of: Instance
    mistake: str
    eps: float | None
    scheme: SchemeName
    match_at: float
    accept: float
    nfev: int
    seconds: float
    analytic: Array
    numeric: Array
    bound: Array
    truncation: Array
    roundoff: Array
    resolution: Array
    step: Array
    verdict: Array
    reason: Array


@dataclass(frozen=True)
class Raised:
    """The checker raised an error of an instance that has nothing wrong with it."""

    name: Name
    mistake: str
    eps: float | None
    error: str


def asked(name: Name) -> list[Answer | Raised]:
    """The answers on an instance: its right gradient at an automatic step and a fixed one, wrong ones likewise."""
    of = instance(*name)
    rng = np.random.default_rng([name.seed, zlib.crc32(" ".join(name[:4]).encode()), 2])
    eps = float(np.exp(rng.uniform(np.log(SMALLEST_STEP), np.log(LARGEST_STEP))))
    found = [answer(name, of), answer(name, of, eps=eps)]
    for chosen in (None, eps)[: 1 + int(rng.random() < 0.5)]:
        found.append(answer(name, of, *planted(of, rng), eps=chosen))
    if rng.random() < OTHER_SHARE:
        scheme = OTHER_SCHEMES[int(rng.integers(len(OTHER_SCHEMES)))]
        found.append(answer(name, of, eps=None if rng.random() < 0.5 else eps, scheme=scheme))
    if of.float32:
        found.append(answer(name, of, match_at=COARSE))
    return found


def answer(
    name: Name,
    of: Instance,
    mistake: str = "",
    jac: Callable[[Array], Array] | None = None,
    *,
    eps: float | None = None,
    scheme: SchemeName = CENTRAL,
    match_at: float = MATCH_AT,
) -> Answer | Raised:
    """What the checker says of an instance, with this gradient instead of its own, at this step."""
    step: Step = AUTO if eps is None else eps
    accept = ACCEPT * of.bias
    begin = time.perf_counter()
    try:
        r = check_gradient(of.fun, jac or of.jac, of.x, eps=step, scheme=scheme, match_at=match_at, accept=accept)
    except Exception as error:  # whatever it is, it is a failure of the checker
        return Raised(name, mistake, eps, f"{type(error).__name__}: {error}")
    seconds = time.perf_counter() - begin
    t = r.table
    return Answer(
        name,
        of,
        mistake,
        eps,
        scheme,
        match_at,
        accept,
        r.nfev,
        seconds,
        analytic=np.asarray(t["analytic"], float),
        numeric=np.asarray(t["numeric"], float),
        bound=np.asarray(t["bound"], float),
        truncation=np.asarray(t["truncation"], float),
        roundoff=np.asarray(t["roundoff"], float),
        resolution=np.asarray(t["resolution"], float),
        step=np.asarray(t["step"], float),
        verdict=np.array(t["verdict"], dtype=object),
        reason=np.array(t["reason"], dtype=object),
    )
