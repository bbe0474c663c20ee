"""Sizes that would bring a machine down are refused in one line, before they do: with 3 GB of address space, in seconds."""

from __future__ import annotations

import contextlib
import json
import resource
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from commands import QUICK, one_by_one
from constructed import part, rewrite

from gradcheck.columns.weights import errors_table
from gradcheck.experiment import footprint
from gradcheck.experiment.config import identity, repository
from gradcheck.experiment.config.build import build
from gradcheck.experiment.config.form import canonical
from gradcheck.experiment.engines.cells import compute
from gradcheck.experiment.results.plan import Planned
from gradcheck.experiment.results.rows import cell_row
from gradcheck.run import main


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, 3 * 2**30))
    resource.setrlimit(resource.RLIMIT_CPU, (90, 90))


def huge_csv() -> None:
    with open("huge.csv", "wb") as file:
        file.write(b"a,y\n1,0\n")
        file.truncate(5 * 10**9)  # takes no room on the disk


def small_csv() -> None:
    Path("small.csv").write_text("a,y\n1,0\n2,1\n")


def expanding_parquet() -> None:
    """A million equal rows take a few bytes; of these files a thousand are written into one."""
    piece = pa.table({"a": np.ones(2**20), "y": np.zeros(2**20, dtype=np.int64)})
    with pq.ParquetWriter("bomb.parquet", piece.schema, compression="zstd", use_dictionary=False) as writer:
        for _ in range(70):
            writer.write_table(piece)
    assert 1000 * Path("bomb.parquet").stat().st_size < 70 * piece.nbytes


