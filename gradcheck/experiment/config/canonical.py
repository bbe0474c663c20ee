"""A canonical config as plain data: its type, its sections, its one text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeAlias

Form: TypeAlias = dict[str, object]
"""A canonical config, or one of its sections: every setting is present, and every value is one that JSON has."""

canonical_json = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode
"""JSON with sorted keys and without spaces; raises ValueError for NaN and inf."""


def section_of(form: Mapping[str, object], section: str) -> Form:
    """One of the sections ``model data init bug`` of a canonical config."""
    found = form[section]
    assert isinstance(found, dict)
    return found
