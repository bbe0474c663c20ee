"""The sentences for errors of Hydra and OmegaConf: each pattern of their tables is what some input makes a library say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import omegaconf
import pytest

from gradcheck.errors import BadInput
from gradcheck.experiment.config import sentences, words
from gradcheck.views.commands import launch
from gradcheck.views.commands.caller import Caller

TABLES = ("MESSAGES", "CAUSES", "REFUSALS")
OLDER = omegaconf.__version__.startswith("2.3.")
# by a part of the pattern: what is typed, and the line that is said
SAID: dict[str, tuple[tuple[str, ...], str]] = {
    "ACould not override": (("experiment=bug_zoo",), "experiment=bug_zoo: write +experiment=bug_zoo"),
    "looks like a config group override": (("foo/bar@x=1",), "foo/bar@x=1: no such config group"),
    "invalid literal for int": (
        ("model=mlp", "model.layers.x=1"),
        "model.layers.x=1: model.layers is a list and has no x; write model.layers=[...]",
    ),
    "hydra\\.overrides\\.task": (
        ("data.max_bytes=a,${x,{}", "-m"),
        "data.max_bytes=a,${x,{}: cannot be read as an interpolation: ",
    ),
    "Could not delete": (("~nope",), "~nope: there is no such key to remove"),
    "Multiple values": (("++model=mlp",), "++model=mlp: is chosen by default; write model=mlp to choose another"),
    "Ambiguous value": (("eps=1e-4,1e-6", "--cfg", "job"), "eps=1e-4,1e-6: several values; --cfg and --info show one"),
    "list index out of range": (
        ("model=mlp", "model.layers.7=1"),
        "model.layers.7=1: model.layers has no item 7; write the whole list, as model.layers=[...]",
    ),
    "with ListConfig" if OLDER else "incompatible container types": (
        ("model=mlp", "model.layers={a:1}"),
        "model.layers={a:1}: must be a list, as model.layers=[...]",
    ),
    "could not be converted": (("data.n=ten",), "data.n=ten: must be a whole number"),
    "to string": (("scheme=[central]",), "scheme=[central]: must be one word, not a list"),
    "not a valid bool": (("model.bias=maybe",), "model.bias=maybe: must be true or false"),
    "not Optional": (("dtype=null",), "dtype=null: must not be null, but one of float32, float64, longdouble"),
}
SAID["path=(.*) is not available"] = (("hydra.searchpath=[nowhere]",), "hydra.searchpath: nowhere: no such folder")
SAID["No earlier Group Default for"] = (
    ("+experiment=mine", "--config-dir=conf"),
    "conf/experiment/mine.yaml, line 3: override model: mlp: nothing is chosen from experiment/model",
)
SAID["no viable alternative"] = (
    ("+experiment=theirs", "--config-dir=conf"),
    "conf/experiment/theirs.yaml, line 2: scheme=${:x}: no interpolation; close each ${ with }, or write \\${ for text",
)
SAID["Cannot merge (?:.*ListConfig"] = (
    ("+experiment=list", "--config-dir=conf"),
    "conf/experiment/list.yaml, line 2: a config is no list; write KEY: VALUE",
)
SAID["Cannot assign"] = (
    ("+experiment=text", "--config-dir=conf"),
    "conf/experiment/text.yaml, line 2: hydra.sweeper.params: must be a mapping, such as {key: value}",
)
if OLDER:
    SAID["Unexpected type for root"] = (
        ("hydra.sweeper.params.eps=1",),
        "hydra.sweeper.params.eps=1: axes are typed as they are",
    )
    SAID["is not a ListConfig"] = (
        ("model=mlp", "model.layers=3"),
        "model.layers=3: must be a list, as model.layers=[...]",
    )
    SAID["'NoneType' object"] = (
        ("hydra.sweeper.params={a:1}",),
        "hydra.sweeper.params={a:1}: axes are typed as they are, such as eps=1e-4,1e-6 -m",
    )
# what the other version of OmegaConf says
ELSEWHERE = (
    {"incompatible container types"} if OLDER else {"with ListConfig", "is not a ListConfig", "'NoneType' object"}
)


def patterns() -> Iterator[str]:
    for table in TABLES:
        yield from (row[0] for row in getattr(sentences, table))


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The patterns whose sentence is taken."""
    found: set[str] = set()

    def noting(pattern: str, sentence: Callable[..., str | None]) -> Callable[..., str | None]:
        def note(*arguments: object) -> str | None:
            said = sentence(*arguments)
            if said is not None:
                found.add(pattern)
            return said

        return note

    for table in TABLES:
        rows = [(*row[:-1], noting(row[0], row[-1])) for row in getattr(sentences, table)]
        monkeypatch.setattr(sentences, table, rows)
    return found


def test_every_sentence_has_an_input() -> None:
    for pattern in patterns():
        assert sum(part in pattern for part in {*SAID, *ELSEWHERE}) == 1, pattern


@pytest.mark.parametrize("part", SAID)
def test_the_sentence_of_a_pattern_is_said(
    part: str, used: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf/experiment").mkdir(parents=True)
    (tmp_path / "conf/experiment/mine.yaml").write_text("# @package _global_\ndefaults:\n  - override model: mlp\n")
    (tmp_path / "conf/experiment/theirs.yaml").write_text("# @package _global_\nscheme: ${:x}\n")
    (tmp_path / "conf/experiment/list.yaml").write_text("# @package _global_\n- a\n")
    (tmp_path / "conf/experiment/text.yaml").write_text("# @package _global_\nhydra: {sweeper: {params: a}}\n")
    typed, line = SAID[part]
    with pytest.raises(BadInput) as error:
        launch.run(typed, Caller())
    assert str(error.value).startswith(line)
    assert [part in pattern for pattern in used] == [True]


def test_what_has_no_sentence_is_said_in_the_words_of_the_error() -> None:
    assert words.one_line(ValueError("\n  odd: \tx\nmore")) == "odd: x"
    assert words.one_line(ValueError()) == "ValueError"
    assert words.one_line(ValueError("x" * 500)) == "x" * (words.MAX_WORDS - 3) + "..."
    assert words.one_line(ValueError("Error merging override a.b=1"), ["a.b=1"]) == "Error merging override a.b=1"
