"""Overrides as Hydra reads them, but in time linear in their length, and refused where they are nested too deep.

Hydra's own visitor looks for each item of a list from its first one on: a list of 15,000 numbers takes it a minute.
Its parser and OmegaConf take several frames of Python's stack for each bracket.  The slow way is the definition: the values
are the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser, create_functions
from hydra.core.override_parser.overrides_visitor import HydraOverrideVisitor
from hydra.core.override_parser.types import ParsedElementType
from hydra.grammar.gen.OverrideParser import OverrideParser

from gradcheck.errors import BadInput

MAX_DEPTH = 100
# an escaped sign, a text in quotes, what opens and what closes a level
_SIGNS = re.compile(r"\\.|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|([\[{(])|([\])}])", re.DOTALL)
_INTERPOLATIONS = re.compile(r"\\.|(\$\{)|(\})", re.DOTALL)  # within quotes too


def depth(line: str) -> int:
    """How deep the brackets and interpolations of an override are nested, or the parts of its key."""
    steps = ([bool(m[1]) - bool(m[2]) for m in signs.finditer(line)] for signs in (_SIGNS, _INTERPOLATIONS))
    return max(line.partition("=")[0].count("."), *(max(accumulate(one), default=0) for one in steps))


def require_shallow(line: str) -> None:
    """Raise BadInput, naming the key, for an override that is nested too deep to be read."""
    if (levels := depth(line)) > MAX_DEPTH:
        raise BadInput(f"{_key(line)}: nested {levels} levels deep, must be at most {MAX_DEPTH}")


def _key(line: str) -> str:
    return line.lstrip("+~").partition("=")[0][:80]


def _items(self: HydraOverrideVisitor, ctx: OverrideParser.ListContainerContext) -> list[ParsedElementType]:
    """Hydra's ``visitListContainer``, but that the items are taken one after the other."""
    return [self.visitElement(item) for item in ctx.element()]


@contextmanager
def linear() -> Iterator[None]:
    """Within this block every parser, that of Hydra's loader too, reads lists in linear time."""
    usual = HydraOverrideVisitor.visitListContainer
    HydraOverrideVisitor.visitListContainer = _items  # type: ignore[method-assign]
    try:
        yield
    finally:
        HydraOverrideVisitor.visitListContainer = usual  # type: ignore[method-assign]


class Parser(OverridesParser):
    """Hydra's parser in linear time.  Raises BadInput, naming the key, for what is nested too deep."""

    @classmethod
    def create(cls, config_loader: ConfigLoader | None = None) -> Parser:
        return cls(create_functions(), config_loader)

    def parse_rule(self, s: str, rule_name: str) -> object:
        require_shallow(s)
        try:
            with linear():
                return super().parse_rule(s, rule_name)
        except RecursionError:
            raise BadInput(f"{_key(s)}: nested too deep, must be at most {MAX_DEPTH} levels") from None
