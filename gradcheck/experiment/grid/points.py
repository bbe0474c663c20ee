"""The points of a grid: one scientific config each, in the order of its axes.

Hydra's own multirun composes the config of every job from its files, twice.  Here that is done once for each distinct
tuple of group choices.  Values are set in a copy, checked by the same schema.  The slow way, Hydra's, is the definition.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TypeGuard

from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig

from gradcheck.errors import BadInput
from gradcheck.experiment.config import compose
from gradcheck.experiment.config.canonical import Form, section_of
from gradcheck.experiment.config.hydra_private import Hydra, holds, parsed_value, raw, set_number
from gradcheck.experiment.config.schema import SCIENCE
from gradcheck.experiment.grid.axes import SAME_PROBLEM, Axis
from gradcheck.experiment.grid.dimensions import Dimension, job_number
from gradcheck.experiment.grid.recent import Recent

BASES = 100  # composed configs that are kept
# an interpolation that names no other key gives the same value wherever it stands
_CONSTANT = re.compile(r"\$\{logspace:[^${}]*\}")
_REFERS = object()  # stands for a value that refers to others, so that it changes with them


def points(hydra: Hydra, master: DictConfig, dimensions: Sequence[Dimension]) -> Iterator[Form]:
    """Scientific config (``eps`` may be a list) of every point of the grid, in the order of the dimensions."""
    axes = [axis for one in dimensions for axis in one.axes]
    typed = sorted(range(len(axes)), key=lambda i: axes[i].place)
    # where one key takes names and mappings, its names cannot be told from the values that others take
    named = typed if any(axis.mixed for axis in axes) else [i for i in typed if axes[i].group]
    valued = [i for i in typed if i not in named]
    values = [axes[i] for i in valued]
    fast = _separable(values)
    lines = [line for axis in values for line in axis.lines]

    @lru_cache(maxsize=BASES)
    def base(*groups: str) -> _Base:
        return _Base(compose.compose_point(hydra, master, groups, lines), values, fast)

    for i, chosen in enumerate(_product(dimensions)):
        found = base(*[chosen[j].input_line or "" for j in named])
        if found.whole:
            found.enter_job([chosen[j] for j in typed], job_number(dimensions, i))
        yield found.at([chosen[j] for j in valued])


def _product(dimensions: Sequence[Dimension]) -> Iterator[tuple[Override, ...]]:
    """One override of each axis: ``itertools.product`` that does not hold all points of a dimension at once."""
    if not dimensions:
        yield ()
        return
    *slow, fast = dimensions
    for first in _product(slow):
        for last in fast:
            yield (*first, *last)


def _separable(axes: Sequence[Axis]) -> bool:
    """Whether values can be set in any order: plain keys, none a part of another, none added or removed."""
    paths = [axis.path for axis in axes]
    for axis in axes:
        if (
            axis.typed.type is not OverrideType.CHANGE
            or axis.typed.package is not None
            or not re.fullmatch(r"[\w.]+", axis.path)
        ):
            return False
        if sum(p == axis.path or p.startswith(axis.path + ".") or axis.path.startswith(p + ".") for p in paths) > 1:
            return False
    return True


class _Base:
    """What the points with the same group choices share: their composed config, and values as the schema makes them.

    The slow way of ``at`` is the definition: set all values in a copy of the config and resolve it.
    """

    def __init__(self, cfg: DictConfig, axes: Sequence[Axis], separable: bool) -> None:
        self.whole = compose.is_whole(cfg)
        # what Hydra cannot set in the environment of a job is wrong for all points: one of them goes the slow way
        self._proven = not (self.whole and cfg.hydra.job.env_set)
        self._cfg = cfg
        self._scratch = copy.deepcopy(cfg)
        self._separable = separable and self._settled([axis.points[0] for axis in axes if not axis.swept])
        self._science: Form = compose.resolved(self._scratch) if self._separable else {}
        self._made: Recent[tuple[str, str], object] = Recent()
        self._fast = [i for i, axis in enumerate(axes) if axis.swept and axis.path in SAME_PROBLEM]
        self._slow = [i for i, axis in enumerate(axes) if axis.swept and axis.path not in SAME_PROBLEM]
        self._last: tuple[list[Override], Form | None] | None = None

    def _settled(self, values: Sequence[Override]) -> bool:
        """Set the values that all points have.  Whether no part of the config then refers to another part."""
        try:
            compose.apply(self._scratch, values)
        except BadInput:
            return False  # the slow way says why at each point, unless the point's own values mend it
        return not any(_refers(self._scratch, key) for key in SCIENCE)

    def enter_job(self, overrides: Sequence[Override], number: int) -> None:
        compose.enter_job(self._cfg, overrides, number)

    def at(self, chosen: Sequence[Override]) -> Form:
        """The scientific config with the chosen values."""
        if self._separable and self._proven:
            problem = self._problem([chosen[i] for i in self._slow])
            others = {o.key_or_group: self._checked(o) for o in [chosen[i] for i in self._fast]}
            if problem is not None and not any(value is _REFERS for value in others.values()):
                return problem | others
        cfg = copy.deepcopy(self._cfg)
        compose.apply(cfg, chosen)
        science = compose.science(cfg)
        self._proven = True
        return science

    def _problem(self, slow: list[Override]) -> Form | None:
        """The config with the values of all axes but SAME_PROBLEM; None where one of these values refers to others.

        Neighbours get the very same sections, so that their canonical forms need not be made again.
        """
        if self._last is None or any(new is not old for new, old in zip(slow, self._last[0], strict=True)):
            patches = [(o.key_or_group, self._checked(o)) for o in slow]
            refers = any(value is _REFERS for _, value in patches)
            self._last = slow, None if refers else _patched(self._science, patches)
        return self._last[1]

    def _checked(self, override: Override) -> object:
        """A value as the schema makes it."""
        return self._made.get_or((override.key_or_group, override.input_line or ""), self._value, override)

    def _value(self, override: Override) -> object:
        number = parsed_value(override)
        if _is_plain_number(number):
            made = set_number(self._scratch, override.key_or_group, number)
            if made is not None:
                return made
        # a mapping is merged into what is there, and must leave no trace there
        cfg = copy.deepcopy(self._scratch) if isinstance(override.value(), dict | list) else self._scratch
        compose.apply(cfg, [override])
        top = override.key_or_group.partition(".")[0]
        return _REFERS if _refers(cfg, top) else value_at({top: compose.plain(cfg, top)}, override.key_or_group)


def _is_plain_number(value: object) -> TypeGuard[int | float]:
    return type(value) in (int, float)


def _refers(cfg: DictConfig, key: str) -> bool:
    """Whether a part of the config refers to others, so that it changes with them."""
    if not holds(cfg, key, strict=True):
        return False
    return "${" in _CONSTANT.sub("", json.dumps(raw(cfg, key), default=str))


def value_at(science: Mapping[str, object], path: str) -> object:
    """The value at a dotted path in a config; None where there is none."""
    value: object = science
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _patched(science: Form, patches: Sequence[tuple[str, object]]) -> Form:
    patched = dict(science)
    for path, value in patches:
        *parents, last = path.split(".")
        level = patched
        for key in parents:
            inner = dict(section_of(level, key))
            level[key] = inner
            level = inner
        level[last] = value
    return patched
