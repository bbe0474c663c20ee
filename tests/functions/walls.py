"""Functions with walls and poles beside the point, beneath a white noise that is loud."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray


class Walled(NamedTuple):
    """A function with its gradient at a point; a wall lies near each weight, another one far from it on its other side.

    keys : further arguments of the check.
    """

    fun: Callable[[Array], float]
    jac: Callable[[Array], Array]
    x: Array
    keys: dict[str, Any]


KINDS = ("barrier", "bounds", "penalty", "poles", "clipped", "roots", "entropy")


def walled(kind: str, seed: int, n: int = 10) -> Walled:
    """A random one of a kind.

    ``barrier`` is infinite beyond its walls, ``bounds`` has bounds within them.  There ``penalty`` is large, ``poles``
    finite, ``clipped`` constant; ``roots`` and ``entropy`` have no value.
    """
    rng = np.random.default_rng([KINDS.index(kind), seed])
    x = rng.uniform(0.5, 1, n) * rng.choice([-1, 1], n) * 10.0 ** rng.uniform(-3, 3)
    walls = np.abs(x) * 10.0 ** np.stack([rng.uniform(-10, -3, n), rng.uniform(-6, 2, n)])
    near, far = np.sort(walls, axis=0)[:: rng.choice([-1, 1])]
    low, high, size = x - near, x + far, 10.0 ** rng.uniform(-5, 0.5)

    def logs(p: Array) -> float:
        return -float(np.sum(np.log(p - low) + np.log(high - p)))

    losses: dict[str, Callable[[Array], float]] = {
        "penalty": lambda p: logs(p) if (p > low).all() and (p < high).all() else 1e10,
        "poles": lambda p: -float(np.sum(np.log(np.abs(p - low)) + np.log(np.abs(high - p)))),
        "clipped": lambda p: (
            -float(np.sum(np.log(np.maximum(p - low, 1e-3 * near)) + np.log(np.maximum(high - p, 1e-3 * far))))
        ),
        "roots": lambda p: float(np.sum(np.sqrt((p - low) / near) + np.sqrt((high - p) / far))),
        "entropy": lambda p: float(np.sum((p - low) / near * np.log((p - low) / near))),
    }
    gradients: dict[str, Callable[[Array], Array]] = {
        "roots": lambda p: 0.5 / np.sqrt((p - low) * near) - 0.5 / np.sqrt((high - p) * far),
        "entropy": lambda p: (np.log((p - low) / near) + 1) / near,
    }
    loss = losses.get(kind, logs)

    def noisy(p: Array) -> float:
        # the noise of a point is a hash of its bits
        return loss(p) + size * float(np.random.default_rng(p.view(np.uint64)).uniform(-1, 1))

    within = list(zip(low + 1e-3 * (x - low), high - 1e-3 * (high - x), strict=True))
    return Walled(
        noisy,
        gradients.get(kind, lambda p: -1 / (p - low) + 1 / (high - p)),
        x,
        {"bounds": within} if kind == "bounds" else {},
    )
