"""What a library says of an input, and what is known of its cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from omegaconf.errors import OmegaConfBaseException

from gradcheck.experiment.config.written import Files


@dataclass(frozen=True)
class Said:
    """What an error says, and what is known of its cause.

    message : its text.
    overrides : the command line.
    typed : the override that the message names, as it was typed.
    raw : interpolations as they were written, by their full keys.
    files : the config files that the user brought along.
    about : the key that was read.
    """

    message: str
    overrides: Sequence[str] = ()
    typed: str | None = None
    raw: Mapping[str, str] = field(default_factory=dict)
    files: Files = field(default_factory=Files)
    about: str = ""

    def override_of(self, key: str) -> str | None:
        """The last override of a key, or of the group of this name, as it was typed."""
        same = (key, key.replace(".", "/"))
        return next((line for line in reversed(self.overrides) if key_of(line) in same), None)


def key_of(override: str) -> str:
    """The key of an override, without its sign."""
    return override.lstrip("+~").partition("=")[0]


def told(error: OmegaConfBaseException) -> tuple[str, str]:
    """The full key that an error of OmegaConf is about, and the first line of its message."""
    lines = str(error.msg or error).splitlines()
    return str(error.full_key or ""), lines[0] if lines else type(error).__name__
