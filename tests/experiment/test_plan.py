"""The plan of a run: what is put in comes out, each cell once, in memory that hardly grows."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from gradcheck.experiment.results.plan import PIECE, Ids, Left, Plan, Planned

numbers = st.integers(0, 2**64 - 1) | st.integers(0, 40)


def cell(i: int) -> Planned:
    return Planned(f"{i:016x}", {"model": {"name": "linear", "l2": 0.1 * i}, "eps": 1e-5}, {"data.noise": i / 7}, None)


@given(added=st.lists(numbers.map("{:016x}".format), max_size=60), asked=st.lists(numbers.map("{:016x}".format)))
def test_ids_are_a_set(added: list[str], asked: list[str]) -> None:
    ids, expected = Ids(), set()
    for name in added:
        assert ids.add(name) is (name not in expected)
        expected.add(name)
    assert [name in ids for name in [*added, *asked]] == [name in expected for name in [*added, *asked]]


@given(st.text())
def test_what_somebody_wrote_in_place_of_an_id_is_found_again(text: str) -> None:
    ids = Ids([text])
    assert text in ids
    assert not ids.add(text)
    assert len(ids) == 1


@given(st.lists(numbers.map("{:016x}".format), max_size=200))
def test_ids_of_cells_come_out_as_they_went_in(added: list[str]) -> None:
    ids = Ids(added)
    assert set(ids) == set(added)
    assert len(ids) == len(set(added))
    assert ids == set(added)
    assert ids != {*added, "f" * 15}


def test_a_plan_gives_its_cells_back_in_order_however_many_and_each_once() -> None:
    cells = [cell(i) for i in range(2 * PIECE + 7)]
    plan = Plan(cells)
    assert not plan.add(cell(3))
    assert not plan.add(cell(2 * PIECE + 1))
    assert list(plan) == cells
    assert list(plan) == cells  # again
    assert len(plan) == len(cells)
    assert plan == Plan(cells)
    assert plan != Plan(cells[1:])


def test_what_is_left_is_what_is_not_done() -> None:
    cells = [cell(i) for i in range(PIECE + 3)]
    done = Ids([*(f"{i:016x}" for i in range(5, PIECE)), "ffff"])
    left = Left(Plan(cells), done)
    assert [c.cell for c in left] == [c.cell for c in cells if c.cell not in done]
    assert len(left) == len(list(left)) == 8


def test_a_plan_knows_the_types_of_its_swept_values() -> None:
    plan = Plan(Planned(f"{i:016x}", {}, {"a": value}) for i, value in enumerate([1, 2, 2.5, None, "x", 3]))
    assert plan.swept == [{"a": 1}, {"a": 2.5}, {"a": None}, {"a": "x"}]


def test_a_planned_cell_takes_less_than_sixty_bytes() -> None:
    tracemalloc.start()
    try:
        plan = Plan(cell(i * 0x9E3779B97F4A7C15 % 2**64) for i in range(1, 20 * PIECE + 1))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(plan) == 20 * PIECE
    assert taken / len(plan) < 60


PEAK = """
import resource, sys
from gradcheck.views.commands.caller import Caller
from gradcheck.views.commands.launch import run
typed = ["data.n=2", "data.d=1", "model.bias=false", f"data.seed=range({sys.argv[1]})", "dry_run=true", "-m"]
assert run(typed, Caller()) == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def test_planning_twenty_times_as_many_cells_takes_the_same_memory() -> None:
    def peak(cells: int) -> int:
        done = subprocess.run([sys.executable, "-c", PEAK, str(cells)], capture_output=True, text=True, check=True)
        assert f"{cells} cells planned" in done.stdout
        return int(done.stderr)

    assert peak(10_000) < 1.1 * peak(500)
