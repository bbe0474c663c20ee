"""The config: its schema for Hydra, its one canonical form, and the one place where a config becomes objects.

A *scientific* config is a plain dict with the keys ``model data init bug eps scheme dtype match_at min_judged``: all that
can change a number or a verdict.  Each of the first four is a dict of settings; ``name`` (``source`` in ``data``, where
``name`` is a data set) says which class of the room's table the settings belong to.
"""

import dataclasses
import hashlib
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal
from fractions import Fraction
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Optional

from gradcheck.bugs import BUGS
from gradcheck.errors import Meaningless
from gradcheck.experiment.cell import Cell
from gradcheck.experiment.config.canonical import canonical_json
from gradcheck.experiment.footprint import MAX_MEMORY
from gradcheck.experiment.sources.data import DATA, File
from gradcheck.experiment.sources.init import INITS
from gradcheck.functions.model import Function
from gradcheck.models import MODELS
from gradcheck.models.interfaces import Section
from gradcheck.models.target import NoTarget
from gradcheck.numerics.schemes import SCHEMES
from gradcheck.numerics.steps import AUTO, Step
from gradcheck.numerics.verdict import MIN_JUDGED
from gradcheck.uris import is_uri, shown

# What configs may name.  Whoever adds to it from outside does so before the first config is composed.
TABLES: dict[str, dict[str, type[Section]]] = {
    "model": {**MODELS, Function.name: Function},
    "data": {**DATA},
    "init": {**INITS},
    "bug": {**BUGS},
}
LOOKUP = {"model": "name", "data": "source", "init": "name", "bug": "name", "engine": "name"}
SCIENCE = (*TABLES, "eps", "scheme", "dtype", "match_at", "min_judged")
# What an id is made of, whatever columns are stored: it stays, so that a cell keeps its id.
ID_VERSION = 1
DTYPES = ("float32", "float64", "longdouble")
FAIL_ON = ("auto", "mismatch", "unjudged", "never")  # what of a cell without an injected bug makes a run fail
PROGRESS = ("auto", "none")
ENGINES = ("auto", "serial", "loky", "dask")
NO_BUG = "none"
MISSING = "???"  # OmegaConf's mark of a setting that must be given
UNHASHED = ("path", "max_bytes")  # where a file lies and how large it may be change no number; its content does

# A setting whose name would hide a method is stored under another one in the class.
_ATTRIBUTES = {"loss": "loss_name"}
# Settings of any nesting that hold numbers only, where 1 and 1.0 are the same.
_NUMBERS = ("X", "y", "values", "x0")
_WANTED = {
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    str: "text",
    list: "a list",
    dict: "a mapping",
}


@dataclass(frozen=True)
class Setting:
    """A key of a config section: attribute of its class, type, default, and the id version that was the first to have it.

    A key that came later (its field has the metadata ``since``) is no part of an id while it has its default.
    """

    attribute: str
    type: Any
    default: Any
    since: int = ID_VERSION

    def left_out(self, value: Any) -> bool:
        """Whether a value is no part of an id."""
        return self.since > ID_VERSION and bool(value == self.default) and type(value) is type(self.default)


@cache
def settings(cls: type) -> dict[str, Setting]:
    """Keys of the config section that belongs to a class, in the order of its fields."""
    hints = typing.get_type_hints(cls)
    keys = {attribute: key for key, attribute in _ATTRIBUTES.items()}
    found = {}
    for item in dataclasses.fields(cls):
        default = item.default_factory() if item.default_factory is not dataclasses.MISSING else item.default
        found[keys.get(item.name, item.name)] = Setting(
            item.name,
            hints[item.name],
            MISSING if default is dataclasses.MISSING else default,
            item.metadata.get("since", ID_VERSION),
        )
    return found


# -------------------------------------------------------------------------------------------------------------- schema


@dataclass
class Run:
    """What can be set in a run; the four sections and ``engine`` have schemas of their own."""

    model: Any = MISSING
    data: Any = MISSING
    init: Any = MISSING
    bug: Any = MISSING
    eps: Any = "auto"
    scheme: str = "central"
    dtype: str = "float64"
    match_at: float = 1e-2
    min_judged: float = field(default=MIN_JUDGED, metadata={"since": 2})
    engine: Any = MISSING
    store: Optional[str] = None
    fail_on: str = "auto"
    fail_fast: bool = False
    cell_timeout: Optional[float] = None
    progress: str = "auto"
    dry_run: bool = False
    max_cells: int = 1_000_000
    max_memory: float = MAX_MEMORY
    allow: list[str] = field(default_factory=list)


