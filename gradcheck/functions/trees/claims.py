"""The entries of a gradient for each leaf, found by the names under which people keep them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from gradcheck.errors import ContractError
from gradcheck.functions.trees.paths import MISSING, Field, Index, Key, Path, at, get, is_record, last_name

# What stands before a parameter's name in the name of its gradient: nothing, or the same for all.
PREFIXES = ("", "d", "grad_")
NONE = "it must be like x0; where backward keeps it in an object, return it: lambda: (net.backward(), net.grads)[1]"
# How many names a message lists.
LISTED = 8


class Sought(NamedTuple):
    """A leaf whose gradient is sought.

    paths : where it stands; in several places where it is one array in all of them.   optional : whether it may have none.
    """

    name: str
    paths: tuple[Path, ...]
    optional: bool = False


def entries(value: object, leaves: Sequence[Sought], what: str, structure: str) -> list[list[object]]:
    """For each leaf its gradients in ``value``, one for each place where it stands; none for an optional leaf without.

    The gradient has the structure of x0, with the same names, or with ``d`` or ``grad_`` before each; or it is flat, a dict
    or an object with the names of all leaves.  What else it holds is ignored.
    structure : that of x0, in words.   Raises ContractError where an entry is missing.
    """
    if value is None:
        raise ContractError(f"{what} is None: {NONE}")
    _require_lengths(value, leaves, what, structure)
    best: list[list[object]] = []
    whole: list[list[object]] = []
    under = ""
    for prefix in _order(value, leaves):
        found = [list(_found(value, leaf, prefix)) for leaf in leaves]
        if all(found):
            return found
        if all(each or leaf.optional for each, leaf in zip(found, leaves, strict=True)):
            whole = found if sum(map(bool, found)) > sum(map(bool, whole)) else whole or found
        if sum(map(bool, found)) > sum(map(bool, best)):
            best, under = found, prefix
    if whole or not leaves:
        return whole
    if not isinstance(value, Mapping) and not is_record(value) and not any(best):
        raise ContractError(
            f"{what} is a {type(value).__name__}, but x0 is {structure}{_alike(value, leaves, structure)}"
        )
    best = best or [[] for _ in leaves]
    missing = [leaf.name for leaf, each in zip(leaves, best, strict=True) if not each and not leaf.optional]
    hint = _hint(value, missing)
    if isinstance(value, Mapping) and isinstance(leaves[0].paths[0][0], Index) and not any(best):
        hint = f"; it has {_listed([str(key) for key in value])}: return {structure}, or name those of x0 by names="
    raise ContractError(f"{what} has no entry for {_listed([under + name for name in missing])}{hint}")


def _order(value: object, leaves: Sequence[Sought]) -> tuple[str, ...]:
    """The prefixes in the order in which they are tried.

    Where gradients are attributes, the parameters are often attributes of the same object: then the prefix comes first.
    """
    paths = [leaf.paths[0] for leaf in leaves]
    attributes = all(is_record(_container(value, path)) for path in paths if path) and any(paths)
    return (*PREFIXES[1:], "") if attributes else PREFIXES


def _container(value: object, path: Path) -> object:
    """What holds the last name of a path, None where it is a dict or is not there."""
    last = last_name(path)
    found = at(value, path[:last]) if last >= 0 else None
    return None if isinstance(found, Mapping) or found is MISSING else found


def _found(value: object, leaf: Sought, prefix: str) -> Iterator[object]:
    for k, path in enumerate(leaf.paths):
        entry = at(value, path, prefix) if not prefix or last_name(path) >= 0 else MISSING
        if entry is MISSING and k == 0:
            entry = get(value, Key(prefix + leaf.name))
        if entry is None and leaf.optional:
            continue
        if entry is not MISSING:
            yield entry


def _require_lengths(value: object, leaves: Sequence[Sought], what: str, structure: str) -> None:
    """Raise ContractError where a list of the gradient is longer or shorter than that of x0."""
    for leaf in leaves:
        for path in leaf.paths:
            for k, step in enumerate(path):
                here = at(value, path[:k])
                place = step.place if isinstance(step, Field) else step
                if isinstance(place, Index) and isinstance(here, (list, tuple)) and len(here) != place.length:
                    inner = f"{what} of {leaf.name}" if k else what
                    raise ContractError(f"{inner} has {len(here)} arrays, but x0 has {place.length}")


def _alike(value: object, leaves: Sequence[Sought], structure: str) -> str:
    """What to return instead; a tuple of gradients, as ``torch.autograd.grad`` returns it, becomes a dict."""
    if isinstance(value, (list, tuple)) and len(value) == len(leaves):
        return ": return dict(zip(x, gradients))"
    return f": return {structure.partition(' of ')[0]} like it, with a gradient for each"


def _hint(value: object, missing: Sequence[str]) -> str:
    """What there is instead, and what is to be done."""
    keys = [str(key) for key in value] if isinstance(value, Mapping) else []
    held = f"; it has {_listed(keys)}" if keys else ""
    if any(key in (prefix + name for prefix in PREFIXES) for key in keys for name in missing):
        return f"{held}: all names alike, or all with d or grad_ before them"
    return f"{held}; if {missing[0]} is no parameter, leave it out of x0"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:LISTED]) + (f", … ({len(names)} in all)" if len(names) > LISTED else "")
