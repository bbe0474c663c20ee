"""An outcome as HTML for a notebook: self-contained, readable on white and on black, every name escaped."""

from __future__ import annotations

import html
import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from gradcheck.functions.report import TITLES, Report
from gradcheck.functions.squares import COLOURS, Entries, svg

# Pictures of parameters that are shown, those with the worst entries first.
PICTURES = 12
# Longest name that is shown whole.
NAME = 60

BARS = {"analytic": COLOURS["mismatch"], "numeric": "#6b8fb5"}
LINE = "#8886"
TINT = "#8881"
MUTED = "opacity:.72"
WORDS = {
    "mismatch": "wrong",
    "match": "right",
    "inconclusive": "not judged",
    "nondifferentiable": "at a kink",
    "exempt": "exempt",
    "": "not looked at",
}


class Picture(NamedTuple):
    """A parameter, its entries, and what is said beside its name."""

    name: str
    entries: Entries
    remark: str = ""


class Pair(NamedTuple):
    """The analytic and the numeric derivative of a row of the report, for its bars."""

    analytic: float
    numeric: float


def page(verdict: str, report: Report, pictures: Sequence[Picture], pairs: Sequence[Pair]) -> str:
    """The report as HTML: a badge, the diagnosis, the entries of each parameter, the worst ones, advice."""
    parts = [_head(verdict, report), _diagnosis(report), _pictures(pictures), _table(report, pairs), _advice(report)]
    style = (
        "font-family:system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;font-size:13px;line-height:1.45;color:inherit;"
        f"max-width:720px;overflow-wrap:anywhere;border:1px solid {LINE};border-radius:8px;padding:12px 14px;margin:4px 0"
    )
    return f'<div class="gradcheck" style="{style}">{"".join(parts)}</div>'


def _head(verdict: str, report: Report) -> str:
    word, _, about = report.headline.partition("  ")
    badge = (
        f"display:inline-block;background:{COLOURS.get(verdict, COLOURS['inconclusive'])};color:#fff;font-weight:700;"
        "letter-spacing:.04em;border-radius:5px;padding:2px 9px;margin-right:9px"
    )
    return f'<div><span style="{badge}">{html.escape(word)}</span><span>{html.escape(about)}</span></div>'


def _diagnosis(report: Report) -> str:
    if not report.diagnosis:
        return ""
    style = f"border-left:3px solid {COLOURS['mismatch']};background:{TINT};padding:6px 10px;margin:10px 0 0;font-weight:600"
    return f'<div style="{style}">{html.escape(report.diagnosis)}</div>'


def _pictures(pictures: Sequence[Picture]) -> str:
    if not pictures:
        return ""
    worst = sorted(range(len(pictures)), key=lambda k: int(pictures[k].entries.ranks.min(initial=len(COLOURS))))
    # in the order of the parameters, those with the worst entries where not all are shown
    shown = [pictures[k] for k in sorted(worst[:PICTURES])]
    parts = []
    for picture in shown:
        drawn, note = svg(picture.entries)
        remark = "; ".join(filter(None, (picture.remark, note)))
        label = f"<b>{html.escape(_short(picture.name))}</b> <span style='{MUTED}'>{_shape(picture.entries.shape)}"
        label += f"{' · ' + html.escape(remark) if remark else ''}</span>"
        parts.append(f'<div style="margin:0 16px 8px 0"><div>{label}</div>{drawn}</div>')
    more = len(pictures) - len(shown)
    rest = f"<div style='{MUTED}'>… {more} more parameters, none of them worse</div>" if more else ""
    wrapped = f'<div style="display:flex;flex-wrap:wrap;margin-top:10px">{"".join(parts)}</div>'
    return wrapped + rest + _legend(pictures)


def _legend(pictures: Sequence[Picture]) -> str:
    counts: Counter[str] = Counter()
    names = list(COLOURS)
    for picture in pictures:
        for rank, name in enumerate(names):
            counts[name] += int((picture.entries.ranks == rank).sum())
    parts = [
        f'<span style="margin-right:14px;white-space:nowrap"><span style="display:inline-block;width:10px;height:10px;'
        f'background:{COLOURS[name]};border-radius:2px;margin-right:5px"></span>{counts[name]:,} {WORDS[name]}</span>'
        for name in ("match", "mismatch", "inconclusive", "nondifferentiable", "exempt", "")
        if counts[name]
    ]
    return f"<div>{''.join(parts)}</div>"


def _table(report: Report, pairs: Sequence[Pair]) -> str:
    if not report.rows:
        return ""
    cell = f"padding:3px 10px;border:0;border-top:1px solid {LINE};white-space:nowrap;background:none"
    left = f"{cell};text-align:left"
    right = f"{cell};text-align:right;font-variant-numeric:tabular-nums"
    heads = "".join(
        f'<th style="{right if k else left};font-weight:600">{title}</th>' for k, title in enumerate(TITLES)
    )
    legend = "".join(f'<span style="color:{colour}">■</span> {word} ' for word, colour in BARS.items())
    top = f'<tr style="background:none">{heads}<th style="{left};font-weight:400;{MUTED}">{legend}</th></tr>'
    body = "".join(
        f'<tr style="background:none"><td style="{left};font-weight:600">{html.escape(_short(row[0]))}</td>'
        + "".join(f'<td style="{right}">{html.escape(text)}</td>' for text in row[1:])
        + f'<td style="{cell}">{_bars(pair)}</td></tr>'
        for row, pair in zip(report.rows, pairs, strict=True)
    )
    more = f"<div style='{MUTED}'>… {report.more:,} more wrong ones</div>" if report.more > 0 else ""
    table = (
        f'<table style="border-collapse:collapse;margin:10px 0 2px;color:inherit;font-size:12px">{top}{body}</table>'
    )
    return f'<div style="overflow-x:auto">{table}</div>{more}'


def _bars(pair: Pair) -> str:
    """Both derivatives as bars on one scale, to the left where they are negative."""
    half, thick = 50.0, 5
    finite = [abs(v) for v in pair if math.isfinite(v)]
    largest = max(finite, default=0.0)
    parts = []
    for row, (value, colour) in enumerate(zip(pair, BARS.values(), strict=True)):
        if not math.isfinite(value):
            parts.append(f'<text x="{half + 3}" y="{6 + 7 * row}" font-size="7" fill="{colour}">{value}</text>')
            continue
        long = half * (abs(value) / largest) if largest else 0.0
        left = half - long if value < 0 else half
        parts.append(
            f'<rect x="{left:.1f}" y="{1 + 7 * row}" width="{max(long, 0.6):.1f}" height="{thick}" fill="{colour}"/>'
        )
    axis = f'<path d="M{half} 0v15" stroke="{LINE}"/>'
    return f'<svg width="100" height="15" aria-hidden="true" style="display:block">{axis}{"".join(parts)}</svg>'


def _advice(report: Report) -> str:
    lines = "".join(f"<li style='margin:0'>{html.escape(line)}</li>" for line in report.advice)
    listed = f'<ul style="margin:8px 0 0;padding-left:18px">{lines}</ul>' if lines else ""
    return f'{listed}<div style="margin-top:8px;{MUTED}">{html.escape(report.foot)}</div>'


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) if shape else "a number"


def _short(name: str) -> str:
    return name if len(name) <= NAME else name[: NAME - 1] + "…"
