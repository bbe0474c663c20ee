"""What a config may say: the classes of its sections with their settings, and the other keys of a run.

A *scientific* config is a plain dict with the keys ``model data init bug eps scheme dtype match_at accept min_judged``: all
that can change a number or a verdict.  Each of the first four is a section, a dict of settings.  Its key ``name`` (``source``
in ``data``, where ``name`` is a data set) says which class of the section's table the settings belong to.
"""

import dataclasses
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, Optional, overload

from gradcheck.bugs import BUGS
from gradcheck.bugs.base import Bug
from gradcheck.experiment.footprint import MAX_MEMORY
from gradcheck.experiment.sources.data import DATA
from gradcheck.experiment.sources.init import INITS
from gradcheck.functions.model import Function
from gradcheck.models import MODELS
from gradcheck.models.interfaces import DataSource, Model, Section, Start
from gradcheck.numerics.verdict import MIN_JUDGED

# The classes that a config may name.  Code outside the package adds its own before the first config is composed.
TABLES: dict[str, dict[str, type[Section]]] = {
    "model": {**MODELS, Function.name: Function},
    "data": {**DATA},
    "init": {**INITS},
    "bug": {**BUGS},
}
LOOKUP = {"model": "name", "data": "source", "init": "name", "bug": "name", "engine": "name"}
PLAIN = ("eps", "scheme", "dtype", "match_at", "accept", "min_judged")  # the scientific keys that are no section
SCIENCE = (*TABLES, *PLAIN)
# the groups whose choice takes a plus, and what it is
READY = {"experiment": "a ready grid", "net": "a small net of one layer", "report": "a public report"}
# The version of what an id is made of.  It does not follow the stored columns, so that a cell keeps its id.
ID_VERSION = 1
DTYPES = ("float32", "float64", "longdouble")
FAIL_ON = ("auto", "mismatch", "unjudged", "never")  # which verdict of a cell without an injected bug makes a run fail
PROGRESS = ("auto", "none")
ENGINES = ("auto", "serial", "loky", "dask")
NO_BUG = "none"
MISSING = "???"  # OmegaConf's mark of a setting that must be given

# A setting whose name would hide a method is stored under another name in the class.
_ATTRIBUTES = {"loss": "loss_name"}


@dataclass(frozen=True)
class Setting:
    """A key of a config section: attribute of its class, type, default, and the id version that was the first to have it.

    A key that came later (its field has the metadata ``since``) is no part of an id while it has its default.
    """

    attribute: str
    type: object
    default: object
    since: int = ID_VERSION

    def left_out(self, value: object) -> bool:
        """Whether a value is no part of an id."""
        return self.since > ID_VERSION and bool(value == self.default) and type(value) is type(self.default)


_NAMED = {kind.__name__: kind for kind in (bool, int, float, str)}


def _type_of(cls: type, item: dataclasses.Field[object]) -> object:
    """The annotation of a field as a type.

    `typing.get_type_hints` of the class is the definition.  It evaluates what all bases annotate, too: every run would wait
    for that, since the columns of ``cells`` are made of all classes.
    """
    if not isinstance(item.type, str):
        return item.type
    if item.type in _NAMED:
        return _NAMED[item.type]
    owner = next(base for base in cls.__mro__ if item.name in vars(base).get("__annotations__", ()))
    alone = types.SimpleNamespace(__annotations__={item.name: item.type})
    return typing.get_type_hints(alone, vars(sys.modules[owner.__module__]))[item.name]


@cache
def settings(cls: type) -> dict[str, Setting]:
    """Keys of the config section that belongs to a class, in the order of its fields."""
    keys = {attribute: key for key, attribute in _ATTRIBUTES.items()}
    found = {}
    for item in dataclasses.fields(cls):
        default = item.default_factory() if item.default_factory is not dataclasses.MISSING else item.default
        found[keys.get(item.name, item.name)] = Setting(
            item.name,
            _type_of(cls, item),
            MISSING if default is dataclasses.MISSING else default,
            item.metadata.get("since", ID_VERSION),
        )
    return found


def of_sections(key: str) -> list[str]:
    """A key with the names of the sections that have it: ``seed`` is ``data.seed``, ``init.seed`` or ``bug.seed``."""
    return [f"{name}.{key}" for name, table in TABLES.items() if any(key in settings(cls) for cls in table.values())]


@overload
def build_section(section: Literal["model"], form: Mapping[str, object]) -> Model: ...
@overload
def build_section(section: Literal["data"], form: Mapping[str, object]) -> DataSource: ...
@overload
def build_section(section: Literal["init"], form: Mapping[str, object]) -> Start: ...
@overload
def build_section(section: Literal["bug"], form: Mapping[str, object]) -> Bug: ...
@overload
def build_section(section: str, form: Mapping[str, object]) -> Section: ...
def build_section(section: str, form: Mapping[str, object]) -> Section:
    """The object of one canonical section, validated."""
    cls = class_of(section, form)
    built = cls(**{setting.attribute: form[key] for key, setting in settings(cls).items() if key in form})
    built.validate()
    return built


def class_of(section: str, form: Mapping[str, object]) -> type[Section]:
    """The class whose settings a canonical section holds."""
    return TABLES[section][str(form[LOOKUP[section]])]


@dataclass
class Run:
    """The keys of a run.  The four sections and ``engine`` have schemas of their own.

    OmegaConf reads these annotations: ``Any`` lets it leave a value as it is.
    """

    model: Any = MISSING
    data: Any = MISSING
    init: Any = MISSING
    bug: Any = MISSING
    eps: Any = "auto"
    scheme: str = "central"
    dtype: str = "float64"
    match_at: float = 1e-2
    accept: float = field(default=0.0, metadata={"since": 2})
    min_judged: float = field(default=MIN_JUDGED, metadata={"since": 2})
    zip: list[Any] = field(default_factory=list)
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
    """Where cells are computed.  ``n_jobs`` null takes every core; ``address`` is that of a Dask scheduler."""

    name: str = "auto"
    n_jobs: Optional[int] = None
    address: Optional[str] = None
