"""Credentials on the command line: refused where nobody expects them, hidden in what is recorded."""

from __future__ import annotations

from collections.abc import Sequence

from gradcheck import uris
from gradcheck.errors import BadInput
from gradcheck.views.commands.folders import quoted


def refuse_credentials(arguments: Sequence[str]) -> None:
    """Raise BadInput for credentials in an argument other than ``store=`` and ``resume=``, which would be printed and
    recorded.
    """
    for text in arguments:
        key, equals, _ = text.partition("=")
        if key.lstrip("+") in ("store", "resume") or not uris.is_uri(text) or uris.hide(text) == text:
            continue
        named = key if equals and not uris.is_uri(key) else "a URI"
        raise BadInput(f"{named}: a URI with credentials or a query may stand in store= and resume= alone")


def without_store(typed: Sequence[str]) -> tuple[str | None, list[str]]:
    """The place in ``store=``, and the overrides without its password, which Hydra records.

    All that follows ``store=`` is the path, also what has a meaning for Hydra.
    """
    found, overrides = None, []
    for text in typed:
        key, _, path = text.partition("=")
        if key.lstrip("+") == "store":
            found = None if path in ("", "null") else path
            if found is not None:
                text = f"{key}={quoted(uris.shown(found))}"
        overrides.append(text)
    return found, overrides
