"""Cases of the zoo: each family with its right gradient and with a planted mistake."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from gradcheck.calibration.zoo import draw
from gradcheck.calibration.zoo.instance import Array, Instance
from gradcheck.calibration.zoo.planted import planted
from gradcheck.errors import Meaningless
from tests.benchmarks.referee.case import Case
from tests.benchmarks.referee.entry import Entry
from tests.benchmarks.referee.kinds import of_planted

SOURCE = "zoo"
# Mistakes are not planted on a kink, where any value between both slopes is right, nor beside one.
KINKED = ("kink", "near_kink")
# So many draws of a family are looked at for one with noise or other scales.
DRAWS = 1000


def entries() -> Iterator[Entry]:
    """Each family as it is; every second one in float32, the others with noise or on other scales; right and wrong."""
    for number, family in enumerate(sorted(draw.FAMILIES)):
        points = draw.FAMILIES[family].points
        plain = [point for point in points if point not in KINKED]
        right, wrong = points[number % len(points)], plain[number % len(plain)]
        yield Entry(SOURCE, family, right, "float64", wrong=False)
        yield Entry(SOURCE, family, wrong, "float64", wrong=True)
        if number % 2:
            yield Entry(SOURCE, family, plain[0], "float32", wrong=False)
            yield Entry(SOURCE, family, wrong, "float32", wrong=True)
        else:
            name = _disturbed(family)
            yield Entry(SOURCE, family, name.point, "float64", False, name.noise, name.scale, name.seed)
            if name.point not in KINKED:
                yield Entry(SOURCE, family, name.point, "float64", True, name.noise, name.scale, name.seed)


def case(entry: Entry) -> Case:
    """The case of an entry.  Raises Meaningless for a function with a smooth bias, whose right gradient is not known."""
    of = draw.instance(entry.family, entry.point, entry.noise, entry.scale, entry.seed)
    if of.bias:
        raise Meaningless(f"{entry.family}: differs from the ideal function by a smooth bias")
    if entry.dtype == "float32":
        of = _single(of)
    seed = zlib.crc32(" ".join((entry.family, entry.point, entry.noise, entry.scale, entry.dtype)).encode())
    mistake, jac = planted(of, np.random.default_rng([entry.seed, seed])) if entry.wrong else ("", of.jac)
    kind = of_planted(mistake, of, jac)
    dtype = of.x.dtype if entry.dtype == "float64" else np.dtype(np.float32)
    return Case(
        name=entry.id,
        source=SOURCE,
        family=entry.family,
        point=entry.point,
        noise=entry.noise,
        scale=entry.scale,
        mistake=mistake,
        x=of.x.astype(dtype),
        fun=lambda x: dtype.type(of.fun(np.asarray(x, dtype))),
        # the formula in the dtype of the instance, rounded once, so that a right claim is right in either dtype
        grad=lambda x: np.asarray(jac(np.asarray(x, of.x.dtype)), dtype),
        correct=np.asarray(of.correct, float),
        parameters=(("x", of.x.shape),),
        kinds=kind.right,
        named=kind.named,
    )


def _disturbed(family: str) -> draw.Name:
    """The first draw of a family that has noise or other scales."""
    return next(n for n in (draw.name(family, seed) for seed in range(1, DRAWS)) if n[2:4] != ("none", "one"))


def _single(of: Instance) -> Instance:
    """The same function at the float32 number beside x."""
    x: Array = of.x.astype(np.float32).astype(of.x.dtype)
    return replace(of, x=x, correct=np.asarray(of.jac(x), float))
