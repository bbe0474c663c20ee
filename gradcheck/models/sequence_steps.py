"""The steps of the backward passes of embedding, recurrence and attention, one method each.

Shapes: n examples, T steps of time, d features of a step, h units, H heads of k features each.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray


class SequenceSteps:
    """The correct steps."""

    # --- embedding, and an output layer that shares its matrix ------------------------------------------------------------

    def padded_tokens(self, dout: Array, real: Array) -> Array:
        """The derivative by the vectors of the tokens, (n, T, d), without those of padded steps."""
        return np.where(real[..., None], dout, 0)

    def token_rows(self, rows: Array, tokens: Array, dout: Array) -> Array:
        """The zeros ``rows`` (V, d) with each ``dout`` (n, T, d) added to the row of its token."""
        np.add.at(rows, tokens, dout)
        return rows

    def tied_output(self, gradient: Array) -> Array:
        """The derivative by the embedding's matrix, (V, d), that comes from its second use, as the output layer."""
        return gradient

    # --- recurrence -------------------------------------------------------------------------------------------------------

    def real_steps(self, real: Array) -> Array:
        """Which steps of time are real, (n, T): through the others the state passes unchanged."""
        return real

    def recurrent_path(self, dh: Array) -> Array:
        """The derivative by the state before a step that passes through the recurrent weights, da Wh^T, (n, h)."""
        return dh

    def state_before(self, dstate: Array) -> Array:
        """The whole derivative by one part of the state before a step that a step computes, (n, h)."""
        return dstate

    def gate_derivative(self, gate: Array) -> Array:
        """s'(a) of a gate s(a), from the gate itself, (n, h)."""
        return gate * (1 - gate)

    def reset_gate(self, r: Array) -> Array:
        """dc~/d(h Wh) over its activation's slope: the reset gate of a GRU, (n, h)."""
        return r

    def cell_state(self, from_output: Array, from_next: Array) -> Array:
        """The derivative by the cell state of an LSTM, (n, h): through this step's output and through the next step's cell."""
        return from_output + from_next

    def batch_first(self, dx: Array) -> Array:
        """(T, n, d), as the loop over time makes it, to (n, T, d)."""
        return dx.swapaxes(0, 1)

    # --- attention --------------------------------------------------------------------------------------------------------

    def last_step(self, last: Array, steps: int) -> Array:
        """The number of each example's last real step, (n,), of so many."""
        return last

    def attention_weights(self, weights: Array, scores: Array, causal: Array, real: Array) -> Array:
        """The weights of the forward pass, (n, H, T, T), softmax of the ``scores`` that both masks allow."""
        return weights

    def softmax_derivative(self, weights: Array, dweights: Array) -> Array:
        """The derivative by the scores, (n, H, T, T): s_i (d_i - sum_j s_j d_j)."""
        derivative: Array = weights * (dweights - (dweights * weights).sum(axis=-1, keepdims=True))
        return derivative

    def attention_scale(self, scale: float) -> float:
        """1 / sqrt(k), by which the scores are multiplied."""
        return scale

    def merged_heads(self, x: Array) -> Array:
        """The heads (n, H, T, k) beside one another: (n, T, H k)."""
        n, heads, steps, k = x.shape
        return x.swapaxes(1, 2).reshape(n, steps, heads * k)

    # --- a shortcut around layers -----------------------------------------------------------------------------------------

    def shortcut(self, dout: Array) -> Array:
        """What the shortcut of a residual block adds to the derivative by its input."""
        return dout
