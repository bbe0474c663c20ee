"""The pytest plugin: runs of pytest inside of tests, with the entry point that ``pyproject.toml`` declares."""

from __future__ import annotations

import inspect
import pickle
import re
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradcheck
from gradcheck import GradientMismatch
from gradcheck.functions import assertion
from gradcheck.functions.testing import check
from gradcheck.functions.testing.check import GradientCheck, seed_of

pytest_plugins = "pytester"

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "gradcheck" / "functions" / "testing" / "README.md").read_text(encoding="utf-8")
ENTRIES = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]["pytest11"]
FILE = """\
import numpy as np
import pytest

def loss(x):
    return np.sum(np.sin(x))

X = np.arange(3.0)
"""


@pytest.fixture
def project(pytester: pytest.Pytester, tmp_path_factory: pytest.TempPathFactory) -> pytest.Pytester:
    """An empty project beside which a package with the entry points of ours is installed, and nothing else of pytest's."""
    site = tmp_path_factory.mktemp("site")
    info = site / "probe-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: probe\nVersion: 1\n", encoding="utf-8")
    lines = [f"{name} = {target}" for name, target in ENTRIES.items()]
    (info / "entry_points.txt").write_text("[pytest11]\n" + "\n".join(lines) + "\n", encoding="utf-8")
    pytester.syspathinsert(site)
    pytester.syspathinsert(ROOT)
    monkeypatch = pytester._monkeypatch
    monkeypatch.setenv("PYTHONPATH", f"{site}:{ROOT}")
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("CI", "BUILD_NUMBER"):  # pytest shows more lines there
        monkeypatch.delenv(name, raising=False)
    pytester.plugins = []
    return pytester


def run(project: pytest.Pytester, test: str, *options: str) -> pytest.RunResult:
    project.makepyfile(test_it=FILE + test)
    return project.runpytest_inprocess("-W", "error", "-p", "no:cacheprovider", *options)


RIGHT = """
def test_right(gradient_check):
    r = gradient_check(loss, np.cos, X)
    assert r.verdict == "match"
"""
TWICE = """
def test_twice(gradient_check):
    gradient_check(loss, lambda x: 2 * np.cos(x), X)
"""


# --- what passes and what fails --------------------------------------------------------------------------------------


