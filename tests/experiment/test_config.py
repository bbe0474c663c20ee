"""The config: one schema, one canonical form, one id; what is wrong is refused by name."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import subprocess
import sys
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.hydra import Hydra
from hypothesis import given
from hypothesis import strategies as st
from waiting import PATIENCE

from gradcheck.errors import Meaningless
from gradcheck.experiment.config import compose, identity, registration, schema
from gradcheck.experiment.config.build import build
from gradcheck.experiment.config.form import canonical
from gradcheck.models import Logistic

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def hydra() -> Iterator[Hydra]:
    with compose.opened() as opened:
        yield opened


def logistic() -> dict[str, Any]:
    return {
        "model": {"name": "logistic"},
        "data": {"source": "gaussian"},
        "init": {"name": "normal"},
        "bug": {"name": "none"},
        "eps": 1e-4,
        "scheme": "central",
        "dtype": "float64",
        "match_at": 0.01,
    }


def changed(path: str, value: Any) -> dict[str, Any]:
    science = copy.deepcopy(logistic())
    *parents, last = path.split(".")
    level = science
    for key in parents:
        level = level[key]
    level[last] = value
    return science


GROUPS = [
    (section, path.stem)
    for section in schema.TABLES
    for path in sorted((registration.conf_dir() / section).glob("*.yaml"))
]


def test_the_files_of_a_group_and_its_table_name_the_same() -> None:
    for section, table in schema.TABLES.items():
        assert {name for group, name in GROUPS if group == section} == set(table)


def needed(section: str, name: str) -> list[str]:
    """Overrides that make a choice complete."""
    extra = {
        ("data", "file"): ["data.path=x.csv", "data.target=y"],
        ("data", "values"): ["data.X=[[1]]", "data.y=[1]"],
        ("data", "none"): ["model=one_d"],
        ("init", "values"): ["init.values={W:[[1]]}"],
        ("init", "file"): ["init.path=x.npz"],
        ("model", "function"): ["model.fun=math:sin", "model.x0=[1.0]"],
    }
    return [f"{section}={name}", *extra.get((section, name), [])]


@cache
def chosen(hydra: Hydra, section: str, name: str) -> dict[str, Any]:
    return compose.science(compose.compose(hydra, needed(section, name)))


@pytest.mark.parametrize(("section", "name"), GROUPS)
def test_every_file_composes_to_the_section_of_its_class(hydra: Hydra, section: str, name: str) -> None:
    science = chosen(hydra, section, name)
    given_, lookup = science[section], schema.LOOKUP[section]
    assert given_[lookup] == (name if lookup == "source" or name != "none" else "none")
    assert set(given_) - {lookup} == set(schema.settings(schema.TABLES[section][name])) - {lookup}


@pytest.mark.parametrize(("section", "name"), [g for g in GROUPS if g != ("model", "function")])
def test_the_canonical_form_is_plain_data_and_its_own_canonical_form(hydra: Hydra, section: str, name: str) -> None:
    form = canonical(chosen(hydra, section, name))
    assert json.loads(json.dumps(form, allow_nan=False)) == form
    assert canonical(form) == form
    assert list(form) == list(schema.SCIENCE)


@pytest.mark.parametrize(("section", "name"), [(s, name) for s, table in schema.TABLES.items() for name in table])
def test_every_setting_is_of_a_type_that_the_schema_knows(section: str, name: str) -> None:
    """A field that Hydra and build would treat differently would be refused by one and accepted by the other."""
    from omegaconf import OmegaConf

    cls = schema.TABLES[section][name]
    assert dataclasses.is_dataclass(cls)
    OmegaConf.structured(registration.hydra_class(section, name, cls))


def test_settings_that_are_left_out_have_their_defaults(hydra: Hydra) -> None:
    composed = compose.science(compose.compose(hydra, ["eps=1e-4"]))
    assert canonical(logistic()) == canonical(composed)


@pytest.mark.parametrize(
    ("path", "value", "same"),
    [
        ("eps", "1e-4", 1e-4),
        ("eps", 1, 1.0),
        ("match_at", 1, 1.0),
        ("model.l2", 0, 0.0),
        ("init.scale", 2, 2.0),
    ],
)
def test_the_same_number_in_another_type_is_the_same_cell(path: str, value: Any, same: Any) -> None:
    one, other = canonical(changed(path, value)), canonical(changed(path, same))
    assert json.dumps(one) == json.dumps(other)
    assert identity.cell_id(one) == identity.cell_id(other)


def test_an_id_is_sixteen_hex_digits_of_a_documented_text() -> None:
    import hashlib

    form = canonical(logistic())
    # what came after version 1 is left out while it has its default
    assert (form.pop("min_judged"), form.pop("accept")) == (0.9, 0.0)
    text = json.dumps({"schema": 1, "config": form, "files": {}}, sort_keys=True, separators=(",", ":"))
    assert identity.cell_id(form | {"min_judged": 0.9, "accept": 0.0}) == hashlib.sha256(text.encode()).hexdigest()[:16]


def version_1_id(form: Mapping[str, Any]) -> str:
    """The id as the first release made it, of the keys that it had."""
    import hashlib

    known = ("model", "data", "init", "bug", "eps", "scheme", "dtype", "match_at")
    text = json.dumps(
        {"schema": 1, "config": {key: form[key] for key in known}, "files": {}}, sort_keys=True, separators=(",", ":")
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@given(key=st.sampled_from([("min_judged", 0.9), ("accept", 0.0)]), number=st.floats(0, 1), seed=st.integers(0, 5))
def test_a_key_that_came_later_names_a_cell_only_where_it_is_not_its_default(
    key: tuple[str, float], number: float, seed: int
) -> None:
    name, default = key
    form = canonical(changed("init.seed", seed))
    assert identity.cell_id(form) == version_1_id(form)
    assert canonical({key: part for key, part in form.items() if key != name}) == form
    for value in (number, default):
        other = canonical(form | {name: value})
        assert (identity.cell_id(other) == version_1_id(form)) == (value == default)


@pytest.mark.parametrize("value", [-1e-9, float("nan"), float("inf"), True, "much"])
def test_what_is_accepted_is_a_number_that_is_not_negative(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^accept="):
        canonical(canonical(logistic()) | {"accept": value})


@pytest.mark.parametrize("value", [1e-2, 0.5])
def test_what_is_accepted_is_below_match_at(value: float) -> None:
    with pytest.raises(Meaningless, match=r"^accept=.*must be below match_at=0\.01"):
        build(canonical(logistic()) | {"accept": value})


def test_a_setting_of_a_section_may_come_later_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted fault: without ``since`` a new setting would give every cell of its class another id."""

    before = canonical(logistic())

    @dataclasses.dataclass
    class Later(Logistic):
        tilt: float = dataclasses.field(default=0.5, metadata={"since": 2})

    @dataclasses.dataclass
    class Careless(Logistic):
        tilt: float = 0.5

    for cls, keeps in ((Later, True), (Careless, False)):
        monkeypatch.setitem(schema.TABLES["model"], "logistic", cls)
        after = canonical(logistic())
        assert after["model"] == before["model"] | {"tilt": 0.5}
        assert (identity.cell_id(after) == identity.cell_id(before)) is keeps
        assert identity.cell_id(canonical(changed("model.tilt", 1.0))) != identity.cell_id(before)


