"""The axes of a grid, in Hydra's syntax of a sweep."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import overload

from hydra.core.override_parser.types import Override, RangeSweep
from omegaconf import DictConfig, OmegaConf

from gradcheck.errors import BadInput
from gradcheck.experiment.config import compose
from gradcheck.experiment.config.hydra_private import (
    Hydra,
    numbered,
    numbers_of,
    parsed_value,
    repository_of,
    sweeper_params,
)
from gradcheck.experiment.config.overrides import Parser
from gradcheck.experiment.config.schema import SCIENCE, Run, of_sections
from gradcheck.experiment.config.words import in_one_line

# They do not change the problem.  As innermost axes their cells are adjacent and share it.
SAME_PROBLEM = ("eps", "scheme", "match_at", "accept", "min_judged")
ZIP = "zip"  # the key that says which axes are varied together


@dataclass(frozen=True)
class Axis:
    """One key of the grid: its override as typed and one parsed override for each of its values.

    place : of the key among all keys, in the order in which Hydra sets them.
    group : whether its values name configs.
    mixed : whether some name configs and others are mappings.
    """

    key: str
    typed: Override
    points: Sequence[Override]
    place: int
    swept: bool
    group: bool
    mixed: bool

    @property
    def path(self) -> str:
        return self.typed.key_or_group

    @property
    def lines(self) -> list[str]:
        """The points as they would be typed.  Of a range, the first one: its points differ in a number alone."""
        return [o.input_line or "" for o in (self.points[:1] if isinstance(self.points, _Numbers) else self.points)]


def typed(master: DictConfig) -> list[str]:
    """The overrides that span the grid: those of ``hydra.sweeper.params``, then those of the command line.

    Hydra makes its sweeper of the master config, which resolves the parameters there, before there are any points.
    Overrides of the command line are resolved at each point.  Raises BadInput.
    """
    with in_one_line(raw=lambda: compose.interpolations(master, "hydra"), about="hydra.sweeper.params"):
        params = OmegaConf.select(master, "hydra.sweeper.params") or {}
        if "${" in str(params) and master.hydra.runtime.choices.get("hydra/sweeper") == "basic":
            # what Hydra resolves when it makes its own sweeper differs between its versions
            params = sweeper_params(master)
        if ZIP in params:
            raise BadInput(
                f"hydra.sweeper.params.{ZIP}: is no axis; write {ZIP}: [...] beside hydra, not among its params"
            )
        lines = [f"{key}={value}" for key, value in params.items()]
    return lines + compose.as_typed(master.hydra.overrides.task)


def last_of_each(hydra: Hydra, lines: Sequence[str]) -> tuple[Parser, dict[str, Override]]:
    """The overrides of a sweep as Hydra's basic sweeper reads them, by their keys, and the parser that read them.

    A key that is given twice has its last values, at its first place.  Raises BadInput for keys that cannot be swept.
    """
    last: dict[str, Override] = {}
    parser = Parser.create(config_loader=hydra.config_loader)
    with in_one_line(lines):
        for override in parser.parse_overrides(list(lines)):
            last[override.get_key_element()] = override
    for override in last.values():
        _refuse_axis(override, repository_of(hydra).group_exists(override.key_or_group))
    return parser, last


def _refuse_axis(override: Override, group: bool) -> None:
    """Raise BadInput for what is no axis of a grid.  group : whether the key is a folder of configs."""
    line, top = override.input_line or "", re.split(r"[./@]", override.key_or_group)[0]
    if top == "experiment" and override.is_sweep_override():
        raise BadInput(f"{line}: must be one name, Hydra would drop the grids of several experiments")
    if not override.is_sweep_override():
        return
    if not override.is_discrete_sweep():
        raise BadInput(f"{line}: an interval has no points to check; write range(start,stop,step) or a list")
    if top == "hydra":
        raise BadInput(f"{line}: keys of Hydra cannot be swept; give one value")
    if top == ZIP:
        raise BadInput(f"{line}: is no axis; write several groups of keys as a list of lists, as {ZIP}=[[...],[...]]")
    if top not in SCIENCE and not (group and top != "engine"):  # configs of any other folder set scientific keys
        known = top in {"engine", *Run.__dataclass_fields__}
        near = of_sections(override.key_or_group)
        none = f"no such key (did you mean {' or '.join(near)}?)" if near else "no such key"
        reason = "is no scientific key and cannot be swept; give one value" if known else none
        raise BadInput(f"{line}: {reason}; axes of a grid are {', '.join(SCIENCE)} and their settings")


def length(override: Override) -> int:
    """How many values an override has; nothing is expanded that could be large."""
    value = parsed_value(override)
    if not isinstance(value, RangeSweep):
        return 1 if not override.is_sweep_override() else sum(1 for _ in override.sweep_iterator())
    start, stop, step = (Decimal(str(v)) for v in (value.start, value.stop, value.step))
    if step == 0 or not all(v.is_finite() for v in (start, stop, step)):
        raise BadInput(
            f"{override.input_line}: must be range(start,stop,step) of finite numbers with a step other than 0"
        )
    return max(0, math.ceil((stop - start) / step))


def axis_of(hydra: Hydra, parser: Parser, place: int, key: str, override: Override) -> Axis:
    """The axis of a key.  Raises BadInput for a list without values and for what names no config of a group."""
    points: Sequence[Override]
    if not override.is_sweep_override():
        # written out and read again, as Hydra hands it to its jobs
        points = parser.parse_overrides([f"{key}={override.get_value_element_as_str()}"])
    elif isinstance(parsed_value(override), RangeSweep):
        points = _Numbers(override, key)
    else:
        points = parser.parse_overrides([f"{key}={text}" for text in override.sweep_string_iterator()])
    if not points:
        raise BadInput(f"{override.input_line}: holds no value; must have at least one")
    exists = repository_of(hydra).group_exists(override.key_or_group)
    mappings = sum(isinstance(point.value(), dict) for point in points) if exists else len(points)
    if exists and not override.is_delete():
        for point in points:
            if not isinstance(point.value(), str | dict):
                raise BadInput(
                    f"{point.input_line}: must be the name of one config of the group {override.key_or_group}"
                )
    group = mappings < len(points)
    return Axis(key, override, points, place, override.is_sweep_override(), group, mixed=group and mappings > 0)


class _Numbers(Sequence[Override]):
    """The points of a range, without the detour over text: numbers read back as they were written."""

    def __init__(self, override: Override, key: str) -> None:
        self._override, self._key = override, key
        self._numbers = numbers_of(override)

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, i: int) -> Override: ...
    @overload
    def __getitem__(self, i: slice) -> list[Override]: ...
    def __getitem__(self, i: int | slice) -> Override | list[Override]:
        if isinstance(i, slice):
            return [self[j] for j in range(len(self))[i]]
        number = self._numbers[i]
        return numbered(self._override, number, f"{self._key}={number}")
