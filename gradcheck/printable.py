"""Text of others, in which no character acts on a terminal."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

# Letters of a right-to-left script are text; these turn around, hide or join what stands beside them.
_ACTING = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def printable(text: Any) -> str:
    """Text on one line in which no character acts on the terminal: control characters and the like become ``\\x1b``."""
    return "".join(
        character
        if unicodedata.category(character) not in _ACTING
        else character.encode("unicode_escape").decode()
        if not 0xD800 <= ord(character) <= 0xDFFF
        else f"\\u{ord(character):04x}"
        for character in str(text)
    )


def printable_lines(text: str) -> str:
    """The same for text of several lines, which keeps their ends, and tabs."""
    return re.sub(r"[^\n\t]+", lambda found: printable(found[0]), text)
