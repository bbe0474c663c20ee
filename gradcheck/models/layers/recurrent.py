"""Recurrence over time: the loop that is the same for all cells, and its way back."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from gradcheck.models.layers.layer import Layer, Params, Shape, require_count, require_steps
from gradcheck.models.parts import Parts
from gradcheck.models.symbols import Symbols, plus

Array = np.ndarray
State = tuple[Array, ...]


class Pass(NamedTuple):
    """What the way back needs: inputs (n, T, d), real steps (n, T), and of each step the state before it and its cache."""

    x: Array
    real: Array | None
    states: list[State]
    caches: list[Any]


class Back(NamedTuple):
    """The derivatives of one step: by its input's share of the gates x Wx + b, by the state's share h Wh, and by those parts of
    the state before it to which other paths lead, h first (None where there is no other path).
    """

    by_input: Array
    by_state: Array
    direct: tuple[Array | None, ...]


@dataclass(frozen=True)
class Recurrent(Layer[Pass]):
    """h_t from x_t and h_{t-1}: (n, T, d) -> (n, T, units), with Wx (d, g units), Wh (units, g units), b (g units,).

    The state begins with 0.  Through a padded step it passes unchanged, so that the last output is that of the last real step.

    real : which steps are, (n, T); None for all.   gates : g of the cell.   parts_of_state : 2 where the cell has a c beside h.
    """

    units: int = 1
    real: Array | None = field(default=None, compare=False, repr=False)

    gates: ClassVar[int] = 1
    parts_of_state: ClassVar[int] = 1
    steps: ClassVar[tuple[str, ...]] = ("real_steps", "recurrent_path", "state_before", "batch_first")

    @abstractmethod
    def step(self, by_input: Array, by_state: Array, state: State) -> tuple[State, Any]:
        """The state after a step, from x Wx + b, h Wh and the state before it; and what ``step_back`` needs."""

    @abstractmethod
    def step_back(self, cache: Any, dstate: State, parts: Parts) -> Back:
        """The derivatives of a step from those by the state after it."""

    def require(self) -> None:
        require_count("units", self.units, 1)

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        wide = self.gates * self.units
        tag = self.tag
        return {f"Wx{tag}": (shape[-1], wide), f"Wh{tag}": (self.units, wide), f"b{tag}": (wide,)}

    def output(self, shape: Shape) -> Shape:
        require_steps(shape)
        return (shape[0], self.units)

    def width(self, shape: Shape) -> int:
        return shape[0] * self.units * (2 * self.gates + self.parts_of_state)

    def forward(self, params: Params, x: Array) -> tuple[Array, Pass]:
        by_input = x @ params[f"Wx{self.tag}"] + params[f"b{self.tag}"]
        wh = params[f"Wh{self.tag}"]
        state: State = (np.zeros((len(x), self.units), by_input.dtype),) * self.parts_of_state
        out = np.empty((*x.shape[:2], self.units), by_input.dtype)
        states, caches = [], []
        for t in range(x.shape[1]):
            states.append(state)
            after, cache = self.step(by_input[:, t], state[0] @ wh, state)
            if self.real is not None:
                real = self.real[:, t, None]
                after = tuple(np.where(real, new, old) for new, old in zip(after, state, strict=True))
            state = after
            caches.append(cache)
            out[:, t] = state[0]
        return out, Pass(x, self.real, states, caches)

    def backward(self, params: Params, cache: Pass, dout: Array, parts: Parts) -> tuple[Array, dict[str, Array]]:
        x, wh = cache.x, params[f"Wh{self.tag}"]
        dout = parts.below(dout, self.number)
        real = None if cache.real is None else parts.real_steps(cache.real)
        dstate: State = (np.zeros_like(dout[:, 0]),) * self.parts_of_state
        dwh = np.zeros_like(wh)
        by_input = np.empty((x.shape[1], len(x), wh.shape[1]), dout.dtype)
        for t in reversed(range(x.shape[1])):
            dstate = (dstate[0] + dout[:, t], *dstate[1:])
            here = dstate
            if real is not None:
                here = tuple(np.where(real[:, t, None], d, 0) for d in dstate)
            back = self.step_back(cache.caches[t], here, parts)
            by_input[t] = back.by_input
            dwh += cache.states[t][0].T @ back.by_state
            before = self._before(back, parts.recurrent_path(back.by_state @ wh.T), parts)
            if real is not None:
                before = tuple(np.where(real[:, t, None], b, d) for b, d in zip(before, dstate, strict=True))
            dstate = before
        dx = parts.batch_first(by_input @ params[f"Wx{self.tag}"].T)
        rows = by_input.swapaxes(0, 1).reshape(-1, wh.shape[1])
        dwx = x.reshape(-1, x.shape[-1]).T @ rows
        return dx, {f"Wx{self.tag}": dwx, f"Wh{self.tag}": dwh, f"b{self.tag}": rows.sum(axis=0)}

    @staticmethod
    def _before(back: Back, recurrent: Array, parts: Parts) -> State:
        """The derivative by the state before a step."""
        direct = back.direct[0]
        dh = recurrent if direct is None else direct + recurrent
        others = (d for d in back.direct[1:] if d is not None)
        return tuple(parts.state_before(d) for d in (dh, *others))

    def derivatives_in_symbols(self, symbols: Symbols) -> dict[str, str]:
        return {
            "dWx": "sum_t x_t^T da_t",
            "dWh": f"sum_t h_{{t-1}}^T {self.by_state}",
            "db of a cell": "sum_{i,t} da_it",
        }

    # how the share of the state, and what else leads to the state before a step, are written
    by_state: ClassVar[str] = "da_t"
    direct_path: ClassVar[str] = "0"

    def made_of(self, symbols: Symbols) -> dict[str, str]:
        recurrent = symbols.step("recurrent_path", dh=f"{self.by_state} Wh^T")
        dh = plus(self.direct_path, recurrent)
        before, real = symbols.step("state_before", d=dh), symbols.step("real_steps")
        return {
            "dh_{t-1} of step t": f"{before} where step t is {real}, else dh_t",
            "dh_t": plus(symbols.step("below", delta="d_t"), "dh_t of step t+1"),
            "d below a recurrence": symbols.step("batch_first", d="da_t Wx^T"),
        }
