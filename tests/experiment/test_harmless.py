"""A stranger's record: what is proposed as a command can do no harm, and no name in it acts on the terminal."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from commands import QUICK
from constructed import rewrite
from hypothesis import given
from hypothesis import strategies as st

from gradcheck.experiment.config import harmless as module
from gradcheck.experiment.config.harmless import harmless
from gradcheck.printable import printable
from gradcheck.run import main
from gradcheck.show import main as show
from gradcheck.views import again, page, terminal
from gradcheck.views.layout import Table
from gradcheck.views.record import Record

ESCAPES = "\x1b]0;owned\x07\x1b[2J\u202e\x9b31m"
DANGEROUS = [
    "+hydra.callbacks={x: {_target_: os.system}}",
    "hydra.launcher._target_=os.system",
    "hydra/launcher=basic",
    "hydra.run.dir=/",
    "hydra.searchpath=[file:///tmp]",
    "model=function",
    "model=logistic,function",
    "model={name: function, fun: os.system}",
    "model.fun=os.system",
    "++model.fun=os.system",
    "model.jac=os.system",
    "model.args=[touch owned]",
    "allow=[os]",
    "store=s3://bucket/x",
    "engine.address=tcp://host:1",
    "data.path=/dev/zero",
    "init.path=../secret.npz",
    "+experiment=../../mine",
    "--config-dir=/tmp",
    "-m",
    "eps=${oc.env:HOME}",
    "eps=1e-4\nrm -rf ~",
    f"data.seed={ESCAPES}",
    "data.seed=$(touch owned)",
    "data.seed=`touch owned`",
    "resume=x",
    "eps",
]
HARMLESS = [
    "eps=1e-4,1e-6",
    "eps=[1e-4,auto]",
    "eps='${logspace:-12,-1,23}'",
    "model=mlp,logistic",
    "model.layers=[3,4]",
    "bug=none,scale",
    "bug.magnitude=choice(1,2)",
    "data.n=range(1,10)",
    "init.values={W: [[1.0]], b: [0.5]}",
    "+experiment=bugs",
    "scheme=central,forward",
    "match_at=0.1",
]


@pytest.mark.parametrize("override", DANGEROUS)
def test_what_may_do_something_is_left_out(override: str) -> None:
    assert not harmless(override)


@pytest.mark.parametrize("override", HARMLESS)
def test_what_chooses_numbers_and_names_is_proposed(override: str) -> None:
    assert harmless(override)


@given(st.text(), st.sampled_from(["", "model.", "data.", "hydra.", "eps=", "model=", "data.path=", "+", "bug.param="]))
def test_what_is_proposed_is_plain_text_of_a_known_key(text: str, start: str) -> None:
    override = start + text
    if harmless(override):
        assert printable(override) == override
        assert not set("$`;|&<>\\\n!#~") & set(override)
        assert shlex.split(shlex.quote(override)) == [override]
        assert not re.match(r"\+*(hydra|model\.(fun|jac|args)|store|allow|engine|\w+\.path)", override)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    assert main(["hydra.run.dir=run", "data.n=5", "data.d=1", *QUICK]) == 0
    return Path("run")


def recorded(run: Path, overrides: Any) -> None:
    """The record of a stranger who has typed these."""
    for path in [*(run / "cells").glob("*"), run / "plan.parquet"]:
        table = pq.ParquetFile(path).read()
        found = dict(table.schema.metadata)
        if b"gradcheck.provenance" in found:
            known = json.loads(found[b"gradcheck.provenance"])
            found[b"gradcheck.provenance"] = json.dumps(known | {"overrides": overrides}).encode()
        else:
            found[b"gradcheck.overrides"] = json.dumps(overrides).encode()
        stamped = table.replace_schema_metadata(found)
        if path.name == "plan.parquet":
            pq.write_table(stamped, path)
        else:
            rewrite(path, stamped)


def test_the_page_proposes_what_is_harmless_and_says_what_it_left_out(run: Path) -> None:
    recorded(run, [*DANGEROUS, *HARMLESS])
    record = Record(str(run))
    proposed = shlex.split(again.commands(record)[0])
    assert proposed == ["python", "-m", "gradcheck.run", *HARMLESS]
    words = again.warning(record)
    assert "read them before you run them" in words
    assert "hydra.callbacks" in words
    assert "model.fun" in words
    content = page.Page(record).content()
    assert content["warning"] == words


@pytest.mark.parametrize("overrides", [None, 7, "eps=1", {"a": 1}, [1, None, ["eps=1"]]])
def test_a_record_without_a_list_proposes_nothing_of_it(run: Path, overrides: Any) -> None:
    recorded(run, overrides)
    assert again.commands(Record(str(run)))[0] == "python -m gradcheck.run"


@pytest.mark.parametrize("overrides", [HARMLESS[:2], DANGEROUS[:3]])
def test_a_resumed_record_proposes_nothing_dangerous(
    run: Path, overrides: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    recorded(run, overrides)
    capfd.readouterr()
    assert main(["resume=run", *QUICK]) == 0
    out = capfd.readouterr().out
    assert ("break " in out) == (overrides == HARMLESS[:2])
    assert "_target_" not in out


def test_the_check_of_what_is_proposed_can_fail(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "harmless", lambda override: True)
    recorded(run, DANGEROUS)
    assert "os.system" in again.commands(Record(str(run)))[0]


# ------------------------------------------------------------------------------------------------------- the terminal


def acting(text: str) -> set[str]:
    return {c for c in text if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")}


@pytest.mark.parametrize("command", ["resume", "show", "run", "dry run", "show a cell", "missing"])
def test_a_name_of_a_folder_does_not_act_on_the_terminal(
    run: Path, command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    name = "a" + ESCAPES + "\r\nb"
    os.rename(run, name)
    capfd.readouterr()
    {
        "resume": lambda: main([f"resume={name}", *QUICK]),
        "show": lambda: show([name]),
        "show a cell": lambda: show([name, "--cell", ESCAPES]),
        "run": lambda: main([f"store={name}2", "data.n=5", "data.d=1", *QUICK]),
        "dry run": lambda: main([f"store={name}3", "dry_run=true"]),
        "missing": lambda: main([f"resume={name}x", *QUICK]),
    }[command]()
    out, err = capfd.readouterr()
    assert out + err
    assert acting(out + err) == set()


@given(st.lists(st.text(st.characters(codec=None)), min_size=1, max_size=4))
def test_no_table_and_no_line_acts_on_the_terminal(texts: list[str]) -> None:
    stream = io.StringIO()
    table = Table(texts[0], texts, [texts, texts], texts[-1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(terminal, "wants_colour", lambda stream: False)
        terminal.show([texts[0], table], stream)
    assert acting(stream.getvalue()) == set()


def test_the_check_of_the_terminal_can_fail(run: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    monkeypatch.setattr("gradcheck.views.terminal.show", lambda blocks: print(*blocks, sep="\n"))
    monkeypatch.setattr("gradcheck.views.summary.printable", str)
    os.rename(run, name := "a" + ESCAPES)
    assert main([f"resume={name}", *QUICK]) == 0
    assert acting(capfd.readouterr().out)
