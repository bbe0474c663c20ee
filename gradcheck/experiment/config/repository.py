"""Config files: each is read once, and refused where it is too large or too deep to be composed."""

from __future__ import annotations

import copy
import math
import os
import re

import numpy as np
import yaml
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.default_element import GroupDefault
from hydra.plugins.config_source import ConfigResult
from omegaconf import OmegaConf

from gradcheck.errors import BadInput
from gradcheck.experiment.config.hydra_private import (
    CachingConfigRepository,
    ConfigRepository,
    Hydra,
    config_file,
    repository_of,
)
from gradcheck.experiment.config.registration import conf_dir
from gradcheck.experiment.config.unreadable import unreadable
from gradcheck.experiment.config.words import cut, is_theirs
from gradcheck.experiment.config.written import ConfigFile, Files

MAX_CONFIG_BYTES = 10_000_000
MAX_CONFIG_NODES = 1_000_000
MAX_CONFIG_DEPTH = 100
_TOO_MUCH = (
    "too deep, or its aliases make too many values of it: must be at most"
    f" {MAX_CONFIG_DEPTH} levels and {MAX_CONFIG_NODES} values"
)
# A level takes a bracket, or half a column to the left of what stands in a line (a list may stand below its own key).
# In a file with more than MAX_CONFIG_DEPTH levels, half of them at least are of one of these kinds.
_MAY_BE_DEEP = MAX_CONFIG_DEPTH // 2
_INDENTED = re.compile(rb"(?m)^[ ?-]{%d}" % (MAX_CONFIG_DEPTH // 4))


class Remembering(ConfigRepository):
    """Config files read once, where Hydra reads them again whenever it composes."""

    def __init__(self, search_path: ConfigSearchPath) -> None:
        self._read: dict[str, ConfigResult | None] = {}
        self.files: list[ConfigFile] = []  # those of the user, in the order in which they are read
        super().__init__(search_path)

    def __deepcopy__(self, memo: dict[int, object]) -> Remembering:
        twin = copy.copy(self)
        twin.sources = list(self.sources)
        return twin

    def initialize_sources(self, config_search_path: ConfigSearchPath) -> None:
        self._read = {}  # other folders, other files
        super().initialize_sources(config_search_path)

    def load_config(self, config_path: str) -> ConfigResult | None:
        if config_path not in self._read:
            path = config_file(self, config_path)
            file = ConfigFile(config_path.removesuffix(".yaml"), path or config_path)
            if path is not None:
                _refuse_large(path)
                if not path.startswith(str(conf_dir())):
                    self.files.append(file)
            try:
                self._read[config_path] = super().load_config(config_path)
            except RecursionError:
                # Hydra's reader gave up although our count of the levels did not
                raise BadInput(f"{file.path}: {_TOO_MUCH}") from None
            except Exception as error:
                if path is None or not is_theirs(error):
                    raise
                raise BadInput(cut(unreadable(file, error))) from error
        result = copy.copy(self._read[config_path])
        if result is not None:
            result.config = copy.deepcopy(result.config)  # becomes a part of what is composed
        return result


def files_of(hydra: Hydra) -> Files:
    """The config files of the user that an instance of Hydra has read."""
    repository = repository_of(hydra)
    return Files(tuple(repository.files)) if isinstance(repository, Remembering) else Files()


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
