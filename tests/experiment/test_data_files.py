"""Files as pandas, pyarrow and Polars write them: the index is no feature, a missing label no class."""

from __future__ import annotations

import io
import shlex
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from pandas._libs.parsers import STR_NA_VALUES
from pyarrow import csv, parquet

from gradcheck.experiment.config import identity
from gradcheck.experiment.config.form import canonical_section
from gradcheck.experiment.sources.file import File
from gradcheck.experiment.sources.tables import columnar
from gradcheck.models.target import Classes, Real
from gradcheck.run import main

REAL, CLASSES = Real(), Classes()
F64 = np.dtype(np.float64)

# ------------------------------------------------------------------------------------------------------ the index

INDEXES: dict[str, Any] = {
    "0, 1, 2, ...": lambda n: pd.RangeIndex(n),
    "a range with a step": lambda n: pd.RangeIndex(3, 3 + 2 * n, 2),
    "a range called r": lambda n: pd.RangeIndex(n, name="r"),
    "a range called as a feature": lambda n: pd.RangeIndex(n, name="a"),
    "numbers": lambda n: pd.Index([i * i + 5 for i in range(n)]),
    "numbers called id": lambda n: pd.Index([i * i + 5 for i in range(n)], name="id"),
    "fractions": lambda n: pd.Index([i / 3 for i in range(n)]),
    "text": lambda n: pd.Index([f"row {i}" for i in range(n)]),
    "dates": lambda n: pd.date_range("2026-11-27", periods=n, name="day"),
    "two levels": lambda n: pd.MultiIndex.from_arrays([list(range(1, n + 1)), [2 * i for i in range(n)]]),
    "two levels, one called k": lambda n: pd.MultiIndex.from_arrays([list(range(n)), ["u"] * n], names=[None, "k"]),
}
numbers = st.floats(-1e6, 1e6)
names = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\x85\u2028\u2029"), min_size=1, max_size=4
)


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """Features and a target y, with an index of any kind."""
    n = draw(st.integers(2, 5))
    columns = ["a", *draw(st.lists(st.sampled_from(["b", "c d", "e", "x0"]), max_size=2, unique=True))]
    values = {name: draw(st.lists(numbers, min_size=n, max_size=n)) for name in [*columns, "y"]}
    return pd.DataFrame(values, index=INDEXES[draw(st.sampled_from(sorted(INDEXES)))](n))


WRITERS: dict[str, Any] = {
    "pandas": lambda frame, path: frame.to_parquet(path),
    "pandas, index=True": lambda frame, path: frame.to_parquet(path, index=True),
    "pandas, index=False": lambda frame, path: frame.to_parquet(path, index=False),
    "pyarrow": lambda frame, path: parquet.write_table(pa.Table.from_pandas(frame), path),
    "pyarrow, columns in another order": lambda frame, path: parquet.write_table(
        (table := pa.Table.from_pandas(frame)).select(table.column_names[::-1]), path
    ),
    "pandas, without its metadata": lambda frame, path: parquet.write_table(
        pa.Table.from_pandas(frame.rename_axis([None] * frame.index.nlevels)).replace_schema_metadata(None), path
    ),
    "Polars, from a file of pandas": lambda frame, path: (
        frame.rename_axis([None] * frame.index.nlevels).to_parquet(path),
        pl.read_parquet(path).write_parquet(path),
    ),
    "Polars": lambda frame, path: pl.DataFrame({name: frame[name].to_numpy() for name in frame}).write_parquet(path),
}


def features_are_those_of(frame: pd.DataFrame, path: Path) -> bool:
    X = File(str(path), "y").batch(REAL, F64).X
    expected = frame.drop(columns="y")
    assert File(str(path), "y").size(REAL)[1] == X.shape[1]
    return X.shape == expected.shape and bool(np.array_equal(np.sort(X, axis=1), np.sort(expected.to_numpy(), axis=1)))


@given(frame=frames(), writer=st.sampled_from(sorted(WRITERS)))
def test_the_features_of_a_parquet_file_are_the_columns_of_the_frame(frame: pd.DataFrame, writer: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.parquet"
        if (writer, frame.index.names[0]) == ("pandas, index=True", "a"):
            return  # pandas refuses it: two columns called a
        WRITERS[writer](frame, path)
        assert features_are_those_of(frame, path)


def test_an_index_that_is_taken_for_a_feature_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "y": [0.0, 1.0]}, index=[7, 3])
    frame.to_parquet(tmp_path / "t.parquet")
    assert features_are_those_of(frame, tmp_path / "t.parquet")
    frame.to_parquet(tmp_path / "u.parquet")
    monkeypatch.setattr(columnar, "index_of", lambda schema: ())
    assert not features_are_those_of(frame, tmp_path / "u.parquet")


