"""The page of the bugs and the heads of their config files, as the classes say them.

As a script, ``python tests/bugs/catalogue.py`` writes them into ``conf/bug``.
"""

from __future__ import annotations

from pathlib import Path

from gradcheck.bugs.page import catalogue, header
from gradcheck.experiment.config.bug_help import bugs, models

FOLDER = Path(__file__).resolve().parents[2] / "conf" / "bug"
PAGE = FOLDER / "README.md"


def page() -> str:
    """What ``conf/bug/README.md`` must hold."""
    return catalogue(bugs(), models())


def head(name: str) -> str:
    """What the comment of a bug's config file must hold."""
    return header(bugs()[name], models())


def parts(path: Path) -> tuple[str, str]:
    """The comment with which a config file begins, and the rest."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    length = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    return "".join(lines[:length]).rstrip("\n"), "".join(lines[length:])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    for name in bugs():
        file = FOLDER / f"{name}.yaml"
        file.write_text(f"{head(name)}\n{parts(file)[1]}", encoding="utf-8")
