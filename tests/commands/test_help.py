"""``--help`` has a line for each key, with the values that the key allows, and fits the screen."""

from __future__ import annotations

import re

import pytest

from gradcheck.experiment.config import form, keys
from gradcheck.experiment.config.keys import plain_keys, section_keys
from gradcheck.experiment.config.registration import conf_dir
from gradcheck.experiment.config.schema import LOOKUP, READY, TABLES, Engine, Run, settings
from gradcheck.run import main
from gradcheck.views.commands.help import FIRST, help_text


def lines(text: str) -> dict[str, str]:
    """What is said of each key, on one line."""
    found: dict[str, str] = {}
    for block in re.findall(r"(?m)^  (\+?[\w.]+)=(\S*)((?:.*)(?:\n {6}.*)*)", text.partition("\nA comma list")[0]):
        found[block[0]] = " ".join(block[2].split())
    return found


def every_key() -> set[str]:
    """The keys of all classes that a config may name."""
    own = {f"{section}.{key}" for section, table in TABLES.items() for cls in table.values() for key in settings(cls)}
    own -= {f"{section}.{key}" for section, key in LOOKUP.items()} - {"data.name"}
    engine = {f"engine.{key}" for key in settings(Engine)} - {"engine.name"}
    return {*own, *engine, *settings(Run), *(f"+{group}" for group in READY)}


def test_every_key_has_a_line_that_says_what_it_is_for() -> None:
    found = lines(help_text([]))
    assert set(found) == every_key()
    assert not [key for key, words in found.items() if len(words) < 8]
    keys = [key for section in LOOKUP for key in section_keys(section)] + list(plain_keys(conf_dir()))
    # which models have a key, and its choices, do not say what it is for
    assert [key.name for key in keys if len(key.words.split()) < 2] == []


def test_the_keys_that_people_set_first_come_first() -> None:
    assert len(FIRST) == 10
    assert list(lines(help_text([])))[:10] == list(FIRST)


@pytest.mark.parametrize("width", [40, 59, 60, 80, 120])
def test_it_fits_the_screen_and_says_the_same(width: int) -> None:
    text = help_text([], width=width)
    commands = {line for line in text.splitlines() if line.startswith("  python -m")}  # they are copied as they are
    assert [line for line in text.splitlines() if len(line) > width and line not in commands] == []
    assert lines(text) == lines(help_text([], width=200))
    # what stands beside the examples is the same too
    assert text.split() == help_text([], width=200).split()


@pytest.mark.parametrize(
    ("section", "name", "key"),
    [
        (section, name, key)
        for section, table in TABLES.items()
        for name, cls in table.items()
        for key, setting in settings(cls).items()
        if setting.type is str and key != LOOKUP[section]
    ],
)
def test_the_choices_of_a_key_are_those_that_its_class_takes(section: str, name: str, key: str) -> None:
    (found,) = [one for one in keys.section_keys(section, [name]) if one.name == f"{section}.{key}"]
    cls = TABLES[section][name]
    needed = {"data.name": "iris"}
    given = {
        one.attribute: needed.get(f"{section}.{k}", one.default)
        for k, one in settings(cls).items()
        if one.default != "???"
    }
    for choice in found.choices:
        cls(**given | {settings(cls)[key].attribute: choice}).validate()
    if found.choices:
        with pytest.raises(ValueError, match="must be one of"):
            cls(**given | {settings(cls)[key].attribute: "nonsense"}).validate()


@pytest.mark.parametrize("key", ["scheme", "dtype"])
def test_the_choices_of_a_plain_key_are_those_that_are_taken(key: str) -> None:
    for choice in keys.ENUMERATED[key]:
        assert form.canonical_value(key, choice) == choice
    with pytest.raises(ValueError, match=f"must be one of {', '.join(keys.ENUMERATED[key])}"):
        form.canonical_value(key, "nonsense")


def test_the_keys_of_a_chosen_model_are_its_own_with_its_values() -> None:
    text = help_text(["model=mlp", "model.l2=0.25"])
    found = lines(text)
    own = {f"model.{key}" for key in settings(TABLES["model"]["mlp"]) if key != "name"}
    assert {key for key in found if key.startswith("model.")} == own
    assert "  model=mlp " in text
    assert "  model.l2=0.25 " in text


def test_a_wrong_choice_is_refused_in_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--help", "model=nonsense"]) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("gradcheck: model=nonsense: must be one of")
    assert captured.err.count("\n") == 1


def test_no_password_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--help", "store=s3://user:secret@bucket/run"]) == 0
    out = capfd.readouterr().out
    assert "secret" not in out
    assert "store=s3://" in out
