"""The grid: Hydra's syntax of a sweep, planned at once.

Hydra's own multirun composes the config of every job from its files, twice.  Here that is done once for each distinct
tuple of group choices; values are set in a copy, checked by the same schema, and the cells differ in nothing else.  The
plan is what Hydra would have run, point by point and in its order, with every value of ``eps`` a cell of its own and no
cell twice.
"""

from __future__ import annotations

import copy
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from hydra._internal.hydra import Hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, RangeSweep
from omegaconf import DictConfig, OmegaConf

from gradcheck import compose, config, store
from gradcheck.check import refuse, refuse_at
from gradcheck.errors import BadInput, Meaningless
from gradcheck.footprint import MAX_MEMORY, require_memory
from gradcheck.store import Place

PLAN = "plan.parquet"
# an interpolation that names no other key gives the same value wherever it stands
_CONSTANT = re.compile(r"\$\{logspace:[^${}]*\}")


@dataclass(slots=True)
class Planned:
    """A cell of the grid.

    cell : its id;  config : canonical;
    swept : the keys of the grid that have no column of their own, and their values here;
    skip : why it is not computed, if it is not.
    """

    cell: str
    config: dict[str, Any]
    swept: dict[str, Any]
    skip: str | None = None


@dataclass(frozen=True)
class Axis:
    """One key of the grid: its override as typed and one parsed override for each of its values."""

    key: str
    typed: Override
    points: tuple[Override, ...]
    swept: bool
    group: bool

    @property
    def path(self) -> str:
        return self.typed.key_or_group


# ---------------------------------------------------------------------------------------------------------------- grid


def grid(hydra: Hydra, lines: Sequence[str], max_cells: int) -> list[Axis]:
    """The axes of a sweep as Hydra's basic sweeper reads them.

    A key that stands twice takes its last values in its first place.

    Raises BadInput for keys that cannot be swept and for grids larger than max_cells, before anything is expanded.
    """
    last: dict[str, Override] = {}
    parser = OverridesParser.create(config_loader=hydra.config_loader)
    try:
        for override in parser.parse_overrides(list(lines)):
            last[override.get_key_element()] = override
    except compose.COMPOSE_ERRORS as error:
        raise BadInput(compose.one_line(error, lines)) from error
    size = 1
    for override in last.values():
        _refuse_axis(override)
        size *= _length(override)
        if size > max_cells:
            raise BadInput(f"{override.input_line}: more than max_cells={max_cells} cells; raise it with max_cells=...")
    try:
        return [_axis(hydra, parser, key, override) for key, override in last.items()]
    except compose.COMPOSE_ERRORS as error:
        raise BadInput(compose.one_line(error, lines)) from error


def _refuse_axis(override: Override) -> None:
    line, top = override.input_line or "", re.split(r"[./@]", override.key_or_group)[0]
    if top == "experiment" and override.is_sweep_override():
        raise BadInput(f"{line}: must be one name, Hydra would drop the grids of several experiments")
    if not override.is_sweep_override():
        return
    if not override.is_discrete_sweep():
        raise BadInput(f"{line}: an interval has no points to check; write range(start,stop,step) or a list")
    if top == "hydra":
        raise BadInput(f"{line}: keys of Hydra cannot be swept; give one value")
    if top not in config.SCIENCE:
        known = top in {"engine", *config.Run.__dataclass_fields__}
        reason = "is no scientific key and cannot be swept; give one value" if known else "no such key"
        raise BadInput(f"{line}: {reason}; axes of a grid are {', '.join(config.SCIENCE)} and their settings")


def _length(override: Override) -> int:
    value = override._value
    if not isinstance(value, RangeSweep):
        return 1 if not override.is_sweep_override() else sum(1 for _ in override.sweep_iterator())
    start, stop, step = (Decimal(str(v)) for v in (value.start, value.stop, value.step))
    if step == 0 or not all(v.is_finite() for v in (start, stop, step)):
        raise BadInput(
            f"{override.input_line}: must be range(start,stop,step) of finite numbers with a step other than 0"
        )
    return max(0, math.ceil((stop - start) / step))


