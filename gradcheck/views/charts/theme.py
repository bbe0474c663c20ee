"""Colours of schemes and verdicts, and how charts look on a light page, on a dark one, and on paper."""

from __future__ import annotations

from gradcheck.experiment.truth import Truth
from gradcheck.numerics.schemes import SCHEMES
from gradcheck.numerics.verdict import VERDICTS

# Okabe and Ito's colours, which people with any kind of colour vision tell apart.  Their yellow and black are left out:
# yellow cannot be seen on white, black not on black.
BLUE, ORANGE, GREEN, RED, PINK, SKY, GREY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8c8c8c"
# Those of Paul Tol's muted colours that are told apart from all of these.
INDIGO, OLIVE, WINE = "#332288", "#999933", "#882255"
OF_SCHEMES = (BLUE, ORANGE, PINK, GREEN, INDIGO, RED, SKY, OLIVE, WINE)
VERDICT_COLOURS = dict(zip(VERDICTS, (BLUE, RED, GREY, ORANGE), strict=True))

# The shares of a square; a sign is drawn over each but the first (`detection`).
SHARE_COLOURS = {
    str(Truth.CAUGHT): BLUE,
    str(Truth.CANNOT_BE_TOLD): "#b9c0c9",
    str(Truth.MISSED): RED,
    str(Truth.FALSE_ALARM): PINK,
    str(Truth.UNKNOWN): ORANGE,
    "no mismatch": "#ffffff00",
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
