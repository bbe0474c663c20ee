"""TensorFlow: ``tf.test.compute_gradient`` of a ``custom_gradient``, compared as its documentation does."""

from __future__ import annotations

import os
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
import tensorflow as tf

from tests.benchmarks.referee.case import Answer, Case, Tool, worst

tf.config.threading.set_inter_op_parallelism_threads(1)
tf.config.threading.set_intra_op_parallelism_threads(1)
TOLERANCE = 1e-6  # of ``tf.test.TestCase.assertAllClose``, relative and absolute


def check(case: Case) -> Answer:
    """``assertAllClose(theoretical, numerical)`` with its defaults accuses."""

    @tf.custom_gradient
    def f(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        value = tf.numpy_function(lambda at: np.asarray(case.fun(at), case.x.dtype), [x], x.dtype)
        value.set_shape(())

        def grad(upstream: tf.Tensor) -> tf.Tensor:
            claim = tf.numpy_function(lambda at: np.asarray(case.grad(at), case.x.dtype), [x], x.dtype)
            claim.set_shape(case.x.shape)
            return upstream * claim

        return value, grad

    theoretical, numerical = (np.asarray(g[0], float).ravel() for g in tf.test.compute_gradient(f, [case.x]))
    score, entry = worst(np.abs(theoretical - numerical) / (TOLERANCE + TOLERANCE * np.abs(numerical)))
    try:
        tf.test.TestCase().assertAllClose(theoretical, numerical)
    except AssertionError as error:
        return Answer(True, str(error), score, _entry(str(error), entry), size=True)
    return Answer(False, "nothing", score)


def _entry(said: str, entry: int) -> int | None:
    """Its message lists the places of all that differ."""
    return entry if "not close where" in said else None


RULE = "assertAllClose(theoretical, numerical): |a - n| > 1e-6 (1 + |n|), as in the example of compute_gradient"
TOOLS = (Tool("tensorflow", "tensorflow-cpu", RULE, check),)
