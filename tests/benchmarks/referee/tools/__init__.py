"""The tools, one module each.  A module has ``TOOLS``; one whose package is missing cannot be imported."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from tests.benchmarks.referee.case import Tool


def modules() -> list[str]:
    """The names of the modules, in order."""
    return sorted(found.name for found in pkgutil.iter_modules(__path__))


def of(module: str) -> tuple[Tool, ...]:
    """The tools of a module.  Raises ImportError where its package is missing, OSError where a library is."""
    found: tuple[Tool, ...] = import_module(f"{__name__}.{module}").TOOLS
    return found
