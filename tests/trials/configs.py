"""Config files of a user, damaged at random: each is refused in one line that names the file and the line, or run as it says.

The files are small experiments under ``--config-dir``.  A damage flips, loses, doubles or exchanges bytes, signs or lines, or
writes the file in another encoding.
"""

from __future__ import annotations

import codecs
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

from .kills import Failure
from .overrides import LIMITS, once, ran

HEADER = "# @package _global_\n"
TEXTS = (
    HEADER
    + "# Größe und Schritt\ndefaults:\n  - override /model: mlp\n  - override /data: gaussian\n\neps: [1e-4, 1e-6]\n"
    "data:\n  n: 8\n  d: 2\n  seed: 3\nmodel:\n  layers: [3]\n  activation: 'tanh'\ninit:\n  seed: ${data.seed}\n",
    HEADER + "defaults:\n  - override /bug: scale\n  - _self_\n\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n"
    '      eps: 1e-4,1e-6\n      data.seed: "0,1"\ndata: {n: 8, d: 2}\nbug:\n  magnitude: 0.5 # the factor\n',
    HEADER + "defaults:\n  - override /data: values\n  - override /model: linear\ndata:\n  X:\n    - [1.0, 2.0]\n"
    "    - [0.5, -1]\n"
    "    - [2, 0.25]\n  y: [1, 2, 3]\nmodel:\n  reduction: half_mean\nscheme: five_point\ndtype: float64\n",
    HEADER + "defaults:\n  - override /model: one_d\n  - override /data: none\neps: ${logspace:-6,-2,3}\n"
    "model:\n  curve: &curve cubic\n"
    "  x: 2.0\nscheme: ${oc.env:GRADCHECK_NOT_SET,forward}\nhydra:\n  job:\n    name: >-\n      a name\n      of two lines\n",
    HEADER + "data:\n  n: 8\n  d: 2\ninit:\n  scale: 0.5\nmatch_at: 1e-3\nmin_judged: 0.5\nfail_on: never\n",
)
SIGNS = [
    *"\t[]{}:,'\"#&*!|>%@`-?\\$ \n",
    "\x00",
    "\x07",
    "\x85",
    "\ufeff",
    "é",
    "- ",
    ": ",
    "${",
    "}",
    "---\n",
    "!!",
    "<<: ",
]
TYPED = ("+experiment=mine", "--config-dir=conf", "progress=none", "engine=serial", *LIMITS)
NAME = "conf/experiment/mine.yaml"


def flipped(random: Random, text: str) -> bytes:
    """One bit of a few bytes."""
    content = bytearray(text.encode())
    for _ in range(random.choice([1, 1, 2, 4])):
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    return bytes(content)


def signs(random: Random, text: str) -> bytes:
    """A sign of YAML lost or added anywhere."""
    i = random.randrange(len(text))
    if random.random() < 0.5:
        places = [at for at, sign in enumerate(text) if sign in "[]{}:,'\"#&$-\n"]
        i = random.choice(places)
        return (text[:i] + text[i + 1 :]).encode()
    return (text[:i] + random.choice(SIGNS) + text[i + random.randrange(2) :]).encode()


def lines(random: Random, text: str) -> bytes:
    """A line lost, doubled, moved, exchanged or cut, as in a bad merge."""
    rows = text.splitlines(keepends=True)
    i, j = random.randrange(len(rows)), random.randrange(len(rows))
    kind = random.randrange(5)
    if kind == 0:
        del rows[i]
    elif kind == 1:
        rows.insert(j, rows[i])
    elif kind == 2:
        rows[i], rows[j] = rows[j], rows[i]
    elif kind == 3:
        rows[i] = rows[i][: random.randrange(len(rows[i]))] + "\n"
    else:
        rows.insert(
            i, random.choice(["<<<<<<< HEAD\n", "=======\n", "\tn: 5\n", "key\n", "- item\n", "...\n", "%YAML 1.1\n"])
        )
    return "".join(rows).encode()


