"""The mistakes in layers of sequences: each is wrong by its formula, written once more, and is caught where it is visible."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sequence_nets import gradient

from gradcheck.bugs import BUGS
from gradcheck.bugs.attention import ATTENTION_BUGS
from gradcheck.bugs.base import Bug
from gradcheck.bugs.page import in_model, made
from gradcheck.bugs.recurrence import RECURRENCE_BUGS
from gradcheck.errors import Meaningless
from gradcheck.experiment.cell import Cell, check_cell, pose
from gradcheck.experiment.sources.init import Normal
from gradcheck.experiment.sources.sequences import Sequences
from gradcheck.models import MODELS, Attention, RecurrentNet
from gradcheck.models.layers.layered import LOSSES
from gradcheck.models.sequence import OUTPUTS, TokenModel
from gradcheck.numerics.schemes import SCHEMES

OF_SEQUENCES = [bug.name for bug in (*RECURRENCE_BUGS, *ATTENTION_BUGS)]
MODELS_OF_SEQUENCES: list[TokenModel] = [
    *(
        RecurrentNet(cell=cell, output=output, lengths=lengths)
        for cell in ("rnn", "gru", "lstm")
        for output in OUTPUTS
        for lengths in (True, False)
    ),
    *(
        Attention(output=output, causal=causal, tied=tied)
        for output in OUTPUTS
        for causal in (True, False)
        for tied in (False, True)
    ),
]

# The formula is summed in another order: at most 200 sums of terms within a factor 100 of the largest entry.
AGREES = 200 * 100 * float(np.finfo(float).eps)


def cell(model: TokenModel, bug: Bug, seed: int = 0, dtype: Any = np.float64) -> Cell:
    source = Sequences(n=6, length=5, seed=seed)
    return Cell(model, source, Normal(seed, 0.5), bug, SCHEMES["central"], np.dtype(dtype), 1e-2)


def meaningful(bug: Bug, model: TokenModel) -> bool:
    batch = Sequences().batch(model.target, np.float64)
    try:
        bug.refuse(model, model.layout(batch), batch)
    except Meaningless:
        return False
    return True


def gradients(name: str, model: TokenModel, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """That of the package, that of the formula, the right one."""
    here = cell(model, BUGS[name](), seed)
    batch = here.data.batch(model.target, here.dtype)
    theta = here.init.theta(model.layout(batch), here.dtype)
    return here.bug.gradient(model, theta, batch), gradient(model, theta, batch, name), model.gradient(theta, batch)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("model", MODELS_OF_SEQUENCES, ids=str)
def test_without_a_mistake_both_are_right(model: TokenModel, loss: str) -> None:
    model = replace(model, loss_name="softmax" if getattr(model, "tied", False) else loss, l2=0.1)
    wrong, said, right = gradients("none", model)
    assert np.array_equal(wrong, right)
    assert np.abs(said - right).max() <= AGREES * np.abs(right).max()


@pytest.mark.parametrize("name", OF_SEQUENCES)
def test_each_mistake_is_wrong_by_its_formula_has_an_effect_somewhere_and_is_said_where(name: str) -> None:
    models = [model for model in MODELS_OF_SEQUENCES if meaningful(BUGS[name](), model)]
    effects = []
    for model in models:
        found, said, right = gradients(name, model)
        assert np.abs(found - said).max() <= AGREES * max(np.abs(found).max(), np.abs(right).max()), model
        effects.append(not np.array_equal(found, right))
    assert any(effects)
    for known in ("recurrent", "attention"):
        lines = in_model(made(BUGS[name]), MODELS[known])
        assert lines[0].startswith("no meaning") == all(model.name != known for model in models), known


LITTLE = {"vocabulary": 5, "embedding": 2, "units": 2}
SMALL = RecurrentNet(**LITTLE)
BLOCK = Attention(**{**LITTLE, "embedding": 4})
CAUGHT: list[tuple[str, TokenModel]] = [
    ("truncated_time", replace(SMALL, cell="lstm")),
    ("state_detached", replace(SMALL, cell="gru", output="all")),
    ("time_transposed", SMALL),
    ("cell_path_missing", replace(SMALL, cell="lstm")),
    ("gate_derivative", replace(SMALL, cell="gru")),
    ("reset_gate_ignored", replace(SMALL, cell="gru")),
    ("padding_not_masked", SMALL),
    ("padding_not_masked", replace(BLOCK, causal=False, output="all")),
    ("repeated_index_overwrites", SMALL),
    ("embedding_padding_updated", replace(SMALL, lengths=False)),
    ("weight_tying_half", replace(BLOCK, tied=True, output="all")),
    ("attention_scale_missing", BLOCK),
    ("softmax_diagonal_only", BLOCK),
    ("mask_missing_in_backward", replace(BLOCK, output="all")),
    ("heads_mixed", BLOCK),
    ("residual_dropped", BLOCK),
]


@pytest.mark.parametrize(("name", "model"), CAUGHT, ids=str)
def test_a_mistake_above_the_resolution_is_caught(name: str, model: TokenModel) -> None:
    """Every weight whose error is larger than what is certain to be seen is a mismatch; no right one is."""
    here = replace(cell(model, BUGS[name](), 1), data=Sequences(n=4, length=4, vocabulary=5, seed=1))
    result, problem = check_cell(here), pose(replace(here, bug=BUGS["none"]()))
    weights = result.weights
    assert isinstance(weights, dict)
    wrong = np.abs(weights["analytic"] - np.asarray(problem.analytic, dtype=np.float64))
    caught = weights["abs_err"] > weights["bound"]
    assert result.summary["verdict"] == "mismatch"
    assert np.all(caught[wrong > 2 * weights["bound"]])
    assert not np.any(caught[wrong == 0])


# --- the other mistakes of the catalogue -----------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [*MODELS_OF_SEQUENCES[::5], MODELS_OF_SEQUENCES[-1]], ids=str)
def test_every_mistake_has_a_gradient_or_is_refused_in_one_line(model: TokenModel) -> None:
    model = replace(model, l2=0.1)
    for name in BUGS:
        here = cell(model, BUGS[name]())
        batch = here.data.batch(model.target, here.dtype)
        theta = here.init.theta(model.layout(batch), here.dtype)
        if not meaningful(here.bug, model):
            with pytest.raises(Meaningless, match=rf"^bug[^\n]*{name}[^\n]*$"):
                here.bug.refuse(model, model.layout(batch), batch)
            continue
        found = here.bug.gradient(model, theta, batch)
        assert (found.shape, found.dtype) == (theta.shape, theta.dtype), name
