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
from gradcheck.views.group import Group
from gradcheck.views.layout import Table
from gradcheck.views.points import Swept
from gradcheck.views.summary import headline
from gradcheck.views.swept_table import MAX_ROWS, MAX_VALUES, swept_tables
from gradcheck.views.tallied import tallied
from gradcheck.views.tally import Tally
from gradcheck.views.values import EXACT, Span, fewer, spans

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


def correct_or_all(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cells without a planted bug; where each has one, all."""
    return [cell for cell in cells if cell["bug"] == "none"] or cells


@pytest.mark.parametrize("seed", range(24))
def test_every_swept_key_is_in_the_table_and_its_rows_add_up(seed: int) -> None:
    cells, swept = grid(random.Random(seed))
    shown, *of_seeds = swept_tables(Tally(cells))
    cells = [cell for cell in cells if cell["status"] == "ok"]
    names = {words.column(name) for name in (*swept, "init_seed")}
    if len({cell["init_seed"] for cell in cells}) < 2:
        names.remove("init.seed")
    if shown.header[0] != "key":
        if of_seeds:
            names.remove("init.seed")
            assert {row[0] for row in of_seeds[0].rows} == {"init.seed"}
            assert sums(of_seeds[0], None)["match"] == sum(cell["n_match"] for cell in correct_or_all(cells))
        assert len(shown.rows) <= MAX_ROWS
        assert names <= {*shown.header[: shown.keys]}
        want = {name: sum(cell[f"n_{name}"] for cell in cells) for name in COUNTS[:2]}
        assert {name: sums(shown, None)[name] for name in want} == want
        return
    assert {row[0] for row in shown.rows} == names
    assert len(shown.rows) <= max(MAX_VALUES, 2 * len(names) + 3)
    planted = [truth(cell) for cell in cells if cell["bug"] != "none"]
    known = [one for one in planted if one is not Truth.UNKNOWN]
    want = {name: sum(cell[f"n_{name}"] for cell in correct_or_all(cells)) for name in COUNTS[:2]}
    if known:
        want |= {"caught": known.count(Truth.CAUGHT), "planted": len(known)}
    for name in names:
        assert {what: sums(shown, name)[what] for what in want} == want, name


def apart(found: Swept) -> object:
    return found.axes, found.keys, found.seeds, found.by_key


@pytest.mark.parametrize("seed", range(10))
def test_what_is_counted_does_not_depend_on_who_counts(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row by row, from a frame, in any order, and where more points are there than are told apart."""
    draw = random.Random(seed)
    cells, swept = grid(draw)
    if seed % 2:  # two seeds, of which one stays the same for long and the other has very many values
        cells = [
            cell | {"data_seed": i // 60, "init_seed": 0 if i < len(cells) // 2 else 3} for i, cell in enumerate(cells)
        ]
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
    held = found.by_key["data_n"]
    assert len(held) <= 50
    assert sum(group.counts["match"] for group in held.values()) == 6 * 2100
    assert held[Span(600, 699), False].counts["match"] == 6 * 300
    assert held[7, False].counts["match"] == 6 * 3
    assert {value for value, _ in found.by_key["scheme"]} == {"s0", "s1", "s2"}
    rows = [list(row[:3]) for row in swept_tables(tally)[0].rows]
    of_n = [row for row in rows if row[0] == "data.n"]
    assert len(of_n) >= 2
    assert (str(of_n[0][1]).split(" to ")[0], str(of_n[-1][1]).split(" to ")[-1]) == ("1", "700")
    assert sum(int(str(row[2])) for row in of_n) == 12600
    assert found == tallied(frame(cells)).swept
    every = [row for row in swept_tables(tally, None)[0].rows if row[0] == "data.n"]
    assert len(every) == len(held)  # in a file no two rows are one


@pytest.mark.parametrize("seed", range(6))
def test_neighbours_are_the_same_in_whatever_order_values_come(seed: int) -> None:
    draw = random.Random(seed)
    whole = seed % 2 == 0
    values: list[Any] = [
        draw.randrange(-50, 9000) if whole else draw.uniform(0.1, 1) * 10.0 ** draw.randint(-4, 3) for _ in range(900)
    ]
    values = list(dict.fromkeys([*values, None, "kind"]))
    shown = spans(values, 100)
    assert set(shown) == set(values)
    assert 20 < len({*shown.values()}) <= 100
    for value, one in shown.items():
        assert one == value or (isinstance(one, Span) and one.low <= value <= one.high), value  # type: ignore[operator]
    apart = [one for one in {*shown.values()} if isinstance(one, Span)]
    assert not any(a is not b and a.low <= b.low <= a.high for a in apart for b in apart)  # type: ignore[operator]
    draw.shuffle(values)
    found: Any = {}
    digits = EXACT
    for start in range(0, len(values), 150):
        for value in values[start : start + 150]:
            found.setdefault((value, False), Group()).add(cell_of(0).cell)
        found, digits = fewer(found, 100, digits)
    assert {value for value, _ in found} == {*shown.values()}
    assert sum(group.counts["match"] for group in found.values()) == sum(Group().counts.values()) + 6 * len(values)


def test_steps_are_named_shortly_but_apart() -> None:
    assert words.steps([0.1, 0.0316227766, None]) == {0.1: "1e-01", 0.0316227766: "3e-02", None: "auto"}
    assert words.steps([1.5e-3, 1.6e-3]) == {1.5e-3: "1.5e-03", 1.6e-3: "1.6e-03"}
    draw = random.Random(0)
    for _ in range(200):
        values = [draw.uniform(1, 10) * 10.0 ** -draw.randint(0, 12) for _ in range(draw.randint(1, 30))]
        names = words.steps(values)
        assert len({*names.values()}) == len({*values})
