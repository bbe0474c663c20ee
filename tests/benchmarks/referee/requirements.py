"""What must hold of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from tests.benchmarks.referee import count

OWN = "gradcheck"
TOOLS, NAMED, APART = 12, 0.9, 0.01
# Written here: no tools of somebody else.
_HERE = frozenset({OWN, "textbook"})


class Requirement(NamedTuple):
    """A figure, what is required of it, what was found, and whether it holds."""

    figure: str
    required: str
    found: str
    holds: bool


def requirements(answers: pd.DataFrame, ports: Mapping[str, Mapping[str, object]]) -> list[Requirement]:
    """All figures."""
    own = answers[answers["tool"] == OWN]
    whole, said = count.plane(own), count.words(own)
    missed = int(own["n_missed"].fillna(0).gt(0).sum())
    packages = {str(tool).partition(" ")[0] for tool in answers["tool"]} - _HERE
    named = said.named_right / said.named if said.named else 0.0
    apart = [rule for rule, one in ports.items() if _share(one) > APART]
    return [
        Requirement("tools that were run", f"at least {TOOLS}", str(len(packages)), len(packages) >= TOOLS),
        Requirement("gradcheck: right gradients accused", "0", f"{whole.alarms} of {whole.right}", whole.alarms == 0),
        Requirement(
            "gradcheck: cases with an error above its own resolution, not a mismatch",
            "0",
            f"{missed} of {whole.wrong}",
            missed == 0,
        ),
        Requirement("gradcheck: no answer", "0", str(whole.silent), whole.silent == 0),
        Requirement(
            "gradcheck: the cause is named, of caught mistakes of 1% and more whose kind has a name",
            f"at least {NAMED:.0%}",
            f"{named:.1%} of {said.named}",
            named >= NAMED,
        ),
        _ahead(answers, "of all mistakes"),
        _ahead(count.undisturbed(answers), "float64 without noise"),
        Requirement("ports that disagree with their tool in more than 1%", "0", str(len(apart)), not apart),
    ]


def _share(port: Mapping[str, object]) -> float:
    compared, apart = port.get("compared"), port.get("apart")
    return apart / compared if isinstance(compared, int) and isinstance(apart, int) and compared else 0.0


def _ahead(answers: pd.DataFrame, where: str) -> Requirement:
    """Catches beside the best other tool whose limits are so loose that it has no false alarm either."""
    found = {
        str(tool): loose.plane.catching
        for tool, of in answers.groupby("tool", sort=True)
        if (loose := count.loosened(of)) is not None
    }
    own = found.pop(OWN)
    best = max(found, key=lambda tool: found[tool], default="")
    other = found.get(best, 0.0)
    return Requirement(
        f"catches without a false alarm, {where}: gradcheck over the best other tool",
        "ahead",
        f"{own:.1%} over {other:.1%} ({best}, limits loosened)",
        own > other,
    )
