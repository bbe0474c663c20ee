"""The canonical form of a config: what is typed in several ways becomes one form; what is wrong is refused by name."""

from __future__ import annotations

from collections.abc import Mapping

from gradcheck.experiment.config.canonical import Form, section_of
from gradcheck.experiment.config.cast import as_float, cast, is_finite, is_number, numbers, short
from gradcheck.experiment.config.schema import (
    DTYPES,
    ID_VERSION,
    LOOKUP,
    MISSING,
    NO_BUG,
    PLAIN,
    SCIENCE,
    TABLES,
    Run,
    build_section,
    settings,
)
from gradcheck.functions.model import Function
from gradcheck.models.interfaces import Section
from gradcheck.numerics.schemes import SCHEMES
from gradcheck.numerics.steps import AUTO, Step
from gradcheck.uris import is_uri, shown

# Settings of any nesting that hold numbers only, where 1 and 1.0 are the same.
_NUMBERS = ("X", "y", "values", "x0")


def canonical(config: object) -> Form:
    """The scientific config in its one form: every setting present, each value of its own type, one ``eps`` ("auto" or
    a float).

    Raises ValueError, naming key, value and what is allowed, for keys that are not known and values of a wrong type.
    """
    if not isinstance(config, Mapping):
        raise ValueError(f"config={short(config)}: must be a mapping")
    for key in config:
        if key not in SCIENCE:
            raise ValueError(f"{key}={short(config[key])}: no such key; allowed are {', '.join(SCIENCE)}")
    form: Form = {section: canonical_section(section, config.get(section)) for section in TABLES}
    return from_x0(form) | {key: canonical_value(key, _given(config, key)) for key in PLAIN}


def _given(config: Mapping[str, object], key: str) -> object:
    """The value of a key that is no section; its default where the config is from before the key existed."""
    setting = settings(Run)[key]
    return config.get(key, setting.default if setting.since > ID_VERSION else None)


def canonical_section(section: str, given: object) -> Form:
    """One of ``model data init bug`` in canonical form."""
    lookup, table = LOOKUP[section], TABLES[section]
    if not isinstance(given, Mapping):
        raise ValueError(f"{section}={short(given)}: must be one of {', '.join(table)}, with its settings")
    name = given.get(lookup)
    if name not in list(table):  # a list: what was typed may be no key of a dict
        raise ValueError(f"{section}={short(name)}: must be one of {', '.join(table)}")
    typed = _typed(section, name, table[name], given)
    if section == "bug" and name == NO_BUG:
        # settings of other bugs are kept where they are given, so that a grid tells such cells apart
        return {lookup: name} | {key: v for key, v in typed.items() if key not in (lookup, "seed") and v is not None}
    return typed


def is_function(form: Mapping[str, object]) -> bool:
    """Whether a canonical config asks for somebody's own function."""
    return section_of(form, "model")["name"] == Function.name


def from_x0(form: Form) -> Form:
    """The form with the point of a ``model=function`` as ``init.values``, where these are left empty."""
    model, init = section_of(form, "model"), section_of(form, "init")
    if not is_function(form) or init["name"] != "values" or init["values"]:
        return form
    built = build_section("model", model)
    assert isinstance(built, Function)
    return form | {"init": init | {"values": built.values()}}


def _typed(section: str, name: str, cls: type[Section], given: Mapping[str, object]) -> Form:
    lookup, known = LOOKUP[section], settings(cls)
    for key in given:
        if key != lookup and key not in known:
            allowed = ", ".join(f"{section}.{k}" for k in known) or "no settings"
            raise ValueError(
                f"{section}.{key}={short(given[key])}: no such key in {section}={name}; allowed: {allowed}"
            )
    form: Form = {lookup: name}
    for key, setting in known.items():
        full = f"{section}.{key}"
        value = given.get(key, setting.default)
        if isinstance(value, str) and value == MISSING:
            raise ValueError(f"{full}: must be given with {section}={name}, as {full}=...")
        if key == "path" and isinstance(value, str) and is_uri(value):
            raise ValueError(f"{full}={shown(value)}: must be a file of this machine")
        nested = key in _NUMBERS and setting.type is not float
        form[key] = numbers(full, value) if nested else cast(full, value, setting.type)
    return form


def canonical_value(key: str, value: object) -> object:
    """One of ``eps scheme dtype match_at accept min_judged`` in canonical form."""
    if key == "eps":
        return _eps(value)
    if key == "match_at":
        number = as_float(key, value)
        if not number > 0:
            raise ValueError(f"match_at={short(value)}: must be a finite number > 0")
        return number
    if key == "accept":
        number = as_float(key, value)
        if not number >= 0:
            raise ValueError(f"accept={short(value)}: must be a number >= 0 below match_at")
        return number + 0.0  # -0.0 is 0
    if key == "min_judged":
        share = as_float(key, value)
        if not 0 <= share <= 1:
            raise ValueError(f"min_judged={short(value)}: must be a share from 0 to 1")
        return share + 0.0  # -0.0 is 0
    allowed = tuple(SCHEMES) if key == "scheme" else DTYPES
    if value not in allowed:
        raise ValueError(f"{key}={short(value)}: must be one of {', '.join(allowed)}")
    return value


def _eps(value: object) -> Step:
    if value == AUTO:
        return AUTO
    number = value
    if isinstance(value, str) and "_" not in value:
        try:
            number = float(value)
        except ValueError:
            pass
    if not is_number(number) or not is_finite(number) or not number > 0:
        raise ValueError(f"eps={short(value)}: must be a finite number > 0, a list of such numbers, or auto")
    return float(number)


def eps_values(value: object) -> list[object]:
    """The values of ``eps`` of one run: a list as it is, anything else as the only one."""
    if not isinstance(value, list | tuple):
        return [value]
    if not value:
        raise ValueError("eps=[]: must hold at least one finite number > 0 or auto")
    return list(value)
