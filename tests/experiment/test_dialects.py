"""Tables in text are read as they were written, to the bit, or refused in one line that says what to type."""

from __future__ import annotations

import random
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import csv

from gradcheck.experiment.sources.file import File
from gradcheck.experiment.sources.tables import chosen, dialect, text
from gradcheck.models.target import Binary, Classes, Real
from gradcheck.run import main
from tests.cures import cures, followed
from tests.dialects import outcome, written
from tests.forms import FORMS
from tests.trials import files

REAL, BINARY = Real(1), Binary(1)
F64 = np.dtype(np.float64)


def holds(seed: int) -> None:
    """Raise AssertionError where a random table is misread, or refused though it is said how it is written."""
    with tempfile.TemporaryDirectory() as folder:
        table = written(random.Random(seed), Path(folder))
        outcome(table)
        said = outcome(table, **table.given)
        assert said == "read" or table.doubtful, said


@given(st.integers(0, 2**40))
def test_a_table_in_a_random_dialect_is_read_to_the_bit_or_refused_with_the_cure(seed: int) -> None:
    holds(seed)


SIGNS = "ab;|\t#% ,\"\n'é.0 1-"


@given(st.integers(0, 2**40))
def test_plain_csv_is_read_as_pyarrow_reads_it_alone(seed: int) -> None:
    """Whatever stands in its names and labels: what looks like another dialect there changes nothing."""
    r = random.Random(seed)
    n, names = r.randrange(2, 9), {"".join(r.choices(SIGNS, k=r.randrange(1, 5))).strip() for _ in range(3)} - {"", "y"}
    frame = pd.DataFrame({name: [r.choice([r.gauss(0, 1), 2.0]) for _ in range(n)] for name in sorted(names)})
    frame.insert(r.randrange(len(names) + 1), "y", ["".join(r.choices(SIGNS, k=r.randrange(1, 6))) for _ in range(n)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        frame.to_csv(path, index=False, quoting=r.choice([0, 1, 2]), lineterminator=r.choice(["\n", "\r\n"]))
        table = csv.read_csv(path, read_options=csv.ReadOptions(block_size=1 << 20))
        said, batch = None, None
        try:
            batch = File(str(path), "y").batch(Classes(), F64)
        except ValueError as error:
            said = str(error)
    if batch is None:
        refused = ("stands for a missing", "blanks only", "no column beside", "two classes", "has no name", "labels")
        assert any(words in str(said) for words in refused), said
        return
    labels = table["y"].to_pylist()
    if isinstance(labels[0], str):
        assert batch.y.tolist() == [sorted(set(labels)).index(label) for label in labels]
    assert np.array_equal(batch.X, np.stack([table[name] for name in table.column_names if name != "y"], axis=1))


FAULTS: dict[str, tuple[object, str, object]] = {
    "the first line is always names": (dialect, "_BY_PLACE", re.compile("never")),
    "a decimal comma is overlooked": (dialect, "_decimal", lambda best, used, wanted: "."),
    "blanks are no separator": (text, "BLANKS", "no sign"),
    "rows that lack a value stay": (chosen, "_lacking", lambda found, words: np.zeros(found.read.rows, dtype=bool)),
    "a quote after a blank is none": (dialect, "_late", lambda found, lines, sep: False),
    "comments after fields stay": (text, "_by_pandas", lambda found, tails: found.sep == " "),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_reader_with_a_fault_is_found_out(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, name, wrong = FAULTS[fault]
    monkeypatch.setattr(module, name, wrong)

    def all_hold() -> None:
        for seed in range(300):
            holds(seed)

    with pytest.raises((AssertionError, ValueError, TypeError)):
        all_hold()


# ---------------------------------------------------------------------------------------------------- given by the user

GIVEN: dict[str, tuple[str, dict[str, Any], list[list[float]]]] = {
    "semicolons, decimal commas": ("a;b;y\n1,5;2;0\n-,5;3e2;1\n", {}, [[1.5, 2], [-0.5, 300]]),
    "tabs": ("a\tb\ty\n1\t2\t0\n", {"sep": "tab"}, [[1, 2]]),
    "a colon": ("a:b:y\n1:2:0\n", {"sep": ":"}, [[1, 2]]),
    "blanks": ("  a  b y\n 1\t2   0\n", {"sep": "blanks"}, [[1, 2]]),
    "thousands in quotes as decimals": ('a,b,y\n"1,234",2,0\n', {"decimal": ","}, [[1.234, 2]]),
    "comments of a sign": ("!made\na,b,y\n1,2,0 ! sic\n!3,4,0\n", {"comment": "!"}, [[1, 2]]),
    "a word for a missing value": ("a,b,y\n1,2,0\nx,2,0\n3,4,1\n", {"na": "x"}, [[1, 2], [3, 4]]),
    "a number for a missing value": ("a,b,y\n1,2,0\n-999.0,2,0\n3,4,1\n", {"na": -999}, [[1, 2], [3, 4]]),
    "an empty field": ("a,b,y\n1,2,0\n,2,0\n3,,1\n5,6,1\n", {"na": [""]}, [[1, 2], [5, 6]]),
    "names of rows, as R writes them": ('"a" "b" "y"\n"u" 1 2 0\n', {"features": ["a", "b"]}, [[1, 2]]),
    "a separator at the end of each row": ("a,b,y\n1,2,0,\n3,4,1,\n", {"features": ["a", "b"]}, [[1, 2], [3, 4]]),
    "blanks around names": (" a , b ,y \n1,2,0\n", {}, [[1, 2]]),
    "quotes around names": ("'a' 'b' 'y'\n1 2 0\n", {}, [[1, 2]]),
    "a byte order mark": ("\ufeffa,b,y\n1,2,0\n", {"features": ["a", "b"]}, [[1, 2]]),
    "a line break in a name": ('"a\n1",b,y\n1,2,0\n', {}, [[1, 2]]),
    "names that count": ("0,1,2,y\n5,6,7,0\n", {"features": ["0", "1"]}, [[5, 6]]),
}


@pytest.mark.parametrize("case", GIVEN)
def test_a_table_is_read_as_it_is_said_to_be_written(case: str, tmp_path: Path) -> None:
    words, settings, X = GIVEN[case]
    (tmp_path / "t").write_bytes(words.encode())
    assert File(str(tmp_path / "t"), "y", **settings).batch(REAL, F64).X.tolist() == X
    (tmp_path / "u").write_bytes(words.encode("utf-16"))
    assert File(str(tmp_path / "u"), "y", **settings).batch(REAL, F64).X.tolist() == X


REFUSED: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "a comma between thousands or before decimals": (
        "a;y\n1,234;0\n5,678;1\n",
        "y",
        ("1234", "1.234", "data.decimal="),
    ),
    "a number where a name is meant": ("3.6,8.7,0\n1,2,1\n", "0", ("numbers only", "data.target=f2")),
    "no names": ("1,2,0\n3,4,1\n", "label", ("no such column", "f0 … f2")),
    "two ways to take lines apart": ("0,7   A\n64,4   B\n", "f1", ("two ways", "data.sep=','", "data.sep=blanks")),
    "words among features": ("a,b,c,y\n1,u,w,0\n2,v,w,1\n", "y", ("'u' in row 1", "c", "'data.features=[a]'")),
    "a word among numbers": ("a,y\n1,0\n2,1\n?,0\n4,1\n", "y", ("'?' in row 3", "data.na=['?']")),
    "a missing value": ("a,b,y\n1,2,0\n,3,1\n", "y", ("row 2", "data.na=NA", "'data.features=[b]'")),
    "a comment after a field": ("a,y\n1 # sic,0\n2,1\n", "y", ("1 # sic", "data.comment='#'")),
    "a comment after the names": ("a,y # sic\n1,0\n2,1\n", "y", ("data.comment='#'",)),
    "decimal commas far below": (
        "a;y\n" + "1;0\n" * 30000 + "1,5;1\n",
        "y",
        ("'1,5' in row 30001", "data.decimal=','"),
    ),
    "thousands": ("a;y\n1.234,5;0\n-2.000,25;1\n", "y", ("'1.234,5' in row 1", "thousands")),
    "a comma too many": ("a,b,y\n1,5,2,0\n3,4,1,1\n", "y", ("Expected 3 columns, got 4", "data.sep=")),
    "a row that is short": ("a b y\n1 2 0\n1 0\n", "y", ("row 2 has 2 fields", "take out")),
    "a title": ("World tables\na,b,y\n1,2,0\n", "y", ("take out the lines",)),
    "another encoding": ("é,y\n1,0\n", "y", ("utf-8", "iconv")),
    "HTML": ("<!DOCTYPE html><html>404</html>\n", "y", ("HTML", "download")),
    "a pointer": ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "y", ("Git LFS", "git lfs pull")),
    "long hexadecimal numbers": ("a,y\n0xffffffffffffffff,0\n1,1\n", "y", ("0xffff", "decimals")),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_in_doubt_is_refused_with_what_to_type(case: str, tmp_path: Path) -> None:
    words, target, said = REFUSED[case]
    (tmp_path / "t.csv").write_bytes(words.encode("latin-1" if "encoding" in case else "utf-8"))
    with pytest.raises(ValueError, match=r"^data\.\w+=") as refused:
        File(str(tmp_path / "t.csv"), target).batch(REAL, F64)
    message = str(refused.value)
    assert "\n" not in message
    assert [word for word in said if word not in message] == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sep": "ab"}, "data.sep=ab: must be one character"),
        ({"sep": "."}, "data.sep=.: must be one character"),
        ({"decimal": ";"}, "data.decimal=;: must be"),
        ({"comment": "//"}, "data.comment=//: must be the one character"),
        ({"sep": ";", "comment": ";"}, "is data.sep, too"),
        ({"na": [["x"]]}, "must be a word"),
    ],
)
def test_settings_without_meaning_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=r"^data") as refused:
        File("t.csv", "y", **settings).validate()
    assert said in str(refused.value)


