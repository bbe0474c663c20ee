"""Counts of positive numbers over 24 decades, small enough that each scheme, model and step has its own."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


class Histogram:
    """Counts of positive numbers in bins of 1% width from 1e-12 to 1e12; the first and last bin hold all beyond."""

    PER_DECADE = 230

    def __init__(self) -> None:
        self.counts = np.zeros(24 * self.PER_DECADE + 1, np.int64)
        self.largest = 0.0

    @classmethod
    def merged(cls, histograms: Iterable[Histogram]) -> Histogram:
        """The sum of some histograms."""
        total = cls()
        for one in histograms:
            total.counts += one.counts
            total.largest = max(total.largest, one.largest)
        return total

    def add(self, values: NDArray[np.float64]) -> None:
        """Count some numbers."""
        if values.size:
            with np.errstate(divide="ignore"):
                places = np.round((np.log10(values) + 12) * self.PER_DECADE)
            places = np.clip(np.nan_to_num(places, posinf=len(self.counts), neginf=0), 0, len(self.counts) - 1)
            self.counts += np.bincount(places.astype(np.int64), minlength=len(self.counts))
            self.largest = max(self.largest, float(values.max()))

    @property
    def n(self) -> int:
        """How many numbers were counted."""
        return int(self.counts.sum())

    def quantile(self, q: float) -> float | None:
        """The value below which a share q of the numbers lies, to 1%; None where there are none."""
        if not self.n:
            return None
        place = int(np.searchsorted(np.cumsum(self.counts), q * self.n))
        return math.inf if place == len(self.counts) - 1 else float(10.0 ** (place / self.PER_DECADE - 12))