def blocks(language: str) -> list[str]:
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```", PAGE)


def test_fifty_functions_of_the_page_pass(project: pytest.Pytester) -> None:
    project.makepyfile(test_fifty=blocks("python")[0], test_more="\n".join(blocks("python")[1:]))
    project.runpytest_inprocess("-W", "error").assert_outcomes(passed=52)


def test_a_mistake_in_one_of_them_is_said_in_the_lines_that_the_page_shows(project: pytest.Pytester) -> None:
    right = '"squared": (lambda r: np.sum(r**2) / 2, lambda r: r)'
    assert right in blocks("python")[0]
    project.makepyfile(test_fifty=blocks("python")[0].replace(right, right.replace("lambda r: r)", "lambda r: 2 * r)")))
    done = project.runpytest_inprocess("-W", "error")
    done.assert_outcomes(passed=40, failed=10)
    shown = blocks("text")[0].splitlines()
    assert [line for line in done.outlines if line in shown] == shown


def test_a_right_gradient_passes_and_a_wrong_one_fails(project: pytest.Pytester) -> None:
    run(project, RIGHT + TWICE).assert_outcomes(passed=1, failed=1)


def test_the_whole_report_is_the_message(project: pytest.Pytester) -> None:
    lines = run(project, TWICE).outlines
    r = gradcheck.check_gradient(
        lambda x: np.sum(np.sin(x)), lambda x: 2 * np.cos(x), np.arange(3.0), seed=seed_of("test_it.py::test_twice")
    )
    told = [line.removeprefix("E").strip() for line in lines if line.startswith("E ")]
    assert told[0] == "gradcheck.GradientMismatch: " + str(r).splitlines()[0]
    assert told[1:-1] == [line.strip() for line in str(r).splitlines()[1:]]
    assert told[-1] == f"seed={seed_of('test_it.py::test_twice')}"


FAILURES = {
    "mismatch": TWICE,
    "no gradient": "\ndef test_none(gradient_check):\n    gradient_check(loss, lambda x: None, X)\n",
    "setting": "\ndef test_setting(gradient_check):\n    gradient_check(loss, np.cos, X, match_at=-1)\n",
    "user": "\ndef mine(x):\n    return x[7]\n\ndef test_user(gradient_check):\n    gradient_check(mine, np.cos, X)\n",
    "strict": "\ndef test_s(gradient_check):\n    gradient_check(lambda x: x @ x, lambda x: 2 * x, np.ones(3000), strict=1)\n",
    "assert": "\ndef test_a():\n    import gradcheck\n    gradcheck.assert_gradient(loss, np.exp, X)\n",
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_traceback_shows_no_frame_of_the_package(project: pytest.Pytester, kind: str) -> None:
    done = run(project, FAILURES[kind])
    done.assert_outcomes(failed=1)
    files = re.findall(r"(?m)^(\S+\.py):\d+: ", str(done.stdout))
    assert set(files) == {"test_it.py"}
    if kind == "user":
        assert any(line.startswith(">") and "x[7]" in line for line in done.outlines)


def test_a_frame_of_the_package_would_be_seen(project: pytest.Pytester) -> None:
    done = run(
        project, "\ndef test_bare():\n    import gradcheck\n    gradcheck.check_gradient(loss, lambda x: None, X)\n"
    )
    assert re.search(r"(?m)^\S*gradcheck/functions/\S+\.py:\d+: ", str(done.stdout))


# --- the summary -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("test", [TWICE, TWICE.replace("gradient_check(loss", "gradcheck.assert_gradient(loss")])
def test_the_short_summary_shows_the_finding(project: pytest.Pytester, test: str) -> None:
    done = run(project, "import gradcheck\n" + test)
    finding = "MISMATCH: The whole gradient is 2 times too large."
    assert f"FAILED test_it.py::test_twice - gradcheck.GradientMismatch: {finding}" in done.outlines
    assert f"test_it.py::test_twice: {finding}" in done.outlines


def test_a_narrow_terminal_shows_the_finding_too(project: pytest.Pytester) -> None:
    project._monkeypatch.setenv("COLUMNS", "60")
    done = run(project, TWICE)
    assert "test_it.py::test_twice: MISMATCH: The whole gradient is 2 times too large." in done.outlines


def test_a_wrong_gradient_in_a_fixture_of_the_project_is_in_the_summary_too(project: pytest.Pytester) -> None:
    test = """
@pytest.fixture
def checked(gradient_check):
    gradient_check(loss, np.exp, X)

def test_it(checked):
    pass
"""
    done = run(project, test)
    done.assert_outcomes(errors=1)
    assert any(
        line.startswith("ERROR test_it.py::test_it - gradcheck.GradientMismatch: MISM") for line in done.outlines
    )
    assert any(line.startswith("test_it.py::test_it: MISMATCH: ") for line in done.outlines)


@pytest.mark.parametrize("style", ["short", "line", "native", "no"])
def test_every_style_of_traceback_is_content(project: pytest.Pytester, style: str) -> None:
    done = run(project, TWICE, f"--tb={style}")
    done.assert_outcomes(failed=1)
    assert "test_it.py::test_twice: MISMATCH: The whole gradient is 2 times too large." in done.outlines


def test_an_expected_failure_and_an_expected_error_are_none(project: pytest.Pytester) -> None:
    xfail = TWICE.replace("\ndef", "\n@pytest.mark.xfail\ndef")
    raises = """
def test_raises(gradient_check):
    from gradcheck import GradientMismatch
    with pytest.raises(GradientMismatch, match="2 times too large"):
        gradient_check(loss, lambda x: 2 * np.cos(x), X)
"""
    done = run(project, xfail + raises)
    done.assert_outcomes(xfailed=1, passed=1)
    done.stdout.no_fnmatch_line("*= gradients =*")


def test_nothing_is_added_where_no_gradient_is_wrong(project: pytest.Pytester) -> None:
    done = run(project, RIGHT + "\ndef test_other():\n    assert 1 == 2\n")
    done.stdout.no_fnmatch_line("*= gradients =*")
    assert any(line.startswith("FAILED test_it.py::test_other - assert 1 == 2") for line in done.outlines)


def test_without_a_diagnosis_the_worst_weight_is_the_finding() -> None:
    r = gradcheck.check_gradient(lambda x: np.sum(np.sin(x)), lambda x: 2 * np.cos(x), np.arange(3.0))
    object.__setattr__(r, "diagnosis", None)
    with pytest.raises(GradientMismatch) as caught:
        assertion.require(r, strict=False, limited=False)
    assert caught.value.finding.startswith(
        "MISMATCH: 3 of 3 weights are wrong (all of x); x[0] is 2.000e+00 for 1.000e+00"
    )


def test_the_error_is_named_as_a_user_imports_it_and_can_be_sent_to_another_process() -> None:
    error = GradientMismatch("report\nof two lines", "finding")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.finding) == (GradientMismatch, str(error), "finding")
    assert f"{GradientMismatch.__module__}.{GradientMismatch.__qualname__}" == "gradcheck.GradientMismatch"
    assert GradientMismatch("report\nof two lines").finding == "report"


# --- JUnit -----------------------------------------------------------------------------------------------------------


def properties(file: Path) -> dict[str, dict[str, str]]:
    cases = ET.parse(file).getroot().iter("testcase")
    return {case.attrib["name"]: {p.attrib["name"]: p.attrib["value"] for p in case.iter("property")} for case in cases}


@pytest.mark.parametrize("family", ["xunit1", "xunit2"])
def test_junit_has_the_verdict_the_resolution_and_the_evaluations(project: pytest.Pytester, family: str) -> None:
    run(project, RIGHT + TWICE, "--junitxml=j.xml", "-o", f"junit_family={family}").assert_outcomes(passed=1, failed=1)
    found = properties(project.path / "j.xml")
    r = gradcheck.check_gradient(
        lambda x: np.sum(np.sin(x)), np.cos, np.arange(3.0), seed=seed_of("test_it.py::test_right")
    )
    told = {"verdict": "match", "resolution": str(r.resolution), "evaluations": str(r.nfev)}
    assert found["test_right"] == told
    assert found["test_twice"]["verdict"] == "mismatch"
    (failure,) = ET.parse(project.path / "j.xml").getroot().iter("failure")
    assert failure.attrib["message"] == "gradcheck.GradientMismatch: MISMATCH: The whole gradient is 2 times too large."


def test_several_calls_of_a_test_are_recorded_apart() -> None:
    kept: list[tuple[str, object]] = []
    checked = GradientCheck(0, kept)
    checked(lambda x: x @ x, lambda x: 2 * x, np.ones(2))
    with pytest.raises(GradientMismatch):
        checked(lambda x: x @ x, lambda x: x, np.ones(2))
    assert [name for name, _ in kept] == [
        *("verdict", "resolution", "evaluations"),
        *("verdict_2", "resolution_2", "evaluations_2"),
    ]
    assert dict(kept)["verdict_2"] == "mismatch"
    assert {type(value) for _, value in kept} == {str, float, int}  # what can be sent to another process


# --- the seed --------------------------------------------------------------------------------------------------------

SEEDS = """
import pathlib
SEEN = pathlib.Path(__file__).with_name("seeds")

def note(gradient_check, name):
    with SEEN.open("a") as file:
        file.write(f"{name} {gradient_check.seed}\\n")

@pytest.mark.parametrize("k", [1, 2])
def test_one(gradient_check, k):
    note(gradient_check, f"test_it.py::test_one[{k}]")

class TestMany:
    @pytest.mark.xdist_group("g")
    def test_two(self, gradient_check):
        note(gradient_check, "test_it.py::TestMany::test_two")
"""


def seeds(project: pytest.Pytester) -> dict[str, int]:
    file = project.path / "seeds"
    found = {name: int(seed) for name, seed in (line.split() for line in file.read_text(encoding="utf-8").splitlines())}
    file.unlink()
    return found


def test_the_seed_is_a_checksum_of_the_id_in_every_process(project: pytest.Pytester) -> None:
    run(project, SEEDS).assert_outcomes(passed=3)
    here = seeds(project)
    assert here == {name: zlib.crc32(name.encode()) for name in here}
    assert len(set(here.values())) == 3
    project.makepyfile(test_it=FILE + SEEDS + TWICE)
    done = project.runpytest_subprocess("-n", "1", "--dist", "loadgroup", "-p", "no:cacheprovider", "--junitxml=j.xml")
    done.assert_outcomes(passed=3, failed=1)
    assert seeds(project) == here
    # what a worker found reaches the summary and JUnit
    finding = "MISMATCH: The whole gradient is 2 times too large."
    assert f"FAILED test_it.py::test_twice - gradcheck.GradientMismatch: {finding}" in done.outlines
    assert f"test_it.py::test_twice: {finding}" in done.outlines
    assert properties(project.path / "j.xml")["test_twice"]["verdict"] == "mismatch"


def test_the_seed_draws_and_another_one_may_be_given() -> None:
    def drawn(own: int, **given: int) -> list[int]:
        r = GradientCheck(own, [])(lambda x: x @ x, lambda x: 2 * x, np.ones(50), sample=5, **given)
        return [int(i) for i in r.table["flat_index"]]

    assert drawn(1) == drawn(1) != drawn(2)
    assert drawn(1, seed=2) == drawn(2)


# --- options ---------------------------------------------------------------------------------------------------------


def test_every_option_of_the_assertion_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    r = gradcheck.check_gradient(lambda x: x @ x, lambda x: 2 * x, np.ones(2))
    got: dict[str, Any] = {}

    def taken(*given: Any, **options: Any) -> gradcheck.Outcome:
        got.update(options, given=given)
        return r

    monkeypatch.setattr(check, "check_gradient", taken)
    names = [n for n, p in inspect.signature(gradcheck.assert_gradient).parameters.items() if p.kind is p.KEYWORD_ONLY]
    options = {name: object() for name in names if name != "strict"}
    assert GradientCheck(0, [])("fun", "jac", "x0", "args", strict=True, **options) is r  # type: ignore[arg-type]
    assert got.pop("given") == ("fun", "jac", "x0", "args")
    assert got == options
    assert set(options) >= {"eps", "scheme", "points", "bounds", "sample", "max_nfev", "seed"}


def kinked(x: Any) -> Any:
    return np.sum(np.maximum(x, 0) ** 2)


# one weight of twelve is so small that no step shows its derivative
KINKED = np.append(np.arange(1.0, 12.0), 1e-170)


def strict_message(**options: Any) -> GradientMismatch:
    with pytest.raises(GradientMismatch) as caught:
        GradientCheck(0, [])(**options, strict=True)
    return caught.value


@pytest.mark.parametrize(
    ("options", "finding"),
    [
        (
            {"fun": kinked, "jac": lambda x: 2 * np.maximum(x, 0), "x0": KINKED},
            "11 of 12 weights agree, 1 could not be judged",
        ),
        (
            {"fun": lambda x: x @ x, "jac": lambda x: 2 * x, "x0": np.ones(3000)},
            "3000 weights were looked at along directions, not one by one",
        ),
    ],
)
def test_strict_fails_with_words_that_say_no_match(options: dict[str, Any], finding: str) -> None:
    assert GradientCheck(0, [])(**options).ok
    error = strict_message(**options)
    headline = str(error).splitlines()[0]
    assert headline.startswith("STRICT CHECK FAILED  ")
    assert "MATCH" not in headline
    assert "\nstrict: " in str(error)
    assert error.finding == f"STRICT CHECK FAILED: {finding}"


def test_strict_with_directions_is_content_where_they_were_asked_for() -> None:
    many = {"fun": lambda x: x @ x, "jac": lambda x: 2 * x, "x0": np.ones(3000)}
    assert GradientCheck(0, [])(**many, strict=True, max_nfev=500).ok
    assert GradientCheck(0, [])(**many, strict=True, sample=20).ok


# --- what pytest offers ----------------------------------------------------------------------------------------------


def test_a_class_of_unittest_takes_it_by_one_fixture(project: pytest.Pytester) -> None:
    test = """
import unittest

class TestIt(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _take(self, gradient_check):
        self.gradient_check = gradient_check

    def test_right(self):
        self.gradient_check(loss, np.cos, X)

    def test_wrong(self):
        self.gradient_check(loss, np.exp, X)
"""
    done = run(project, test, "--junitxml=j.xml")
    done.assert_outcomes(passed=1, failed=1)
    assert any(
        line.startswith("FAILED test_it.py::TestIt::test_wrong - gradcheck.GradientMismatch: MISM")
        for line in done.outlines
    )
    assert properties(project.path / "j.xml")["test_right"]["verdict"] == "match"


def test_it_can_be_switched_off(project: pytest.Pytester) -> None:
    done = run(project, TWICE, "-p", "no:gradcheck")
    done.assert_outcomes(errors=1)
    assert any("fixture 'gradient_check' not found" in line for line in done.outlines)


def test_it_is_listed_with_its_first_line(project: pytest.Pytester) -> None:
    done = run(project, RIGHT, "--fixtures")
    assert any("Check a gradient in a test" in line for line in done.outlines)


def test_loading_it_beside_pytest_loads_nothing_else() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules)\n"
        f"import {ENTRIES['gradcheck']}\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    module = ENTRIES["gradcheck"].split(".")
    assert set(done.stdout.split()) == {".".join(module[: k + 1]) for k in range(len(module))}


# --- wrong uses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("use", "error", "words"),
    [
        ("gradient_check(loss, np.cos)", "TypeError", "missing 1 required positional argument: 'x0'"),
        ("gradient_check(loss(X), np.cos, X)", "TypeError|ContractError", "fun"),
        ("gradient_check(loss, np.cos(X), X)", "TypeError|ContractError", "jac"),
        ("gradient_check(loss, np.cos, X, rtol=1e-5)", "TypeError", "rtol"),
        ("gradient_check(loss, lambda x: None, X)", "ContractError", "the gradient is None"),
        ("gradient_check(loss, lambda x: np.cos(x)[:2], X)", "ContractError", "shape"),
        ("gradient_check(lambda x: np.random.rand(), np.cos, X)", "ContractError", "not deterministic"),
        ("gradient_check(loss, np.cos, X, eps=0)", "ContractError", "eps"),
        ("gradient_check(loss, np.cos, X, scheme='centre')", "ValueError", "scheme"),
        ("gradient_check(loss, np.cos, X, sample=0)", "ValueError", "sample"),
        ("gradient_check(loss, np.cos, X, max_nfev=3)", "ValueError", "max_nfev"),
        ("gradient_check(loss, np.cos, X, accept=1)", "ValueError", "accept"),
    ],
)
def test_a_wrong_use_is_told_in_one_line(use: str, error: str, words: str) -> None:
    space = {"np": np, "X": np.arange(3.0), "loss": lambda x: np.sum(np.sin(x)), "gradient_check": GradientCheck(0, [])}
    with pytest.raises(Exception, match=re.escape(words)) as caught:
        eval(use, space)
    assert re.fullmatch(error, type(caught.value).__name__)
    assert "\n" not in str(caught.value)
