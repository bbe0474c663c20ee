"""Options that there are not: what to type in their place."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import cache

from hydra.conf import HydraConf
from omegaconf import DictConfig, OmegaConf

from gradcheck.experiment.config.schema import READY, TABLES, Run, settings

_MOST = 3  # keys that a line proposes
# Options of Hydra that mean nothing here, by the name of their value: what to type
_INSTEAD = {
    "experimental_rerun": (
        "--experimental-rerun={0}: a run is its folder; type python -m gradcheck.reproduce RUN_DIR to compute it again,"
        " or python -m gradcheck.run resume=RUN_DIR to finish it"
    ),
    "config_path": "--config-path={0}: the configs of the package are always there; type --config-dir={0} to add yours",
    "config_name": (
        "--config-name={0}: there is one config; type +experiment={0} for a file experiment/{0}.yaml, with"
        " --config-dir=DIR where it is yours"
    ),
}


def meaningless(name: str, value: str | None = None) -> str | None:
    """What to type in place of an option of Hydra that means nothing here; None for one that does."""
    return _INSTEAD[name].format(value or "NAME") if name in _INSTEAD else None


def as_key(arguments: Sequence[str], known: Sequence[str]) -> str | None:
    """What to type for the first option that is the name of a key, though it also abbreviates one that is `known`."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        flag, equals, value = argument.partition("=")
        if flag.startswith("--") and flag not in known and _named(flag) in (*_keys(), *READY):
            return f"{argument}: there is no such option; {_proposal(flag, value if equals else following, known)}"
    return None


def instead(arguments: Sequence[str], known: Sequence[str]) -> str | None:
    """What to type in place of the first option that is not `known`; None where all are."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        flag, equals, value = argument.partition("=")
        if not flag.startswith("-") or flag in known or not flag.strip("-"):
            continue
        if flag.startswith("--") and any(option.startswith(flag) for option in known):
            continue  # an abbreviation
        if not equals and not following.startswith("-") and "=" not in following:
            value = following
        return f"{argument}: there is no such option; {_proposal(flag, value, known)}"
    return None


def _named(flag: str) -> str:
    return flag.strip("-+").replace("-", "_")


def _proposal(flag: str, value: str, known: Sequence[str]) -> str:
    name = _named(flag)
    if name in READY:
        return f"{READY[name]} is chosen with a plus; type +{name}={value or '...'}"
    keys = _keys()
    found = [name] if name in keys else [key for key in keys if key.endswith(f".{name}")]
    options = {option.strip("-").replace("-", "_").lower(): option for option in known}
    if not found:
        if near := difflib.get_close_matches(name.lower(), options, 1, cutoff=0.75):
            return f"did you mean {options[near[0]]}?"
        last = {key.rpartition(".")[2]: key for key in reversed(keys)}
        if near := difflib.get_close_matches(name, [*keys, *last], 1, cutoff=0.75):
            return f"did you mean {last.get(near[0], near[0])}={value or '...'}?"
        return "a key of the config takes no dashes, as eps=1e-4; see --help"
    typed = [f"{key}={value or ('true' if keys[key] else '...')}" for key in found[:_MOST]]
    return f"a key of the config takes no dashes; type {' or '.join(typed)}"


@cache
def _keys() -> dict[str, bool]:
    """All keys that can be typed, those of this package first, and whether a key is true or false."""
    found = {key: setting.type is bool for key, setting in settings(Run).items()}
    for section, table in TABLES.items():
        for cls in table.values():
            found |= {f"{section}.{key}": setting.type is bool for key, setting in settings(cls).items()}
    return found | _hydras(OmegaConf.structured(HydraConf), "hydra")


@cache
def sections() -> frozenset[str]:
    """All keys that hold mappings."""
    inner = {key.rpartition(".")[0] for key in _keys()}
    above = {key.rpartition(".")[0] for key in inner}
    open_ = {"hydra.callbacks", "hydra.sweeper", "hydra.sweeper.params", "hydra.launcher", "engine", "init.values"}
    return frozenset((inner | above | open_) - {""})


def _hydras(node: DictConfig, full: str) -> dict[str, bool]:
    """The keys of Hydra's own part."""
    found: dict[str, bool] = {}
    for key in map(str, node):
        inner = None if OmegaConf.is_interpolation(node, key) or OmegaConf.is_missing(node, key) else node[key]
        name = f"{full}.{key}"
        found |= _hydras(inner, name) if isinstance(inner, DictConfig) else {name: isinstance(inner, bool)}
    return found
