"""The figures of a calibration as plain values, to be stored beside the charts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TypedDict

from gradcheck.calibration.figures import ORDINARY_SCALE, Figures, Made, RuleRow, ordinary, rule_table
from gradcheck.calibration.histogram import Histogram
from gradcheck.calibration.requirements import requirements


class BoundAt(TypedDict):
    """Medians of the bound and of the true error of a scheme at a step, over the gradient; eps is None for auto."""

    scheme: str
    eps: float | None
    bound: float | None
    error: float | None
    error_99: float | None


class DetectedAt(TypedDict):
    """How many weights with a bug of some size were judged a mismatch."""

    scheme: str
    eps: float | None
    magnitude: float
    weights: int
    caught: int


class Tightness(TypedDict):
    """Medians of the least bound over the true error."""

    by_scheme: dict[str, float | None]
    by_model: dict[str, float | None]
    by_data_scale: dict[str, float | None]


class Export(TypedDict):
    """All figures."""

    requirements: list[dict[str, object]]
    cells: int
    correct_weights: dict[str, dict[str, int]]
    wrong_weights: int
    false_alarms: list[list[str | int]]
    worst_false_alarms: list[dict[str, object]]
    sizes: dict[str, Sequence[float | None]]
    at_auto: list[list[float | str | None]]
    flat_at_auto: int
    tightness: Tightness
    auto_over_least: dict[str, list[float | None]]
    bounds: list[BoundAt]
    detected: list[DetectedAt]
    rules: list[RuleRow]
    runs: list[Made]


def export(figures: Figures) -> Export:
    """The figures as plain values; numbers have four digits, and what is infinite is None."""
    by_dtype, by_scheme, by_start = Counter[str](), Counter[str](), Counter[str]()
    for (_, dtype, scheme, start), n in figures.correct.items():
        by_dtype[dtype] += n
        by_scheme[scheme] += n
        by_start[start] += n
    return {
        "requirements": [row._asdict() for row in requirements(figures)],
        "cells": figures.cells,
        "correct_weights": {"by_dtype": dict(by_dtype), "by_scheme": dict(by_scheme), "by_start": dict(by_start)},
        "wrong_weights": figures.wrong,
        "false_alarms": [[*key, n] for key, n in figures.accused.most_common()],
        "worst_false_alarms": [alarm._asdict() for alarm in figures.examples],
        "sizes": {
            "data_n": sorted(figures.data_n),
            "weights": [min(figures.n_weights, default=0), max(figures.n_weights, default=0)],
            "data_scale": sorted(figures.data_scales),
            "eps": [min(figures.steps, default=None), max(figures.steps, default=None), len(figures.steps)],
        },
        "at_auto": [[scale, word, n] for (scale, word), n in sorted(figures.at_auto.items(), key=str)],
        "flat_at_auto": figures.flat,
        "tightness": _tightness(figures),
        "auto_over_least": {
            name: [_median(h), _number(h.quantile(0.99)), _number(h.largest)] for name, h in figures.auto_excess.items()
        },
        "bounds": [
            {"scheme": s, "eps": e, "bound": _median(b), "error": _median(t), "error_99": _number(t.quantile(0.99))}
            for (s, e), (b, t) in sorted(figures.bounds.items(), key=str)
        ],
        "detected": [
            {"scheme": s, "eps": e, "magnitude": m, "weights": n, "caught": c}
            for (s, e, m), (n, c) in sorted(figures.detected.items(), key=str)
        ],
        "rules": rule_table(figures),
        "runs": figures.made,
    }


def _tightness(figures: Figures) -> Tightness:
    of_scheme: dict[str, list[Histogram]] = {}
    of_model: dict[str, list[Histogram]] = {}
    of_scale: dict[str, list[Histogram]] = {}
    for (model, scheme, start, scale), histogram in sorted(figures.tightness.items(), key=str):
        if start == "random" and (scale or 0) <= ORDINARY_SCALE:
            of_scheme.setdefault(scheme, []).append(histogram)
        if ordinary(scheme, start, scale):
            of_model.setdefault(model, []).append(histogram)
            of_scale.setdefault(str(scale), []).append(histogram)
    return {
        "by_scheme": {name: _median(Histogram.merged(hs)) for name, hs in of_scheme.items()},
        "by_model": {name: _median(Histogram.merged(hs)) for name, hs in of_model.items()},
        "by_data_scale": {name: _median(Histogram.merged(hs)) for name, hs in of_scale.items()},
    }


def _number(value: float | None) -> float | None:
    return None if value is None or value == math.inf else float(f"{value:.4g}")


def _median(histogram: Histogram) -> float | None:
    return _number(histogram.quantile(0.5))
