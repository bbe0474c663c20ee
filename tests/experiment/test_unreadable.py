"""A user's config file that is wrong is refused in one line: the file, the line, what stands there, what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradcheck.experiment.config import unreadable, unresolved
from gradcheck.run import main

HEADER = "# @package _global_\n"
QUICK = ("--config-dir=conf", "progress=none", "engine=serial")
NAME = "conf/experiment/mine.yaml"

# by a part of the pattern of ADVICE: what stands below the header, the line that is named, and what is said
ADVICE: dict[str, tuple[str, int, str]] = {
    "found character '\\\\t'": ("data:\n\tn: 5\n", 3, "a tab cannot indent"),
    "found duplicate key": ("eps: 1e-4\nmatch_at: 1e-3\neps: 1e-6\n", 4, "the key eps stands twice"),
    "flow (sequence|mapping)": (
        "eps: [1e-4, 1e-6\ndata: {n: 5}\n",
        3,
        "the bracket that opens in line 2 is not closed",
    ),
    "quoted scalar": ("scheme: 'central\neps: 1e-4\n", 3, "the quote that opens in line 2 is not closed"),
    "unknown escape": ('scheme: "\\q"\n', 2, "the sign \\ in double quotes"),
    "could not find expected ':'": ("eps: 1e-4\nscheme\ndtype: float64\n", 4, "a key without a colon"),
    "mapping values are not": ("scheme: central: eps\n", 2, "a colon where no key can stand"),
    "expected <block end>": ("data:\n    n: 5\n  d: 2\n", 4, "does not fit in with the lines above"),
    "undefined alias": ("eps: *nope\n", 2, "no value is called so"),
    "an (?:alias|anchor)": ("eps: & 3\n", 2, "a sign of YAML (* or &)"),
    "found character '(.)'": ("eps: @nope\n", 2, "a value cannot begin with @"),
    "constructor for the tag": ("eps: !!python/object:os.system ls\n", 2, "a sign of YAML (!)"),
    "directive": ("%YAML x\neps: 1\n", 2, "a line cannot begin with %"),
    "block scalar": ("eps: >x\n  3\n", 2, "a sign of YAML (| > or ---)"),
    "single document": ("eps: 1e-4\n---\neps: 1e-6\n", 3, "a second config begins here"),
    "unhashable key": ("? [a, b]\n: 3\n", 2, "a key must be one word"),
    "for merging": ("eps: 1e-4\n<<: 3\n", 3, "another kind of value must stand here"),
    "special characters": ("eps: 1e-4\ndtype: a\x01b\n", 3, "a control character"),
    "header format": ("# @package\neps: 1e-4\n", 2, "no header of Hydra"),
    "in defaults": ("eps: 1e-4\ndefaults: mlp\n", 3, "no defaults list of Hydra"),
    "key type": ("data:\n  n: 5\n  null: 3\n", 4, "a key must be text or a number"),
    "primitive type": ("eps: 1e-4\ndata:\n  n: !!set {a, b}\n", 4, "no value of a config"),
    "no viable": ("dtype: float64\neps: ${data.n\n", 3, "no interpolation; close each ${"),
}
# what is wrong but can be read: the line that is named, and what is said
WRONG: list[tuple[str, int, str]] = [
    ("eps: 1e-4\ndta:\n  n: 5\n", 3, "dta: no such key (did you mean data?)"),
    ("data:\n  n: five\n", 3, "data.n=five: must be a whole number"),
    ("match_at: 1e-3\neps: [1e-4, -1]\n", 3, "eps=-1: must be"),
    ("eps: 0\n", 2, "eps=0: must be"),
    ("defaults:\n  - /model: mlp\n", 3, "/model: mlp: is chosen by default; write '- override /model: mlp'"),
    ("defaults:\n  - model: mlp\n", 3, "model: mlp: no such config; write '- override /model: mlp'"),
    ("defaults:\n  - override model: mlp\n", 3, "write '- override /model: mlp'"),
    ("defaults:\n  - override /model: mpl\n", 3, "override /model: mpl: must be one of mlp, attention, conv"),
    ("defaults:\n  - override /data: values\ndata:\n  X: [[1]]\n", 4, "data.y: must be given"),
    ("defaults:\n  - override /data: values\n", 3, "data.X: must be given"),
    ("hydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      e:ps: 1,2\n", 6, "e:ps=1,2: cannot be read"),
    ("hydra:\n  sweeper:\n", 3, "hydra.sweeper=None: must be chosen by name, as hydra/sweeper=basic"),
    ("init:*  scale: 0.5\n", 2, "init:* scale: no such key"),
    ("eps: ${logspace:,6,-2,3}\n", 2, "some elements are missing"),
    ("hydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      epz: 1,2\n", 6, "epz=1,2: no such key"),
    ("hydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      eps: 1,[2\n", 6, "eps=1,[2: cannot be read"),
    ("hydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      eps: ${nope}\n", 6, "${nope}: there is no key nope"),
    ("hydra:\n  mode: MULTIRUN\n  sweeper:\n    params: [eps]\n", 5, "hydra.sweeper.params: "),
    ("hydra:\n  sweeper:\n    params: eps=1,2\n", 4, "hydra.sweeper.params: must be a mapping, such as {key: value}"),
    ("- eps: 1\n- data\n", 2, "a config is no list; write KEY: VALUE, without the dash"),
    (
        "defaults:\n  - override /modell: mlp\n",
        3,
        "there is no group modell; there are bug, data, engine, init, model;",
    ),
    ("defaults:\n  - override hydra/launcher: basic\n", 3, "write '- override /hydra/launcher: basic'"),
    ("eps: 1\nyes: no\n", 3, "True: no such key"),
    ("eps: 1\ndata:\n  on: 3\n", 4, "data.True: no such key"),
    ("hydra:\n  callbacks:\n    mine:\n      _target_: no.such.Callback\n", 4, "No module named 'no'"),
    ("hydra:\n  callbacks:\n    mine:\n      _target_: os.getcwd\n", 4, "hydra.callbacks.mine: is no callback"),
    ("hydra:\n  callbacks:\n    mine: 3\n", 3, "hydra.callbacks: cannot be made"),
    ("hydra:\n  job:\n    name: ${nope}\n", 4, "hydra.job.name"),
    ("eps: 1e-4\nhydra:\n", 3, "hydra: must be a mapping"),
    ("hydra:\n  job_logging:\n    handlers: 3\n", 3, "hydra.job_logging: "),
]
# by a part of the pattern of REASONS: a value of eps, and what is said
REASONS: dict[str, tuple[str, str]] = {
    "Interpolation key": ("${match_ad}", "there is no key match_ad; did you mean ${match_at}?"),
    "Environment variable": ("${oc.env:NOT_SET_HERE}", "the environment variable NOT_SET_HERE is not set; set it, or"),
    "Unsupported interpolation": ("${logspce:-6,-2,3}", "there is no resolver logspce; did you mean logspace?"),
    "ecursive": ("${eps}", "refers to itself"),
    "argument": ("${oc.env:}", "write the arguments after a colon"),
}  # fmt: skip


def said(
    content: bytes, typed: tuple[str, ...], capfd: pytest.CaptureFixture[str], folder: Path, header: bool = True
) -> str:
    """The line with which a config file of the user is refused."""
    (folder / "conf/experiment").mkdir(parents=True)
    (folder / NAME).write_bytes(HEADER.encode() * header + content)
    assert main(["+experiment=mine", *QUICK, *typed]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("gradcheck: ")
    assert err.count("\n") == 1
    return err


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_advice_and_every_reason_has_an_input() -> None:
    for table, inputs in ((unreadable.ADVICE, ADVICE), (unresolved.REASONS, REASONS)):
        for pattern, *_ in table:
            assert sum(part in pattern for part in inputs) == 1, pattern


@pytest.mark.parametrize("part", ADVICE)
def test_a_file_that_cannot_be_read_is_named_with_its_line_and_an_advice(
    part: str, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content, line, words = ADVICE[part]
    err = said(content.encode(), (), capfd, here)
    assert err.startswith(f"gradcheck: {NAME}, line {line}: '")
    assert words in err


@pytest.mark.parametrize("more", [(), ("-m",)])
@pytest.mark.parametrize(("content", "line", "words"), WRONG, ids=[words for _, _, words in WRONG])
def test_a_value_of_a_file_that_is_wrong_is_named_with_its_line(
    content: str, line: int, words: str, more: tuple[str, ...], here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    err = said(content.encode(), more, capfd, here)
    assert err.startswith(f"gradcheck: {NAME}, line {line}: ")
    assert words in err


@pytest.mark.parametrize("more", [(), ("-m",)])
@pytest.mark.parametrize("part", REASONS)
def test_a_reference_that_cannot_be_resolved_says_why(
    part: str, more: tuple[str, ...], here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    value, words = REASONS[part]
    assert main([f"eps={value}", *more]) == 2
    typed = capfd.readouterr().err
    assert typed.startswith(f"gradcheck: eps={value}: ")
    assert words in typed
    written = said(f"dtype: float64\neps: {value}\n".encode(), more, capfd, here)
    assert written.startswith(f"gradcheck: {NAME}, line 3: eps={value}: ")
    assert words in written


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("data.n=${oc.select:nope}", "is null, must be a whole number"),
        ("data.noise=${oc.select:nope}", "is null, must be a number"),
        ("data.n=${dtype}", "is 'float64', must be a whole number"),
        ("data.standardize=${dtype}", "must be true or false"),
        ("match_at=${data.source}", "is 'gaussian', must be a number"),
    ],
)
@pytest.mark.parametrize("more", [(), ("-m",)])
def test_a_reference_to_a_value_of_another_kind_says_what_it_found(
    typed: str, words: str, more: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([typed, *more]) == 2
    err = capfd.readouterr().err
    assert err.startswith(f"gradcheck: {typed}: ")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("eps: 1e-4\n", 1, "'# @package _global_' is missing"),
        ("", 1, "'# @package _global_' is missing"),
        ("# @packge _global_\neps: 1e-4\n", 1, "'# @package _global_' is missing"),
        ("# @package _nope_\neps: 1e-4\n", 1, "is # @package _nope_"),
        ("\ufeff# @package _global_\neps: 1e-4\n", 1, "a byte order mark hides"),
        ("\ufeff# @package _global_\ndefaults:\n  - override /model: mlp\n", 1, "a byte order mark hides"),
        ("defaults:\n  - override /model: mlp\n", 1, "'# @package _global_' is missing"),
    ],
)
def test_a_file_without_its_package_is_told_what_its_first_line_must_be(
    content: str, line: int, words: str, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    err = said(content.encode(), (), capfd, here, header=False)
    assert err.startswith(f"gradcheck: {NAME}, line {line}: ")
    assert words in err


@pytest.mark.parametrize(("code", "line"), [("latin-1", 3), ("cp1252", 3), ("utf-16", 1)])
def test_a_file_of_another_encoding_is_told_which_byte_is_wrong(
    code: str, line: int, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content = f"{HEADER}eps: 1e-4\nscheme: central # Größe\n".encode(code)
    err = said(content, (), capfd, here, header=False)
    assert err.startswith(f"gradcheck: {NAME}, line {line}: ")
    assert "save the file as UTF-8" in err


def test_a_choice_that_does_not_fit_is_named_with_its_line(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    err = said(b"defaults:\n  - override /data: none\n", (), capfd, here)
    assert err.startswith(f"gradcheck: {NAME}, line 3: data=none: model=logistic needs data")


def test_a_value_that_is_typed_is_not_blamed_on_a_file(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    err = said(b"eps: 1e-4\n", ("eps=0",), capfd, here)
    assert err == "gradcheck: eps=0: must be a finite number > 0, a list of such numbers, or auto\n"


def test_the_config_that_is_shown_names_the_same_line(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for option in ("--cfg=job", "--info=config"):
        (here / "conf/experiment").mkdir(parents=True, exist_ok=True)
        (here / NAME).write_text(f"{HEADER}data:\n\tn: 5\n")
        assert main(["+experiment=mine", *QUICK, option]) == 2
        assert capfd.readouterr().err.startswith(f"gradcheck: {NAME}, line 3: ")
