"""The screen at the end of a run, and the progress before it."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from constructed import planned, rows

from gradcheck.columns import places
from gradcheck.errors import BadInput, Meaningless
from gradcheck.experiment.results.rows import cell_row
from gradcheck.experiment.results.stored import Stored
from gradcheck.experiment.results.writer import Writer
from gradcheck.views import summary
from gradcheck.views.progress import Progress, clock_time
from gradcheck.views.tally import TALLY_COLUMNS, Tally

BUGS = [f"bug_{k}" for k in range(24)]


def cell(i: int, verdict: str = "match", bug: str = "none", **changed: Any) -> dict[str, Any]:
    return rows(i, verdict, bug).cell | changed


def without_result(i: int, error: Exception) -> dict[str, Any]:
    return cell_row(planned(i), error, 0.0).cell


def test_a_run_where_all_agree(tmp_path: Path) -> None:
    stored = [
        cell(0, max_rel_err=2.3e-9, max_resolution=7e-9),
        cell(2, max_rel_err=2.0e-9, max_resolution=2e-8),
    ]
    text = summary.text(stored, tmp_path, ["eps=1e-4,1e-6", "hydra.sweep.dir=/somewhere", "engine=loky"])
    assert text.splitlines() == [
        "2 cells x 6 weights: logistic, gaussian (n=100, d=5), no bug, central, float64",
        "   eps  match  mismatch  not judged  worst rel_err  visible from",
        " 1e-04      6         0           0        2.3e-09         7e-09",
        " 1e-06      6         0           0        2.0e-09         2e-08",
        "MATCH  all 12 checks agree; a relative error above 2e-08 would have been seen",
        f"saved  {tmp_path}  (12 rows in errors, 2 in cells)",
        f"look   python -m gradcheck.show {tmp_path}",
        f"page   python -m gradcheck.report {tmp_path}",
        "break  python -m gradcheck.run bug=scale,sign_flip eps=1e-4,1e-6 -m",
    ]


def test_what_is_accepted_is_a_part_of_what_would_have_been_seen(tmp_path: Path) -> None:
    tally = Tally([cell(0, max_resolution=2e-8, accept=0.0), cell(2, max_resolution=1e-8, accept=1e-3)])
    tally.add(cell(4, max_resolution=1e-8, accept=1e-3), reasons=["accepted"] * 6)
    assert "a relative error above 1e-03 (accept=0.001 included) would have been seen" in summary.text(tally, tmp_path)
    # a match that is accepted was judged
    assert not tally.reasons


def test_a_wrong_gradient_says_where_and_what(tmp_path: Path) -> None:
    tally = Tally([cell(0), cell(1, "mismatch")])
    text = summary.text(tally, tmp_path)
    assert "MISMATCH  6 of 12 checks disagree; worst " in text
    assert "analytic is 2 x numeric" in text
    assert f"--cell {planned(1).cell}" in text
    assert "break" not in text
    assert not tally.ok()
    assert tally.ok(fail_on="never")


def test_planted_bugs_are_no_false_alarm_and_what_was_missed_is_named(tmp_path: Path) -> None:
    tally = Tally(
        [
            cell(0),
            cell(1, "mismatch", "scale"),
            cell(2, "match", "sign_flip"),
            cell(3, "partial", "sign_flip", n_missed=2),
            cell(4, "mismatch", "sign_flip", n_missed=1),
        ]
    )
    text = summary.text(tally, tmp_path)
    assert "CAUGHT  2 of 4 planted bugs; missed: sign_flip (1 of 3); cannot be told: sign_flip (1 of 3)" in text
    assert "MATCH  all 6 checks agree" in text
    assert "MISMATCH" not in text
    assert tally.ok()


def test_where_no_planted_bug_is_caught_the_line_does_not_begin_with_caught(tmp_path: Path) -> None:
    text = summary.text([cell(0, "inconclusive", "scale"), cell(1, "match", "scale", n_missed=1)], tmp_path)
    assert "NOT CAUGHT  2 planted bugs; missed: scale (1 of 2); cannot be told: scale (1 of 2)" in text


def test_nothing_judged_is_no_match(tmp_path: Path) -> None:
    unseen = float("inf")
    text = summary.text([cell(0, "inconclusive", max_resolution=unseen, median_resolution=unseen)], tmp_path)
    assert "INCONCLUSIVE  none of 6 checks judged" in text
    assert "MATCH" not in text
    assert "never" in text
    mixed = summary.text([cell(0), cell(1, "nondifferentiable", max_resolution=unseen)], tmp_path)
    assert "PARTIAL  6 of 12 checks agree, 6 not judged: see reason in errors; 1 of 2 cells not ok" in mixed
    assert "inf" not in mixed


def test_it_says_why_weights_could_not_be_judged(tmp_path: Path) -> None:
    tally = Tally([cell(0)])
    tally.add(cell(1, "inconclusive"), ["flat", "flat", "flat", "flat", "noise", "noise"])
    assert "PARTIAL  6 of 12 checks agree, 6 not judged (flat 4, noise 2)" in summary.text(tally, tmp_path)
    # the reasons of a resumed run's stored cells are not at hand: then no count is given
    tally.add(cell(2, "inconclusive"))
    assert "12 not judged: see reason in errors" in summary.text(tally, tmp_path)
    planted = Tally([cell(0)])
    planted.add(cell(1, "inconclusive", "scale"), ["flat"] * 6)
    assert "flat" not in summary.text(planted, tmp_path)


def test_failed_and_skipped_cells_are_counted_with_a_reason(tmp_path: Path) -> None:
    tally = Tally([cell(0), without_result(1, ValueError("no\x1b[2J")), without_result(2, Meaningless("why not"))])
    text = summary.text(tally, tmp_path)
    assert "FAILED  1 of 3 cells, the first: no\\x1b[2J" in text
    assert "SKIPPED  1 of 3 cells, the first: why not" in text
    assert not tally.ok("never")


def test_a_run_that_was_cut_short_says_how_to_go_on(tmp_path: Path) -> None:
    text = summary.text([cell(0)], tmp_path, planned=10)
    assert f"resume python -m gradcheck.run resume={tmp_path}  (9 cells left)" in text


@pytest.mark.parametrize("stored", [[], [without_result(0, ValueError("no"))]], ids=["empty", "only failures"])
def test_a_run_without_numbers_has_a_screen_too(tmp_path: Path, stored: list[dict[str, Any]]) -> None:
    text = summary.text(stored, tmp_path)
    assert "none computed" in text
    assert ("FAILED" in text) == bool(stored)
    assert ("NOTHING" in text) == (not stored)


@cache
def many() -> list[dict[str, Any]]:
    found = [cell(i, "mismatch", BUGS[i % 24], eps=10.0 ** -(i % 12), model=f"m{i % 5}") for i in range(9_000)]
    return found + [cell(i, scheme=f"s{i % 6}") for i in range(1_000)]


STORED: dict[
    str, Callable[[], list[dict[str, Any]]]
] = {  # made where they are wanted, not by whoever collects the tests
    "1": lambda: [cell(0)],
    "10000": many,
    "12": lambda: [cell(i, eps=10.0**-i) for i in range(12)],
}


@pytest.mark.parametrize("cells", STORED)
def test_one_screen_whatever_the_size(tmp_path: Path, cells: str) -> None:
    lines = summary.text(STORED[cells](), tmp_path).splitlines()
    assert len(lines) <= 24


def test_a_break_command_is_quoted_for_a_shell(tmp_path: Path) -> None:
    text = summary.text([cell(0)], tmp_path, ["eps=[1e-4,1e-6]", "data.path=my file.csv"])
    assert "bug=scale,sign_flip 'eps=[1e-4,1e-6]' 'data.path=my file.csv' -m" in text


@pytest.mark.parametrize(
    ("overrides", "kept"),
    [
        (["zip=[data.n,data.d]", "data.n=5,6", "data.d=1,2"], True),
        (
            ["zip=[[data.n,data.d],[eps,dtype]]", "data.n=5,6", "data.d=1,2", "eps=1e-4,auto", "dtype=float32,float64"],
            True,
        ),
        (["+zip=['data.n', data.d]", "data.n=5,6", "+data.d=1,2"], True),
        (["zip=[]", "data.n=5,6"], True),
        (["zip=[bug,data.n]", "bug=none,none,none", "data.n=5,6,7"], False),
        (["zip=[bug.magnitude,data.n]", "bug.magnitude=1,2", "data.n=5,6"], False),
        (["zip=[data.n,data.d]"], False),  # the lists stand in a file
    ],
)
def test_a_break_command_pairs_no_key_whose_list_it_lacks(overrides: list[str], kept: bool, tmp_path: Path) -> None:
    (line,) = [one for one in summary.text([cell(0)], tmp_path, overrides).splitlines() if one.startswith("break")]
    assert ("zip=" in line) == kept
    assert line.startswith("break  python -m gradcheck.run bug=scale,sign_flip")


def test_a_page_is_proposed_where_a_cell_was_computed_and_in_a_store_with_a_name_of_its_own(tmp_path: Path) -> None:
    grid = [cell(0), cell(2)]
    assert "gradcheck.report" in summary.text(grid[:1], tmp_path)
    assert "gradcheck.report" not in summary.text([], tmp_path)
    assert "gradcheck.report" not in summary.text([without_result(0, ValueError("no"))] * 2, tmp_path)
    assert f"python -m gradcheck.report {tmp_path}\n" in summary.text(grid, tmp_path)
    away = places.at("s3://bucket/run?region=eu-central-1")
    assert f"python -m gradcheck.report '{away}' --out report.html\n" in summary.text(grid, away)


def test_the_order_in_which_cells_are_done_does_not_show(tmp_path: Path) -> None:
    stored = [cell(i, "mismatch" if bug == "scale" else "match", bug) for i in range(8) for bug in ("none", "scale")]
    assert summary.text(stored, tmp_path) == summary.text(stored[::-1], tmp_path)


def test_stored_rows_and_fresh_rows_give_the_same_screen(tmp_path: Path) -> None:
    with Writer(tmp_path, {}) as writer:
        for i in range(8):
            writer.add(rows(i))
    stored = summary.text(Stored(tmp_path).cell_rows(TALLY_COLUMNS), tmp_path)
    assert stored == summary.text([rows(i).cell for i in range(8)], tmp_path)


# ------------------------------------------------------------------------------------------------------------ progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def run_for(stream: io.StringIO, cells: int, seconds_each: float, mode: str = "auto", total: int | None = 100) -> str:
    clock = Clock()
    with Progress(total, mode, stream, clock) as progress:
        for i in range(cells):
            clock.now += seconds_each
            progress.advance(failed=i == 3)
    return stream.getvalue()


def test_a_terminal_sees_a_bar_that_is_wiped_at_the_end() -> None:
    drawn = run_for(Terminal(), 50, 0.25).split("\r")
    assert drawn[-3] == "[############------------]  50/100 cells  4/s  0:12 left  1 failed"
    assert drawn[-2].strip() == ""
    assert drawn[-1] == ""
    assert "\n" not in "".join(drawn)


def test_a_short_run_draws_no_bar() -> None:
    assert run_for(Terminal(), 100, 0.001) == ""


def test_a_pipe_gets_one_line_a_minute() -> None:
    lines = run_for(io.StringIO(), 20, 10.0).splitlines()
    assert lines == [
        "6/100 cells  0.1/s  15:40 left  1 failed",
        "12/100 cells  0.1/s  14:40 left  1 failed",
        "18/100 cells  0.1/s  13:40 left  1 failed",
    ]


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_none_shows_nothing(stream: io.StringIO) -> None:
    assert run_for(stream, 100, 100.0, "none") == ""


def test_without_a_total_no_time_is_left() -> None:
    assert "left" not in run_for(Terminal(), 50, 0.25, total=None)


def test_another_mode_is_bad_input() -> None:
    with pytest.raises(BadInput, match="progress=bar: must be one of auto, none"):
        Progress(3, "bar")


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (750, "12:30"), (10_800, "3:00:00")])
def test_clock_time(seconds: float, text: str) -> None:
    assert clock_time(seconds) == text
