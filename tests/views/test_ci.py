"""What ``show`` tells a continuous-integration system: JUnit's XML, annotations of a GitHub workflow, JSON."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from commands import QUICK, shown
from constructed import planned, result

from gradcheck.errors import Meaningless
from gradcheck.experiment.config.schema import FAIL_ON
from gradcheck.experiment.results.rows import cell_row
from gradcheck.experiment.results.writer import Writer
from gradcheck.run import main
from gradcheck.views import github, junit, outcomes
from gradcheck.views.record import Record
from gradcheck.views.tally import Tally

EVIL = "a\x1b]0;owned\x07\u202e\x00<b a='\"'>&]]>\r\n::error::x %0A,:\ufffe\ud800"


def made(folder: Path, seed: int) -> tuple[str, Counter[str], bool]:
    """A run of random cells: the ``fail_on`` that it was started with, its cells by what became of them, whether it is ok."""
    draw, counts, stored = random.Random(seed), Counter[str](), []
    fail_on = draw.choice(FAIL_ON)
    for i in range(draw.randint(0, 12)):
        bug, model = draw.choice(["none", "none", "scale"]), draw.choice(["logistic", "function"])
        plan = planned(i, bug, model)
        plan.config["model"] = {"name": model, "l2": 0.0} if model == "logistic" else {"name": model, "fun": f"m:f{i}"}
        end = draw.choice(["ok", "ok", "ok", "failed", "skipped"])
        verdict = draw.choice(["match", "mismatch", "inconclusive", "nondifferentiable"])
        if end == "ok":
            found: Any = result(i, 6, verdict, bug)
            strict = fail_on == "unjudged" or (fail_on == "auto" and model == "function")
            wrong = fail_on != "never" and (verdict == "mismatch" or (strict and verdict != "match"))
            kind = "failure" if bug == "none" and wrong else "passed"
            if bug == "none" and not wrong and verdict != "match":
                kind = "doubtful"
        else:
            found = ValueError("nan\nat x0") if end == "failed" else Meaningless("no effect here")
            kind = "error" if end == "failed" else "skipped"
        counts[kind] += 1
        stored.append(cell_row(plan, found, 0.25))
    with Writer(folder, {"overrides": ["eps=1e-4", f"fail_on={fail_on}"] if fail_on != "auto" else []}) as writer:
        for row in stored:
            writer.add(row)
    return fail_on, counts, Tally([row.cell for row in stored]).ok(fail_on)


def read_junit(path: Path) -> tuple[Counter[str], list[ElementTree.Element]]:
    """The cases of a report by what became of them, as a reader of JUnit's XML counts them, and the cases."""
    root = ElementTree.parse(path).getroot()
    assert root.tag == "testsuites"
    (suite,) = root
    cases = list(suite)
    kinds = Counter[str]()
    for case in cases:
        assert case.tag == "testcase"
        assert re.fullmatch(r"\d+\.\d{3}", case.attrib["time"])
        (element,) = case or [ElementTree.Element("passed")]
        kinds["doubtful" if element.tag == "system-out" else element.tag] += 1
    counts = {"tests": len(cases), "failures": kinds["failure"], "errors": kinds["error"]}
    for part in (root, suite):
        assert {name: int(part.attrib[name]) for name in counts} == counts
        assert float(part.attrib["time"]) == pytest.approx(sum(float(case.attrib["time"]) for case in cases), abs=0.02)
    assert int(suite.attrib["skipped"]) == kinds["skipped"]
    assert "skipped" not in root.attrib  # nor in the schema of Jenkins
    assert len({(case.attrib["classname"], case.attrib["name"]) for case in cases}) == len(cases)
    return kinds, cases


COMMAND = re.compile(r"::(error|warning)(?: ([^:]*))?::(.*)")


def read_github(line: str) -> tuple[str, dict[str, str], str]:
    """A line as the runner of a workflow reads it."""
    match = COMMAND.fullmatch(line)
    assert match
    properties = dict(one.split("=", 1) for one in (match[2] or "").split(",") if one)
    for code, sign in (("%2C", ","), ("%3A", ":"), ("%0A", "\n"), ("%0D", "\r"), ("%25", "%")):
        properties = {key: value.replace(code, sign) for key, value in properties.items()}
    return match[1], properties, match[3].replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%")


