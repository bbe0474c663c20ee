"""Cells of equal shape that are computed side by side have the rows that each of them has alone, to the last bit."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from gradcheck.columns.weights import errors_table, tabled
from gradcheck.errors import Meaningless
from gradcheck.experiment import cell as cell_module
from gradcheck.experiment.config.form import canonical
from gradcheck.experiment.config.identity import cell_id
from gradcheck.experiment.engines import cells, engines, stacks
from gradcheck.experiment.engines.base import CellFailed, EngineSettings
from gradcheck.experiment.engines.cells import compute, differing_in_eps, one_blas_thread, outcomes_of_chunk
from gradcheck.experiment.results.plan import Planned
from gradcheck.experiment.results.rows import cell_row, cells_table
from gradcheck.models.batch import Batch
from gradcheck.models.fast.perturbation import Perturbation
from gradcheck.models.fast.stacks import StackOfNets
from gradcheck.numerics import plain, side_by_side
from gradcheck.numerics.schemes import SCHEMES

PACKED = EngineSettings(pack=tabled)
MODELS: tuple[dict[str, Any], ...] = (
    {"name": "linear"},
    {"name": "logistic", "l2": 0.1},
    {"name": "logistic", "bias": False},
    {"name": "softmax", "n_classes": 3},
    {"name": "mlp", "layers": [3], "activation": "relu"},
    {"name": "mlp", "layers": [2, 3], "activation": "tanh"},
)
BUGS = ({"name": "none"}, {"name": "sign_flip"}, {"name": "scale"}, {"name": "relative_noise"})


def chunk(rng: np.random.Generator, groups: int) -> list[list[Planned]]:
    """Groups of cells that differ in their data, start and bug; two of them have the same problem, some are of another kind."""
    shared = {
        "scheme": str(rng.choice([name for name, scheme in SCHEMES.items() if not scheme.complex_valued])),
        "dtype": str(rng.choice(["float32", "float64", "longdouble"])),
        "match_at": float(rng.choice([1e-2, 1e-6])),
        "min_judged": 0.5,
        "accept": float(rng.choice([0.0, 1e-7])),
    }
    models = [MODELS[k] for k in rng.choice(len(MODELS), 2)]
    steps = [10.0 ** -float(k) for k in rng.uniform(1, 12, rng.integers(1, 4))]
    sizes = [{"n": int(rng.integers(3, 40)), "d": int(rng.integers(1, 5))} for _ in range(2)]
    jobs = []
    for k in range(groups):
        data = {"source": "gaussian", "seed": int(rng.integers(99)), "scale": float(rng.choice([1.0, 30.0]))}
        form = {
            "model": models[k % 3 // 2],
            "data": data | sizes[k % 5 // 4],
            "init": {"name": "zeros"} if k % 7 == 6 else {"name": "normal", "seed": int(rng.integers(3))},
            "bug": BUGS[rng.integers(len(BUGS))],
        }
        for changes in ({}, {"accept": 1e-3}) if k == 1 else ({},):
            jobs += [canonical(form | shared | changes | {"eps": eps}) for eps in steps]
    return list(differing_in_eps([Planned(cell_id(job), job) for job in jobs]))


def tables(found: Sequence[tuple[Any, Any, float]]) -> tuple[Any, Any]:
    rows = [cell_row(job, outcome, 0.0) for job, outcome, _ in found]
    return cells_table(rows), errors_table(rows)


def alone(groups: Sequence[Sequence[Planned]]) -> list[tuple[Planned, Any, float]]:
    found = []
    for job in (job for group in groups for job in group):
        try:
            found.append((job, compute(job.config), 0.0))
        except Meaningless as error:
            found.append((job, error, 0.0))
    return found


def differing(a: Any, b: Any) -> list[str]:
    """The columns in which two tables differ by a bit; NaN equals NaN, 0 is not -0."""

    def bits(value: object) -> object:
        return struct.pack("d", value) if isinstance(value, float) else value

    assert a.num_rows == b.num_rows
    pairs = ((name, zip(a[name].to_pylist(), b[name].to_pylist(), strict=True)) for name in a.schema.names)
    return [name for name, column in pairs if any(bits(x) != bits(y) for x, y in column)]


def columns_that_differ(seed: int, groups: int = 9) -> list[str]:
    with one_blas_thread():
        some = chunk(np.random.default_rng(seed), groups)
        found, want = tables(list(outcomes_of_chunk(some, PACKED))), tables(alone(some))
    return [name for pair in zip(found, want, strict=True) for name in differing(*pair)]


@pytest.mark.parametrize("seed", range(12))
def test_cells_side_by_side_have_the_rows_that_each_has_alone(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    together = []
    check = side_by_side.check_side_by_side

    def counted(problems: Sequence[Any], *others: Any) -> Any:
        together.append(len(problems))
        return check(problems, *others)

    monkeypatch.setattr(side_by_side, "check_side_by_side", counted)
    assert columns_that_differ(seed) == []
    assert max(together, default=0) > 1


def _first_center(problems: Sequence[Any], scheme: Any) -> Any:
    from dataclasses import replace

    found = ROW(problems, scheme)
    return replace(found, loss=lambda _: np.full(found.theta.size, problems[0].center))


def _not_turned(column: np.ndarray, count: int, size: int) -> np.ndarray:
    return np.ascontiguousarray(column).reshape(-1, size)


def _first_rounding(each: Sequence[Any]) -> Any:
    return ROUNDING([each[0]] * len(each))


ROW, ROUNDING = side_by_side._row, side_by_side._rounding
OF_EACH = side_by_side._of_each
PLANTED: dict[str, Callable[..., Any]] = {
    "_row": _first_center,
    "_by_cell": _not_turned,
    "_rounding": _first_rounding,
    "_of_each": lambda columns, steps: OF_EACH(columns[::-1], steps),
    "_diagnoses": lambda problems, numeric, judged, steps: [None] * len(numeric),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_belongs_to_another_cell_would_be_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, name, PLANTED[name])
    assert any(columns_that_differ(seed) for seed in range(12))


def logistic(*changes: dict[str, Any]) -> list[list[Planned]]:
    form = {
        "model": {"name": "logistic"},
        "data": {"source": "gaussian", "n": 20, "d": 2},
        "init": {"name": "normal"},
        "bug": {"name": "none"},
        "scheme": "central",
        "dtype": "float64",
        "match_at": 1e-2,
        "eps": 1e-4,
    }
    forms = [canonical(form | change) for change in changes]
    return [[Planned(cell_id(one), one)] for one in forms]


def seeds(count: int) -> list[dict[str, Any]]:
    return [{"data": {"source": "gaussian", "n": 20, "d": 2, "seed": seed}} for seed in range(count)]


def test_a_fast_loss_that_is_wrong_in_one_cell_fails_that_cell_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = Perturbation.losses
    groups = logistic(*seeds(5))
    third = cells.compute_together([groups[2][0].config])[0].summary["loss"]

    def wrong(self: Perturbation, index: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found, bent = losses(self, index, points)
        hit = self.net.loss(self.theta, self.batch) == third
        return found * (1 + 1e-9 * hit), bent

    together = StackOfNets.losses
    asked = []

    def wrong_together(self: StackOfNets, which: np.ndarray, points: np.ndarray) -> np.ndarray | None:
        asked.append(len(which))
        found = together(self, which, points)
        hit = self.net.loss(self.thetas[which], Batch(self.batches.X[which], self.batches.y[which])) == third
        assert found is not None
        return found * (1 + 1e-9 * hit[:, None, None])

    monkeypatch.setattr(Perturbation, "losses", wrong)
    monkeypatch.setattr(StackOfNets, "losses", wrong_together)
    found = [outcome for _, outcome, _ in outcomes_of_chunk(groups, PACKED)]
    assert [isinstance(outcome, CellFailed) for outcome in found] == [False, False, True, False, False]
    assert "by structure" in str(found[2])
    assert asked == [5]


def test_a_wrong_loss_would_pass_without_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = Perturbation.losses
    together = StackOfNets.losses
    monkeypatch.setattr(Perturbation, "losses", lambda self, *points: (losses(self, *points)[0] * (1 + 1e-9), 0.0))
    monkeypatch.setattr(StackOfNets, "losses", lambda self, *points: together(self, *points) * (1 + 1e-9))
    monkeypatch.setattr(plain, "doubtful", lambda *_: [])
    found = [outcome for _, outcome, _ in outcomes_of_chunk(logistic(*seeds(5)), PACKED)]
    assert not any(isinstance(outcome, CellFailed) for outcome in found)


def test_a_cell_without_meaning_stands_alone_beside_the_others() -> None:
    # there is no hidden layer whose derivative could be taken at its output
    lacking = {"bug": {"name": "activation_derivative_at_output"}}
    groups = logistic(*seeds(2), seeds(3)[2] | lacking, *seeds(5)[3:])
    found = [outcome for _, outcome, _ in outcomes_of_chunk(groups, PACKED)]
    assert [isinstance(outcome, BaseException) for outcome in found] == [False, False, True, False, False]
    assert isinstance(found[2], Meaningless)
    assert str(found[2]) == str(alone(groups)[2][1])


def test_a_stack_holds_no_more_than_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    posed: list[int] = []
    pose = cell_module.pose_together

    def counted(some: Sequence[Any]) -> Any:
        posed.append(len(some))
        return pose(some)

    monkeypatch.setattr(cell_module, "pose_together", counted)
    groups = logistic(*seeds(7))
    monkeypatch.setattr(stacks, "STACK_WEIGHTS", 3 * 2)  # three weights a cell
    assert sorted(stacks.stacked(groups, {})) == list(range(6))  # one is left over
    assert posed == [3, 3]
    monkeypatch.setattr(stacks, "STACK_WEIGHTS", 2)
    assert stacks.stacked(groups, {}) == {}
    monkeypatch.undo()
    assert stacks.stacked(groups, {"max_memory": 1.0}) == {}


def test_an_engine_that_packs_gives_the_rows_of_one_that_does_not() -> None:
    jobs = [job for group in logistic(*seeds(30)) for job in group]
    found = {job.cell: (job, outcome, 0.0) for job, outcome, _ in engines.run(jobs, 1, "serial", pack=tabled)}
    with one_blas_thread():
        want = tables([(job, compute(job.config), 0.0) for job in jobs])
    assert [differing(*pair) for pair in zip(tables([found[job.cell] for job in jobs]), want, strict=True)] == [[], []]
