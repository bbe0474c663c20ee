"""The table at the end of a run: every key that was swept is in it, and no cell is counted in two of its rows."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pandas as pd
import pytest
from constructed import rows as cell_of

from gradcheck.experiment.results.rows import CELLS
from gradcheck.experiment.truth import Truth, truth
from gradcheck.views import points, words
from gradcheck.views.layout import Table
from gradcheck.views.points import Span, Swept
from gradcheck.views.summary import headline
from gradcheck.views.swept_table import MAX_ROWS, MAX_VALUES, table
from gradcheck.views.tallied import tallied
from gradcheck.views.tally import Tally

KEYS: dict[str, list[Any]] = {
    "bug": ["none", "scale", "sign_flip", *(f"bug_{k}" for k in range(10))],
    "eps": [None, *(10.0**-k for k in range(14)), *(3.16 * 10.0**-k for k in range(14))],
    "scheme": ["central", "forward", "five_point"],
    "dtype": ["float32", "float64"],
    "model": ["logistic", "function", "mlp"],
    "data": ["gaussian", "images"],
    "init": ["normal", "zeros"],
    "data_n": list(range(10, 400, 10)),
    "model_l2": [0.0, 0.1, 1.0],
    "model_layers": ["[4]", "[4, 4]", None],
    "bug_magnitude": [None, 0.5, 2.0],
    "match_at": [0.01, 0.1],
}
COUNTS = ("match", "mismatch", "not judged")


def grid(draw: random.Random, largest: int = 300) -> tuple[list[dict[str, Any]], dict[str, list[Any]]]:
    """The cells of a grid, in any order, and the values of the keys that were swept.  Each point has one to three seeds."""
    swept: dict[str, list[Any]] = {}
    size = 1
    for name in draw.sample(list(KEYS), len(KEYS)):
        many = draw.choice([1, 1, 1, 2, 3, 5, 30])
        values = draw.sample(KEYS[name], min(many, len(KEYS[name])))
        if len(values) > 1 and size * len(values) <= largest:
            swept[name], size = values, size * len(values)
    paired = draw.choice([name for name in ("data_n", "scheme", None) if name is None or name in swept])
    if paired is not None:
        swept["data_d"] = [k + 1 for k in range(len(swept[paired]))]
    cells = []
    names = [name for name in swept if name != "data_d"]
    for i, point in enumerate(itertools.product(*(swept[name] for name in names))):
        settings = dict(zip(names, point, strict=True))
        if paired is not None:
            settings["data_d"] = swept["data_d"][swept[paired].index(settings[paired])]
        for seed in range(draw.randint(1, 3)):
            verdict = draw.choice(["match", "match", "mismatch", "inconclusive"])
            made = cell_of(0, verdict, settings.get("bug", "none")).cell
            made |= {"eps": 1e-4, "bug_magnitude": None, **settings, "init_seed": seed, "cell": f"{i:08x}{seed:08x}"}
            cells.append(made | {"n_missed": 2 if verdict == "match" and draw.random() < 0.3 else 0})
            if draw.random() < 0.05:
                cells.append(made | {"status": "skipped", "verdict": None, "cell": f"{i:08x}{seed + 9:08x}"})
    draw.shuffle(cells)
    return cells, swept


def frame(cells: list[dict[str, Any]]) -> pd.DataFrame:
    found = pd.DataFrame(cells)
    for name in CELLS.names:
        if name not in found:
            found[name] = None
    return found.astype({name: "Int64" for name in found if name.startswith("n_")} | {"max_rel_err": float})


def sums(shown: Table, key: str | None) -> dict[str, int]:
    """The counts of the rows of a key, or of all rows, added up."""
    at = {name: i for i, name in enumerate(shown.header)}
    rows = [row for row in shown.rows if key is None or row[0] == key]
    found = {name: sum(int(str(row[at[name]] or 0)) for row in rows) for name in COUNTS}
    if "caught" in at:
        shares = [str(row[at["caught"]]).replace(",", "").split("/") for row in rows if row[at["caught"]]]
        found |= {"caught": sum(int(a) for a, _ in shares), "planted": sum(int(b) for _, b in shares)}
    return found


@pytest.mark.parametrize("seed", range(24))
def test_every_swept_key_is_in_the_table_and_its_rows_add_up(seed: int) -> None:
    cells, swept = grid(random.Random(seed))
    shown = table(Tally(cells))
    cells = [cell for cell in cells if cell["status"] == "ok"]
    names = {words.column(name) for name in swept}
    if shown.header[0] != "key":
        assert len(shown.rows) <= MAX_ROWS
        assert names <= {*shown.header[: shown.keys]}
        want = {name: sum(cell[f"n_{name}"] for cell in cells) for name in COUNTS[:2]}
        assert {name: sums(shown, None)[name] for name in want} == want
        return
    assert {row[0] for row in shown.rows} == names
    assert len(shown.rows) <= max(MAX_VALUES, 2 * len(names) + 3)
    correct = [cell for cell in cells if cell["bug"] == "none"]
    planted = [truth(cell) for cell in cells if cell["bug"] != "none"]
    known = [one for one in planted if one is not Truth.UNKNOWN]
    want = {name: sum(cell[f"n_{name}"] for cell in correct or cells) for name in COUNTS[:2]}
    if known:
        want |= {"caught": known.count(Truth.CAUGHT), "planted": len(known)}
    for name in names:
        assert {what: sums(shown, name)[what] for what in want} == want, name


def apart(found: Swept) -> object:
    return found.axes, found.keys, found.by_key, found.seeds


@pytest.mark.parametrize("seed", range(10))
def test_what_is_counted_does_not_depend_on_who_counts(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row by row, from a frame, in any order, and where more points are there than are told apart."""
    draw = random.Random(seed)
    cells, swept = grid(draw)
    one_by_one, at_once = Tally(cells).swept, tallied(frame(cells)).swept
    assert one_by_one == at_once
    assert headline(Tally(cells)) == headline(tallied(frame(cells)))
    names = [name for name in swept if name not in points.ALWAYS]
    assert Tally(cells, names=names).swept == one_by_one
    total = Tally(cells).correct
    monkeypatch.setattr(points, "MOST", max(max(map(len, swept.values()), default=1), 40))
    draw.shuffle(cells)
    folded = Tally(cells, names=names)
    assert apart(folded.swept) == apart(one_by_one)
    assert apart(folded.swept) == apart(one_by_one)  # asking changes nothing
    assert folded.correct == total
    many = one_by_one.points is not None and len(one_by_one.points) > points.MOST
    assert (folded.swept.points is None) == many


