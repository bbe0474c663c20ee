"""A password in a URI is seen nowhere: not in an output, a record, a log, a page or a traceback."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

import pytest
from hypothesis import given, settings
from trials import secrets

import gradcheck
from gradcheck import uris
from gradcheck.columns import places
from gradcheck.errors import BadInput, WriteError
from gradcheck.experiment.config import words
from gradcheck.run import main

STORED = "s3://key:CORRECT%2FHORSE%40@bucket/runs?region=here"


@given(secrets.uris())
@settings(max_examples=300)
def test_what_is_shown_of_a_uri_holds_no_secret(made: tuple[str, list[str]]) -> None:
    uri, tokens = made
    for text in (uri, f"x={uri}: no such key", f"'{uri}'", f"it is {uri}.", f"{uri} and {uri}", f"{uri}: {'x' * 400}"):
        for clear in (uris.hide(text), str(BadInput(text)), str(WriteError(text)), words.cut(text)):
            blanks = " " in uri.strip()  # where a URI with blanks ends, a message does not tell; see `parsed`
            assert blanks or not any(token in clear for token in tokens), (text, clear)
    shown = uris.shown(uri)
    assert not any(token in shown for token in tokens)
    assert uris.shown(shown) == shown
    assert uris.hide(f"{shown}: words") == f"{shown}: words"
    try:
        parsed = uris.parsed(uri)
    except ValueError as error:
        said = "".join(traceback.format_exception(error, limit=0))
        said = said if "percent-encode" in said or "must begin" in said else "".join(tokens)
    else:
        said = parsed.hide(f"{uri} {parsed.password}")
    assert not any(token in said for token in tokens)


@pytest.mark.parametrize("secret", ["a/b", "a#b", "a?b", "a@b", "a:b/c", "a b", "12/34", "a/b@c?d=e", "?secret_key=a"])
@pytest.mark.parametrize("scheme", ["s3", "gs", "abfs", "hdfs"])
def test_a_secret_with_a_sign_that_ends_a_part_is_refused_with_the_way_out(scheme: str, secret: str) -> None:
    with pytest.raises(BadInput, match="percent-encode") as refused:
        places.at(f"{scheme}://key:{secret}@bucket/x")
    assert str(refused.value).startswith(f"{scheme}://…: ")
    assert secret not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://k:a/b@bucket/x", "s3://bucket/x"),
        ("s3://k:a#b@bucket/x", "s3://…"),
        ("s3://k:a?b@bucket/x", "s3://…"),
        ("s3://bucket/a@b/c", "s3://bucket/a@b/c"),
        ("s3://bucket/x?secret_key=a&region=b", "s3://bucket/x?region=b"),
        ("s3://bucket/x?endpoint_override=http://me:a@h&scheme=http", "s3://…"),
        ("s3://bucket/x?endpoint_override=h:9000&client_secret=a", "s3://bucket/x?endpoint_override=h:9000"),
        ("s3://k:a", "s3://…"),
        ("abfs://container@account.dfs.core.windows.net/x", "abfs://container@account.dfs.core.windows.net/x"),
        ("abfs://container:a@account.dfs.core.windows.net/x", "abfs://container@account.dfs.core.windows.net/x"),
        ("abfs://a/b:c@account/x", "abfs://account/x"),
        ("hdfs://host:8020/x", "hdfs://host:8020/x"),
        ("'s3://k:a@bucket", "…://…"),
        ("runs/a:b@c?d#e", "runs/a:b@c?d#e"),
    ],
)
def test_what_is_shown_is_what_is_known_to_be_harmless(text: str, shown: str) -> None:
    assert uris.shown(text) == shown


def test_a_few_uris_with_every_command(tmp_path: Path) -> None:
    assert re.fullmatch(r"2 URIs .* seen 0 times", secrets.trial(tmp_path, 2))


def test_a_run_that_is_stored_with_a_secret_can_be_found_again(tmp_path: Path) -> None:
    stored, wrong = secrets.attempt(tmp_path, STORED, ["CORRECT", "HORSE"])
    assert wrong == []
    assert stored >= 3


def test_a_secret_that_is_let_out_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    until_the_first_slash = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/?#]*@")
    monkeypatch.setattr(uris, "shown", lambda text: until_the_first_slash.sub(r"\1", text))
    monkeypatch.setattr(gradcheck.errors, "hide", lambda text: text)
    assert secrets.attempt(tmp_path, "s3://k:CORRECT/HORSE@bucket/x", ["CORRECT", "HORSE"])[1]


@pytest.mark.parametrize("text", ["s3:/k:CORRECT@bucket/x", "S3:k:CORRECT@bucket", " gs:/CORRECT"])
def test_half_a_uri_is_no_folder(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([f"store={text}", "engine=serial", "progress=none"]) == 2
    out, err = capfd.readouterr()
    assert "CORRECT" not in out + err
    assert "must begin with" in err
    assert list(tmp_path.iterdir()) == []
