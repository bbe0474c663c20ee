"""Runs that are taken up again: by one process at a time, what failed anew, and nothing old mixed with new."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import forkserver
import pyarrow.parquet as pq
import pytest
from commands import QUICK, ROOT, command, rows, started
from constructed import part, planned, rewrite
from constructed import rows as made
from waiting import PATIENCE, until

from gradcheck.columns import lock, store
from gradcheck.columns.weights import SCHEMA_VERSION
from gradcheck.errors import BadInput
from gradcheck.experiment.results import repair
from gradcheck.experiment.results.rows import cell_row
from gradcheck.experiment.results.stored import Stored
from gradcheck.experiment.results.writer import Writer
from gradcheck.run import main
from gradcheck.views.commands import compute, folders

SWEEP = ("init.seed=range(2000)", "data.n=2000", "data.d=50", "-m", *QUICK)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# ---------------------------------------------------------------------------------------------------------------- lock


def test_a_second_process_on_one_run_is_refused_in_one_line_and_the_first_goes_on() -> None:
    first = started("gradcheck.run", *SWEEP, "hydra.sweep.dir=here", new=True)
    try:
        until(lambda: Path("here/plan.parquet").exists())
        status, out, err = command("gradcheck.run", "resume=here")
        assert (status, out) == (2, "")
        assert err == f"gradcheck: here: process {first.pid} is writing there; wait until it is done, or end it\n"
        assert first.poll() is None
    finally:
        first.send_signal(signal.SIGINT)
        out, err = first.communicate(timeout=PATIENCE)
    assert first.returncode == 130, err
    assert not Path("here/.tmp").exists()


def test_a_killed_process_holds_nothing() -> None:
    first = started("gradcheck.run", *SWEEP, "hydra.sweep.dir=here", new=True)
    until(lambda: Path("here/cells").is_dir())
    first.kill()
    first.communicate()
    assert Path("here/.tmp/lock").exists()
    with lock.locked(Path("here")):
        assert Path("here/.tmp/lock").read_text() == str(os.getpid())
        with pytest.raises(BadInput, match=f"process {os.getpid()} is writing there"), lock.locked(Path("here")):
            pass
    assert not Path("here/.tmp/lock").exists()  # it may have died within a write, whose file stays until it is resumed


LOCKING = """
    import sys, time
    from pathlib import Path
    from gradcheck.columns import lock, store
    from gradcheck.errors import BadInput
    held = 0
    while held < 50:
        try:
            with lock.locked(Path("here")):
                held += 1
                Path("inside").touch(exist_ok=False)
                Path("inside").unlink()
        except BadInput:
            pass
    print(held)