def test_very_many_values_of_a_key_take_one_row_and_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points, "MOST", 50)
    cells = [cell_of(0).cell | {"data_n": 1 + i % 700, "scheme": f"s{i % 3}", "cell": f"{i:016x}"} for i in range(2100)]
    random.Random(0).shuffle(cells)
    tally = Tally(cells)
    assert len(tally.points._held) <= 50  # type: ignore[attr-defined]
    found = tally.swept
    assert list(found.by_key["data_n"]) == [(Span(1, 700), False)]
    assert found.by_key["data_n"][Span(1, 700), False].counts["match"] == 6 * 2100
    assert {value for value, _ in found.by_key["scheme"]} == {"s0", "s1", "s2"}
    rows = [list(row[:3]) for row in table(tally).rows]
    assert ["data.n", "1 to 700", 12600] in rows
    assert found == tallied(frame(cells)).swept


def test_steps_are_named_shortly_but_apart() -> None:
    assert words.steps([0.1, 0.0316227766, None]) == {0.1: "1e-01", 0.0316227766: "3e-02", None: "auto"}
    assert words.steps([1.5e-3, 1.6e-3]) == {1.5e-3: "1.5e-03", 1.6e-3: "1.6e-03"}
    draw = random.Random(0)
    for _ in range(200):
        values = [draw.uniform(1, 10) * 10.0 ** -draw.randint(0, 12) for _ in range(draw.randint(1, 30))]
        names = words.steps(values)
        assert len({*names.values()}) == len({*values})
