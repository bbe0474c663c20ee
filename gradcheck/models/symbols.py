"""A gradient in symbols: the steps of ``Parts`` as text, one of which the formula of a bug may replace.

``o`` are the outputs of a net and ``p`` its probabilities; ``*`` is elementwise; rows of X are examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

# The right steps, by the names of the methods of ``Parts``.  The examples themselves, which a bug may mistake too, are X and y.
STEPS: dict[str, str] = {
    "X": "X",
    "y": "y",
    "residual": "{outputs} - {y}",
    "probabilities": "exp(z_ik) / sum_m exp(z_im)",
    "output_derivative": "o * (1 - o)",
    "examples": "{delta}",
    "mean": "{total} / {n}",
    "activation_derivative": "g'({z})",
    "below": "{delta}",
    "weight": "{gradient}",
    "bias": "{gradient}",
    "data_term": "{gradient}",
    "penalty": "l2 {W}",
    "penalty_of_bias": "0",
    # images
    "window_start": "{p} times the stride",
    "kernel_gradient": "{gradient}",
    "turned_kernel": "{W} turned by 180 degrees",
    "unpadded": "{dx} without its border",
    "pool_choice": "the first maximum",
    "add_window": "the sum of {values}",
    # norms and dropout
    "norm_scale": " gamma",
    "norm_axes": "along the axes of the norm",
    "variance_path": "{derivative}",
    "mean_path": "{derivative}",
    "variance_count": "{m}",
    "scale_shift_sum": "the sum over the examples of {values}",
    "dropout_mask": "kept",
    "dropout_scale": " / (1 - {p})",
    # sequences
    "padded_tokens": "{d} where x_it is no padding",
    "token_rows": "sum_{{i,t: x_it = v}} {d}",
    "tied_output": "{gradient}",
    "real_steps": "real",
    "recurrent_path": "{dh}",
    "state_before": "{d}",
    "gate_derivative": "{gate} * (1 - {gate})",
    "reset_gate": "r",
    "cell_state": "{first} + {later}",
    "batch_first": "{d}",
    "last_step": "the last real step",
    "attention_weights": "softmax(S) over the steps that may be seen",
    "softmax_derivative": "A * (dA - sum_j A_j dA_j)",
    "attention_scale": "1/sqrt(k)",
    "merged_heads": "{d}",
    "shortcut": "d",
}


@dataclass(frozen=True)
class Symbols:
    """The steps of a backward pass in symbols.

    wrong : what stands for a step; that of one layer alone has its number behind the name, as ``weight_2``.
    """

    wrong: Mapping[str, str] = field(default_factory=dict)

    @property
    def layers(self) -> list[str]:
        """The numbers of the layers that have steps of their own."""
        return sorted({name.rpartition("_")[2] for name in self.wrong if name[-1].isdigit()})

    def step(self, name: str, layer: str = "", **symbols: str) -> str:
        """What a step makes of its symbols."""
        own = self.wrong.get(f"{name}_{layer}", self.wrong.get(name, STEPS[name]))
        return own.format(**symbols)


class Equations(NamedTuple):
    """A gradient: the derivatives by the parameters, and of what they are made; ``first`` is that by the first parameter."""

    derivatives: dict[str, str]
    made_of: dict[str, str]
    first: str


def product(first: str, second: str) -> str:
    """first * second, where a factor 1 is left out and a factor 0 takes all."""
    if "0" in (first, second):
        return "0"
    return first if second == "1" else f"({first}) * {second}"


def plus(*terms: str) -> str:
    """The sum of the terms that are not 0."""
    return " + ".join(term for term in terms if term != "0") or "0"
