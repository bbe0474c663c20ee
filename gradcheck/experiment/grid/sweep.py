"""The grid: Hydra's syntax of a sweep, planned at once.

Hydra's own multirun composes the config of every job from its files, twice.  Here that is done once for each distinct
tuple of group choices; values are set in a copy, checked by the same schema, and the cells differ in nothing else.  The
plan is what Hydra would have run, point by point and in its order, with every value of ``eps`` a cell of its own and no
cell twice.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra._internal.hydra import Hydra
from hydra.core.override_parser.types import Override, OverrideType, RangeSweep
from hydra.core.plugins import Plugins
from omegaconf import DictConfig, OmegaConf, ValueNode
from omegaconf.errors import OmegaConfBaseException

from gradcheck.columns import limits, parquet, places, store
from gradcheck.columns.places import Place
from gradcheck.columns.store import PLAN
from gradcheck.errors import BadInput, Meaningless
from gradcheck.experiment.cell import refuse, refuse_at
from gradcheck.experiment.config import compose, config
from gradcheck.experiment.config.overrides import Parser
from gradcheck.experiment.footprint import MAX_MEMORY, require_memory
from gradcheck.experiment.results.plan import PIECE, Ids, Plan, Planned

BASES = 100  # composed configs that are kept
RECENT = 1000  # sections of configs that are kept
# an interpolation that names no other key gives the same value wherever it stands
_CONSTANT = re.compile(r"\$\{logspace:[^${}]*\}")


@dataclass(frozen=True)
class Axis:
    """One key of the grid: its override as typed and one parsed override for each of its values.

    place : of the key among all keys, in the order in which Hydra sets them;
    group : whether its values name configs;  mixed : whether some do and others are mappings.
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
        """The points as they would be typed; of a range, whose points differ in a number alone, the first."""
        return [o.input_line or "" for o in (self.points[:1] if isinstance(self.points, _Numbers) else self.points)]


# ---------------------------------------------------------------------------------------------------------------- grid


def typed(master: DictConfig) -> list[str]:
    """The overrides that span the grid: those of ``hydra.sweeper.params``, then those of the command line.

    Hydra makes its sweeper of the master config, which resolves the parameters there, before there are any points.
    Overrides of the command line are resolved at each point.  Raises BadInput.
    """
    try:
        params: Any = OmegaConf.select(master, "hydra.sweeper.params") or {}
        if "${" in str(params) and master.hydra.runtime.choices.get("hydra/sweeper") == "basic":
            # what Hydra resolves when it makes its own sweeper differs between its versions
            sweeper: Any = Plugins.instance()._instantiate(master.hydra.sweeper)
            params = sweeper.params
        lines = [f"{key}={value}" for key, value in params.items()]
    except compose.COMPOSE_ERRORS as error:
        raise BadInput(compose.one_line(error)) from error
    return lines + compose.as_typed(master.hydra.overrides.task)


def grid(hydra: Hydra, lines: Sequence[str], max_cells: int) -> list[Axis]:
    """The axes of a sweep as Hydra's basic sweeper reads them.

    A key that stands twice takes its last values in its first place.

    Raises BadInput for keys that cannot be swept and for grids larger than max_cells, before anything is expanded.
    """
    last: dict[str, Override] = {}
    parser = Parser.create(config_loader=hydra.config_loader)
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
        return [_axis(hydra, parser, place, key, last[key]) for place, key in enumerate(last)]
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


