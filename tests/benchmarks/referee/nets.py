"""Cases of nets: reported mistakes of layers, mistakes that are planted in saturated nets, and right gradients of both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from gradcheck.experiment.cell import Cell, pose
from gradcheck.experiment.config import compose
from gradcheck.experiment.config.build import build
from gradcheck.experiment.config.registration import conf_dir
from gradcheck.models.batch import Batch
from gradcheck.numerics.measured.finer import has_more_digits
from gradcheck.numerics.problem import Problem
from tests.benchmarks.referee.case import Array, Case
from tests.benchmarks.referee.entry import Entry
from tests.benchmarks.referee.kinds import of_bug

REPORTS, NETS = "reports", "nets"
# Weights that are so many times as large saturate the units of a net.
SATURATED = 8.0
_POINTS: Mapping[str, Mapping[str, object]] = {
    "random": {"name": "normal", "seed": 1, "scale": 1.0},
    "saturated": {"name": "normal", "seed": 1, "scale": SATURATED},
    "optimum": {"name": "optimum", "seed": 1, "scale": 1.0, "steps": 500},
    "zeros": {"name": "zeros"},
}
_SINGLE = ("random", "saturated")


def entries() -> Iterator[Entry]:
    """All nets."""
    yield from _reports()
    yield from _right()
    yield from _mistakes()


def case(entry: Entry) -> Case:
    """The case of an entry.  Raises Meaningless or NoEffect where its mistake cannot be made."""
    cell = build(json.loads(entry.form))
    problem = pose(cell)
    batch = cell.data.batch(cell.model.target, cell.dtype)
    claim = cell.bug if entry.wrong else None
    kind = of_bug(cell.bug.name, problem)
    dtype = np.dtype(entry.dtype)

    def fun(x: Array) -> float:
        return cell.model.loss(np.asarray(x, dtype), batch)[()]

    def grad(x: Array) -> Array:
        theta = np.asarray(x, dtype)
        return cell.model.gradient(theta, batch) if claim is None else claim.gradient(cell.model, theta, batch)

    return Case(
        name=entry.id,
        source=entry.source,
        family=entry.family,
        point=entry.point,
        noise=entry.noise,
        scale=entry.scale,
        mistake="" if claim is None else cell.bug.name,
        x=problem.theta.copy(),
        fun=fun,
        grad=grad,
        correct=_correct(cell, problem, batch),
        parameters=tuple(zip(problem.layout.names, problem.layout.shapes, strict=True)),
        kinds=kind.right,
        named=kind.named,
    )


def _correct(cell: Cell, problem: Problem, batch: Batch) -> Array:
    """The right gradient.  In more digits an entry that is 0 is not taken for what rounding made of it."""
    fine = np.asarray(cell.model.gradient(problem.theta.astype(np.longdouble), batch))
    if has_more_digits(fine, problem.theta.dtype):
        return fine.astype(float)
    return np.asarray(problem.correct if problem.correct is not None else problem.analytic, float)


def _reports() -> Iterator[Entry]:
    """Each reported mistake; every second one in float32 too; the right gradient of the others in both dtypes."""
    for number, (name, form) in enumerate(_options("report").items()):
        entry = partial(_entry, REPORTS, name, "random", form)
        yield entry(wrong=True)
        if number % 2:
            yield entry(wrong=True, dtype="float32")
        else:
            yield from (entry(wrong=False, dtype=dtype) for dtype in ("float64", "float32"))


def _right() -> Iterator[Entry]:
    """Each net with its right gradient: at random, saturated, at an optimum, at zeros; with the kinks of relu."""
    for name, form in _options("net").items():
        for point, init in _POINTS.items():
            for dtype in ("float64", "float32") if point in _SINGLE else ("float64",):
                yield _entry(NETS, name, point, form | {"init": init}, wrong=False, dtype=dtype)
        if "activation" in form["model"]:
            kinked = form | {"model": form["model"] | {"activation": "relu"}}
            yield _entry(NETS, name, "kinked", kinked, wrong=False)
            yield _entry(NETS, name, "kinked", kinked | {"init": _POINTS["zeros"]}, wrong=False)


def _mistakes() -> Iterator[Entry]:
    """The nets of ``conf/experiment/layer_mistakes.yaml``, each with its mistake, saturated."""
    params = OmegaConf.load(conf_dir() / "experiment" / "layer_mistakes.yaml").hydra.sweeper.params
    chosen, bugs = ([word.strip() for word in str(params[key]).split(",")] for key in ("+net", "bug"))
    with compose.opened() as hydra:
        for net, bug in zip(chosen, bugs, strict=True):
            form = _composed(hydra, [f"+net={net}", f"bug={bug}"])
            yield _entry(NETS, net, "saturated", form | {"init": _POINTS["saturated"]}, wrong=True)


def _entry(source: str, family: str, point: str, form: Mapping[str, Any], wrong: bool, dtype: str = "float64") -> Entry:
    changed = dict(form) | {"dtype": dtype} | ({} if wrong else {"bug": {"name": "none"}})
    return Entry(source, family, point, dtype, wrong, form=json.dumps(changed, sort_keys=True))


def _options(group: str) -> dict[str, dict[str, Any]]:
    """The scientific config of each option of a group of ``conf``, as Hydra composes it."""
    names = sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))
    with compose.opened() as hydra:
        return {name: _composed(hydra, [f"+{group}={name}"]) for name in names}


def _composed(hydra: Any, overrides: list[str]) -> dict[str, Any]:
    return dict(compose.science(compose.compose(hydra, overrides)))