# ------------------------------------------------------------------------------------------------------- the first rows

AFTER = [b"7,8,9,10\n", b"x,y,z\n", b'"open,1,2\n', b"\xff\xfe\x00,1,2\n", b"1\n", b",,\n", b"# 1,2,3\n"]


@given(n=st.integers(1, 5), rest=st.lists(st.sampled_from(AFTER), min_size=1, max_size=4), zipped=st.booleans())
def test_what_follows_the_first_rows_is_not_looked_at(n: int, rest: list[bytes], zipped: bool) -> None:
    import gzip

    rows = [b"1.5,2,0\n", b"2,3,1\n", b"3,4,0\n", b"4,5.25,1\n", b'"5",6,0\n']
    content = b"a,b,y\n" + b"".join(rows[:n]) + b"".join(rest)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_bytes(gzip.compress(content) if zipped else content)
        source = File(str(path), "y", n=n, sep=",")
        assert source.batch(REAL, F64).X.tolist() == [[1.5, 2], [2, 3], [3, 4], [4, 5.25], [5, 6]][:n]
        assert source.size(REAL) == (n, 2, 1)


def test_rows_without_a_value_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,y\n" + "NA,0\n" * 9 + "1,0\n2,1\n3,0\nfour,1\n")
    source = File(str(tmp_path / "t.csv"), "y", n=3, na="NA")
    assert source.batch(REAL, F64).X.tolist() == [[1], [2], [3]]
    assert source.notes(REAL) == ["data.na: 9 rows with a missing value left out"]
    (tmp_path / "t.csv").write_text("a,y\nNA,0\n1,0\n2,1\n")
    with pytest.raises(ValueError, match=r"data\.n=3: .* has 2 rows without a missing value"):
        File(str(tmp_path / "t.csv"), "y", n=3, na="NA").batch(REAL, F64)


