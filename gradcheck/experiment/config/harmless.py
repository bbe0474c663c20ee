"""Recorded overrides that may be proposed as a command: a record may be a stranger's, and a command is pasted unread.

An override passes if it is known to name numbers and choices of this package.  Everything else, such as keys of Hydra,
functions, files and addresses, is left out.
"""

from __future__ import annotations

import re

from gradcheck.experiment.config import schema

# their values name code or files, or are arguments of a function
_KEYS_LEFT_OUT = {"fun", "jac", "args", "path", "max_bytes"}
_NAMES = re.compile(r"[\w-]+(,[\w-]+)*")
_VALUES = re.compile(r"[\w.,:+*() \[\]{}'\"-]{0,2000}", re.ASCII)
_LISTS = re.compile(r"\$\{logspace:[\w.,+ -]*\}", re.ASCII)
_KEY_LISTS = re.compile(r"[\w.,\[\] ]{0,2000}", re.ASCII)
_FUNCTION = "function"


def harmless(override: str) -> bool:
    """Whether an override can do no more than choose what this package computes."""
    sign, key, value = re.fullmatch(r"(\+{0,2})([^=]*)=?(.*)", override, re.DOTALL).groups()  # type: ignore[union-attr]
    if "=" not in override:
        return False
    if key in schema.TABLES or (key in schema.READY and sign == "+"):
        return _NAMES.fullmatch(value) is not None and _FUNCTION not in value.split(",")
    if key == "zip":  # without it, its lists would make another grid
        return not sign and _KEY_LISTS.fullmatch(value) is not None
    section, _, setting = key.partition(".")
    known = {name for cls in schema.TABLES.get(section, {}).values() for name in schema.settings(cls)}
    plain = key in schema.SCIENCE or setting in known - _KEYS_LEFT_OUT
    return plain and not sign and _VALUES.fullmatch(_LISTS.sub("", value)) is not None


def sorted_out(overrides: object) -> tuple[list[str], list[str]]:
    """Recorded overrides that are harmless, and the others; both empty where no list of them was recorded."""
    typed = [str(text) for text in overrides] if isinstance(overrides, list) else []
    return [text for text in typed if harmless(text)], [text for text in typed if not harmless(text)]
