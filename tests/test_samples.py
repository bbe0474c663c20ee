"""What was stored once stays readable: a small run of each schema version, as the first release with it wrote it.

That of version 1 was made by ``python -m gradcheck.run model=logistic,mlp bug=none,scale,detached_layer eps=auto,1e-5
data.n=12 data.d=2 -m``, and the others likewise.  They are never made anew for a later version; a new version adds its
own.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import gradcheck
from gradcheck import reproduce, run, show
from gradcheck.columns.weights import SCHEMA_VERSION
from gradcheck.errors import BadInput
from gradcheck.experiment.replay import replay
from gradcheck.experiment.results.stored import Stored

SAMPLES = sorted((Path(__file__).parent / "samples").glob("schema-*"))


def version(sample: Path) -> int:
    return int(sample.name.partition("-")[2])


def test_there_is_one_for_each_version() -> None:
    assert [version(sample) for sample in SAMPLES] == list(range(1, SCHEMA_VERSION + 1))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_a_sample_is_shown_loaded_and_reproduced(sample: Path) -> None:
    assert Stored(sample).provenance["schema_version"] == version(sample)
    runs = gradcheck.load(sample)
    assert runs.cells["status"].value_counts().to_dict() == {"ok": 10, "skipped": 2}
    assert runs.errors.count_rows() == runs.cells["n_weights"].sum() == 4 * 3 + 6 * 37
    assert set(runs.cells["verdict"].dropna()) == {"match", "mismatch"}
    assert show.main([str(sample), "--all"]) == 0
    assert show.main([str(sample), "--json"]) == 0
    found = replay.reproduce(sample)
    assert found.cells == 12
    # a later version may take fewer evaluations and word a diagnosis otherwise; its numbers are the same within the bound
    beyond = {column.name: column.beyond for column in found.columns if column.beyond}
    assert beyond.keys() <= {"n_evals", "diagnosis", "diagnosis_kind"}


@pytest.mark.parametrize("sample", SAMPLES[:-1], ids=lambda path: path.name)
def test_a_sample_of_an_earlier_version_is_not_resumed(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(sample, copy)
    before = {path: path.read_bytes() for path in copy.rglob("*.parquet")}
    assert run.main([f"resume={copy}", "engine=serial", "progress=none"]) == 2
    assert {path: path.read_bytes() for path in copy.rglob("*.parquet")} == before
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"schema version {version(sample)}, this gradcheck writes {SCHEMA_VERSION}" in err


def test_runs_of_all_versions_are_read_together_and_their_cells_have_the_same_ids(tmp_path: Path) -> None:
    runs = gradcheck.load(SAMPLES)
    assert len(runs.cells) == 12 * len(SAMPLES)
    assert set(runs.cells["cell"].value_counts()) == {len(SAMPLES)}
    # of version 1 it is counted only where it could be anything but 0; skipped cells have none
    assert runs.cells["n_missed"].isna().sum() == 12 + 2 * (len(SAMPLES) - 1)
    assert set(gradcheck.load(SAMPLES[0]).cells) == set(gradcheck.load(SAMPLES[-1]).cells)


def test_a_sample_of_the_present_version_is_complete_when_it_is_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(SAMPLES[-1], copy)
    before = {path: path.read_bytes() for path in copy.rglob("part-*")}
    assert run.main([f"resume={copy}", "engine=serial", "progress=none"]) == 0
    assert {path: path.read_bytes() for path in copy.rglob("part-*")} == before
    assert "12 cells" in capsys.readouterr().out


@pytest.mark.parametrize("command", [show.main, reproduce.main, lambda arguments: run.main([f"resume={arguments[0]}"])])
def test_a_newer_version_is_refused_with_what_to_do(
    command: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(SAMPLES[-1], copy)
    for path in copy.rglob("part-*"):
        table, newer = pq.read_table(path), SCHEMA_VERSION + 1
        stamp = json.loads(table.schema.metadata[b"gradcheck.provenance"]) | {"schema_version": newer}
        pq.write_table(table.replace_schema_metadata({"gradcheck.provenance": json.dumps(stamp)}), path)
    assert command([str(copy)]) == 2  # type: ignore[operator]
    err = capsys.readouterr().err
    assert f"schema version {newer}, this gradcheck reads up to {SCHEMA_VERSION}: upgrade it" in err
    with pytest.raises(BadInput, match="upgrade it"):
        gradcheck.load(copy)
