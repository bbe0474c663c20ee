"""One instance of the zoo by its name: the same on every machine, in any order."""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np

from gradcheck.calibration.zoo import families
from gradcheck.calibration.zoo.instance import FAMILIES, Instance
from gradcheck.calibration.zoo.wrappers import NOISES, SCALES, with_noise, with_offset, with_scales

# One draw in five adds a constant to the function.
OFFSET_SHARE = 0.2
# Half of the draws are at random points if the family has others too; two in five have no noise; three in ten other scales.
RANDOM_SHARE, QUIET_SHARE, SPREAD_SHARE = 0.5, 0.4, 0.3

__all__ = ["FAMILIES", "Name", "families", "instance", "name"]


class Name(NamedTuple):
    """What names an instance."""

    family: str
    point: str
    noise: str
    scale: str
    seed: int


def instance(family: str, point: str = "random", noise: str = "none", scale: str = "one", seed: int = 0) -> Instance:
    """Draw the instance with this name.

    family : one of FAMILIES.   point : one of the family's.   noise : one of NOISES.   scale : one of SCALES.
    seed : any number from 0.
    """
    rng = np.random.default_rng([seed, zlib.crc32(f"{family} {point}".encode())])
    with np.errstate(all="ignore"):
        found = FAMILIES[family].draw(rng, point)
        more = np.random.default_rng([seed, zlib.crc32(f"{family} {point} {noise} {scale}".encode())])
        if more.random() < OFFSET_SHARE and not found.float32:
            found = with_offset(found, more)
        found = with_noise(found, noise, more)
        return with_scales(found, more) if scale == "spread" else found


def name(family: str, seed: int) -> Name:
    """The point, noise and scale of a family's draw with this number."""
    rng = np.random.default_rng([seed, zlib.crc32(family.encode()), 1])
    points = FAMILIES[family].points
    point = points[0] if rng.random() < RANDOM_SHARE else str(rng.choice(points))
    noise = "none" if rng.random() < QUIET_SHARE else str(rng.choice([kind for kind in NOISES if kind != "none"]))
    return Name(family, point, noise, SCALES[int(rng.random() < SPREAD_SHARE)], seed)
