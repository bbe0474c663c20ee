"""Where two bugs are mathematically the same, and where one changes nothing: the table is right, and complete."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from coincidences import COINCIDENCES, NOTHING, Coincidence
from instances import INSTANCES, Instance
from test_bugs import close, meaningful

from gradcheck.bugs import BUGS
from gradcheck.experiment.sources.gaussian import Gaussian
from gradcheck.models import MODELS
from gradcheck.models.batch import NO_BATCH, Batch
from gradcheck.numerics.streams import stream


def build(entry: Coincidence, name: str) -> tuple[Any, np.ndarray, Batch]:
    """A model, a point and a batch for which the entry claims that its two bugs agree."""
    cls = MODELS[name]
    model = cls(**{"l2": 0.3, **entry.model})
    n = entry.n or 9
    batch = NO_BATCH
    if name != "one_d":
        batch = Gaussian(n=n, d=4, seed=1, outputs=1).batch(model.target, np.dtype(float))
    if entry.batch == "equal_labels":
        batch = Batch(batch.X, np.ones_like(batch.y))
    if entry.batch == "active":
        batch = Batch(np.abs(batch.X), batch.y)
    theta = stream(2, "weights").standard_normal(model.layout(batch).size)
    if entry.theta == "zero":
        theta = np.zeros_like(theta)
    if entry.batch == "active" or entry.positive:
        theta = np.abs(theta)
    return model, theta, batch


def gradients(entry: Coincidence, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The bug's gradient, its twin's and the correct one."""
    model, theta, batch = build(entry, name)
    found = []
    for bug in (BUGS[entry.bug](**entry.settings), BUGS[entry.twin](**entry.twin_settings)):
        bug.validate()
        bug.refuse(model, model.layout(batch), batch)
        found.append(bug.gradient(model, theta, batch))
    return found[0], found[1], model.gradient(theta, batch)


ENTRIES = [pytest.param(e, m, id=f"{e.bug}-{e.twin}-{m}-{i}") for i, e in enumerate(COINCIDENCES) for m in e.models]


@pytest.mark.parametrize(("entry", "name"), ENTRIES)
def test_listed_coincidences_hold(entry: Coincidence, name: str) -> None:
    bug, twin, right = gradients(entry, name)
    scale = float(max(np.abs(bug).max(), np.abs(right).max()))
    assert close(bug, twin, scale=scale)
    assert (entry.twin == "none") == close(bug, right, scale=scale)


# a condition of the table, and what breaks it
BROKEN: dict[str, dict[str, Any]] = {
    "n": {"n": 4},
    "theta": {"theta": "any"},
    "batch": {"batch": "any"},
    "positive": {"positive": False, "model": {"x": -2.0}},
}


@pytest.mark.parametrize(
    ("entry", "name", "condition"),
    [
        pytest.param(e, m, key, id=f"{e.bug}-{e.twin}-{m}-{key}-{i}")
        for i, e in enumerate(COINCIDENCES)
        for m in e.models
        for key in (*BROKEN, "l2")
        if (key == "l2" and e.model.get("l2") == 0) or (key != "l2" and getattr(e, key) not in (None, "any", False))
    ],
)
def test_a_coincidence_ends_where_its_condition_does(entry: Coincidence, name: str, condition: str) -> None:
    if condition == "l2":
        other = dataclasses.replace(entry, model={**entry.model, "l2": 0.3})
    else:
        other = dataclasses.replace(entry, **BROKEN[condition])
    bug, twin, right = gradients(other, name)
    assert not close(bug, twin, scale=float(np.abs(right).max()))


def covers(entry: Coincidence, instance: Instance, right: np.ndarray) -> bool:
    """Whether the table says that the entry's bugs agree for this instance, at their default settings."""
    if not isinstance(instance.model, tuple(MODELS[name] for name in entry.models)) or entry.n is not None:
        return False
    if (entry.theta, entry.batch) != ("any", "any") or (entry.positive and right.min() <= 0):
        return False
    wanted = {k: v for k, v in entry.model.items() if k != "layers" or v == []}
    if any(getattr(instance.model, key) != value for key, value in wanted.items()):
        return False
    one_hidden = len(entry.model.get("layers", [])) != 1 or entry.twin == "none" or len(instance.model.net.hidden) == 1
    sides = ((entry.bug, entry.settings), (entry.twin, entry.twin_settings))
    return one_hidden and all(BUGS[bug](**settings) == BUGS[bug]() for bug, settings in sides)


@pytest.mark.parametrize("instance", INSTANCES, ids=str)
def test_no_coincidence_is_missing_from_the_table(instance: Instance) -> None:
    theta, batch = instance.theta(), instance.batch()
    right = instance.model.gradient(theta, batch)
    # an entry that is drawn may be that of a bias or of a dead unit; here it is the first that is not 0
    first = int(np.flatnonzero(right)[0])
    wrong = {
        name: cls(index=first if name in ("zero_entry", "single_entry") else None).gradient(
            instance.model, theta, batch
        )
        for name, cls in BUGS.items()
        if name != "none" and meaningful(cls(), instance)
    }
    same = {name for name, g in wrong.items() if close(g, right)}
    listed = {entry.bug for entry in NOTHING if covers(entry, instance, right)}
    assert same == listed & set(wrong)
    effective = sorted(set(wrong) - same)
    twins = {frozenset((a, b)) for i, a in enumerate(effective) for b in effective[:i] if close(wrong[a], wrong[b])}
    assert twins == {
        frozenset((e.bug, e.twin)) for e in COINCIDENCES if e.twin != "none" and covers(e, instance, right)
    } & {frozenset((a, b)) for a in effective for b in effective}
