"""The entries of a parameter as small squares, coloured by verdict: SVG for a notebook.

A matrix is a matrix of squares, a vector a strip, wrapped.  Where there are too many, each square is a block of entries and
has the colour of the worst one, so that a single wrong entry is seen.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

Array = np.ndarray

# The colours of verdicts, from the worst on, which people tell apart who do not tell red from green (Okabe and Ito, 2008), on
# white and on black alike.  An entry that was not looked at comes last.
COLOURS = {
    "mismatch": "#d5482f",
    "nondifferentiable": "#a879d1",
    "inconclusive": "#e0a526",
    "match": "#2f9e84",
    "exempt": "#9aa3ad",
    "": "#8884",
}
RANK = {verdict: rank for rank, verdict in enumerate(COLOURS)}
# Squares of one parameter at most, across and down at most, and pixels of a picture, across and down, and of a square at most.
SQUARES, ACROSS, DOWN, WIDE, HIGH, LARGE = 2_500, 80, 80, 560, 320, 13
# Wrong squares that say what they are when pointed at.
TITLED = 40
GAP = 0.12
# Squares of fewer pixels than these are drawn larger where they are wrong, by so much.
SMALL, BOLD = 8, 1.3


class Entries(NamedTuple):
    """The entries of one parameter: its shape, and the rank in ``COLOURS`` of each, flat.

    titles : what the squares of some entries say, by flat index.
    """

    shape: tuple[int, ...]
    ranks: Array
    titles: Mapping[int, str]


def ranks(size: int, index: Array, verdicts: Sequence[str]) -> Array:
    """The rank of each of ``size`` entries, of which those of ``index`` were looked at."""
    found = np.full(size, RANK[""], dtype=np.int8)
    found[np.asarray(index, dtype=np.intp)] = [RANK[v] for v in verdicts]
    return found


def svg(entries: Entries) -> tuple[str, str]:
    """A picture of the entries, and what one square is where it is several entries."""
    grid, titles, note = _grid(entries)
    rows, columns = grid.shape
    side = min(LARGE, WIDE / max(columns, 1), HIGH / max(rows, 1))
    parts = []
    for verdict, rank in reversed(RANK.items()):
        y, x = np.nonzero(grid == rank)
        if len(x):
            path = "".join(f"M{a} {b}h1" for a, b in zip(x.tolist(), y.tolist(), strict=True))
            # a small wrong square among many is drawn over its neighbours
            bold = f' stroke-width="{BOLD}" stroke-dasharray="none"' if verdict == "mismatch" and side < SMALL else ""
            parts.append(f'<path stroke="{COLOURS[verdict]}"{bold} d="{path}"/>')
    for (b, a), words in list(titles.items())[:TITLED]:
        parts.append(f'<path stroke="#0000" d="M{a} {b}h1"><title>{html.escape(words)}</title></path>')
    box = f'width="{columns * side:.0f}" height="{rows * side:.0f}" viewBox="0 -.5 {columns} {rows}"'
    style = "display:block;max-width:100%;height:auto"
    # each square is a dash, a gap shorter than its place
    dash = f'stroke-width="{1 - GAP:g}" stroke-dasharray="{1 - GAP:g} {GAP:g}" fill="none"'
    drawn = (
        f'<svg role="img" aria-label="entries by verdict" {box} style="{style}"><g {dash}>{"".join(parts)}</g></svg>'
    )
    return drawn, note


def _grid(entries: Entries) -> tuple[Array, dict[tuple[int, int], str], str]:
    """The ranks of the squares, the titles by row and column, and what a square is."""
    shape = entries.shape
    if len(shape) < 2:
        rows, columns, blocks = _strip(entries.ranks.size)
        # entries follow each other, block by block
        padded = np.full(rows * columns * blocks, RANK[""] + 1, dtype=np.int8)
        padded[: entries.ranks.size] = entries.ranks
        grid = padded.reshape(rows, columns, blocks).min(axis=2)
        at = {i: divmod(i // blocks, columns) for i in entries.titles}
        note = f"a square is {blocks} entries, coloured by the worst" if blocks > 1 else ""
        return grid, {at[i]: words for i, words in entries.titles.items()}, note
    down, across = shape[0], math.prod(shape[1:])
    tall, wide = _block(down, across)
    rows, columns = -(-down // tall), -(-across // wide)
    padded = np.full((rows * tall, columns * wide), RANK[""] + 1, dtype=np.int8)
    padded[:down, :across] = entries.ranks.reshape(down, across)
    grid = padded.reshape(rows, tall, columns, wide).min(axis=(1, 3))
    titles = {(i // across // tall, i % across // wide): words for i, words in entries.titles.items()}
    note = f"a square is {tall} × {wide} entries, coloured by the worst" if tall * wide > 1 else ""
    return grid, titles, note


def _strip(size: int) -> tuple[int, int, int]:
    """Rows, columns and entries in a square of a strip."""
    blocks = max(1, math.ceil(size / SQUARES))
    squares = math.ceil(size / blocks)
    columns = max(1, min(squares, ACROSS))
    return max(1, math.ceil(squares / columns)), columns, blocks


def _block(down: int, across: int) -> tuple[int, int]:
    """Rows and columns of entries in one square of a matrix."""
    wide = math.ceil(across / ACROSS)
    columns = math.ceil(across / max(wide, 1))
    tall = math.ceil(down / min(DOWN, SQUARES // max(columns, 1)))
    return max(tall, 1), max(wide, 1)