def _axis(hydra: Hydra, parser: Parser, place: int, key: str, override: Override) -> Axis:
    points: Sequence[Override]
    if not override.is_sweep_override():
        # written out and read again, as Hydra hands it to its jobs
        points = parser.parse_overrides([f"{key}={override.get_value_element_as_str()}"])
    elif isinstance(override._value, RangeSweep):
        points = _Numbers(override, key)
    else:
        points = parser.parse_overrides([f"{key}={text}" for text in override.sweep_string_iterator()])
    if not points:
        raise BadInput(f"{override.input_line}: holds no value; must have at least one")
    exists = hydra.config_loader.repository.group_exists(override.key_or_group)  # type: ignore[attr-defined]
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
        typed: Any = override._value
        numbers = typed.range()
        # whole numbers in a row: none of them is held
        lazy = isinstance(numbers, range) and not typed.shuffle
        self._numbers: Sequence[Any] = numbers if lazy else list(override.sweep_iterator())

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[j] for j in range(len(self))[i]]
        number = self._numbers[i]
        point = copy.copy(self._override)
        point._value, point.value_type, point.input_line = number, None, f"{self._key}={number}"
        return point


# ---------------------------------------------------------------------------------------------------------------- plan


def points(hydra: Hydra, master: DictConfig, axes: Sequence[Axis]) -> Iterator[dict[str, Any]]:
    """Scientific config (``eps`` may be a list) of every point of the grid, in Hydra's order."""
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

    for i, chosen in enumerate(_product([axis.points for axis in axes])):
        found = base(*[chosen[j].input_line or "" for j in named])
        if found.whole:
            found.enter_job([chosen[j] for j in typed], job_number(axes, i))
        yield found.at([chosen[j] for j in valued])


def job_number(axes: Sequence[Axis], i: int) -> int:
    """Which job of Hydra's is the point i of axes that stand in another order."""
    digits = {}
    for axis in reversed(axes):
        i, digits[axis.place] = divmod(i, len(axis.points))
    number = 0
    for axis in sorted(axes, key=lambda axis: axis.place):
        number = number * len(axis.points) + digits[axis.place]
    return number


