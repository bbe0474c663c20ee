"""Errors that a user can cause."""

from __future__ import annotations

import re

from gradcheck.uris import hide


def one_line(words: object) -> str:
    """The words of an error, or another value as text, on one line."""
    return " ".join(str(words).split())


class BadInput(ValueError):
    """Something typed or recorded that cannot be used.

    The message is one line that names the key, the value and what is allowed.  Credentials of URIs in it are hidden.

    Parameters
    ----------
    message : str
        The line.

    Examples
    --------
    >>> from gradcheck.errors import BadInput
    >>> str(BadInput("store=s3://key:secret@bucket/runs: there is no bucket"))
    'store=s3://bucket/runs: there is no bucket'
    """

    def __init__(self, message: str) -> None:
        super().__init__(hide(message))


class Damaged(BadInput):
    """A file of results does not hold what was stored."""


class Meaningless(ValueError):
    """A combination that has no meaning, such as a bias bug in a model without a bias."""


class NoEffect(Meaningless):
    """A bug that leaves this very gradient unchanged."""


class ContractError(ValueError):
    """A function under test does not keep its contract; the message says which, and how.

    Raised for what is wrong with ``fun``, ``jac`` or the point rather than with the numbers: a gradient of another shape
    (such as the transpose), None, several gradients for one input, an output that changes its shape, a function that is not
    deterministic or that changes its argument, a step that is not positive.

    See Also
    --------
    GradientMismatch : The functions keep their contract, and the gradient is wrong.

    Examples
    --------
    >>> import gradcheck
    >>> import numpy as np
    >>> gradcheck.check_gradient(lambda W: np.sum(W**2), lambda W: 2 * W.T, np.ones((2, 3)))
    Traceback (most recent call last):
    gradcheck.errors.ContractError: the gradient has the shape (3, 2), but must have (2, 3): it is the transpose
    """


class GradientMismatch(AssertionError):
    """A gradient is not the derivative of its function, or too little of it could be judged.

    ``assert_gradient`` raises it.  The message is the report that a printed Outcome shows, and what was missing.

    Attributes
    ----------
    finding : str
        The verdict and the diagnosis, or the worst weight, in one line.

    See Also
    --------
    ContractError : Something is wrong with the functions rather than with the numbers.

    Examples
    --------
    >>> import gradcheck
    >>> import numpy as np
    >>> try:
    ...     gradcheck.assert_gradient(np.sum, lambda x: 2 * np.ones_like(x), np.arange(3.0))
    ... except gradcheck.GradientMismatch as error:
    ...     print(str(error).splitlines()[0])
    MISMATCH  3 of 3 weights are wrong (all of x)
    """

    def __init__(self, message: str = "", finding: str | None = None) -> None:
        super().__init__(message)
        self.finding = message.partition("\n")[0] if finding is None else finding

    def __reduce__(self) -> tuple[type[GradientMismatch], tuple[str, str]]:
        return type(self), (str(self), self.finding)


# A traceback and the summary of pytest name it as a user imports it.
GradientMismatch.__module__ = "gradcheck"


class WriteError(RuntimeError):
    """Results could not be stored (disk full, folder made read-only); what was stored before is intact."""

    def __init__(self, message: str) -> None:
        super().__init__(hide(message))


def cause(error: BaseException) -> str:
    """What a filesystem says went wrong, on one line of at most 300 characters and without the ids of requests."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = one_line(error)
    text = re.sub(r" ?\(Request ID: [^)]*\)", "", text)
    return text if len(text) <= 300 else text[:297] + "..."