@pytest.mark.parametrize("seed", range(6))
def test_each_cell_is_told_as_the_exit_status_of_the_run_takes_it(
    tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    _, expected, ok = made(tmp_path / "run", seed)
    assert "saved  " in shown(capsys, tmp_path / "run", "--junit", tmp_path / "out.xml")
    kinds, cases = read_junit(tmp_path / "out.xml")
    assert +kinds == +expected
    assert {case.attrib["time"] for case in cases} <= {"0.250"}
    assert ok == (not kinds["failure"] and not kinds["error"])
    lines = [line for line in shown(capsys, tmp_path / "run", "--github").splitlines() if line.startswith("::")]
    levels = Counter(read_github(line)[0] for line in lines)
    assert levels["error"] == expected["failure"] + expected["error"]
    assert levels["warning"] == expected["doubtful"]
    assert not list(tmp_path.glob(".*tmp"))


def test_a_fault_in_what_is_told_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(outcomes, "fails", lambda row, fail_on: row.get("verdict") == "mismatch")
    for seed in range(6):
        (tmp_path / str(seed)).mkdir()
        try:
            test_each_cell_is_told_as_the_exit_status_of_the_run_takes_it(tmp_path / str(seed), seed, capsys)
        except AssertionError:
            return
    raise AssertionError("the fault was not seen")


FUNCTIONS = """import numpy as np

def f(x):
    return float(np.sum(np.sin(x)))

class Other:
    def good(x):
        return np.cos(x)

    @staticmethod
    def bad(x):
        return 2 * np.cos(x)
"""


def test_every_swept_key_is_told_and_an_annotation_stands_where_the_gradient_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("package").mkdir()
    Path("package/mine.py").write_text(FUNCTIONS)
    typed = ("model=function", "model.fun=package.mine:f", "model.jac=package.mine:Other.good,package.mine.Other.bad")
    points = ("model.x0=[0.5],[0.5,0.25]", "match_at=1e-2,1e-3")
    assert main([*typed, *points, "-m", "hydra.sweep.dir=run", *QUICK]) == 1
    capsys.readouterr()
    found = json.loads(shown(capsys, "run", "--json"))
    assert {"model_jac", "model_x0", "match_at", "init_values"} <= set(found["swept"])
    cells = found["cells"]
    assert len({(c["model_jac"], c["model_x0"], c["match_at"], str(c["init_values"])) for c in cells}) == 8
    assert {str(cell["init_values"]) for cell in cells} == {"{'x': [0.5]}", "{'x': [0.5, 0.25]}"}
    assert {row["model_jac"] for row in found["worst"]} == {"package.mine.Other.bad"}
    lines = [line for line in shown(capsys, "run", "--github").splitlines() if line.startswith("::")]
    assert len(lines) == 4
    for line in lines:
        level, properties, message = read_github(line)
        assert level == "error"
        assert properties == {
            "file": "package/mine.py",
            "line": "11",
            "title": "gradcheck: mismatch in package.mine.Other.bad",
        }
        assert "model_jac=package.mine.Other.bad" in message
        assert " 2 times too large" in message
        assert "python -m gradcheck.show run --cell" in message
    shown(capsys, "run", "--junit", "out.xml")
    _, cases = read_junit(Path("out.xml"))
    assert sum("Other.bad" in case.attrib["name"] for case in cases) == 4


def test_the_arrays_of_a_sweep_are_told_with_their_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    typed = ("data=values", "data.X=[[1,2],[3,5]],[[2,1],[0,4]]", "data.y=[0,1]", "-m", "hydra.sweep.dir=run")
    assert main([*typed, *QUICK]) == 0
    capsys.readouterr()
    found = json.loads(shown(capsys, "run", "--json"))
    assert found["swept"] == ["data_X"]
    assert sorted(cell["data_X"] for cell in found["cells"]) == [[[1, 2], [3, 5]], [[2, 1], [0, 4]]]


def test_nothing_in_a_record_ends_a_line_or_an_element(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = result(0, verdict="mismatch")
    evil.summary |= {"worst_param": "a\n::error::b", "diagnosis": EVIL.replace("\ud800", "")}
    harm = EVIL.replace("\ud800", "")
    with Writer(tmp_path / "run", {"overrides": [f"fail_on={harm}"]}) as writer:
        writer.add(cell_row(planned(0, "none", harm), evil, 0.0))
        writer.add(cell_row(planned(1, "none"), ValueError(harm), 0.0))
        writer.add(cell_row(planned(2, "none"), Meaningless(harm), 0.0))
    kinds, cases = read_junit_of(tmp_path / "run", tmp_path / "out.xml", capsys)
    assert kinds == {"failure": 1, "error": 1, "skipped": 1}
    assert all(sign not in ElementTree.tostring(case, "unicode") for case in cases for sign in "\x1b\x07\u202e")
    lines = shown(capsys, tmp_path / "run", "--github").splitlines()
    commands = [line for line in lines if "::" in line.lstrip()[:2]]
    assert [read_github(line)[0] for line in commands] == ["error", "error"]


def read_junit_of(
    run: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[dict[str, int], list[ElementTree.Element]]:
    shown(capsys, run, "--junit", out)
    kinds, cases = read_junit(out)
    return dict(kinds), cases


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--junit", "nowhere/out.xml"], "--junit=nowhere/out.xml: No such file"),
        (["--junit", "."], "--junit=.:"),
        (["--junit", "s3://key:secret@bucket/x"], "--junit=s3://bucket/x: must be a place on this machine"),
        (["--junit", "out.xml", "--cell", "a"], "--cell=a: shows one cell"),
        (["--github", "--cell", "a"], "--cell=a: shows one cell"),
        (["--junit", ""], "--junit=.: Is a directory"),
        (["--junit", "."], "--junit=.: Is a directory"),
        (["--junit", "run"], "--junit=run: Is a directory"),
    ],
)
def test_what_cannot_be_told_is_refused_in_one_line(
    options: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made(tmp_path / "run", 1)
    monkeypatch.chdir(tmp_path)
    assert said in shown(capsys, "run", *options, status=2)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_report_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path / "run", 3)
    out = tmp_path / "out.xml"
    out.write_text("old")

    def broken(record: Record) -> Any:
        yield "<testsuites>"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(junit, "lines", broken)
    with pytest.raises(ValueError, match="No space left"):
        junit.write(Record(tmp_path / "run"), out)
    assert out.read_text() == "old"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mine:f", ("mine.py", 1)),
        ("mine.f", ("mine.py", 1)),
        ("mine:nobody", ("mine.py", 1)),
        ("mine:C.g", ("mine.py", 4)),
        ("deep.er:f", ("deep/er/__init__.py", 2)),
        ("broken:f", ("broken.py", 1)),
        ("os.path:join", None),
        ("outside:f", None),
        ("../mine:f", None),
        ("", None),
    ],
)
def test_a_function_is_found_without_importing_it(
    name: str, expected: tuple[str, int] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    (here / "deep/er").mkdir(parents=True)
    (tmp_path / "secret.py").write_text("def f(x): ...\n")
    (here / "outside.py").symlink_to(tmp_path / "secret.py")
    (here / "mine.py").write_text("def f(x): ...\nraise SystemExit('imported')\nclass C:\n    def g(x): ...\n")
    (here / "deep/er/__init__.py").write_text("\ndef f(x): ...\n")
    (here / "broken.py").write_text("def f(x:\n")
    monkeypatch.chdir(here)
    github.place_of.cache_clear()
    found = github.place_of(name)
    assert (None if found is None else (found[0].as_posix(), found[1])) == expected


def test_several_runs_are_told_each_with_its_own_fail_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, number, fail_on in (("strict", 0, "unjudged"), ("lax", 4, "never")):
        with Writer(tmp_path / name, {"overrides": [f"fail_on={fail_on}"]}) as writer:
            writer.add(cell_row(planned(number), result(number, 6, "inconclusive"), 0.5))
    runs = [tmp_path / "strict", tmp_path / "lax"]
    assert "saved  " in shown(capsys, *runs, "--junit", tmp_path / "out.xml")
    kinds, _ = read_junit(tmp_path / "out.xml")
    assert kinds == {"failure": 1, "doubtful": 1}
    lines = [line for line in shown(capsys, *runs, "--github").splitlines() if line.startswith("::")]
    told = {level: message for level, _, message in map(read_github, lines)}
    assert f"python -m gradcheck.show {tmp_path / 'strict'} --cell" in told["error"]
    assert f"python -m gradcheck.show {tmp_path / 'lax'} --cell" in told["warning"]


def test_the_home_folder_may_be_named_by_a_tilde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path / "run", 0)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    shown(capsys, "run", "--junit", "~/report.xml")
    assert read_junit(tmp_path / "report.xml")
    assert not Path("~").exists()
