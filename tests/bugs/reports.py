"""Public reports of wrong gradients: what each config of ``conf/report`` says, and which half was held out.

The half that is held out was not looked at while the diagnosis of layers was written.  It is chosen by the sha256 of a
report's name, and ``held_out.txt`` has its names as they were before.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "conf" / "report"
HELD_OUT = Path(__file__).with_name("held_out.txt")
PACKAGE, FOUND, SOURCE = "@package _global_", "Found by: ", "Source: "


@dataclass(frozen=True)
class Report:
    """One report, as the head of its config says it.

    wrong : what was wrong, in words.   formula : the same in symbols.   found : how it was found.   source : its address.
    """

    name: str
    wrong: str
    formula: str
    found: str
    source: str

    @property
    def held_out(self) -> bool:
        return held_out(self.name)


def held_out(name: str) -> bool:
    """Whether a report belongs to the half that was held out: the sha256 of its name is odd."""
    return hashlib.sha256(name.encode()).digest()[-1] % 2 == 1


def head(path: Path) -> Report:
    """What the comment says with which a report's config begins: four paragraphs after the package.

    Raises ValueError for a file with another head.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = [line.removeprefix("#").strip() for line in lines[: lines.index("defaults:")]]
    paragraphs = [" ".join(text.split("\n")) for text in "\n".join(comment[1:]).split("\n\n")]
    if comment[0] != PACKAGE or len(paragraphs) != 4:
        raise ValueError(f"{path.name}: needs {PACKAGE} and four paragraphs, has {len(paragraphs)}")
    wrong, formula, found, source = paragraphs
    if not found.startswith(FOUND) or not source.startswith(SOURCE):
        raise ValueError(f"{path.name}: the last paragraphs must begin with {FOUND!r} and {SOURCE!r}")
    return Report(path.stem, wrong, formula, found.removeprefix(FOUND), source.removeprefix(SOURCE))


def reports() -> list[Report]:
    """All reports, by name."""
    return [head(path) for path in sorted(FOLDER.glob("*.yaml"))]
