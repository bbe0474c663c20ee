"""The names of dots on a plane: beside their dots, on the plane, over nothing else; the page places them as figures do."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from constructed import one_cell
from hypothesis import given, settings
from hypothesis import strategies as st
from visits import Visit

from gradcheck.views.charts import labels, rules

Dots = list[tuple[float, float, tuple[str, ...]]]


def random_dots(rng: np.random.Generator, width: float, height: float) -> Dots:
    """As rules lie: some anywhere, and some at the height at which every bug is caught."""
    found: Dots = []
    for _ in range(int(rng.integers(1, 16))):
        y = height * (0.25 if rng.random() < 0.5 else rng.uniform(0.25, 0.97))
        names = [f"{'rule' * int(rng.integers(1, 4))}{k}" for k in range(int(rng.choice([1, 1, 1, 2, 5])))]
        found.append((width * rng.uniform(0.04, 0.96), y, labels.lines_of(names, 110.0)))
    return found


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.sampled_from([(290.0, 340.0), (560.0, 340.0), (1250.0, 340.0)]))
def test_names_lie_beside_their_dots_and_over_nothing(seed: int, size: tuple[float, float]) -> None:
    rng = np.random.default_rng(seed)
    dots = random_dots(rng, *size)
    found = labels.placed(dots, *size)
    boxes = [labels._box(label) for label in found]
    crowded = len(dots) > 8 and size[0] < 400
    over = sum(labels._meet(a, b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert over <= (1 if crowded else 0)
    for (x, y, lines), label, box in zip(dots, found, boxes, strict=True):
        assert box[0] >= -1e-9
        assert box[2] <= size[0] + 1e-9
        assert box[1] >= -1e-9
        assert box[3] <= size[1] + 1e-9
        assert label.lines == lines
        away = math.hypot(label.x - x, label.y - y)
        assert away <= labels.DISTANCES[-1] * math.sqrt(2) + max(map(len, lines)) * labels.LETTER
        # without a line it is clear whose name it is: it begins at its dot
        assert label.far or away < 2 * labels.DISTANCES[0]


def test_a_name_over_a_dot_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted fault: what is covered costs nothing."""
    monkeypatch.setattr(labels, "COVERED", 0.0)
    dots: Dots = [(100.0 + 12 * k, 85.0, ("a_long_name",)) for k in range(6)]
    boxes = [labels._box(label) for label in labels.placed(dots, 560.0, 340.0)]
    assert sum(labels._meet(a, b) for i, a in enumerate(boxes) for b in boxes[:i]) > 3


def points(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Rules of which some agree."""
    found = []
    for k in range(int(rng.integers(1, 18))):
        alarms, caught = int(rng.integers(0, 5)), int(rng.choice([8, int(rng.integers(0, 9))]))
        row = {"row": "", "column": "", "rule": f"rule_{k:02d}" if k else "gradcheck", "correct": 4, "planted": 8}
        row |= {"false_alarms": alarms, "caught": caught, "missed": 8 - caught, "cannot_be_told": 0}
        found.append({**row, "alarms": alarms / 4, "found": caught / 8})
    return found


def test_the_page_places_names_as_figures_do(visit: Callable[..., Visit]) -> None:
    seen, rng = visit(one_cell), np.random.default_rng(5)
    for width in (290, 560, 1250):
        rows = points(rng)
        mine = list(rules.plane_parts(rows, width, 340))  # type: ignore[arg-type]
        made = seen.page.evaluate("([rows, width]) => labels.parts(rows, width, 340)", [rows, width])
        assert [set(one) for one in made] == [set(one) for one in mine]
        for own, other in zip(mine, made, strict=True):
            assert other == {
                key: pytest.approx(value, abs=1e-9) if isinstance(value, float) else value for key, value in own.items()
            }


def test_rules_that_agree_share_a_dot_and_all_are_named(visit: Callable[..., Visit]) -> None:
    seen = visit(one_cell)
    rows = [row for row in points(np.random.default_rng(9)) if row["rule"] != "gradcheck"][:6]
    for row in rows:
        row |= {"false_alarms": 4, "alarms": 1.0, "caught": 8, "found": 1.0, "missed": 0}
    (dot,) = [part for part in rules.plane_parts(rows, 560, 340) if part["part"] == "dot"]  # type: ignore[arg-type]
    assert dot["rules"] == ", ".join(row["rule"] for row in rows)
    for n in range(1, len(rows) + 1):
        told = seen.page.evaluate("(rows) => says.rules(rows)", rows[:n]).split("Most false alarms: ")[1]
        if n > 4:
            assert told.startswith(f"{n} rules (")
        else:
            assert all(row["rule"] in told for row in rows[:n])