def expanding_npz() -> None:
    header = {"descr": "<f8", "fortran_order": False, "shape": (135 * 10**6, 1)}
    with (
        zipfile.ZipFile("bomb.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("W.npy", "w", force_zip64=True) as file,
    ):
        np.lib.format.write_array_header_1_0(file, header)
        for _ in range(1080):
            file.write(bytes(10**6))


def lying_npz() -> None:
    """Its header claims more than there is."""
    with zipfile.ZipFile("lying.npz", "w") as archive, archive.open("W.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (10**12, 1)})


def laughs() -> None:
    Path("conf/experiment").mkdir(parents=True)
    lines = ["# @package _global_", "a0: &a0 [" + ",".join("x" * 10) + "]"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    Path("conf/experiment/laughs.yaml").write_text("\n".join(lines))
    Path("conf/experiment/deep.yaml").write_text("# @package _global_\na: " + "[" * 100_000)
    Path("conf/experiment/dashes.yaml").write_text("# @package _global_\na:\n  " + "- " * 3000 + "x")
    keys = "\n".join(" " * i + "a:" for i in range(150))
    Path("conf/experiment/keys.yaml").write_text(f"# @package _global_\n{keys} 1")
    Path("conf/experiment/broken.yaml").write_text("# @package _global_\na: [1, 2\nb: {")
    Path("conf/experiment/long.yaml").write_text("# @package _global_\na: 1\n" + "#" * 20_000_000)


FILE = ("data=file", "data.target=y")
OWN = ("--config-dir=conf", "dry_run=true")
MLP = ("model=mlp", "data.d=3")
HOSTILE: list[tuple[Any, tuple[str, ...], tuple[str, ...]]] = [
    (None, ("eps=range(1,1000000001)", "-m"), ("eps=range(1,1000000001)", "max_cells=1000000")),
    (None, ("init.seed=range(100000)", "data.seed=range(100000)", "-m"), ("max_cells=1000000", "raise it with")),
    (None, ("eps='${logspace:-9,-1,1000000000}'",), ("eps", "100000")),
    (None, ("data.n=1000000000000",), ("data.n", "max_memory=4.0e+09", "raise it with max_memory=")),
    (None, ("data.n=100,1000000000000", "-m"), ("data.n", "raise it with max_memory=")),
    (None, ("data.n=1000000000000", "dry_run=true"), ("data.n", "raise it with max_memory=")),
    (None, ("data.d=10000000000",), ("data.d", "raise it with max_memory=")),
    (None, ("data.d=100000000000000000000000",), ("data.d", "max_memory=")),
    (None, ("model=linear", "data.outputs=10000000000"), ("data.outputs=10000000000",)),
    (None, ("model=mlp", "data.outputs=10000000000"), ("data.n", "max_memory=")),
    (None, (*MLP, "model.layers=[1000000,1000000]"), ("model.layers", "raise it with max_memory=")),
    (None, (*MLP, "model.layers=[100000000000000]"), ("model.layers", "raise it with max_memory=")),
    (None, ("model=softmax", "model.n_classes=1000000000000"), ("model.n_classes", "raise it with max_memory=")),
    (None, ("data=sklearn", "data.name=digits", "model=softmax", "model.layers=[3000000]"), ("model.layers",)),
    (small_csv, (*FILE, "data.path=small.csv", "model=mlp", "model.layers=[90000000]"), ("model.layers",)),
    (huge_csv, (*FILE, "data.path=huge.csv"), ("data.path=huge.csv", "5000000000 bytes", "data.max_bytes")),
    (huge_csv, (*FILE, "data.path=huge.csv", "data.n=10"), ("data.path=huge.csv", "data.max_bytes")),
    (None, (*FILE, "data.path=/dev/zero"), ("data.path=/dev/zero", "is not a file")),
    (
        expanding_parquet,
        (*FILE, "data.path=bomb.parquet"),
        ("unpacks to 117", "data.max_bytes=1073741824"),
    ),
    (expanding_npz, ("init=file", "init.path=bomb.npz"), ("unpacks to 1080000", "init.max_bytes=1073741824")),
    (lying_npz, ("init=file", "init.path=lying.npz"), ("init.path=lying.npz", "W")),
    (laughs, (*OWN, "+experiment=laughs"), ("laughs.yaml", "aliases", "1000000 values")),
    (laughs, (*OWN, "+experiment=deep"), ("deep.yaml", "100 levels")),
    (laughs, (*OWN, "+experiment=dashes"), ("dashes.yaml", "100 levels")),
    (laughs, (*OWN, "+experiment=keys"), ("keys.yaml", "100 levels")),
    (laughs, (*OWN, "+experiment=broken"), ("broken.yaml", "bracket", "line 2")),
    (None, ("init.values=" + "[" * 3000 + "]" * 3000,), ("init.values:", "100")),
    (laughs, (*OWN, "+experiment=long"), ("long.yaml", "20000025 bytes", "at most 10000000")),
]


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[tuple[int, str, str, float], bool]]]:
    """What each of them ends with, and whether its folder is as before: all in one process with little memory."""
    folders = {case: tmp_path_factory.mktemp("hostile") for case in NAMES}
    before = {}
    for folder, (made, _, _) in zip(folders.values(), HOSTILE, strict=True):
        if made is not None:
            with contextlib.chdir(folder):
                made()
        before[folder] = sorted(folder.rglob("*"))
    lines = [(folder, [*typed, *QUICK]) for folder, (_, typed, _) in zip(folders.values(), HOSTILE, strict=True)]
    ended = one_by_one(lines, preexec_fn=limit)
    yield {
        case: (found, sorted(folder.rglob("*")) == before[folder])
        for (case, folder), found in zip(folders.items(), ended, strict=False)
    }
    for folder in folders.values():
        shutil.rmtree(folder)


NAMES = [" ".join(typed) for _, typed, _ in HOSTILE]


@pytest.mark.parametrize(("name", "words"), [(n, words) for n, (_, _, words) in zip(NAMES, HOSTILE, strict=True)])
def test_a_hostile_size_is_refused_in_one_line_before_the_machine_suffers(
    refusals: Any, name: str, words: tuple[str, ...]
) -> None:
    assert name in refusals, "the process ended before, or here"
    (status, out, err, seconds), untouched = refusals[name]
    assert (status, out) == (2, "")
    assert err.startswith("gradcheck: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err
    assert seconds < 40  # of computing
    assert untouched


def test_a_size_that_is_not_refused_is_seen(tmp_path: Path) -> None:
    hungry = "hoard = [np.empty(2**27) for _ in range(4)]"  # memory that is asked for and not written to
    (tmp_path / "hungry.py").write_text(f"import numpy as np\ndef fun(x):\n    {hungry}\n    return float(x @ x)\n")
    typed = ["model=function", "model.fun=hungry.fun", "model.jac=hungry.fun", "model.x0=[1.0]", *QUICK]
    lines = [(tmp_path, ["data.n=10", "dry_run=true"]), (tmp_path, typed), (tmp_path, ["cell_timeout=0"])]
    statuses = [status for status, *_ in one_by_one(lines, preexec_fn=limit)]
    assert statuses == [0, 1, 2]


def recorded(**changes: Any) -> Path:
    """A finished run whose recorded config was made larger."""
    assert main(["hydra.run.dir=here", *QUICK]) == 0
    form = json.loads(pq.read_table("here/cells")["config"][0].as_py())
    form["data"] |= changes
    form = canonical(form)
    for path in (Path("here/plan.parquet"), part(Path("here"), "cells")):
        table = pq.read_table(path)
        for name, value in (("config", json.dumps(form)), ("cell", identity.cell_id(form))):
            table = table.set_column(table.schema.get_field_index(name), name, pa.array([value]))
        rewrite(path, table)
    return Path("here")


@pytest.mark.parametrize("changes", [{"n": 10**12}, {"d": 10**10}], ids=str)
def test_a_record_of_a_hostile_size_costs_nothing(changes: dict[str, int]) -> None:
    run = recorded(**changes)
    shutil.copytree(run, "open")
    for path in Path("open/cells").glob("*"):
        path.unlink()
    lines = [[str(run)], [str(run)], ["resume=open", *QUICK]]
    found = one_by_one(
        [(Path.cwd(), line) for line in lines],
        ["gradcheck.reproduce", "gradcheck.show", "gradcheck.run"],
        preexec_fn=limit,
    )
    assert len(found) == len(lines), "the process ended before"
    assert not any("Traceback" in err for _, _, err, _ in found)
    reproduced, shown, resumed = found
    assert reproduced[0] in (1, 2), reproduced[2]
    assert shown[0] == 0
    assert resumed[0] == 1, resumed[2]
    assert "FAILED  1 of 1 cells" in resumed[1]
    assert "max_memory" in pq.read_table("open/cells")["message"][0].as_py()


def test_a_limit_that_is_raised_lets_the_cell_pass() -> None:
    assert main(["max_memory=1e4", *QUICK]) == 2
    assert main(["max_memory=1e6", *QUICK]) == 0
    assert main(["init.seed=1,2", "max_memory=1e6", "-m", *QUICK]) == 0


FORMS = [
    {"data": {"source": "gaussian", "n": 200_000, "d": 5}, "eps": 1e-6},
    {"data": {"source": "gaussian", "n": 20_000, "d": 100}, "dtype": "float32"},
    {"data": {"source": "gaussian", "n": 40_000, "d": 2}, "model": {"name": "mlp", "layers": [10]}},
    {"data": {"source": "gaussian", "n": 10_000, "d": 2}, "model": {"name": "softmax", "layers": [30]}},
    {"data": {"source": "gaussian", "n": 2, "d": 3000}},
    {"data": {"source": "gaussian", "n": 2, "d": 3}, "model": {"name": "mlp", "layers": [500]}},
    {
        "data": {"source": "gaussian", "n": 30_000, "d": 4},
        "model": {"name": "mlp", "layers": [6]},
        "dtype": "longdouble",
    },
]
BASE = {
    "model": {"name": "logistic"},
    "init": {"name": "normal"},
    "bug": {"name": "none"},
    "scheme": "central",
    "dtype": "float64",
    "match_at": 1e-2,
    "eps": 1e-6,
}


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_the_estimate_is_no_less_than_what_a_cell_takes_and_not_far_from_it(form: dict[str, Any]) -> None:
    import tracemalloc

    form = canonical(BASE | form)
    estimate = footprint.footprint(build(form))

    job = Planned("0" * 16, form)
    tracemalloc.start()
    try:
        table = errors_table([cell_row(job, compute(form), 0.0)])
        peak = tracemalloc.get_traced_memory()[1] + table.nbytes
    finally:
        tracemalloc.stop()
    assert peak <= estimate <= 12 * peak + 2e6


@pytest.mark.parametrize("error", [RecursionError("too deep"), yaml.YAMLError("cannot go on")], ids=repr)
def test_a_reader_that_gives_up_is_refused_with_the_name_of_the_file(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever reads YAML and wherever it gives up: where the levels are counted, or where Hydra reads the file."""
    laughs()

    def give_up(*arguments: Any, **options: Any) -> Any:
        raise error

    for name in ("parse", "load"):
        with monkeypatch.context() as patch:
            patch.setattr(yaml, name, give_up)
            assert main(["--config-dir=conf", "+experiment=deep", "dry_run=true", *QUICK]) == 2
        err = capsys.readouterr().err
        assert ".yaml" in err
        assert err.count("\n") == 1


def test_aliases_are_counted_with_all_that_they_stand_for() -> None:
    assert repository.unfolded(b"a: 1\nb: [2, 3]") == 7
    assert repository.unfolded(b"a: &x [1, 2]\nb: *x\nc: [*x, *x]") == 1 + 3 + 3 + 3 + 7
    assert repository.unfolded(b"a: &x 1\nb: *x") == 5
    assert repository.unfolded(b"a: [") == 0
    assert repository.unfolded(b"[" * 1000) == float("inf")
    assert repository.unfolded(b"a: " + b"[{" * 3000) == float("inf")  # where a reader looks ahead, and gives up there
