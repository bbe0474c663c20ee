"""The fenced blocks of the README.md files, and when what they print counts as what the page shows.

A ``sh`` or ``python`` block is run, in the order of the page, unless a comment on the line above its fence says
``<!-- not run: installs -->`` (or ``takes minutes``, ``takes an hour``, ``needs a cluster``, ``needs an account``).
``<!-- exits 1 -->`` says that the block ends with that status, not with 0; ``<!-- needs torch -->`` that it is run only
where that module is installed.  A ``text`` block that follows one of them
(blank lines apart) is what it prints on standard output.

Printed and shown text agree if, line by line and blanks apart,

- the words are the same; where both say such a thing, a run folder, a time of day, a date, a duration ("0.3 s"), a
  count of loss evaluations (steps are chosen by the noise that is measured) and an absolute path count as the same
  whatever they are;
- integers, powers of ten (1e-04) and the 16 hex digits of a cell are the same;
- a figure with a decimal point differs by at most one unit of the last digit shown, which covers a value that lies on
  the border of two roundings;
- a figure below 1e-6 in scientific notation agrees within a factor of ten: these are rounding noise, and another BLAS
  kernel sums in another order, so only their order of magnitude is the same on every machine;
- a line of three dots on the page stands for any number of lines.

Links between pages lead to files, and to headings by the names that GitHub gives them.

``python tests/readme.py`` prints the two commands of the first page that install, one a line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
# every page of the repository; a run folder that a user made has none
PAGES = [
    README,
    *sorted(path for top in ("conf", "gradcheck", "runs", "tests") for path in (ROOT / top).rglob(README.name)),
]
NOISE = Decimal("1e-6")

_FENCE = re.compile(r"^```(\w*)\s*$")
_FENCED = re.compile(r"(?ms)^(```+|~~~+).*?^\1\s*$")
_LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]*))?\)")
_MARK = re.compile(
    r"^<!--\s*(not run: (?:installs|takes (?:minutes|an hour)|needs a cluster|needs an account)|exits (\d+)|needs (\w+))\s*-->$"
)
# What differs from run to run and machine to machine; the longer alternatives first.
_MASKS = (
    (re.compile(r"\bruns/\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d-\d{6}"), "RUN"),
    (re.compile(r"(?<![\w.~-])(?:/[\w.+-]+){2,}/?"), "PATH"),
    (re.compile(r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?\b"), "DATE"),
    (re.compile(r"\b\d\d:\d\d:\d\d(?:\.\d+)?\b"), "TIME"),
    (re.compile(r"(?<![\w.])\d+(?:\.\d+)? ?(?:ms|s|min)\b"), "DURATION"),
    (re.compile(r"(?<![\w.])\d+ loss evaluations\b"), "EVALUATIONS"),
)
_TOKEN = re.compile(
    r"(?P<cell>\b[0-9a-f]{16}\b)"
    r"|(?P<figure>(?<![\w.])[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w]|\.\d))"
    r"|(?P<word>\w+|[^\w\s])"
)


@dataclass(frozen=True)
class Block:
    """A block that can be run.

    ``line``: where its fence is.  ``status``: how it exits.  ``needs``: a module.
    ``shown``: what it prints.  ``elsewhere``: is not run by the tests, it takes too long or needs several machines.
    """

    language: str
    text: str
    line: int
    installs: bool = False
    status: int = 0
    needs: str | None = None
    shown: str | None = None
    elsewhere: bool = False


def blocks(markdown: str) -> list[Block]:
    """The ``sh`` and ``python`` blocks of a page, in order, each with the output block that follows it."""
    found: list[Block] = []
    lines = markdown.splitlines()
    before = ""  # the line above the fence
    follows = False  # is the last thing on the page, blank lines apart, a block that can be run?
    i = 0
    while i < len(lines):
        opening = _FENCE.match(lines[i])
        if opening is None:
            follows = follows and not lines[i].strip()
            before = lines[i].strip()
            i += 1
            continue
        end = lines.index("```", i + 1)
        text = "\n".join(lines[i + 1 : end]) + "\n"
        if opening[1] in ("sh", "python"):
            mark = _MARK.match(before)
            said, status, needs = mark.groups() if mark is not None else ("", None, None)
            installs = said == "not run: installs"
            elsewhere = said.startswith("not run: ") and not installs
            found.append(Block(opening[1], text, i + 1, installs, int(status or 0), needs, elsewhere=elsewhere))
            follows = True
        else:
            if opening[1] == "text" and follows:
                found[-1] = replace(found[-1], shown=text)
            follows = False
        before = ""
        i = end + 1
    return found


def install_commands(markdown: str) -> list[str]:
    """The commands of the blocks that install, each one line."""
    return [block.text.strip() for block in blocks(markdown) if block.installs]


def anchors(markdown: str) -> set[str]:
    """The names by which links reach the headings of a page: as GitHub makes them, a second one of a name with -1."""
    found: dict[str, int] = {}
    names = set()
    for heading in re.findall(r"(?m)^#{1,6} +(.*?) *#*$", _FENCED.sub("", markdown)):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)  # a link is called by its text
        name = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        names.add(f"{name}-{found[name]}" if name in found else name)
        found[name] = found.get(name, 0) + 1
    return names


def dead_links(page: Path, markdown: str | None = None) -> list[str]:
    """The links of a page (to be read as ``markdown``, if given) to a file or a heading that is not there."""
    text = _FENCED.sub("", page.read_text(encoding="utf-8") if markdown is None else markdown)
    dead = []
    for match in _LINK.finditer(text):
        to = page.parent / match[1] if match[1] else page
        if not to.exists():
            dead.append(match[0])
        elif match[2] is not None:
            there = text if to == page else to.read_text(encoding="utf-8") if to.suffix == ".md" else ""
            if match[2] not in anchors(there):
                dead.append(match[0])
    return dead


def differences(shown: str, printed: str) -> list[str]:
    """What keeps ``printed`` from being what the README shows: one line for each difference, none if they agree."""
    want = [line for line in shown.splitlines() if line.strip()]
    have = [line for line in printed.splitlines() if line.strip()]
    return _align(want, have)


def _align(want: list[str], have: list[str]) -> list[str]:
    if "..." in (line.strip() for line in want):
        cut = [line.strip() for line in want].index("...")
        head, tail = want[:cut], want[cut + 1 :]
        found = _align(head, have[: len(head)])
        if found or not tail:
            return found
        rest = have[len(head) :]
        if "..." not in (line.strip() for line in tail):
            return _align(tail, rest[max(0, len(rest) - len(tail)) :])
        tries = [_align(tail, rest[k:]) for k in range(len(rest) + 1)]
        return min(tries, key=len)
    found = [f"shown {w!r}, printed {h!r}" for w, h in zip(want, have, strict=False) if not _same_line(w, h)]
    found += [f"shown {w!r}, not printed" for w in want[len(have) :]]
    found += [f"printed {h!r}, not shown" for h in have[len(want) :]]
    return found


def _same_line(shown: str, printed: str) -> bool:
    want, have = _tokens(shown), _tokens(printed)
    return len(want) == len(have) and all(_same_token(w, h) for w, h in zip(want, have, strict=True))


def _tokens(line: str) -> list[tuple[str, str]]:
    for pattern, name in _MASKS:
        line = pattern.sub(name, line)
    return [(match.lastgroup or "", match.group()) for match in _TOKEN.finditer(line)]


def _same_token(want: tuple[str, str], have: tuple[str, str]) -> bool:
    if want == have:
        return True
    if want[0] != "figure" or have[0] != "figure":
        return False
    return _same_figure(want[1], have[1])


def _same_figure(shown: str, printed: str) -> bool:
    w, h = Decimal(shown), Decimal(printed)
    scientific = "e" in shown.lower() and "e" in printed.lower()
    if scientific and 0 < abs(w) < NOISE and 0 < abs(h) < NOISE:
        return w * h > 0 and abs(w) <= 10 * abs(h) and abs(h) <= 10 * abs(w)
    if "." not in shown:
        return w == h and "." not in printed
    unit = Decimal(1).scaleb(int(w.as_tuple().exponent))
    return abs(w - h) <= unit


if __name__ == "__main__":
    print("\n".join(install_commands(README.read_text(encoding="utf-8"))))
