"""Composing configs with Hydra, and its errors in one line: key, value and what is allowed."""

from __future__ import annotations

import argparse
import copy
import difflib
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

# Hydra hands its errors on to us instead of printing them over several lines
os.environ["HYDRA_FULL_ERROR"] = "1"
# Arrow's own allocator keeps ten megabytes to write some hundred kilobytes at a time
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

import hydra
import numpy as np
import yaml
from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, ConfigRepository
from hydra._internal.defaults_list import create_defaults_list
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.default_element import GroupDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override
from hydra.core.utils import env_override
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict, read_write
from omegaconf._utils import get_omega_conf_dumper
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationResolutionError,
    OmegaConfBaseException,
    ValidationError,
)

from gradcheck.errors import BadInput
from gradcheck.experiment.config import config
from gradcheck.experiment.config.overrides import MAX_DEPTH, Parser, depth, linear, require_shallow
from gradcheck.numerics.schemes import SCHEMES
from gradcheck.printable import printable_lines
from gradcheck.uris import hide

CONFIG_NAME = "config"
ASKS_FOR_A_BASE = hydra.__version__.startswith("1.3.")  # later ones have one set of defaults, and warn whoever names it
MAX_CONFIG_BYTES = 10_000_000
MAX_CONFIG_NODES = 1_000_000
MAX_CONFIG_DEPTH = 100
_TOO_MUCH = (
    "too deep, or its aliases make too many values of it: must be at most"
    f" {MAX_CONFIG_DEPTH} levels and {MAX_CONFIG_NODES} values"
)
# A level takes a bracket, or half a column to the left of what stands in a line (a list may stand below its own key): half
# of all levels would be of one of these kinds.
_MAY_BE_DEEP = MAX_CONFIG_DEPTH // 2
_INDENTED = re.compile(rb"(?m)^[ ?-]{%d}" % (MAX_CONFIG_DEPTH // 4))

# what a user can cause while Hydra composes, and what else comes with it (a file that cannot be read, a name that is
# no string)
COMPOSE_ERRORS = (
    HydraException,
    OmegaConfBaseException,
    ValueError,
    OSError,
    AssertionError,
    TypeError,
    RecursionError,
    AttributeError,  # OmegaConf merges a mapping into null
    LookupError,
)


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Hydra's own options and the overrides.  Raises BadInput for an unknown option and for values too deep to read."""
    parser = get_args_parser()

    def refuse(message: str) -> Any:
        raise BadInput(f"{message}; see --help")

    parser.error = refuse  # type: ignore[method-assign]
    typed = parser.parse_intermixed_args(list(arguments))
    for line in typed.overrides:
        require_shallow(line)
    return typed


@contextmanager
def opened(config_dir: str | None = None) -> Iterator[Hydra]:
    """Hydra over our config folder and, if given, one more.  Raises BadInput where that one is missing.

    Hydra keeps one instance of itself for the process: one that is open already is set aside and put back.
    """
    prepare()
    search_path = create_config_search_path(str(config.conf_dir()))
    if config_dir is not None:
        folder = os.path.abspath(config_dir)
        if not os.path.isdir(folder):
            raise BadInput(f"--config-dir={config_dir}: no such folder")
        search_path.prepend("command-line", f"file://{folder}", anchor=SearchPathQuery(provider="schema"))
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        hydra = Hydra.create_main_hydra2("gradcheck", search_path)
        hydra.config_loader.repository = Remembering(search_path)  # type: ignore[attr-defined]
        with linear():
            yield hydra
    finally:
        GlobalHydra.instance().clear()
        if outer is not None:
            GlobalHydra.instance().initialize(outer)


class Remembering(ConfigRepository):
    """Config files read once, where Hydra reads them again whenever it composes."""

    def __init__(self, search_path: ConfigSearchPath) -> None:
        self._read: dict[str, ConfigResult | None] = {}
        super().__init__(search_path)

    def __deepcopy__(self, memo: dict[int, Any]) -> Remembering:
        twin = copy.copy(self)
        twin.sources = list(self.sources)
        return twin

    def initialize_sources(self, config_search_path: ConfigSearchPath) -> None:
        self._read = {}  # other folders, other files
        super().initialize_sources(config_search_path)

    def load_config(self, config_path: str) -> ConfigResult | None:
        if config_path not in self._read:
            path = self._file(config_path)
            if path is not None:
                _refuse_large(path)
            try:
                self._read[config_path] = super().load_config(config_path)
            except RecursionError:
                # a reader of YAML that gives up where ours, which counts the levels, has already
                raise BadInput(f"{path or config_path}: {_TOO_MUCH}") from None
            except yaml.YAMLError as error:
                raise BadInput(_flat(f"{path or config_path}: cannot be read as YAML: {error}")) from error
        result = copy.copy(self._read[config_path])
        if result is not None:
            result.config = copy.deepcopy(result.config)  # becomes a part of what is composed
        return result

    def _file(self, config_path: str) -> str | None:
        """Where a config lies, if it is a file."""
        source = self._find_object_source(config_path=config_path, object_type=ObjectType.CONFIG)
        if source is None or source.scheme() != "file":
            return None
        return os.path.join(source.path, source._normalize_file_name(config_path))


def _refuse_large(path: str) -> None:
    """Raise BadInput for a file that is large or deep, or that aliases make large: OmegaConf copies what they stand for."""
    try:
        size = os.stat(path).st_size
        if size > MAX_CONFIG_BYTES:
            raise BadInput(f"{path}: has {size} bytes, a config must have at most {MAX_CONFIG_BYTES}")
        with open(path, "rb") as file:
            text = file.read()
    except OSError:
        return  # Hydra says so
    nested = text.count(b"[") + text.count(b"{") > _MAY_BE_DEEP or _INDENTED.search(text)
    if (b"*" in text or nested) and unfolded(text) > MAX_CONFIG_NODES:
        raise BadInput(f"{path}: {_TOO_MUCH}")


def unfolded(text: bytes) -> float:
    """Number of values in a YAML text with each alias replaced by what it stands for; infinite where it is too deep."""
    sizes: dict[str, float] = {}
    open_: list[tuple[str | None, float]] = [(None, 0.0)]  # anchor, values so far
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                found = sizes.get(event.anchor, 1.0)
            elif isinstance(event, yaml.ScalarEvent):
                found = 1.0
                if event.anchor is not None:
                    sizes[event.anchor] = found
            elif isinstance(event, yaml.CollectionStartEvent):
                open_.append((event.anchor, 1.0))
                if len(open_) > MAX_CONFIG_DEPTH:
                    return math.inf
                continue
            elif isinstance(event, yaml.CollectionEndEvent):
                anchor, found = open_.pop()
                if anchor is not None:
                    sizes[anchor] = found
            else:
                continue
            open_[-1] = (open_[-1][0], open_[-1][1] + found)
    except (yaml.YAMLError, RecursionError):
        # a reader may give up on brackets before it has said that one of them begins; whatever else is wrong Hydra says
        return math.inf if _brackets(text) > MAX_CONFIG_DEPTH else 0.0
    return open_[0][1]


def _brackets(text: bytes) -> int:
    """How many brackets are open at once, at most, in a text that cannot be read as YAML."""
    signs = np.frombuffer(text, np.uint8)
    opened = np.isin(signs, list(b"[{")).cumsum() - np.isin(signs, list(b"]}")).cumsum()
    return int(opened.max(initial=0))


class Scientific(CachingConfigRepository):
    """The same config files without those of Hydra itself, which are two thirds of the work of composing."""

    def load_config(self, config_path: str) -> ConfigResult | None:
        result = super().load_config(config_path)
        if result is not None and config_path == "hydra/config":
            result = copy.copy(result)
            result.config, result.defaults_list = OmegaConf.create(), []
        elif result is not None and result.defaults_list:
            kept = [d for d in result.defaults_list if not isinstance(d, GroupDefault) or not _of_hydra(d)]
            result.defaults_list = kept
        return result


def _of_hydra(default: GroupDefault) -> bool:
    return (default.group or "").lstrip("/").partition("/")[0] == "hydra"


def prepare(*, with_help: bool = False) -> None:
    """Enter schemas and resolvers; the list of groups, which Hydra asks for at every compose, for --help only."""
    if ASKS_FOR_A_BASE:
        version.setbase("1.3")
    config.register()
    config.register_resolver("config_groups", config_groups if with_help else no_groups)


def no_groups() -> str:
    """Stands for `config_groups` where nobody reads them."""
    return ""


def config_groups() -> str:
    """The groups of the config folder and their options, for --help."""
    loader = GlobalHydra.instance().config_loader()
    lines = []
    for group in sorted(loader.list_groups("")):
        options = loader.get_group_options(group, ObjectType.CONFIG)
        if group not in ("hydra", "schema") and options:
            lines.append(f"  {'+' if group == 'experiment' else ''}{group}: {', '.join(sorted(options))}")
    return "\n".join(lines) + "\n"


@contextmanager
def quoting() -> Iterator[None]:
    """In YAML, text that is not printed as it is stands in double quotes: there the escapes mean what they stand for."""
    dumper = get_omega_conf_dumper()
    usual = dumper.yaml_representers[str]

    def represent(to: yaml.Dumper, text: str) -> yaml.ScalarNode:
        if printable_lines(text) == text:
            return usual(to, text)
        return to.represent_scalar("tag:yaml.org,2002:str", text, style='"')

    dumper.add_representer(str, represent)
    try:
        yield
    finally:
        dumper.add_representer(str, usual)


def compose(hydra: Hydra, overrides: Sequence[str], *, multirun: bool = False) -> DictConfig:
    """The config of one run, or what the cells of a sweep have in common.  Raises BadInput."""
    mode = RunMode.MULTIRUN if multirun else RunMode.RUN
    try:
        return hydra.config_loader.load_configuration(
            CONFIG_NAME, list(overrides), mode, validate_sweep_overrides=False
        )
    except COMPOSE_ERRORS as error:
        raise BadInput(one_line(error, overrides)) from error


def as_typed(overrides: ListConfig) -> list[str]:
    """A list of overrides in Hydra's own part of a config, as they were typed.

    Whoever iterates over such a list gets their interpolations resolved against this one config.
    """
    raw: Any = OmegaConf.to_container(overrides, resolve=False)
    return [str(text) for text in raw]


def compose_point(hydra: Hydra, master: DictConfig, groups: Sequence[str], values: Sequence[str]) -> DictConfig:
    """The config of the points of a sweep that choose these groups, in a third of the time of ``compose``.

    Its scientific part is the same; Hydra's own part is not there, unless something refers to it, maybe the `values`
    that the points will set.  Raises BadInput.
    """
    lines = [*as_typed(master.hydra.overrides.hydra), *groups]

    def whole() -> DictConfig:
        cfg = compose(hydra, lines)
        with _one_line():
            OmegaConf.select(master, "hydra.sweep.dir")  # the time in it is that of the sweep
            OmegaConf.copy_cache(master, cfg)
        return cfg

    if master.hydra.searchpath or master.hydra.job.env_set or any("hydra" in line for line in (*groups, *values)):
        return whole()
    loader = hydra.config_loader
    try:
        repository = Scientific(loader.repository)  # type: ignore[attr-defined]
        chosen = Parser.create().parse_overrides(list(groups))
        found = create_defaults_list(repository, CONFIG_NAME, chosen, prepend_hydra=True, skip_missing=False)
        cfg: DictConfig = loader._compose_config_from_defaults_list(found.defaults, repository)  # type: ignore[attr-defined]
        OmegaConf.set_struct(cfg, True)
        ConfigLoaderImpl._apply_overrides_to_config(found.config_overrides, cfg)
    except COMPOSE_ERRORS:
        return whole()  # says what is wrong, if anything is
    OmegaConf.copy_cache(master, cfg)
    return whole() if _refers_to_hydra(cfg) else cfg


def is_whole(cfg: DictConfig) -> bool:
    """Whether Hydra's own part is in a config."""
    return "hydra" in cfg and "runtime" in cfg.hydra


def enter_job(cfg: DictConfig, overrides: Sequence[Override], number: int) -> None:
    """Say in Hydra's own part of a config which job of a sweep it is, as Hydra's launcher does."""
    task = [override for override in overrides if not override.is_hydra_override()]
    with _one_line(), read_write(cfg.hydra), open_dict(cfg.hydra):
        job, names = cfg.hydra.job, cfg.hydra.job.config.override_dirname
        cfg.hydra.overrides.task = [override.input_line for override in task]
        if ASKS_FOR_A_BASE:  # later ones have a resolver for it
            kept = sorted(o.input_line or "" for o in task if o.key_or_group not in names.exclude_keys)
            job.override_dirname = names.item_sep.join(kept).replace("=", names.kv_sep)
        job.id, job.num = str(number), number


@contextmanager
def _in_job(cfg: DictConfig) -> Iterator[DictConfig]:
    """The config as a function that Hydra runs gets it: its own part is reached by ``${hydra:...}`` only, and the
    environment is that of the job.
    """
    if not is_whole(cfg) or not (cfg.hydra.job.env_set or _refers_to_hydra(cfg)):
        yield cfg
        return
    outer = HydraConfig.instance().cfg
    try:
        with _one_line():
            whole = copy.deepcopy(cfg)
            HydraConfig.instance().set_config(whole)
            keys = ("sweep.dir", "sweep.subdir") if whole.hydra.mode == RunMode.MULTIRUN else ("run.dir",)
            folder = os.path.join(*(str(OmegaConf.select(whole, f"hydra.{key}")) for key in keys))
            OmegaConf.copy_cache(whole, cfg)  # the run will have the same folder
            with read_write(whole.hydra.runtime), open_dict(whole.hydra.runtime):
                whole.hydra.runtime.output_dir = os.path.abspath(folder)
            HydraConfig.instance().set_config(whole)
            job = copy.deepcopy(whole)
            with read_write(job), open_dict(job):
                del job["hydra"]
            own = HydraConfig.instance().cfg
            if ASKS_FOR_A_BASE:  # cuts its own part off first, so that no reference in it reaches another key
                own = copy.deepcopy(own)
            with env_override(own.hydra.job.env_set):  # type: ignore[union-attr]
                yield job
    finally:
        HydraConfig.instance().cfg = outer


@contextmanager
def _one_line() -> Iterator[None]:
    """What Hydra and OmegaConf raise, as BadInput."""
    try:
        yield
    except COMPOSE_ERRORS as error:
        raise BadInput(one_line(error)) from error


def apply(cfg: DictConfig, overrides: Sequence[Override]) -> None:
    """Set values in a composed config as Hydra does, checked by the schema.  Raises BadInput."""
    try:
        ConfigLoaderImpl._apply_overrides_to_config(list(overrides), cfg)
    except COMPOSE_ERRORS as error:
        raise BadInput(one_line(error, [o.input_line or "" for o in overrides])) from error


def plain(cfg: DictConfig, key: str, *, resolve: bool = True) -> Any:
    """The value of a top-level key as plain lists, dicts and scalars; None where it is not there.  Raises BadInput."""
    try:
        node = cfg._get_node(key)
        if node is None:
            return None
        if OmegaConf.is_missing(cfg, key):
            return config.MISSING
        value = cfg[key] if resolve else node
        if OmegaConf.is_config(value):
            return OmegaConf.to_container(value, resolve=resolve)
        return value if resolve else node._value()
    except COMPOSE_ERRORS as error:
        raise BadInput(one_line(error, (), _raw(cfg, key))) from error


def science(cfg: DictConfig) -> dict[str, Any]:
    """The scientific part of a composed config, resolved as in a job; ``eps`` may still be a list.  Raises BadInput."""
    with _in_job(cfg) as job:
        return resolved(job)


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """The scientific part of a config that asks nothing of Hydra or of its job.  Raises BadInput."""
    return {key: plain(cfg, key) for key in config.SCIENCE if key in cfg}


def _refers_to_hydra(cfg: DictConfig) -> bool:
    return any("hydra" in text for key in config.SCIENCE if key in cfg for text in _raw(cfg, key).values())


def _raw(cfg: DictConfig, key: str) -> Mapping[str, str]:
    """Interpolations under a key, as they were written, by their full keys."""
    found: dict[str, str] = {}

    def walk(node: Any, full: str) -> None:
        if isinstance(node, Mapping):
            for name, item in node.items():
                walk(item, f"{full}.{name}")
        elif isinstance(node, list):
            for i, item in enumerate(node):
                walk(item, f"{full}[{i}]")
        elif isinstance(node, str) and "${" in node:
            found[full] = node

    node: Any = cfg._get_node(key)
    walk(OmegaConf.to_container(node, resolve=False) if OmegaConf.is_config(node) else node._value(), key)
    return found


# ------------------------------------------------------------------------------------------------------------ one line

_KINDS = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false", "Bytes": "bytes"}


def one_line(error: BaseException, overrides: Sequence[str] = (), raw: Mapping[str, str] | None = None) -> str:
    """What Hydra or OmegaConf say about an input, in one line that names key and value."""
    links = chain(error)
    for link in links:
        if isinstance(link, BadInput):
            return str(link)
    if any(isinstance(link, RecursionError) for link in links):
        named = next(iter(raw or {}), None) or (_deepest(overrides) if overrides else "config")
        return _flat(f"{named}: nested too deep, must be at most {MAX_DEPTH} levels")
    message = str(error) or next((str(link) for link in links if str(link)), type(error).__name__)
    typed = _typed_override(message, overrides)
    for link in links:
        if isinstance(link, OverrideParseException):
            first = str(link).splitlines()[0]
            key, equals, _ = str(link.override).partition("=")
            if "EQUAL at '<EOF>'" in first or not equals:
                return _flat(f"{link.override}: must be key=value, without blanks around the sign")
            return _flat(
                f"{link.override}: cannot be read as key=value; brackets must be closed, and text with other signs"
                f" quoted for Hydra and the shell: \"{key}='...'\""
            )
        if isinstance(link, MissingConfigException):
            return _missing(link, overrides)
        if isinstance(link, ValidationError | ConfigAttributeError | ConfigKeyError | InterpolationResolutionError):
            return _flat(_omegaconf(link, typed, raw or {}, overrides))
    if match := re.match(r"Could not override '([^']+)'", message):
        group = match[1]
        shown = _find(overrides, group) or group
        advice = (
            f"write +{shown}" if "append to your default list" in message and group == "experiment" else "no such key"
        )
        return _flat(f"{shown}: {advice}")
    if match := re.match(
        r"Override (\S.*?) looks like a config group override, but config group '(.+)' does not exist", message
    ):
        return _flat(f"{match[1]}: no such config group")
    if match := re.match(
        r"(?:Index|invalid literal for int\(\) with base 10:) '(.*?)'(?: \(str\) is not an int)?$", message
    ):
        for line in overrides:
            key, _, rest = _key(line).partition(f".{match[1]}")
            if rest[:1] in ("", ".") and f"{key}.{match[1]}{rest}=" in line:
                return _flat(f"{line}: {key} is a list and has no {match[1]}; write {key}=[...]")
    if match := re.search(r"full_key: hydra\.overrides\.task\[(\d+)\]", message):
        tasks = [line for line in overrides if not _key(line).startswith(("hydra.", "hydra/"))]
        for line in tasks[int(match[1]) : int(match[1]) + 1]:
            return _flat(f"{line}: cannot be read as an interpolation: {message.splitlines()[0]}")
    if match := re.match(r"Could not delete from config\. '(.*)' does not exist", message):
        line = next((line for line in overrides if line.partition("=")[0] == f"~{match[1]}"), f"~{match[1]}")
        return _flat(f"{line}: there is no such key to remove")
    if match := re.match(
        r"Multiple values for ([\w/]+)\.|force-add of config groups is not supported: '(.+)'", message
    ):
        line = match[2] or _find(overrides, match[1]) or match[1]
        return _flat(f"{line}: is chosen by default; write {line.lstrip('+')} to choose another")
    if match := re.match(r"Ambiguous value for argument '(.+)'(?:\n|$)", message):
        return _flat(f"{match[1]}: several values; --cfg and --info show one run, so give one value of each key")
    if message.startswith("Error merging override") and len(links) > 1:
        message = str(links[1])
    if typed and "list index out of range" in message:
        key, _, item = _key(typed).rpartition(".")
        return _flat(f"{typed}: {key} has no item {item}; write the whole list, as {key}=[...]")
    mapped = (
        "Cannot merge incompatible container types" in message and (typed or "").partition("=")[2].lstrip()[:1] == "{"
    )
    if typed and (
        "Cannot merge DictConfig with ListConfig" in message or mapped
    ):  # OmegaConf 2.4 does not say which is which
        return _flat(f"{typed}: must be a list, as {_key(typed)}=[...]")
    if match := re.match(r"'NoneType' object has no attribute .*\n\s*full_key: (\S+)", message):
        return _flat(
            f"{_find(overrides, match[1]) or match[1]}: is null, which no mapping is merged into; write it in a config file"
        )
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return _flat(f"{typed}: {text}" if typed and typed not in text else text)


def chain(error: BaseException | None) -> list[BaseException]:
    """An error, and those that it came from."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _typed_override(message: str, overrides: Sequence[str]) -> str | None:
    if match := re.match(
        r"(?:Error merging override|Error parsing override) '?(.+?)'?$", message.splitlines()[0] if message else ""
    ):
        return match[1]
    if match := re.match(
        r"(?:Could not override|Could not append to config. An item is already at) '([^']+)'", message
    ):
        return _find(overrides, match[1])
    return None


def _find(overrides: Sequence[str], key: str) -> str | None:
    """The last override of a key, as it was typed."""
    return next((line for line in reversed(overrides) if _key(line) == key), None)


def _deepest(overrides: Sequence[str]) -> str:
    return _key(max(overrides, key=depth))


def _key(override: str) -> str:
    """What an override is about, without its sign."""
    return override.lstrip("+~").partition("=")[0]


def _missing(error: MissingConfigException, overrides: Sequence[str]) -> str:
    path = error.missing_cfg_file or ""
    group, _, name = path.rpartition("/")
    if not group:
        return _flat(str(error).splitlines()[0])
    sign = "+" if _find(overrides, group) is None or any(o.startswith(f"+{group}=") for o in overrides) else ""
    sign = sign if group == "experiment" else ""
    if not error.options:
        return _flat(f"{sign}{group}={name}: no such config")
    return _flat(f"{sign}{group}={name}: must be one of {', '.join(sorted(error.options))}")


def _omegaconf(
    error: OmegaConfBaseException, typed: str | None, raw: Mapping[str, str], overrides: Sequence[str]
) -> str:
    full = str(error.full_key or "")
    text = str(error.msg or error).splitlines()[0]
    if isinstance(error, InterpolationResolutionError):
        written = raw.get(full) or next((v for k, v in raw.items() if full.startswith(k) or k.startswith(full)), None)
        shown = f"{full}={written}" if written else (typed or full)
        if match := re.match(r"(?:\w+ raised while resolving interpolation: )?(.*)", text):
            text = match[1]
        if match := re.match(r"Interpolation key 'hydra\.(.+)' not found", text):
            text = f"a run does not see Hydra's own keys; write ${{hydra:{match[1]}}}"
        if full == "_dummy_":  # Hydra's name for the choice of a config
            typed_lines = [line.replace("\\", "") for line in overrides]
            shown = next((line for line in typed_lines if "${" in line), "defaults")
            text += "; a config can be named after another group only"
        return f"{shown}: {text}"
    if isinstance(error, ConfigAttributeError | ConfigKeyError):
        parent = error.parent_node
        known = [str(key) for key in parent] if isinstance(parent, DictConfig) and not parent._is_missing() else []
        prefix = full.rpartition(".")[0]
        known = sorted(
            key for key in known if key != "hydra" and not (prefix in config.LOOKUP and key == config.LOOKUP[prefix])
        )
        near = difflib.get_close_matches(full.rpartition(".")[2], known, 1)
        where = f"{prefix}." if prefix else ""
        guess = f" (did you mean {where}{near[0]}?)" if near else ""
        allowed = f"; allowed: {', '.join(where + key for key in known)}" if known else ""
        return f"{typed or full}: no such key{guess}{allowed}"
    if match := re.match(r"Value '(.*)' of type '.*' could not be converted to (\w+)", text):
        return f"{typed or full + '=' + match[1]}: must be {_KINDS.get(match[2], match[2])}"
    if match := re.match(r"Cannot convert '(list|dict)' to string", text):
        return f"{typed or full}: must be one word, not a {'list' if match[1] == 'list' else 'mapping'}"
    if "is not a valid bool" in text:
        return f"{typed or full}: must be true or false"
    if "not Optional" in text or "Incompatible value 'None'" in text or "non-optional" in text.lower():
        names = {"scheme": tuple(SCHEMES), "dtype": config.DTYPES}.get(full)
        return f"{typed or full + '=null'}: must not be null" + (f", but one of {', '.join(names)}" if names else "")
    if "is not a ListConfig, list or tuple" in text:
        return f"{typed or full}: must be a list, as {full}=[...]"
    where = typed or full
    return f"{where}: {text}" if where else text


def _flat(text: str) -> str:
    text = hide(" ".join(text.split()))  # first: what is cut off may be the end of a URI
    return text if len(text) <= 400 else text[:397] + "..."


def parse(hydra: Hydra, lines: Sequence[str]) -> list[Override]:
    """Overrides as Hydra reads them.  Raises BadInput, also for what is no single name of a config group."""
    try:
        overrides = Parser.create(config_loader=hydra.config_loader).parse_overrides(list(lines))
    except COMPOSE_ERRORS as error:
        raise BadInput(one_line(error, lines)) from error
    for override in overrides:
        line, key = override.input_line or "", override.key_or_group
        if key == "experiment" and (override.is_sweep_override() or isinstance(override.value(), list)):
            raise BadInput(f"{line}: must be one name, Hydra would drop the grids of several experiments")
        if override.is_sweep_override() or override.is_delete() or key not in (*config.LOOKUP, "experiment"):
            continue
        if not isinstance(override.value(), str | dict):
            raise BadInput(_flat(f"{line}: must be one name; see the group {key} in --help"))
    return overrides


def unswept(overrides: Sequence[Override]) -> None:
    """Raise BadInput for a list of values where only one run is made."""
    for override in overrides:
        if override.is_sweep_override():
            line = override.input_line or ""
            key = override.get_key_element()
            listed = f", or {key}=[{line.partition('=')[2]}] for all of them in one run" if key == "eps" else ""
            raise BadInput(_flat(f"{line}: several values need -m{listed}"))


__all__ = [
    "COMPOSE_ERRORS",
    "CONFIG_NAME",
    "ConfigCompositionException",
    "apply",
    "as_typed",
    "chain",
    "compose",
    "compose_point",
    "enter_job",
    "is_whole",
    "one_line",
    "parse",
    "opened",
    "parse_arguments",
    "plain",
    "quoting",
    "resolved",
    "science",
    "unswept",
]