@given(eps=st.floats(min_value=1e-300, max_value=1e300))
def test_every_step_keeps_its_value_through_the_record(eps: float) -> None:
    form = canonical(changed("eps", eps))
    again = canonical(json.loads(json.dumps(form)))
    assert again["eps"] == eps
    assert identity.cell_id(again) == identity.cell_id(form)


WRONG = [
    ("eps", 0, "> 0"),
    ("eps", True, "number"),
    ("eps", math.nan, "finite"),
    ("eps", "1_0", "finite"),
    ("eps", [1e-4], "number"),
    ("eps", None, "number"),
    ("model.l2", -1, ">= 0"),
    ("model.l2", True, "a number"),
    ("model.l2", "1", "a number"),
    ("model.l2", math.inf, "finite"),
    ("model.l2", 10**400, "finite"),
    ("model.bias", 1, "true or false"),
    ("model.bias", "true", "true or false"),
    ("model._target_", "os.system", "no such key"),
    ("model.name", "mlpp", "must be one of"),
    ("model.name", ["mlp"], "must be one of"),
    ("model", "logistic", "with its settings"),
    ("model", None, "with its settings"),
    ("data.n", 1.5, "whole number"),
    ("data.n", 5.0, "whole number"),
    ("data.n", True, "whole number"),
    ("data.n", 0, ">= 1"),
    ("data.source", "web", "must be one of"),
    ("init.seed", -1, ">= 0"),
    ("init.seed", "0", "whole number"),
    ("scheme", "best", "must be one of"),
    ("scheme", ["central"], "must be one of"),
    ("dtype", "complex128", "must be one of"),
    ("dtype", None, "must be one of"),
    ("match_at", 0, "> 0"),
    ("match_at", "x", "a number"),
    ("extra", 1, "no such key"),
    ("_target_", "os.system", "no such key"),
    ("engine", {"name": "loky"}, "no such key"),
]