def test_an_index_that_is_asked_for_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pd.DataFrame({"a": [1.0, 2.0], "y": [0.0, 1.0]}, index=pd.Index([7, 3], name="id")).to_parquet(path, index=True)
    assert File(str(path), "y", ["id", "a"]).batch(REAL, F64).X.tolist() == [[7, 1], [3, 2]]
    assert File(str(path), "id").batch(REAL, F64).y.tolist() == [[7], [3]]
    assert File(str(path), "id").batch(REAL, F64).X.tolist() == [[1, 0], [2, 1]]


@pytest.mark.parametrize(
    "said", [b"no json", b"[1]", b'{"index_columns": 3}', b'{"index_columns": [[1], null]}', b"[" * 9999]
)
def test_metadata_that_pandas_would_not_write_names_no_index(said: bytes, tmp_path: Path) -> None:
    table = pa.table({"a": [1.0, 2.0], "y": [0.0, 1.0]}).replace_schema_metadata({b"pandas": said})
    parquet.write_table(table, tmp_path / "t.parquet")
    assert File(str(tmp_path / "t.parquet"), "y").left_out() == []


def test_a_run_says_which_columns_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"a": [1.0, 2.0, 3.0], "y": [0, 1, 0]}, index=[7, 3, 5]).to_parquet("t.parquet")
    typed = ["data=file", "data.path=t.parquet", "data.target=y", "progress=none"]
    for more in (["dry_run=true"], ["hydra.run.dir=run"]):
        assert main([*typed, *more]) == 0
        assert "the index is no feature: __index_level_0__ left out\n" in capsys.readouterr().out
    assert "__index_level_0__ left out" in Path("run/gradcheck.log").read_text()
    assert main([*typed, "data.features=[a]", "hydra.run.dir=named"]) == 0
    assert "left out" not in capsys.readouterr().out


