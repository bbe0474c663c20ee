"""Tables and text on a screen of any width: no line is longer, no word is lost, colours change nothing but colours."""

from __future__ import annotations

import io
import random
import re
import sys
from pathlib import Path

import pytest
from constructed import planned, result
from constructed import rows as cell_of

from gradcheck import show
from gradcheck.experiment.results.rows import cell_row
from gradcheck.experiment.results.writer import Writer
from gradcheck.views import layout, terminal
from gradcheck.views.layout import Table, lines, plain

SGR = re.compile(r"\x1b\[[\d;]*m")


class Terminal(io.StringIO):
    """A stream that somebody looks at."""

    def isatty(self) -> bool:
        return True


def drawn_table(draw: random.Random) -> Table:
    """A table of numbers and text; each word stands in it once."""
    word = (f"{'abcdefg'[k % 7] * draw.randint(1, 6)}{k}" for k in range(10_000))
    kinds = [draw.choice(["number", "word", "text"]) for _ in range(draw.randint(1, 14))]
    header = [next(word) for _ in kinds]

    def value(kind: str) -> object:
        if kind == "number":
            return draw.randint(-(10**6), 10**6)
        if draw.random() < 0.1:
            return layout.Told(next(word), draw.choice([layout.GOOD, layout.BAD]))
        return " ".join(next(word) for _ in range(1 if kind == "word" else draw.randint(1, 30)))

    body = [[value(kind) for kind in kinds] for _ in range(draw.randint(0, 6))]
    left = frozenset(name for name, kind in zip(header, kinds, strict=True) if kind != "number")
    title, note = (" ".join(next(word) for _ in range(draw.randint(0, 20))) for _ in range(2))
    return Table(title, header, body, note, left, keys=draw.randint(1, min(3, len(kinds))))


def words_of(table: Table) -> set[str]:
    texts = [table.title, table.note, *map(layout.short, table.header)]
    texts += [layout.short(value) for row in table.rows for value in row]
    return {word for text in texts for word in text.split()}


