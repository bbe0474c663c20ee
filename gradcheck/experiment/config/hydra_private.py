"""The private parts of Hydra and OmegaConf that gradcheck uses, and its patches of them: here, and nowhere else.

Neither library promises them.  Where a new version of one has changed, this module is what to mend.
"""

from __future__ import annotations

import argparse
import copy
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

# Hydra hands its errors on instead of printing them over several lines
os.environ["HYDRA_FULL_ERROR"] = "1"

import yaml
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, ConfigRepository, IConfigRepository
from hydra._internal.defaults_list import create_defaults_list
from hydra._internal.hydra import Hydra
from hydra._internal.utils import _run_hydra, create_config_search_path, get_args_parser
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobRuntime
from hydra.version import VersionBase
from omegaconf import DictConfig, ListConfig, Node, OmegaConf, ValueNode
from omegaconf._utils import get_omega_conf_dumper
from omegaconf.basecontainer import BaseContainer
from omegaconf.errors import OmegaConfBaseException

from gradcheck.errors import BadInput
from gradcheck.printable import printable_lines

__all__ = [
    "CachingConfigRepository",
    "Callbacks",
    "ConfigRepository",
    "Hydra",
    "apply_overrides",
    "callbacks_of",
    "arguments_parser",
    "compose_defaults",
    "config_file",
    "failure",
    "holds",
    "known_keys",
    "main_hydra",
    "numbered",
    "numbers_of",
    "options_of",
    "parsed_value",
    "put_back",
    "quoting",
    "raw",
    "repository_of",
    "resolvers",
    "rewrite_texts",
    "root_of",
    "run_main",
    "search_path",
    "set_number",
    "sweeper_params",
]


# ----------------------------------------------------------------------------------------------- Hydra: loading configs


def search_path(folder: str) -> ConfigSearchPath:
    """Where Hydra looks for configs: in its own packages, and in a folder."""
    return create_config_search_path(folder)


def main_hydra(path: ConfigSearchPath, repository: ConfigRepository) -> Hydra:
    """Hydra's one instance, which reads its configs from a repository of ours."""
    hydra = Hydra.create_main_hydra2("gradcheck", path)
    hydra.config_loader.repository = repository  # type: ignore[attr-defined]
    return hydra


def repository_of(hydra: Hydra) -> ConfigRepository:
    """Where an instance of Hydra reads its configs."""
    found: ConfigRepository = hydra.config_loader.repository  # type: ignore[attr-defined]
    return found


def config_file(repository: ConfigRepository, config_path: str) -> str | None:
    """Where a config lies, if it is a file."""
    source = repository._find_object_source(config_path=config_path, object_type=ObjectType.CONFIG)
    if source is None or source.scheme() != "file":
        return None
    return os.path.join(source.path, source._normalize_file_name(config_path))


def compose_defaults(hydra: Hydra, repository: IConfigRepository, name: str, chosen: Sequence[Override]) -> DictConfig:
    """A config composed of its defaults list alone, as Hydra composes it."""
    found = create_defaults_list(repository, name, list(chosen), prepend_hydra=True, skip_missing=False)
    loader = hydra.config_loader
    cfg: DictConfig = loader._compose_config_from_defaults_list(found.defaults, repository)  # type: ignore[attr-defined]
    OmegaConf.set_struct(cfg, True)
    apply_overrides(cfg, found.config_overrides)
    return cfg


def apply_overrides(cfg: DictConfig, overrides: Sequence[Override]) -> None:
    """Set values in a composed config, checked by its schema."""
    ConfigLoaderImpl._apply_overrides_to_config(list(overrides), cfg)


# ------------------------------------------------------------------------------------- Hydra: its state in this process

# Resolvers that Hydra enters whenever it is made, and ours.
_RESOLVERS = ("now", "hydra", "python_version", "logspace", "config_groups")


@contextmanager
def put_back() -> Iterator[None]:
    """Within this block the state that Hydra and OmegaConf keep for the process is ours; then it is as it was.

    In an application of Hydra that runs us: its version base, the config of its job and the job's name, the resolvers that
    it has registered, and its ConfigStore, of which we see what Hydra and its plugins have stored, and nothing of its own.
    """
    Plugins.instance()  # plugins enter their configs once, when they are found: not into a store that is thrown away
    base, config, job, store = (
        VersionBase.instance(),
        HydraConfig.instance(),
        JobRuntime.instance(),
        ConfigStore.instance(),
    )
    known, cfg, conf, repo = base.version_base, config.cfg, job.conf, store.repo
    resolvers = {name: BaseContainer._resolvers.get(name) for name in _RESOLVERS}
    opened = GlobalHydra.instance().hydra
    job.conf = copy.deepcopy(conf)
    store.repo = {name: node for name, node in repo.items() if name == "hydra" or name.startswith("_")}
    try:
        yield
    finally:
        base.version_base, config.cfg, job.conf, store.repo = known, cfg, conf, repo
        GlobalHydra.instance().hydra = opened
        for name, resolver in resolvers.items():
            BaseContainer._resolvers.pop(name, None)
            if resolver is not None:
                BaseContainer._resolvers[name] = resolver