def _axis(hydra: Hydra, parser: OverridesParser, key: str, override: Override) -> Axis:
    if not override.is_sweep_override():
        # written out and read again, as Hydra hands it to its jobs
        points = parser.parse_overrides([f"{key}={override.get_value_element_as_str()}"])
    elif isinstance(override._value, RangeSweep):
        points = [_number(override, key, value) for value in override.sweep_iterator()]
    else:
        points = parser.parse_overrides([f"{key}={text}" for text in override.sweep_string_iterator()])
    if not points:
        raise BadInput(f"{override.input_line}: holds no value; must have at least one")
    exists = hydra.config_loader.repository.group_exists(override.key_or_group)  # type: ignore[attr-defined]
    group = exists and not any(isinstance(point.value(), dict) for point in points)
    if group and not override.is_delete():
        for point in points:
            if not isinstance(point.value(), str):
                raise BadInput(
                    f"{point.input_line}: must be the name of one config of the group {override.key_or_group}"
                )
    return Axis(key, override, tuple(points), override.is_sweep_override(), group)


def _number(override: Override, key: str, value: Any) -> Override:
    """A point of a range, without the detour over text: numbers read back as they were written."""
    point = copy.copy(override)
    point._value, point.value_type, point.input_line = value, None, f"{key}={value}"
    return point


# ---------------------------------------------------------------------------------------------------------------- plan


