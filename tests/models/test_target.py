"""Kinds of target: what each keeps, and that one from outside the package is taken for no other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradcheck.bugs import BUGS
from gradcheck.errors import Meaningless
from gradcheck.experiment.sources.file import File
from gradcheck.experiment.sources.gaussian import Gaussian
from gradcheck.experiment.sources.shipped import Sklearn
from gradcheck.experiment.sources.values import Values
from gradcheck.models.batch import Batch
from gradcheck.models.linear import Linear
from gradcheck.models.target import Binary, Classes, NoTarget, Real, Target, require_columns

F64 = np.dtype(np.float64)


@dataclass(frozen=True)
class Counts(Target):
    """Whole numbers >= 0, (n, size): a kind that the package does not know."""

    def draw(self, scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return rng.poisson(np.exp(scores)).astype(float)

    def check(self, y: np.ndarray, whose: str) -> None:
        require_columns(y, self.size, whose)
        wrong = y[(y < 0) | (y != np.round(y))]
        if wrong.size:
            raise ValueError(f"data.y={float(wrong.flat[0]):g}: {whose} needs counts 0, 1, 2, ...")


KINDS = [Real(), Real(2), Binary(), Binary(1), Binary(3), Classes(), Classes(4), Counts(), Counts(1), Counts(2)]
WRONG: dict[type[Target], list[Any]] = {
    Real: [np.zeros(5), np.zeros((5, 0)), np.zeros((5, 4))],
    Binary: [np.zeros(5), np.full((5, 1), 0.5), np.full((5, 3), 2.0)],
    Classes: [np.zeros((5, 1)), np.zeros(5), np.full(5, -1), np.full(5, 7)],
    Counts: [np.zeros(5), np.full((5, 1), -1.0), np.full((5, 1), 0.5)],
}


@pytest.mark.parametrize("target", KINDS, ids=str)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 30))
def test_what_is_drawn_is_of_its_kind(target: Target, seed: int, n: int) -> None:
    batch = Gaussian(n=n, seed=seed).batch(target, F64)
    target.check(batch.y, "the model")
    outputs = target.outputs(1)
    encoded = target.encoded(batch.y, outputs, F64)
    assert encoded.shape == (n, outputs)
    assert target.example(outputs).shape[1:] == batch.y.shape[1:]
    if target.cannot_flip is None:
        hit = np.arange(0, batch.y.size, 3)
        rng = np.random.default_rng(seed)
        wrong = target.flip(batch.y, hit, outputs, rng)
        target.check(wrong, "the model")
        assert np.flatnonzero(wrong.reshape(-1) != batch.y.reshape(-1)).tolist() == hit.tolist()


@pytest.mark.parametrize(("kind", "y"), [(kind, y) for kind, ys in WRONG.items() for y in ys])
def test_what_is_of_another_kind_is_refused(kind: type[Target], y: np.ndarray) -> None:
    size = 3 if kind is Classes or (y.ndim == 2 and y.shape[1] != 1) else 1
    with pytest.raises(ValueError, match=r"^data\.y.*: the model needs "):
        kind(size).check(y, "the model")


@dataclass
class CountRegression(Linear):
    """A model whose target the package does not know."""

    @property
    def target(self) -> Target:  # type: ignore[override]
        return Counts(1)

    def check_batch(self, batch: Batch) -> None:
        self.target.check(batch.y, "count regression")


def test_a_kind_from_outside_is_taken_for_no_other(tmp_path: Any) -> None:
    model = CountRegression()
    values = Values([[1.0], [2.0]], [3, 5])
    batch = values.batch(model.target, F64)
    assert batch.y.tolist() == [[3], [5]]
    with pytest.raises(ValueError, match=r"data\.y=0\.5: count regression needs counts"):
        model.check_batch(Values([[1.0], [2.0]], [0.5, 5]).batch(model.target, F64))
    path = tmp_path / "counts.csv"
    path.write_text("x,y\n1,3\n2,5\n")
    assert File(str(path), "y").batch(model.target, F64).y.tolist() == [[3], [5]]
    path.write_text("x,y\n1,few\n2,many\n")
    with pytest.raises(ValueError, match=r"data\.target=y: holds 'few'"):
        File(str(path), "y").batch(model.target, F64)
    with pytest.raises(Meaningless, match="targets that are no labels, which cannot be flipped"):
        BUGS["label_flip"]().refuse(model, model.layout(batch), batch)


def test_a_regression_set_has_no_classes() -> None:
    pytest.importorskip("sklearn")
    assert Sklearn("diabetes").batch(Counts(1), F64).y.shape == (442, 1)
    for target in (Binary(1), Classes()):
        with pytest.raises(Meaningless, match="has a real target"):
            Sklearn("diabetes").batch(target, F64)


def test_a_model_without_examples_has_nothing_to_draw() -> None:
    with pytest.raises(Meaningless, match="data=none"):
        NoTarget().draw(np.zeros((2, 1)), np.random.default_rng(0))
