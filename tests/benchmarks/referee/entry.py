"""What draws a case again: plain values, the same on every machine."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Entry:
    """A function of the zoo by its name, or a net by the scientific config of its cell.

    source : ``zoo``, ``reports`` or ``nets``.   family : of the zoo, a report or a net.
    wrong : whether a mistake is planted, or left in.   seed : of the zoo.   form : the config as JSON; empty for the zoo.
    """

    source: str
    family: str
    point: str
    dtype: str
    wrong: bool
    noise: str = "none"
    scale: str = "one"
    seed: int = 0
    form: str = ""

    @property
    def text(self) -> str:
        """All of it as JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @property
    def id(self) -> str:
        """16 hex digits, as a cell of a run has."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]
