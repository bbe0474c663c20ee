"""The gradient checks of courses and exercises, with the signatures that they were published with.

They call the models and the numeric gradient of this package.  Two things differ from the rest of it, so that the published
digits come out: the central difference is divided by ``2 * epsilon``, not by the step really taken, and the cross-entropy of
the nets is computed from log(A) and log(1 - A).

Sources: the programming exercise "Gradient Checking" of deeplearning.ai's Deep Learning Specialization (course 2, week
1), whose function names, printed lines and thresholds these are; linear and logistic regression as in first courses.

>>> from gradcheck import textbook
>>> difference = textbook.gradient_check(x=2, theta=4)  # doctest: +ELLIPSIS
The gradient is correct! ✅
difference = ...
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcheck.models.batch import NO_BATCH, Batch
from gradcheck.models.functions import sigmoid
from gradcheck.models.linear import Linear
from gradcheck.models.logistic import Logistic
from gradcheck.models.mlp import MLP
from gradcheck.models.one_d import OneD
from gradcheck.numerics.compare import norm_difference, relative_error
from gradcheck.numerics.layout import Layout
from gradcheck.numerics.schemes import textbook_gradient

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]


def logistic_gradient_check(W: ArrayLike, X: ArrayLike, b: ArrayLike, y: ArrayLike, eps: float = 1e-5) -> Floats:
    """Relative errors of dJ/dW of logistic regression: |a - n| / max(1e-8, |a| + |n|).

    Parameters
    ----------
    W : array_like
        d weights.
    X : array_like
        (m, d), rows are examples; (d, m) is turned where m != d; one flat row or column is taken.
    b : array_like
        One number.
    y : array_like
        m labels, 0 or 1.
    eps : float, optional
        The step.

    Returns
    -------
    ndarray
        (d, 1).

    Raises
    ------
    ValueError
        If the sizes do not fit, or if y holds anything but 0 and 1.

    Notes
    -----
    a = X^T (sigmoid(X W + b) - y) / m is the gradient of the mean cross-entropy over the m examples, and n the central
    difference over 2 eps.

    Examples
    --------
    >>> bool((logistic_gradient_check([0.1, 0.2], [[1, 2], [3, 4], [5, 7]], 0.5, [0, 1, 1]) < 1e-7).all())
    True
    """
    weights, labels, bias = _floats("W", W).reshape(-1), _floats("y", y).reshape(-1, 1), _floats("b", b).reshape(-1)
    _require_positive("eps", eps)
    if bias.size != 1:
        raise ValueError(f"b has {bias.size} entries: must be one number")
    batch = Batch(_rows(_floats("X", X), len(labels), weights.size), labels)
    model = Logistic()
    model.check_batch(batch)
    theta = model.layout(batch).join({"W": weights[:, None], "b": bias})
    analytic = model.gradient(theta, batch)
    slope = textbook_gradient(lambda t: model.loss(t, batch), theta, eps)
    of_weights: Floats = relative_error(analytic, slope)[model.layout(batch).slices["W"]]
    return of_weights.reshape(-1, 1)


def linear_gradient_check(
    X: ArrayLike, Y: ArrayLike, INIT: ArrayLike, e: float = 1e-4, lr: float = 1e-3
) -> pd.DataFrame:
    """One step of gradient descent against the slope of the cost, weight by weight, for linear regression.

    Parameters
    ----------
    X : array_like
        (m, d), rows are examples; the column x0 = 1 of w0 is added.
    Y : array_like
        m targets.
    INIT : array_like
        w0, w1, ..., wd.
    e, lr : float, optional
        The step of the difference, and the learning rate.

    Returns
    -------
    pandas.DataFrame
        One row a weight: ``weight`` (w0, w1, ...), ``descent_gradient``, ``slope``, ``deviation`` (their difference).

    Raises
    ------
    ValueError
        If the sizes do not fit.

    Notes
    -----
    The cost is sum((Y_hat - Y)**2) / 2 with Y_hat = w0 + X w.  One step W_new = INIT - lr X^T (Y_hat - Y) gives the
    descent gradient (INIT - W_new) / lr, and the central difference over 2 e gives the slope.

    Examples
    --------
    >>> linear_gradient_check([[1], [2], [3]], [2, 4, 6], [0, 1]).round(3)["slope"].tolist()
    [-6.0, -14.0]
    """
    import pandas as pd

    _require_positive("e", e)
    _require_positive("lr", lr)
    targets, init = _floats("Y", Y).reshape(-1, 1), _floats("INIT", INIT).reshape(-1)
    batch = Batch(_rows(_floats("X", X), len(targets), init.size - 1), targets)
    model = Linear(reduction="half_sum")
    where = model.layout(batch).slices
    order = np.r_[where["b"], where["W"]]  # w0 first, as the exercise counts
    theta = np.empty_like(init)
    theta[order] = init
    new = theta - lr * model.gradient(theta, batch)
    descent = (theta - new) / lr
    slope = textbook_gradient(lambda t: model.loss(t, batch), theta, e)
    return pd.DataFrame(
        {
            "weight": [f"w{i}" for i in range(init.size)],
            "descent_gradient": descent[order],
            "slope": slope[order],
            "deviation": np.abs(descent - slope)[order],
        }
    )


def forward_propagation(x: float, theta: float) -> float:
    """J(theta) = theta x."""
    return float(OneD("linear", x).loss(_scalar("theta", theta), NO_BATCH))


def backward_propagation(x: float, theta: float) -> float:
    """dJ/dtheta = x."""
    return float(OneD("linear", x).gradient(_scalar("theta", theta), NO_BATCH)[0])


def gradient_check(x: float, theta: float, epsilon: float = 1e-7) -> float:
    """Difference ||grad - gradapprox|| / (||grad|| + ||gradapprox||) of ``backward_propagation``, 0 where both are 0.

    Prints "The gradient is correct!" if it is below 1e-7, else "The gradient is wrong!", and then the difference.
    """
    _require_positive("epsilon", epsilon)
    gradapprox = textbook_gradient(
        lambda t: np.asarray(forward_propagation(x, float(t[0]))), _scalar("theta", theta), epsilon
    )
    difference = norm_difference(_scalar("x", backward_propagation(x, theta)), gradapprox)
    _say("The gradient is correct! ✅" if difference < 1e-7 else "The gradient is wrong! ❌", difference)
    return difference


def forward_propagation_n(
    X: ArrayLike, Y: ArrayLike, parameters: Mapping[str, ArrayLike]
) -> tuple[float, tuple[Floats, ...]]:
    """Cost of a net with relu hidden layers and sigmoid outputs; columns are examples.

    Parameters
    ----------
    X, Y : array_like
        The examples (d, m), and their labels (k, m).
    parameters : mapping
        W1 (h1, d), b1 (h1, 1), W2, b2, ...  {W1, b1} alone is logistic regression.

    Returns
    -------
    cost : float
    cache : tuple
        (Z1, A1, W1, b1, Z2, ...).

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Notes
    -----
    Z_l = W_l A_{l-1} + b_l with A_0 = X, A_l = relu(Z_l), A_L = sigmoid(Z_L), and
    cost = -sum(Y log(A_L) + (1 - Y) log(1 - A_L)) / m.

    Examples
    --------
    >>> cost, cache = forward_propagation_n([[0.0, 0.0]], [[1, 0]], {"W1": [[1.0]], "b1": [[0.0]]})
    >>> round(cost, 6)  # log 2
    0.693147
    """
    net = _Net(X, Y, parameters)
    trace = net.model.net.forward(net.theta, net.batch)
    outputs = [*trace.inputs[1:], sigmoid(trace.zs[-1])]
    A, y = outputs[-1], np.asarray(net.batch.y, np.float64)
    with np.errstate(divide="ignore"):  # a wrong prediction that is certain costs infinity
        logprobs = _weighted(-np.log(A), y) + _weighted(-np.log(1 - A), 1 - y)
    cost = float(1.0 / len(y) * np.sum(logprobs))
    cache: list[Floats] = []
    for layer, (z, a) in enumerate(zip(trace.zs, outputs, strict=True), start=1):
        cache += [z.T, a.T, net.parameters[f"W{layer}"], net.parameters[f"b{layer}"]]
    return cost, tuple(cache)


def backward_propagation_n(X: ArrayLike, Y: ArrayLike, cache: tuple[ArrayLike, ...]) -> dict[str, Floats]:
    """Gradients {dW1, db1, dW2, ...} of ``forward_propagation_n``'s cost, in the shapes of the parameters.

    ``cache`` is what ``forward_propagation_n`` returns.  dZ_L = A_L - Y, dW_l = dZ_l A_{l-1}^T / m, db_l = sum(dZ_l) / m,
    dZ_{l-1} = (W_l^T dZ_l) [Z_{l-1} > 0].
    """
    if len(cache) == 0 or len(cache) % 4:
        raise ValueError(f"cache has {len(cache)} entries: must be (Z1, A1, W1, b1, Z2, ...), four a layer")
    parameters = {
        f"{name}{i // 4 + 1}": cache[i + k] for i in range(0, len(cache), 4) for name, k in (("W", 2), ("b", 3))
    }
    net = _Net(X, Y, parameters)
    gradient = net.model.gradient(net.theta, net.batch)
    return {
        f"d{name}": np.ascontiguousarray(part.T.reshape(net.parameters[name].shape))
        for name, part in net.model.layout(net.batch).split(gradient).items()
    }


def gradient_check_n(
    parameters: Mapping[str, ArrayLike],
    gradients: Mapping[str, ArrayLike],
    X: ArrayLike,
    Y: ArrayLike,
    epsilon: float = 1e-7,
) -> float:
    """Difference ||grad - gradapprox|| / (||grad|| + ||gradapprox||) of `gradients`, 0 where both norms are 0.

    Prints "There is a mistake in the backward propagation!" if it is above 2e-7 (or not a number), else "Your backward
    propagation works perfectly fine!", and then the difference.

    ``gradients`` holds dW1, db1, ... in the shapes of the parameters; other entries, such as dZ1, are ignored.  Raises
    ValueError where a gradient is missing or has another shape than its parameter.
    """
    _require_positive("epsilon", epsilon)
    values = _Net(X, Y, parameters).parameters
    layout = Layout(tuple(values), tuple(value.shape for value in values.values()))
    if missing := [f"d{name}" for name in values if f"d{name}" not in gradients]:
        raise ValueError(f"gradients has no {', '.join(missing)}")
    grad = layout.join({name: gradients[f"d{name}"] for name in values}, np.float64)
    gradapprox = textbook_gradient(
        lambda theta: np.asarray(forward_propagation_n(X, Y, layout.split(theta))[0]), layout.join(values), epsilon
    )
    difference = norm_difference(grad, gradapprox)
    fine = difference <= 2e-7  # a difference that is not a number is not fine
    _say(
        "Your backward propagation works perfectly fine! ✅"
        if fine
        else "There is a mistake in the backward propagation! ❌",
        difference,
    )
    return difference


class _Net:
    """The course's net, whose columns are examples, as an ``MLP`` with theta and batch, whose rows are examples."""

    def __init__(self, X: ArrayLike, Y: ArrayLike, parameters: Mapping[str, ArrayLike]) -> None:
        depth = sum(name.startswith("W") for name in parameters)
        names = [f"{kind}{layer}" for layer in range(1, depth + 1) for kind in "Wb"]
        if not depth or set(names) != set(parameters):
            raise ValueError(f"parameters has {', '.join(parameters) or 'nothing'}: must be W1, b1, W2, b2, ...")
        self.parameters = {name: _floats(name, parameters[name]) for name in names}
        weights = [self.parameters[name] for name in names[::2]]
        columns = _floats("X", X)
        if columns.ndim != 2 or 0 in columns.shape:
            raise ValueError(f"X has the shape {columns.shape}: must be (features, examples)")
        m = columns.shape[1]
        widths = [columns.shape[0], *(len(weight) if weight.ndim else 0 for weight in weights)]
        for layer, weight in enumerate(weights, start=1):
            if weight.shape != (widths[layer], widths[layer - 1]):
                raise ValueError(f"W{layer} has the shape {weight.shape}: must be (units, {widths[layer - 1]})")
            bias = self.parameters[f"b{layer}"]
            if bias.size != widths[layer]:
                raise ValueError(f"b{layer} has the shape {bias.shape}: must be ({widths[layer]}, 1)")
        labels = _floats("Y", Y)
        if labels.size != widths[-1] * m:
            raise ValueError(f"Y has the shape {labels.shape}: must be ({widths[-1]}, {m})")
        self.batch = Batch(columns.T, labels.reshape(widths[-1], m).T)
        self.model = MLP(layers=widths[1:-1], activation="relu")
        self.model.check_batch(self.batch)
        shapes = dict(zip(names, self.model.layout(self.batch).shapes, strict=True))
        self.theta = self.model.layout(self.batch).join(
            {name: value.T.reshape(shapes[name]) for name, value in self.parameters.items()}, np.float64
        )


