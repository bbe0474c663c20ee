"""The cells of a recurrence: what one step of time computes, and its way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gradcheck.models.activations import ACTIVATIONS
from gradcheck.models.functions import sigmoid, tanh
from gradcheck.models.layers.recurrent import Back, Recurrent, State
from gradcheck.models.parts import Parts
from gradcheck.models.symbols import Symbols

Array = np.ndarray


@dataclass(frozen=True)
class RNN(Recurrent):
    """h_t = tanh(x_t Wx + b + h_{t-1} Wh)."""

    steps = (*Recurrent.steps, "activation_derivative")

    def step(self, by_input: Array, by_state: Array, state: State) -> tuple[State, tuple[Array, Array]]:
        a = by_input + by_state
        h = tanh(a)
        return (h,), (a, h)

    def step_back(self, cache: tuple[Array, Array], dstate: State, parts: Parts) -> Back:
        a, h = cache
        da = dstate[0] * parts.activation_derivative(ACTIVATIONS["tanh"], a, h, self.number)
        return Back(da, da, (None,))

    def made_of(self, symbols: Symbols) -> dict[str, str]:
        slope = symbols.step("activation_derivative", z="a_t", a="h_t")
        return {"da_t": f"dh_t * {slope} with g = tanh"} | super().made_of(symbols)


class OfGRU(NamedTuple):
    """Gates, candidate, the state's share of it, and the state before."""

    r: Array
    z: Array
    c: Array
    share: Array
    h: Array


@dataclass(frozen=True)
class GRU(Recurrent):
    """h_t = (1 - z) * c + z * h_{t-1} with c = tanh(x_t Wx_c + b_c + r * (h_{t-1} Wh_c)) and gates r, z = sigmoid(x_t Wx + b
    + h_{t-1} Wh); columns stand in the order r, z, c.
    """

    gates = 3
    steps = (*Recurrent.steps, "gate_derivative", "reset_gate")
    by_state = "du_t"
    direct_path = "z * dh_t"

    def step(self, by_input: Array, by_state: Array, state: State) -> tuple[State, OfGRU]:
        u, h = self.units, state[0]
        gates = sigmoid(by_input[:, : 2 * u] + by_state[:, : 2 * u])
        r, z, share = gates[:, :u], gates[:, u:], by_state[:, 2 * u :]
        c = tanh(by_input[:, 2 * u :] + r * share)
        return ((1 - z) * c + z * h,), OfGRU(r, z, c, share, h)

    def step_back(self, cache: OfGRU, dstate: State, parts: Parts) -> Back:
        r, z, c, share, h = cache
        (dh,) = dstate
        dc = dh * (1 - z) * ((1 - c) * (1 + c))
        dz = dh * (h - c) * parts.gate_derivative(z)
        dr = dc * share * parts.gate_derivative(r)
        by_state = np.concatenate((dr, dz, dc * parts.reset_gate(r)), axis=1)
        return Back(np.concatenate((dr, dz, dc), axis=1), by_state, (dh * z,))

    def made_of(self, symbols: Symbols) -> dict[str, str]:
        slope = {gate: symbols.step("gate_derivative", gate=gate) for gate in ("r", "z")}
        reset = symbols.step("reset_gate")
        return {
            "da_t of r": f"da_t of c * (h_{{t-1}} Wh_c) * {slope['r']}",
            "da_t of z": f"dh_t * (h_{{t-1}} - c) * {slope['z']}",
            "da_t of c": "dh_t * (1 - z) * (1 - c^2)",
            "du_t": "da_t of r, da_t of z, da_t of c" + ("" if reset == "1" else f" * {reset}"),
        } | super().made_of(symbols)


class OfLSTM(NamedTuple):
    """Gates, candidate, the cell before, and tanh of the cell after."""

    i: Array
    f: Array
    g: Array
    o: Array
    c: Array
    tanh_c: Array


@dataclass(frozen=True)
class LSTM(Recurrent):
    """c_t = f * c_{t-1} + i * g, h_t = o * tanh(c_t) with gates i, f, o = sigmoid and g = tanh of x_t Wx + b + h_{t-1} Wh;
    columns stand in the order i, f, g, o.
    """

    gates = 4
    parts_of_state = 2
    steps = (*Recurrent.steps, "gate_derivative", "cell_state")

    def step(self, by_input: Array, by_state: Array, state: State) -> tuple[State, OfLSTM]:
        u, c = self.units, state[1]
        a = by_input + by_state
        i_f, g, o = sigmoid(a[:, : 2 * u]), tanh(a[:, 2 * u : 3 * u]), sigmoid(a[:, 3 * u :])
        i, f = i_f[:, :u], i_f[:, u:]
        after = f * c + i * g
        tanh_c = tanh(after)
        return (o * tanh_c, after), OfLSTM(i, f, g, o, c, tanh_c)

    def step_back(self, cache: OfLSTM, dstate: State, parts: Parts) -> Back:
        i, f, g, o, c, tanh_c = cache
        dh, dnext = dstate
        dc = parts.cell_state(dh * o * ((1 - tanh_c) * (1 + tanh_c)), dnext)
        da = np.concatenate(
            (
                dc * g * parts.gate_derivative(i),
                dc * c * parts.gate_derivative(f),
                dc * i * ((1 - g) * (1 + g)),
                dh * tanh_c * parts.gate_derivative(o),
            ),
            axis=1,
        )
        return Back(da, da, (None, dc * f))

    def made_of(self, symbols: Symbols) -> dict[str, str]:
        slope = {gate: symbols.step("gate_derivative", gate=gate) for gate in ("i", "f", "o")}
        later, first = symbols.step("state_before", d="f_{t+1} * dc_{t+1}"), "dh_t * o * (1 - tanh(c_t)^2)"
        return {
            "dc_t": first if later == "0" else symbols.step("cell_state", first=first, later=later),
            "da_t of i": f"dc_t * g * {slope['i']}",
            "da_t of f": f"dc_t * c_{{t-1}} * {slope['f']}",
            "da_t of g": "dc_t * i * (1 - g^2)",
            "da_t of o": f"dh_t * tanh(c_t) * {slope['o']}",
        } | super().made_of(symbols)


CELLS: Mapping[str, type[Recurrent]] = {"rnn": RNN, "gru": GRU, "lstm": LSTM}
