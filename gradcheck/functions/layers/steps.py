"""What was found out about each step of a backward pass, and which step is the first that is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gradcheck.functions.directions.outcome import DirectionalOutcome
from gradcheck.functions.outcome import Outcome

INPUT = "input"


class FirstWrong(NamedTuple):
    """The first wrong step of a backward pass, counted from the loss.

    index : of the layer; the number of layers for the loss.   layer : the layer, as it was given.
    name : ``input``, or the parameter whose gradient is wrong.
    """

    index: int  # type: ignore[assignment]  # the place of the layer, not the method of a tuple
    layer: object
    name: str


@dataclass(frozen=True)
class Step:
    """One step of the backward pass: a layer, or the loss.

    index, layer : as in FirstWrong.   label : its name in words, such as ``layers[2] Conv``.
    outcome : of the check of this layer alone; None where nothing could be checked.
    inputs, names : the gradients that it makes by its input, and all, the input's first.
    wrong : those that are wrong, in the same order.
    in_chain : what is wrong in the chain only, in words; empty where the layer itself is wrong, or nothing is.
    """

    index: int
    layer: object
    label: str
    outcome: Outcome | None
    inputs: tuple[str, ...]
    names: tuple[str, ...]
    wrong: tuple[str, ...] = ()
    in_chain: str = ""

    @property
    def breaks(self) -> bool:
        """Whether what is below is wrong because of this step."""
        return any(name in self.inputs for name in self.wrong)

    def _listed(self, names: Sequence[str]) -> str:
        words = [self._spoken(name) for name in names]
        return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"

    def _spoken(self, name: str) -> str:
        if name in self.inputs:
            return "its input gradient" if name == INPUT else f"the gradient of {name}"
        return f"d{name}" if name.isidentifier() else f"the gradient of {name}"

    def sentence(self, below: int) -> str:
        """What is right and what is wrong here, and what that means for so many layers below."""
        # the parameters first: the last word is where it goes on
        order = sorted(self.names, key=lambda name: name in self.inputs)
        right = [name for name in order if name not in self.wrong]
        wrong = [name for name in order if name in self.wrong]
        parts = [f"{self._listed(right)} {'is' if len(right) == 1 else 'are'} right"] if right else []
        parts.append(f"{self._listed(wrong)} {'is' if len(wrong) == 1 else 'are'} wrong")
        if below and self.breaks:
            after = "; everything below is wrong because of it"
        elif below:
            after = "; what is below does not depend on it"
        else:
            after = ""
        where = f" {self.in_chain}" if self.in_chain else ""
        return f"{self.label}: {', '.join(parts)}{after}.{where}"


def first_wrong(steps: Sequence[Step]) -> Step | None:
    """The first wrong step, of steps in the order of the backward pass."""
    return next((step for step in steps if step.wrong), None)


def wrong_names(outcome: Outcome, names: Sequence[str]) -> tuple[str, ...]:
    """The names whose gradients are a mismatch in an outcome, in the order of names."""
    found = {p for p, v in zip(outcome.table["param"], outcome.table["verdict"], strict=True) if v == "mismatch"}
    if isinstance(outcome, DirectionalOutcome):
        found |= {p.name for p in outcome.parameters if p.verdict == "mismatch"}
    if outcome.verdict == "mismatch" and not found:
        # a direction through all is wrong, and no single one
        return tuple(names)
    return tuple(name for name in names if name in found)