def indents(random: Random, text: str) -> bytes:
    """Lines that begin in another column, or with tabs."""
    rows = text.splitlines(keepends=True)
    deep = [i for i, row in enumerate(rows) if row.startswith(" ")] or [0]
    for i in random.sample(deep, min(len(deep), random.choice([1, 1, 2, 9]))):
        rows[i] = random.choice(["\t" + rows[i].lstrip(), " " + rows[i], rows[i].lstrip(), rows[i].replace("  ", "\t")])
    return "".join(rows).encode()


def words(random: Random, text: str) -> bytes:
    """A word misspelt, lost or put in place of another: keys, values, choices of configs, references."""
    found = list(re.finditer(r"[A-Za-z_@][\w.]*", text))
    one, other = random.choice(found), random.choice(found)
    i = random.randrange(one.start(), one.end())
    new = random.choice(
        [text[one.start() : i] + text[i + 1 : one.end()], other[0], "", "null", "Nope", one[0] + "x", "[1, {a: 2}]"]
    )
    return (text[: one.start()] + new + text[one.end() :]).encode()


def encoded(random: Random, text: str) -> bytes:
    """The file as another program saves it."""
    code = random.choice(
        ["latin-1", "utf-16", "utf-16-be", "utf-32", "utf-8-sig", "cp1252", "utf-8 with another end of line"]
    )
    if code.startswith("utf-8 with"):
        return text.replace("\n", random.choice(["\r\n", "\r", "\u2028"])).encode()
    words = text.replace("# the", "# Größe, ½ of the", 1) if random.random() < 0.5 else text
    return (codecs.BOM_UTF8 if random.random() < 0.1 else b"") + words.encode(code, "replace")


def cut(random: Random, text: str) -> bytes:
    """The file up to some byte, as on a full disk; maybe filled up with zeros."""
    content = text.encode()
    kept = content[: random.randrange(len(content))]
    return kept + bytes(random.choice([0, 0, len(content) - len(kept)]))


DAMAGES: tuple[Callable[[Random, str], bytes], ...] = (flipped, signs, lines, indents, words, encoded, cut)


def judge(content: bytes, err: str) -> str | None:
    """What is wrong with how a damaged file was refused: the line must name it, and a line that it has."""
    match = re.search(rf"{NAME}, line (\d+): ", err)
    if match is None:
        return f"names no line of the file: {err[:300]!r}"
    rows = max(1, len(content.splitlines()), len(content.decode("utf-8", "replace").splitlines()))
    return None if 1 <= int(match[1]) <= rows else f"names line {match[1]} of {rows}"


def attempt(random: Random, folder: Path, damage: Callable[[Random, str], bytes]) -> tuple[int, str | None]:
    """One damage of one file: the exit status, and what is wrong."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "conf/experiment").mkdir(parents=True)
    text = random.choice(TEXTS)
    content = damage(random, text)
    (folder / NAME).write_bytes(content)
    typed = [*TYPED, "-m"] if random.random() < 0.3 else list(TYPED)
    ended = once(typed, folder)
    wrong = ended.wrong
    if wrong is None:
        wrong = judge(content, ended.err) if ended.status == 2 else ran(typed, folder, "conf")
    return ended.status, None if wrong is None else f"{damage.__name__} {content!r}: {wrong}"


def trial(folder: Path, files: int, number: int = 0) -> str:
    """So many damaged files.  Raises Failure."""
    random, counts, wrong = Random(number), Counter[int](), []
    for i in range(files):
        status, found = attempt(random, folder / "room", DAMAGES[i % len(DAMAGES)])
        counts[status] += 1
        if found is not None:
            wrong.append(found)
    if wrong:
        raise Failure(f"{len(wrong)} of {files}: " + " ;; ".join(wrong[:30]))
    told = ", ".join(f"{n} x {status}" for status, n in sorted(counts.items()))
    return f"{files} files, damaged in {len(DAMAGES)} ways (exit status {told}): each refusal names the file and a line of it"
