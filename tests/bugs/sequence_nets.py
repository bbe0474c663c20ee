"""The models of sequences once more, one example and one step of time at a time, with each mistake where it is made.

Nothing of the package's layers is used.  ``wrong`` is the name of a bug, or "none".
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradcheck.models import Attention, RecurrentNet
from gradcheck.models.batch import Batch

Array = np.ndarray


def sigma(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


@dataclass
class Net:
    """One batch and its parameters; ``gradient`` is the mean over the rows that have a target."""

    model: Any
    batch: Batch
    params: dict[str, Array]
    wrong: str = "none"
    found: dict[str, Array] = field(default_factory=dict)

    def gradient(self) -> dict[str, Array]:
        self.found = {name: np.zeros_like(value) for name, value in self.params.items()}
        tokens = [[int(x) for x in row] for row in self.batch.X]
        examples = [self.example(i, row) for i, row in enumerate(tokens)]
        dxs = self.to_embedding([dx for dx, _ in examples])
        self.embed(tokens, dxs)
        m = sum(rows for _, rows in examples)
        return {
            name: value / m + (self.model.l2 * self.params[name] if name[0] == "W" else 0)
            for name, value in self.found.items()
        }

    def example(self, i: int, tokens: list[int]) -> tuple[list[Array], int]:
        """The derivatives by the vectors of one example, and how many rows of it have a target."""
        E = self.params["E"]
        inputs = [E[token] if token else np.zeros(E.shape[1]) for token in tokens]
        length = sum(token != 0 for token in tokens)
        body = self.recurrent if isinstance(self.model, RecurrentNet) else self.attention
        return body(i, inputs, length)

    def to_embedding(self, dxs: list[list[Array]]) -> list[list[Array]]:
        if self.wrong != "time_transposed":
            return dxs
        n, steps = len(dxs), len(dxs[0])
        flat = [dxs[i][t] for t in range(steps) for i in range(n)]
        return [flat[i * steps : (i + 1) * steps] for i in range(n)]

    def embed(self, tokens: list[list[int]], dxs: list[list[Array]]) -> None:
        last: dict[int, Array] = {}
        for row, dx in zip(tokens, dxs, strict=True):
            for token, d in zip(row, dx, strict=True):
                if token == 0 and self.wrong != "embedding_padding_updated":
                    d = 0 * d
                last[token] = d
                if self.wrong != "repeated_index_overwrites":
                    self.found["E"][token] += d
        if self.wrong == "repeated_index_overwrites":
            for token, d in last.items():
                self.found["E"][token] += d

    # --- the top ----------------------------------------------------------------------------------------------------------

    def head(self, i: int, t: int, z: Array) -> Array:
        y = self.batch.y[i] if self.model.output == "last" else self.batch.y[i, t]
        if self.model.loss_name == "softmax":
            p = np.exp(z - z.max())
            return p / p.sum() - np.eye(len(z))[int(y)]
        return sigma(z) - y if self.model.loss_name == "sigmoid" else z - y

    def top(self, i: int, h: list[Array], length: int, number: int, tied: bool) -> tuple[list[Array], int]:
        """The derivatives by the states at all steps."""
        b = self.params[f"b{number}"]
        W = self.params["E"].T if tied else self.params[f"W{number}"]
        dh = [np.zeros_like(v) for v in h]
        rows = [length - 1] if self.model.output == "last" else list(range(length))
        for t in rows:
            delta = self.head(i, t, h[t] @ W + b)
            if not tied:
                self.found[f"W{number}"] += np.outer(h[t], delta)
            elif self.wrong != "weight_tying_half":
                self.found["E"] += np.outer(delta, h[t])
            self.found[f"b{number}"] += delta
            late = self.wrong == "padding_not_masked" and self.model.output == "last"
            dh[len(h) - 1 if late else t] += W @ delta
        return dh, len(rows)

    # --- recurrence ---------------------------------------------------------------------------------------------------------

    def recurrent(self, i: int, x: list[Array], length: int) -> tuple[list[Array], int]:
        model, end = self.model, length if self.model.lengths else len(x)
        seen = [x]
        for k in range(1, model.depth + 1):
            seen.append(self.states(k, seen[-1], end))
        runs_on = model.output == "last" and not model.lengths
        d, rows = self.top(i, seen[-1], len(x) if runs_on else length, model.depth + 1, False)
        for k in range(model.depth, 0, -1):
            d = self.through(k, seen[k - 1], end, d)
            if k > 1 and self.wrong == "time_transposed":
                raise NotImplementedError("one recurrence only")
        return d, rows

    def cell(self, k: int, x: Array, state: tuple[Array, Array]) -> dict[str, Array]:
        h, c = state
        u = len(h)
        a, s = x @ self.params[f"Wx{k}"] + self.params[f"b{k}"], h @ self.params[f"Wh{k}"]
        if self.model.cell == "rnn":
            return {"h": np.tanh(a + s), "c": c}
        if self.model.cell == "gru":
            r, z = sigma((a + s)[:u]), sigma((a + s)[u : 2 * u])
            n = np.tanh(a[2 * u :] + r * s[2 * u :])
            return {"r": r, "z": z, "n": n, "share": s[2 * u :], "h": (1 - z) * n + z * h, "c": c}
        a = a + s
        gates = {"i": sigma(a[:u]), "f": sigma(a[u : 2 * u]), "g": np.tanh(a[2 * u : 3 * u]), "o": sigma(a[3 * u :])}
        new = gates["f"] * c + gates["i"] * gates["g"]
        return {**gates, "c": new, "h": gates["o"] * np.tanh(new)}

    def states(self, k: int, x: list[Array], end: int) -> list[Array]:
        state = (np.zeros(self.model.units), np.zeros(self.model.units))
        out = []
        for t, xt in enumerate(x):
            new = self.cell(k, xt, state)
            state = (new["h"], new["c"]) if t < end else state
            out.append(state[0])
        return out

    def through(self, k: int, x: list[Array], end: int, dout: list[Array]) -> list[Array]:
        u = self.model.units
        before = [(np.zeros(u), np.zeros(u))]
        cells = []
        for t, xt in enumerate(x):
            cells.append(self.cell(k, xt, before[-1]))
            before.append((cells[-1]["h"], cells[-1]["c"]) if t < end else before[-1])
        Wx, Wh = self.params[f"Wx{k}"], self.params[f"Wh{k}"]
        dh, dc, dx = np.zeros(u), np.zeros(u), [np.zeros_like(v) for v in x]
        for t in reversed(range(len(x))):
            # that of the last state was put at the last step of the array, through which the state is carried
            dh = dh + dout[t]
            if t >= end and self.wrong != "padding_not_masked":
                continue
            h, c = before[t]
            da, ds, direct, dc = self.cell_back(cells[t], h, c, dh, dc)
            self.found[f"Wx{k}"] += np.outer(x[t], da)
            self.found[f"b{k}"] += da
            self.found[f"Wh{k}"] += np.outer(h, ds)
            dx[t] = Wx @ da
            dh = direct + (0 if self.wrong == "truncated_time" else Wh @ ds)
            if self.wrong == "state_detached":
                dh, dc = 0 * dh, 0 * dc
        return dx

    def cell_back(self, v: dict[str, Array], h: Array, c: Array, dh: Array, dc: Array) -> tuple[Array, ...]:
        """By x Wx + b, by h Wh, by h beside it, by the cell before."""

        def slope(gate: Array) -> Array:
            return sigma(gate) if self.wrong == "gate_derivative" else gate - gate**2

        if self.model.cell == "rnn":
            da = dh * (1 - v["h"] ** 2)
            return da, da, np.zeros_like(h), dc
        if self.model.cell == "gru":
            dn = dh * (1 - v["z"]) * (1 - v["n"] ** 2)
            dr, dz = dn * v["share"] * slope(v["r"]), dh * (h - v["n"]) * slope(v["z"])
            reset = 1.0 if self.wrong == "reset_gate_ignored" else v["r"]
            return np.concatenate([dr, dz, dn]), np.concatenate([dr, dz, dn * reset]), dh * v["z"], dc
        own = dh * v["o"] * (1 - np.tanh(v["c"]) ** 2)
        dc = own if self.wrong == "cell_path_missing" else own + dc
        parts = [
            dc * v["g"] * slope(v["i"]),
            dc * c * slope(v["f"]),
            dc * v["i"] * (1 - v["g"] ** 2),
            dh * np.tanh(v["c"]) * slope(v["o"]),
        ]
        da = np.concatenate(parts)
        return da, da, np.zeros_like(h), dc * v["f"]

    # --- attention ----------------------------------------------------------------------------------------------------------

    def attention(self, i: int, x: list[Array], length: int) -> tuple[list[Array], int]:
        model = self.model
        x = [v + p for v, p in zip(x, self.params["P"], strict=True)]
        kept: list[tuple[str, int, list[Array]]] = []
        for one in range(1, 3 * model.depth + 1, 3):
            kept.append(("look", one, x))
            x = [v + w for v, w in zip(x, self.look(one, x, length)[0], strict=True)]
            kept.append(("within", one + 1, x))
            x = [v + self.within(one + 1, v) for v in x]
        d, rows = self.top(i, x, length, 3 * model.depth + 1, model.tied)
        for kind, number, seen in reversed(kept):
            back = (
                self.look_back(number, seen, length, d)
                if kind == "look"
                else [self.within_back(number, v, w) for v, w in zip(seen, d, strict=True)]
            )
            keep = 0 if self.wrong == "residual_dropped" else 1
            d = [keep * own + below for own, below in zip(d, back, strict=True)]
        for t, v in enumerate(d):
            self.found["P"][t] += v
        return d, rows

    def norm(self, number: int, x: Array) -> Array:
        return self.hat(x)[0] * self.params[f"gamma{number}"] + self.params[f"beta{number}"]

    @staticmethod
    def hat(x: Array) -> tuple[Array, float]:
        s = float(np.sqrt(np.var(x) + 1e-5))
        return (x - x.mean()) / s, s

    def norm_back(self, number: int, x: Array, dy: Array) -> Array:
        """By the matrix of the norm's derivatives, entry by entry."""
        hat, s = self.hat(x)
        self.found[f"gamma{number}"] += dy * hat
        self.found[f"beta{number}"] += dy
        d = len(x)
        jacobian = [[((i == j) - 1 / d - hat[i] * hat[j] / d) / s for j in range(d)] for i in range(d)]
        return np.array(jacobian).T @ (dy * self.params[f"gamma{number}"])

    def within(self, number: int, x: Array) -> Array:
        a = np.tanh(self.norm(number, x) @ self.params[f"W{number}"] + self.params[f"b{number}"])
        return a @ self.params[f"W{number + 1}"] + self.params[f"b{number + 1}"]

    def within_back(self, number: int, x: Array, dy: Array) -> Array:
        y = self.norm(number, x)
        a = np.tanh(y @ self.params[f"W{number}"] + self.params[f"b{number}"])
        self.found[f"W{number + 1}"] += np.outer(a, dy)
        self.found[f"b{number + 1}"] += dy
        dz = (self.params[f"W{number + 1}"] @ dy) * (1 - a**2)
        self.found[f"W{number}"] += np.outer(y, dz)
        self.found[f"b{number}"] += dz
        return self.norm_back(number, x, self.params[f"W{number}"] @ dz)

    def weights(self, q: Array, keys: list[Array], t: int, length: int, back: bool) -> Array:
        """Of one query over all keys."""
        causal, padding = self.model.causal, True
        if back and self.wrong == "mask_missing_in_backward":
            causal = padding = False
        if back and self.wrong == "padding_not_masked":
            padding = False
        e = np.array(
            [
                0.0 if (causal and s > t) or (padding and s >= length) else np.exp(q @ key / np.sqrt(len(q)))
                for s, key in enumerate(keys)
            ]
        )
        return e / e.sum()

    def look(self, number: int, x: list[Array], length: int) -> tuple[list[Array], Any]:
        model = self.model
        y = [self.norm(number, v) for v in x]
        k = len(x[0]) // model.heads
        parts: dict[str, list[list[Array]]] = {
            name: [[(v @ self.params[f"W{name}{number}"])[h * k : (h + 1) * k] for v in y] for h in range(model.heads)]
            for name in "qkv"
        }
        mixed = []
        for t in range(len(x)):
            heads = []
            for h in range(model.heads):
                A = self.weights(parts["q"][h][t], parts["k"][h], t, length, False)
                heads.append(sum(a * v for a, v in zip(A, parts["v"][h], strict=True)))
            mixed.append(np.concatenate(heads))
        return [m @ self.params[f"Wo{number}"] for m in mixed], (y, parts, mixed, k)

    def look_back(self, number: int, x: list[Array], length: int, dout: list[Array]) -> list[Array]:
        model, steps = self.model, len(x)
        y, parts, mixed, k = self.look(number, x, length)[1]
        d: dict[str, Any] = defaultdict(lambda: np.zeros((model.heads, steps, k)))
        for t in range(steps):
            self.found[f"Wo{number}"] += np.outer(mixed[t], dout[t])
            dm = self.params[f"Wo{number}"] @ dout[t]
            for h in range(model.heads):
                q, keys, own = parts["q"][h][t], parts["k"][h], dm[h * k : (h + 1) * k]
                A = self.weights(q, keys, t, length, True)
                dA = np.array([own @ v for v in parts["v"][h]])
                dS = A * (1 - A) * dA if self.wrong == "softmax_diagonal_only" else (np.diag(A) - np.outer(A, A)) @ dA
                dS = dS if self.wrong == "attention_scale_missing" else dS / np.sqrt(k)
                for s in range(steps):
                    d["v"][h, s] += A[s] * own
                    d["q"][h, t] += dS[s] * keys[s]
                    d["k"][h, s] += dS[s] * q
        below = [np.zeros_like(v) for v in x]
        for name in "qkv":
            if self.wrong == "heads_mixed":
                flat = [float(d[name][h, t, j]) for h in range(model.heads) for t in range(steps) for j in range(k)]
                wide = model.heads * k
                rows = [np.array(flat[t * wide : (t + 1) * wide]) for t in range(steps)]
            else:
                rows = [np.concatenate([d[name][h, t] for h in range(model.heads)]) for t in range(steps)]
            for t in range(steps):
                self.found[f"W{name}{number}"] += np.outer(y[t], rows[t])
                below[t] += self.params[f"W{name}{number}"] @ rows[t]
        return [self.norm_back(number, v, b) for v, b in zip(x, below, strict=True)]


def gradient(model: RecurrentNet | Attention, theta: Array, batch: Batch, wrong: str = "none") -> Array:
    """The gradient with a mistake, flat."""
    layout = model.layout(batch)
    return layout.join(Net(model, batch, dict(layout.split(theta)), wrong).gradient())