def _weighted(values: Floats, weights: Floats) -> Floats:
    """values * weights; 0 where the weight is 0, even if the value is infinite."""
    return np.multiply(values, weights, out=np.zeros_like(values), where=weights != 0)


def _require_positive(name: str, value: float) -> None:
    if not 0 < value < np.inf:
        raise ValueError(f"{name}={value}: must be a finite number > 0")


def _rows(X: Floats, m: int, d: int) -> Floats:
    """X as (m, d), rows are examples."""
    if m == 0 or d == 0:
        raise ValueError(f"{m} examples with {d} weights: there must be one of each at least")
    if X.shape == (m, d):
        return X
    if X.shape == (d, m):
        return np.ascontiguousarray(X.T)
    if X.ndim < 2 and X.size == m * d and 1 in (m, d):
        return X.reshape(m, d)
    raise ValueError(f"X has the shape {X.shape}: must be ({m}, {d}), one row an example and one column a weight")


def _scalar(name: str, value: ArrayLike) -> Floats:
    array = _floats(name, value).reshape(-1)
    if array.size != 1:
        raise ValueError(f"{name} has {array.size} entries: must be one number")
    return array


def _floats(name: str, value: ArrayLike) -> Floats:
    try:
        return np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must hold numbers") from None


def _say(line: str, difference: float) -> None:
    encoding: str = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(line.encode(encoding, "replace").decode(encoding))  # a terminal without ✅ shows a question mark
    print(f"difference = {difference}")
