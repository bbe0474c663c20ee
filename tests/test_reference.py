"""The committed reference run: small, without a trace of the machine that made it, and reproduced within the bound."""

from __future__ import annotations

import getpass
import json
import platform
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gradcheck.errors import BadInput
from gradcheck.experiment.config import identity
from gradcheck.experiment.config.form import canonical
from gradcheck.experiment.results.part import locate
from gradcheck.experiment.results.stored import Stored
from gradcheck.reproduce import main

REFERENCE = Path(__file__).resolve().parent.parent / "runs" / "reference"
FILES = [path for path in sorted(REFERENCE.rglob("*")) if path.is_file()]
# none, scale x two steps x two dtypes; every cell has 5 weights and a bias
CELLS, WEIGHTS = 8, 6


def test_it_holds_both_tables_and_nothing_else() -> None:
    assert {path.parent.name for path in FILES} == {"cells", "errors"}
    assert {path.suffix for path in FILES} == {".parquet"}
    assert sum(path.stat().st_size for path in FILES) < 100_000
    cells = Stored(REFERENCE).read_cells(["bug", "eps", "dtype", "status", "n_weights"]).to_pylist()
    assert len({tuple(row.values()) for row in cells}) == CELLS
    assert {(row["status"], row["n_weights"]) for row in cells} == {("ok", WEIGHTS)}
    assert sum(pq.read_metadata(path).num_rows for path in FILES if path.parent.name == "errors") == CELLS * WEIGHTS


def test_nothing_in_it_names_a_machine_a_user_or_a_path() -> None:
    """Text of both tables and of the provenance, as it is read: in the files it may be compressed."""
    shown = [str(pq.read_schema(path).metadata) for path in FILES]
    shown += [str(pq.read_table(path).to_pylist()) for path in FILES]
    for text in shown:
        for name in (platform.node(), getpass.getuser()):
            assert len(name) < 4 or name not in text
        assert "://" not in text
        assert not any(f"{start}/" in text for start in ("'", '"', " ", "=", "\\"))


def test_its_cells_are_named_as_this_version_names_them() -> None:
    for row in Stored(REFERENCE).cell_rows(["cell", "config"]):
        assert identity.cell_id(canonical(json.loads(row["config"]))) == row["cell"]


def test_it_is_reproduced_within_the_bound(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(REFERENCE)]) == 0
    assert "REPRODUCED" in capsys.readouterr().out


def test_it_is_never_the_latest_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(REFERENCE, tmp_path / "runs" / "reference")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="no run under"):
        locate("latest")
    shutil.copytree(REFERENCE, tmp_path / "runs" / "2026-03-01" / "14-02-11-384012")
    assert locate("latest") == Path("runs/2026-03-01/14-02-11-384012")
