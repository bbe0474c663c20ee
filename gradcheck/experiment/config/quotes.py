"""Quotes that a shell did not take away, as in launch.json or on the command line of Windows."""

from __future__ import annotations

from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import HydraException

from gradcheck.errors import BadInput
from gradcheck.experiment.config.hydra_private import parsed_value
from gradcheck.experiment.config.overrides import Parser

_QUOTES = ("'", '"')
_TYPOGRAPHIC = str.maketrans("", "", "\u2018\u2019\u201a\u201c\u201d\u201e")  # what word processors write instead


def because_of_quotes(line: str) -> str | None:
    """What is wrong with an override that is text for its quotes alone; None where they change nothing."""
    if line[:1] in _QUOTES and line[:1] == line[-1:]:
        return _said(line, line[1:-1]) if line[1:2] == "-" or _read(line[1:-1]) else None
    key, sign, rest = line.partition("=")
    if key[:1] in _QUOTES and key[:1] == key[-1:] and _read(f"{key[1:-1]}{sign}{rest}"):
        return f"{line}: a key takes no quotes; write {key[1:-1]}{sign}{rest}"
    plain = line.translate(_TYPOGRAPHIC)
    if plain != line and _read(line) is None and _read(plain):
        return f"{line}: holds typographic quotes, which no shell takes away; write {plain}"
    ends = (line[:1], line.partition("=")[2][:1], line[-1:])
    if any(sign in _QUOTES and (line.count(sign) == 1 or line[:1] == sign) for sign in ends if sign):
        return f"{line}: the shell left a quote and split the text at its blanks; write double quotes around all of it"
    typed = _read(line)
    value = parsed_value(typed) if typed is not None else None
    if typed is None or not isinstance(value, QuotedString):
        return None
    plain = f"{line.partition('=')[0]}={value.text}"
    bare = _read(plain)
    return _said(line, plain) if bare is not None and not isinstance(parsed_value(bare), str) else None


def _said(line: str, plain: str) -> str:
    return f"{line}: is text because of its quotes: leave them out, as {plain}"


def _read(line: str) -> Override | None:
    """An override as Hydra reads it; None for what is none."""
    try:
        return Parser.create().parse_override(line)
    except (BadInput, HydraException):
        return None
