"""What ``--help`` says of a bug: ``python -m gradcheck.run --help bug=NAME``, for all models or for ``model=NAME``."""

from __future__ import annotations

from collections.abc import Sequence

from gradcheck.bugs.base import Bug
from gradcheck.bugs.page import page
from gradcheck.experiment.config.schema import TABLES
from gradcheck.models.interfaces import Model


def bugs() -> dict[str, type[Bug]]:
    """All bugs that a config may name."""
    return {name: cls for name, cls in TABLES["bug"].items() if issubclass(cls, Bug)}


def models() -> dict[str, type[Model]]:
    """All models that a config may name."""
    return {name: cls for name, cls in TABLES["model"].items() if issubclass(cls, Model)}


def bug_help(overrides: Sequence[str]) -> str | None:
    """The pages of the bugs that are named, where nothing but bugs and models is; else None."""
    named: dict[str, list[str]] = {"bug": [], "model": []}
    for text in overrides:
        section, _, names = text.partition("=")
        for name in names.split(","):
            if name not in TABLES.get(section, {}) or section not in named:
                return None
            named[section].append(name)
    chosen = {name: cls for name, cls in models().items() if not named["model"] or name in named["model"]}
    return "\n".join(page(bugs()[name], chosen) for name in named["bug"]) or None