def _product(sequences: Sequence[Sequence[Override]]) -> Iterator[tuple[Override, ...]]:
    """``itertools.product`` that does not hold all entries of a sequence at once."""
    if not sequences:
        yield ()
        return
    *slow, fast = sequences
    for first in _product(slow):
        for last in fast:
            yield (*first, last)


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
        self.whole = compose.is_whole(cfg)
        self._proven = not (self.whole and cfg.hydra.job.env_set)  # what Hydra cannot set in a job is wrong for all
        self._cfg = cfg
        self._scratch = copy.deepcopy(cfg)
        self._separable = separable and self._settled([axis.points[0] for axis in axes if not axis.swept])
        self._science = compose.resolved(self._scratch) if self._separable else {}
        self._set = _Recent()
        self._looks = [i for i, axis in enumerate(axes) if axis.swept and axis.path in _LOOKS]
        self._slow = [i for i, axis in enumerate(axes) if axis.swept and axis.path not in _LOOKS]
        self._last: tuple[list[Override], dict[str, Any] | None] | None = None

    def _settled(self, values: Sequence[Override]) -> bool:
        """Whether, once the values that all points have are set, no part of the config refers to others."""
        try:
            compose.apply(self._scratch, values)
        except BadInput:
            return False  # each point says why, unless one of its own values mends it
        return not any(_refers(self._scratch, key) for key in config.SCIENCE)

    def enter_job(self, overrides: Sequence[Override], number: int) -> None:
        compose.enter_job(self._cfg, overrides, number)

    def at(self, chosen: Sequence[Override]) -> dict[str, Any]:
        if self._separable and self._proven:
            problem = self._problem([chosen[i] for i in self._slow])
            looks = {o.key_or_group: self._checked(o) for o in [chosen[i] for i in self._looks]}
            if problem is not None and not any(value is _REFERS for value in looks.values()):
                return problem | looks
        cfg = copy.deepcopy(self._cfg)
        compose.apply(cfg, chosen)
        science = compose.science(cfg)
        self._proven = True
        return science

    def _problem(self, slow: list[Override]) -> dict[str, Any] | None:
        """The config with these values, whose sections are the very same ones for neighbours that look at one problem in
        several ways; None where values refer to others.
        """
        if self._last is None or any(new is not old for new, old in zip(slow, self._last[0], strict=True)):
            patches = [(o.key_or_group, self._checked(o)) for o in slow]
            refers = any(value is _REFERS for _, value in patches)
            self._last = slow, None if refers else _patched(self._science, patches)
        return self._last[1]

    def _number(self, override: Override) -> Any:
        """A number as the schema makes it, the way OmegaConf goes where the key is there already; else None."""
        node: Any = self._scratch
        for part in override.key_or_group.split("."):
            inside = isinstance(node, DictConfig) and isinstance(node._content, dict)
            node = node._get_node(part, validate_access=False) if inside else None
        if not isinstance(node, ValueNode):
            return None
        try:
            node._set_value(override.value())
        except OmegaConfBaseException:
            return None
        return node._value()

    def _checked(self, override: Override) -> Any:
        """A value as the schema makes it."""
        return self._set.get_or((override.key_or_group, override.input_line or ""), self._value, override)

    def _value(self, override: Override) -> Any:
        if type(override._value) in (int, float) and (number := self._number(override)) is not None:
            return number
        value = override.value()
        if isinstance(value, dict | list):
            cfg = copy.deepcopy(self._scratch)  # a mapping is merged into what is there
        else:
            cfg = self._scratch
        compose.apply(cfg, [override])
        top = override.key_or_group.partition(".")[0]
        return _REFERS if _refers(cfg, top) else _select({top: compose.plain(cfg, top)}, override.key_or_group)


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
    points: Iterable[dict[str, Any]],
    max_cells: int,
    *,
    swept: Sequence[str] = (),
    single: bool = False,
    allow: Sequence[str] = (),
    max_memory: float = MAX_MEMORY,
) -> Plan:
    """The cells of some points, each once, every value of ``eps`` a cell of its own.

    swept : the keys of the grid.

    In a sweep a cell without meaning says why it is skipped.  Raises BadInput for a config that is wrong and, where
    there is one point only (`single`), for one without meaning.
    """
    found = Plan()
    forms = _Forms(allow, max_memory, found.notes, thoroughly=single)
    own = [key for key in swept if key not in _COLUMNS]
    try:
        for science in points:
            for eps in config.eps_values(science.get("eps")):
                new = forms.planned(science | {"eps": eps}, found.ids)
                if new is None:
                    continue
                if len(found) >= max_cells:
                    raise BadInput(f"eps={eps}: more than max_cells={max_cells} cells; raise it with max_cells=...")
                if new.skip is not None and single:
                    raise BadInput(new.skip)
                new.swept = {key: _select(new.config, key) for key in own}
                found.add(new)
    except BadInput:
        raise
    except (ValueError, OSError) as error:
        raise BadInput(" ".join(str(error).split())) from error
    except MemoryError as error:
        raise BadInput(f"data.n, data.d: more than fits into memory: {' '.join(str(error).split())}") from error
    return found


class _Recent(dict[Any, Any]):
    """What was made for some keys, the last ones at least."""

    def get_or(self, key: Any, make: Callable[..., Any], *arguments: Any) -> Any:
        if key not in self:
            if len(self) >= RECENT:
                self.clear()
            self[key] = make(*arguments)
        return self[key]


