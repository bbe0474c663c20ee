"""Runs that are taken up again: by one process at a time, what failed anew, and nothing old mixed with new."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from commands import QUICK, ROOT, command, rows, started
from constructed import planned
from constructed import rows as made
from waiting import PATIENCE, until

from gradcheck import config, results, store
from gradcheck import launch as launching
from gradcheck.errors import BadInput
from gradcheck.rows import SCHEMA_VERSION, cell_row
from gradcheck.run import main

SWEEP = ("init.seed=range(2000)", "data.n=2000", "data.d=50", "-m", *QUICK)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# ---------------------------------------------------------------------------------------------------------------- lock


def test_a_second_process_on_one_run_is_refused_in_one_line_and_the_first_goes_on() -> None:
    first = started("gradcheck.run", *SWEEP, "hydra.sweep.dir=here")
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
    first = started("gradcheck.run", *SWEEP, "hydra.sweep.dir=here")
    until(lambda: Path("here/cells").is_dir())
    first.kill()
    first.communicate()
    assert Path("here/.tmp/lock").exists()
    with store.locked(Path("here")):
        assert Path("here/.tmp/lock").read_text() == str(os.getpid())
        with pytest.raises(BadInput, match=f"process {os.getpid()} is writing there"), store.locked(Path("here")):
            pass
    assert not Path("here/.tmp/lock").exists()  # it may have died within a write, whose file stays until it is resumed


LOCKING = """
    import sys, time
    from pathlib import Path
    from gradcheck import store
    from gradcheck.errors import BadInput
    held = 0
    while held < 50:
        try:
            with store.locked(Path("here")):
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
        subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [racer.communicate(timeout=PATIENCE)[0] for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0, 0]  # two within would have met
    assert [int(text) for text in said] == [50, 50, 50]


def test_a_run_that_appeared_meanwhile_is_not_mixed_with_another(monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["hydra.run.dir=here", *QUICK]) == 0
    monkeypatch.setattr(launching, "_refuse_used", lambda folder, chosen: None)  # as if it had looked before
    assert main(["hydra.run.dir=here", "eps=1e-4", *QUICK]) == 2
    assert len(rows(Path("here"))[0]) == 1


# ----------------------------------------------------------------------------------------------------- what is removed


def test_failed_cells_are_computed_again_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["init.seed=range(5)", "bug=none,detached_layer", "hydra.sweep.dir=here", "-m", *QUICK]) == 0
    whole = rows(Path("here"))
    cells, errors = Path("here/cells/part-00001.parquet"), Path("here/errors/part-00001.parquet")
    table = pq.read_table(cells)
    computed = [i for i, status in enumerate(table["status"].to_pylist()) if status == "ok"]
    unlucky = {table["cell"][i].as_py() for i in computed[:2]}
    spoilt = [
        row | ({"status": "failed", "message": "MemoryError", "n_weights": None} if row["cell"] in unlucky else {})
        for row in table.to_pylist()
    ]
    pq.write_table(type(table).from_pylist(spoilt, table.schema), cells)
    kept = pq.read_table(errors)
    pq.write_table(kept.filter([cell not in unlucky for cell in kept["cell"].to_pylist()]), errors)
    outcomes, again = launching._outcomes, []

    def noted(jobs: Any, chosen: Any) -> Any:
        for outcome in outcomes(jobs, chosen):
            again.append(outcome[0].cell)
            yield outcome

    monkeypatch.setattr(launching, "_outcomes", noted)
    assert main(["resume=here", *QUICK]) == 0
    assert set(again) == unlucky
    assert rows(Path("here")) == whole


def test_a_part_is_replaced_at_once_and_its_cells_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with results.Writer(tmp_path, {"overrides": []}, part_cells=3) as writer:
        for i in range(7):
            writer.add(made(i))
        writer.add(cell_row(planned(7), ValueError("no"), 0.0))
    moves: list[str] = []
    write = store.write

    def seen(run_dir: Any, folder: Any, name: str, fill: Any) -> None:
        write(run_dir, folder, name, fill)
        moves.append(f"{folder}/{name}")
        cells, errors = rows(tmp_path)
        assert {row["cell"] for row in cells if row["status"] == "ok"} <= {row["cell"] for row in errors}

    monkeypatch.setattr(store, "write", seen)
    keep = {planned(i).cell for i in range(8) if i not in (1, 4)}
    assert results.prune(tmp_path, keep) == (1, 2)
    assert moves == [
        f"{folder}/part-{k:05d}.parquet" for k, folder in ((1, "cells"), (1, "errors"), (2, "cells"), (2, "errors"))
    ] + ["cells/part-00003.parquet"]
    cells, errors = rows(tmp_path)
    assert {row["cell"] for row in cells} == {row["cell"] for row in errors} == keep - {planned(7).cell}
    stamps = [pq.read_schema(path).metadata[b"gradcheck.provenance"] for path in sorted(tmp_path.rglob("part-*"))]
    assert set(map(bytes, stamps)) == {json.dumps({"overrides": [], "schema_version": SCHEMA_VERSION}).encode()}
    moves.clear()
    assert results.prune(tmp_path, keep) == (0, 0)
    assert moves == []


def test_removing_that_was_interrupted_is_finished_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with results.Writer(tmp_path, {}) as writer:
        for i in range(4):
            writer.add(made(i))
    write = store.write

    def once(run_dir: Any, folder: Any, name: str, fill: Any) -> None:
        if folder == "errors":
            raise KeyboardInterrupt
        write(run_dir, folder, name, fill)

    monkeypatch.setattr(store, "write", once)
    keep = {planned(i).cell for i in (0, 2)}
    with pytest.raises(KeyboardInterrupt):
        results.prune(tmp_path, keep)
    monkeypatch.setattr(store, "write", write)
    assert len({row["cell"] for row in rows(tmp_path)[1]}) == 4
    assert results.prune(tmp_path, keep) == (0, 0)
    assert {row["cell"] for row in rows(tmp_path)[1]} == keep


CSV = ("data=file", "data.path=d.csv", "data.target=y", "hydra.sweep.dir=here", "init.seed=range(4)", "-m")


def test_rows_of_data_that_have_changed_are_removed_and_computed_again() -> None:
    Path("d.csv").write_text("a,y\n1,0\n2,1\n3,0\n")
    assert main([*CSV, *QUICK]) == 0
    old = rows(Path("here"))
    Path("d.csv").write_text("a,y\n1,0\n2,1\n3,1\n")
    assert main(["resume=here", *QUICK]) == 0
    new = rows(Path("here"))
    assert main([*CSV[:3], "hydra.sweep.dir=anew", *CSV[4:], *QUICK]) == 0
    assert new == rows(Path("anew"))
    assert {row["cell"] for row in old[0]}.isdisjoint(row["cell"] for row in new[0])
    assert main(["resume=here", *QUICK]) == 0
    assert rows(Path("here")) == new


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
        arguments = ["resume=here", "allow=[mine]"] if verdicts else [*typed, "hydra.sweep.dir=here", "-m"]
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
    monkeypatch.setattr(config, "cell_id", lambda form, allow=(): f"{hash(str(form)) % 2**64:016x}")
    assert main(["resume=here", *QUICK]) == 2
    assert rows(Path("here")) == before


def test_another_schema_version_is_not_continued(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["eps=1e-4", "hydra.run.dir=here", *QUICK]) == 0
    for path in Path("here/cells").iterdir():
        table = pq.read_table(path)
        pq.write_table(table.replace_schema_metadata({"gradcheck.provenance": '{"schema_version": 0}'}), path)
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