def test_an_id_changes_with_the_index_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What earlier versions stored of a file with an index are other numbers; of all other files they are the same."""
    frame = pd.DataFrame({"a": [1.0, 2.0], "y": [0.0, 1.0]}, index=[7, 3])
    frame.to_parquet(tmp_path / "with.parquet")
    frame.to_parquet(tmp_path / "without.parquet", index=False)
    frame.to_csv(tmp_path / "without.csv", index=False)

    def texts() -> list[Any]:
        parts = [{"source": "file", "path": str(tmp_path / name), "target": "y"} for name in FILES]
        return [identity.section_text("data", canonical_section("data", part)) for part in parts]

    FILES = ["with.parquet", "without.parquet", "without.csv"]
    now = texts()
    monkeypatch.setattr(File, "left_out", lambda self: [])
    before = texts()
    assert [a == b for a, b in zip(now, before, strict=True)] == [False, True, True]


# ------------------------------------------------------------------------------------------------------- nameless


@given(
    columns=st.lists(
        names.filter(lambda n: n.strip() and not n.startswith("Unnamed") and n != "y"),
        min_size=1,
        max_size=3,
        unique=True,
    ),
    levels=st.integers(1, 2),
    again=st.booleans(),
)
def test_a_column_without_a_name_is_refused_with_the_override_that_names_the_others(
    columns: list[str], levels: int, again: bool
) -> None:
    frame = pd.DataFrame({name: [1.0 + i, 2.0, 3.0] for i, name in enumerate(columns)} | {"y": [0.0, 1.0, 0.0]})
    frame.index = pd.MultiIndex.from_arrays([[5, 6, 7]] * levels) if levels > 1 else pd.Index([5, 6, 7])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        frame.to_csv(path)
        if again:  # pandas calls them "Unnamed: 0"
            pd.read_csv(path).to_csv(path, index=False)
        columns = [n for n in csv.read_csv(path).column_names if n.strip() and not n.startswith("Unnamed") and n != "y"]
        with pytest.raises(ValueError, match="has no name") as refused:
            File(str(path), "y").batch(REAL, F64)
        with pytest.raises(ValueError, match="has no name"):
            File(str(path), "y").size(REAL)
        message = str(refused.value)
        assert "\n" not in message
        (typed,) = shlex.split(message.partition(" use with ")[2])
        (override,) = OverridesParser.create().parse_overrides([typed])
        features = list(OmegaConf.create({"features": override.value()}).features)
        assert features == columns
        assert File(str(path), "y", features).batch(REAL, F64).X.shape == (3, len(columns))


# ------------------------------------------------------------------------------------------------- missing labels

BLANKS = ["", " ", "   ", "\u00a0"]
ABSENT = sorted(
    {*STR_NA_VALUES, *csv.ConvertOptions().null_values, *map(str, (None, np.nan, pd.NA, pd.NaT))} | {*BLANKS}
)


def to_csv(labels: list[str | None], path: Path) -> Path:
    path = path.with_suffix(".csv")
    pd.DataFrame({"x": range(len(labels)), "y": labels}).to_csv(path, index=False)
    return path


def arrow(kind: Any) -> Any:
    def write(labels: list[str | None], path: Path) -> Path:
        column = pa.array(labels, type=pa.string())
        column = column.dictionary_encode() if kind is pa.dictionary else column.cast(kind)
        parquet.write_table(pa.table({"x": range(len(labels)), "y": column}), path)
        return path

    return write


def polars(labels: list[str | None], path: Path) -> Path:
    pl.DataFrame({"x": range(len(labels)), "y": labels}).write_parquet(path)
    return path


LABELLED = {
    "csv": to_csv,
    "string": arrow(pa.string()),
    "large_string": arrow(pa.large_string()),
    "string_view": arrow(pa.string_view()),
    "categories": arrow(pa.dictionary),
    "bytes": arrow(pa.binary()),
    "Polars": polars,
}
words = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=5).filter(lambda w: w not in ABSENT)


@given(
    labels=st.lists(words, min_size=3, max_size=6, unique=True),
    absent=st.one_of(st.sampled_from([*ABSENT, None]), st.sampled_from(ABSENT).map(lambda word: f" {word} ")),
    at=st.integers(0, 9),
    writer=st.sampled_from(sorted(LABELLED)),
)
def test_a_label_that_is_missing_is_refused_with_row_and_column(
    labels: list[str], absent: str | None, at: int, writer: str
) -> None:
    row = at % len(labels)
    texts: list[str | None] = [f"l{label}" for label in labels]
    with tempfile.TemporaryDirectory() as folder:
        path = LABELLED[writer](texts, Path(folder) / "t.parquet")
        assert sorted(File(str(path), "y").batch(CLASSES, F64).y) == list(range(len(labels)))
        texts[row] = absent
        path = LABELLED[writer](texts, Path(folder) / "u.parquet")
        with pytest.raises(ValueError, match=rf"^data\.target=y: .* row {row + 1} of .*missing") as refused:
            File(str(path), "y").batch(CLASSES, F64)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", ["csv", "date32", "date64", "timestamp[s]", "timestamp[ns]"])
@given(days=st.lists(st.dates(date(1700, 1, 1), date(2200, 1, 1)), min_size=2, max_size=5, unique=True))
def test_days_are_labels_in_their_order(kind: str, days: list[date]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t"
        if kind == "csv":
            path.write_text("x,y\n" + "".join(f"1,{day}\n" for day in days))
        else:
            column = pa.array(days, pa.date32()).cast(pa.type_for_alias(kind))
            parquet.write_table(pa.table({"x": [1.0] * len(days), "y": column}), path)
        assert File(str(path), "y").batch(CLASSES, F64).y.tolist() == [sorted(days).index(day) for day in days]


def test_names_that_were_not_split_are_shown_with_what_splits_them(tmp_path: Path) -> None:
    for sign in ":/~!^*&":
        path = tmp_path / "t.txt"
        path.write_text(f"a{sign}b{sign}y\n1{sign}2{sign}0\n3{sign}4{sign}1\n")
        with pytest.raises(ValueError, match="no such column") as refused:
            File(str(path), "y").batch(REAL, F64)
        (typed,) = shlex.split(str(refused.value).partition(" columns, say ")[2])
        (override,) = OverridesParser.create().parse_overrides([typed])
        assert File(str(path), "y", sep=str(override.value())).batch(REAL, F64).X.tolist() == [[1, 2], [3, 4]]


def test_a_part_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"x": [1.0, 2.0], "y": [0, 1]}), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_text("junk")
    with pytest.raises(ValueError, match=r"cannot be read: b\.parquet: "):
        File(str(tmp_path), "y").batch(REAL, F64)


@pytest.mark.parametrize("absent", [None, np.nan])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_number_that_is_missing_among_labels_is_refused(kind: str, absent: float | None, tmp_path: Path) -> None:
    path = tmp_path / f"t.{kind}"
    if kind == "csv":
        path.write_text(f"x,y\n1,0\n2,{'' if absent is None else 'nan'}\n3,1\n")
    else:
        parquet.write_table(pa.table({"x": [1, 2, 3], "y": pa.array([0.0, absent, 1.0])}), path)
    with pytest.raises(ValueError, match=r"^data\.target=y: .* row 2"):
        File(str(path), "y").batch(CLASSES, F64)


def test_a_run_over_a_missing_label_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("x,y\n1,cat\n2,NA\n3,dog\n")
    said = io.StringIO()
    with redirect_stderr(said), redirect_stdout(io.StringIO()):
        status = main(["model=softmax", "data=file", "data.path=t.csv", "data.target=y"])
    assert status == 2
    assert said.getvalue().count("\n") == 1
    assert "row 2 of t.csv is 'NA'" in said.getvalue()
