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


# --- the page ---------------------------------------------------------------------------------------------------------

ROOT = FOLDER.parents[1]
PAGE, ANSWERS = FOLDER / "README.md", ROOT / "runs" / "figures" / "reports.json"
INTRODUCTION = """\
# report

- **What it is for.** Each file is a public report of a gradient that somebody wrote by hand and wrote wrong: the mistake,
  in a small net, as the bug of [the catalogue](../bug/README.md) that makes it.
- **The way through it.** `+report=NAME` runs one, `+experiment=real_mistakes` runs all. The head of a file says what was
  wrong, in words and as a formula, how it was found, and where the report stands. This page is made of the heads, and of
  what the check answered.
- **How to add to it.** A file with such a head, and `python tests/bugs/answers.py`, which runs it and writes this page.
- **What it may import.** Nothing. A report is data.

```sh
python -m gradcheck.run +report=pool_assigns_nnlib
```

"""


def page(found: list[Report], answers: dict[str, dict[str, str]]) -> str:
    """What ``conf/report/README.md`` must hold: each report with the answer of the check, as ``answers.py`` stored it."""
    held, caught = (
        sum(one.held_out for one in found),
        sum(answer["verdict"] == "mismatch" for answer in answers.values()),
    )
    named = sum(answer["right"] == "yes" for answer in answers.values())
    counted = (
        f"Of {len(found)} reports the check calls {caught} a mismatch and names the kind of mistake in {named}, at the first"
        f" seed. The diagnosis was written without a look at the {held} that are marked *; the sha256 of a name chose them."
    )
    lines = [
        counted,
        "",
        "| report | what was wrong | how it was found | the bug | the answer |",
        "| --- | --- | --- | --- | --- |",
    ]
    for one in found:
        answer = answers[one.name]
        cells = (
            f"[{one.name}]({one.source}){'*' if one.held_out else ''}",
            f"{one.wrong} `{one.formula}`",
            one.found,
            f"`{answer['bug']}` in `{answer['model']}`",
            f"{answer['verdict']}, `{answer['kind']}`: {answer['words']}",
        )
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return INTRODUCTION + "\n".join(lines) + "\n"
