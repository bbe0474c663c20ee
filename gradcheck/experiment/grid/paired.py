"""Paired axes: groups of keys whose lists are varied together, first value with first value, as Python's ``zip`` does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TypeAlias

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from gradcheck.errors import BadInput
from gradcheck.experiment.config import compose
from gradcheck.experiment.config.cast import short
from gradcheck.experiment.grid.axes import ZIP, length

Groups: TypeAlias = tuple[tuple[str, ...], ...]


def groups(cfg: DictConfig) -> Groups:
    """The groups of keys in a composed config; none where ``zip`` is empty.

    Raises BadInput for what is no list of keys, and for a key in two groups.
    """
    given = compose.plain(cfg, ZIP)
    if not given:
        return ()
    lists = given if all(isinstance(one, list) for one in given) else [given]
    if not all(one and all(isinstance(key, str) and key for key in one) for one in lists):
        raise BadInput(
            f"{written(given)}: must be a list of keys, as {ZIP}=[data.n,data.d], or a list of such lists, as"
            f" {ZIP}=[[data.n,data.d],[bug,model.l2]]"
        )
    found = tuple(tuple(key.lstrip("+~") for key in one) for one in lists)
    for key, times in Counter(key for group in found for key in group).items():
        if times > 1:
            raise BadInput(f"{written(given)}: {key} stands there {times} times; a key can be in one group, once")
    return found


def written(given: object) -> str:
    """Groups of keys as they are typed."""

    def listed(one: object) -> str:
        return f"[{','.join(map(listed, one))}]" if isinstance(one, list | tuple) else short(one)

    several = given[0] if isinstance(given, tuple) and len(given) == 1 else given
    return f"{ZIP}={listed(several)}"


def refuse(cfg: DictConfig, why: str) -> None:
    """Raise BadInput where a config has groups, with the reason why it may have none."""
    if found := groups(cfg):
        raise BadInput(f"{written(found)}: {why}")


def together(found: Groups, overrides: Mapping[str, Override]) -> list[tuple[int, ...]]:
    """The places of the keys of each dimension, in the order of dimensions: a group stands where its first key stands.

    overrides : the last one of each key, in the order in which Hydra sets them.

    Raises BadInput for a key that is no axis of the sweep, and for lists of different lengths.
    """
    swept: dict[str, list[int]] = {}
    for place, override in enumerate(overrides.values()):
        if override.is_sweep_override():
            swept.setdefault(override.key_or_group, []).append(place)
    fixed = {override.key_or_group: override.input_line for override in overrides.values()}
    named = [tuple(_place(found, key, swept, fixed) for key in group) for group in found]
    by_place = list(overrides.values())
    for group, places in zip(found, named, strict=True):
        lengths = [length(by_place[place]) for place in places]
        if len(set(lengths)) > 1:
            told = ", ".join(f"{key} has {n}" for key, n in zip(group, lengths, strict=True))
            raise BadInput(f"{written(found)}: the lists must have the same length, but {told} values")
    alone = set(range(len(by_place))).difference(*named)
    return sorted([*named, *((place,) for place in alone)])


def _place(found: Groups, key: str, swept: Mapping[str, list[int]], fixed: Mapping[str, str | None]) -> int:
    places = swept.get(key, [])
    if len(places) == 1:
        return places[0]
    if places:
        raise BadInput(f"{written(found)}: {key} has {len(places)} lists in this sweep; give it one")
    why = f"{fixed[key]} is one value" if key in fixed else f"{key} has no list in this sweep"
    listed = f"axes of this sweep are {', '.join(swept)}" if swept else "this sweep has no axes"
    raise BadInput(f"{written(found)}: {why}; give {key} a list, as {key}=...,..., or leave it out of {ZIP} ({listed})")
