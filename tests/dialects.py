"""Random tables, written in random dialects by a writer of their own, and what a reader must say of them."""

from __future__ import annotations

import bz2
import gzip
import random
import string
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gradcheck.experiment.sources.file import File
from gradcheck.models.target import Binary, Real, Target

F64 = np.dtype(np.float64)
SEPS = {",": ",", ";": ";", "\t": "tab", "|": "|", " ": "blanks", "   ": "blanks", " \t": "blanks"}
LABELS = [("no", "yes"), ("2", "4"), ("-1", "1"), ("A", "B"), ("<=50K", ">50K"), ("False", "True"), ("1.5", "2.5")]
CURES = (
    *("data.sep=", "data.decimal=", "data.comment=", "data.na=", "data.features=", "data.target="),
    *("write", "name", "two classes"),
)
WORDS = ["NA", "", "?", "nan", "missing", "-", "."]  # for a missing value


@dataclass
class Written:
    """A table in a file, and what it holds.

    given : how it is written, as overrides of `data`.
    lacking : the rows without a value.
    doubtful : whether even with `given` it may be refused.
    """

    path: Path
    text: str
    target: str
    kind: Target
    X: np.ndarray
    y: np.ndarray
    given: dict[str, Any]
    lacking: list[int] = field(default_factory=list)
    word: str = ""
    doubtful: bool = False

    def batch(self, **settings: Any) -> Any:
        source = File(str(self.path), self.target, **settings)
        source.validate()
        return source.batch(self.kind, F64)


def number(r: random.Random) -> tuple[str, float]:
    """A number as somebody may write it, and its value."""
    how = r.randrange(8)
    if how == 0:
        text = str(r.randrange(-100, 2000))
    elif how == 1:
        text = repr(r.uniform(-1e3, 1e3))
    elif how == 2:
        text = f"{r.gauss(0, 1):.{r.randrange(1, 5)}f}"
    elif how == 3:
        text = f"{r.gauss(0, 1):.{r.randrange(1, 18)}e}"
    elif how == 4:
        text = repr(r.uniform(-1, 1) * 10.0 ** r.randrange(-300, 300))
    elif how == 5:
        text = f"+{r.randrange(1000)}.{r.randrange(10)}"
    elif how == 6:
        text = f"{r.randrange(10)}." if r.random() < 0.5 else f"-.{r.randrange(1, 999)}"
    else:
        text = f"{r.randrange(1, 1000)}.{r.randrange(1000):03d}"
    return text, float(text)


def name(r: random.Random, sep: str) -> str:
    """A name of a column."""
    letters = string.ascii_letters + "éß_" + ("" if sep.strip() == "" else "   .-/()#'")
    text = "".join(r.choice(letters) for _ in range(r.randrange(1, 9))).strip()
    return text if text and text[0].isalpha() else f"x{text}"


def written(r: random.Random, folder: Path) -> Written:
    """A random table in a random dialect."""
    sep = r.choice(list(SEPS))
    n, d = r.randrange(1, 12), r.randrange(1, 5)
    decimal = r.choice([".", ".", ","])
    quoted = (
        r.choice(["all", "none", "none", "needed"]) if decimal != "," or sep != "," else r.choice(["all", "needed"])
    )
    header, labelled = r.random() < 0.75, r.random() < 0.4
    names: list[str] = []
    while len(names) < d + 1:
        if (one := name(r, sep)).casefold() not in [old.casefold() for old in names]:
            names.append(one)
    at = r.randrange(d + 1)  # where the target stands
    values = [[number(r) for _ in range(d)] for _ in range(n)]
    rows = [[text.replace(".", decimal) for text, _ in row] for row in values]
    two = r.choice(LABELS)
    if labelled:
        chosen = [0, 1, *(r.randrange(2) for _ in range(n))][:n] if n > 1 else [0]
        targets, y = [two[i] for i in chosen], np.array(chosen, dtype=float)
        targets = [text.replace(".", decimal) for text in targets]
    else:
        drawn = [number(r) for _ in range(n)]
        targets, y = [text.replace(".", decimal) for text, _ in drawn], np.array([value for _, value in drawn])
    for row, text in zip(rows, targets, strict=True):
        row.insert(at, text)
    lacking, word = _without_values(r, rows, at, labelled, sep, quoted)
    comment = r.choice([None, None, None, "#", "%"])
    tails = comment is not None and r.random() < 0.3
    pad = r.choice(["", "", "", "before", "after", "both"]) if sep.strip() else ""
    lines = _lines(r, ([names] if header else []) + rows, sep, quoted, pad, comment, tails)
    end = r.choice(["\n", "\n", "\r\n"])
    text = end.join(lines) + (end if r.random() < 0.8 else "")
    if r.random() < 0.1:
        text = "\ufeff" + text
    X = np.array([[value for _, value in row] for row in values])
    given: dict[str, Any] = {"sep": SEPS[sep], "decimal": decimal}
    given |= {} if comment is None else {"comment": comment}
    given |= {"na": [word]} if lacking else {}
    doubtful = (labelled and pad != "") or n == 1 or len(lacking) >= n - 1
    doubtful |= labelled and len({targets[i] for i in range(n) if i not in lacking}) < 2
    if comment is not None:  # a sign in a name or a field that is not quoted begins a comment
        doubtful |= quoted != "all" and any(comment in one for one in names)
    path = folder / f"table{r.choice(['.csv', '.tsv', '.txt', '.data', ''])}"
    path = _saved(r, path, text)
    kind: Target = Binary(1) if labelled else Real(1)
    target = names[at] if header else f"f{at}"
    return Written(path, text, target, kind, X, y[:, None], given, lacking, word, doubtful)


