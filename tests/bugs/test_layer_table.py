"""Which rule catches which mistake of a layer: the table of the page is that of the committed counts."""

from __future__ import annotations

import copy
import json

import layer_table
import pytest

from gradcheck.bugs import BUGS
from gradcheck.numerics.rules import RULES

FOUND: layer_table.Counts = json.loads(layer_table.COUNTS.read_text(encoding="utf-8"))
OURS = layer_table.OURS


def test_the_table_is_that_of_the_counts() -> None:
    page = layer_table.PAGE.read_text(encoding="utf-8")
    assert layer_table.shown(page) == layer_table.table(FOUND, layer_table.listed(FOUND))
    changed = copy.deepcopy(FOUND)
    changed[OURS]["none"]["auto"][0] += 1
    assert layer_table.shown(page) != layer_table.table(changed, layer_table.listed(changed))


def test_the_counts_hold_every_mistake_of_a_layer_every_rule_and_the_same_steps() -> None:
    reported = {name for name, bug in BUGS.items() if bug.source}
    assert set(layer_table.listed(FOUND)) == reported
    assert set(FOUND) == {OURS, *RULES}
    steps = set(FOUND[OURS]["none"])
    assert {"auto", "1e-09", "1e-01"} <= steps
    assert {frozenset(own) for by_bug in FOUND.values() for own in by_bug.values()} == {frozenset(steps)}


def test_no_correct_gradient_was_accused_and_every_mistake_was_caught_at_auto() -> None:
    assert not any(accused for accused, _ in FOUND[OURS]["none"].values())
    assert all(own["auto"][0] == own["auto"][1] > 0 for bug, own in FOUND[OURS].items() if bug != "none")


def test_a_page_without_its_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="has no table"):
        layer_table.shown("| mistake | `gradcheck` |")
