"""``model=function``: the check of somebody's function in the runner, and that no record makes us import anything."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import gradcheck
from gradcheck import reproduce, show
from gradcheck.columns.store import PLAN
from gradcheck.experiment.config import identity
from gradcheck.experiment.config.build import build
from gradcheck.experiment.config.form import canonical
from gradcheck.experiment.results.part import locate
from gradcheck.functions.imports import find, module_of, permitted
from gradcheck.functions.model import Function
from gradcheck.run import main

QUICK = ("engine=serial", "progress=none")
ROSEN = (
    "model=function",
    "model.fun=scipy.optimize.rosen",
    "model.jac=scipy.optimize.rosen_der",
    "model.x0=[1.2,0.8,1.1]",
)
PLANTED = """
from pathlib import Path
with Path(__file__).with_name("imported").open("a") as log:
    log.write("x")
import numpy as np
def loss(x, k=1.0): return float(k * np.sum(x**2))
def gradient(x, k=1.0): return 2 * k * x
def both(x, k=1.0): return loss(x, k), gradient(x, k)
def row(x): return x
def wrong_shape(x): return np.ones((1, x.size + 1))
def named(p, table, word): return float(np.sum(table * p["A"]) + p["b"] ** 2) if word == "yes" else np.nan
def named_gradient(p, table, word): return {"A": table + 0 * p["A"], "b": 2 * p["b"]}
def magnitude(x): return float(np.sum(np.abs(x)))
def kinked(x): return np.sum(np.abs(x))
def sign(x): return np.sign(x)
"""


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "planted.py").write_text(PLANTED, encoding="utf-8")
    identity.digests.cache_clear()
    yield
    forget()


def forget() -> None:
    sys.modules.pop("planted", None)
    identity.digests.cache_clear()


def imported() -> bool:
    return "planted" in sys.modules or Path("imported").exists()


def run(*arguments: str, status: int = 0) -> list[dict[str, Any]]:
    assert main([*arguments, *QUICK]) == status
    return pq.read_table(locate("latest") / "cells").to_pylist()


def planted(fun: str = "loss", jac: str = "gradient", *more: str, x0: str = "[1.5,-2,0.25]") -> tuple[str, ...]:
    return ("model=function", f"model.fun=planted.{fun}", f"model.jac=planted.{jac}", f"model.x0={x0}", *more)


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str], command: Any = main) -> str:
    assert command(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("gradcheck: ")
    assert captured.err.count("\n") == 1
    return captured.err


# --- the check --------------------------------------------------------------------------------------------------------


def test_the_rosenbrock_function_of_scipy_matches_at_x0() -> None:
    (row,) = run(*ROSEN)
    assert (row["verdict"], row["n_match"], row["model"], row["data"], row["init"]) == (
        "match",
        3,
        "function",
        "none",
        "values",
    )
    errors = pq.read_table(locate("latest") / "errors").to_pylist()
    assert [e["weight"] for e in errors] == [1.2, 0.8, 1.1]
    assert [e["param"] for e in errors] == ["x"] * 3
    assert {e["correct"] for e in errors} == {None}  # nobody knows


def test_it_gives_the_numbers_of_check_gradient() -> None:
    from scipy.optimize import rosen, rosen_der

    run(*ROSEN)
    errors = pq.read_table(locate("latest") / "errors").to_pydict()
    r = gradcheck.check_gradient(rosen, rosen_der, [1.2, 0.8, 1.1])
    for name in ("numeric", "analytic", "bound", "step"):
        assert errors[name] == r.table[name].tolist()


def test_a_grid_over_bugs_schemes_dtypes_and_steps() -> None:
    rows = run(
        *ROSEN, "bug=none,sign_flip,zero_param,missing_mean", "scheme=central,complex_step,richardson",
        "dtype=float32,float64", "eps=auto,1e-4", "-m",
    )  # fmt: skip
    assert {row["status"] for row in rows} == {"ok", "skipped"}
    done = [row for row in rows if row["status"] == "ok"]
    assert {row["bug"] for row in done} == {"none", "sign_flip", "zero_param"}
    for row in done:
        assert row["verdict"] != "mismatch" if row["bug"] == "none" else row["verdict"] == "mismatch", row
    reasons = {row["message"] for row in rows if row["status"] == "skipped"}
    assert any("gives its gradient whole" in reason for reason in reasons)
    assert any("float32" in reason for reason in reasons)


def test_parameters_with_names_arguments_and_both_at_once() -> None:
    args = "model.args=[[[1.5, 0.5], [2, 3]], 'yes']"
    (row,) = run(*planted("named", "named_gradient", args, x0="{b: 2, A: [[1, 2], [3, 4]]}"))
    assert (row["verdict"], row["n_match"]) == ("match", 5)
    errors = pq.read_table(locate("latest") / "errors").to_pylist()
    assert [e["param"] for e in errors] == ["A"] * 4 + ["b"]
    (row,) = run("model=function", "model.fun=planted:both", "model.jac=true", "model.x0=[[1.5,-2]]", "model.args=[3]")
    assert row["verdict"] == "match"


def test_another_init_takes_only_the_shapes_of_x0() -> None:
    first, second = run(*ROSEN, "init=normal", "init.seed=0,1", "-m")
    assert first["loss"] != second["loss"]
    assert first["verdict"] == second["verdict"] == "match"
    # at the minimum the gradient is 0: nothing is judged
    (row,) = run(*ROSEN, "init=values", "init.values={x: [1, 1, 1]}", status=1)
    assert (row["loss"], row["verdict"], row["n_judged"], row["ok"]) == (0, "inconclusive", 0, False)
    assert run(*ROSEN, "init=values", "init.values={x: [1, 1, 1]}", "fail_on=mismatch")


def test_dtype_reaches_the_function() -> None:
    (row,) = run(*planted("loss", "gradient", "dtype=float32", "model.args=[0.5]"))
    assert (row["verdict"], row["dtype"]) == ("match", "float32")
    assert row["loss"] == np.float32(0.5 * (1.5**2 + 4 + 0.25**2))


def test_a_kink_is_no_mismatch() -> None:
    # the gradient lies between the slopes on both sides, so this weight is judged
    (row,) = run(*planted("magnitude", "sign", "model.x0=[1.0, 0.0]"))
    assert (row["verdict"], row["n_match"], row["n_nondifferentiable"]) == ("partial", 1, 1)
    (row,) = run(*planted("magnitude", "sign", "model.x0=[1.0, 1e-9]"))
    assert row["n_mismatch"] == 0


def test_what_is_not_complex_safe_is_refused_alone_and_skipped_in_a_grid(capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, [*planted("magnitude", "sign"), "scheme=complex_step", *QUICK])
    assert "planted.magnitude is not complex-safe" in line
    rows = run(*planted("magnitude", "sign"), "scheme=central,complex_step", "-m")
    assert {row["scheme"]: row["status"] for row in rows} == {"central": "ok", "complex_step": "skipped"}
    assert "not complex-safe" in next(row["message"] for row in rows if row["status"] == "skipped")


def test_a_broken_contract_fails_the_cell_with_its_words() -> None:
    (row,) = run(*planted("loss", "wrong_shape"), status=1)
    assert row["status"] == "failed"
    assert "shape (1, 4)" in row["message"]
    (row,) = run(*planted("row", "gradient"), status=1)
    assert "one number" in row["message"]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model.fun=scipy.optimize.rosenn", ("model.fun=scipy.optimize.rosenn", "no rosenn")),
        ("model.fun=nosuch.f", ("model.fun=nosuch.f", "no module nosuch")),
        ("model.fun=rosen", ("model.fun=rosen", "module.function")),
        ("model.jac=numpy.pi", ("model.jac=numpy.pi", "must be a function")),
        ("model.jac='a b'", ("model.jac=a b", "module.function", "true")),
        ("model.x0=[[1],[2,3]]", ("model.x0", "ragged")),
        ("model.x0=[]", ("model.x0=[]", "numbers")),
        ("model.x0=[a]", ("model.x0", "numbers only")),
        ("model.fun=broken.f", ("model.fun=broken.f", "ZeroDivisionError")),
        ("model.fun=needy.f", ("model.fun=needy.f", "needs nosuch")),
        ("bug=missing_mean", ("bug=missing_mean", "function")),
    ],
)
def test_bad_input_is_one_line(override: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    Path("broken.py").write_text("1 / 0\n", encoding="utf-8")
    Path("needy.py").write_text("import nosuch\n", encoding="utf-8")
    line = refused(capsys, [*ROSEN, override, *QUICK])
    for word in words:
        assert word in line


# --- identity ---------------------------------------------------------------------------------------------------------


def test_the_source_of_the_functions_is_part_of_the_id_and_the_place_is_not(tmp_path: Path) -> None:
    def cell() -> str:
        forget()
        return str(run(*planted())[0]["cell"])

    first = cell()
    assert cell() == first
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    source = Path("planted.py").read_text(encoding="utf-8")
    (tmp_path / "planted.py").write_text(source.replace("2 * k * x", "2.0 * k * x"), encoding="utf-8")
    assert cell() != first
    (tmp_path / "planted.py").write_text(source, encoding="utf-8")
    assert cell() == first
    # a helper that the functions call
    (tmp_path / "planted.py").write_text(f"{source}\n\ndef helper():\n    return 3\n", encoding="utf-8")
    assert cell() != first


def test_the_source_is_that_of_what_was_imported_whatever_becomes_of_the_file(tmp_path: Path) -> None:
    model = Function("planted.loss", "planted.gradient", 1.0)
    model.permit(["planted"])
    first = model.digests()
    (tmp_path / "planted.py").write_text("# nothing is left\n", encoding="utf-8")
    assert model.digests() == first
    (tmp_path / "planted.py").write_text(f"{PLANTED}\n", encoding="utf-8")
    forget()
    again = Function("planted.loss", "planted.gradient", 1.0)
    again.permit(["planted"])
    assert again.digests() != first


def test_compiled_functions_are_known_by_name_and_version() -> None:
    model = Function("math:sin", "math:cos", 1.0)
    model.permit(["math"])
    assert len(set(model.digests().values())) == 2
    assert model.digests() == model.digests()


# --- nothing is imported that nobody typed ----------------------------------------------------------------------------


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run of a planted module, as somebody else would send it; the module is forgotten."""
    run(*planted())
    found = locate("latest")
    forget()
    Path("imported").unlink()
    return found


