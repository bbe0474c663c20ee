"""An outcome as HTML: every entry by verdict, every name escaped, readable on white and on black, of bounded size."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gradcheck
from gradcheck.functions import notebook, squares
from gradcheck.functions.report import Report

Array = np.ndarray

# SVG elements that are closed where they are opened.
VOID = {"path", "rect", "br"}


class Page(HTMLParser):
    """The elements of a page, its text, and whether each is closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1
        self.open.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: str) -> Page:
    found = Page(page)
    assert found.open == []
    return found


def drawn(picture: str) -> dict[str, set[tuple[int, int]]]:
    """The squares of a picture by colour: (row, column)."""
    found: dict[str, set[tuple[int, int]]] = {}
    for colour, path in re.findall(r'<path stroke="(#\w+)"[^>]* d="([^"]*)"/>', picture):
        found[colour] = {(int(y), int(x)) for x, y in re.findall(r"M(\d+) (\d+)h1", path)}
    return found


HOSTILE = ["<script>alert(1)</script>", "b&b", "\"'><img src=x onerror=alert(1)>", "]]>", "</svg>", "x" * 500]


def wrong_and_right() -> gradcheck.Outcome:
    x0 = {name: np.arange(1.0, 3.0) for name in HOSTILE}
    return gradcheck.check_gradient(
        lambda p: sum(np.sum(np.exp(v)) for v in p.values()), lambda p: {k: 2 * np.exp(v) for k, v in p.items()}, x0
    )


def along_directions() -> gradcheck.Outcome:
    def jac(W: Array) -> Array:
        g = np.cos(W)
        g[30:33, 7] *= 2
        return g

    x0 = np.random.default_rng(0).normal(size=(60, 50))
    return gradcheck.check_gradient(lambda W: np.sum(np.sin(W)), jac, x0)


OUTCOMES: dict[str, Callable[[], gradcheck.Outcome]] = {
    "wrong": wrong_and_right,
    "directions": along_directions,
    "right": lambda: gradcheck.check_gradient(lambda x: x @ x, lambda x: 2 * x, np.ones(5)),
    "exempt": lambda: gradcheck.check_gradient(lambda x: x[0] ** 2, lambda x: [2 * x[0], 0], [1.0, 2.0]),
    "points": lambda: gradcheck.check_gradient(lambda x: x @ x, lambda x: x, np.arange(4.0), points=3),
    "a number": lambda: gradcheck.check_gradient(lambda x: x**2, lambda x: x, 3.0),
}


@cache
def outcome(name: str) -> gradcheck.Outcome:
    """One of them, measured when the first test asks for it, and not where the tests are only collected."""
    return OUTCOMES[name]()


EVERY = pytest.mark.parametrize("name", OUTCOMES)


@EVERY
def test_it_is_whole_and_says_what_print_says(name: str) -> None:
    r = outcome(name)
    page = read(r._repr_html_())
    word, _, about = str(r).splitlines()[0].partition("  ")
    for words in filter(None, (word, about, r.diagnosis, str(r).splitlines()[-1])):
        assert words in page.text
    wrong = sum(v == "mismatch" for v in r.table["verdict"])
    assert page.seen["tr"] == (min(wrong, 5) + 1 if wrong else 0)


@EVERY
def test_it_needs_nothing_from_elsewhere_and_runs_nothing(name: str) -> None:
    page = read(outcome(name)._repr_html_())
    assert not page.seen.keys() & {"script", "link", "img", "iframe", "style", "object", "a"}
    for _, attribute, value in page.attributes:
        assert not attribute.startswith("on")
        assert not attribute.endswith(("href", "src"))
        assert "url(" not in value


def test_names_of_strangers_are_text() -> None:
    page = read(outcome("wrong")._repr_html_())
    for name in HOSTILE[:-1]:
        assert name in page.text
    assert "x" * (notebook.NAME - 1) + "…" in page.text  # a long name is cut beside its picture


def test_a_name_that_is_not_escaped_is_seen() -> None:
    entries = squares.Entries((2,), np.zeros(2, dtype=np.int8), {0: "a<b>"})
    page = notebook.page("match", Report("MATCH  x", None, [], 0, [], ""), [notebook.Picture("<b>", entries)], [])
    with pytest.raises((AssertionError, IndexError)):
        read(page.replace("&lt;b&gt;", "<i>"))


@EVERY
def test_colours_are_those_of_the_page_around_it_but_for_the_badge(name: str) -> None:
    """A text colour of its own would be unreadable on white or on black; so would a background under inherited text."""
    styles = [value for tag, attribute, value in read(outcome(name)._repr_html_()).attributes if attribute == "style"]
    own = [s for s in styles if re.search(r"(?<![-\w])color:(?!inherit)", s)]
    assert sum("background:#" in s and "color:#fff" in s for s in own) == 1
    assert all("color:#fff" in s or re.fullmatch(r"color:#\w{6}", s) for s in own)
    # what lies behind inherited text lets it through
    grounds = {
        s for s in styles if (g := re.search(r"background:(#\w+)", s)) and len(g[1]) == 7 and "width:10px" not in s
    }
    assert all("color:#fff" in s for s in grounds)


def luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(one: float, two: float) -> float:
    return (max(one, two) + 0.05) / (min(one, two) + 0.05)


@pytest.mark.parametrize("verdict", [v for v in squares.COLOURS if v])
def test_a_colour_is_seen_on_white_and_on_black(verdict: str) -> None:
    colour = luminance(squares.COLOURS[verdict])
    # 3 is what WCAG 2.1 asks for of graphics, 1.4.11; a square of a light colour may have 2 on white, its neighbours show it
    assert contrast(colour, 1.0) >= 2.0
    assert contrast(colour, luminance("#111418")) >= 3.0


@settings(max_examples=40)
@given(st.data())
def test_one_wrong_entry_is_one_square_at_its_place(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 90), min_size=0, max_size=3), label="shape"))
    size = int(np.prod(shape))
    at = data.draw(st.integers(0, size - 1), label="entry")
    verdicts = ["match"] * size
    verdicts[at] = "mismatch"
    picture, note = squares.svg(squares.Entries(shape, squares.ranks(size, np.arange(size), verdicts), {at: "here"}))
    found = drawn(picture)
    wrong, right = found[squares.COLOURS["mismatch"]], found.get(squares.COLOURS["match"], set())
    assert len(wrong) == 1
    assert not wrong & right
    assert len(right) <= squares.SQUARES
    assert bool(note) == (len(right) + 1 < size)
    ((y, x),) = wrong
    if len(shape) >= 2:
        row, column = divmod(at, int(np.prod(shape[1:])))
        tall, wide = map(int, re.findall(r"(\d+) × (\d+)", note)[0]) if note else (1, 1)
        assert (y, x) == (row // tall, column // wide)
    assert picture.count("<title>here</title>") == 1


@settings(max_examples=30)
@given(st.data())
def test_every_entry_has_the_colour_of_its_verdict(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 12), st.integers(1, 12)), label="shape")
    names = list(squares.COLOURS)[:-1]
    verdicts = data.draw(st.lists(st.sampled_from(names), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]))
    size = len(verdicts)
    found = drawn(squares.svg(squares.Entries(shape, squares.ranks(size, np.arange(size), verdicts), {}))[0])
    for name in names:
        expected = {divmod(i, shape[1]) for i, v in enumerate(verdicts) if v == name}
        assert found.get(squares.COLOURS[name], set()) == expected


@pytest.mark.parametrize("shape", [(10_000,), (100, 100), (10, 1000), (1000, 10), (10, 10, 10, 10), (2, 5000)])
def test_ten_thousand_weights_take_less_than_a_hundred_kilobytes(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    verdicts = rng.choice(list(squares.COLOURS)[:-1], 10_000).tolist()
    titles = {i: f"x[{i}]: 1.234e-01 for 5.678e-01" for i, v in enumerate(verdicts) if v == "mismatch"}
    entries = squares.Entries(shape, squares.ranks(10_000, np.arange(10_000), verdicts), titles)
    report = Report("MISMATCH  some", "words", [("x[1]", *["1.234e-01"] * 5)] * 5, 5, ["advice"] * 4, "foot")
    page = notebook.page("mismatch", report, [notebook.Picture("x", entries)], [notebook.Pair(1.0, -2.0)] * 5)
    assert len(page.encode()) < 100_000


def test_many_parameters_are_cut_to_those_with_the_worst_entries() -> None:
    right, wrong = (np.full(3, squares.RANK[v], dtype=np.int8) for v in ("match", "mismatch"))
    pictures = [notebook.Picture(f"p{k}", squares.Entries((3,), wrong if k == 70 else right, {})) for k in range(100)]
    page = read(notebook.page("mismatch", Report("MISMATCH  x", None, [], 0, [], ""), pictures, []))
    assert page.seen["svg"] == notebook.PICTURES
    assert "p70" in page.text
    assert "88 more parameters, none of them worse" in page.text
    assert "297 right" in page.text


def test_directions_say_what_was_not_looked_at() -> None:
    r = outcome("directions")
    page = read(r._repr_html_())
    looked = len(r.table["flat_index"])
    assert f"{3000 - looked:,} not looked at" in page.text
    assert "along a direction wrong" in page.text


@pytest.mark.parametrize(("a", "n"), [(1.0, -2.0), (0.0, 0.0), (np.nan, 1.0), (np.inf, -1.0), (1e-300, 1e300)])
def test_bars_of_any_numbers_are_drawn(a: float, n: float) -> None:
    report = Report("MISMATCH  x", None, [("x[0]", *[""] * 5)], 0, [], "")
    page = read(notebook.page("mismatch", report, [], [notebook.Pair(a, n)]))
    widths = [float(v) for tag, name, v in page.attributes if tag == "rect" and name == "width"]
    assert all(0 < w <= 50 for w in widths)
    assert len(widths) == np.isfinite([a, n]).sum()