@dataclass
class Engine:
    """Where cells are computed; ``n_jobs`` null takes every core, ``address`` is that of a Dask scheduler."""

    name: str = "auto"
    n_jobs: Optional[int] = None
    address: Optional[str] = None


def conf_dir() -> Path:
    """Absolute folder of the config files: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[2]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def register() -> None:
    """Enter the schemas into Hydra's ConfigStore, as ``schema/<section>/<name>``, and the resolver ``logspace``."""
    from hydra.core.config_store import ConfigNode, ConfigStore
    from omegaconf import OmegaConf

    class Schema(ConfigNode):
        """A schema that is made when it is asked for: there are fifty, and a run needs six."""

        def __init__(self, section: str, name: str, cls: type) -> None:
            self.name, self.group, self.package, self.provider = f"{name}.yaml", f"schema/{section}", None, None
            self._made_of = section, name, cls

        @cached_property
        def node(self) -> Any:  # type: ignore[override]
            return OmegaConf.structured(_schema(*self._made_of))

    store = ConfigStore.instance()
    # put there by hand: they may be entered again, which Hydra's own way takes for a mistake
    top = store.repo.setdefault("schema", {})
    for name, node in (("run", Run), ("engine", Engine)):
        top[f"{name}.yaml"] = ConfigNode(f"{name}.yaml", OmegaConf.structured(node), "schema", None, None)
    for section, table in TABLES.items():
        schemas = top.setdefault(section, {})
        for name, cls in table.items():
            schemas[f"{name}.yaml"] = Schema(section, name, cls)
    register_resolver("logspace", logspace)


def register_resolver(name: str, resolver: Callable[..., Any]) -> None:
    """Enter a function that an interpolation may name.  OmegaConf 2.4 calls this otherwise than 2.3, whose name it warns of."""
    import omegaconf

    older = omegaconf.__version__.startswith("2.3.")
    register: Any = omegaconf.OmegaConf.register_new_resolver if older else omegaconf.OmegaConf.register_resolver
    register(name, resolver, replace=True)


def _schema(section: str, name: str, cls: type) -> type:
    """The class as Hydra checks it: its settings, and the key by which the table finds it."""
    own: list[Any] = []
    for key, setting in settings(cls).items():
        # a mapping whose keys are free is closed to new keys by Hydra, unless it starts as nothing
        free = typing.get_origin(setting.type) is dict or setting.type is dict
        kind, default = (Any, None) if free else (setting.type, setting.default)
        start = field(default_factory=default.copy) if isinstance(default, list) else field(default=default)
        own.append((key, kind, start))
    return dataclasses.make_dataclass(cls.__name__, [(LOOKUP[section], str, field(default=name)), *own])


def logspace(start: Any, stop: Any, n: Any) -> list[float]:
    """n powers of ten, exponents evenly spaced from ``start`` to ``stop`` inclusive: 10**(start + i (stop - start)/(n
    - 1)).

    Correctly rounded, so that the list (and the ids of its cells) is the same on every machine.
    """
    # whatever was typed comes here, and is refused in our words: OmegaConf 2.4 would warn of a type that is announced
    plain = [isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in (start, stop)]
    if not all(plain) or isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= 100_000:
        raise ValueError(f"logspace:{start},{stop},{n}: must be two finite exponents and a count from 1 to 100000")
    if max(abs(start), abs(stop)) > 300:
        raise ValueError(f"logspace:{start},{stop},{n}: exponents must lie between -300 and 300")
    low, high = Fraction(str(start)), Fraction(str(stop))
    exact = Context(prec=40)
    values = []
    for i in range(n):
        exponent = low + (high - low) * i / max(n - 1, 1)
        power = exact.divide(Decimal(exponent.numerator), Decimal(exponent.denominator))
        values.append(float(exact.power(Decimal(10), power)))
    return values


# ----------------------------------------------------------------------------------------------------------- canonical


def canonical(config: Mapping[str, Any]) -> dict[str, Any]:
    """The scientific config in its one form: every setting present, each value of its own type, one ``eps`` ("auto" or
    a float).

    Raises ValueError, naming key, value and what is allowed, for keys that are not known and values of a wrong type.
    """
    if not isinstance(config, Mapping):
        raise ValueError(f"config={_shown(config)}: must be a mapping")
    for key in config:
        if key not in SCIENCE:
            raise ValueError(f"{key}={_shown(config[key])}: no such key; allowed are {', '.join(SCIENCE)}")
    form: dict[str, Any] = {section: canonical_section(section, config.get(section)) for section in TABLES}
    return from_x0(form) | {key: canonical_value(key, _given(config, key)) for key in SCIENCE if key not in TABLES}


