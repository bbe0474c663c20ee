"""The tables of a run in the terminal and as JSON."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import shown
from constructed import planned, result, rewrite, rows

from gradcheck import show
from gradcheck.errors import Meaningless
from gradcheck.experiment.results.rows import cell_row
from gradcheck.experiment.results.writer import Writer
from gradcheck.printable import printable
from gradcheck.views.frames import records
from gradcheck.views.record import Record

EVIL = "\x1b]0;owned\x07\x1b[2J‮[bold]x[/bold]\n\x9b31m"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    with Writer(folder, {"gradcheck": "9.9", "packages": {"numpy": "2.4"}}) as writer:
        for i in range(12):
            writer.add(rows(i))
            writer.add(rows(i + 100, "mismatch" if i % 3 else "match", "scale"))
        writer.add(cell_row(planned(500), ValueError("the loss is nan"), 0.0))
        writer.add(cell_row(planned(501, "dropped_bias"), Meaningless("bug=dropped_bias: no bias here"), 0.0))
    return folder


def test_the_tables_of_a_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, run, "--all")
    assert "24 computed, 1 failed, 1 skipped  (gradcheck 9.9, numpy 2.4)" in text
    table = [line.split() for line in text.splitlines()]
    # weights that match, that do not, and those not judged
    assert ["scale", "auto", "6", "12", "0"] in [row[:5] for row in table]
    # false alarms, caught, missed, cannot be told
    assert ["gradcheck", "0/12", "8/12", "0/12", "4/12"] in [row[:5] for row in table]
    assert "CAUGHT  8 of 12 planted bugs; cannot be told: scale (4 of 12)" in text
    assert "mismatches, the worst weight of each cell" in text
    assert "analytic is 2 x numeric" in text
    assert "the loss is nan" in text
    assert "bug=dropped_bias: no bias here" in text


def test_a_step_has_one_name_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    with Writer(folder, {}) as writer:
        for i, eps in enumerate((1e-1, 10**-1.5, 1e-2)):
            for bug in ("none", "scale"):
                made = rows(i, "mismatch", bug)
                writer.add(made._replace(cell=made.cell | {"eps": eps}))
    cell = next(c for c, e in Record(folder).cells[["cell", "eps"]].itertuples(index=False) if 0.02 < e < 0.05)
    for options in ((), ("--all",), ("--by", "eps"), ("--cell", cell)):
        text = shown(capsys, folder, *options)
        assert "3e-02" in text, options
        assert "3.162278e-02" not in text, options


def test_counts_of_verdicts_add_up(run: Path) -> None:
    record = Record(run)
    frame = record.verdicts(("bug",)).set_index("bug")
    assert frame.loc["none", ["match", "mismatch", "failed", "skipped"]].tolist() == [12, 0, 1, 0]
    assert frame.loc["scale", ["match", "mismatch", "failed", "skipped"]].tolist() == [4, 8, 0, 0]
    assert frame.loc["dropped_bias", ["match", "mismatch", "failed", "skipped"]].tolist() == [0, 0, 0, 1]


def test_columns_that_were_asked_for_are_counted_by(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = shown(capsys, run, "--by", "bug,eps").splitlines()
    assert "cells by bug, eps" in asked
    counts = [line.split() for line in asked if line.startswith(" scale")]
    assert [row[:4] for row in counts] == [["scale", eps, "1", "2"] for eps in ("1e-04", "1e-05", "1e-06", "auto")]


def test_the_order_in_which_cells_are_stored_does_not_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored = [rows(i, "mismatch" if i % 2 else "match", bug) for i in range(8) for bug in ("none", "scale")]
    stored += [cell_row(planned(1000 + i), ValueError(f"reason {i % 3}"), 0.0) for i in range(9)]
    texts = set()
    for folder, order in (("one", stored), ("other", stored[::-1]), ("third", stored[5:] + stored[:5])):
        (tmp_path / "run").mkdir()
        with Writer(tmp_path / "run", {}) as writer:
            for row in order:
                writer.add(row)
        arguments = (("--by", "bug,eps", "--all"), ("--by", "eps,verdict", "--all"), ("--by", "data_seed"), ("--json",))
        texts.add("".join(shown(capsys, tmp_path / "run", *some) for some in arguments))
        (tmp_path / "run").rename(tmp_path / folder)
    assert len(texts) == 1
    table = records(Record(tmp_path / "one").verdicts(("bug", "eps")))
    assert [row["bug"] for row in table] == ["none"] * 4 + ["scale"] * 4
    assert [row["eps"] for row in table] == [1e-4, 1e-5, 1e-6, None] * 2


def test_one_cell_weight_by_weight(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, run, "--cell", planned(3).cell[:9])
    lines = text.splitlines()
    assert lines[0] == f"cell {planned(3).cell}: logistic, gaussian, no bug, central, float64, eps auto, init.seed 0"
    assert lines[1:3] == ["MATCH", "6 weights: 6 match"]
    assert lines[4].split()[0] == "W[0,0]"
    assert lines[9].startswith(" b[0] ")
    assert len(lines) == 4 + 6
    failed = shown(capsys, run, "--cell", planned(500).cell)
    assert "FAILED  the loss is nan" in failed


def test_one_cell_is_told_by_all_keys_of_its_grid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Writer(tmp_path / "run", {}) as writer:
        for i in range(4):
            cell = planned(i)
            cell.config["data"] |= {"seed": i % 2}
            writer.add(cell_row(cell, result(i), 0.01))
    for i in range(4):
        assert (
            shown(capsys, tmp_path / "run", "--cell", planned(i).cell).splitlines()[0].endswith(f", data.seed {i % 2}")
        )


def test_json_holds_the_same_numbers(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads(shown(capsys, run, "--json"))
    assert content["n_cells"] == 26
    assert sum(row["mismatch"] for row in content["verdicts"]) == 8
    assert len(content["worst"]) == 8
    assert {row["message"] for row in content["problems"]} == {"the loss is nan", "bug=dropped_bias: no bias here"}
    assert content["provenance"]["gradcheck"] == "9.9"
    one = json.loads(shown(capsys, run, "--json", "--cell", planned(3).cell))
    assert [w["analytic"] for w in one["weights"]] == result(3).weights["analytic"].tolist()
    assert [w["position"] for w in one["weights"]] == result(3).weights["position"]
    assert one["cell"]["eps"] is None


def test_json_has_no_numbers_that_json_has_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = result(0)
    odd.weights["numeric"][:2] = float("nan"), float("-inf")
    odd.weights["bound"][0] = float("inf")
    with Writer(tmp_path, {}) as writer:
        writer.add(cell_row(planned(0), odd, 0.0))
    text = shown(capsys, tmp_path, "--json", "--cell", planned(0).cell)

    def refuse(word: str) -> None:
        raise AssertionError(word)

    weights = json.loads(text, parse_constant=refuse)["weights"]
    assert [w["numeric"] for w in weights[:2]] == [None, "-inf"]
    assert weights[0]["bound"] == "inf"


def only_failures(folder: Path) -> None:
    with Writer(folder, {}) as writer:
        writer.add(cell_row(planned(0), ValueError("no"), 0.0))


def nothing(folder: Path) -> None:
    with Writer(folder, {}):
        pass


def one_cell(folder: Path) -> None:
    with Writer(folder, {}) as writer:
        writer.add(rows(0))


@pytest.mark.parametrize("make", [only_failures, nothing, one_cell], ids=lambda f: f.__name__)
@pytest.mark.parametrize("options", [(), ("--json",), ("--all",)], ids=str)
def test_small_runs_have_sensible_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Any, options: tuple[str, ...]
) -> None:
    make(tmp_path)
    assert shown(capsys, tmp_path, *options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no such run folder"),
        (["latest"], "latest: no run under"),
        (["."], ".: not a run folder"),
        (["{run}", "--cell", "zz"], "--cell=zz: no such cell"),
        (["{run}", "--cell", ""], "--cell=: no such cell"),
        (["{run}", "--by", "colour"], "--by=colour: no such column"),
        (["no\x1b[2Jwhere"], "no\\x1b[2Jwhere"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(run.parent)
    assert message in shown(capsys, *(one.format(run=run) for one in arguments), status=2)


# ------------------------------------------------------------------------------------------------------------ strangers


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A record in which every text tries to act."""
    evil = result(0, verdict="mismatch", bug="scale")
    evil.weights["param"] = [EVIL] * 6
    evil.weights["reason"] = [EVIL] * 6
    evil.summary |= {"worst_param": EVIL, "diagnosis": EVIL, "diagnosis_kind": EVIL}
    stamp = {"gradcheck": EVIL, "packages": {"numpy": EVIL}, "git": {"commit": EVIL, "dirty": EVIL}}
    with Writer(tmp_path / "run", stamp) as writer:
        writer.add(cell_row(planned(0, EVIL, model=EVIL), evil, 0.0))
        writer.add(cell_row(planned(1, EVIL), ValueError(EVIL), 0.0))
    return tmp_path / "run"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("options", [("--all",), ("--json",), ("--cell", planned(0, EVIL, model=EVIL).cell)], ids=str)