# --------------------------------------------------------------------------------------------------------------- labels

label = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=4)


@given(
    two=st.one_of(
        st.lists(st.integers(-5, 9), min_size=2, max_size=2, unique=True),
        st.lists(st.sampled_from([0.5, 1.25, -3.75, 2.0]), min_size=2, max_size=2, unique=True),
        st.lists(label.map(lambda word: f"l{word}"), min_size=2, max_size=2, unique_by=str.casefold),
    ),
    order=st.lists(st.booleans(), min_size=2, max_size=9).filter(lambda some: len(set(some)) == 2),
)
def test_two_labels_of_any_kind_are_numbered_in_sorted_order(two: list[Any], order: list[bool]) -> None:
    low, high = sorted(two)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_text("x,y\n" + "".join(f"{i},{high if one else low}\n" for i, one in enumerate(order)))
        source = File(str(path), "y")
        assert source.batch(BINARY, F64).y[:, 0].tolist() == [float(one) for one in order]
        said = source.notes(BINARY)
        assert said == (
            [] if (low, high) == (0, 1) else [f"data.target=y: {low} is 0, {high} is 1".replace(".0 ", " ")]
        )


@pytest.mark.parametrize("doubles", [("yes", "Yes", "no"), ("yes", "yes ", "no"), ("yes", "Yes", "yes "), ("u", "U")])
def test_labels_that_are_almost_the_same_are_named(doubles: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{i},{word}\n" for i, word in enumerate(doubles)))
    with pytest.raises(
        ValueError, match=r"^data\.target=y: the labels .* differ in capitals or blanks only"
    ) as refused:
        File(str(tmp_path / "t.csv"), "y").batch(BINARY, F64)
    alike = [word for word in doubles if word != "no"]
    assert all(repr(word) in str(refused.value) for word in alike)


def test_a_run_says_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("a;b;y\n1,5;2;yes\n2,5;3;no\n3;?;yes\n")
    typed = ["data=file", "data.path=t.csv", "data.target=y", "data.na=?", "progress=none"]
    said = [
        "data.path=t.csv: read with \"data.sep=';'\", \"data.decimal=','\"",
        "data.na: 1 row with a missing value left out",
        "data.target=y: no is 0, yes is 1",
    ]
    for more in (["dry_run=true"], ["hydra.run.dir=run"]):
        assert main([*typed, *more]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line for line in said if line not in lines] == []
    assert main(["resume=run", "progress=none"]) == 0
    assert said[-1] in capsys.readouterr().out.splitlines()
    assert File("t.csv", "y", sep=";", decimal=",", na="?").batch(BINARY, F64).X.tolist() == [[1.5, 2], [2.5, 3]]


# ------------------------------------------------------------------------------------------------------- files of others


@pytest.mark.parametrize("name", FORMS)
def test_the_forms_of_well_known_data_sets_are_read_with_what_the_refusals_say(name: str, tmp_path: Path) -> None:
    for seed in range(3):
        form = FORMS[name](random.Random(seed))
        path = tmp_path / form.file
        path.write_bytes(form.text.encode())
        assert "read" in files.tried(path, form.target, form.kind, form.read)


SOME = [file for file in files.FILES if "sklearn" in file.package or "src/" in file.path or "gam/" in file.path]


@pytest.mark.parametrize("file", SOME, ids=lambda file: file.path.rpartition("/")[2])
def test_files_of_packages_are_read_or_refused_with_the_cure(file: files.Shipped) -> None:
    pytest.importorskip(file.package)
    path = files.place(file)
    if path is None:
        pytest.skip(f"this {file.package} does not ship it")
    files.tried(path, file.target, file.kind, file.read)


def test_the_cures_of_a_refusal_are_found() -> None:
    said = (
        "data.features=a: holds '?' in row 1; nor can b be used; \"data.na=['?']\" leaves out the rows, or"
        " 'data.features=[c,\"d e\"]' takes the others"
    )
    assert list(cures(said)) == [("na", ["?"]), ("features", ["c", "d e"])]
    with pytest.raises(ValueError, match=r"data\.path"):
        list(followed(Path("nowhere.csv"), "y", Classes()))
