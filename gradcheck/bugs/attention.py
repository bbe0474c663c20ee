"""Mistakes on the way back through attention and its shortcuts."""

import numpy as np

from gradcheck.bugs.base import Array, BackwardBug, Bug, step_needed, steps_needed, texts
from gradcheck.models.functions import softmax

attention_needed = step_needed("attention_weights", "has no attention")


class AttentionScaleMissing(BackwardBug):
    """The backward pass forgets the scale 1/sqrt(k) of the scores.

    The scale was folded into the queries or into a kernel of the forward pass, or is taken for another width; dQ and dK
    are too large by sqrt(k). No effect where heads have one feature.
    """

    name = "attention_scale_missing"
    kind = "param_factor"
    why = "dWq and dWk of the highest block are sqrt(k) times too large"
    formula = texts(attention_scale="1")
    needs = (steps_needed, attention_needed)
    source = "https://github.com/tile-ai/tilelang-ascend/pull/1670"

    def attention_scale(self, scale: float) -> float:
        return 1.0


class SoftmaxDiagonalOnly(BackwardBug):
    """Of the derivative of the softmax the diagonal alone is taken.

    s_i (1 - s_i), as for a sigmoid; the entries -s_i s_j beside the diagonal are missing.
    """

    name = "softmax_diagonal_only"
    kind = "activation_derivative"
    why = "right above an attention, wrong in its queries and keys and below"
    formula = texts(softmax_derivative="A * (1 - A) * dA")
    needs = (steps_needed, attention_needed)
    source = "https://github.com/deeplearning4j/libnd4j/issues/440"

    def softmax_derivative(self, weights: Array, dweights: Array) -> Array:
        derivative: Array = weights * (1 - weights) * dweights
        return derivative


class MaskMissingInBackward(BackwardBug):
    """The backward pass computes the weights of attention again, without the mask.

    Kernels that keep no weights make them anew from the scores: the forward pass was causal, the backward pass is not.
    """

    name = "mask_missing_in_backward"
    kind = "activation_derivative"
    why = "right above an attention, wrong in it and below"
    formula = texts(attention_weights="softmax(S) over all steps")
    needs = (steps_needed, attention_needed)
    source = "https://github.com/meta-pytorch/MSLK/pull/263"

    def attention_weights(self, weights: Array, scores: Array, causal: Array, real: Array) -> Array:
        return softmax(scores)


class HeadsMixed(BackwardBug):
    """The heads are put side by side without the transpose before it.

    reshape from (n, H, T, k) to (n, T, H k) fits whatever the order of the axes is, and mixes heads and steps. No effect
    with one head or one step.
    """

    name = "heads_mixed"
    kind = "activation_derivative"
    why = "right above an attention, wrong in its queries, keys and values and below"
    formula = texts(merged_heads="reshape({d} as n, H, T, k; to n, T, H k)")
    needs = (steps_needed, attention_needed)
    source = "https://github.com/jsbaan/transformer-from-scratch/pull/6"

    def merged_heads(self, x: Array) -> Array:
        n, heads, steps, k = x.shape
        return np.ascontiguousarray(x).reshape(n, steps, heads * k)


class ResidualDropped(BackwardBug):
    """The shortcut of a residual block hands nothing back.

    y = x + f(x) in the forward pass, the gradient of f alone in the backward pass: the incoming gradient is never added.
    """

    name = "residual_dropped"
    kind = "activation_derivative"
    why = "right from the highest block up, wrong below it"
    formula = texts(shortcut="0")
    needs = (steps_needed, step_needed("shortcut", "has no shortcut around layers"))
    source = "https://github.com/paiml/entrenar/issues/313"

    def shortcut(self, dout: Array) -> Array:
        return np.zeros_like(dout)


ATTENTION_BUGS: tuple[type[Bug], ...] = (
    AttentionScaleMissing,
    SoftmaxDiagonalOnly,
    MaskMissingInBackward,
    HeadsMixed,
    ResidualDropped,
)
