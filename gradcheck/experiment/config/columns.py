"""The columns of ``cells`` that hold settings: made from the classes that a config may name, the same in every run."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping

from gradcheck.experiment.config.canonical import Form, section_of
from gradcheck.experiment.config.schema import LOOKUP, PLAIN, TABLES, Run, settings

# Arrays are stored in the column ``config`` alone; a limit on the size of a file is no science.
ASIDE = {"data": ("X", "y", "max_bytes"), "init": ("values", "max_bytes")}
FUNCTIONS = ("model_fun", "model_jac")  # what tells the cells of somebody's functions apart
_KINDS = (bool, int, float)


def column_name(key: str) -> str:
    """Column of a config key: ``bug.magnitude`` is stored as ``bug_magnitude``."""
    return key.replace(".", "_")


def _made() -> dict[str, dict[str, type]]:
    """For each section the keys of all its classes and how a column holds them: bool, int, float, or str for text and JSON."""
    found: dict[str, dict[str, type]] = {}
    for section, table in TABLES.items():
        kinds: dict[str, set[type]] = {}
        for cls in table.values():
            for key, setting in settings(cls).items():
                if key not in ASIDE.get(section, ()):
                    kinds.setdefault(key, set()).add(_kind(setting.type))
        found[section] = {key: _common(some) for key, some in kinds.items()}
    return found


def _kind(annotation: object) -> type:
    """The type of one value; str for whatever is no flag and no number."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        kinds = {_kind(one) for one in typing.get_args(annotation) if one is not type(None)}
        return _common(kinds)
    return next((kind for kind in _KINDS if annotation is kind), str)


def _common(kinds: set[type]) -> type:
    if len(kinds) == 1:
        return next(iter(kinds))
    return float if kinds == {int, float} else str


_SECTIONS = _made()
_PLAIN = tuple(key for key in PLAIN if key not in ("eps", "scheme", "dtype"))

# name of the column: how it holds its values
SETTINGS: dict[str, type] = {
    **{column_name(f"{section}.{key}"): kind for section, kinds in _SECTIONS.items() for key, kind in kinds.items()},
    **{key: _kind(settings(Run)[key].type) for key in _PLAIN},
}


def values(config: Mapping[str, object]) -> dict[str, object]:
    """The values of these columns for a canonical config, without the columns that its classes do not have."""
    found = {key: config.get(key) for key in _PLAIN}
    for section in _SECTIONS:
        part = section_of(config, section)
        last = _last.get(section)
        if last is None or last[0] is not part:
            last = _last[section] = part, _of_section(section, part)
        found |= last[1]
    return found


# by section: the last one that was asked for, which the cells of a grid share, and its values
_last: dict[str, tuple[Form, dict[str, object]]] = {}


def _of_section(section: str, part: Form) -> dict[str, object]:
    kinds = _SECTIONS[section]
    return {f"{section}_{key}": v for key, v in part.items() if key in kinds and key != LOOKUP[section]}
