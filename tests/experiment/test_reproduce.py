"""Running recorded configs again: what is the same, what lies within the bound, what does not, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from constructed import rewrite

from gradcheck import reproduce
from gradcheck.columns.weights import ERRORS
from gradcheck.errors import BadInput
from gradcheck.experiment.config import identity
from gradcheck.experiment.config.columns import column_name
from gradcheck.experiment.config.form import canonical
from gradcheck.experiment.engines import engines
from gradcheck.experiment.replay import comparison, intervals, replay
from gradcheck.experiment.replay.record import chosen
from gradcheck.experiment.results.plan import Planned
from gradcheck.experiment.results.rows import CELLS, cell_row
from gradcheck.experiment.results.stored import Stored
from gradcheck.experiment.results.writer import Writer

BASE: dict[str, Any] = {
    "model": {"name": "logistic", "l2": 0.1},
    "data": {"source": "gaussian", "n": 30, "d": 3},
    "init": {"name": "normal"},
    "bug": {"name": "none"},
    "eps": 1e-5,
    "scheme": "central",
    "dtype": "float64",
    "match_at": 1e-2,
}


def jobs(**changes: Any) -> list[Planned]:
    found = []
    for eps in (1e-4, "auto"):
        for bug in ({"name": "none"}, {"name": "scale", "magnitude": 2.0}, {"name": "activation_derivative_at_output"}):
            form = canonical({**BASE, "eps": eps, "bug": bug, **changes})
            found.append(Planned(identity.cell_id(form), form, {"bug.magnitude": form["bug"].get("magnitude")}))
    return found


def record(folder: Path, **changes: Any) -> Path:
    planned = jobs(**changes)
    with Writer(folder, {}) as writer:
        for job, outcome, seconds in engines.run(planned, engine="serial"):
            writer.add(cell_row(job, outcome, seconds))
    return folder


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("runs") / "run")


def altered(run: Path, copy: Path, folder: str, column: str, change: Callable[[Any, dict[str, Any]], Any]) -> Path:
    """A copy of a run in which one column was changed, value by value."""
    for source in sorted(run.glob("*/*.parquet")):
        table = pq.read_table(source)
        if source.parent.name == folder:
            place = table.schema.get_field_index(column)
            values = [change(row[column], row) for row in table.to_pylist()]
            table = table.set_column(place, table.schema.field(place), pa.array(values, table.schema.field(place).type))
        target = copy / source.parent.name
        target.mkdir(parents=True, exist_ok=True)
        rewrite(source, table, target)
    return copy


def command(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str]:
    status = reproduce.main([str(one) for one in arguments])
    captured = capsys.readouterr()
    if status == 2:
        assert captured.out == ""
        assert captured.err.startswith("gradcheck: ")
        assert captured.err.count("\n") == 1
        return status, captured.err
    assert captured.err == ""
    return status, captured.out


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `replay.reproduce` has found for the command."""
    found: list[Any] = []
    reproduce_ = replay.reproduce

    def keeping(*arguments: Any) -> Any:
        found.append(reproduce_(*arguments))
        return found[-1]

    monkeypatch.setattr(replay, "reproduce", keeping)
    return found


def test_a_run_made_here_is_the_same_to_the_bit(original: Path, capsys: pytest.CaptureFixture[str]) -> None:
    statuses = {row["status"] for row in Stored(original).cell_rows(["status"])}
    assert statuses == {"ok", "skipped"}
    found = replay.reproduce(original)
    assert found.cells == 6
    for column in found.columns:
        assert column.identical == column.compared, column
    assert set(found.weights) == set(ERRORS.names)
    assert {*CELLS.names, "bug_magnitude"} - set(found.summary) == {"seconds"}
    status, text = command(capsys, original)
    assert status == 0
    assert "REPRODUCED  every column is the same to the bit" in text


@pytest.mark.parametrize("dtype", ["float32", "longdouble"])
def test_other_precisions_are_reproduced_too(tmp_path: Path, dtype: str) -> None:
    assert replay.reproduce(record(tmp_path, dtype=dtype)).identical


