"""Text that somebody else wrote, made safe to print on a terminal."""

from __future__ import annotations

import re
import unicodedata

# Unicode categories of characters that turn around, hide or join their neighbours.  Right-to-left letters are not among them.
_ACTING = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def printable(text: object) -> str:
    """The text on one line, in which control characters and their kin are written as ``\\x1b``."""
    words = str(text)
    if words.isascii() and words.isprintable():  # nearly all text: a million of them take a second, not ten
        return words
    return "".join(
        character
        if unicodedata.category(character) not in _ACTING
        else character.encode("unicode_escape").decode()
        if not 0xD800 <= ord(character) <= 0xDFFF
        else f"\\u{ord(character):04x}"
        for character in words
    )


def printable_lines(text: str) -> str:
    """The same for text of several lines, which keeps their ends, and tabs."""
    return re.sub(r"[^\n\t]+", lambda found: printable(found[0]), text)