@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_nothing_in_a_record_acts_on_the_terminal(
    hostile: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], stream: type[io.StringIO]
) -> None:
    out = stream()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stdout, "flush", lambda: None)
    assert show.main([str(hostile), *options]) == 0
    text = out.getvalue()
    for harm in ("\x1b]", "\x1b[2J", "\x07", "‮", "\x9b"):
        assert harm not in text
    assert "owned" in text


@pytest.mark.parametrize(
    "provenance", ["[]", '{"packages": 3, "git": "x", "gradcheck": []}', '{"schema_version": true}']
)
def test_odd_provenance_does_not_stop_the_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], provenance: str
) -> None:
    import pyarrow.parquet as pq

    one_cell(tmp_path)
    for path in list((tmp_path / "cells").iterdir()):
        rewrite(path, pq.read_table(path).replace_schema_metadata({"gradcheck.provenance": provenance}))
    status = 2 if provenance == "[]" else 0
    shown(capsys, tmp_path, status=status)


# ------------------------------------------------------------------------------------------------------------ terminal


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("W1", "W1"),
        ("a\nb", "a\\nb"),
        ("\x1b[1m", "\\x1b[1m"),
        ("θ é 重", "θ é 重"),
        ("\u202e", "\\u202e"),
        ("\ud800", "\\ud800"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown
