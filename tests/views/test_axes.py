"""The axes of a grid are the same for table and page, and no axis says what another one says."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pandas as pd
import pytest

from gradcheck.experiment.truth import truths
from gradcheck.views import cube, facets
from gradcheck.views.axes import axes
from gradcheck.views.matrix import matrix

FREE = (
    "dtype",
    "scheme",
    "init",
    "data_n",
    "model_l2",
    "match_at",
    "data_shift",
    "run",
)  # data_shift: of a later version
DERIVED = ("data", "data_d", "model_bias", "accept", "model_units")


def drawn(draw: random.Random) -> tuple[pd.DataFrame, set[str], set[str]]:
    """The cells of a grid, the keys that were swept freely, and those that follow from one of them."""
    free = draw.sample(FREE, draw.randint(0, 3))
    keys: dict[str, list[Any]] = {name: [f"{name}{i}" for i in range(draw.randint(2, 3))] for name in free}
    keys |= {
        "bug": ["none", "scale", "sign_flip"][: draw.randint(1, 3)],
        "model": ["mlp", "linear"][: draw.randint(1, 2)],
    }
    keys |= {"eps": [1e-3, 1e-5, None][: draw.randint(1, 3)], "data_seed": [0, 1]}
    cells = pd.DataFrame(list(itertools.product(*keys.values())), columns=list(keys))
    cells["init_seed"] = cells["data_seed"] + 7  # it follows
    derived: set[str] = set()
    for name in draw.sample(DERIVED, draw.randint(0, 3)):
        source = draw.choice([*free, "bug", "model"])
        # several values of the source may have the same one
        values = {value: draw.choice(["a", "b", "c", None]) for value in cells[source].unique()}
        if len(set(values.values())) == len(values):  # each would tell the other: one of them stays, whichever it is
            continue
        cells[name] = cells[source].map(values)
        derived.add(name)
    magnitude = {
        (bug, model): None if bug == "none" else draw.random() for bug in keys["bug"] for model in keys["model"]
    }
    cells["bug_magnitude"] = [magnitude[key] for key in zip(cells["bug"], cells["model"], strict=True)]
    derived.add("bug_magnitude")
    for name in ("dtype", "scheme", "init", "data", "data_d", "data_n", "accept"):
        if name not in cells:
            cells[name] = 0.0 if name == "accept" else "same"
    verdict = [draw.choice(["match", "mismatch", "inconclusive"]) for _ in range(len(cells))]
    cells = cells.assign(
        verdict=verdict,
        status="ok",
        bug_injected=cells["bug"] != "none",
        n_missed=0,
        cell=list(map(str, range(len(cells)))),
    )
    swept = {*free, *(["model"] if len(keys["model"]) > 1 else [])}
    return cells.sample(frac=1, random_state=draw.randint(0, 99), ignore_index=True), swept, derived


@pytest.mark.parametrize("seed", range(40))
def test_table_and_page_have_the_axes_that_were_swept(seed: int) -> None:
    cells, swept, derived = drawn(random.Random(seed))
    found = axes(cells)
    assert set(found.names) == swept
    assert not derived & set(found.names)
    places = matrix(cells).axes
    assert {*places.rows, *places.facets, places.column} - {"bug", "eps", None} == swept
    combinations = cube.combinations(cells, truths(cells))
    assert {key["name"] for key in combinations.keys if key["panels"]} == swept
    assert {key["name"] for key in combinations.keys if key["swept"]} - {"bug", "eps"} == {*swept, "data_seed"}
    assert found.seeds == ("data_seed",)
    # they are told in the same order, but for the key that stands along the rows
    assert [name for name in found.names if name != places.column] == [*places.facets, *places.rows[1:]]
    assert [key["name"] for key in combinations.keys if key["swept"] and key["name"] in swept] == found.names
    assert facets.swept(cells) == found.names


@pytest.mark.parametrize("key", ["scheme", "dtype", "match_at"])
def test_a_key_that_is_paired_with_the_step_is_an_axis(key: str) -> None:
    cells, _, _ = drawn(random.Random(1))
    cells["eps"] = [1e-3 if i % 2 else 1e-5 for i in range(len(cells))]
    cells[key] = [f"{eps}" for eps in cells["eps"]]
    assert key in axes(cells).names


def test_a_setting_of_the_bug_that_was_swept_is_an_axis() -> None:
    cells, swept, _ = drawn(random.Random(2))
    cells["bug_magnitude"] = [None if bug == "none" else i % 3 for i, bug in enumerate(cells["bug"])]
    found = axes(cells.assign(bug="scale", bug_injected=True, bug_magnitude=[i % 3 for i in range(len(cells))]))
    assert found.of_bug == ("bug_magnitude",)
    assert set(found.others) == swept