"""


def test_a_lock_whose_file_comes_and_goes_is_held_by_one_at_a_time() -> None:
    script = textwrap.dedent(LOCKING)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    racers = [
        subprocess.Popen([*forkserver.python(), "-c", script], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [racer.communicate(timeout=PATIENCE)[0] for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0, 0]  # two within would have met
    assert [int(text) for text in said] == [50, 50, 50]


def test_a_run_that_appeared_meanwhile_is_not_mixed_with_another(monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["hydra.run.dir=here", *QUICK]) == 0
    monkeypatch.setattr(folders, "refuse_used", lambda folder, chosen: None)  # as if it had looked before
    assert main(["hydra.run.dir=here", "eps=1e-4", *QUICK]) == 2
    assert len(rows(Path("here"))[0]) == 1


# ----------------------------------------------------------------------------------------------------- what is removed


def test_failed_cells_are_computed_again_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["init.seed=range(5)", "bug=none,detached_layer", "hydra.sweep.dir=here", "-m", *QUICK]) == 0
    whole = rows(Path("here"))
    cells, errors = part(Path("here"), "cells"), part(Path("here"), "errors")
    table = pq.read_table(cells)
    computed = [i for i, status in enumerate(table["status"].to_pylist()) if status == "ok"]
    unlucky = {table["cell"][i].as_py() for i in computed[:2]}
    spoilt = [
        row | ({"status": "failed", "message": "MemoryError", "n_weights": None} if row["cell"] in unlucky else {})
        for row in table.to_pylist()
    ]
    rewrite(cells, type(table).from_pylist(spoilt, table.schema))
    kept = pq.read_table(errors)
    rewrite(errors, kept.filter([cell not in unlucky for cell in kept["cell"].to_pylist()]))
    outcomes, again = compute.outcomes, []

    def noted(jobs: Any, chosen: Any) -> Any:
        for outcome in outcomes(jobs, chosen):
            again.append(outcome[0].cell)
            yield outcome

    monkeypatch.setattr(compute, "outcomes", noted)
    assert main(["resume=here", *QUICK]) == 0
    assert set(again) == unlucky
    assert rows(Path("here")) == whole


def failing_then_stored(run: Path) -> set[str]:
    """A run of five cells of which two had failed and are stored anew; a sixth is in no plan.  Those that are."""
    with Writer(run, {"overrides": []}, part_cells=3) as writer:
        for i in range(6):
            writer.add(made(i) if i not in (1, 4) else cell_row(planned(i), ValueError("no"), 0.0))
    with Writer(run, {"overrides": []}) as writer:
        for i in (1, 4):
            writer.add(made(i))
    return {planned(i).cell for i in range(5)}


def whole_at_any_moment(run: Path, keep: set[str]) -> None:
    """What is seen of the cells that stay: every one of them, with its weights, for our reader and any other."""
    stored = Stored(run)
    assert keep <= {cell for cell, status in stored.statuses() if status == "ok"}
    assert not stored.lost
    assert len(stored.weights(keep)) == 6 * len(keep)
    cells, errors = rows(run)
    assert keep <= {row["cell"] for row in cells if row["status"] == "ok"}
    assert keep <= {row["cell"] for row in errors}


def test_old_rows_go_when_their_successors_are_there_and_every_cell_is_whole_at_any_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = failing_then_stored(tmp_path)
    looks, write, unlink = 0, store.write, Path.unlink

    def look() -> None:
        nonlocal looks
        looks += 1
        whole_at_any_moment(tmp_path, keep)

    def seen(*arguments: Any) -> Any:
        found = write(*arguments)
        look()
        return found

    def gone(path: Path, missing_ok: bool = False) -> None:
        unlink(path, missing_ok)
        look()

    monkeypatch.setattr(store, "write", seen)
    monkeypatch.setattr(Path, "unlink", gone)
    assert repair.tidy(tmp_path, keep, 5)
    assert looks == 7
    cells, errors = rows(tmp_path)
    assert [row["cell"] for row in cells] == sorted(keep)
    assert len(errors) == 6 * 5
    stamps = [pq.read_schema(path).metadata[b"gradcheck.provenance"] for path in sorted(tmp_path.rglob("part-*"))]
    assert set(map(bytes, stamps)) == {json.dumps({"overrides": [], "schema_version": SCHEMA_VERSION}).encode()}
    before = looks
    assert repair.tidy(tmp_path, keep, 5)
    assert looks == before


@pytest.mark.parametrize("moment", range(7))
def test_removing_that_was_interrupted_leaves_whole_cells_and_is_finished_the_next_time(
    moment: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = failing_then_stored(tmp_path)
    calls = 0

    def until_then(real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > moment:
                raise KeyboardInterrupt
            return real(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(store, "write", until_then(store.write))
        patch.setattr(Path, "unlink", until_then(Path.unlink))
        with pytest.raises(KeyboardInterrupt):
            repair.tidy(tmp_path, keep, 5)
    whole_at_any_moment(tmp_path, keep)
    assert repair.tidy(tmp_path, keep, 5)
    cells, errors = rows(tmp_path)
    assert [row["cell"] for row in cells] == sorted(keep)
    assert len(errors) == 6 * 5


def test_nothing_goes_before_all_that_is_planned_is_stored(tmp_path: Path) -> None:
    keep = failing_then_stored(tmp_path)
    assert not repair.tidy(tmp_path, {*keep, planned(9).cell}, 6)
    assert planned(5).cell in {row["cell"] for row in rows(tmp_path)[0]}


CSV = ("data=file", "data.path=d.csv", "data.target=y", "hydra.sweep.dir=here", "init.seed=range(4)", "-m")


def test_rows_of_data_that_have_changed_are_removed_and_computed_again() -> None:
    Path("d.csv").write_text("a,y\n1,0\n2,1\n3,0\n")
    assert main([*CSV, *QUICK]) == 0
    old = rows(Path("here"))
    Path("d.csv").write_text("a,y\n1,0\n2,1\n3,1\n")
    assert main(["resume=here", "replace=true", *QUICK]) == 0
    new = rows(Path("here"))
    assert main([*CSV[:3], "hydra.sweep.dir=anew", *CSV[4:], *QUICK]) == 0
    assert new == rows(Path("anew"))
    assert {row["cell"] for row in old[0]}.isdisjoint(row["cell"] for row in new[0])
    assert main(["resume=here", *QUICK]) == 0
    assert rows(Path("here")) == new


def test_a_data_file_that_was_wrong_for_a_moment_costs_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    right = "a,y\n1,0\n2,1\n3,0\n"
    Path("d.csv").write_text(right)
    assert main([*CSV, *QUICK]) == 0
    old = rows(Path("here"))
    Path("d.csv").write_text("a,y\n1,0\n2,1\n3,1\n")
    for typed in (["resume=here"], ["resume=here", "replace=false"], ["resume=here", "replace=perhaps"]):
        capfd.readouterr()
        assert main([*typed, *QUICK]) == 2
        assert rows(Path("here")) == old
        err = capfd.readouterr().err
        assert err.count("\n") == 1
        assert "data.path=d.csv: has changed" in err or "replace=perhaps: must be true" in err
    Path("d.csv").write_text(right)
    assert main(["resume=here", *QUICK]) == 0
    assert rows(Path("here")) == old


def test_old_rows_stay_when_their_successors_cannot_be_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("d.csv").write_text("a,y\n1,0\n2,1\n3,0\n")
    assert main([*CSV, *QUICK]) == 0
    old = {row["cell"] for row in rows(Path("here"))[0]}
    Path("d.csv").write_text("a,y\n1,0\n2,1\n3,1\n")
    outcomes = compute.outcomes

    def stopped(jobs: Any, chosen: Any) -> Any:
        yield next(iter(outcomes(jobs, chosen)))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(compute, "outcomes", stopped)
        assert main(["resume=here", "replace=true", *QUICK]) == 130
    now = {row["cell"] for row in rows(Path("here"))[0]}
    assert old < now
    assert main(["resume=here", *QUICK]) == 2  # the word is needed as long as there is something to be replaced
    assert main(["resume=here", "replace=true", *QUICK]) == 0
    assert {row["cell"] for row in rows(Path("here"))[0]}.isdisjoint(old)
    assert main(["resume=here", *QUICK]) == 0


@pytest.mark.parametrize("shared", [0, 1])
def test_the_plan_of_another_run_removes_nothing(shared: int, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["init.seed=range(4)", "hydra.sweep.dir=here", "-m", *QUICK]) == 0
    assert main([f"init.seed=range({4 - shared},9)", "hydra.sweep.dir=there", "-m", *QUICK]) == 0
    before = rows(Path("here"))
    Path("here/plan.parquet").write_bytes(Path("there/plan.parquet").read_bytes())
    capfd.readouterr()
    assert main(["resume=here", *QUICK]) == 2
    err = capfd.readouterr().err
    assert ("names none of the 4 cells" if not shared else "3 of 4 stored cells are not in plan.parquet") in err
    if not shared:
        assert main(["resume=here", "replace=true", *QUICK]) == 2
    assert rows(Path("here")) == before


FUNCTION = """
def rate():
    return {rate}


