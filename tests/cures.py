"""What a refusal of a data file tells the user to type, typed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from gradcheck.experiment.sources.file import File
from gradcheck.models.batch import Batch
from gradcheck.models.target import Target

KEYS = "features|na|sep|decimal|comment|target"
# An override in double quotes, in single ones (an apostrophe in them as shlex writes it), or in none.
_TYPED = re.compile(
    rf"""\"(data\.(?:{KEYS})=[^\"]*)\"|'(data\.(?:{KEYS})=(?:[^']|'\"'\"')*)'|(?<![\w.\"'])(data\.(?:{KEYS})=[^\s;]+)"""
)


def cures(message: str) -> Iterator[tuple[str, Any]]:
    """The keys of `data` and their values that a refusal says may be typed."""
    _, _, advice = message.partition("; ")
    for found in _TYPED.findall(f"; {advice}"):
        text = next(filter(None, found)).replace("'\"'\"'", "'").rstrip(",")
        try:
            override = OverridesParser.create().parse_override(text)
        except Exception:
            continue  # a key is named, without a value
        value = OmegaConf.to_container(OmegaConf.create({"value": override.value()}))
        assert isinstance(value, dict)
        if value["value"] not in (None, ""):
            yield override.key_or_group.partition(".")[2], value["value"]


def followed(
    path: Path, target: str, kind: Target, typed: dict[str, Any] | None = None, depth: int = 4
) -> Iterator[tuple[dict[str, Any], Batch, list[str]]]:
    """Each way to have a file read by typing what the refusals say: settings, examples, and the refusals on the way.

    Raises ValueError, the last refusal, where it says nothing that can be typed.
    """
    settings = {"target": target, **(typed or {})}
    try:
        source = File(str(path), **settings)
        source.validate()
        yield settings, source.batch(kind, np.dtype(np.float64)), []
        return
    except ValueError as error:
        said = str(error)
        assert "\n" not in said, said
    ways = list(cures(said)) if depth else []
    if not ways:
        raise ValueError(said)
    failed = ""
    read = False
    for key, value in ways:
        if settings.get(key) == value:
            continue
        try:
            for way, batch, before in followed(path, target, kind, {**settings, key: value}, depth - 1):
                read = True
                yield way, batch, [said, *before]
        except ValueError as error:
            failed = str(error)
    if not read:
        raise ValueError(failed or said)