@pytest.mark.parametrize(
    "name", ["analytic", "numeric", "correct", "abs_err", "rel_err", "truncation", "roundoff", "bound"]
)
def test_half_a_bound_away_is_reproduced_but_not_bit_for_bit(
    original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kept: list[Any], name: str
) -> None:
    def nudge(value: float, row: dict[str, Any]) -> float:
        if name != "rel_err":
            return value + 0.5 * row["bound"]
        # d|a - n| / (|a| + |n|) is 2 max(|a|, |n|) / (|a| + |n|)**2 times what a and n move together
        sizes = abs(row["analytic"]), abs(row["numeric"])
        return value + 0.5 * row["bound"] * 2 * max(sizes) / sum(sizes) ** 2

    # cells without a mismatch, whose verdicts hang on no last digit
    run = altered(original, tmp_path, "errors", name, lambda v, row: nudge(v, row) if row["bug"] == "scale" else v)
    status, text = command(capsys, run)
    assert status == 0
    assert "REPRODUCED, not bit for bit" in text
    (found,) = kept
    assert found.reproduced
    assert not found.identical
    assert 0.4 <= found.weights[name].distance <= 0.6


def moved(run: Path, copy: Path, share: float, seed: int) -> Path:
    """A copy of a run whose numbers are off by that share of their bounds, and all that follows from them is computed anew."""
    rng = np.random.default_rng(seed)
    cells = {row["cell"]: row for row in Stored(run).cell_rows()}
    for source in sorted((run / "errors").glob("*.parquet")):
        table = pq.read_table(source)
        w = {name: np.array(table[name].to_pylist(), dtype=float) for name in intervals.NUMBERS}
        # both gradients share the bound: in each weight one of them takes all of it
        split, signs = rng.integers(0, 2, table.num_rows), rng.choice([-share, share], (3, table.num_rows))
        w["analytic"] += signs[0] * split * w["bound"]
        w["numeric"] += signs[1] * (1 - split) * w["bound"]
        w |= {name: w[name] * (1 + signs[2]) for name in ("truncation", "roundoff")}
        w["bound"] = w["truncation"] + w["roundoff"]
        w |= intervals.derived(w)
        for name, values in w.items():
            table = table.set_column(table.schema.get_field_index(name), name, pa.array(values))
        (copy / "errors").mkdir(parents=True, exist_ok=True)
        rewrite(source, table, copy / "errors")
        ids = np.array(table["cell"].to_pylist())
        for cell in set(ids):
            of_cell = intervals.figures({name: values[ids == cell] for name, values in w.items()})
            cells[cell] |= {name: float(value[0]) for name, value in of_cell.items()}
    for source in sorted((run / "cells").glob("*.parquet")):
        table = pq.read_table(source)
        for name in intervals.FIGURES:
            values = pa.array([cells[cell][name] for cell in table["cell"].to_pylist()], pa.float64())
            table = table.set_column(table.schema.get_field_index(name), name, values)
        (copy / "cells").mkdir(parents=True, exist_ok=True)
        rewrite(source, table, copy / "cells")
    return copy


@pytest.mark.parametrize("seed", range(3))
def test_numbers_that_moved_within_their_bounds_are_reproduced_with_all_that_follows(
    original: Path, tmp_path: Path, seed: int
) -> None:
    found = replay.reproduce(moved(original, tmp_path / "near", 0.99, seed))
    assert found.reproduced, [column for column in found.columns if column.beyond]
    assert max(column.distance for column in found.columns) > 0.9
    # by a hundredth of a bound beyond it: the numbers are reported, and what follows from them is as far away
    found = replay.reproduce(moved(original, tmp_path / "far", 1.01, seed))
    assert not found.reproduced
    beyond = {column.name for column in found.columns if column.beyond}
    assert {"analytic", "numeric", "bound"} <= beyond
    assert max(column.distance for column in found.columns) < 1.02


def times(factor: float) -> Callable[[Any, Any], Any]:
    return lambda value, row: None if value is None else value * factor