# ------------------------------------------------------------------------------------------- Hydra: command line and jobs


def arguments_parser() -> argparse.ArgumentParser:
    """The parser of Hydra's own options."""
    return get_args_parser()


def options_of(parser: argparse.ArgumentParser) -> list[str]:
    """All options that a parser takes."""
    return [option for action in parser._actions for option in action.option_strings]


def run_main(typed: argparse.Namespace, task: Callable[[DictConfig], object], folder: str, name: str) -> None:
    """What Hydra's decorator does with a parsed command line."""
    _run_hydra(typed, get_args_parser(), task, folder, name)


def callbacks_of(cfg: DictConfig) -> Callbacks:
    """The callbacks that a config names.  Raises BadInput for what can be called at no moment of a run."""
    found = Callbacks(cfg)
    for key, made in zip(OmegaConf.select(cfg, "hydra.callbacks") or (), found.callbacks, strict=False):
        if not any(name.startswith("on_") for name in dir(made)):
            raise BadInput(f"hydra.callbacks.{key}: is no callback; name a class of callbacks, as my.module.Callback")
    return found


def failure(done: JobReturn) -> BaseException:
    """What a failed job raised; its public property would print it first."""
    raised = done._return_value
    assert isinstance(raised, BaseException)
    return raised


def sweeper_params(master: DictConfig) -> dict[str, object]:
    """The grid in a config, its interpolations resolved as Hydra resolves them when it makes its own sweeper."""
    sweeper: Any = Plugins.instance()._instantiate(master.hydra.sweeper)
    return dict(sweeper.params)


# ----------------------------------------------------------------------------------------------------- Hydra: overrides


def parsed_value(override: Override) -> object:
    """The value of an override as the parser made it, a sweep included."""
    return override._value


def numbered(override: Override, number: float, line: str) -> Override:
    """The same override with a number as its value, without the detour over text."""
    point = copy.copy(override)
    point._value, point.value_type, point.input_line = number, None, line
    return point


def numbers_of(override: Override) -> Sequence[float]:
    """The numbers of a range; whole numbers in a row are not held one by one."""
    typed = override._value
    assert isinstance(typed, RangeSweep)
    numbers = typed.range()
    if isinstance(numbers, range) and not typed.shuffle:
        return numbers
    return [number for number in override.sweep_iterator() if isinstance(number, int | float)]


# ------------------------------------------------------------------------------------------------------ OmegaConf: nodes


def holds(cfg: DictConfig, key: str, *, strict: bool = False) -> bool:
    """Whether a key is there, be its value null, missing or an interpolation that cannot be resolved.

    strict : raise what OmegaConf raises for a key that the schema does not know.
    """
    return cfg._get_node(key, validate_access=strict) is not None


def root_of(node: object) -> DictConfig | None:
    """The whole config that a node of it belongs to."""
    root = node._get_root() if isinstance(node, Node) else None
    return root if isinstance(root, DictConfig) else None


def raw(cfg: DictConfig, key: str) -> object:
    """A value as it was written, its interpolations unresolved, as plain data; None where the key is not there.

    Raises what OmegaConf raises for a key that the schema does not know.
    """
    node = cfg._get_node(key)
    if node is None:
        return None
    assert isinstance(node, Node)
    return OmegaConf.to_container(node, resolve=False) if OmegaConf.is_config(node) else node._value()


def known_keys(node: object) -> list[str]:
    """The keys of a mapping in a config; none of what is missing or no mapping."""
    return [str(key) for key in node] if isinstance(node, DictConfig) and not node._is_missing() else []


def set_number(cfg: DictConfig, path: str, number: float) -> object:
    """Set a number that is there already, the way OmegaConf goes; what the schema made of it.

    None where it is not there, or not a plain value, or the schema refuses the number: then the slow way says why.
    """
    node: object = cfg
    for part in path.split("."):
        inside = isinstance(node, DictConfig) and isinstance(node._content, dict)
        node = node._get_node(part, validate_access=False) if inside else None  # type: ignore[attr-defined]
    if not isinstance(node, ValueNode):
        return None
    try:
        node._set_value(number)
    except OmegaConfBaseException:
        return None
    return node._value()


def resolvers() -> list[str]:
    """The names of all functions that an interpolation may call."""
    return list(BaseContainer._resolvers)


def rewrite_texts(cfg: DictConfig, key: str, rewritten: Callable[[str], str]) -> None:
    """Rewrite every text under a key in the config itself; interpolations are texts, too."""
    _rewrite(cfg._get_node(key, validate_access=False), rewritten)


def _rewrite(node: object, rewritten: Callable[[str], str]) -> None:
    if isinstance(node, DictConfig | ListConfig):
        content = node._content
        if isinstance(content, str):  # an interpolation in place of a section
            return
        for child in content.values() if isinstance(content, dict) else content or ():
            _rewrite(child, rewritten)
    elif isinstance(node, ValueNode) and isinstance(text := node._value(), str):
        new = rewritten(text)
        if new != text:
            node._val = new


@contextmanager
def quoting() -> Iterator[None]:
    """Within this block, YAML has text with unprintable characters in double quotes, where escapes keep their meaning."""
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
