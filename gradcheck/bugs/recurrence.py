"""Mistakes with tokens and on the way back through time."""

import numpy as np

from gradcheck.bugs.base import Array, BackwardBug, Bug, step_needed, steps_needed, texts
from gradcheck.models.functions import sigmoid
from gradcheck.models.layers.attention import masked_softmax

NO_RECURRENCE = "has no recurrence over time (recurrent has)"
recurrence_needed = step_needed("recurrent_path", NO_RECURRENCE)
tokens_needed = step_needed("token_rows", "takes no tokens (recurrent and attention do)")


class TruncatedTime(BackwardBug):
    """Nothing flows through the recurrent weights to earlier steps.

    dh is set to 0 after each step, a buffer that is cleared within the loop over time, or time cut to one step. What
    passes beside the recurrent weights is right: the cell of an LSTM, the update gate of a GRU.
    """

    name = "truncated_time"
    kind = "activation_derivative"
    why = "right above the recurrence, wrong in it and below"
    formula = texts(recurrent_path="0")
    needs = (steps_needed, recurrence_needed)
    source = "https://github.com/ooples/AiDotNet/pull/722"

    def recurrent_path(self, dh: Array) -> Array:
        return np.zeros_like(dh)


class StateDetached(BackwardBug):
    """The state is detached before every step.

    detach() meant for the border between two batches stands in the loop over time, so the loss of a step reaches the
    parameters through this step alone, whatever the cell. In an rnn it is the same as truncated_time.
    """

    name = "state_detached"
    kind = "activation_derivative"
    why = "right above the recurrence, wrong in it and below"
    formula = texts(state_before="0")
    needs = (steps_needed, recurrence_needed)
    source = "https://github.com/yhs968/pyGRU4REC/issues/8"

    def state_before(self, dstate: Array) -> Array:
        return np.zeros_like(dstate)


class TimeTransposed(BackwardBug):
    """The axes of examples and time are not exchanged back.

    The loop makes dx in the order time, examples, features; the layer below wants examples first and gets a reshape.
    The recurrence's own parameters are right. No effect for one example or one step.
    """

    name = "time_transposed"
    kind = "scattered"
    why = "the vectors of the tokens alone are wrong; with a layer between them and the recurrence, all below it"
    formula = texts(batch_first="reshape({d} as T, n, d; to n, T, d)")
    needs = (steps_needed, recurrence_needed)
    source = "https://github.com/pytorch/pytorch/pull/95137"

    def batch_first(self, dx: Array) -> Array:
        steps, n, d = dx.shape
        return np.ascontiguousarray(dx).reshape(n, steps, d)


class CellPathMissing(BackwardBug):
    """The derivative by the cell state is assigned, where it should be added to.

    dc = dh o (1 - tanh(c)^2) for dc += …: what the next step's cell state hands back is lost.
    """

    name = "cell_path_missing"
    kind = "activation_derivative"
    why = "right above the recurrence, wrong in it and below"
    formula = texts(cell_state="{first}")
    needs = (steps_needed, step_needed("cell_state", "has no cell state (recurrent with model.cell=lstm has)"))
    source = "https://github.com/apache/mxnet/issues/4057"

    def cell_state(self, from_output: Array, from_next: Array) -> Array:
        return from_output


class GateDerivative(BackwardBug):
    """The derivative of a gate is taken for the sigmoid of the gate.

    sigmoid(f) for f (1 - f): f is the gate already, and the function that was at hand is the sigmoid. All gates.
    """

    name = "gate_derivative"
    kind = "activation_derivative"
    why = "right above the recurrence, wrong in it and below"
    formula = texts(gate_derivative="sigmoid({gate})")
    needs = (steps_needed, step_needed("gate_derivative", "has no gates (recurrent with model.cell=gru or lstm has)"))
    source = "https://github.com/CaptainE/RNN-LSTM-in-numpy/issues/1"

    def gate_derivative(self, gate: Array) -> Array:
        return sigmoid(gate)