def far(value: float, row: dict[str, Any]) -> float:
    return value + 3 * row["bound"]


def other_seed(value: str, row: dict[str, Any]) -> str:
    found = json.loads(value)
    found["init"]["seed"] += 1
    return json.dumps(found)


FORGERIES = {
    **{f"errors.{name}": far for name in ("analytic", "numeric", "correct", "abs_err", "rel_err", "weight", "step")},
    **{f"errors.{name}": times(1e9) for name in ("truncation", "roundoff", "bound", "resolution")},
    "errors.verdict": lambda value, row: "match",
    "errors.reason": lambda value, row: "flat",
    "errors.param": lambda value, row: "V",
    "errors.position": lambda value, row: [7],
    "errors.model": lambda value, row: "linear",
    "errors.eps": lambda value, row: 1e-4,
    "errors.flat_index": lambda value, row: value + 1,
    "errors.cell": lambda value, row: "0" * 16,
    **{f"cells.{name}": times(1.5) for name in ("loss", "max_rel_err", "median_rel_err", "norm_difference")},
    "cells.max_resolution": times(9.0),
    "cells.median_resolution": times(9.0),
    "cells.n_match": lambda value, row: 99,
    "cells.n_evals": lambda value, row: 1,
    "cells.verdict": lambda value, row: "match",
    "cells.diagnosis": lambda value, row: "all is well",
    "cells.diagnosis_kind": lambda value, row: "none at all",
    "cells.bug_injected": lambda value, row: False,
    "cells.status": lambda value, row: "failed",
    "cells.message": lambda value, row: "other words",
    "cells.cell": lambda value, row: "f" * 16,
    "cells.data_n": lambda value, row: 31,
    "cells.bug_magnitude": lambda value, row: 3.0,
    "cells.config": other_seed,
}


@pytest.mark.parametrize("place", FORGERIES)
def test_a_forged_column_is_not_reproduced(
    original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kept: list[Any], place: str
) -> None:
    folder, name = place.split(".")
    run = altered(original, tmp_path, folder, name, FORGERIES[place])
    status, text = command(capsys, run)
    assert status == 1
    assert "NOT REPRODUCED" in text
    if place not in (
        "errors.cell",
        "cells.cell",
        "cells.config",
        "errors.flat_index",
    ):  # there everything else is off too
        beyond = {column.name for column in kept[0].columns if column.beyond}
        assert beyond == {name}


def test_each_rule_is_compared(original: Path, tmp_path: Path) -> None:
    rules = [name for name in CELLS.names if name.startswith("rule_")]
    assert rules
    run = altered(original, tmp_path, "cells", rules[0], lambda value, row: None if value is None else not value)
    assert not replay.reproduce(run).reproduced


def test_the_count_of_evaluations_may_turn_only_with_numbers_of_a_chosen_step(original: Path, tmp_path: Path) -> None:
    """How many steps are tried may depend on the last digit of a bound, which another processor rounds otherwise."""
    near = moved(original, tmp_path / "near", 0.5, 0)
    counts: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
        "chosen": lambda value, row: value and value + 4 * (row["eps"] is None),
        "given": lambda value, row: value and value + 4 * (row["eps"] is not None),
    }
    runs = {
        (name, word): altered(run, tmp_path / name / word, "cells", "n_evals", change)
        for name, run in (("moved", near), ("same", original))
        for word, change in counts.items()
    }
    assert {where: replay.reproduce(run).reproduced for where, run in runs.items()} == {
        ("moved", "chosen"): True,
        ("moved", "given"): False,
        ("same", "chosen"): False,
        ("same", "given"): False,
    }


def test_a_verdict_may_turn_only_where_its_own_numbers_say_so() -> None:
    old = {"bound": [1.0, 1.0, 1.0], "abs_err": [0.5, 1.5, 1.5], "analytic": [0.0, 0.0, 0.0]}
    follows = comparison.verdict_follows({**old, "verdict": ["match", "mismatch", "match"]})
    assert follows.tolist() == [True, True, False]


