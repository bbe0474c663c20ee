"""A cell with many weights is examined block by block: the same rows, stored in the same file, in little memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from commands import QUICK, rows
from constructed import part

from gradcheck.columns import weights as weights_module
from gradcheck.experiment import footprint
from gradcheck.numerics import check
from gradcheck.run import main
from gradcheck.views import cell_view, record
from gradcheck.views.runs import load

CASES = [
    ("model=logistic", "data.d=9", "eps=auto"),
    ("model=linear", "data.d=9", "eps=1e-4", "scheme=forward", "bug=sign_flip"),
    ("model=mlp", "model.layers=[4]", "eps=1e-6", "dtype=float32"),
    ("model=mlp", "model.layers=[3,2]", "model.activation=relu", "eps=auto"),
    ("model=softmax", "data.d=5", "eps=1e-5", "bug=scale"),
    ("model=logistic", "data.d=9", "scheme=complex_step", "eps=1e-20"),
]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("typed", CASES, ids=" ".join)
@pytest.mark.parametrize("size", [1, 4])
def test_blocks_store_the_same_rows(typed: tuple[str, ...], size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    main([*typed, "data.n=12", "hydra.run.dir=whole", *QUICK])
    monkeypatch.setattr(check, "BLOCK_WEIGHTS", size)
    main([*typed, "data.n=12", "hydra.run.dir=blocks", *QUICK])
    whole, blocks = rows(Path("whole")), rows(Path("blocks"))
    assert blocks[1] == whole[1]
    for found in (*whole[0], *blocks[0]):
        del found["n_evals"]  # losses of the first evaluation are not kept to be compared with those in full
    assert blocks[0] == whole[0]
    n = len(whole[1])
    assert pq.read_metadata(part(Path("blocks"), "errors")).num_row_groups == -(-n // size)


def test_a_block_that_is_lost_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "BLOCK_WEIGHTS", 4)
    pack, lost = weights_module.packed, []

    def losing(columns: Any) -> Any:
        lost.append(len(columns["flat_index"]))
        return pack({name: values if values is None else values[:1] for name, values in columns.items()})

    monkeypatch.setattr(weights_module, "packed", losing)
    main(["data.d=9", "hydra.run.dir=blocks", *QUICK])
    assert sum(lost) == 10
    with pytest.warns(UserWarning, match="MISSING  7 of 10 rows"):
        load("blocks")


def test_ten_million_weights_need_no_more_than_six_gigabytes() -> None:
    from gradcheck.experiment.config import build, form

    form = form.canonical(
        {
            "model": {"name": "logistic"},
            "data": {"source": "gaussian", "n": 1, "d": 10**7 - 1},
            "init": {"name": "normal"},
            "bug": {"name": "none"},
            "eps": 1e-4,
            "scheme": "central",
            "dtype": "float64",
            "match_at": 0.01,
        }
    )
    footprint.require_memory(build.build(form), 6e9)


def test_a_cell_with_many_weights_is_shown_without_reading_them_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gradcheck import show

    main(["data.d=40", "hydra.run.dir=here", *QUICK])
    (cell,) = rows(Path("here"))[0]
    capsys.readouterr()
    assert show.main(["here", "--cell", cell["cell"]]) == 0
    want = capsys.readouterr().out
    monkeypatch.setattr(cell_view, "BLOCK_WEIGHTS", 10)
    monkeypatch.setattr(record.Record, "weights", lambda *_: pytest.fail("all were read"))
    assert show.main(["here", "--cell", cell["cell"]]) == 0
    assert capsys.readouterr().out == want