class ResetGateIgnored(BackwardBug):
    """The way back from the candidate to the state leaves out the reset gate.

    The candidate sees r * (h Wh), its derivative is handed to h Wh as if r were 1.
    """

    name = "reset_gate_ignored"
    kind = "activation_derivative"
    why = "right above the recurrence, wrong in it and below"
    formula = texts(reset_gate="1")
    needs = (steps_needed, step_needed("reset_gate", "has no reset gate (recurrent with model.cell=gru has)"))
    source = "http://cran.r-project.org/web/packages/rnn/vignettes/GRU_units.html"

    def reset_gate(self, r: Array) -> Array:
        return np.ones_like(r)


class PaddingNotMasked(BackwardBug):
    """The backward pass takes padded steps for real ones.

    The forward pass knows the lengths, the backward pass was written for sequences that are full: the gradient of the
    final state enters at the last step of the array, and weights of attention are made with padded steps among them. No
    effect without padding, or where nothing of the loss is behind it.
    """

    name = "padding_not_masked"
    kind = "activation_derivative"
    why = "right above the sequence, wrong from there down"
    formula = texts(
        real_steps="real or padded", last_step="T", attention_weights="softmax(S) with padded steps among them"
    )
    needs = (steps_needed, tokens_needed)
    source = "https://github.com/OpenNMT/OpenNMT/issues/306"

    def real_steps(self, real: Array) -> Array:
        return np.ones_like(real)

    def last_step(self, last: Array, steps: int) -> Array:
        return np.full_like(last, steps - 1)

    def attention_weights(self, weights: Array, scores: Array, causal: Array, real: Array) -> Array:
        return masked_softmax(scores, np.broadcast_to(causal, scores.shape))


class RepeatedIndexOverwrites(BackwardBug):
    """Of a token that occurs several times, one occurrence alone counts.

    dE[tokens] += d adds to each row once, the last occurrence wins; np.add.at adds all. No effect where no token occurs
    twice.
    """

    name = "repeated_index_overwrites"
    kind = "entries"
    why = "the rows of tokens that occur several times are wrong, the others right"
    formula = texts(token_rows="{d} at the last i, t with x_it = v")
    needs = (steps_needed, tokens_needed)
    source = "https://github.com/pytorch/pytorch/issues/1631"

    def token_rows(self, rows: Array, tokens: Array, dout: Array) -> Array:
        rows[tokens.reshape(-1)] = dout.reshape(-1, dout.shape[-1])
        return rows


class EmbeddingPaddingUpdated(BackwardBug):
    """The row of the padding gets a gradient.

    The forward pass puts 0 for a padded step, the backward pass adds its derivative to row 0 like any other. No effect
    where nothing comes back to a padded step: recurrent needs model.lengths=false.
    """

    name = "embedding_padding_updated"
    kind = "padding"
    why = "the row of the padding is not 0, and the loss does not depend on it"
    formula = texts(padded_tokens="{d}")
    needs = (steps_needed, tokens_needed)
    source = "https://github.com/pytorch/pytorch/issues/26302"

    def padded_tokens(self, dout: Array, real: Array) -> Array:
        return dout


class WeightTyingHalf(BackwardBug):
    """Of a matrix that is embedding and output layer, the output's gradient is not added.

    Two layers share one array; the second gradient overwrites the first or is never added to it.
    """

    name = "weight_tying_half"
    kind = "tied"
    why = "the rows of tokens that do not occur are 0, the others lack the share of the output layer"
    formula = texts(tied_output="0")
    needs = (steps_needed, step_needed("tied_output", "has no tied weights (attention with model.tied=true has)"))
    source = "https://github.com/paiml/entrenar/issues/314"

    def tied_output(self, gradient: Array) -> Array:
        return np.zeros_like(gradient)


RECURRENCE_BUGS: tuple[type[Bug], ...] = (
    TruncatedTime,
    StateDetached,
    TimeTransposed,
    CellPathMissing,
    GateDerivative,
    ResetGateIgnored,
    PaddingNotMasked,
    RepeatedIndexOverwrites,
    EmbeddingPaddingUpdated,
    WeightTyingHalf,
)
