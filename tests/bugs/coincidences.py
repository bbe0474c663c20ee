"""Which bugs are mathematically the same, and which change nothing where.

Nobody can tell two bugs apart by their gradients where they coincide: a diagnosis that names the twin is right.  Each
entry is one case that can be computed, with the reason why it holds.
"""

from dataclasses import dataclass, field
from typing import Any

EVERY = ("one_d", "linear", "logistic", "mlp", "softmax")
WITH_DATA = EVERY[1:]
WITH_HIDDEN = ("mlp", "softmax")


@dataclass(frozen=True)
class Coincidence:
    """``bug`` with ``settings`` gives the gradient of ``twin`` with ``twin_settings``, up to rounding.

    twin : ``"none"`` where the bug changes nothing.
    models, model : the models for which it holds, and the settings that they must have; others are free.
    n : number of examples that it takes; null is any.
    theta : ``"any"``, or ``"zero"`` for all weights and biases 0.
    batch : ``"any"``; ``"equal_labels"``, all y the same; ``"active"``, all features, weights and biases positive, so
        that every relu is active.
    positive : whether every entry of the gradient must be positive.
    why : the reason, and the general rule where the case is an example of one.
    """

    bug: str
    twin: str
    models: tuple[str, ...]
    why: str
    model: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    twin_settings: dict[str, Any] = field(default_factory=dict)
    n: int | None = None
    theta: str = "any"
    batch: str = "any"
    positive: bool = False


_NO_L2 = {"l2": 0.0}
_ONE_HIDDEN = {"layers": [3]}

NOTHING: tuple[Coincidence, ...] = (
    Coincidence("transposed", "none", ("linear", "logistic"), "one column, read row by row, is its own transpose"),
    Coincidence("transposed", "none", ("mlp",), "one column is its own transpose", {"layers": []}),
    *(
        Coincidence(bug, "none", EVERY, "a penalty of 0 has the gradient 0", _NO_L2)
        for bug in ("missing_l2", "double_l2")
    ),
    Coincidence("l2_on_bias", "none", WITH_DATA, "a penalty of 0 has the gradient 0", _NO_L2),
    *(
        Coincidence(bug, "none", EVERY, "the penalty's gradient is 0 where the weights are", {"l2": 0.3}, theta="zero")
        for bug in ("missing_l2", "double_l2")
    ),
    Coincidence("l2_on_bias", "none", WITH_DATA, "l2 b = 0 where b is", {"l2": 0.3}, theta="zero"),
    *(
        Coincidence(bug, "none", WITH_DATA, "the mean over one example is that example", n=1)
        for bug in ("missing_mean", "double_mean")
    ),
    Coincidence("broadcast", "none", WITH_DATA, "one example is the whole batch", n=1),
    Coincidence("broadcast", "none", WITH_DATA[:3], "mean(y) is every y_i", batch="equal_labels"),
    Coincidence("stale_batch", "none", WITH_DATA, "every draw from one example is that example", n=1),
    *(
        Coincidence(bug, "none", WITH_HIDDEN, "g'(z) = 1 for every z", {"activation": "identity", **_ONE_HIDDEN})
        for bug in ("missing_activation_derivative", "activation_derivative_at_output")
    ),
    Coincidence(
        "activation_derivative_at_output",
        "none",
        WITH_HIDDEN,
        "relu(z) > 0 where z > 0",
        {"activation": "relu", **_ONE_HIDDEN},
    ),
    Coincidence(
        "missing_activation_derivative",
        "none",
        WITH_HIDDEN,
        "g'(z) = 1 for every active relu",
        {"activation": "relu", **_ONE_HIDDEN},
        batch="active",
    ),
    *(
        Coincidence(bug, "none", WITH_HIDDEN, "W = 0 hands nothing down in the first place", _ONE_HIDDEN, theta="zero")
        for bug in ("missing_activation_derivative", "activation_derivative_at_output", "detached_layer")
    ),
    Coincidence("clipped", "none", EVERY, "no entry is above the largest", settings={"magnitude": 1.0}),
    *(
        Coincidence("downcast", "none", ("one_d",), "every dtype holds the gradient x = 2", {"curve": curve, **_NO_L2})
        for curve in ("linear", "abs")
    ),
    Coincidence(
        "zero_entry",
        "none",
        WITH_HIDDEN,
        "an entry that is 0 already",
        _ONE_HIDDEN,
        {"param": "W1", "index": 0},
        theta="zero",
    ),
)