def _given(config: Mapping[str, Any], key: str) -> Any:
    """The value of a key that is no section; the default of one that records of the first version do not have."""
    setting = settings(Run)[key]
    return config.get(key, setting.default if setting.since > ID_VERSION else None)


def canonical_section(section: str, given: Any) -> dict[str, Any]:
    """One of ``model data init bug`` in canonical form."""
    lookup, table = LOOKUP[section], TABLES[section]
    if not isinstance(given, Mapping):
        raise ValueError(f"{section}={_shown(given)}: must be one of {', '.join(_names(section))}, with its settings")
    name = given.get(lookup)
    if name not in _names(section):
        raise ValueError(f"{section}={_shown(name)}: must be one of {', '.join(_names(section))}")
    if section == "bug" and name == NO_BUG:
        # what a bug would have used is kept where it was given, so that a grid tells such cells apart
        named = _typed(section, name, table[name], given)
        return {lookup: name} | {key: v for key, v in named.items() if key not in (lookup, "seed") and v is not None}
    return _typed(section, str(name), table[str(name)], given)


def from_x0(form: dict[str, Any]) -> dict[str, Any]:
    """The form with the point of a ``model=function`` as ``init.values``, where these are left empty."""
    model, init = form["model"], form["init"]
    if model["name"] != "function" or init["name"] != "values" or init["values"]:
        return form
    return form | {"init": init | {"values": build_section("model", model).values()}}


def _typed(section: str, name: str, cls: type, given: Mapping[str, Any]) -> dict[str, Any]:
    lookup, known = LOOKUP[section], settings(cls)
    for key in given:
        if key != lookup and key not in known:
            allowed = ", ".join(f"{section}.{k}" for k in known) or "no settings"
            raise ValueError(
                f"{section}.{key}={_shown(given[key])}: no such key in {section}={name}; allowed: {allowed}"
            )
    form: dict[str, Any] = {lookup: name}
    for key, setting in known.items():
        full = f"{section}.{key}"
        value = given.get(key, setting.default)
        if isinstance(value, str) and value == MISSING:
            raise ValueError(f"{full}: must be given with {section}={name}, as {full}=...")
        if key == "path" and isinstance(value, str) and is_uri(value):
            raise ValueError(f"{full}={shown(value)}: must be a file of this machine")
        form[key] = (
            _numbers(full, value) if key in _NUMBERS and setting.type is not float else _cast(full, value, setting.type)
        )
    return form


def canonical_value(key: str, value: Any) -> Any:
    """One of ``eps scheme dtype match_at min_judged`` in canonical form."""
    if key == "eps":
        return _eps(value)
    if key == "match_at":
        number = _cast(key, value, float)
        if not number > 0:
            raise ValueError(f"match_at={_shown(value)}: must be a finite number > 0")
        return number
    if key == "min_judged":
        share = _cast(key, value, float)
        if not 0 <= share <= 1:
            raise ValueError(f"min_judged={_shown(value)}: must be a share from 0 to 1")
        return share + 0.0  # -0.0 is 0
    allowed = tuple(SCHEMES) if key == "scheme" else DTYPES
    if value not in allowed:
        raise ValueError(f"{key}={_shown(value)}: must be one of {', '.join(allowed)}")
    return value


def _eps(value: Any) -> Step:
    if value == AUTO:
        return AUTO
    number = value
    if isinstance(value, str) and "_" not in value:
        try:
            number = float(value)
        except ValueError:
            pass
    if isinstance(number, bool) or not isinstance(number, int | float) or not _finite(number) or not number > 0:
        raise ValueError(f"eps={_shown(value)}: must be a finite number > 0, a list of such numbers, or auto")
    return float(number)


def eps_values(value: Any) -> list[Any]:
    """The values of ``eps`` of one run: a list as it is, anything else as the only one."""
    if not isinstance(value, list | tuple):
        return [value]
    if not value:
        raise ValueError("eps=[]: must hold at least one finite number > 0 or auto")
    return list(value)


