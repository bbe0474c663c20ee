"""Overrides are read as Hydra reads them, in linear time, and what is nested too deep is refused by its key."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import QUICK
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hypothesis import given
from hypothesis import strategies as st

from gradcheck.errors import BadInput
from gradcheck.experiment.config.overrides import MAX_DEPTH, Parser, depth
from gradcheck.run import main


def calls(parser: type[OverridesParser], n: int) -> int:
    """Functions entered while a list of n numbers is read: work that no other process disturbs."""
    found, line = 0, f"eps=[{','.join(['1e-6'] * n)}]"

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal found
        found += event == "call"

    made = parser.create()
    made.parse_override(line)  # what the grammar remembers of the first time
    sys.setprofile(count)
    try:
        made.parse_override(line)
    finally:
        sys.setprofile(None)
    return found


def growth(parser: str) -> float:
    """How many times the work grows with a list that is twice as long.

    In a process of its own: in one that had run most of the tests, Python 3.11.7 did not return from a profiled call.
    """
    asked = f"from test_overrides import *; print(calls({parser}, 400), calls({parser}, 200))"
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", asked], cwd=Path(__file__).parent, env=os.environ | path, capture_output=True, text=True
    )
    long, short = map(int, done.stdout.split())
    return long / short


def test_the_work_grows_with_the_length_of_a_list_alone() -> None:
    assert growth("Parser") < 2.1  # twice, and what every line takes
    assert growth("OverridesParser") > 2.5  # the measure sees what is not linear


WORDS = st.text("ab1.-+ ,:=[]{}()'\"\\$#~", max_size=12)
NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,5}", fullmatch=True)
SCALARS = st.one_of(
    st.integers(-999, 999).map(str),
    st.floats(allow_nan=False).map(repr),
    st.sampled_from(["true", "null", "auto", "inf", "'a,]b'", '"{["', "${a.b}", r"\[", "1_0"]),
    NAMES,
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: f"[{','.join(items)}]"),
        st.dictionaries(NAMES, inner, max_size=3).map(
            lambda items: "{" + ",".join(f"{k}: {v}" for k, v in items.items()) + "}"
        ),
        inner.map(lambda item: f"sort({item},{item})"),
    ),
    max_leaves=8,
)
LINES = st.builds(lambda key, value: f"{key}={value}", NAMES, VALUES | WORDS | st.lists(VALUES).map(",".join)) | WORDS


def read(parser: type[OverridesParser], line: str) -> Any:
    try:
        return parser.create().parse_overrides([line])
    except HydraException as error:
        return type(error), str(error)


@given(LINES)
def test_what_is_read_is_what_hydra_reads(line: str) -> None:
    assert repr(read(Parser, line)) == repr(read(OverridesParser, line))


LEVELS = st.sampled_from([("[", "]"), ("{a:", "}"), ("sort(", ")"), ("${a:", "}"), ('"${a:', '}"')])


@given(LEVELS, st.integers(1, 500))
def test_depth_is_the_number_of_levels(level: tuple[str, str], n: int) -> None:
    opening, closing = level
    quote = '"' if opening.startswith('"') else ""
    value = quote + opening.strip('"') * n + "1" + closing.strip('"') * n + quote
    assert depth(f"key={value}") == n
    if n > MAX_DEPTH:
        with pytest.raises(BadInput, match=f"^key: nested {n} levels deep, must be at most {MAX_DEPTH}$"):
            Parser.create().parse_override(f"key={value}")


@pytest.mark.parametrize("text", ["'[[['", '"((("', r"\[\[\[", "[1],[2],[3]", "]]]"])
def test_signs_that_are_text_and_levels_that_are_closed_do_not_count(text: str) -> None:
    assert depth(f"key={text * 200}") <= 1


@pytest.mark.parametrize("n", [101, 50_000])
@pytest.mark.parametrize(
    ("key", "opening", "closing"),
    [
        ("model.x0", "[", "]"),
        ("init.values", "{a:", "}"),
        ("eps", "sort(", ")"),
        ("eps", "${a:", "}"),
        ("data.X", "choice(", ")"),
    ],
)
@pytest.mark.parametrize("more", [(), ("-m",)])
def test_deep_nesting_names_its_key(
    key: str, opening: str, closing: str, n: int, more: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    typed = f"{key}={opening * n}1{closing * n}"
    status = main([typed, "dry_run=true", *more, *QUICK])
    out, err = capfd.readouterr()
    assert (status, out) == (2, "")
    assert err == f"gradcheck: {key}: nested {n} levels deep, must be at most {MAX_DEPTH}\n"


def test_a_key_of_many_parts_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    assert main([f"++model.args.{'a.' * 5000}b=1", "dry_run=true"]) == 2
    err = capfd.readouterr().err
    assert err.startswith("gradcheck: model.args.a.a.")
    assert err.endswith(f"levels deep, must be at most {MAX_DEPTH}\n")
    assert len(err) < 200