@pytest.mark.parametrize("seed", range(40))
def test_no_line_is_longer_than_the_screen_and_no_word_is_lost(seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(10):
        table, width = drawn_table(draw), draw.choice([40, 50, 60, 80, 120, 200])
        shown = list(lines(table, width))
        assert max(map(len, shown), default=0) <= width
        words = [word.removesuffix(":") for line in shown for word in line.split()]
        assert words_of(table) <= {*words}
        # whoever reads it meets no row more than twice
        assert all(words.count(layout.short(row[0]).split()[0]) <= layout.SPLIT for row in table.rows)


@pytest.mark.parametrize("width", range(8, 40))
def test_words_longer_than_the_screen_are_broken_and_not_cut(width: int) -> None:
    text = "".join(f"{k}," for k in range(60))
    table = Table("", ["weight", "n"], [[text, 123456]], left=frozenset({"weight"}))
    shown = list(lines(table, width))
    assert max(map(len, shown)) <= width
    assert sum(line.count(",") for line in shown) == 60
    (alone,) = [Table("", ["weight"], [[text]], left=frozenset({"weight"}))]
    assert "".join("".join(lines(alone, width)).split()) == f"weight{text}"


@pytest.mark.parametrize("seed", range(20))
def test_colours_change_nothing_but_colours(seed: int) -> None:
    draw = random.Random(seed)
    table, width = drawn_table(draw), draw.choice([50, 80, 200])
    painted = list(lines(table, width, terminal.painted))
    assert [SGR.sub("", line) for line in painted] == list(lines(table, width))
    assert any(map(SGR.search, painted))


def test_a_table_lines_up() -> None:
    table = Table("title", ["name", "x"], [["a", 1.5], ["long name", 2.5e-9]], "note", frozenset({"name"}))
    assert plain(table).splitlines() == [
        "title",
        " name             x",
        " a              1.5",
        " long name  2.5e-09",
        " note",
    ]


def test_columns_that_do_not_fit_stand_below_with_the_first_ones_again() -> None:
    table = Table("", ["bug", *"abcdef"], [["scale", *[10**6] * 6]], left=frozenset({"bug"}))
    assert [line.split()[0] for line in lines(table, 40)] == ["bug", "scale", "bug", "scale"]


def test_a_table_that_is_much_wider_is_shown_row_by_row() -> None:
    table = Table(
        "", ["bug", "worst weight", *"abcdefghij"], [["scale", "W[0,1]", *[10**6] * 10]], left=frozenset({"bug"})
    )
    assert list(lines(table, 40)) == [
        " bug: scale",
        "   worst weight: W[0,1]  a: 1000000",
        "   b: 1000000  c: 1000000  d: 1000000",
        "   e: 1000000  f: 1000000  g: 1000000",
        "   h: 1000000  i: 1000000  j: 1000000",
    ]
    assert [SGR.sub("", line) for line in lines(table, 40, terminal.painted)] == list(lines(table, 40))


def test_names_of_columns_are_wrapped_before_columns_are() -> None:
    table = Table("", ["eps", "worst rel_err", "visible from"], [["1e-04", "5.0e-02", "never"]])
    assert list(lines(table, 24)) == [
        "          worst  visible",
        "   eps  rel_err     from",
        " 1e-04  5.0e-02    never",
    ]


def test_a_command_to_copy_is_not_broken() -> None:
    command = "look   python -m gradcheck.show " + "/a/folder" * 20
    assert list(lines(command, 40)) == [command]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    with Writer(tmp_path / "run", {"gradcheck": "9.9"}) as writer:
        for i in range(12):
            writer.add(cell_of(i, n_weights=40))
            writer.add(cell_of(i + 100, "mismatch" if i % 3 else "match", "scale"))
        for i in range(60):
            writer.add(cell_row(planned(1000 + i), ValueError(f"reason_{i} {'with many words ' * 6}end_{i}"), 0.0))
    return tmp_path / "run"


def seen(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, width: int, *arguments: object) -> str:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("LINES", "24")
    monkeypatch.setattr(sys, "stdout", stream)
    assert show.main([str(one) for one in arguments]) == 0
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_is_wrapped_and_coloured_and_a_pipe_is_complete(
    run: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = seen(monkeypatch, Terminal(), width, run, "--all")
    assert "\x1b[32m" in coloured
    text = SGR.sub("", coloured)
    assert max(len(line) for line in text.splitlines() if "/" not in line) <= width
    assert "…" not in text
    monkeypatch.setenv("NO_COLOR", "1")
    assert seen(monkeypatch, Terminal(), width, run, "--all") == text
    piped = seen(monkeypatch, io.StringIO(), width, run)
    assert {f"{kind}_{i}" for i in range(60) for kind in ("reason", "end")} <= set(piped.split())
    assert "--all" not in piped
    # what a terminal does not show at once, it names
    short = seen(monkeypatch, Terminal(), width, run)
    assert "(first 20 of 60; --all shows every row)" in short


def test_wrong_weights_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = result(0, n_weights=40, verdict="mismatch")
    wrong = [31, 7, 22]
    odd.weights["verdict"] = ["mismatch" if i in wrong else "match" for i in range(40)]
    odd.weights["abs_err"][wrong] = [3.0, 2.0, 1.0]
    with Writer(tmp_path / "run", {}) as writer:
        writer.add(cell_row(planned(0), odd, 0.0))
    text = seen(monkeypatch, io.StringIO(), 80, tmp_path / "run", "--cell", planned(0).cell)
    names = [line.split()[0] for line in text.splitlines()[4:]]
    assert names[:3] == ["W[31,0]", "W[7,0]", "W[22,0]"]
    others = [f"W[{i},0]" for i in range(39) if i not in wrong]
    assert names[3:] == [*others, "b[0]"]
    short = seen(monkeypatch, Terminal(), 200, tmp_path / "run", "--cell", planned(0).cell)
    assert "(first 19 of 40; --all shows every one)" in short


def test_a_matrix_of_ten_steps_is_one_table_on_a_screen_of_80_columns() -> None:
    steps = [*(f"1e-0{k}" for k in range(1, 10)), "auto"]
    name = "float32, central, logistic"
    row = ["scale".ljust(len(name)), *["0?100"] * len(steps)]
    matrix = Table("", [name, *steps], [row], left=frozenset({name}), named=True)
    some = [*lines(matrix, 80)]
    assert max(map(len, some)) <= 80
    assert sum("scale" in line for line in some) == 1
    assert some[-2].split()[-len(steps) :] == steps
    assert "  ".join(steps[:9]) in next(lines(matrix, 120))  # where there is room columns stand apart
