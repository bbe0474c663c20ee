"""A check of a gradient inside a test: its seed, what is recorded, and a traceback without this package's own frames."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal

from gradcheck.functions.assertion import require
from gradcheck.functions.gradient import check_gradient
from gradcheck.functions.outcome import Outcome
from gradcheck.functions.parameters import Start


def seed_of(test: str) -> int:
    """The seed of a test, from a checksum of its id: ``hash`` of a text differs between processes."""
    return zlib.crc32(test.encode())


class GradientCheck:
    """``assert_gradient`` in a test, as the fixture ``gradient_check``.

    Parameters
    ----------
    seed : int
        The seed unless a call has its own.
    properties : list of (str, object)
        Where the verdict, the resolution and the number of evaluations of each call are recorded.
    """

    def __init__(self, seed: int, properties: list[tuple[str, object]]) -> None:
        self.seed = seed
        self._properties = properties
        self._calls = 0

    def __call__(
        self,
        fun: Callable[..., object],
        jac: Callable[..., object] | Literal[True],
        x0: Start,
        args: tuple[object, ...] = (),
        *,
        strict: bool = False,
        seed: int | None = None,
        **options: Any,
    ) -> Outcome:
        """Fail the test unless the gradient ``jac`` of ``fun`` is right at ``x0``; returns the outcome.

        Parameters
        ----------
        fun, jac, x0, args, strict, options
            Those of assert_gradient.
        seed : int, optional
            The seed of everything that is drawn.  By default it follows from the test's id.

        Raises
        ------
        GradientMismatch, ContractError, ValueError
            As assert_gradient does.
        """
        __tracebackhide__ = True
        used = self.seed if seed is None else seed
        try:
            outcome = check_gradient(fun, jac, x0, args, seed=used, **options)
        except Exception as error:
            error.__traceback__ = _outside(error.__traceback__)
            raise
        self._record(outcome)
        require(outcome, strict, options.get("max_nfev") is not None, f"seed={used}")
        return outcome

    def __repr__(self) -> str:
        return f"gradient_check(fun, jac, x0, ..., seed={self.seed})"

    def _record(self, outcome: Outcome) -> None:
        self._calls += 1
        number = f"_{self._calls}" if self._calls > 1 else ""
        for name, value in (
            ("verdict", outcome.verdict),
            ("resolution", outcome.resolution),
            ("evaluations", outcome.nfev),
        ):
            self._properties.append((name + number, value))


def _outside(trace: TracebackType | None) -> TracebackType | None:
    """The frames from the first one on that is not this package's; None where all are."""
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] == "gradcheck":
        trace = trace.tb_next
    return trace
