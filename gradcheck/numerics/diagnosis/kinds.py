"""The kinds of mistakes that a diagnosis tells apart, and a diagnosis as a value."""

from __future__ import annotations

from dataclasses import dataclass

KINDS: dict[str, str] = {
    "not_finite": "entries are NaN or infinite where the loss is finite",
    "zero_entries": "some entries are 0 where the slope is not",
    "zero_param": "all of a parameter is 0, or its data term is",
    "bias": "the biases alone are wrong, 0 or otherwise",
    "of_theta_alone": "the gradient is a multiple of the weights, whatever the slope is",
    "mask": "entries are not 0 where the loss has exactly no slope",
    "causality": "of one triangle, or after an index, the loss has no slope, and the gradient is not 0",
    "padding": "whole rows, or the ends of rows, have no slope, and the gradient is not 0",
    "truncated": "along an axis all is right at one end and wrong at the rest",
    "detached": "a layer and all below it get nothing",
    "precision": "every wrong entry is a rounded one, of a lower precision",
    "constant_factor": "the gradient, or its data term, is off by one factor",
    "logarithm": "analytic over numeric is x, 1/x, exp(x) or exp(-x)",
    "tangent": "the part of the gradient along the weights is missing",
    "l2": "a multiple of the weights is missing or too much",
    "l2_part": "the same in a row, a column or a part of a parameter",
    "one_triangle": "of a square matrix one triangle counts twice and the other not, or both twice",
    "asymmetric_hessian": "a Hessian is not its own transpose",
    "transposed": "the values of a matrix stand in the order of its transpose",
    "param_factor": "each wrong parameter is off by a factor of its own",
    "slice_factor": "each row or column is off by a factor of its own",
    "repeated_index": "rows are 1/2, 1/3 … of the slope",
    "clipped": "all wrong entries stand at one largest magnitude",
    "permutation": "the values are right, their order is not",
    "flipped": "the values are right, reversed along some axes",
    "blocks": "the values are right, in blocks that have changed places",
    "shifted": "the values are right, a few places further along an axis",
    "shift": "a constant does not move the loss, and the gradient says it does",
    "scale": "a scale does not move the loss, and the gradient says it does",
    "tied": "rows are 0 where the slope is not, and all other rows are wrong",
    "activation_derivative": "the upper layers are right, all below is wrong without a pattern",
    "entries": "a few entries are wrong, the others of their parameter are right",
    "scattered": "whole parameters are off without a pattern",
    "unknown": "too few weights are judged to tell",
}


@dataclass(frozen=True)
class Diagnosis:
    """``kind``, one of KINDS, and ``words`` of at most ``wording.LONGEST`` characters; None where nothing is wrong."""

    kind: str | None
    words: str | None