def _without_values(
    r: random.Random, rows: list[list[str]], at: int, labelled: bool, sep: str, quoted: str
) -> tuple[list[int], str]:
    """Take values out of some rows; returns which, and the word that stands for them."""
    if r.random() < 0.7:
        return [], ""
    words = [word for word in WORDS if word or (sep.strip() and len(rows[0]) > 1) or quoted == "all"]
    word = r.choice(words)
    lacking = sorted(r.sample(range(len(rows)), r.randrange(1, len(rows) + 1) // 2))
    for i in lacking:
        rows[i][r.randrange(len(rows[i]))] = word
    return lacking, word


def _lines(
    r: random.Random,
    table: list[list[str]],
    sep: str,
    quoted: str,
    pad: str,
    comment: str | None,
    tails: bool,
) -> list[str]:
    lines = []
    above = comment is not None and r.random() < 0.8
    if above:
        lines += [
            f"{comment} {r.choice(['made by hand', 'a, b; c', 'units: m 1 2'])}" for _ in range(r.randrange(1, 3))
        ]
    for row in table:
        fields = []
        for text in row:
            special = any(sign in text for sign in ('"', sep[0], "\n")) or (comment is not None and comment in text)
            if quoted == "all" or (quoted == "needed" and (special or r.random() < 0.2)) or (special and sep != " "):
                text = '"' + text.replace('"', '""') + '"'
            before = " " if pad in ("before", "both") and fields else ""
            after = " " if pad in ("after", "both") and not text.startswith('"') else ""
            fields.append(before + text + after)
        line = sep.join(fields)
        if tails and r.random() < 0.5:
            line += f" {comment} {r.choice(['sic', 'see, below', '1 2'])}"
        lines.append(line)
        if comment is not None and r.random() < 0.2:
            lines.append(f"{comment}{r.choice([' a note', '1,2,3', ' 1;2'])}")
    return lines


def _saved(r: random.Random, path: Path, text: str) -> Path:
    content = text.encode()
    how = r.choice(["", "", "", ".gz", ".bz2", ".zst"])
    path = path.with_name(path.name + how)
    if how == ".zst":
        with pa.CompressedOutputStream(str(path), "zstd") as file:
            file.write(content)
    else:
        path.write_bytes({"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress}[how](content))
    return path


def outcome(table: Written, **settings: Any) -> str:
    """What happens to a table: ``read``, as it is to the bit, or the one line that refuses it.

    Raises AssertionError where it is read as another table, or the line names no cure.
    """
    try:
        batch = table.batch(**settings)
    except ValueError as error:
        words = str(error)
        assert "\n" not in words, words
        assert words.startswith("data."), words
        assert any(cure in words.partition(": ")[2] for cure in CURES), words
        return words
    for n in range(1, len(table.X) if not table.lacking else 0):
        try:
            some = table.batch(n=n, **settings)
        except ValueError:
            continue  # so few rows may be in doubt
        assert same(some.X, table.X[:n]), f"misread with n={n}: {some.X.tolist()}"
    kept = [i for i in range(len(table.X)) if i not in table.lacking]
    X, y = table.X[kept], table.y[kept]
    if "na" not in settings and table.lacking:  # a word for a missing label may be a label: the run says so
        may_be = isinstance(table.kind, Binary) and table.word in ("-", "missing")
        assert may_be, "a row without a value was taken"
        return "read"
    if batch.X.shape == X.shape and isinstance(table.kind, Binary) and len(set(y[:, 0])) < 2:
        y = batch.y  # one label is no two
    if not (same(batch.X, X) and same(batch.y, y)):
        raise AssertionError(f"misread: {batch.X.tolist()} {batch.y.tolist()} for {X.tolist()} {y.tolist()}")
    return "read"


def same(found: np.ndarray, expected: np.ndarray) -> bool:
    """Whether numbers are the same to the bit; -0 and 0 are, since a whole number has no sign of its zero."""
    return found.shape == expected.shape and bool(np.array_equal(found, expected))
