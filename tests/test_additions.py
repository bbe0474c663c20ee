"""What is added from outside the package is found by its config, checked, and keeps what the package's own keep."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import test_bugs
import test_check
import test_gradients
import test_layers
import test_rounding
from additions import ENTRIES, LAYER, Circle, HalvedBias, Poisson, Power
from commands import QUICK, command, rows
from instances import Instance

from gradcheck.bugs import BUGS
from gradcheck.errors import Meaningless, NoEffect
from gradcheck.experiment.cell import Cell, check_cell
from gradcheck.experiment.config.build import build
from gradcheck.experiment.config.schema import TABLES
from gradcheck.experiment.sources.gaussian import Gaussian
from gradcheck.experiment.sources.init import Normal
from gradcheck.experiment.sources.values import Values
from gradcheck.models import Linear, Logistic, OneLayer, Softmax
from gradcheck.models.batch import Batch
from gradcheck.models.layers import LAYERS
from gradcheck.numerics.schemes import SCHEMES

HERE = Path(__file__).resolve().parent
POISSON = [Instance("poisson", Poisson()), Instance("poisson-no bias-l2", Poisson(bias=False, l2=0.3))]
PAIRS = [
    (s, d) for s in SCHEMES.values() for d in (np.float32, np.float64) if not (s.complex_valued and d == np.float32)
]


def of_each(*dtypes):
    return lambda check: [lambda instance, dtype=dtype: check(instance, dtype) for dtype in dtypes]


TYPES, DTYPES = of_each(np.float32, np.float64), of_each(*map(np.dtype, (np.float32, np.float64)))
CONTRACT = {
    "complex step": [lambda i: test_gradients.test_smooth_gradients_agree_with_the_complex_step(i, 0.7)],
    "shapes": [test_gradients.test_the_loss_is_a_scalar_and_the_gradient_has_an_entry_for_every_parameter],
    "unchanged": [test_gradients.test_neither_parameters_nor_data_are_changed],
    "dtype": TYPES(test_gradients.test_loss_and_gradient_have_the_dtype_of_the_parameters),
    "rounding": TYPES(test_rounding.test_rounding_errors_have_the_predicted_size),
    "structure": DTYPES(test_check.test_losses_from_structure_are_those_of_the_plain_loop_within_their_noise),
    "neighbours": DTYPES(test_check.test_they_do_not_depend_on_which_others_are_computed),
    "one entry": [lambda i: test_bugs.test_one_entry_bugs_change_one_entry(i, 0)],
}


@pytest.mark.parametrize("clause", CONTRACT)
@pytest.mark.parametrize("instance", POISSON, ids=str)
def test_a_model_from_outside_keeps_the_contract(instance: Instance, clause: str) -> None:
    for check in CONTRACT[clause]:
        check(instance)


class Wrong(Poisson):
    """Rounding errors that are a tenth of what they should be, and a slope that is wrong in the fourth digit."""

    def rounding(self, theta, batch):
        found = super().rounding(theta, batch)
        return replace(found, loss=found.loss / 10, gradient=found.gradient / 10)

    def delta(self, z, y, parts):
        return super().delta(z, y, parts) * (1 + 1e-4)


def test_the_contract_sees_a_model_that_does_not_keep_it() -> None:
    for clause in ("complex step", "rounding"):
        with pytest.raises(AssertionError):
            test_a_model_from_outside_keeps_the_contract(Instance("wrong", Wrong()), clause)


def cell(model, data, bug, scheme, dtype) -> Cell:
    return Cell(model, data, Normal(1, 0.5), bug, scheme, np.dtype(dtype), 1e-2)


@pytest.mark.parametrize(("scheme", "dtype"), PAIRS, ids=[f"{scheme.name}-{np.dtype(d)}" for scheme, d in PAIRS])
def test_its_correct_gradient_matches_and_each_bug_is_caught(scheme, dtype) -> None:
    model = Poisson(l2=0.1)
    found = check_cell(cell(model, Gaussian(n=40), BUGS["none"](), scheme, dtype))
    assert found.summary["n_mismatch"] == 0
    # a one-sided formula in float32 shows some weights to a percent only
    assert found.summary["n_match"] == found.summary["n_weights"] or scheme.order == 1
    caught = 0
    for name, bug in {**BUGS, "halved_bias": HalvedBias}.items():
        try:
            found = check_cell(cell(model, Gaussian(n=40), bug(), scheme, dtype))
        except (Meaningless, NoEffect):
            continue
        # noise of 1e-3 and less, and roundings, may lie below what a coarse scheme or dtype can show
        assert found.summary["verdict"] == "mismatch" or name in ("none", "scale", "downcast")
        caught += found.summary["verdict"] == "mismatch"
    assert caught >= 15


@pytest.mark.parametrize("model", [Poisson(), Linear(), Logistic(), Softmax()], ids=lambda model: model.name)
def test_a_source_from_outside_suits_every_kind_of_target(model) -> None:
    found = check_cell(cell(model, Circle(), BUGS["none"](), SCHEMES["central"], np.float64))
    assert found.summary["verdict"] == "match"
    wrong = check_cell(cell(model, Circle(), HalvedBias(), SCHEMES["central"], np.float64))
    accused = {p for p, v in zip(wrong.weights["param"], wrong.weights["verdict"], strict=True) if v == "mismatch"}
    assert accused == {"b1" if model.name == "softmax" else "b"}


def test_counts_are_no_labels_and_no_real_numbers() -> None:
    model = Poisson()
    assert model.layout(Batch(np.zeros((3, 2)), np.array([[0.0], [7.0], [2.0]]))).size == 3
    with pytest.raises(ValueError, match=r"data\.y=0\.5: poisson needs counts"):
        model.check_batch(Values([[1.0], [2.0]], [0.5, 1]).batch(model.target, np.float64))
    with pytest.raises(Meaningless, match="bug=label_flip: poisson has targets that are no labels"):
        BUGS["label_flip"]().refuse_model(model)


def test_their_settings_are_checked_as_the_packages_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for section, entries in ENTRIES.items():
        for name, cls in entries.items():
            monkeypatch.setitem(TABLES[section], name, cls)
    config = {"init": {"name": "normal"}, "bug": {"name": "halved_bias"}, "eps": "auto", "scheme": "central"}
    config |= {
        "model": {"name": "poisson", "l2": 0.1},
        "data": {"source": "circle"},
        "dtype": "float64",
        "match_at": 0.01,
    }
    assert check_cell(build(config)).summary["verdict"] == "mismatch"
    for section, settings, words in (
        ("model", {"name": "poisson", "l2": -1.0}, r"model\.l2=-1\.0: must be"),
        ("model", {"name": "poisson", "layers": [3]}, r"model\.layers=.*: no such key in model=poisson"),
        ("data", {"source": "circle", "radius": "x"}, r"data\.radius=x: must be a number"),
    ):
        with pytest.raises(ValueError, match=words):
            build(config | {section: settings})


def test_a_sweep_finds_them_by_configs_of_their_own(tmp_path: Path) -> None:
    for section, entries in ENTRIES.items():
        for name in entries:
            file = tmp_path / "conf" / section / f"{name}.yaml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"defaults:\n  - /schema/{section}/{name}@_here_\n  - _self_\n")
    prelude = f"sys.path.insert(0, {str(HERE)!r})\nimport additions\nadditions.add()"
    typed = ("-m", "model=poisson,linear", "data=circle", "bug=none,halved_bias", "data.n=9", "fail_on=never")
    folders = (f"hydra.sweep.dir={tmp_path / 'run'}", f"--config-dir={tmp_path / 'conf'}")
    status, _, err = command("gradcheck.run", *typed, *folders, *QUICK, prelude=prelude, cwd=tmp_path)
    assert status == 0, err
    cells, _ = rows(tmp_path / "run")
    found = {(c["model"], c["bug"]): c["verdict"] for c in cells}
    assert found == {
        (model, bug): "match" if bug == "none" else "mismatch"
        for model in ("poisson", "linear")
        for bug in ("none", "halved_bias")
    }
    assert {c["data_n"] for c in cells} == {9}
    # a bias that is half of what it should be is off by more than a tenth; a right gradient is not
    assert {(c["bug"], c["rule_tenth"]) for c in cells} == {("none", False), ("halved_bias", True)}


def test_a_layer_from_outside_keeps_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LAYERS, "power", Power)
    test_layers.test_a_layer_of_the_table_keeps_the_contract("power")
    test_layers.test_the_contract_sees_a_wrong_backward_pass("power")


class Forgotten(Power):
    """The factor of the power rule is forgotten."""

    def backward(self, params, cache, dout, parts):
        dx, gradients = super().backward(params, cache, dout, parts)
        return dx / self.degree, gradients


def test_a_layer_from_outside_is_checked_in_a_net_and_its_mistake_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for cls, verdict in ((Power, "match"), (Forgotten, "mismatch")):
        monkeypatch.setitem(LAYERS, "power", cls)
        model = OneLayer(layer="power", options={"degree": 3})
        model.validate()
        found = check_cell(cell(model, Gaussian(n=20), BUGS["none"](), SCHEMES["central"], np.float64))
        assert found.summary["verdict"] == verdict
        wrong = {p for p, v in zip(found.weights["param"], found.weights["verdict"], strict=True) if v == "mismatch"}
        assert wrong == ({"W1", "b1"} if cls is Forgotten else set())


def test_one_yaml_makes_a_model_of_a_layer_from_outside(tmp_path: Path) -> None:
    assert {"power": Power} == LAYER
    file = tmp_path / "conf" / "model" / "power.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("defaults:\n  - /schema/model/layer@_here_\n  - _self_\nlayer: power\noptions:\n  degree: 3\n")
    prelude = f"sys.path.insert(0, {str(HERE)!r})\nimport additions\nadditions.add()"
    typed = (
        "-m",
        "model=power",
        "data=gaussian,images",
        "data.n=6",
        "init.scale=0.3",
        "bug=none,sign_flip",
        "fail_on=never",
    )
    folders = (f"hydra.sweep.dir={tmp_path / 'run'}", f"--config-dir={tmp_path / 'conf'}")
    status, _, err = command("gradcheck.run", *typed, *folders, *QUICK, prelude=prelude, cwd=tmp_path)
    assert status == 0, err
    cells, _ = rows(tmp_path / "run")
    assert {(c["model"], c["model_layer"], c["data"], c["bug"]): c["verdict"] for c in cells} == {
        ("layer", "power", data, bug): "match" if bug == "none" else "mismatch"
        for data in ("gaussian", "images")
        for bug in ("none", "sign_flip")
    }
