"""Whether a gradient was right is known or not, and of planted bugs three things are said: by run, tables, charts and page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from constructed import planned, result, rewrite, rows
from hypothesis import given
from hypothesis import strategies as st

import gradcheck
from gradcheck.columns.weights import CellRows
from gradcheck.experiment.config.schema import FAIL_ON
from gradcheck.experiment.results.part import locate
from gradcheck.experiment.results.rows import CELLS, cell_row
from gradcheck.experiment.results.stored import Stored
from gradcheck.experiment.results.writer import Writer
from gradcheck.experiment.truth import PLANTED, Truth, truth, truths
from gradcheck.numerics.verdict import OF_MANY
from gradcheck.run import main
from gradcheck.views import page, summary
from gradcheck.views.charts import cell_data, weight_data
from gradcheck.views.frames import rule_counts
from gradcheck.views.record import Record
from gradcheck.views.tally import TALLY_COLUMNS, Tally

QUICK = ("engine=serial", "progress=none")

cells = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["logistic", "function"]),
        "bug_injected": st.booleans(),
        "verdict": st.sampled_from(OF_MANY),
        "n_missed": st.sampled_from([None, 0, 3]),
    }
)


@given(st.lists(cells, max_size=12))
def test_of_every_cell_one_thing_is_known(found):
    """Said once more, and of a frame what is said of its rows."""
    for row in found:
        if row["model"] == "function":
            want = Truth.UNKNOWN
        elif row["bug_injected"] and row["verdict"] == "mismatch":
            want = Truth.CAUGHT
        elif row["bug_injected"]:
            want = Truth.MISSED if row["n_missed"] == 3 else Truth.CANNOT_BE_TOLD
        else:
            want = Truth.FALSE_ALARM if row["verdict"] == "mismatch" else Truth.RIGHT
        assert truth(row) is want
    frame = pd.DataFrame(found, columns=["model", "bug_injected", "verdict", "n_missed"])
    frame = frame.astype({"bug_injected": "boolean", "n_missed": "Int64"})
    assert truths(frame).tolist() == [str(truth(row)) for row in found]


@given(st.lists(cells, max_size=12), st.sampled_from(FAIL_ON))
def test_the_exit_status_counts_cells_without_a_bug_cell_by_cell(found, fail_on):
    tally = Tally()
    wrong = False
    for i, row in enumerate(found):
        ok = row["verdict"] == "match"
        stored = rows(i, bug="scale" if row["bug_injected"] else "none").cell
        tally.add(stored | row | {"ok": ok})
        if not row["bug_injected"] and fail_on != "never":
            strict = fail_on == "unjudged" or (fail_on == "auto" and row["model"] == "function")
            wrong |= row["verdict"] == "mismatch" or (strict and not ok)
    assert tally.ok(fail_on) is not wrong


# --- somebody's function: nobody knows ---------------------------------------------------------------------------------

FUNCTIONS = """
import numpy as np

SMALL = np.array([1.0] + [1e-13] * 9)


def loss(x):
    return 1e3 + (SMALL * np.sin(x)).sum()


def right(x):
    return SMALL * np.cos(x)


def hidden(x):  # nine of ten entries are three times too large, which no difference of this loss shows
    return SMALL * np.cos(x) * np.array([1.0] + [3.0] * 9)


def all_hidden(x):
    return 1e-13 * np.cos(x)


def noise(x):
    return 1e3 + 1e-13 * np.sin(x).sum()


def wrong(x):
    return 2 * SMALL * np.cos(x)