def _cast(key: str, value: Any, kind: Any) -> Any:
    """The value in the type of its setting; bool is no number, 1.5 no whole number, 1 a number where 1.0 is."""
    origin, arguments = _made_of(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _cast(key, value, next(a for a in arguments if a is not type(None)))
    if kind is Any:
        return _plain(key, value)
    if origin in (list, dict):
        if origin is list and isinstance(value, list | tuple):
            return [_cast(f"{key}[{i}]", item, arguments[0]) for i, item in enumerate(value)]
        if origin is dict and isinstance(value, Mapping):
            return {str(k): _cast(f"{key}.{k}", item, arguments[1]) for k, item in value.items()}
        raise ValueError(f"{key}={_shown(value)}: must be {_WANTED[origin]}")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and number:
        if not _finite(value):
            raise ValueError(f"{key}={_shown(value)}: must be a finite number")
        return float(value)
    if (kind is int and number and isinstance(value, int)) or (kind is bool and isinstance(value, bool)):
        return value
    if kind is str and isinstance(value, str):
        return value
    raise ValueError(f"{key}={_shown(value)}: must be {_WANTED.get(kind, kind)}")


@lru_cache
def _made_of(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    return typing.get_origin(kind), typing.get_args(kind)


def _plain(key: str, value: Any) -> Any:
    """Values of any type, as JSON has them."""
    if isinstance(value, list | tuple):
        return [_plain(key, item) for item in value]
    if isinstance(value, Mapping):
        return {str(k): _plain(f"{key}.{k}", item) for k, item in value.items()}
    if isinstance(value, int | float) and not isinstance(value, bool) and not _finite(value):
        raise ValueError(f"{key}={_shown(value)}: must be finite")
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ValueError(f"{key}={_shown(value)}: must be text, a number, a list or a mapping")


def _numbers(key: str, value: Any) -> Any:
    """Nested lists (and mappings) of numbers, all as floats."""
    if isinstance(value, list | tuple):
        return [_numbers(key, item) for item in value]
    if isinstance(value, Mapping):
        return {str(k): _numbers(f"{key}.{k}", item) for k, item in value.items()}
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, int | float):
        raise ValueError(f"{key}: holds {_shown(value)}, must hold numbers only")
    if not _finite(value):
        raise ValueError(f"{key}: holds {_shown(value)}, must hold finite numbers only")
    return float(value)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the largest float
        return False


def _names(section: str) -> list[str]:
    return list(TABLES[section])


def _shown(value: Any) -> str:
    """A value as it would be typed, on one line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


# --------------------------------------------------------------------------------------------------------------- build


def build(config: Mapping[str, Any], allow: Sequence[str] = ()) -> Cell:
    """The objects of a scientific config, everything validated.

    allow : modules whose functions a ``model=function`` may import, when it is called and not before.

    Raises ValueError (key, value, what is allowed) for a config that is wrong, Meaningless for parts that do not fit
    together.
    """
    return assemble(canonical(config), allow)


def assemble(form: Mapping[str, Any], allow: Sequence[str] = ()) -> Cell:
    """``build`` of a config that is in canonical form already."""
    import numpy as np

    model, data, init, bug = (build_section(section, form[section]) for section in TABLES)
    model.permit(allow)
    if form["bug"]["name"] == NO_BUG:
        for key, value in form["bug"].items():
            if key != "name":
                raise Meaningless(f"bug.{key}={_shown(value)}: bug=none has no settings")
    takes_data, source = not isinstance(model.target, NoTarget), form["data"]["source"]
    if takes_data != (source != "none"):
        advice = (
            f"needs data, such as data=gaussian, not data={source}"
            if takes_data
            else "takes no data, must have data=none"
        )
        raise Meaningless(f"data={source}: model={form['model']['name']} {advice}")
    return Cell(
        model,
        data,
        init,
        bug,
        SCHEMES[form["scheme"]],
        np.dtype(form["dtype"]),
        form["match_at"],
        form["min_judged"],
    )


def build_section(section: str, form: Mapping[str, Any]) -> Any:
    """The object of one canonical section, validated."""
    cls = TABLES[section][form[LOOKUP[section]]]
    built = cls(**{setting.attribute: form[key] for key, setting in settings(cls).items() if key in form})
    built.validate()
    return built


def cell_id(form: Mapping[str, Any], allow: Sequence[str] = ()) -> str:
    """First 16 hex digits of the sha256 of a canonical config, the version of ids and the content of its files.

    Paths are no part of it; of a ``model=function`` the source of its functions is, which imports them.

    allow : the modules that this may import.

    Raises ValueError, naming the key, for a file that cannot be read, a function that cannot or must not be imported.
    """
    texts = {
        key: section_text(key, part, allow) if key in TABLES else value_text(key, part) for key, part in form.items()
    }
    return identity(texts)


class Text(NamedTuple):
    """A part of a canonical config as canonical JSON.

    whole : without the names of files.   own : without what is no part of an id either: keys that came after the first
    version of ids and have their default; empty where nothing is left.   files : the content of its files, empty for none.
    """

    whole: str
    own: str
    files: str = ""


def section_text(section: str, part: Mapping[str, Any], allow: Sequence[str] = ()) -> Text:
    """The text of a canonical section.  Raises ValueError as ``cell_id`` does."""
    files: Any = None
    if section == "model" and part["name"] == "function":
        files = dict(_digests(part["fun"], part["jac"], tuple(allow)))
    cls = TABLES[section][part[LOOKUP[section]]]
    if section != "bug" and "path" in part:
        built: Section = build_section(section, part)
        files = [_content(section, path, built.max_bytes) for path in built.sources()]
        if isinstance(built, File):  # version 1 took the index for features
            files += [{"left_out": name} for name in _left_out(built)]
        part = {key: value for key, value in part.items() if key not in UNHASHED}
    known, whole = settings(cls), canonical_json(part)
    kept = {key: value for key, value in part.items() if key not in known or not known[key].left_out(value)}
    own = whole if len(kept) == len(part) else canonical_json(kept)
    return Text(whole, own, "" if files is None else canonical_json(files))


def _left_out(source: File) -> list[str]:
    try:
        return source.left_out()
    except ValueError:  # a file that cannot be read is refused where its examples are needed
        return []


def note(section: str, part: Mapping[str, Any]) -> str | None:
    """What the user of a canonical section should know of its file: which columns are the index and so no features."""
    if section != "data" or part["source"] != "file":
        return None
    try:
        names = build_section(section, part).left_out()
    except ValueError:
        return None
    return f"data.path={part['path']}: the index is no feature: {', '.join(names)} left out" if names else None


def value_text(key: str, value: Any) -> Text:
    """The text of a canonical value that is no section."""
    whole = canonical_json(value)
    return Text(whole, "" if settings(Run)[key].left_out(value) else whole)


def text_of(texts: Mapping[str, Text]) -> str:
    """A canonical config as canonical JSON without the names of its files, from the texts of its parts."""
    return "{" + ",".join([f'"{key}":{texts[key].whole}' for key in sorted(texts)]) + "}"


def identity(texts: Mapping[str, Text]) -> str:
    """The id of a canonical config from the texts of its parts."""
    own = ",".join([f'"{key}":{texts[key].own}' for key in sorted(texts) if texts[key].own])
    files = ",".join([f'"{key}":{texts[key].files}' for key in sorted(texts) if texts[key].files])
    whole = f'{{"config":{{{own}}},"files":{{{files}}},"schema":{ID_VERSION}}}'
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def has_sources(form: Mapping[str, Any]) -> bool:
    """Whether the id of a canonical config depends on the content of files, beside the config itself."""
    return form["model"]["name"] == "function" or any("path" in form[section] for section in ("data", "init"))


def sources(form: Mapping[str, Any]) -> str:
    """The keys of a canonical config that name files and functions, with their values."""
    keys = {"model.fun": form["model"].get("fun"), "model.jac": form["model"].get("jac")}
    keys |= {f"{section}.path": form[section].get("path") for section in ("data", "init")}
    return ", ".join(f"{key}={value}" for key, value in keys.items() if value is not None)


def require_sources(form: Mapping[str, Any], cell: str, allow: Sequence[str] = ()) -> None:
    """Raise ValueError, naming the keys, unless the files and functions of a canonical config are what they were where
    the cell got its id.
    """
    if has_sources(form) and cell_id(form, allow) != cell:
        raise ValueError(
            f"{sources(form)}: the content where this cell was computed is not that with which the run was planned"
        )


@lru_cache(maxsize=1024)  # all cells of a sweep have the same functions
def _digests(fun: str, jac: str, allow: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    model = Function(fun=fun, jac=jac)
    model.permit(allow)
    return tuple(model.digests().items())


def _content(section: str, path: Path, max_bytes: int) -> str:
    key = f"{section}.path={path}"
    try:
        status = path.stat()
        if not path.is_file():
            raise ValueError(f"{key}: is not a file")
        if status.st_size > max_bytes:
            raise ValueError(f"{key}: has {status.st_size} bytes, must have at most {max_bytes} ({section}.max_bytes)")
        return _sha256(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise ValueError(f"{key}: {error.strerror or error}") from None


@lru_cache(maxsize=1024)  # a sweep asks for the same file for every cell
def _sha256(path: Path, _mtime: int, _size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
