"""What check_layers says of networks with a planted mistake, and of right ones."""

from __future__ import annotations

from typing import NamedTuple

from layers.mistakes import Mistake
from layers.nets import net_of, planted

from gradcheck import check_layers


class Answer(NamedTuple):
    """named : whether the first wrong step is the layer with the mistake, and a gradient that is wrong there.

    accused : steps that are accused besides.
    """

    named: bool
    accused: list[str]


def answer(mistake: Mistake, seed: int, sample: int | None = None) -> Answer:
    """What is said of a random network with this mistake in it.   sample : entries of each layer that are checked."""
    net, index = planted(mistake, seed)
    r = check_layers(net.layers, net.x, net.loss, seed=seed, sample=sample)
    first = r.first_wrong
    step = [*net.layers, net.loss][index]
    named = first is not None and (first.index, first.layer) == (index, step) and first.name in mistake.gradients
    return Answer(named, [step.label for step in r.steps if step.wrong and step.index != index])


def accused(seed: int, sample: int | None = None) -> list[str]:
    """The steps of a right network that are accused."""
    net = net_of(seed)
    r = check_layers(net.layers, net.x, net.loss, seed=seed, sample=sample)
    return [step.label for step in r.steps if step.wrong]
