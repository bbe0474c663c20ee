"""Overrides as Hydra reads them: in time that grows with their length alone, and no deeper than it can follow.

Hydra's own visitor looks for each item of a list from its first one on: a list of 15,000 numbers takes it a minute.
Its parser and OmegaConf go down several levels of Python's stack with each bracket.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from antlr4 import CommonTokenStream, InputStream
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser, create_functions
from hydra.core.override_parser.overrides_visitor import HydraErrorListener, HydraOverrideVisitor
from hydra.core.override_parser.types import Override
from hydra.grammar.gen.OverrideLexer import OverrideLexer
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


class _Visitor(HydraOverrideVisitor):
    """Hydra's, but that the items of a list are taken one after the other."""

    def visitListContainer(self, ctx: OverrideParser.ListContainerContext) -> list[Any]:
        return [self.visitElement(item) for item in ctx.element()]


class Parser(OverridesParser):
    """Hydra's parser with that visitor.  Raises BadInput, naming the key, for what is nested too deep."""

    @classmethod
    def create(cls, config_loader: ConfigLoader | None = None) -> Parser:
        return cls(create_functions(), config_loader)

    def parse_rule(self, s: str, rule_name: str) -> Any:
        if rule_name != "override":
            return super().parse_rule(s, rule_name)
        key, levels = s.lstrip("+~").partition("=")[0][:80], depth(s)
        if levels > MAX_DEPTH:
            raise BadInput(f"{key}: nested {levels} levels deep, must be at most {MAX_DEPTH}")
        heard = HydraErrorListener()
        lexer = OverrideLexer(InputStream(s))
        parser = OverrideParser(CommonTokenStream(lexer))
        for part in (lexer, parser):
            part.removeErrorListeners()
            part.addErrorListener(heard)
        try:
            found: Override = _Visitor(self.functions).visit(parser.override())  # type: ignore[no-untyped-call]
        except RecursionError:
            raise BadInput(f"{key}: nested too deep, must be at most {MAX_DEPTH} levels") from None
        found.input_line = s
        found.validate()
        return found


class Loader(ConfigLoaderImpl):
    """Hydra's loader of configs, reading overrides with that parser."""

    def _parse_overrides_and_create_caching_repo(
        self, config_name: str | None, overrides: Sequence[str]
    ) -> tuple[list[Override], CachingConfigRepository]:
        parsed = Parser.create().parse_overrides(list(overrides))
        repository = CachingConfigRepository(self.repository)
        self._process_config_searchpath(config_name, parsed, repository)
        return parsed, repository
