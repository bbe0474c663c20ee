"""What stands in a square of a matrix, and what that means: in a terminal and in a notebook."""

from __future__ import annotations

from gradcheck.experiment.truth import Truth
from gradcheck.views.layout import BAD, GOOD, OPEN, Told
from gradcheck.views.matrix import Matrix, Square
from gradcheck.views.numbers import counted
from gradcheck.views.words import NO_BUG, NOT_ENOUGH, column, percent


def legend(found: Matrix) -> str:
    """What the numbers of the matrices are."""
    squares = found.squares
    told: dict[str, int] = {}
    for square in squares:
        for truth, count in square.told.items():
            told[truth] = told.get(truth, 0) + count
    words = []
    if any(Truth(truth).planted for truth in told):
        missed = "!n: n % missed; " if told.get(Truth.MISSED) else ""
        words.append(f"planted bugs caught, in %; {missed}the rest cannot be told")
    if told.get(Truth.RIGHT) or told.get(Truth.FALSE_ALARM):
        correct = told.get(Truth.RIGHT, 0) + told.get(Truth.FALSE_ALARM, 0)
        little = sum(square.little for square in squares)
        few = f", ?n: n % {NOT_ENOUGH}, {little:,} of {correct:,} in all" if little else ""
        words.append(f"{NO_BUG}: cells accused, in %{few}")
    if told.get(Truth.UNKNOWN):
        words.append("your own functions: cells that are a mismatch, in %")
    least, many = min(square.cells for square in squares), max(square.cells for square in squares)
    size = counted(many, "cell") if least == many else f"{least:,} to {many:,} cells"
    by = ["bug", column(found.axes.column or ""), *map(column, found.axes.facets)]
    words += [f"{column(name)} goes with {column(teller)}" for name, teller in found.paired]
    return f"by {', '.join(filter(None, by))}: {'; '.join(words)} ({size} a square)"


def share(square: Square, planted: bool) -> Told:
    """``83!5``: 83 % caught and 5 % missed; without a planted bug ``0?50``: none accused, half of them not judged enough."""
    n, told = square.cells, square.told
    if told.get(Truth.UNKNOWN):
        return Told(percent(square.wrong, n), BAD if square.wrong and not planted else "")
    if not planted:
        alarms = told.get(Truth.FALSE_ALARM, 0)
        few = f"?{percent(square.little, n)}" if square.little else ""
        return Told(percent(alarms, n) + few, BAD if alarms else OPEN if few else "")
    caught, missed = told.get(Truth.CAUGHT, 0), told.get(Truth.MISSED, 0)
    words = percent(caught, n) + (f"!{percent(missed, n)}" if missed else "")
    return Told(words, BAD if missed else GOOD if caught == n else OPEN)