class _Forms:
    """Canonical configs of a grid, whose cells share most of their sections."""

    def __init__(self, allow: Sequence[str], max_memory: float, notes: dict[str, None], thoroughly: bool) -> None:
        self._allow, self._max_memory, self._notes, self._thoroughly = allow, max_memory, notes, thoroughly
        self._sections, self._valid, self._combined, self._examined = _Recent(), _Recent(), _Recent(), _Recent()
        self._values, self._skips = _Recent(), _Recent()
        # by section: what was given last, and the key and what was made of it
        self._last: dict[str, tuple[Any, Any, Any]] = {}

    def planned(self, science: Mapping[str, Any], known: Ids) -> Planned | None:
        """The cell of a config that is no list of them; None where it is known already."""
        keys: dict[str, Any] = {}
        form: dict[str, Any] = {}
        texts: dict[str, config.Text] = {}
        for section in config.TABLES:
            given = science.get(section)
            last = self._last.get(section)
            if last is None or last[0] is not given:
                key = (section, repr(given))
                last = self._last[section] = given, key, self._sections.get_or(key, self._section, section, science)
            _, keys[section], (form[section], texts[section]) = last
        for name in _PLAIN:
            key = (name, repr(science.get(name)))
            form[name], texts[name] = self._values.get_or(key, _value_and_text, name, science.get(name))
        if form["model"]["name"] == "function":
            form = config.from_x0(form)
            texts |= {section: config.section_text(section, form[section], self._allow) for section in keys}
        cell = config.identity(texts)
        if cell in known:
            return None
        # where there are files, their content stands in the text in place of their names
        recorded = "" if any(text.files for text in texts.values()) else config.text_of(texts)
        # neighbours with other steps have the same meaning
        shared = (*keys.values(), form["scheme"], form["dtype"])
        return Planned(cell, form, {}, self._skips.get_or(shared, self._why_skipped, form, keys), recorded)

    def _section(self, section: str, science: Mapping[str, Any]) -> tuple[dict[str, Any], config.Text]:
        part = config.canonical_section(section, science.get(section))
        if (note := config.note(section, part)) is not None:
            self._notes[note] = None
        return part, config.section_text(section, part, self._allow)

    def _why_skipped(self, form: Mapping[str, Any], keys: Mapping[str, Any]) -> str | None:
        """Why a cell has no meaning, as far as that is known without computing it; None where it has one.

        Files and values in the config are read once for all cells that share them; generated data only if `thoroughly`.

        Raises ValueError, naming the key, for data or parameters that cannot be used.
        """
        data, init = form["data"], form["init"]["name"]
        if form["model"]["name"] == "function":
            init = keys["init"]
        else:
            for section, key in keys.items():
                self._valid.get_or(key, config.build_section, section, form[section])
        # of the data all but the seed has a say here, of the weights no more than their source
        shape = repr({k: v for k, v in data.items() if k != "seed"}) if "seed" in data else keys["data"]
        key = (keys["model"], keys["bug"], shape, init, form["scheme"], form["dtype"])
        why = self._combined.get_or(key, _why_meaningless, form, self._allow, self._max_memory)
        given = data["source"] not in ("gaussian", "none") or form["init"]["name"] not in _DRAWN
        if why is not None or not (given or self._thoroughly):
            return why
        shared = (keys["model"], keys["data"], form["dtype"], form["init"]["name"] in _DRAWN or keys["init"])
        return self._examined.get_or(shared, _examine, form, self._allow, self._thoroughly)


_PLAIN = [key for key in config.SCIENCE if key not in config.TABLES]


def _value_and_text(key: str, given: Any) -> tuple[Any, config.Text]:
    value = config.canonical_value(key, given)
    return value, config.value_text(key, value)


# They look at one problem in several ways: varied fastest, such cells are neighbours and the problem is posed once.
_LOOKS = ("eps", "scheme", "match_at", "min_judged")
_DRAWN = ("normal", "zeros", "optimum")  # parameters that fit whatever the data are


def _why_meaningless(form: Mapping[str, Any], allow: Sequence[str], max_memory: float) -> str | None:
    try:
        cell = config.assemble(form, allow)
        refuse(cell)
        cell.bug.refuse_model(cell.model)
        require_memory(cell, max_memory)
    except Meaningless as error:
        return str(error)
    return None


def _examine(form: Mapping[str, Any], allow: Sequence[str], thoroughly: bool) -> str | None:
    cell = config.assemble(form, allow)
    try:
        batch = cell.data.batch(cell.model.target, cell.dtype)
        cell.model.check_batch(batch)
        layout = cell.model.layout(batch)
        theta = cell.init.theta(layout, cell.dtype)
        if thoroughly:
            cell.bug.refuse(cell.model, layout, batch)
            refuse_at(cell, theta)
    except Meaningless as error:
        return str(error)
    return None


