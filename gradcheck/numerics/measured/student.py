"""The quantile of Student's t by which a measured deviation is multiplied to give a bound."""

from __future__ import annotations

import itertools
import math
from functools import lru_cache

# (degrees of freedom, t) with P(|T| > t) = 1e-7: of ten million bounds of correct derivatives one is too small.
TABLE = (
    (3, 280.425),
    (4, 87.992),
    (5, 45.207),
    (6, 29.529),
    (8, 17.836),
    (10, 13.439),
    (12, 11.239),
    (15, 9.483),
    (20, 8.080),
    (30, 6.956),
    (50, 6.219),
    (100, 5.744),
    (1000, 5.366),
    (math.inf, 5.327),
)


# of thousands of quotients the noise is known by the same few degrees
@lru_cache(maxsize=256)
def quantile(degrees: float) -> float:
    """t with P(|T| > t) = 1e-7 for Student's t with so many degrees of freedom, at least 3.

    Between the rows of the table log t is linear in 1 / degrees, to 3%.
    """
    nu = max(3.0, degrees)
    for (low, upper), (high, lower) in itertools.pairwise(TABLE):
        if nu <= high:
            part = (1 / low - 1 / nu) / (1 / low - 1 / high)
            return math.exp(math.log(upper) + part * (math.log(lower) - math.log(upper)))
    return TABLE[-1][1]
