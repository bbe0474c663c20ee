"""Composing configs with Hydra: one run, the points of a sweep, and what of a config is science."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

# Arrow's own allocator keeps ten megabytes to write some hundred kilobytes at a time
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.core.utils import env_override
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict, read_write

from gradcheck.errors import BadInput
from gradcheck.experiment.config.canonical import Form
from gradcheck.experiment.config.hydra_private import (
    Hydra,
    apply_overrides,
    compose_defaults,
    holds,
    main_hydra,
    raw,
    repository_of,
    search_path,
)
from gradcheck.experiment.config.overrides import Parser, linear
from gradcheck.experiment.config.registration import ASKS_FOR_A_BASE, conf_dir, prepare
from gradcheck.experiment.config.repository import Remembering, Scientific, files_of
from gradcheck.experiment.config.schema import MISSING, SCIENCE
from gradcheck.experiment.config.words import Asked, in_one_line, placed

CONFIG_NAME = "config"


@contextmanager
def opened(config_dir: str | None = None, overrides: Sequence[str] = ()) -> Iterator[Hydra]:
    """Hydra over our config folder and, if given, one more.  Raises BadInput where that one is missing.

    What is refused within the block is refused in one line that says where it was typed (in the `overrides`) or written.
    Hydra keeps one instance of itself for the process: one that is open already is set aside and put back.
    """
    prepare()
    path = search_path(str(conf_dir()))
    if config_dir is not None:
        folder = os.path.abspath(os.path.expanduser(config_dir))
        if not os.path.isdir(folder):
            raise BadInput(f"--config-dir={config_dir}: no such folder")
        path.prepend("command-line", f"file://{folder}", anchor=SearchPathQuery(provider="schema"))
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        hydra = main_hydra(path, Remembering(path))
        with linear(), _warnings_refused(), placed(Asked(overrides, lambda: files_of(hydra))):
            yield hydra
    finally:
        GlobalHydra.instance().clear()
        if outer is not None:
            GlobalHydra.instance().initialize(outer)


def compose(hydra: Hydra, overrides: Sequence[str], *, multirun: bool = False) -> DictConfig:
    """The config of one run, or what the cells of a sweep have in common.  Raises BadInput."""
    mode = RunMode.MULTIRUN if multirun else RunMode.RUN
    with in_one_line(overrides):
        return hydra.config_loader.load_configuration(
            CONFIG_NAME, list(overrides), mode, validate_sweep_overrides=False
        )


@contextmanager
def _warnings_refused() -> Iterator[None]:
    """Refuse what Hydra and OmegaConf warn of: a folder of ``hydra.searchpath`` that is not there, a lost argument."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=r"provider=.*path=.* is not available|In the sequence .* are missing")
        yield


def as_typed(overrides: ListConfig) -> list[str]:
    """A list of overrides in Hydra's own part of a config, as they were typed.

    Iterating over such a list would resolve its interpolations against this one config.
    """
    lines = OmegaConf.to_container(overrides, resolve=False)
    assert isinstance(lines, list)
    return [str(text) for text in lines]


def compose_point(hydra: Hydra, master: DictConfig, groups: Sequence[str], values: Sequence[str]) -> DictConfig:
    """The config of the points of a sweep that choose these groups, in a third of the time of ``compose``.

    The slow way, ``compose``, is the definition: the scientific part is the same.  Hydra's own part is there only if
    something refers to it, maybe one of the `values` that the points will set.  Raises BadInput.
    """
    lines = [*as_typed(master.hydra.overrides.hydra), *groups]

    def whole() -> DictConfig:
        cfg = compose(hydra, lines)
        with in_one_line():
            OmegaConf.select(master, "hydra.sweep.dir")  # the time in it is that of the sweep
            OmegaConf.copy_cache(master, cfg)
        return cfg

    if master.hydra.searchpath or master.hydra.job.env_set or any("hydra" in line for line in (*groups, *values)):
        return whole()
    try:
        chosen = Parser.create().parse_overrides(list(groups))
        cfg = compose_defaults(hydra, Scientific(repository_of(hydra)), CONFIG_NAME, chosen)
    except Exception:
        return whole()  # says what is wrong, if anything is
    OmegaConf.copy_cache(master, cfg)
    return whole() if _refers_to_hydra(cfg) else cfg


# ----------------------------------------------------------------------------------------------------- a job of a sweep


def is_whole(cfg: DictConfig) -> bool:
    """Whether Hydra's own part is in a config."""
    return "hydra" in cfg and "runtime" in cfg.hydra


def enter_job(cfg: DictConfig, overrides: Sequence[Override], number: int) -> None:
    """Say in Hydra's own part of a config which job of a sweep it is, as Hydra's launcher does."""
    task = [override for override in overrides if not override.is_hydra_override()]
    with in_one_line(), read_write(cfg.hydra), open_dict(cfg.hydra):
        job, names = cfg.hydra.job, cfg.hydra.job.config.override_dirname
        cfg.hydra.overrides.task = [override.input_line for override in task]
        if ASKS_FOR_A_BASE:  # later versions have a resolver for it
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
        with in_one_line():
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


# ------------------------------------------------------------------------------------------------- values of a config


def apply(cfg: DictConfig, overrides: Sequence[Override]) -> None:
    """Set values in a composed config as Hydra does, checked by the schema.  Raises BadInput."""
    with in_one_line([o.input_line or "" for o in overrides]):
        apply_overrides(cfg, overrides)


def plain(cfg: DictConfig, key: str) -> Any:
    """The value of a top-level key as plain lists, dicts and scalars; None where it is not there.  Raises BadInput."""
    with in_one_line(raw=lambda: interpolations(cfg, key)):
        if not holds(cfg, key, strict=True):
            return None
        if OmegaConf.is_missing(cfg, key):
            return MISSING
        value = cfg[key]
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def science(cfg: DictConfig) -> Form:
    """The scientific part of a composed config, resolved as in a job; ``eps`` may still be a list.  Raises BadInput."""
    with _in_job(cfg) as job:
        return resolved(job)


def resolved(cfg: DictConfig) -> Form:
    """The scientific part of a config that asks nothing of Hydra or of its job.  Raises BadInput."""
    return {key: plain(cfg, key) for key in SCIENCE if key in cfg}


def _refers_to_hydra(cfg: DictConfig) -> bool:
    return any("hydra" in text for key in SCIENCE if key in cfg for text in interpolations(cfg, key).values())


def interpolations(cfg: DictConfig, key: str) -> Mapping[str, str]:
    """Interpolations under a key, as they were written, by their full keys."""
    found: dict[str, str] = {}

    def walk(node: object, full: str) -> None:
        if isinstance(node, Mapping):
            for name, item in node.items():
                walk(item, f"{full}.{name}")
        elif isinstance(node, list):
            for i, item in enumerate(node):
                walk(item, f"{full}[{i}]")
        elif isinstance(node, str) and "${" in node:
            found[full] = node

    walk(raw(cfg, key), key)
    return found
