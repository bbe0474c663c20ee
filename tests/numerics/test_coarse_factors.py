"""One factor of the whole gradient where bounds are wide: it is named, and is read into nothing that has another cause."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from trials import coarse, diagnoses

import gradcheck
from gradcheck.numerics.diagnosis import fits

NAMED = (-1.0, 2.0, 0.5, 100.0, 0.01)  # 100 is the number of examples
OTHER = (3.0, 0.3, -2.0)


@pytest.mark.parametrize("factor", NAMED + OTHER)
def test_a_factor_is_named_where_bounds_are_wide(factor: float) -> None:
    """Bounds are of the worst case: rounding of sums shows a tenth of them and less."""
    found = coarse.kinds(1, 40, coarse.times(factor), 0.1)
    assert found["scattered"] == 0
    assert found["constant_factor"] >= 0.85 * 40, found


@pytest.mark.parametrize("factor", [factor for factor in NAMED + OTHER if factor != 100.0])
def test_no_gradient_that_one_factor_explains_is_said_to_have_no_pattern(factor: float) -> None:
    """In the worst case too: where all errors are as large as their bounds.

    A factor of 100 is left out: it fits whatever is below 100 bounds, which says nothing.
    """
    assert coarse.kinds(2, 40, coarse.times(factor), 0.95)["scattered"] == 0


@pytest.mark.parametrize("noise", [0.1, 0.95])
def test_no_factor_is_read_into_a_coarse_gradient_without_a_pattern(noise: float) -> None:
    found = coarse.kinds(3, 200, diagnoses.without_pattern, noise)
    wrong = sum(count for kind, count in found.items() if kind not in diagnoses.GENERIC)
    assert wrong <= 3 * diagnoses.INVENTED * 200, found  # 1 in 100 by the definition of evidence; 3 times, of 200


def test_without_what_nearness_shows_factors_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted fault: with the bounds alone as evidence."""
    monkeypatch.setattr(fits, "nearness", lambda *_: -np.inf)
    monkeypatch.setattr(fits, "LIKELY", fits.DECADES)
    assert coarse.kinds(1, 40, coarse.times(-1.0), 0.1)["constant_factor"] < 0.85 * 40


def test_a_sign_flip_in_coarse_float32_is_one(tmp_path: Path) -> None:
    grid = [
        "scheme=central,forward",
        "dtype=float32",
        "eps=1e-1,1e-2,1e-3,1e-4,1e-5",
        "data.seed=0,1,2",
        "engine=serial",
    ]
    runs = gradcheck.run_experiment(
        ["bug=sign_flip", "data.n=100", *grid, f"hydra.sweep.dir={tmp_path}/run"], multirun=True
    )
    wrong = runs.cells[runs.cells["n_mismatch"] >= 4]
    assert len(wrong) > 20
    assert set(wrong["diagnosis_kind"]) <= {"constant_factor", "unknown"}
    assert (wrong["diagnosis_kind"] == "constant_factor").mean() > 0.9
    assert wrong["diagnosis"].str.contains("wrong sign").all()
    assert not runs.cells["diagnosis"].str.contains("without a pattern", na=False).any()
