"""The sources of tokens: sequences and text."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import QUICK

from gradcheck.errors import Meaningless
from gradcheck.experiment.config.form import canonical
from gradcheck.experiment.config.identity import cell_id
from gradcheck.experiment.sources.sequences import Sequences
from gradcheck.experiment.sources.text import SHIPPED, Text
from gradcheck.models.step_target import PerStep
from gradcheck.models.target import Binary, Classes, Real, Target
from gradcheck.reproduce import main as reproduce
from gradcheck.run import main

F64 = np.dtype(np.float64)
KINDS: list[Target] = [Classes(3), Classes(0), Binary(0, "probabilities"), Real(0)]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_sequences_are_tokens_with_padding_at_the_end_and_some_tokens_repeat(kind: Target) -> None:
    for seed in range(20):
        source = Sequences(n=6, length=5, vocabulary=8, seed=seed)
        X, y = source.batch(kind, F64)
        real = X != 0
        assert X.shape == (6, 5)
        assert X.dtype == F64
        assert np.all((np.round(X) == X) & (X >= 0) & (X < 8))
        assert real[0].all()
        assert not real[1].all()
        assert real[:, 0].all()
        assert not (real[:, 1:] > real[:, :-1]).any()
        assert np.unique(X[real]).size < real.sum()
        each = source.batch(PerStep(kind.size, kind), F64).y
        assert each.shape[:2] == X.shape
        assert np.all(each[~real] == 0)
        assert source.size(kind) == (6, 5, kind.outputs(1))
        kind.check(y, "model")


def test_a_longer_set_begins_with_the_same_sequences_and_seeds_differ() -> None:
    short, long = (Sequences(n=n).batch(Real(0), F64) for n in (5, 50))
    assert np.array_equal(long.X[:5], short.X)
    assert np.array_equal(long.y[:5], short.y)
    assert not np.array_equal(short.X, Sequences(n=5, seed=1).batch(Real(0), F64).X)


def test_targets_follow_the_tokens() -> None:
    source = Sequences(n=200, noise=0.0)
    X, y = source.batch(Real(0), F64)
    real = X != 0
    counts = np.zeros((200, 8))
    for i, row in enumerate(X):
        length = real[i].sum()
        for t in range(length):
            counts[i, int(row[t])] += 0.5 ** (length - 1 - t)
    weights, *_ = np.linalg.lstsq(counts, y, rcond=None)
    assert np.abs(counts @ weights - y).max() < 1e-12


def written(text: str, folder: Path) -> str:
    path = folder / "t.txt"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_windows_of_a_text_are_followed_by_their_next_token(tmp_path: Path) -> None:
    path = written("abab\nba\nc\n", tmp_path)
    source = Text(path=path, n=40, length=3, vocabulary=4)
    each = source.batch(PerStep(0, Classes(0)), F64)
    a, b, rare = 2, 3, 1
    for row, following in zip(each.X.astype(int), each.y, strict=True):
        tokens = [*row[row > 0], following[(row > 0).sum() - 1]]
        assert "".join({a: "a", b: "b"}[t] for t in tokens) in {"abab", "bab", "ab", "ba"}
        assert np.array_equal(following[: len(tokens) - 1], tokens[1:])
    assert rare not in each.X
    last = source.batch(Classes(0), F64)
    assert np.array_equal(last.X, each.X)
    assert np.array_equal(last.y, each.y[np.arange(40), (each.X > 0).sum(axis=1) - 1])
    assert source.notes(Classes(0)) == ["data.vocabulary=4: token 0 is padding, 1 all others, 2 is 'a', 3 is 'b'"]


def test_words_and_rare_ones_and_fewer_classes(tmp_path: Path) -> None:
    path = written("one two one two three\none two\n", tmp_path)
    source = Text(path=path, n=30, length=4, vocabulary=4, unit="words")
    assert set(np.unique(source.batch(Classes(0), F64).y)) <= {1, 2, 3}
    assert source.size(Classes(0)) == (30, 4, 4)
    assert source.batch(Classes(2), F64).y.max() == 1
    columns = replace(source, outputs=2).batch(Binary(0, "probabilities"), F64).y
    assert columns.shape == (30, 2)
    assert set(np.unique(columns)) <= {0.0, 1.0}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe\xfa", "data.path={}: is no text in UTF-8"),
        (b"a\n\nb\n", "data.path={}: has no line of two characters or more, must have one"),
        (b"", "data.path={}: has no line of two characters or more, must have one"),
        (b"x" * 200, "data.path={}: has 200 bytes, more than data.max_bytes=100; raise it with data.max_bytes=200"),
        (None, "data.path={}: No such file or directory"),
    ],
)
def test_a_file_that_is_no_text_is_refused_by_its_key(content: bytes | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="^" + re.escape(words.format(path)) + "$"):
        Text(path=str(path), max_bytes=100).batch(Classes(0), F64)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Sequences(n=0), "data.n=0: "),
        (Sequences(length=0), "data.length=0: "),
        (Sequences(vocabulary=1), "data.vocabulary=1: must be >= 2"),
        (Sequences(noise=-1.0), "data.noise=-1.0: "),
        (Text(vocabulary=2), "data.vocabulary=2: must be >= 3"),
        (Text(unit="bytes"), "data.unit=bytes: must be one of characters, words"),
        (Text(path=""), "data.path=: "),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_its_key(source: Sequences | Text, words: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(words)):
        source.validate()


def test_more_columns_than_the_model_has_are_refused() -> None:
    for source in (Sequences(outputs=2), Text(outputs=2)):
        with pytest.raises(Meaningless, match=r"^data.outputs=2: must be 1 for this model"):
            source.size(Real(1))


def test_the_content_of_the_text_is_part_of_the_name_of_a_cell(tmp_path: Path) -> None:
    def name(text: dict[str, object]) -> str:
        sections = {"model": {"name": "attention"}, "init": {"name": "zeros"}, "bug": {"name": "none"}}
        rest = {"eps": 1e-4, "scheme": "central", "dtype": "float64", "match_at": 1e-2}
        return cell_id(canonical({**sections, **rest, "data": {"source": "text", **text}}))

    first = name({"path": written(SHIPPED.read_text(encoding="utf-8"), tmp_path)})
    assert first == name({})
    assert first == name({"path": None})
    assert name({"path": written("other text\n", tmp_path)}) != first
    assert name({"seed": 1}) != first


# --- as typed -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["model=recurrent", "data=gaussian"], "data.X="),
        (["model=attention", "data=gaussian", "model.output=all"], "data.X="),
        (["model=recurrent", "data=none"], "data=none: model=recurrent needs data, such as data=sequences"),
        (["model=attention", "model.heads=3"], "model.heads=3: must divide model.embedding=4"),
        (["model=recurrent", "data.vocabulary=20"], "data.X="),
        (["model=recurrent", "data.length=1000000000000"], "data.n, data.length, "),
        (["model=attention", "data.length=1000000000000", "model.output=all"], "data.n, data.length, "),
        (["model=attention", "model.vocabulary=1000000000000", "model.tied=true"], "model.vocabulary, "),
        (["model=attention", "data.outputs=1000000000000", "model.loss=sigmoid", "model.output=all"], "data.n, "),
        (["model=recurrent", "data=text", "data.path=missing.txt"], "data.path=missing.txt: No such file"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    typed: list[str], words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*typed, *QUICK]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert words in err


def test_tokens_are_numbers_to_the_other_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["model=logistic", "data=sequences", *QUICK]) == 0


def test_a_run_of_both_models_is_stored_and_reproduced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["model.embedding=2", "model.units=2", "data.n=3", "data.length=3"]
    assert main(["model=recurrent,attention", "data=text", *small, "eps=1e-5", "-m", *QUICK]) == 0
    assert reproduce(["latest"]) == 0
