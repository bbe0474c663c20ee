"""Hydra, with what it makes of the same choices of configs made once: two thirds of composing."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from copy import copy
from typing import Any
from unittest import mock

from hydra._internal import config_loader_impl, defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import DictConfig

from gradcheck.experiment.config import hydra_private, registration


@contextmanager
def remembering(made: dict[Any, Any], place: Callable[[Any], Any] = lambda repo: ()) -> Iterator[None]:
    """Within this block the defaults list of some choices, and the config that it makes, are made once and copied.

    What depends on the values that are set, and all that is refused, is made anew.

    made : what was made so far.
    place : tells where a repository reads its configs; with None for it nothing is remembered.
    """
    if not registration.ASKS_FOR_A_BASE:  # later Hydras have other insides
        yield
        return
    listed, composed = config_loader_impl.create_defaults_list, ConfigLoaderImpl._compose_config_from_defaults_list

    def create(repo: Any, config_name: Any, overrides_list: Any, prepend_hydra: bool, skip_missing: bool) -> Any:
        if (where := place(repo)) is None:
            return listed(repo, config_name, overrides_list, prepend_hydra, skip_missing)
        given = [o for o in overrides_list if not o.is_sweep_override()]
        chosen = [o for o in given if repo.group_exists(o.key_or_group) and not isinstance(o.value(), dict)]
        key = (where, type(repo), config_name, prepend_hydra, skip_missing, *(o.input_line for o in chosen))
        if key not in made:
            made[key] = listed(repo, config_name, chosen, prepend_hydra, skip_missing)
        found = copy(made[key])
        found.config_overrides = [o for o in given if o not in chosen]
        return found

    def compose_config(self: ConfigLoaderImpl, defaults: Any, repo: Any) -> DictConfig:
        if (where := place(repo)) is None:
            return composed(self, defaults, repo)
        key = where, type(repo), repr(defaults)
        if key not in made:
            made[key] = kept(composed(self, defaults, repo))
        return made[key]()

    with _instead(create, compose_config):
        yield


def kept(config: DictConfig) -> Callable[[], DictConfig]:
    """Makes copies of a config: from a pickle, in a quarter of the time that ``deepcopy`` takes.

    Types are those that the config itself has: some are made when they are registered, and have no name to be found by.
    """
    types: list[Any] = []

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> int | None:
            if not isinstance(value, type) and type(value).__module__ != "typing":
                return None
            types.append(value)
            return len(types) - 1

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, place: int) -> Any:
            return types[place]

    file = io.BytesIO()
    Pickler(file, pickle.HIGHEST_PROTOCOL).dump(config)
    return lambda: Unpickler(io.BytesIO(file.getvalue())).load()


# as Hydra has them
_LISTED, _COMPOSED = defaults_list.create_defaults_list, ConfigLoaderImpl._compose_config_from_defaults_list


@contextmanager
def plainly() -> Iterator[None]:
    """Within this block nothing is remembered, whatever is around it."""
    with _instead(_LISTED, _COMPOSED):
        yield


@contextmanager
def _instead(listed: Any, composed: Any) -> Iterator[None]:
    with ExitStack() as patches:
        for module in (config_loader_impl, hydra_private):
            patches.enter_context(mock.patch.object(module, "create_defaults_list", listed))
        patches.enter_context(mock.patch.object(ConfigLoaderImpl, "_compose_config_from_defaults_list", composed))
        yield


def sources(repo: Any) -> str:
    """Where a repository reads its configs."""
    return str([(source.provider, source.path) for source in repo.get_sources()])


def without_a_folder_of_a_user(repo: Any) -> str | None:
    """The same of one that reads the configs of the package and of Hydra, and no others."""
    known = {source.provider for source in repo.get_sources()} <= {"hydra", "main", "schema"}
    return sources(repo) if known else None
