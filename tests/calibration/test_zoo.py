"""The zoo: its derivatives are right, an instance is named by five words, and the exam sees what the checker does wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gradcheck.calibration import __main__ as command
from gradcheck.calibration.zoo import asked, exam, need, others
from gradcheck.calibration.zoo.asked import Answer, answer
from gradcheck.calibration.zoo.derivatives import along
from gradcheck.calibration.zoo.draw import FAMILIES, Name, instance, name
from gradcheck.calibration.zoo.figures import requirements
from gradcheck.calibration.zoo.instance import Array, Instance
from gradcheck.calibration.zoo.planted import MISTAKES
from gradcheck.calibration.zoo.tally import Tally
from gradcheck.calibration.zoo.wrappers import NOISES, SCALES


def wrong(of: Instance, seed: int = 0, on_kink: bool = False) -> list[str]:
    """What is wrong with the derivative of an instance, along a direction in which every weight moves."""
    found = []
    with np.errstate(all="ignore"):
        gradient, value = np.asarray(of.jac(of.x), float), of.fun(of.x)
    if not (np.isfinite(value) and np.isfinite(of.correct).all() and gradient.shape == of.x.shape == of.correct.shape):
        return ["not finite, or of another shape"]
    if of.exact is not None and not on_kink:
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=of.x.size)
        # every weight moves by 1e-26 of the smallest: far less than its distance to a kink or to where the function ends
        known = float(along(of.exact, of.x, signs, 1e-6 * (float(np.min(np.abs(of.x))) or 1e-3)))
        # each weight is stored in float64, and the sum is rounded n times
        allowed = (of.x.size + 1) * np.finfo(float).eps * float(np.sum(np.abs(of.correct)))
        if abs(known - of.correct @ signs) > allowed + 1e-25 * (1 + np.max(np.abs(of.correct))):
            found.append(f"correct along {signs}: {of.correct @ signs!r}, by differences {known!r}")
    # A gradient by hand has digits enough that its own rounding is not what the exam is about, in its largest entries.
    digits = 1e-2 if of.float32 else 1e-5 + 10 * of.bias
    largest = np.max(np.abs(of.correct))
    off = np.abs(gradient - of.correct) > digits * largest
    if largest > 1e-8 * (1 + abs(value)) and off.any():
        found.append(f"jac is off in {np.flatnonzero(off)}")
    return found


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_gradient_and_the_correct_derivative_are_those_of_the_ideal_function(family: str) -> None:
    points = FAMILIES[family].points
    assert points
    found = {point: wrong(instance(family, point), on_kink=point == "kink") for point in points}
    assert {point: words for point, words in found.items() if words} == {}


@pytest.mark.parametrize("factor", [1 + 1e-10, -1.0])
def test_a_wrong_derivative_is_seen(factor: float) -> None:
    of = instance("sum_sin")
    assert wrong(of) == []
    assert wrong(replace(of, correct=of.correct * factor))
    assert wrong(replace(of, jac=lambda x: of.jac(x) * (factor if factor < 0 else 1.001)))


def test_there_are_few_and_many_weights() -> None:
    sizes = [instance("sum_sin", seed=seed).x.size for seed in range(40)]
    assert sum(n >= 20 for n in sizes) >= 15
    assert min(sizes) < 6


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("scale", SCALES)
def test_an_instance_is_drawn_the_same_again_and_its_function_repeats_itself(noise: str, scale: str) -> None:
    one, other = (instance("quadratic_form", "random", noise, scale, 7) for _ in range(2))
    points = [one.x * (1 + k * 1e-9) for k in range(3)]
    assert [one.fun(x) for x in points] == [other.fun(x) for x in reversed(points)][::-1]
    assert np.array_equal(one.correct, other.correct)
    assert wrong(one) == []
    assert name("sum_sin", 5) == name("sum_sin", 5)


def test_noise_is_noise() -> None:
    """Neighbours have other values than those of the ideal function, and a wave is short."""
    plain = instance("sum_exp", seed=3)
    x = [plain.x * (1 + k * 2.0**-50) for k in range(200)]
    ideal = np.array([plain.fun(p) for p in x])
    for noise in ("white", "wave", "stairs"):
        noisy = instance("sum_exp", "random", noise, seed=3)
        off = np.array([noisy.fun(p) for p in x]) - ideal
        assert np.unique(off).size > 2, noise


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_planted_mistake_changes_the_gradient_at_x(mistake: str) -> None:
    of = instance("sum_exp", seed=3)
    jac = MISTAKES[mistake](of, np.random.default_rng(0))
    assert not np.array_equal(jac(of.x), of.jac(of.x))
    if mistake == "at_x_alone":
        assert np.array_equal(jac(of.x + 1e-9), of.jac(of.x + 1e-9))


def said(of: Instance, **changed: Array) -> Tally:
    """The tally of one answer in which some columns were changed."""
    tally, one = Tally(), answer(Name("quadratic_form", "random", "none", "one", 0), of)
    assert isinstance(one, Answer)
    tally.add(replace(one, **changed))
    return tally


def test_the_exam_sees_what_the_checker_does_wrong() -> None:
    of = instance("quadratic_form", seed=2)
    n = of.x.size
    assert [said(of).total(kind) for kind in ("false alarm", "missed", "error above bound", "needless")] == [0, 0, 0, 0]
    assert said(of, verdict=np.full(n, "mismatch", dtype=object)).total("false alarm") == n
    assert said(of, numeric=of.correct * 1.1, bound=np.abs(of.correct) / 100).total("error above bound") == n
    assert said(of, verdict=np.full(n, "inconclusive", dtype=object)).total("needless") == n
    half = np.full(n, 0.5)
    wrong_one = {"mistake": "double", "analytic": 2 * of.correct, "verdict": np.full(n, "match", dtype=object)}
    assert said(of, **wrong_one, resolution=half / 2).total("missed") == n  # type: ignore[arg-type]
    assert said(of, **wrong_one, resolution=half * 2).total("missed") == 0  # type: ignore[arg-type]


def test_what_noise_hides_could_not_be_judged() -> None:
    of = instance("sum_sin", seed=3)
    assert need.showing_step(of, 0, asked.MATCH_AT)
    blurred = replace(of, fun=lambda x: of.fun(x) + 1e3 * np.sin(1e15 * x[0]))
    assert not need.showing_step(blurred, 0, asked.MATCH_AT)


def test_an_exam_is_the_same_on_one_process_and_on_two_and_counts_every_family() -> None:
    one, two = (exam.exam(80, 1, ["sum_exp", "rational"], processes) for processes in (1, 2))
    assert one.counts == two.counts
    assert {family for family, _, _ in one.counts} == {"sum_exp", "rational"}
    assert one.total("right") >= 80
    assert {row.figure for row in requirements(one)} == {row.figure for row in requirements(two)}


def test_an_estimate_that_does_not_hold_is_counted() -> None:
    read = others.Read()
    for value, error in ((1.0, 1e-3), (1.01, 1e-3), (1.5, 1.0), (float("nan"), 1.0)):
        read.add(others.Reading(value, error, 3), 1.0)
    read.add(None, 1.0)
    assert (read.asked, read.none, read.beyond, read.far_beyond) == (5, 2, 1, 0)
    read.add(others.Reading(2.0, 1e-3, 3), 1.0)
    assert (read.beyond, read.far_beyond, read.useful, read.useful_wrong) == (2, 1, 3, 2)


@pytest.mark.parametrize("tool", others.TOOLS)
def test_each_other_tool_is_right_on_a_sine(tool: str) -> None:
    if tool in ("numdifftools", "jacobi"):
        pytest.importorskip(tool)
    reading = others.TOOLS[tool](np.sin, 1.0)
    assert abs(reading.value - np.cos(1.0)) < 1e-8
    assert 0 < reading.error < 1e-6
    assert reading.evaluations >= 4


def test_the_command_prints_the_figures_and_refuses_what_is_no_family(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--functions", "--n", "60", "--families", "rational"]) in (0, 1)
    assert "false alarms, right derivatives" in capsys.readouterr().out
    assert command.main(["--functions", "--families", "no_such"]) == 2
    assert command.main(["--functions", "--n", "0"]) == 2
    assert command.main([]) == 2
    error = capsys.readouterr().err
    assert "no family no_such" in error
    assert "RUN_DIR" in error