# ------------------------------------------------------------------------------------------------------------ choosing


def test_one_cell_and_samples(original: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cell = jobs()[1].cell
    assert "1 cell computed again" in command(capsys, original, "--cell", cell[:10])[1]
    assert "2 cells computed again" in command(capsys, original, "--sample", "2")[1]
    assert "6 cells computed again" in command(capsys, original, "--sample", "100")[1]
    assert chosen(original, None, 2) == chosen(original, None, 2)


def test_allowing_a_module_changes_nothing_where_none_is_named(
    original: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, text = command(capsys, original, "--sample", "2", "--allow", "os")
    assert status == 0
    assert "same to the bit" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no such run folder"),
        (["{run}", "--cell", "zz"], "--cell=zz: no such cell"),
        (["{run}", "--sample", "0"], "--sample=0: must be"),
        (["{run}", "--sample", "1", "--cell", "a"], "choose one"),
    ],
)
def test_bad_input(original: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    status, text = command(capsys, *(one.format(run=original) for one in arguments))
    assert status == 2
    assert message in text


def test_a_run_without_cells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Writer(tmp_path, {}):
        pass
    status, text = command(capsys, tmp_path)
    assert status == 0
    assert "NOTHING" in text


# ------------------------------------------------------------------------------------------------------------ strangers


def with_config(**sections: Any) -> Callable[[Any, Any], str]:
    return lambda value, row: json.dumps({**json.loads(value), **sections})


PAYLOADS: dict[str, Callable[[Any, Any], Any]] = {
    "no JSON": lambda value, row: "{",
    "null": lambda value, row: None,
    "a list": lambda value, row: "[]",
    "deep": lambda value, row: "[" * 200_000,
    "NaN": with_config(eps=float("nan")),
    "target": with_config(model={"name": "logistic", "_target_": "os.system", "_args_": ["touch owned"]}),
    "a new key": with_config(extra={"_target_": "os.system"}),
    "no such model": with_config(model={"name": "os.system"}),
    "an interpolation": with_config(scheme="${oc.env:HOME}"),
    "a module": with_config(model={"name": "function", "fun": "owned.fun", "jac": "owned.fun"}),
    "a file elsewhere": with_config(data={"source": "file", "path": "/etc/passwd", "target": "x"}),
    "a file above": with_config(init={"name": "file", "path": "../../secret.npz"}),
    "a pickle": with_config(init={"name": "file", "path": "owned.npz"}),
    "no size": with_config(data={"source": "gaussian", "n": -1}),
}


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_hostile_config_is_refused_and_nothing_happens(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], payload: str
) -> None:
    run = altered(original, tmp_path / "run", "cells", "config", PAYLOADS[payload])
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(here)
    (here / "owned.py").write_text("import pathlib\npathlib.Path('owned').touch()\nfun = None\n")
    np.savez(here / "owned.npz", W=np.array([Touch()], dtype=object), allow_pickle=True)
    status, text = command(capsys, run)
    assert status in (1, 2)
    assert status == 2 or "NOT REPRODUCED" in text
    assert not (here / "owned").exists()


class Touch:
    """Unpickled, it leaves a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("owned"),)


def test_a_data_file_outside_must_be_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    data.mkdir()
    rng = np.random.default_rng(0)
    lines = [",".join(map(str, [*rng.normal(size=2), int(rng.integers(2))])) for _ in range(20)]
    (data / "table.csv").write_text("a,b,y\n" + "\n".join(lines))
    run = record(tmp_path / "run", data={"source": "file", "path": str(data / "table.csv"), "target": "y"})
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    with pytest.raises(BadInput, match="lies outside the current folder; allow it with --allow-path"):
        replay.reproduce(run)
    assert replay.reproduce(run, allow_path=[data]).identical
    (data / "table.csv").write_text("a,b,y\n" + "\n".join(lines[1:]))
    assert not replay.reproduce(run, allow_path=[data]).reproduced


def test_names_of_columns_come_from_keys() -> None:
    assert column_name("bug.magnitude") == "bug_magnitude"
