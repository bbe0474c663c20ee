"""Paired axes: ``zip`` varies the lists of some keys together, and is no part of what a cell is."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from commands import QUICK, interrupted_after, rows
from trials import pairs

from gradcheck.columns.store import PLAN
from gradcheck.experiment.config import compose
from gradcheck.experiment.config.harmless import harmless
from gradcheck.experiment.config.hydra_private import Hydra
from gradcheck.experiment.grid import dimensions, paired
from gradcheck.run import main

FUNCTIONS = """
import numpy as np

def _pair(n):
    def fun(x):
        return float(np.sum(np.sin(x + n)))
    def jac(x):
        return np.cos(x + n) * (1.5 if n == 7 else 1.0)
    return fun, jac

for n in range(1, 51):
    globals()[f"f{n}"], globals()[f"g{n}"] = _pair(n)
"""
EXPERIMENT = """# @package _global_
hydra:
  mode: MULTIRUN
  sweeper:
    params:
      data.n: 5,6,7
      bug: none,scale
      data.d: range(1,4)
zip: [data.n, data.d]
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def hydra() -> Iterator[Hydra]:
    with compose.opened() as opened:
        yield opened


def test_random_grids_have_the_cells_of_itertools_in_its_order_with_the_ids_that_they_have_alone(hydra: Hydra) -> None:
    """In full: ``python -m tests.trials pairs``."""
    assert set(pairs.compared(hydra, 4, 1)) == {None}


def test_a_grid_that_is_paired_wrongly_is_seen(hydra: Hydra, monkeypatch: pytest.MonkeyPatch) -> None:
    one = pairs.Grid(
        {"data.seed": ["1", "2"], "init.seed": ["1", "2"], "data.n": ["5", "6"]}, [["data.n", "data.seed"]]
    )
    right = paired.together
    faults: list[Callable[[list[tuple[int, ...]]], list[tuple[int, ...]]]] = [
        lambda found: [(place,) for places in found for place in sorted(places)],  # multiplied
        lambda found: sorted((tuple(sorted(places)) for places in found), key=min),  # where it is typed first
        lambda found: found[::-1],
    ]
    assert pairs.difference(hydra, one, random.Random(0)) is None
    for fault in faults:
        monkeypatch.setattr(dimensions, "together", lambda *given, fault=fault: fault(right(*given)))
        assert pairs.difference(hydra, one, random.Random(0)) is not None


def stored(*typed: str, status: int = 0) -> list[dict[str, Any]]:
    assert main([*typed, "hydra.sweep.dir=run", *QUICK]) == status
    return rows(Path("run"))[0]


def test_fifty_functions_with_their_gradients_are_fifty_cells() -> None:
    Path("fifty.py").write_text(FUNCTIONS)
    functions, gradients = ([f"fifty:{letter}{n}" for n in range(1, 51)] for letter in "fg")
    typed = ("model=function", f"model.fun={','.join(functions)}", f"model.jac={','.join(gradients)}")
    cells = stored(*typed, "model.x0=[1.0,2.0]", "zip=[model.fun,model.jac]", "-m", status=1)
    assert sorted((cell["model_fun"], cell["model_jac"]) for cell in cells) == sorted(
        zip(functions, gradients, strict=True)
    )
    assert [cell["model_fun"] for cell in cells if not cell["ok"]] == ["fifty:f7"]


def test_an_experiment_file_may_pair_its_axes_and_a_line_may_part_them(capfd: pytest.CaptureFixture[str]) -> None:
    Path("conf/experiment").mkdir(parents=True)
    Path("conf/experiment/mine.yaml").write_text(EXPERIMENT)
    typed = ["--config-dir=conf", "+experiment=mine", "dry_run=true"]
    for more, said in (
        ((), "6 cells"),
        (("zip=[]",), "18 cells"),
        (("zip=[bug,init.seed]", "init.seed=1,2"), "18 cells"),
    ):
        assert main([*typed, *more]) == 0
        assert capfd.readouterr().out.startswith(said)
    assert main([*typed, "data.d=3"]) == 2
    assert "data.d=3 is one value" in capfd.readouterr().err
    misplaced = EXPERIMENT.replace("zip:", "      zip:")
    Path("conf/experiment/mine.yaml").write_text(misplaced)
    assert main(typed) == 2
    assert "is no axis; write zip: [...] beside hydra" in capfd.readouterr().err