TWINS: tuple[Coincidence, ...] = (
    Coincidence("sign_flip", "scale", EVERY, "1 + magnitude = -1", twin_settings={"magnitude": -2.0}),
    Coincidence(
        "double_count", "scale", EVERY, "without a penalty the data term is all", _NO_L2, {}, {"magnitude": 1.0}
    ),
    Coincidence(
        "missing_mean",
        "scale",
        WITH_DATA,
        "n times the data term: magnitude = n - 1",
        _NO_L2,
        {},
        {"magnitude": 4.0},
        n=5,
    ),
    Coincidence(
        "double_mean",
        "scale",
        WITH_DATA,
        "1/n of the data term: magnitude = 1/n - 1",
        _NO_L2,
        {},
        {"magnitude": -0.8},
        n=5,
    ),
    Coincidence("missing_mean", "double_count", WITH_DATA, "the sum over two examples is twice their mean", n=2),
    Coincidence("off_by_one", "scale", WITH_DATA, "the only example is missing", _NO_L2, {}, {"magnitude": -1.0}, n=1),
    Coincidence("dropped_bias", "zero_param", ("linear", "logistic"), "db = 0", {}, {}, {"param": "b"}),
    Coincidence("dropped_bias", "zero_param", WITH_HIDDEN, "db_1 = 0", {}, {"param": "b1"}, {"param": "b1"}),
    Coincidence(
        "dropped_bias", "zero_entry", ("linear", "logistic"), "b has one entry", {}, {}, {"param": "b", "index": 0}
    ),
    Coincidence(
        "detached_layer",
        "zero_param",
        WITH_HIDDEN,
        "W1 is all there is below",
        {**_ONE_HIDDEN, "bias": False, **_NO_L2},
    ),
    *(
        Coincidence(bug, "scale", ("one_d",), "theta is the only entry", {}, {}, {"magnitude": -1.0})
        for bug in ("zero_entry", "zero_param")
    ),
    Coincidence("zero_entry", "zero_param", ("one_d",), "theta is the only entry"),
    Coincidence(
        "clipped", "scale", ("one_d",), "theta is the largest entry: magnitude - 1", {}, {}, {"magnitude": -0.5}
    ),
    Coincidence(
        "single_entry",
        "scale",
        ("one_d",),
        "theta is the largest entry; where the gradient is negative, the magnitudes have opposite signs",
        {},
        {"magnitude": 0.01},
        {"magnitude": 0.01},
        positive=True,
    ),
    Coincidence(
        "relative_noise",
        "additive_noise",
        ("one_d",),
        "one entry is its own root mean square; where the gradient is negative, the noise has the opposite sign",
        positive=True,
    ),
    Coincidence(
        "zero_param", "scale", ("linear", "logistic"), "W is all there is", {"bias": False}, {}, {"magnitude": -1.0}
    ),
    Coincidence(
        "label_flip",
        "sign_flip",
        ("logistic", "mlp"),
        "a = 1/2 everywhere: a - (1 - y) = -(a - y)",
        {},
        {"fraction": 1.0},
        theta="zero",
    ),
    Coincidence(
        "missing_output_derivative",
        "scale",
        ("mlp",),
        "o (1 - o) = 1/4 everywhere",
        {"loss_name": "squared_error"},
        {},
        {"magnitude": 3.0},
        theta="zero",
    ),
)

COINCIDENCES: tuple[Coincidence, ...] = NOTHING + TWINS
"""Every case, those that change nothing first."""
