"""The rules of gradcheck's columns beside the comparisons of their own tools, on the same numeric gradients.

``rule_<name>`` is written from a tool's published definition.  Here the code of the tool itself compares the claim with the
very same numeric gradient, and the share of the comparisons in which both do not agree is counted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np

from gradcheck.numerics.rules import RULES, Gradients
from tests.benchmarks.referee import corpus, parts
from tests.benchmarks.referee.case import Array
from tests.benchmarks.referee.originals import ORIGINALS
from tests.benchmarks.referee.tools.textbook import slopes

# The numeric gradients: central differences with these steps, a small one and a large one.
STEPS = (1e-6, 1e-3)
# Of so many disagreements of a rule the figures are kept.
KEPT = 5

# Accuses the claim a beside the numeric gradient n, both (n,) of the dtype in which the tool computes.
Original: TypeAlias = Callable[[Array, Array], bool]


@dataclass
class Port:
    """How often a port and its tool do not agree."""

    compared: int = 0
    apart: int = 0
    errors: int = 0  # the tool raised another error
    examples: list[dict[str, object]] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Of the comparisons those in which they do not agree."""
        return self.apart / max(1, self.compared)

    def values(self) -> dict[str, object]:
        """As plain values."""
        return {"compared": self.compared, "apart": self.apart, "errors": self.errors, "examples": self.examples}

    def add(self, rule: str, original: Original, claim: Array, numeric: Array, where: Mapping[str, object]) -> None:
        """Compare once."""
        try:
            accused = original(claim, numeric)
        except ImportError:
            raise
        except Exception:  # whatever a tool raises of NaN
            self.errors += 1
            return
        self.compared += 1
        of = Gradients(claim.astype(float), numeric.astype(float), str(claim.dtype))
        if bool(RULES[rule].accuses(of)) != accused:
            self.apart += 1
            if len(self.examples) < KEPT:
                gap = np.abs(of.analytic - of.numeric)
                i = int(np.argmax(gap))
                self.examples.append({**where, "entry": i, "a": of.analytic[i], "n": of.numeric[i], "tool": accused})


def compared(folder: Path, originals: Mapping[str, Callable[[], Original]] = ORIGINALS) -> dict[str, Port | str]:
    """Each rule beside its tool over the corpus of a folder; the word of a tool that is not here."""
    found: dict[str, Port | str] = {}
    ready: dict[str, Original] = {}
    for rule, load in originals.items():
        try:
            ready[rule] = load()
            found[rule] = Port()
        except ImportError as missing:
            found[rule] = str(missing)
    for where, claim, numeric in _pairs(folder):
        for rule, original in ready.items():
            port = found[rule]
            assert isinstance(port, Port)
            port.add(rule, original, claim, numeric, where)
    return found


def _pairs(folder: Path) -> Iterator[tuple[dict[str, object], Array, Array]]:
    """Claims and numeric gradients, in the dtype of each case."""
    for entry in parts.plan(folder) or []:
        with np.errstate(all="ignore"):
            case = corpus.case(entry)
            claim = np.asarray(case.claim, case.x.dtype)
            for step in STEPS:
                try:
                    numeric = slopes(case, step).astype(case.x.dtype)
                except ArithmeticError:  # outside of where the function is defined
                    continue
                if np.isfinite(numeric).all():
                    yield {"cell": entry.id, "family": entry.family, "step": step}, claim, numeric


def store(folder: Path) -> None:
    """Write what is found as JSON."""
    values = {rule: {"absent": one} if isinstance(one, str) else one.values() for rule, one in compared(folder).items()}
    (folder / "ports.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    store(Path(sys.argv[1]))