def points(hydra: Hydra, master: DictConfig, axes: Sequence[Axis]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Scientific config (``eps`` may be a list) and swept values of every point of the grid, in Hydra's order."""
    values = [axis for axis in axes if not axis.group]
    swept = [axis for axis in axes if axis.swept]
    lines = [point.input_line or "" for axis in values for point in axis.points]
    fast = _separable(values)
    bases: dict[tuple[str, ...], _Base] = {}
    for point in itertools.product(*(range(len(axis.points)) for axis in axes)):
        chosen = [axis.points[i] for axis, i in zip(axes, point, strict=True)]
        groups = tuple(o.input_line or "" for o, axis in zip(chosen, axes, strict=True) if axis.group)
        base = bases.get(groups)
        if base is None:
            base = bases[groups] = _Base(compose.compose_point(hydra, master, groups, lines), values, fast)
        science = base.at([o for o, axis in zip(chosen, axes, strict=True) if not axis.group])
        yield science, {axis.path: _select(science, axis.path) for axis in swept}


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
    """What the points with the same group choices share."""

    def __init__(self, cfg: DictConfig, axes: Sequence[Axis], separable: bool) -> None:
        self._cfg = cfg
        self._scratch = copy.deepcopy(cfg)
        compose.apply(self._scratch, [axis.points[0] for axis in axes if not axis.swept])
        self._separable = separable and not any(_refers(self._scratch, key) for key in config.SCIENCE)
        self._science = compose.science(self._scratch) if self._separable else {}
        self._set: dict[tuple[str, str], Any] = {}
        self._swept = [i for i, axis in enumerate(axes) if axis.swept]

    def at(self, chosen: Sequence[Override]) -> dict[str, Any]:
        if self._separable:
            picked = [chosen[i] for i in self._swept]
            patches = [(o.key_or_group, self._checked(o)) for o in picked]
            if not any(value is _REFERS for _, value in patches):
                return _patched(self._science, patches)
        cfg = copy.deepcopy(self._cfg)
        compose.apply(cfg, chosen)
        return compose.science(cfg)

    def _checked(self, override: Override) -> Any:
        """A value as the schema makes it."""
        key = (override.key_or_group, override.input_line or "")
        if key not in self._set:
            value = override.value()
            if isinstance(value, dict | list):
                cfg = copy.deepcopy(self._scratch)  # a mapping is merged into what is there
            else:
                cfg = self._scratch
            compose.apply(cfg, [override])
            top = override.key_or_group.partition(".")[0]
            self._set[key] = (
                _REFERS if _refers(cfg, top) else _select({top: compose.plain(cfg, top)}, override.key_or_group)
            )
        return self._set[key]


_REFERS = object()


def _refers(cfg: DictConfig, key: str) -> bool:
    """Whether a part of the config refers to others, so that it changes with them."""
    node = cfg._get_node(key)
    if node is None:
        return False
    raw = OmegaConf.to_container(node, resolve=False) if OmegaConf.is_config(node) else node._value()
    return "${" in _CONSTANT.sub("", json.dumps(raw, default=str))


def _select(science: Mapping[str, Any], path: str) -> Any:
    value: Any = science
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _patched(science: Mapping[str, Any], patches: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    patched = dict(science)
    for path, value in patches:
        *parents, last = path.split(".")
        level = patched
        for key in parents:
            level[key] = dict(level[key])
            level = level[key]
        level[last] = value
    return patched


_COLUMNS = {*config.SCIENCE, "init.seed", "data.seed", "data.n", "data.d"}  # of every run


def plan(
    points: Iterator[tuple[dict[str, Any], dict[str, Any]]],
    max_cells: int,
    *,
    single: bool = False,
    allow: Sequence[str] = (),
    max_memory: float = MAX_MEMORY,
) -> list[Planned]:
    """The cells of some points, each once, every value of ``eps`` a cell of its own.

    In a sweep a cell without meaning says why it is skipped.  Raises BadInput for a config that is wrong and, where
    there is one point only (`single`), for one without meaning.
    """
    found: dict[str, Planned] = {}
    forms = _Forms()
    examined: dict[str, str | None] = {}
    try:
        for science, swept in points:
            for eps in config.eps_values(science.get("eps")):
                form = forms.canonical(science | {"eps": eps})
                cell = config.cell_id(form, allow)
                if cell in found:
                    continue
                if len(found) >= max_cells:
                    raise BadInput(f"eps={eps}: more than max_cells={max_cells} cells; raise it with max_cells=...")
                skip = why_skipped(form, examined, thoroughly=single, allow=allow, max_memory=max_memory)
                if skip is not None and single:
                    raise BadInput(skip)
                own = {key: _select(form, key) for key in swept if key not in _COLUMNS}
                found[cell] = Planned(cell, form, own, skip)
    except BadInput:
        raise
    except (ValueError, OSError) as error:
        raise BadInput(" ".join(str(error).split())) from error
    except MemoryError as error:
        raise BadInput(f"data.n, data.d: more than fits into memory: {' '.join(str(error).split())}") from error
    return list(found.values())


class _Forms:
    """Canonical configs of a grid, whose cells share most of their sections."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], dict[str, Any]] = {}

    def canonical(self, science: Mapping[str, Any]) -> dict[str, Any]:
        form: dict[str, Any] = {}
        for key in config.SCIENCE:
            given = science.get(key)
            if key not in config.TABLES:
                form[key] = config.canonical_value(key, given)
                continue
            text = (key, repr(given))
            if text not in self._known:
                self._known[text] = config.canonical_section(key, given)
            form[key] = self._known[text]
        return config.from_x0(form)


# They look at one problem in several ways: varied fastest, such cells are neighbours and the problem is posed once.
_LOOKS = ("eps", "scheme", "match_at")
_DRAWN = ("normal", "zeros", "optimum")  # parameters that fit whatever the data are


def why_skipped(
    form: Mapping[str, Any],
    examined: dict[str, str | None],
    *,
    thoroughly: bool,
    allow: Sequence[str] = (),
    max_memory: float = MAX_MEMORY,
) -> str | None:
    """Why a cell has no meaning, as far as that is known without computing it; None where it has one.

    Files and values in the config are read once for all cells that share them; generated data only if `thoroughly`.

    Raises ValueError, naming the key, for data or parameters that cannot be used.
    """
    try:
        cell = config.assemble(form, allow)
        refuse(cell)
        cell.bug.refuse_model(cell.model)
        require_memory(cell, max_memory)
    except Meaningless as error:
        return str(error)
    given = form["data"]["source"] not in ("gaussian", "none") or form["init"]["name"] not in _DRAWN
    if not (given or thoroughly):
        return None
    key = json.dumps(
        [
            form["model"],
            form["data"],
            form["dtype"],
            form["init"] if form["init"]["name"] not in _DRAWN else 0,
        ]
    )
    if key not in examined:
        try:
            batch = cell.data.batch(cell.model.target, cell.dtype)
            cell.model.check_batch(batch)
            layout = cell.model.layout(batch)
            theta = cell.init.theta(layout, cell.dtype)
            if thoroughly:
                cell.bug.refuse(cell.model, layout, batch)
                refuse_at(cell, theta)
            examined[key] = None
        except Meaningless as error:
            examined[key] = str(error)
    return examined[key]


def sweep(
    hydra: Hydra, master: DictConfig, max_cells: int, allow: Sequence[str] = (), max_memory: float = MAX_MEMORY
) -> list[Planned]:
    """The plan of a multirun: the grids of ``hydra.sweeper.params`` and of the command line.  Raises BadInput."""
    params = OmegaConf.select(master, "hydra.sweeper.params") or {}
    lines = [f"{key}={value}" for key, value in params.items()] + [str(line) for line in master.hydra.overrides.task]
    axes = sorted(grid(hydra, lines, max_cells), key=lambda axis: axis.path in _LOOKS)
    return plan(points(hydra, master, axes), max_cells, allow=allow, max_memory=max_memory)


# -------------------------------------------------------------------------------------------------------------- record


def write_plan(run_dir: Place, planned: Sequence[Planned], overrides: Sequence[str]) -> None:
    """Store the plan beside the results, to take the run up again: plain data, nothing in it is ever executed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from gradcheck import arrow

    table = pa.table(
        {
            "cell": arrow.texts([job.cell for job in planned]),
            "config": arrow.texts([json.dumps(job.config, sort_keys=True) for job in planned]),
            "swept": arrow.texts([json.dumps(job.swept) for job in planned]),
            "skip": arrow.texts([job.skip for job in planned]),
        }
    ).replace_schema_metadata({b"gradcheck.overrides": json.dumps(list(overrides)).encode()})
    store.write(run_dir, None, PLAN, lambda file: pq.write_table(table, file, compression="zstd"))


def read_plan(run_dir: Place, allow: Sequence[str] = ()) -> tuple[list[Planned], list[str]]:
    """The recorded plan, every config validated anew, and the overrides it was made of.

    allow : modules whose functions a recorded ``model=function`` may import.

    Ids are computed again: a file that changed since makes another cell.  Raises BadInput for a record that is none,
    and for files outside the current folder, which a record from somebody else might name.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = run_dir / PLAN
    if not store.inside(run_dir, path):
        raise BadInput(f"{path}: leads out of the run folder")
    if not path.exists():
        raise BadInput(f"resume={run_dir}: has no {PLAN}; only a run that was started can be resumed")
    if not path.is_file():
        raise BadInput(f"{path}: not a file")
    try:
        file = pq.ParquetFile(store.source(path))
        table = file.read(columns=["cell", "config", "swept", "skip"])
        overrides = json.loads((file.schema_arrow.metadata or {}).get(b"gradcheck.overrides", b"[]"))
        rows = [
            (row["cell"], json.loads(row["config"]), json.loads(row["swept"]), row["skip"]) for row in table.to_pylist()
        ]
    except BadInput:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise BadInput(f"{path}: damaged or no plan: {' '.join(str(error).split())[:200]}") from error
    found: dict[str, Planned] = {}
    here = Path.cwd().resolve()
    for recorded, given, swept, skip in rows:
        try:
            form = config.canonical(given)
            for section in ("data", "init"):
                named = form[section].get("path")
                if named is not None and not Path(named).resolve().is_relative_to(here):
                    raise BadInput(
                        f"{section}.path={named}: recorded, but outside the current folder; resume where it lies"
                    )
            cell = config.cell_id(form, allow)
        except BadInput:
            raise
        except (ValueError, OSError) as error:
            raise BadInput(f"{path}: {' '.join(str(error).split())}") from error
        if not isinstance(swept, dict) or not (skip is None or isinstance(skip, str)):
            raise BadInput(f"{path}: damaged or no plan")
        if cell != recorded and not config.has_sources(form):
            raise BadInput(
                f"{path}: cell {str(recorded)[:16]} is called {cell} by this version of gradcheck; resume it with the"
                " one that made it"
            )
        found[cell] = Planned(cell, form, swept, skip)
    if not isinstance(overrides, list):
        raise BadInput(f"{path}: damaged or no plan")
    return list(found.values()), [str(text) for text in overrides]
