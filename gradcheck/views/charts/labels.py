"""Where the names of dots stand on a plane: beside their dots, over nothing else.

The page places them in the same way when it is filtered (``assets/labels.js``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

LETTER, LINE = 6.9, 12.5  # pixels of a letter and of a line of a name
DOT = 7.0  # half of the room of a dot
# How far a name may stand from its dot, and on which sides of it it is tried: across and down.
DISTANCES = (10.0, 18.0, 28.0, 40.0, 54.0, 70.0, 88.0, 108.0, 130.0, 160.0)
SIDES = (
    (1.0, 0.0),
    (-1.0, 0.0),
    (1.0, 1.0),
    (-1.0, 1.0),
    (1.0, -1.0),
    (-1.0, -1.0),
    (0.4, 1.0),
    (-0.4, 1.0),
    (0.4, -1.0),
    (-0.4, -1.0),
)
# What it costs, in pixels of distance, to cover a dot or a name, and to have a line over another line or a name.
COVERED, CROSSED = 1000.0, 150.0
ROUNDS = 3  # of choosing again beside all others


class Label(NamedTuple):
    """A name of one line or more beside a dot.

    x, y : the middle of its left edge, or of its right one where it stands left of its dot (`left`).
    far : whether it needs a line to its dot.
    """

    lines: tuple[str, ...]
    x: float
    y: float
    left: bool
    far: bool


Box = tuple[float, float, float, float]  # left, top, right, bottom
Line = tuple[float, float, float, float]  # from a dot to a name


def lines_of(names: Sequence[str], room: float) -> tuple[str, ...]:
    """Names with commas between them, in lines of at most so many pixels where none is longer."""
    lines: list[str] = []
    for i, name in enumerate(names):
        word = f"{name}," if i < len(names) - 1 else name
        if lines and (len(lines[-1]) + 1 + len(word)) * LETTER <= room:
            lines[-1] = f"{lines[-1]} {word}"
        else:
            lines.append(word)
    return tuple(lines)


def placed(dots: Sequence[tuple[float, float, tuple[str, ...]]], width: float, height: float) -> list[Label]:
    """A label for each dot (x, y, lines) of a plane of so many pixels, in their order.

    The nearest place is taken that lies on the plane and covers no dot, no name and no line.  The upper dots choose first, and
    of dots at one height the left ones; then each chooses again.
    """
    points: list[Box] = [(x - DOT, y - DOT, x + DOT, y + DOT) for x, y, _ in dots]
    found: dict[int, Label] = {}
    for _ in range(ROUNDS):
        for i in sorted(range(len(dots)), key=lambda i: (dots[i][1], dots[i][0])):
            others = [(dots[k], label) for k, label in found.items() if k != i]
            boxes = points + [_box(label) for _, label in others]
            lines = [(x, y, label.x, label.y) for (x, y, _), label in others if label.far]
            found[i] = _place(dots[i], boxes, lines, width, height)
    return [found[i] for i in range(len(dots))]


def _place(
    dot: tuple[float, float, tuple[str, ...]], boxes: Sequence[Box], lines: Sequence[Line], width: float, height: float
) -> Label:
    x, y, names = dot
    wide, high = max(map(len, names)) * LETTER, len(names) * LINE
    best, least = Label(names, x, y, False, True), math.inf
    for distance in DISTANCES:
        for across, down in SIDES:
            left = across < 0
            edge = max(x + across * distance, wide) if left else min(x + across * distance, width - wide)
            middle = min(max(y + down * distance, high / 2), height - high / 2)
            beside = down == 0 and distance == DISTANCES[0] and abs(edge - x) >= DOT
            label = Label(names, edge, middle, left, not beside)
            own, line = _box(label), (x, y, edge, middle)
            covered = sum(_meet(own, box) for box in boxes) + (own[0] < 0 or own[2] > width)
            cost = math.hypot(edge - x, middle - y) + COVERED * covered
            if cost >= least:
                continue
            crossed = (
                0 if beside else sum(_cross(line, one) for one in lines) + sum(_through(line, box) for box in boxes)
            )
            cost += CROSSED * (crossed + sum(_through(one, own) for one in lines))
            if cost < least:
                best, least = label, cost
    return best


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _through(line: Line, box: Box) -> bool:
    """Whether a line passes through a box that holds neither of its ends."""
    x, y, to_x, to_y = line
    if max(x, to_x) < box[0] or min(x, to_x) > box[2] or max(y, to_y) < box[1] or min(y, to_y) > box[3]:
        return False
    if any(box[0] <= a <= box[2] and box[1] <= b <= box[3] for a, b in ((x, y), (to_x, to_y))):
        return False
    corners = [(box[0], box[1]), (box[2], box[1]), (box[2], box[3]), (box[0], box[3])]
    return any(_cross(line, (*corners[k], *corners[(k + 1) % 4])) for k in range(4))


def _cross(a: Line, b: Line) -> bool:
    """Whether two lines cross; lines that only touch do not."""
    return _side(a, b[0], b[1]) * _side(a, b[2], b[3]) < 0 and _side(b, a[0], a[1]) * _side(b, a[2], a[3]) < 0


def _side(line: Line, x: float, y: float) -> float:
    return (line[2] - line[0]) * (y - line[1]) - (line[3] - line[1]) * (x - line[0])


def _box(label: Label) -> Box:
    wide, high = max(map(len, label.lines)) * LETTER, len(label.lines) * LINE
    start = label.x - wide if label.left else label.x
    return start, label.y - high / 2, start + wide, label.y + high / 2
