"""Do the functions take the arguments that they will get?"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence

from gradcheck.errors import ContractError


def require_taken(
    name: str,
    function: Callable[..., object],
    before: Sequence[str],
    args: tuple[object, ...],
    kwargs: Mapping[str, object] | None = None,
) -> None:
    """Raise ContractError where a function does not take ``before``, then ``args``, and ``kwargs``.

    name : that of the function in messages.   before : what it gets, such as x and v.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a function that is compiled may not tell
        return
    try:
        signature.bind(*before, *args, **(kwargs or {}))
    except TypeError as error:
        given = ", ".join([*before, *["…"] * len(args)])
        raise ContractError(
            f"{name} cannot be called as {name}({given}): {error}; args= holds what it gets beside {' and '.join(before)}"
        ) from None
