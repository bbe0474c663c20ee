"""Colours of schemes and verdicts, and how charts look on a light page, on a dark one, and on paper."""

from __future__ import annotations

from gradcheck.experiment.truth import Truth
from gradcheck.numerics.schemes import SCHEMES
from gradcheck.numerics.verdict import VERDICTS
from gradcheck.views.words import NOT_ACCUSED, NOT_ENOUGH

# On a light page and on paper.  Each has a contrast of 3 with white; the more a colour has to say, the more it has.
MAGENTA, RED, OCHRE, BLUE, GREY = "#8f1a5e", "#a84300", "#8a6100", "#2b7fb8", "#8c949e"
GREEN, VIOLET, TEAL, OLIVE, BROWN = "#00855f", "#6a58c8", "#007f8c", "#6f7a00", "#8c5a44"
OF_SCHEMES = (BLUE, OCHRE, VIOLET, GREEN, RED, TEAL, MAGENTA, OLIVE, BROWN)
# The same on a dark page.
DARK = {
    MAGENTA: "#ffa3d3",
    RED: "#ff9152",
    OCHRE: "#d99a20",
    BLUE: "#4a9bd6",
    GREY: "#6b7480",
    GREEN: "#2fb98a",
    VIOLET: "#a79af0",
    TEAL: "#3fb6c4",
    OLIVE: "#b3bd3a",
    BROWN: "#cf9a80",
}
VERDICT_COLOURS = dict(zip(VERDICTS, (BLUE, RED, GREY, OCHRE), strict=True))

# The shares of a square.  A sign is drawn over each but the first (`detection`).
SHARE_COLOURS = {
    str(Truth.CAUGHT): BLUE,
    str(Truth.CANNOT_BE_TOLD): GREY,
    str(Truth.MISSED): RED,
    str(Truth.FALSE_ALARM): MAGENTA,
    str(Truth.UNKNOWN): OCHRE,
    NOT_ENOUGH: GREY,
    NOT_ACCUSED: "#ffffff00",
}


def _theme(ink: str, faint: str, font_size: int, background: str | None) -> dict[str, object]:
    """A Vega-Lite config: colours of text and of lines, size of the text, and the background."""
    text = {"labelColor": ink, "titleColor": ink, "labelFontSize": font_size, "titleFontSize": font_size}
    return {
        "background": background,
        "font": "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', Arial, sans-serif",
        "view": {"stroke": faint},
        "axis": {
            **text,
            "titleFontWeight": "normal",
            "domainColor": faint,
            "tickColor": faint,
            "gridColor": faint,
            "gridOpacity": 0.45,
            "labelLimit": 220,
        },
        "legend": {**text, "titleFontWeight": "normal", "symbolStrokeWidth": 2, "labelLimit": 220},
        "header": text,
        "title": {"frame": "group", "color": ink, "fontSize": font_size + 1, "fontWeight": "normal", "anchor": "start"},
        "text": {"color": ink, "fontSize": font_size - 1},
        "concat": {"spacing": 14},
    }


THEMES = {
    "light": _theme("#22272e", "#c4c9d0", 12, None),
    "dark": _theme("#e3e6ea", "#4a515b", 12, None),
    "paper": _theme("#000000", "#b0b0b0", 12, "#ffffff"),
}


def scheme_colours() -> dict[str, str]:
    """The colour of each scheme; beyond nine of them colours return, and the shapes of the points tell them apart."""
    return {name: OF_SCHEMES[i % len(OF_SCHEMES)] for i, name in enumerate(SCHEMES)}
