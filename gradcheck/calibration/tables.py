"""What the command shows of a calibration."""

from __future__ import annotations

from collections.abc import Sequence

from gradcheck.calibration.figures import Figures, RuleRow, rule_table
from gradcheck.calibration.requirements import Requirement
from gradcheck.views.layout import Table


def must_hold(rows: Sequence[Requirement]) -> Table:
    """What must hold, a row a requirement."""
    words = {True: "yes", False: "NO", None: "-"}
    return Table(
        "what must hold",
        ["figure", "required", "found", "of", "holds"],
        [[*row[:4], words[row.holds]] for row in rows],
        left=frozenset({"figure"}),
    )


def tables(figures: Figures, rows: Sequence[Requirement]) -> list[Table | str]:
    """The heading, what must hold, the worst false alarms, and the rules side by side."""
    correct = sum(figures.correct.values())
    heading = f"{figures.cells} cells, {correct} correct weights and {figures.wrong} wrong ones"
    shown: list[Table | str] = [heading, must_hold(rows)]
    if figures.examples:
        header = ["cell", "flat_index", "times_bound", "model", "start", "data_scale", "dtype", "scheme", "eps"]
        worst = [[alarm._asdict()[name] for name in header] for alarm in figures.examples]
        shown.append(Table("the worst false alarms", header, worst, left=frozenset({"cell", "model", "start"})))
    return [*shown, _rules(rule_table(figures))]


def _rules(rows: Sequence[RuleRow]) -> Table:
    """The rules side by side, at every second magnitude."""
    magnitudes = sorted({m for row in rows for m in row["caught"]}, key=float)[::2]
    return Table(
        "rules side by side: correct cells accused, and bugs caught (and missed although the numbers show them) by their size",
        ["rule", "false alarms", *magnitudes],
        [
            [
                row["rule"],
                f"{row['accused'] / row['correct']:.1%}" if row["correct"] else "-",
                *(
                    f"{row['caught'][m]:.0%} ({row['missed'][m]:.0%})" if m in row["caught"] else "-"
                    for m in magnitudes
                ),
            ]
            for row in rows
        ],
        left=frozenset({"rule"}),
    )