"""
X0 = "model.x0=[.1,.2,.3,.4,.5,.6,.7,.8,.9,1]"


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "mine_of_truth", raising=False)
    (tmp_path / "mine_of_truth.py").write_text(FUNCTIONS)
    return tmp_path


def function(fun: str, jac: str, *more: str) -> list[str]:
    return [
        "model=function", f"model.fun=mine_of_truth.{fun}", f"model.jac=mine_of_truth.{jac}", X0, *more, *QUICK,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fun", "jac", "verdict", "statuses"),
    [
        # auto, mismatch, unjudged, never
        ("loss", "hidden", "partial", (1, 0, 1, 0)),
        ("loss", "right", "partial", (1, 0, 1, 0)),
        ("noise", "all_hidden", "inconclusive", (1, 0, 1, 0)),
        ("loss", "wrong", "mismatch", (1, 1, 1, 0)),
    ],
)
def test_a_function_of_which_not_enough_is_judged_fails_unless_it_is_told_not_to(
    functions: Path, fun: str, jac: str, verdict: str, statuses: tuple[int, ...]
) -> None:
    for fail_on, status in zip(FAIL_ON, statuses, strict=True):
        assert main(function(fun, jac, f"fail_on={fail_on}")) == status, fail_on
        (row,) = Stored(locate("latest")).cell_rows()
        assert (row["verdict"], row["ok"], row["n_missed"]) == (verdict, False, None)


def test_min_judged_says_how_much_is_enough(functions: Path) -> None:
    assert main(function("loss", "right", "min_judged=0.1")) == 0
    assert main(function("loss", "right", "min_judged=0.11")) == 1
    assert main(function("noise", "all_hidden", "min_judged=0")) == 1  # nothing at all is never ok


def test_models_of_the_package_fail_for_a_mismatch_alone_unless_asked(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["eps=1e-14", *QUICK]) == 0
    assert main(["eps=1e-14", "fail_on=unjudged", *QUICK]) == 1
    assert main(["eps=1e-14", "fail_on=unjudged", "bug=sign_flip", *QUICK]) == 0  # a planted bug never counts
    assert (
        main(["bug=dropped_bias", "model.bias=true,false", "fail_on=unjudged", "-m", *QUICK]) == 0
    )  # nor what is skipped


def test_of_a_function_nothing_is_a_false_alarm_caught_or_missed(
    functions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*function("loss", "wrong"), "bug=none,scale", "-m"]) == 1
    text = capsys.readouterr().out
    assert "CAUGHT" not in text
    assert "PLANTED  1 of 1 cells with a bug planted into somebody's gradient are mismatches" in text
    run = locate("latest")
    assert pq.read_table(run / "errors")["correct"].null_count == 20
    record = Record(run)
    table = record.rule_table()
    assert table[["false_alarms", "caught", "missed", "cannot_be_told"]].isna().all(axis=None)
    assert table.loc[table["rule"] == "gradcheck", "accused"].tolist() == [1, 1]
    assert page.Page(record).content()["answer"] == "1 of 1 gradients wrong, 0 right, 0 not judged wholly."
    assert cell_data.rule_points(record.cells) == []
    assert {row["what"] for row in cell_data.squares(record.cells)} == {"unknown"}
    counted = weight_data.ErrorCounts()
    for piece in record.tables(weight_data.ERROR_COLUMNS):
        counted.add(piece)
    assert {row["kind"] for row in counted.rows()} == {"unknown"}
    assert main([f"resume={run}", "allow=[mine_of_truth]", *QUICK]) == 1  # as it was


# --- planted bugs: three shares everywhere -----------------------------------------------------------------------------


def missed(i: int, n: int) -> CellRows:
    """A cell with a planted bug in n weights, all judged a match."""
    made = result(i, bug="scale")
    made.weights["correct"][:n] = made.weights["analytic"][:n] + 3 * made.weights["bound"][:n]
    made.summary["n_missed"] = n
    return cell_row(planned(i, "scale"), made, 0.0)


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Of six planted cells three are caught, one is missed and of two nothing can be told."""
    with Writer(tmp_path / "run", {}) as writer:
        writer.add(rows(0))
        for i in (4, 5, 6):
            writer.add(rows(i, "mismatch", "scale"))
        writer.add(missed(8, 2))
        writer.add(rows(9, "inconclusive", "scale"))
        writer.add(missed(10, 0))
    return tmp_path / "run"


def shares(run: Path) -> dict[str, Any]:
    """What every place says: (caught, missed, cannot be told)."""
    record = Record(run)
    text = summary.text(Stored(run).cell_rows(TALLY_COLUMNS), run)
    line = next(line for line in text.splitlines() if line.startswith("CAUGHT"))
    own = record.rule_table().query("rule == 'gradcheck' and bug == 'scale'").iloc[0]
    drawn = next(row for row in cell_data.rule_points(record.cells) if row["rule"] == "gradcheck")
    squares = cell_data.squares(record.cells)
    return {
        "headline": line,
        "rules": tuple(int(own[name]) for name in ("caught", "missed", "cannot_be_told")),
        "plane": (drawn["caught"], drawn["missed"], drawn["cannot_be_told"]),
        "squares": tuple(sum(row["count"] for row in squares if row["what"] == t) for t in PLANTED),
        "page": page.Page(record).content()["answer"],
        "loaded": tuple(int((truths(gradcheck.load(run).cells) == t).sum()) for t in PLANTED),
    }


def test_all_places_say_the_same(three: Path) -> None:
    assert shares(three) == {
        "headline": "CAUGHT  3 of 6 planted bugs; missed: scale (1 of 6); cannot be told: scale (2 of 6)",
        "rules": (3, 1, 2),
        "plane": (3, 1, 2),
        "squares": (3, 1, 2),
        "page": "No false alarm. 3 of 6 planted bugs caught, 2 could not be told, 1 missed.",
        "loaded": (3, 1, 2),
    }


def test_of_a_run_of_version_1_the_weights_say_what_was_missed(three: Path) -> None:
    """The planted fault: with the columns of version 1 alone a missed bug must not become one that cannot be told."""
    new = CELLS.names
    for path in list((three / "cells").iterdir()):
        table = pq.read_table(path)
        kept = [n for n in table.column_names if n not in ("n_exempt", "n_judged", "n_missed", "ok") and n in new]
        stamp = {"gradcheck.provenance": json.dumps({"schema_version": 1})}
        rewrite(path, table.select(kept).replace_schema_metadata(stamp))
    found = shares(three)
    assert {name: found[name] for name in ("rules", "plane", "squares", "loaded")} == dict.fromkeys(
        ("rules", "plane", "squares", "loaded"), (3, 1, 2)
    )


def test_a_rule_has_missed_what_the_numbers_show_and_no_more(three: Path) -> None:
    frame = Record(three).cells
    frame = frame.assign(rule_blind=False, rule_sees_all=True)
    table = rule_counts(frame).query("bug == 'scale'").set_index("rule")
    columns = ["caught", "missed", "cannot_be_told"]
    # three are mismatches and one was missed: four that the numbers show
    assert table.loc["blind", columns].tolist() == [0, 4, 2]
    assert table.loc["sees_all", columns].tolist() == [6, 0, 0]
    assert np.all(table[columns].sum(axis=1) == table["cells"])
