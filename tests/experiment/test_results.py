"""Parquet files of a run: their columns, and that what is visible is complete whatever happens to the writer."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import random
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import finished
from constructed import Planned, part, planned, result, rewrite, rows
from hypothesis import given
from hypothesis import strategies as st
from waiting import PATIENCE, until

import gradcheck
from gradcheck.columns import store
from gradcheck.columns.weights import AXES, ERRORS, SCHEMA_VERSION, CellRows, Tabled, errors_table, tabled
from gradcheck.errors import BadInput, Meaningless, WriteError
from gradcheck.experiment.config import identity, schema
from gradcheck.experiment.config.form import canonical
from gradcheck.experiment.engines.cells import compute
from gradcheck.experiment.results.part import locate
from gradcheck.experiment.results.rows import CELLS, cell_row, cells_table
from gradcheck.experiment.results.stored import Stored
from gradcheck.experiment.results.writer import Writer
from gradcheck.views.runs import load

ERRORS_COLUMNS = {
    "string": "cell param step_rule verdict reason model data init bug scheme dtype",
    "list<element: int32>": "position",
    "int64": "flat_index init_seed data_seed data_n data_d",
    "double": "weight step analytic numeric correct abs_err rel_err truncation roundoff bound resolution eps",
}
CELLS_COLUMNS = {
    "string": "cell status message model data init bug scheme dtype worst_param verdict "
    "diagnosis diagnosis_kind config model_layers model_activation model_curve model_reduction model_loss model_fun model_jac "
    "model_x0 model_args data_path data_target data_features data_sep data_decimal data_comment data_na data_name init_path "
    "bug_param "
    "model_filters model_pool model_norm model_layer model_options model_output model_cell data_unit",
    "bool": "bug_injected ok model_bias data_standardize model_lengths model_causal model_tied",
    "int64": "init_seed data_seed data_n data_d n_weights worst_flat_index n_match n_mismatch n_inconclusive "
    "n_nondifferentiable n_exempt n_judged n_missed n_evals model_n_classes data_outputs init_steps bug_index bug_seed "
    "model_kernel model_stride model_padding model_dilation model_pool_size model_pool_stride "
    "model_dropout_seed model_groups model_units model_vocabulary model_embedding model_depth model_heads "
    "data_channels data_height data_width data_length data_vocabulary",
    "double": "eps loss max_rel_err median_rel_err norm_difference max_resolution median_resolution seconds match_at "
    "accept min_judged model_l2 model_x data_noise data_scale data_correlation init_scale bug_magnitude bug_fraction "
    "model_dropout model_epsilon data_grid",
}


def with_pandas(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder)


def with_pyarrow(folder: Path) -> pd.DataFrame:
    return pq.read_table(folder).to_pandas()


def with_polars(folder: Path) -> pd.DataFrame:
    polars = pytest.importorskip("polars")
    return polars.read_parquet(folder / "*.parquet").to_pandas()


def with_duckdb(folder: Path) -> pd.DataFrame:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as connection:
        return connection.execute(f"select * from '{folder}/*.parquet'").df()


READERS = [with_pandas, with_pyarrow, with_polars, with_duckdb]


def write(folder: Path, n: int = 8, **options: Any) -> Path:
    with Writer(folder, {"overrides": []}, **options) as writer:
        for i in range(n):
            writer.add(rows(i))
    return folder


# ------------------------------------------------------------------------------------------------------------ columns


@pytest.mark.parametrize(
    ("schema", "columns"), [(ERRORS, ERRORS_COLUMNS), (CELLS, CELLS_COLUMNS)], ids=["errors", "cells"]
)
def test_columns_and_types_are_the_documented_ones(schema: pa.Schema, columns: dict[str, str]) -> None:
    want = {name: kind for kind, names in columns.items() for name in names.split()}
    found = {field.name: str(field.type).replace("item", "element") for field in schema}
    assert {k: v for k, v in found.items() if not k.startswith("rule_")} == want
    assert all(v == "bool" for k, v in found.items() if k.startswith("rule_"))


def test_what_is_stored_is_what_was_added(tmp_path: Path) -> None:
    write(tmp_path, 8)
    table = Stored(tmp_path).weights({planned(3).cell})
    for name, want in result(3).weights.items():
        found = table[name].to_pylist()
        assert found == (want.tolist() if isinstance(want, np.ndarray) else want), name
    stored = {row["cell"]: row for row in Stored(tmp_path).cell_rows()}[planned(3).cell]
    for name, want in result(3).summary.items():
        assert stored[name] == want, name
    assert json.loads(stored["config"]) == planned(3).config


def test_auto_is_a_null_eps(tmp_path: Path) -> None:
    write(tmp_path, 4)
    assert sorted(Stored(tmp_path).read_cells()["eps"].to_pylist(), key=str) == [0.0001, 1e-05, 1e-06, None]


def test_unknown_is_null_and_nan_stays_only_where_it_says_something(tmp_path: Path) -> None:
    broken = result(0, n_weights=3)
    for name in ("numeric", "rel_err", "analytic", "abs_err", "truncation", "bound", "resolution"):
        broken.weights[name] = np.array([np.nan, np.inf, 1.0])
    broken.weights["correct"] = None
    broken.summary |= {"loss": float("nan"), "max_rel_err": None, "max_resolution": float("inf")}
    with Writer(tmp_path, {}) as writer:
        writer.add(cell_row(planned(0), broken, 0.0))
    weights = Stored(tmp_path).weights({planned(0).cell}).to_pydict()
    assert np.isnan(weights["numeric"][0])
    assert np.isnan(weights["rel_err"][0])
    for name in ("analytic", "abs_err", "truncation", "bound", "resolution"):
        assert weights[name] == [None, np.inf, 1.0], name
    assert weights["correct"] == [None] * 3
    (cell,) = Stored(tmp_path).cell_rows()
    assert (cell["loss"], cell["max_rel_err"], cell["max_resolution"]) == (None, None, np.inf)


OUTCOMES = st.lists(st.sampled_from(["alone", "in a table", "failed"]), min_size=1, max_size=12)


def travelled(kinds: list[str], chunk: int, shift: int = 0) -> list[CellRows]:
    """Rows of cells that were computed here, those in a table elsewhere, ``chunk`` of them at a time."""
    outcomes = [ValueError("no") if kind == "failed" else result(i, 1 + i % 3) for i, kind in enumerate(kinds)]
    found: dict[int, Any] = {i: outcome for i, outcome in enumerate(outcomes) if kinds[i] == "alone"}
    others = [i for i in range(len(kinds)) if i not in found]
    for start in range(0, len(others), chunk):
        some = others[start : start + chunk]
        packed = pickle.loads(pickle.dumps(tabled([(outcomes[i], 0.5) for i in some])))
        assert [seconds for _, seconds in packed] == [0.5] * len(some)
        found |= {i: outcome for i, (outcome, _) in zip(some, packed, strict=True)}
    rows = [cell_row(planned(i), found[i], 0.5) for i in range(len(kinds))]
    for row in rows:
        if shift and isinstance(row.weights, Tabled) and row.weights.start:
            return [row._replace(weights=row.weights._replace(start=row.weights.start - shift))]
    return rows


@given(OUTCOMES, st.integers(1, 5), st.integers(0, 12), st.randoms(use_true_random=False))
def test_rows_that_travelled_in_tables_are_those_that_did_not(
    kinds: list[str], chunk: int, cut: int, shuffled: Any
) -> None:
    rows, order = travelled(kinds, chunk), list(range(len(kinds)))
    shuffled.shuffle(order)  # cells come back in any order, and parts begin anywhere
    for some in (order[:cut], order[cut:]):
        here = [
            cell_row(planned(i), ValueError("no") if kinds[i] == "failed" else result(i, 1 + i % 3), 0.5) for i in some
        ]
        assert errors_table([rows[i] for i in some]).equals(errors_table(here))
        assert cells_table([rows[i] for i in some]).equals(cells_table(here))
        assert [rows[i].n_weights for i in some] == [row.n_weights for row in here]
        assert [list(rows[i].reasons) for i in some] == [list(row.reasons) for row in here]


def test_the_rows_of_a_neighbour_would_be_noticed() -> None:
    (wrong,) = travelled(["in a table"] * 3, 3, shift=1)
    assert wrong.n_weights == 3
    assert not errors_table([wrong]).equals(errors_table([cell_row(planned(1), result(1, 2), 0.5)]))


@pytest.mark.parametrize(
    ("outcome", "status", "message"),
    [
        (Meaningless("scheme=complex_step: no"), "skipped", "scheme=complex_step: no"),
        (FloatingPointError("the loss is inf"), "failed", "the loss is inf"),
        (KeyError(), "failed", "KeyError"),
    ],
)
def test_a_cell_without_result_is_stored_with_its_reason(
    tmp_path: Path, outcome: Exception, status: str, message: str
) -> None:
    with Writer(tmp_path, {}) as writer:
        writer.add(cell_row(planned(2, bug="scale"), outcome, 0.5))
    (row,) = Stored(tmp_path).cell_rows()
    assert (row["status"], row["message"], row["verdict"], row["n_weights"]) == (status, message, None, None)
    assert (row["bug"], row["bug_injected"], row["data_n"], row["seconds"]) == ("scale", True, 100, 0.5)
    assert Stored(tmp_path).weights({row["cell"]}).num_rows == 0


def test_every_setting_of_every_class_has_a_column_but_whole_arrays(tmp_path: Path) -> None:
    """The columns against the dataclasses themselves, which are what a config can say."""
    names = {"match_at", "accept", "min_judged"}
    for section, table in schema.TABLES.items():
        for cls in table.values():
            names |= {f"{section}_{field.name}" for field in dataclasses.fields(cls)}
    names = {"model_loss" if name == "model_loss_name" else name for name in names}
    assert names - set(CELLS.names) == {"data_X", "data_y", "data_max_bytes", "init_values", "init_max_bytes"}
    assert len(set(CELLS.names)) == len(CELLS.names)


def test_all_parts_of_all_runs_have_one_schema_and_what_a_model_has_not_is_null(tmp_path: Path) -> None:
    other = planned(1, model="mlp")
    other.config["model"] = {"name": "mlp", "layers": [2, 3], "activation": "tanh"}
    with Writer(tmp_path / "one", {}, part_cells=2) as writer:
        for i in range(6):
            writer.add(rows(i))
    with Writer(tmp_path / "two", {}, part_cells=2) as writer:
        writer.add(rows(0, "mismatch", "scale"))
        writer.add(cell_row(other, ValueError("no"), 0.0))
    schemas = {str(pq.read_schema(path).remove_metadata()) for path in tmp_path.glob("*/cells/*")}
    assert len(schemas) == 1
    table = Stored(tmp_path / "two").read_cells()
    assert table["bug_magnitude"].to_pylist() == [2.0, None]
    assert table["model_layers"].to_pylist() == [None, "[2, 3]"]
    assert table["model_activation"].to_pylist() == [None, "tanh"]
    assert table["model_l2"].to_pylist() == [0.0, None]
    assert table["model_bias"].to_pylist() == [True, None]
    assert table["init_scale"].to_pylist() == [1.0, 1.0]


def test_provenance_is_in_every_file(tmp_path: Path) -> None:
    write(tmp_path, 5, part_cells=2)
    files = [path for folder in ("cells", "errors") for path in (tmp_path / folder).iterdir()]
    assert len(files) == 2 * 4
    for path in files:
        stamp = json.loads(pq.read_schema(path).metadata[b"gradcheck.provenance"])
        assert stamp == {"schema_version": SCHEMA_VERSION, "overrides": []}


# ---------------------------------------------------------------------------------------------------------------- files


def test_encodings(tmp_path: Path) -> None:
    write(tmp_path, 40)
    keys = {"cell", "param", "step_rule", "verdict", "reason", "eps", *AXES.names}
    group = pq.read_metadata(part(tmp_path, "errors")).row_group(0)
    for i in range(group.num_columns):
        column = group.column(i)
        assert column.compression == "ZSTD"
        assert ("RLE_DICTIONARY" in column.encodings) == (column.path_in_schema in keys), column.path_in_schema
        real = column.physical_type == "DOUBLE" and column.path_in_schema not in keys
        assert ("BYTE_STREAM_SPLIT" in column.encodings) == real, column.path_in_schema


def test_a_weight_takes_at_most_60_bytes(tmp_path: Path) -> None:
    n, weights = 500, 30
    with Writer(tmp_path, {}) as writer:
        for i in range(n):
            writer.add(rows(i, n_weights=weights))
    size = sum(path.stat().st_size for path in (tmp_path / "errors").iterdir())
    assert size / (n * weights) <= 60


def test_parts_are_small_named_in_order_and_errors_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moves, sizes = [], []
    replace = os.replace

    def noted(source: Path, target: Path) -> None:
        assert source.parent == tmp_path / ".tmp"
        moves.append(re.sub("-[0-9a-f]{16}", "", str(target.relative_to(tmp_path))))
        sizes.append(pq.read_metadata(source).num_rows)
        replace(source, target)

    monkeypatch.setattr(os, "replace", noted)
    write(tmp_path, 11, part_cells=4)
    want = [f"{folder}/part-{k:05d}.parquet" for k in range(4) for folder in ("errors", "cells")]
    assert moves == want
    sizes = sizes[1::2]
    assert sizes[0] == 0
    assert sum(sizes) == 11
    assert max(sizes) <= 4
    assert not (tmp_path / ".tmp").exists()


def test_a_part_with_many_weights_holds_fewer_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradcheck.experiment.results.writer.PART_WEIGHTS", 12)
    write(tmp_path, 7)
    sizes = [pq.read_metadata(path).num_rows for path in sorted((tmp_path / "errors").iterdir())]
    assert max(sizes) == 12
    assert sum(sizes) == 7 * 6


def test_a_finished_cell_is_visible_soon_though_nothing_follows(tmp_path: Path) -> None:
    with Writer(tmp_path, {}, part_seconds=0.2) as writer:
        writer.add(rows(0))
        until(lambda: finished(tmp_path))
        assert finished(tmp_path) == {planned(0).cell}


def test_what_was_added_is_stored_when_the_run_is_interrupted(tmp_path: Path) -> None:
    def run() -> None:
        with Writer(tmp_path, {}) as writer:
            for i in range(3):
                writer.add(rows(i))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert finished(tmp_path) == {planned(i).cell for i in range(3)}


def test_an_interrupt_while_the_last_part_is_written_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_part = Writer._write_part
    slow, struck = threading.Event(), threading.Event()

    def slowly(self: Writer, part: Any) -> None:
        if part:
            slow.set()
            assert struck.wait(PATIENCE)
        write_part(self, part)

    def strike() -> None:
        slow.wait()
        for _ in range(3):
            time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        struck.set()

    def run() -> None:
        with Writer(tmp_path, {}) as writer:
            for i in range(3):
                writer.add(rows(i))

    monkeypatch.setattr(Writer, "_write_part", slowly)
    # a shell that starts the tests in the background has them ignore it
    given = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=strike)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run()
        thread.join()
    finally:
        signal.signal(signal.SIGINT, given)
    assert finished(tmp_path) == {planned(i).cell for i in range(3)}


def test_computing_waits_where_the_disk_is_a_part_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, free, added = store.write, threading.Event(), []

    def stuck(run_dir: Any, folder: Any, name: str, fill: Any) -> Any:
        if "part-00000" not in name:  # the empty one
            free.wait()
        return write(run_dir, folder, name, fill)

    def compute() -> None:
        for i in range(20):
            writer.add(rows(i))
            added.append(i)

    monkeypatch.setattr(store, "write", stuck)
    with Writer(tmp_path, {}, part_cells=5) as writer:
        thread = threading.Thread(target=compute)
        thread.start()
        try:
            while len(added) < 10:
                time.sleep(0.01)
            time.sleep(0.2)
            assert len(added) == 10  # one part is written, one waits
        finally:
            free.set()
            thread.join()
    assert len(finished(tmp_path)) == 20


def test_a_run_that_is_continued_keeps_its_parts_and_loses_orphans(tmp_path: Path) -> None:
    write(tmp_path, 4, part_cells=2)
    before = {path: path.read_bytes() for path in sorted((tmp_path / "cells").iterdir())}
    errors = tmp_path / "errors"
    orphan = errors / part(tmp_path, "errors", 2).name.replace("00002", "00003")
    orphan.write_bytes(part(tmp_path, "errors", 2).read_bytes())  # its cells never came
    (tmp_path / ".tmp").mkdir()
    (tmp_path / ".tmp" / "cells-part-00003.parquet").write_bytes(b"half a f")
    with Writer(tmp_path, {}) as writer:
        assert not orphan.exists()
        writer.add(rows(4))
    assert finished(tmp_path) == {planned(i).cell for i in range(5)}
    assert len(with_pandas(errors)) == 5 * 6
    for path, content in before.items():
        assert path.read_bytes() == content


@pytest.mark.parametrize("obstacle", ["run", "cells"])
def test_a_folder_that_cannot_be_written_is_bad_input(tmp_path: Path, obstacle: str) -> None:
    folder = tmp_path / "run"
    if obstacle == "cells":
        folder.mkdir()
    (folder if obstacle == "run" else folder / "cells").write_text("a file stands here")
    with pytest.raises(BadInput, match="cannot be written"), Writer(folder, {}):
        pass


def test_a_write_that_fails_later_says_so_and_leaves_what_was_stored(tmp_path: Path) -> None:
    def run() -> None:
        with Writer(tmp_path, {}, part_cells=2) as writer:
            for i in range(1000):
                writer.add(rows(i))
                if i == 3:
                    while len(list((tmp_path / "cells").iterdir())) < 3:
                        time.sleep(0.01)
                    (tmp_path / "errors").rename(tmp_path / "gone")

    with pytest.raises(WriteError, match="could not be stored"):
        run()
    assert len(finished(tmp_path)) == 4
    assert len(with_pandas(tmp_path / "gone")) == 4 * 6


# ------------------------------------------------------------------------------------------------------------ readers


@pytest.mark.parametrize("reader", READERS, ids=lambda f: f.__name__)
def test_a_run_with_nothing_finished_is_readable(tmp_path: Path, reader: Callable[[Path], pd.DataFrame]) -> None:
    with Writer(tmp_path, {}):
        while_running = reader(tmp_path / "cells")
    assert list(while_running.columns) == CELLS.names
    assert len(while_running) == 0
    assert list(reader(tmp_path / "errors").columns) == ERRORS.names


@pytest.mark.parametrize("reader", READERS, ids=lambda f: f.__name__)
def test_a_run_is_readable_at_any_moment(tmp_path: Path, reader: Callable[[Path], pd.DataFrame]) -> None:
    total, stop, looked = 120, threading.Event(), threading.Semaphore(0)

    def work() -> None:
        try:
            with Writer(tmp_path, {}, part_cells=5) as writer:
                for i in range(total):
                    writer.add(rows(i))
                    time.sleep(0.002)
                    if i in (40, 80, 119):  # however slow they are, the reader looks and this writes by turns
                        looked.acquire(timeout=PATIENCE)
        finally:
            stop.set()

    with Writer(tmp_path, {}):
        pass
    thread = threading.Thread(target=work)
    thread.start()
    seen, looks = 0, 0
    try:
        while not stop.is_set():
            cells = reader(tmp_path / "cells")
            errors = reader(tmp_path / "errors")
            counts = errors.groupby("cell").size()
            assert all(counts.get(row.cell) == row.n_weights for row in cells.itertuples())
            assert len(cells) >= seen
            seen, looks = len(cells), looks + 1
            looked.release()
    finally:
        looked.release(3)
        thread.join()
    assert len(reader(tmp_path / "cells")) == total
    assert looks >= 3


# A fork for each line: a new process would import all of this anew, which takes ten times as long as what it writes.
SCRIPT = """
    import os, sys
    sys.path.insert(0, {tests!r})
    from commands import finished
    from constructed import planned, rows
    from gradcheck.experiment.results.writer import Writer
    for _ in sys.stdin:
        pid = os.fork()
        if not pid:
            break
        print("ended", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    else:
        sys.exit()
    with Writer({folder!r}, {{}}, part_cells=7) as writer:
        done = finished({folder!r})
        print("started", os.getpid(), flush=True)
        for i in range({n}):
            if planned(i).cell not in done:
                writer.add(rows(i))
"""


def test_a_writer_that_is_killed_leaves_complete_files_and_can_be_continued(tmp_path: Path) -> None:
    n, folder, chance = 600, tmp_path / "run", random.Random(3)
    script = textwrap.dedent(SCRIPT.format(tests=str(Path(__file__).parents[1]), folder=str(folder), n=n))
    ends = []
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for patience in [*(chance.uniform(0.0, 0.15) for _ in range(8)), None]:
            process.stdin.write("write\n")
            word, pid = process.stdout.readline().split()
            assert word == "started"
            if patience is not None:
                time.sleep(patience)
                with suppress(ProcessLookupError):  # it was quicker
                    os.kill(int(pid), signal.SIGKILL)
            ends.append(process.stdout.readline())
            cells, errors = with_pandas(folder / "cells"), with_pandas(folder / "errors")
            assert cells["cell"].is_unique
            counts = errors.groupby("cell").size()
            assert (counts.reindex(cells["cell"]) == 6).all()
        process.stdin.close()
    assert ends.count("ended -9\n") >= 3
    assert ends[-1] == "ended 0\n"
    with Writer(tmp_path / "undisturbed", {}) as writer:
        for i in range(n):
            writer.add(rows(i))
    for table, key in (("cells", ["cell"]), ("errors", ["cell", "flat_index"])):
        found, want = (
            with_pandas(f / table).sort_values(key, ignore_index=True) for f in (folder, tmp_path / "undisturbed")
        )
        pd.testing.assert_frame_equal(found, want, check_exact=True)


# ------------------------------------------------------------------------------------------------------------ records


def test_latest_is_the_newest_by_name_that_holds_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=r"latest: no run under runs/\*/\*/ yet"):
        locate("latest")
    for name in ("2026-03-01/10-00-00", "2026-03-02/09-00-00", "reference/small", "2026-03-02/08-00-00"):
        write(tmp_path / "runs" / name, 1)
    (tmp_path / "runs" / "2026-03-09" / "09-00-00").mkdir(parents=True)
    assert locate("latest") == Path("runs/2026-03-02/09-00-00")
    assert locate("runs/latest") == Path("runs/2026-03-02/09-00-00")


def truncated(run: Path) -> None:
    path = part(run, "cells")
    path.write_bytes(path.read_bytes()[:-30])


def flipped(run: Path) -> None:
    path = part(run, "cells")
    content = bytearray(path.read_bytes())
    content[4:400] = bytes(396)
    path.write_bytes(bytes(content))


def text_file(run: Path) -> None:
    (run / "cells" / "part-00002.parquet").write_text("no Parquet")


def newer(run: Path) -> None:
    path = part(run, "cells")
    rewrite(
        path,
        pq.read_table(path).replace_schema_metadata(
            {"gradcheck.provenance": f'{{"schema_version": {SCHEMA_VERSION + 1}}}'}
        ),
    )


def odd_provenance(run: Path) -> None:
    path = part(run, "cells")
    rewrite(path, pq.read_table(path).replace_schema_metadata({"gradcheck.provenance": "[" * 100_000}))


def lacking(run: Path) -> None:
    path = part(run, "cells")
    rewrite(path, pq.read_table(path).drop_columns(["verdict"]))


def other_type(run: Path) -> None:
    path = part(run, "cells")
    table = pq.read_table(path)
    place = table.schema.get_field_index("eps")
    rewrite(path, table.set_column(place, "eps", pa.array(["x"] * table.num_rows)))


def no_text(run: Path) -> None:
    """A status that is no UTF-8, as a changed byte in the data makes it."""
    path = part(run, "cells")
    table = pq.read_table(path)
    bad = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.array([0, 2], pa.int32()).buffers()[1], pa.py_buffer(b"o\xff")]
    )
    place = table.schema.get_field_index("status")
    rewrite(path, table.set_column(place, "status", pa.chunked_array([bad] * table.num_rows)))


def link_out(run: Path) -> None:
    other = run.parent / "outside.parquet"
    path = part(run, "cells")
    path.rename(other)
    path.symlink_to(other)


def pipe(run: Path) -> None:
    os.mkfifo(run / "cells" / "part-00002.parquet")


def no_files(run: Path) -> None:
    for path in (run / "cells").iterdir():
        path.unlink()


def no_cells(run: Path) -> None:
    no_files(run)
    (run / "cells").rmdir()


DAMAGE = [
    truncated,
    flipped,
    text_file,
    newer,
    odd_provenance,
    lacking,
    other_type,
    no_text,
    link_out,
    pipe,
    no_files,
    no_cells,
]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda f: f.__name__)
def test_a_damaged_record_is_bad_input_in_one_line(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    run = write(tmp_path / "run", 4)
    assert len(load(run).cells) == 4
    damage(run)
    with pytest.raises(BadInput) as caught:
        load(run)
    assert str(caught.value).startswith(str(run))
    assert "\n" not in str(caught.value)


def test_a_copy_made_by_another_tool_is_read(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    run = write(tmp_path / "run", 40)
    want = load(run)
    copy = tmp_path / "copy"
    for folder in ("cells", "errors"):
        (copy / folder).mkdir(parents=True)
        polars.read_parquet(run / folder / "*.parquet").write_parquet(copy / folder / "all.parquet")
    found = load(copy)
    pd.testing.assert_frame_equal(found.cells, want.cells)
    assert found.weights(planned(7).cell).equals(want.weights(planned(7).cell))


# ------------------------------------------------------------------------------------------------------------ loading


def test_load_keeps_types_though_values_are_missing(tmp_path: Path) -> None:
    with Writer(tmp_path, {}) as writer:
        writer.add(rows(0))
        writer.add(cell_row(planned(1), ValueError("no"), 0.0))
    runs = load(tmp_path)
    assert runs.cells["n_weights"].tolist() == [6, pd.NA]
    assert str(runs.cells["n_weights"].dtype) == "Int64"
    assert str(runs.cells["bug_injected"].dtype) == "boolean"
    assert runs.errors.count_rows() == 6
    assert runs.weights(planned(0).cell)["flat_index"].tolist() == list(range(6))


def test_several_runs_are_told_apart(tmp_path: Path) -> None:
    first = write(tmp_path / "a", 3)
    with Writer(tmp_path / "b", {}) as writer:
        writer.add(rows(5, bug="scale"))
    runs = load([first, tmp_path / "b"])
    assert runs.cells["run"].tolist() == [str(first)] * 3 + [str(tmp_path / "b")]
    assert runs.cells["bug_magnitude"].isna().tolist() == [True, True, True, False]
    assert runs.errors.count_rows() == 4 * 6


def test_figures_follow_from_the_stored_gradients_to_the_bit(tmp_path: Path) -> None:
    base = {"init": {"name": "normal"}, "scheme": "central", "dtype": "float64", "match_at": 1e-2}
    with Writer(tmp_path, {}) as writer:
        for name in ("linear", "logistic", "mlp", "softmax"):
            for bug in ("none", "sign_flip"):
                for eps in (1e-3, 1e-7, "auto"):
                    given = {
                        "model": {"name": name},
                        "data": {"source": "gaussian", "n": 20, "d": 4},
                        "bug": {"name": bug},
                    }
                    form = canonical({**base, **given, "eps": eps})
                    job = Planned(identity.cell_id(form), form)
                    writer.add(cell_row(job, compute(form), 0.0))
    runs = load(tmp_path)
    assert (runs.cells["status"] == "ok").all()
    for row in runs.cells.itertuples():
        e = runs.weights(row.cell)
        a, n = e["analytic"].to_numpy(), e["numeric"].to_numpy()
        abs_err = np.abs(a - n)
        rel_err = abs_err / np.maximum(1e-8, np.abs(a) + np.abs(n))
        norms = np.linalg.norm(a) + np.linalg.norm(n)
        assert e["abs_err"].tolist() == abs_err.tolist()
        assert e["rel_err"].tolist() == rel_err.tolist()
        assert e["bound"].tolist() == (e["truncation"] + e["roundoff"]).tolist()
        assert e["resolution"].tolist() == (2 * e["bound"] / np.maximum(np.abs(a), np.abs(n))).tolist()
        assert row.norm_difference == (np.linalg.norm(a - n) / norms if norms else 0.0)
        assert row.max_rel_err == rel_err.max()
        assert row.median_rel_err == np.median(rel_err)
        assert row.n_weights == len(e)
        assert e["flat_index"].tolist() == list(range(len(e)))
        assert ((e["abs_err"] > e["bound"]) == (e["verdict"] == "mismatch")).all()


def test_an_outcome_is_written_in_the_schema_of_errors(tmp_path: Path) -> None:
    x0 = np.array([[1.0, 2.0], [3.0, 4.0]])
    found = gradcheck.check_gradient(lambda x: float((x**2).sum()), lambda x: 2 * x, x0)
    found.to_parquet(tmp_path / "one.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["one.parquet"]
    table = pq.read_table(tmp_path / "one.parquet")
    assert table.schema.equals(ERRORS)
    assert table["analytic"].to_pylist() == [2.0, 4.0, 6.0, 8.0]
    assert table["position"].to_pylist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert table["cell"].null_count == 4
    with pytest.raises(OSError, match="missing"):
        found.to_parquet(tmp_path / "missing" / "one.parquet")
