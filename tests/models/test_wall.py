"""The slow way is the definition: without the fast ways every verdict stays, and what they give is the same."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from instances import INSTANCES, Instance

import gradcheck
from gradcheck.bugs import BUGS
from gradcheck.experiment.cell import Cell, check_cell, pose
from gradcheck.experiment.sources.data import NoData
from gradcheck.experiment.sources.gaussian import Gaussian
from gradcheck.experiment.sources.init import Normal
from gradcheck.models.dense import Dense
from gradcheck.models.fast.perturbation import Perturbation
from gradcheck.models.in_full import NetInFull
from gradcheck.models.target import NoTarget
from gradcheck.numerics.check import check
from gradcheck.numerics.schemes import SCHEMES

PACKAGE = Path(gradcheck.__file__).parent
NETS = [instance for instance in INSTANCES if isinstance(instance.model, Dense)]
CASES = [(one, "central") for one in INSTANCES] + [(one, "complex_step") for one in INSTANCES if one.model.smooth]
BUGGED = ("none", "double_count")


def cell(instance: Instance, bug: str, scheme: str) -> Cell:
    takes_none = isinstance(instance.model.target, NoTarget)
    source = NoData() if takes_none else Gaussian(n=instance.n, d=instance.d, outputs=instance.outputs)
    return Cell(instance.model, source, Normal(0, 0.7), BUGS[bug](), SCHEMES[scheme], np.dtype(float), 1e-2)


def verdicts(one: Cell) -> list[str]:
    return check_cell(one).weights["verdict"]


@pytest.fixture
def walled_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """No fast way, and whoever takes one is seen."""

    def taken(*given: Any) -> None:
        raise AssertionError("a fast way was taken")

    monkeypatch.setattr(Perturbation, "__init__", taken)
    monkeypatch.setattr("gradcheck.models.fast.lines.lines_of", taken)
    monkeypatch.setattr(Dense, "fast", None)


@pytest.mark.parametrize(("instance", "scheme"), CASES, ids=str)
def test_without_the_fast_ways_every_verdict_stays(
    instance: Instance, scheme: str, request: pytest.FixtureRequest
) -> None:
    cells = [cell(instance, bug, scheme) for bug in BUGGED]
    fast = [verdicts(one) for one in cells]
    # both outcomes there are
    assert "mismatch" not in fast[0]
    assert "mismatch" in fast[1]
    request.getfixturevalue("walled_off")
    assert [verdicts(one) for one in cells] == fast


@pytest.mark.usefixtures("walled_off")
def test_who_takes_a_fast_way_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dense, "fast", None)
    with pytest.raises(AssertionError, match="a fast way was taken"):
        Perturbation(NETS[0].model.net, NETS[0].theta(), NETS[0].batch())


@pytest.mark.parametrize("instance", NETS, ids=str)
def test_kinks_are_those_of_the_definition(instance: Instance) -> None:
    """Every kink within reach along every weight, and how far it bends the loss."""
    theta, data = instance.theta(), instance.batch()
    slow, fast = NetInFull(instance.model.net, theta, data), Perturbation(instance.model.net, theta, data)
    index = np.arange(theta.size)
    reach = np.full(theta.size, 0.3)
    points = theta[:, None] + np.array([-3, -0.3, 0.1, 0.3, 3])
    (losses, bent), (same, as_bent) = (way.losses(index, points) for way in (slow, fast))
    # sums of 13 examples over at most three layers of five units: some hundred roundings, of the largest loss
    tolerance = 2.0**-44 * np.abs(losses).max()
    np.testing.assert_allclose(same, losses, rtol=0, atol=tolerance)
    np.testing.assert_allclose(as_bent, bent, rtol=2.0**-40, atol=tolerance)
    if instance.model.smooth:
        return
    found, expected = (way.crossings(index, reach) for way in (fast, slow))
    assert len(expected.row) > 0
    one, other = (np.lexsort((c.jump, c.distance, c.row)) for c in (found, expected))
    assert np.array_equal(found.row[one], expected.row[other])
    np.testing.assert_allclose(found.distance[one], expected.distance[other], rtol=2.0**-40, atol=2.0**-44)
    np.testing.assert_allclose(found.jump[one], expected.jump[other], rtol=2.0**-40, atol=2.0**-44)
    assert np.array_equal(found.side[one], expected.side[other])


def test_a_fast_way_that_is_wrong_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: a loss along lines that is off in the tenth digit, and kinks that are left out."""
    whole = Perturbation.losses
    monkeypatch.setattr(
        Perturbation, "losses", lambda self, i, p: (whole(self, i, p)[0] * (1 + 1e-10), whole(self, i, p)[1])
    )
    relu = next(instance for instance in NETS if not instance.model.smooth)
    with pytest.raises(AssertionError):
        test_kinks_are_those_of_the_definition(relu)
    monkeypatch.setattr(Perturbation, "losses", whole)
    known = Perturbation.crossings
    monkeypatch.setattr(Perturbation, "crossings", lambda self, i, r: known(self, i, r / 2))
    with pytest.raises(AssertionError):
        test_kinks_are_those_of_the_definition(relu)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("instance", NETS, ids=str)
def test_the_noise_along_a_line_is_all_that_differs(
    instance: Instance, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    theta, data = instance.theta(dtype), instance.batch(dtype)
    along = instance.model.rounding(theta, data)
    monkeypatch.setattr(Dense, "fast", None)
    full = instance.model.rounding(theta, data)
    assert np.all(full.line == full.loss)
    same = replace(full, line=along.line)
    assert all(np.array_equal(getattr(same, name), getattr(along, name)) for name in vars(along))


def test_nobody_but_the_nets_knows_the_fast_ways() -> None:
    """The wall has one door."""
    doors = set()
    for path in PACKAGE.rglob("*.py"):
        own = path.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            named += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if any(f"{name}.".startswith("gradcheck.models.fast.") for name in named):
                doors.add(own)
    assert {own for own in doors if not own.startswith("models/fast/")} == {"models/dense.py"}


def test_a_problem_without_kinks_needs_no_losses_by_structure() -> None:
    """The loss at one point after the other is all that a check asks for."""
    for instance, scheme in CASES[::4]:
        if instance.model.smooth:
            one = cell(instance, "none", scheme)
            found = check(replace(pose(one), perturbed_losses=None), one.scheme, "auto", one.match_at)
            assert found.weights["verdict"] == verdicts(one), instance