def test_show_and_load_of_a_record_import_nothing(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show.main([str(record)]) == 0
    runs = gradcheck.load(record)
    assert len(runs.cells) == 1
    assert json.loads(runs.cells["config"].iloc[0])["model"]["fun"] == "planted.loss"
    runs.errors.to_table()
    assert not imported()


def test_reproduce_imports_only_what_is_allowed(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "model.fun=planted.loss" in (line := refused(capsys, [str(record)], reproduce.main))
    assert "--allow planted" in line
    assert "planted" in refused(capsys, [str(record), "--allow", "plant"], reproduce.main)
    assert "planted" in refused(capsys, [str(record), "--allow", "scipy.optimize"], reproduce.main)
    assert not imported()
    assert reproduce.main([str(record), "--allow", "planted"]) == 0
    assert imported()


def test_resume_imports_only_what_is_allowed(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (record / PLAN).is_file()
    for part in record.glob("*/*.parquet"):
        part.unlink()
    assert "model.fun=planted.loss" in refused(capsys, [f"resume={record}", *QUICK])
    assert "planted" in refused(capsys, [f"resume={record}", "allow=[other]", *QUICK])
    assert not imported()
    assert main([f"resume={record}", "allow=[planted]", *QUICK]) == 0
    assert len(pq.read_table(record / "cells").to_pylist()) == 1


def experiment(text: str) -> str:
    folder = Path("mine/experiment")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "theirs.yaml").write_text("# @package _global_\n" + text, encoding="utf-8")
    return "--config-dir=mine"


THEIRS = """
defaults:
  - override /model: function
model:
  fun: planted.loss
  jac: planted.gradient
  x0: [1.0, 2.0]
"""


@pytest.mark.parametrize(
    "more",
    [
        "",
        "allow: [planted]\n",
        "hydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      eps: 1e-4,1e-5\n      model.fun: planted.loss\n",
        "hydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      +allow: '[planted]'\n",
    ],
)
def test_a_function_named_by_a_file_is_not_imported(more: str, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, [experiment(THEIRS + more), "+experiment=theirs", *QUICK])
    assert not imported()


def test_a_file_s_function_is_imported_where_its_module_was_typed(capsys: pytest.CaptureFixture[str]) -> None:
    folder = experiment(THEIRS)
    assert main([folder, "+experiment=theirs", "allow=[planted]", *QUICK]) == 0
    assert main([folder, "+experiment=theirs", "allow=planted", *QUICK]) in (0, 2)
    # the module of a function that was typed here is allowed for the other one too
    assert main([folder, "+experiment=theirs", "model.fun=planted.loss", *QUICK]) == 0


def test_an_interpolation_is_not_typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THEIRS", "planted.loss")
    more = ("model=function", "model.fun=${oc.env:THEIRS}", "model.jac=scipy.optimize.rosen_der", "model.x0=[1.0,2.0]")
    assert "planted.loss" in refused(capsys, [*more, *QUICK])
    assert not imported()


def test_names_are_allowed_by_whole_parts() -> None:
    assert permitted("a.b.f", ["a"])
    assert permitted("a.b:f", ["a.b"])
    assert permitted("a.b.f", ["a.b.f"])
    assert not permitted("ab.f", ["a"])
    assert not permitted("a.f", ["a.b"])
    assert not permitted("a.f", [])
    assert module_of("a.b:C.f") == "a.b"
    assert module_of("a.b.f") == "a.b"


def test_no_way_leads_through_an_allowed_module_into_another() -> None:
    Path("open_door.py").write_text("import os\ndef f(x): return 0.0\n", encoding="utf-8")
    model = Function("open_door:os.system", "open_door:f", [1.0])
    model.permit(["open_door"])
    with pytest.raises(ValueError, match=r"model\.fun=open_door:os\.system: leads through the module"):
        model.function("fun")
    assert model.function("jac")(1.0) == 0.0
    sys.modules.pop("open_door")


@pytest.mark.parametrize("written", [True, False])
def test_a_function_changed_within_the_second_is_the_one_that_runs(
    written: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytecode of a file of the same size and time is taken for fresh: none may be left beside a stranger's module."""
    monkeypatch.setattr(sys, "dont_write_bytecode", written)
    for number in "12":
        Path("changed.py").write_text(f"def fun(x): return {number} * x\n", encoding="utf-8")
        os.utime("changed.py", (10**9, 10**9))
        try:
            assert find("model.fun", "changed.fun", ("changed",))(1) == int(number)
        finally:
            sys.modules.pop("changed", None)
    assert sys.dont_write_bytecode is written


def test_building_a_cell_imports_nothing() -> None:
    form = canonical(
        {
            "model": {"name": "function", "fun": "planted.loss", "jac": "planted.gradient", "x0": [1, 2]},
            "data": {"source": "none"}, "init": {"name": "values"}, "bug": {"name": "none"},
            "eps": "auto", "scheme": "central", "dtype": "float64", "match_at": 1e-2,
        }
    )  # fmt: skip
    assert form["init"]["values"] == {"x": [1.0, 2.0]}
    assert canonical(form) == form
    build(form, ["planted"])
    assert not imported()
    with pytest.raises(ValueError, match=r"model\.fun=planted\.loss"):
        identity.cell_id(form)
    assert not imported()
