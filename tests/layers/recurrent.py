"""Layers that go along a sequence (n, time, d) and keep a state."""

from __future__ import annotations

import numpy as np
from layers.base import Array, Layer


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp -z), without overflow."""
    return 0.5 * (1 + np.tanh(z / 2))


class RNN(Layer):
    """h_t = tanh(x_t Wx + h_(t-1) Wh + b); the output is all h_t, (n, time, k)."""

    def __init__(self, d: int, k: int, rng: np.random.Generator) -> None:
        super().__init__(
            Wx=rng.normal(size=(d, k)) / np.sqrt(d), Wh=rng.normal(size=(k, k)) / np.sqrt(k), b=rng.normal(size=k)
        )

    def forward(self, x: Array) -> Array:
        """The states (n, time, k), from a state of zeros."""
        Wx, Wh, b = self.params["Wx"], self.params["Wh"], self.params["b"]
        states = np.zeros((len(x), x.shape[1] + 1, len(b)))
        for t in range(x.shape[1]):
            states[:, t + 1] = np.tanh(x[:, t] @ Wx + states[:, t] @ Wh + b)
        self.kept = (x, states)
        return states[:, 1:].copy()

    def backward(self, dout: Array) -> Array:
        """The gradient by the input, back through all of time."""
        x, states = self.kept
        Wx, Wh = self.params["Wx"], self.params["Wh"]
        self.grads = {name: np.zeros_like(value) for name, value in self.params.items()}
        dx, dstate = np.zeros_like(x), np.zeros_like(states[:, 0])
        for t in reversed(range(x.shape[1])):
            dz = (dout[:, t] + dstate) * (1 - states[:, t + 1] ** 2)
            self.grads["Wx"] += x[:, t].T @ dz
            self.grads["Wh"] += states[:, t].T @ dz
            self.grads["b"] += dz.sum(axis=0)
            dx[:, t], dstate = dz @ Wx.T, dz @ Wh.T
        return dx


class LSTM(Layer):
    """Long short-term memory with the gates input, forget, candidate, output; the output is all h_t, (n, time, k).

    The last state (h, c) is kept; with ``stateful`` the next call begins there.
    """

    def __init__(self, d: int, k: int, rng: np.random.Generator, stateful: bool = False) -> None:
        super().__init__(
            Wx=rng.normal(size=(d, 4 * k)) / np.sqrt(d),
            Wh=rng.normal(size=(k, 4 * k)) / np.sqrt(k),
            b=rng.normal(size=4 * k),
        )
        self.k, self.stateful = k, stateful
        self.state: tuple[Array, Array] | None = None

    def gates(self, z: Array) -> tuple[Array, Array, Array, Array]:
        """The four gates (n, k) of a step."""
        k = self.k
        return sigmoid(z[:, :k]), sigmoid(z[:, k : 2 * k]), np.tanh(z[:, 2 * k : 3 * k]), sigmoid(z[:, 3 * k :])

    def forward(self, x: Array) -> Array:
        """The states h (n, time, k)."""
        zero = np.zeros((len(x), self.k))
        h, c = self.state if self.stateful and self.state is not None else (zero, zero)
        steps, out = [], np.zeros((len(x), x.shape[1], self.k))
        for t in range(x.shape[1]):
            gates = self.gates(x[:, t] @ self.params["Wx"] + h @ self.params["Wh"] + self.params["b"])
            i, f, g, o = gates
            memory = f * c + i * g
            steps.append((h, c, gates, np.tanh(memory)))
            h, c = o * np.tanh(memory), memory
            out[:, t] = h
        self.state = (h, c)
        self.kept = (x, steps)
        return out

    def backward(self, dout: Array) -> Array:
        """The gradient by the input, back through all of time."""
        x, steps = self.kept
        Wx, Wh = self.params["Wx"], self.params["Wh"]
        self.grads = {name: np.zeros_like(value) for name, value in self.params.items()}
        dx = np.zeros_like(x)
        dh = dc = np.zeros((len(x), self.k))
        for t in reversed(range(x.shape[1])):
            h, c, (i, f, g, o), squashed = steps[t]
            dh = dh + dout[:, t]
            dc = dc + dh * o * (1 - squashed**2)
            dz = np.hstack(
                [dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g**2), dh * squashed * o * (1 - o)]
            )
            self.grads["Wx"] += x[:, t].T @ dz
            self.grads["Wh"] += h.T @ dz
            self.grads["b"] += dz.sum(axis=0)
            dx[:, t], dh, dc = dz @ Wx.T, dz @ Wh.T, dc * f
        return dx


class GRU(Layer):
    """Gated recurrent units: r, z of sigmoids, h~ = tanh(x Wx + (r h) Wh + b), h = (1 - z) h + z h~; all h_t, (n, time, k)."""

    def __init__(self, d: int, k: int, rng: np.random.Generator) -> None:
        super().__init__(
            Wx=rng.normal(size=(d, 3 * k)) / np.sqrt(d),
            Wh=rng.normal(size=(k, 3 * k)) / np.sqrt(k),
            b=rng.normal(size=3 * k),
        )
        self.k = k

    def forward(self, x: Array) -> Array:
        """The states h (n, time, k), from a state of zeros."""
        Wx, Wh, b, k = self.params["Wx"], self.params["Wh"], self.params["b"], self.k
        h, steps, out = np.zeros((len(x), k)), [], np.zeros((len(x), x.shape[1], k))
        for t in range(x.shape[1]):
            given = x[:, t] @ Wx + b
            r = sigmoid(given[:, :k] + h @ Wh[:, :k])
            z = sigmoid(given[:, k : 2 * k] + h @ Wh[:, k : 2 * k])
            new = np.tanh(given[:, 2 * k :] + (r * h) @ Wh[:, 2 * k :])
            steps.append((h, r, z, new))
            h = (1 - z) * h + z * new
            out[:, t] = h
        self.kept = (x, steps)
        return out

    def reset(self, back: Array, r: Array) -> Array:
        """What of the candidate's gradient reaches the state: through the reset gate."""
        return back * r

    def backward(self, dout: Array) -> Array:
        """The gradient by the input, back through all of time."""
        x, steps = self.kept
        Wx, Wh, k = self.params["Wx"], self.params["Wh"], self.k
        self.grads = {name: np.zeros_like(value) for name, value in self.params.items()}
        dx, dh = np.zeros_like(x), np.zeros((len(x), k))
        for t in reversed(range(x.shape[1])):
            h, r, z, new = steps[t]
            dh = dh + dout[:, t]
            dnew = dh * z * (1 - new**2)
            back = dnew @ Wh[:, 2 * k :].T
            dr, dz = back * h * r * (1 - r), dh * (new - h) * z * (1 - z)
            d = np.hstack([dr, dz, dnew])
            self.grads["Wx"] += x[:, t].T @ d
            self.grads["Wh"] += np.hstack([h.T @ dr, h.T @ dz, (r * h).T @ dnew])
            self.grads["b"] += d.sum(axis=0)
            dx[:, t] = d @ Wx.T
            dh = dh * (1 - z) + self.reset(back, r) + d[:, : 2 * k] @ Wh[:, : 2 * k].T
        return dx


class PaddedRNN(RNN):
    """An RNN whose sequences end early: the state stays what it was, and the output is 0, after ``lengths`` steps."""

    def __init__(self, d: int, k: int, lengths: Array, rng: np.random.Generator) -> None:
        super().__init__(d, k, rng)
        self.lengths = lengths

    def forward(self, x: Array) -> Array:
        """The states (n, time, k), 0 at the padding."""
        self.inside = (np.arange(x.shape[1]) < self.lengths[:, None])[..., None]
        return super().forward(x) * self.inside

    def backward(self, dout: Array) -> Array:
        """The gradient by the input, 0 at the padding."""
        return super().backward(dout * self.inside)