def fun(x):
    return rate() * float(x @ x)


def jac(x):
    return {factor} * rate() * x
"""


def test_rows_of_a_gradient_or_a_helper_that_was_corrected_are_computed_again() -> None:
    typed = ("model=function", "model.fun=mine.fun", "model.jac=mine.jac", "model.x0=[1.0,2.0]", "eps=1e-5,1e-4")
    mine = Path("mine.py")
    verdicts = []
    for rate, factor in ((1.0, 3.0), (1.0, 2.0), (4.0, 2.0)):
        mine.write_text(FUNCTION.format(rate=rate, factor=factor))
        arguments = (
            ["resume=here", "allow=[mine]", "replace=true"] if verdicts else [*typed, "hydra.sweep.dir=here", "-m"]
        )
        status, _, err = command("gradcheck.run", *arguments, *QUICK)
        assert status == (1 if factor == 3.0 else 0), err
        cells, errors = rows(Path("here"))
        assert {row["cell"] for row in cells} == {row["cell"] for row in errors}
        verdicts.append([row["verdict"] for row in cells])
        assert {row["analytic"] / row["weight"] for row in errors} == {rate * factor}
        assert {row["correct"] for row in errors} == {None}
    assert verdicts == [["mismatch"] * 2, ["match"] * 2, ["match"] * 2]


def test_a_run_whose_cells_have_other_names_now_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later version may name cells otherwise: it must not take what is stored for stale."""
    assert main(["eps=1e-4,1e-5", "hydra.sweep.dir=here", "-m", *QUICK]) == 0
    before = rows(Path("here"))
    monkeypatch.setattr(
        "gradcheck.experiment.grid.record.cell_id", lambda form, allow=(): f"{hash(str(form)) % 2**64:016x}"
    )
    assert main(["resume=here", *QUICK]) == 2
    assert rows(Path("here")) == before


def test_another_schema_version_is_not_continued(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["eps=1e-4", "hydra.run.dir=here", *QUICK]) == 0
    for path in list(Path("here/cells").iterdir()):
        table = pq.read_table(path)
        rewrite(path, table.replace_schema_metadata({"gradcheck.provenance": '{"schema_version": 0}'}))
    capfd.readouterr()
    assert main(["resume=here", *QUICK]) == 2
    assert "schema version 0" in capfd.readouterr().err


def test_a_run_killed_before_its_plan_was_stored_can_be_started_again() -> None:
    Path("here/.tmp").mkdir(parents=True)
    Path("here/.tmp/plan.parquet").write_bytes(b"half a pl")
    Path("here/.tmp/lock").write_text("1")
    assert main(["hydra.run.dir=here", *QUICK]) == 0
    assert not Path("here/.tmp").exists()


def test_a_run_killed_after_its_plan_was_stored_can_be_resumed() -> None:
    assert main(["eps=1e-4,1e-5", "hydra.sweep.dir=here", "-m", *QUICK]) == 0
    whole = rows(Path("here"))
    for path in Path("here").rglob("part-*.parquet"):
        path.unlink()
    for name in ("cells", "errors"):
        Path("here", name).rmdir()
    assert main(["resume=here", *QUICK]) == 0
    assert rows(Path("here")) == whole
