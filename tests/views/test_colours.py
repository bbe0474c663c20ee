"""Colours of charts: each is seen on its page, and the more it has to say the more it stands out, on either page."""

from __future__ import annotations

import itertools

import pytest

from gradcheck.experiment.truth import Truth
from gradcheck.views.charts import theme

PAGES = {"light": "#ffffff", "paper": "#ffffff", "dark": "#14171b"}
# What deserves a look, first what deserves it most.
SHARES = (Truth.FALSE_ALARM, Truth.MISSED, Truth.UNKNOWN, Truth.CAUGHT, Truth.CANNOT_BE_TOLD)
VERDICTS = ("mismatch", "nondifferentiable", "match", "inconclusive")


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(colour: str, page: str) -> float:
    a, b = sorted((luminance(colour), luminance(PAGES[page])))
    return (b + 0.05) / (a + 0.05)


def on(page: str, colour: str) -> str:
    return theme.DARK[colour] if page == "dark" else colour


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    "colours",
    [[theme.SHARE_COLOURS[str(one)] for one in SHARES], [theme.VERDICT_COLOURS[one] for one in VERDICTS]],
    ids=["shares", "verdicts"],
)
def test_what_matters_more_stands_out_more(page: str, colours: list[str]) -> None:
    found = [contrast(on(page, colour), page) for colour in colours]
    assert all(a > b for a, b in itertools.pairwise(found)), found
    assert found[-1] >= 3


@pytest.mark.parametrize("page", PAGES)
def test_every_colour_of_a_mark_is_seen(page: str) -> None:
    marks = {*theme.OF_SCHEMES, *theme.VERDICT_COLOURS.values(), *theme.DARK}
    assert marks == set(theme.DARK)
    assert min(contrast(on(page, colour), page) for colour in marks) >= 3


@pytest.mark.parametrize("page", PAGES)
def test_text_of_charts_can_be_read(page: str) -> None:
    found = theme.THEMES[page]
    texts = [found["axis"][name] for name in ("labelColor", "titleColor")] + [found["legend"]["labelColor"]]  # type: ignore[index]
    texts += [found["title"]["color"], found["text"]["color"]]  # type: ignore[index]
    assert min(contrast(str(colour), page) for colour in texts) >= 4.5
