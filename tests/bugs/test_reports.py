"""Public reports of wrong gradients: the half that was held out, what each makes, and the page that shows the answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import answers
import numpy as np
import pytest
import yaml
from reports import ANSWERS, FOLDER, HELD_OUT, PAGE, head, held_out, page, reports
from trials import corpus
from trials.kills import Failure

from gradcheck.bugs import BUGS
from gradcheck.experiment.cell import pose
from gradcheck.experiment.config.build import build
from gradcheck.experiment.config.schema import LOOKUP

REPORTS = reports()
NAMES = [one.name for one in REPORTS]
STORED = json.loads(ANSWERS.read_text(encoding="utf-8"))
AGAIN = NAMES[::27]  # computed again here; all of them: python tests/bugs/answers.py


def written(name: str) -> dict[str, Any]:
    """The config of a report without Hydra: the choices of its defaults, and its settings."""
    found = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    chosen = dict(next(iter(one.items())) for one in found.pop("defaults"))
    plain = {"eps": "auto", "scheme": "central", "dtype": "float64", "match_at": 1e-2}
    form: dict[str, Any] = plain | {"model": {}, "data": {"source": "gaussian"}, "init": {"name": "normal"}, "bug": {}}
    for key, choice in chosen.items():
        section = key.removeprefix("override /")
        form[section] = {LOOKUP[section]: choice}
    if form["model"]["name"] in ("recurrent", "attention") and "override /data" not in chosen:
        form["data"] = {"source": "sequences"}
    for section, settings in found.items():
        form[section] |= settings
    return form


def test_the_half_that_was_held_out_is_the_one_that_the_names_choose() -> None:
    """The list was written before the diagnosis of layers was; a name that is changed or added shows here."""
    assert [name for name in NAMES if held_out(name)] == HELD_OUT.read_text(encoding="utf-8").split()
    assert 0.4 * len(NAMES) < sum(map(held_out, NAMES)) < 0.6 * len(NAMES)


def test_there_are_forty_reports_and_no_two_say_the_same() -> None:
    assert len(REPORTS) >= 40
    assert len({(one.source, one.formula) for one in REPORTS}) == len(REPORTS)
    assert all(one.source.startswith(("https://", "http://")) for one in REPORTS)


@pytest.mark.parametrize("name", NAMES)
def test_the_mistake_of_a_report_has_a_meaning_and_an_effect_in_its_net(name: str) -> None:
    problem = pose(build(written(name)))
    assert problem.correct is not None
    assert not np.array_equal(problem.analytic, problem.correct)


def test_every_mistake_of_a_layer_was_reported() -> None:
    made = {written(name)["bug"]["name"] for name in NAMES}
    assert {name for name, bug in BUGS.items() if getattr(bug, "source", None)} <= made


def test_the_answers_are_those_of_the_check() -> None:
    assert list(STORED) == NAMES
    forms = answers.forms(AGAIN)
    for name in AGAIN:
        assert answers.build(forms[name]) == build(written(name))  # what is read without Hydra is what Hydra composes
        found = answers.answer(forms[name])
        assert {key: found[key] for key in ("bug", "model", "verdict", "kind", "right")} == {
            key: STORED[name][key] for key in ("bug", "model", "verdict", "kind", "right")
        }


def test_the_page_shows_every_report_with_its_answer() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(REPORTS, STORED)
    assert all(answer["verdict"] == "mismatch" for answer in STORED.values())
    changed = STORED | {NAMES[0]: STORED[NAMES[0]] | {"verdict": "match"}}
    assert page(REPORTS, changed) != page(REPORTS, STORED)


def test_a_head_without_its_source_is_refused(tmp_path: Path) -> None:
    text = (FOLDER / f"{NAMES[0]}.yaml").read_text(encoding="utf-8")
    changed = tmp_path / "changed.yaml"
    changed.write_text("\n".join(line for line in text.splitlines() if "# Source" not in line))
    with pytest.raises(ValueError, match="four paragraphs"):
        head(changed)
    changed.write_text(text.replace("# Source: ", "# Seen at: "))
    with pytest.raises(ValueError, match="must begin with"):
        head(changed)


HELD, OPEN = (next(name for name in NAMES if held_out(name) is half) for half in (True, False))
RIGHT = [(name, "right", "shift") for name in (HELD, OPEN)] * 50


@pytest.mark.parametrize(
    ("more", "fails"),
    [
        ([], False),
        ([(HELD, "none", None)] * 50, False),
        ([(OPEN, "wrong", "shift")] * 50, False),  # the diagnosis was written with a look at this half
        ([(HELD, "wrong", "shift")], True),
        ([(HELD, "generic", "scattered")] * 6, True),
        ([(OPEN, "missed", "match")], True),
    ],
)
def test_the_trial_of_the_corpus_fails_where_the_half_that_was_held_out_is_named_wrongly(
    more: list[tuple[str, str, str | None]], fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In full: ``python -m tests.trials corpus``."""
    monkeypatch.setattr(corpus, "answers", lambda *given: iter(RIGHT + more))
    if fails:
        with pytest.raises(Failure, match="held out"):
            corpus.trial(1)
    else:
        assert corpus.trial(1).startswith("held out: 5")