def test_pairs_are_no_part_of_a_cell_and_an_interrupted_run_is_resumed_to_the_same_cells() -> None:
    typed = ("bug=none,scale,zero_entry", "data.n=20,30,40", "eps=1e-4,1e-6", "zip=[data.n,bug]", "-m")
    whole = stored(*typed)
    assert {(cell["bug"], cell["data_n"]) for cell in whole} == {("none", 20), ("scale", 30), ("zero_entry", 40)}
    assert not any("zip" in name for name in whole[0])
    assert all("zip" not in json.loads(cell["config"]) for cell in whole)
    assert not any("zip" in json.loads(text) for text in pq.read_table(Path("run") / PLAN)["config"].to_pylist())
    with interrupted_after(2):
        assert main([*typed, "hydra.sweep.dir=cut", *QUICK]) == 130
    assert main(["resume=cut", *QUICK]) == 0
    assert rows(Path("cut"))[0] == whole


LINES = [
    ("data.n=5,6 zip=[data.n,data.d] -m", "data.d has no list in this sweep"),
    ("data.n=5,6 data.d=7 zip=[data.n,data.d] -m", "data.d=7 is one value"),
    ("data.n=5,6 nope=1 zip=[data.n,nope] -m", "nope=1: no such key"),
    ("data.n=5,6 progress=none zip=[data.n,progress] -m", "progress=none is one value"),
    ("zip=[data.n] -m", "this sweep has no axes"),
    ("data.n=5,6 data.d=1,2 zip=[[data.n,data.d],[data.n,data.d]] -m", "data.n stands there 2 times"),
    ("data.n=5,6 zip=[data.n,data.n] -m", "data.n stands there 2 times"),
    ("data.n=5,6 data.d=1,2,3 zip=[data.n,data.d] -m", "data.n has 2, data.d has 3 values"),
    ("data.n=range(0,1000000000000) data.d=1,2 zip=[data.n,data.d] -m", "data.n has 1000000000000, data.d has 2"),
    ("bug=glob(*) data.d=1,2 zip=[bug,data.d] -m", "must have the same length"),
    ("init.seed=range(9000000) data.seed=range(9000000) zip=[init.seed,data.seed] -m", "more than max_cells"),
    ("model.l2=1,2 ++model.l2=3,4 data.n=5,6 zip=[model.l2,data.n] -m", "model.l2 has 2 lists"),
    ("zip=[data.n,data.d]", "there is no sweep"),
    ("data.n=5 zip=[[data.n,data.d]] eps=[1e-4,1e-5]", "there is no sweep"),
    ("zip=[data.n],[data.d] -m", "is no axis"),
    ("data.n=1,2 zip=data.n -m", "list"),
    ("data.n=1,2 zip=[data.n,[data.d]] -m", "must be a list of keys"),
    ("data.n=1,2 zip=[[]] -m", "must be a list of keys"),
    ("data.n=1,2 zip=[1,null] -m", "must be a list of keys"),
    ("data.n=1,2 zip=[{a:1}] -m", "must be a list of keys"),
    ("data.n=1,2 data.d=1,2 zip=[data.n,data.d] hydra/sweeper=basic -m", "leave hydra/sweeper=basic out"),
    ("data.n=1,2 data.d=1,2 zip=[data.n,data.d] hydra/launcher=basic -m", "leave hydra/launcher=basic out"),
    ("~zip data.n=1,2 -m", "zip"),
    ("zip.0=data.n data.n=1,2 -m", "zip"),
    ("resume=run zip=[data.n]", "zip"),
]


@pytest.mark.parametrize(("typed", "said"), LINES)
def test_what_cannot_be_paired_is_refused_in_one_line(
    typed: str, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(typed.split()) == 2
    err = capfd.readouterr().err
    assert said in err
    assert "zip" in err or "nope" in err or "max_cells" in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_help_names_it(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "zip=[data.n,data.d]" in capfd.readouterr().out


def test_a_command_of_a_record_keeps_what_is_paired_and_no_more() -> None:
    assert harmless("zip=[data.n,data.d]")
    assert harmless("zip=[[data.n, data.d],[bug,eps]]")
    assert not harmless("zip=${oc.env:HOME}")
    assert not harmless("zip=$(touch owned)")
    assert not harmless("+zip=[data.n]")


def test_references_are_resolved_at_each_paired_point(hydra: Hydra) -> None:
    one = pairs.Grid({"data.seed": ["1", "2"], "init.seed": ["${data.seed}", "7"]}, [["init.seed", "data.seed"]])
    numbered = pairs.Grid(
        {"data.n": ["5", "6"], "data.d": ["2", "3"], "bug": ["none", "scale"]}, [["data.n", "data.d"]]
    )
    typed = [*numbered.typed(random.Random(0)), "init.seed=${hydra:job.num}"]
    assert pairs.difference(hydra, one, random.Random(0)) is None
    seeds = {}
    for point in pairs.planned(hydra, typed):
        seeds[point["data"]["n"], point["bug"]["name"]] = point["init"]["seed"]
    assert seeds == {(5, "none"): 0, (5, "scale"): 1, (6, "none"): 2, (6, "scale"): 3}