def in_groups(axes: Sequence[Axis]) -> list[Axis]:
    """Axes in the order in which points share most: first the groups, since composing is what takes its time."""
    return sorted(axes, key=lambda axis: (not axis.group, axis.path in _LOOKS))


def sweep(
    hydra: Hydra, master: DictConfig, max_cells: int, allow: Sequence[str] = (), max_memory: float = MAX_MEMORY
) -> Plan:
    """The plan of a multirun: the grids of ``hydra.sweeper.params`` and of the command line.  Raises BadInput."""
    axes = in_groups(grid(hydra, typed(master), max_cells))
    swept = [axis.path for axis in axes if axis.swept]
    return plan(points(hydra, master, axes), max_cells, swept=swept, allow=allow, max_memory=max_memory)


# -------------------------------------------------------------------------------------------------------------- record


def write_plan(run_dir: Place, planned: Plan, overrides: Sequence[str]) -> None:
    """Store the plan beside the results, to take the run up again: plain data, nothing in it is ever executed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from gradcheck.columns import arrow

    schema = pa.schema([(name, pa.string()) for name in ("cell", "config", "swept", "skip")])
    stamp = {b"gradcheck.overrides": json.dumps(list(overrides)).encode()}

    def fill(file: Any) -> None:
        with pq.ParquetWriter(
            file, schema.with_metadata(stamp), compression="zstd", write_page_checksum=True
        ) as writer:
            for records in planned.records():
                columns = [arrow.texts(column) for column in zip(*records, strict=True)]
                writer.write_table(pa.table(columns, schema=schema))

    store.write(run_dir, None, PLAN, fill)


def read_plan(run_dir: Place, allow: Sequence[str] = ()) -> tuple[Plan, list[str]]:
    """The recorded plan, every config validated anew, and the overrides it was made of.

    allow : modules whose functions a recorded ``model=function`` may import.

    Ids are computed again: a file that changed since makes another cell.  Raises BadInput for a record that is none,
    and for files outside the current folder, which a record from somebody else might name.
    """
    import pyarrow as pa

    path = run_dir / PLAN
    if not places.inside(run_dir, path):
        raise BadInput(f"{path}: leads out of the run folder")
    if not path.exists():
        raise BadInput(f"resume={run_dir}: has no {PLAN}; only a run that was started can be resumed")
    if not path.is_file():
        raise BadInput(f"{path}: not a file")
    names, overrides = ["cell", "config", "swept", "skip"], None

    def rows() -> Iterator[tuple[Any, Any, Any, Any]]:
        nonlocal overrides
        try:
            file = parquet.opened(path, ids=True)
            overrides = json.loads((file.schema_arrow.metadata or {}).get(b"gradcheck.overrides", b"[]"))
            for batch in file.iter_batches(batch_size=PIECE, columns=names):
                limits.require_short(path, batch)
                for row in batch.select(names).to_pylist():
                    yield row["cell"], json.loads(row["config"]), json.loads(row["swept"]), row["skip"]
        except BadInput:
            raise
        except MemoryError as error:
            raise BadInput(f"{path}: takes more memory than there is") from error
        except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise BadInput(f"{path}: damaged or no plan: {' '.join(str(error).split())[:200]}") from error

    found = Plan()
    here = Path.cwd().resolve()
    for recorded, given, swept, skip in rows():
        try:
            form = config.canonical(given)
            for section in ("data", "init"):
                named = form[section].get("path")
                if named is not None and not Path(named).resolve().is_relative_to(here):
                    raise BadInput(
                        f"{section}.path={named}: recorded, but outside the current folder; resume where it lies"
                    )
            cell = config.cell_id(form, allow)
            note = config.note("data", form["data"])
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
        if cell != recorded:
            found.former.add(str(recorded))
            found.changed = found.changed or config.sources(form)
        found.add(Planned(cell, form, swept, skip))
        if note is not None:
            found.notes[note] = None
    if not isinstance(overrides, list):
        raise BadInput(f"{path}: damaged or no plan")
    return found, [str(text) for text in overrides]