@pytest.mark.parametrize(
    ("path", "value", "allowed"), WRONG, ids=[f"{path}={str(value)[:20]}" for path, value, _ in WRONG]
)
def test_build_names_key_value_and_what_is_allowed(path: str, value: Any, allowed: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        build(changed(path, value))
    message = str(refused.value)
    assert message.startswith(path.removesuffix(".name").removesuffix(".source"))
    assert allowed in message
    assert "\n" not in message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
paths = st.sampled_from(
    [*schema.SCIENCE, "model.name", "model.l2", "model.bias", "data.source", "data.n", "init.seed", "bug.name", "x"]
)


@given(path=paths, value=json_values)
def test_whatever_a_record_holds_build_makes_a_cell_or_says_why_not(path: str, value: Any) -> None:
    message = ""
    try:
        build(changed(path, value))
    except ValueError as error:
        message = str(error)
    assert "\n" not in message


@given(value=json_values)
def test_a_record_that_is_no_config_at_all_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        build(value)


def test_build_makes_the_classes_of_the_tables_with_their_settings() -> None:
    cell = build(changed("model", {"name": "mlp", "layers": [4], "loss": "squared_error", "l2": 0.5}))
    assert type(cell.model) is schema.TABLES["model"]["mlp"]
    assert (cell.model.layers, cell.model.loss_name, cell.model.l2) == ([4], "squared_error", 0.5)
    assert (cell.dtype.name, cell.scheme.name) == ("float64", "central")


@pytest.mark.parametrize(
    ("start", "stop", "n", "expected"),
    [
        (-12, -1, 12, [float(f"1e{k}") for k in range(-12, 0)]),
        (0, 0, 1, [1.0]),
        (2, 0, 3, [100.0, 10.0, 1.0]),
        (-1, 0, 3, [0.1, 0.31622776601683794, 1.0]),
    ],
)
def test_logspace_gives_correctly_rounded_powers_of_ten(
    start: float, stop: float, n: int, expected: list[float]
) -> None:
    assert registration.logspace(start, stop, n) == expected


def test_the_schema_and_the_checker_need_no_hydra_to_build_a_recorded_config() -> None:
    """Workers and readers of records build configs: they neither pay for Hydra nor have its resolvers at hand."""
    code = (
        f"import sys; from gradcheck.experiment.config.build import build; build({logistic()!r});"
        "print([m for m in ('hydra', 'omegaconf', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout.strip() == "[]", done.stderr


def test_no_config_names_code_to_run() -> None:
    for path in registration.conf_dir().rglob("*.yaml"):
        assert "_target_" not in path.read_text(), path


@pytest.mark.parametrize("cls", [cls for table in schema.TABLES.values() for cls in table.values()])
def test_settings_have_the_types_of_their_annotations(cls: type) -> None:
    hints = typing.get_type_hints(cls)
    for setting in schema.settings(cls).values():
        assert setting.type == hints[setting.attribute]
