"""What Hydra must know of gradcheck before it composes: the folder of configs, the schemas, the resolvers."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Callable
from dataclasses import field
from decimal import Context, Decimal
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import hydra
import omegaconf
from hydra import version
from hydra.core.config_store import ConfigNode, ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from omegaconf import DictConfig, OmegaConf

from gradcheck.experiment.config.schema import LOOKUP, TABLES, Engine, Run, settings

ASKS_FOR_A_BASE = hydra.__version__.startswith("1.3.")  # later versions have one set of defaults, and warn of a base


def conf_dir() -> Path:
    """Absolute folder of the config files: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[2]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def prepare() -> None:
    """Enter schemas and resolvers."""
    if ASKS_FOR_A_BASE:
        version.setbase("1.3")
    register()


def config_groups() -> dict[str, list[str]]:
    """The groups of the config folders that are open, and their options."""
    loader = GlobalHydra.instance().config_loader()
    found = {
        group: sorted(loader.get_group_options(group, ObjectType.CONFIG)) for group in sorted(loader.list_groups(""))
    }
    return {group: options for group, options in found.items() if group not in ("hydra", "schema") and options}


class Schema(ConfigNode):
    """A schema that is made when Hydra asks for it: there are fifty, and a run needs six."""

    def __init__(self, section: str, name: str, cls: type) -> None:
        self.name, self.group, self.package, self.provider = f"{name}.yaml", f"schema/{section}", None, None
        self._made_of = section, name, cls

    @cached_property
    def node(self) -> DictConfig:  # type: ignore[override]
        return OmegaConf.structured(hydra_class(*self._made_of))


def register() -> None:
    """Enter the schemas into Hydra's ConfigStore, as ``schema/<section>/<name>``, and the resolver ``logspace``."""
    store = ConfigStore.instance()
    # entered by hand: Hydra's own way takes a second entry for a mistake
    top = store.repo.setdefault("schema", {})
    for name, node in (("run", Run), ("engine", Engine)):
        top[f"{name}.yaml"] = ConfigNode(f"{name}.yaml", OmegaConf.structured(node), "schema", None, None)
    for section, table in TABLES.items():
        schemas = top.setdefault(section, {})
        for name, cls in table.items():
            schemas[f"{name}.yaml"] = Schema(section, name, cls)
    register_resolver("logspace", logspace)


def register_resolver(name: str, resolver: Callable[..., object]) -> None:
    """Enter a function that an interpolation may name.  OmegaConf 2.4 has another name for this and warns of that of 2.3."""
    older = omegaconf.__version__.startswith("2.3.")
    enter: Callable[..., None] = OmegaConf.register_new_resolver if older else OmegaConf.register_resolver
    enter(name, resolver, replace=True)


def hydra_class(section: str, name: str, cls: type) -> type:
    """The class as Hydra checks it: its settings, and the key by which the table finds it."""
    own: list[tuple[str, object, object]] = []
    for key, setting in settings(cls).items():
        # Hydra closes a mapping with free keys to new keys, unless it starts as null
        free = typing.get_origin(setting.type) is dict or setting.type is dict
        kind, default = (Any, None) if free else (setting.type, setting.default)
        start = field(default_factory=default.copy) if isinstance(default, list) else field(default=default)
        own.append((key, kind, start))
    return dataclasses.make_dataclass(cls.__name__, [(LOOKUP[section], str, field(default=name)), *own])


# OmegaConf 2.4 warns of arguments that are not of an announced type.  Our own message is better: no type is announced.
def logspace(*given: Any) -> list[float]:
    """n powers of ten, exponents evenly spaced from ``start`` to ``stop`` inclusive: 10**(start + i (stop - start)/(n
    - 1)).

    Correctly rounded, so that the list (and the ids of its cells) is the same on every machine.
    """
    shown = f"logspace:{','.join(map(str, given))}"
    if len(given) != 3:
        raise ValueError(f"{shown}: must have three arguments, as ${{logspace:-6,-2,9}}: two exponents and a count")
    start, stop, n = given
    plain = [isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in (start, stop)]
    if not all(plain) or isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= 100_000:
        raise ValueError(f"{shown}: must be two finite exponents and a count from 1 to 100000")
    if max(abs(start), abs(stop)) > 300:
        raise ValueError(f"{shown}: exponents must lie between -300 and 300")
    low, high = Fraction(str(start)), Fraction(str(stop))
    exact = Context(prec=40)
    values = []
    for i in range(n):
        exponent = low + (high - low) * i / max(n - 1, 1)
        power = exact.divide(Decimal(exponent.numerator), Decimal(exponent.denominator))
        values.append(float(exact.power(Decimal(10), power)))
    return values
