"""Numbers that other people published, computed by this package's own models and functions."""

from __future__ import annotations

import numpy as np
import pytest

from gradcheck.models import MLP, Logistic, Softmax
from gradcheck.models.batch import Batch
from gradcheck.numerics.schemes import textbook_gradient
from gradcheck.textbook import (
    backward_propagation_n,
    forward_propagation_n,
    gradient_check,
    gradient_check_n,
)

U = np.finfo(float).eps / 2


# --- the course exercise on gradient checking (deeplearning.ai, course 2, week 1) -------------------------------------


def test_one_parameter_of_the_course():
    assert gradient_check(2, 4, epsilon=1e-7) == 2.919335883291695e-10


@pytest.fixture
def course_net():
    state = np.random.get_state()
    np.random.seed(1)
    X, Y = np.random.randn(4, 3), np.array([1, 1, 0])
    shapes = {"W1": (5, 4), "b1": (5, 1), "W2": (3, 5), "b2": (3, 1), "W3": (1, 3), "b3": (1, 1)}
    parameters = {name: np.random.randn(*shape) for name, shape in shapes.items()}
    np.random.set_state(state)
    return X, Y, parameters


def test_cost_of_the_course_net(course_net):
    cost, _ = forward_propagation_n(*course_net)
    # 15 digits are published; log(1 - A) of a confident output loses some of them to the BLAS kernel
    assert cost == pytest.approx(2.40783338983436, rel=1e-14)


def test_difference_of_the_course_net_with_its_two_mistakes(course_net, capsys):
    X, Y, parameters = course_net
    gradients = backward_propagation_n(X, Y, forward_propagation_n(X, Y, parameters)[1])
    gradients["dW2"] = 2 * gradients["dW2"]
    gradients["db1"] = 4 * gradients["db1"]
    difference = gradient_check_n(parameters, gradients, X, Y, epsilon=1e-7)
    assert difference == pytest.approx(0.2850931567761623, rel=1e-8)
    assert "There is a mistake in the backward propagation!" in capsys.readouterr().out


def test_difference_of_the_course_net_corrected(course_net, capsys):
    X, Y, parameters = course_net
    gradients = backward_propagation_n(X, Y, forward_propagation_n(X, Y, parameters)[1])
    difference = gradient_check_n(parameters, gradients, X, Y, epsilon=1e-7)
    assert difference == pytest.approx(1.1890913024229996e-07, rel=3e-3)
    assert "Your backward propagation works perfectly fine!" in capsys.readouterr().out


def test_dead_units_of_the_course_net(course_net):
    X, Y, parameters = course_net
    gradients = backward_propagation_n(X, Y, forward_propagation_n(X, Y, parameters)[1])
    entries = np.concatenate([value.ravel() for value in gradients.values()])
    assert entries.size == 47
    assert np.count_nonzero(entries == 0) == 20


def test_the_stable_cost_of_the_course_net_is_a_hundred_times_less_noisy(course_net):
    """The published difference is noise of log(1 - A): the stable form of the same loss leaves 1.13e-09."""
    X, Y, parameters = course_net
    model, batch = MLP([5, 3], "relu"), Batch(X.T.copy(), Y[:, None].astype(float))
    layout = model.layout(batch)
    values = {name: value.T.reshape(layout.shapes[i]) for i, (name, value) in enumerate(parameters.items())}
    theta = layout.join(values)
    analytic = model.gradient(theta, batch)
    slope = textbook_gradient(lambda t: model.loss(t, batch), theta, 1e-7)
    difference = np.linalg.norm(analytic - slope) / (np.linalg.norm(analytic) + np.linalg.norm(slope))
    assert model.loss(theta, batch) == pytest.approx(2.40783338983436, rel=1e-14)
    # rounding noise, which another BLAS kernel may change by a factor: far below the published 1.19e-07 in any case
    assert 1.13e-09 / 4 < difference < 4 * 1.13e-09


# --- logistic regression ----------------------------------------------------------------------------------------------


def test_regularised_logistic_regression_of_the_machine_learning_course():
    """lrCostFunction, where the penalty is lambda / (2 m) without the bias: l2 = lambda / m."""
    X = (np.arange(1, 16) / 10).reshape(3, 5).T
    batch = Batch(X, np.array([[1.0], [0], [1], [0], [1]]))
    theta, decay = np.array([-2.0, -1, 1, 2]), 3.0
    model = Logistic(l2=decay / len(X))
    theta = model.layout(batch).join({"b": theta[:1], "W": theta[1:, None]})
    gradient = model.layout(batch).split(model.gradient(theta, batch))
    # six decimals are published
    assert model.loss(theta, batch) == pytest.approx(2.534819, abs=5.1e-7)
    np.testing.assert_allclose(gradient["b"], [0.146561], atol=5.1e-7)
    np.testing.assert_allclose(gradient["W"].ravel(), [-0.548558, 0.724722, 1.398003], atol=5.1e-7)


