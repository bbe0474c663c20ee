"""The tables of a run in the terminal and as JSON."""

from __future__ import annotations

import io
import json
import re
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
from gradcheck.views import tables, terminal
from gradcheck.views.frames import records
from gradcheck.views.record import Record
from gradcheck.views.layout import Table, plain

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
    assert "24 ok, 1 failed, 1 skipped  (gradcheck 9.9, numpy 2.4)" in text
    table = [line.split() for line in text.splitlines()]
    assert ["logistic", "scale", "auto", "1", "2"] in [row[:5] for row in table]
    # false alarms, caught, missed, cannot be told
    assert ["gradcheck", "0/12", "8/12", "0/12", "4/12"] in [row[:5] for row in table]
    assert "mismatches, the worst weight of each cell" in text
    assert "analytic is 2 x numeric" in text
    assert "the loss is nan" in text
    assert "bug=dropped_bias: no bias here" in text


def test_counts_of_verdicts_add_up(run: Path) -> None:
    record = Record(run)
    frame = record.verdicts(("bug",)).set_index("bug")
    assert frame.loc["none", ["match", "mismatch", "failed", "skipped"]].tolist() == [12, 0, 1, 0]
    assert frame.loc["scale", ["match", "mismatch", "failed", "skipped"]].tolist() == [4, 8, 0, 0]
    assert frame.loc["dropped_bias", ["match", "mismatch", "failed", "skipped"]].tolist() == [0, 0, 0, 1]


def test_no_more_than_a_screen_unless_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Writer(tmp_path, {}) as writer:
        for i in range(60):
            writer.add(rows(i, "mismatch", f"bug_{i % 20}", n_weights=40))
            writer.add(cell_row(planned(1000 + i), ValueError(f"reason {i}"), 0.0))
    assert len(shown(capsys, tmp_path).splitlines()) <= 23
    assert len(shown(capsys, tmp_path, "--cell", planned(0, "bug_0").cell).splitlines()) <= 23
    everything = shown(capsys, tmp_path, "--all")
    assert all(f"reason {i}" in everything for i in range(60))
    assert len(shown(capsys, tmp_path, "--cell", planned(0, "bug_0").cell, "--all").splitlines()) >= 40


def test_columns_that_were_asked_for_are_counted_by(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Writer(tmp_path, {}) as writer:
        for i in range(60):
            writer.add(rows(i, "mismatch", f"bug_{i % 20}"))
    assert "cells by model" in shown(capsys, tmp_path)
    asked = shown(capsys, tmp_path, "--by", "bug,eps")
    assert "cells by bug, eps  (first " in asked
    assert len(asked.splitlines()) <= 23


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
    assert lines[0] == f"cell {planned(3).cell}: logistic, gaussian, none, central, float64, eps auto"
    assert lines[1] == "MATCH"
    assert lines[3].split()[:2] == ["W[0,", "0]"]
    assert lines[8].startswith(" b[0] ")
    assert len(lines) == 3 + 6
    failed = shown(capsys, run, "--cell", planned(500).cell)
    assert "FAILED  the loss is nan" in failed


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
    if stream is Terminal:
        pytest.importorskip("rich")
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


def test_a_table_lines_up_and_is_cut_to_its_width() -> None:
    table = Table("title", ["name", "x"], [["a", 1.5], ["long name", 2.5e-9]], "note", frozenset({"name"}))
    assert plain(table).splitlines() == [
        "title",
        " name             x",
        " a              1.5",
        " long name  2.5e-09",
        " note",
    ]
    assert max(map(len, plain(table, 8).splitlines())) == 8


def test_colours_only_where_somebody_looks(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    blocks = tables.overview(Record(run), 24)

    def shown(stream: io.StringIO) -> str:
        terminal.show(blocks, stream)
        return stream.getvalue()

    assert "\x1b[" in shown(Terminal())
    assert "\x1b[" not in shown(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in shown(Terminal())


@pytest.mark.parametrize("width", [60, 110, 300])
def test_colours_change_nothing_but_colours(run: Path, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    pytest.importorskip("rich")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    blocks = [
        *tables.overview(Record(run), 24),
        *tables.cell_view(Record(run), planned(3).cell, 24),
    ]

    def shown() -> list[str]:
        stream = Terminal()
        terminal.show(blocks, stream)
        return [re.sub(r"\x1b\[[\d;]*m", "", line).rstrip() for line in stream.getvalue().splitlines()]

    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = shown()
    monkeypatch.setenv("NO_COLOR", "1")
    assert coloured == shown()
    assert max(map(len, coloured)) <= width


def test_without_rich_it_is_only_plainer(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name in ("rich.console", "rich.table", "rich.text"):
        monkeypatch.setitem(sys.modules, name, None)
    stream = Terminal()
    terminal.show(tables.overview(Record(run), 24), stream)
    assert "which rule accuses what" in stream.getvalue()
    assert "\x1b[" not in stream.getvalue()
