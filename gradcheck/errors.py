"""Errors that a user can cause."""

from __future__ import annotations

from gradcheck.uris import hide


def one_line(error: object) -> str:
    """The words of an error on one line."""
    return " ".join(str(error).split())


class BadInput(ValueError):
    """Something typed or recorded that cannot be used; one line that names key, value and what is allowed.

    Credentials in it are hidden, wherever it is shown.
    """

    def __init__(self, message: str) -> None:
        super().__init__(hide(message))


class Damaged(BadInput):
    """A file of results that does not hold what was stored."""


class Meaningless(ValueError):
    """A combination that has no meaning, such as a bias bug in a model without a bias."""


class NoEffect(Meaningless):
    """A bug that leaves this very gradient unchanged."""


class ContractError(ValueError):
    """A function under test that does not keep its contract, such as a gradient of another shape, or None."""


class GradientMismatch(AssertionError):
    """A gradient that is not the derivative of its function; the message is the whole report."""


class WriteError(RuntimeError):
    """Results could not be stored (disk full, folder made read-only); what was stored before is intact."""

    def __init__(self, message: str) -> None:
        super().__init__(hide(message))