def test_propagate_of_the_course():
    X, y = np.array([[1.0, 3], [-2, 0.5], [-1, -3.2]]), np.array([[1.0], [1], [0]])
    model, batch = Logistic(), Batch(X, y)
    theta = model.layout(batch).join({"W": [[1.0], [2]], "b": [1.5]})
    # 17 digits are published; the naive form rounds 1 - A, up to 2 u / 0.6 in each of three logs
    assert model.loss(theta, batch) == pytest.approx(0.15900537707692405, abs=10 * U)
    cost, _ = forward_propagation_n(X.T, y.T, {"W1": [[1.0, 2]], "b1": [[1.5]]})
    assert cost == pytest.approx(0.15900537707692405, abs=10 * U)


# --- nets -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def cs231n_toy():
    state = np.random.get_state()
    np.random.seed(0)
    values = {
        "W1": 0.1 * np.random.randn(4, 10),
        "b1": np.zeros(10),
        "W2": 0.1 * np.random.randn(10, 3),
        "b2": np.zeros(3),
    }
    np.random.seed(1)
    X = 10 * np.random.randn(5, 4)
    np.random.set_state(state)
    reg = 0.05  # on the sum of squares, without 1/2
    model, batch = Softmax([10], "relu", n_classes=3, l2=2 * reg), Batch(X, np.array([0, 1, 2, 2, 1]))
    return model, batch, model.layout(batch).join(values)


def test_loss_of_the_two_layer_net_of_cs231n(cs231n_toy):
    model, batch, theta = cs231n_toy
    assert model.loss(theta, batch) == pytest.approx(1.30378789133, abs=5.1e-12)  # eleven decimals are published


def test_relative_errors_of_the_two_layer_net_of_cs231n(cs231n_toy):
    model, batch, theta = cs231n_toy
    layout = model.layout(batch)
    analytic = layout.split(model.gradient(theta, batch))
    slope = layout.split(textbook_gradient(lambda t: model.loss(t, batch), theta, 1e-5))
    published = {"W1": 3.6e-09, "W2": 3.4e-09, "b1": 2.7e-09, "b2": 4.4e-11}
    for name, worst in published.items():
        a, n = analytic[name], slope[name]
        errors = np.abs(a - n) / np.maximum(1e-8, np.abs(a) + np.abs(n))
        # rounding of the loss over the step: the order of magnitude is the figure, the digits are the machine's
        assert worst / 10 < errors.max() < worst * 10, name


def test_mazurs_net_of_two_inputs_two_units_and_two_outputs():
    model = MLP([2], "sigmoid", "squared_error")
    batch = Batch(np.array([[0.05, 0.1]]), np.array([[0.01, 0.99]]))
    model.check_batch(batch)
    theta = model.layout(batch).join(
        {
            "W1": np.transpose([[0.15, 0.2], [0.25, 0.3]]),
            "b1": [0.35, 0.35],
            "W2": np.transpose([[0.4, 0.45], [0.5, 0.55]]),
            "b2": [0.6, 0.6],
        }
    )
    assert model.loss(theta, batch) == pytest.approx(0.298371109, abs=5.1e-10)  # nine decimals are published


# --- a user's own functions -------------------------------------------------------------------------------------------


def test_the_quadratic_of_the_ufldl_tutorial():
    from gradcheck import check_gradient

    def fun(x):
        return x[0] ** 2 + 3 * x[0] * x[1]

    def jac(x):
        return np.array([2 * x[0] + 3 * x[1], 3 * x[0]])

    result = check_gradient(fun, jac, [4, 10], eps=1e-4)
    assert result.ok
    assert result.errors["analytic"].tolist() == [38, 12]
    numeric = result.errors["numeric"].to_numpy()
    difference = np.linalg.norm(numeric - [38, 12]) / np.linalg.norm(numeric + np.array([38, 12]))
    # published: about 2e-12.  f is 136; each of two points rounds f and its terms by a few u, divided by 2 eps
    assert difference < 4 * U * 136 / 1e-4 / np.linalg.norm([76, 24])


PLANTED = {
    "2x claimed 2.001": (lambda x: 2 * x[0], lambda x: [2.001]),
    "identity claimed 1.01": (lambda x: x[0], lambda x: [1.01]),
    "x^2 claimed 3x": (lambda x: x[0] ** 2, lambda x: 3 * x),
}


@pytest.mark.parametrize("eps", ["auto", 1e-4, 1e-6])
@pytest.mark.parametrize("case", PLANTED)
def test_planted_errors_are_mismatches(case, eps):
    from gradcheck import check_gradient

    fun, jac = PLANTED[case]
    result = check_gradient(fun, jac, [1.3], eps=eps)
    assert result.verdict == "mismatch"
    assert not result.ok


@pytest.mark.parametrize("eps", ["auto", 1e-4, 1e-6])
def test_the_same_functions_with_correct_gradients_match(eps):
    from gradcheck import check_gradient

    correct = {
        "2x claimed 2.001": lambda x: [2.0],
        "identity claimed 1.01": lambda x: [1.0],
        "x^2 claimed 3x": lambda x: 2 * x,
    }
    for case, (fun, _) in PLANTED.items():
        assert check_gradient(fun, correct[case], [1.3], eps=eps).verdict == "match", case
