"""The settings of a run that can change no number, and which modules the command line allows to be imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hydra.core.override_parser.types import Override, RangeSweep
from omegaconf import DictConfig, OmegaConf

from gradcheck.columns import places
from gradcheck.columns.places import Place
from gradcheck.columns.weights import tabled
from gradcheck.errors import BadInput
from gradcheck.experiment.config import compose, hydra_private, schema
from gradcheck.experiment.engines.base import EngineSettings, Options
from gradcheck.experiment.engines.early import Early
from gradcheck.experiment.footprint import MAX_MEMORY
from gradcheck.experiment.results.plan import Planned
from gradcheck.functions.imports import module_of
from gradcheck.views.commands.caller import Caller

# What may be typed beside resume=.
RESUMABLE = ("engine", "progress", "fail_on", "fail_fast", "cell_timeout", "allow", "max_memory", "replace")


@dataclass(frozen=True)
class RunSettings:
    """Where and how the cells of a run are computed, and what counts as a failure; none of it can change a number."""

    engine: str
    n_jobs: int | None
    address: str | None
    store: Place | None
    fail_on: str
    fail_fast: bool
    cell_timeout: float | None
    progress: str
    dry_run: bool
    max_cells: int
    max_memory: float
    allow: tuple[str, ...]
    caller: Caller = field(default_factory=Caller)
    early: Early[Planned] | None = None

    @property
    def computing(self) -> EngineSettings:
        """What an engine is told of it."""
        options: Options = {"allow": self.allow} if self.allow else {}
        if self.max_memory != MAX_MEMORY:
            options["max_memory"] = self.max_memory
        return EngineSettings(
            self.n_jobs, self.cell_timeout, self.fail_fast, address=self.address, pack=tabled, options=options
        )


def store_at(typed: str) -> places.Place:
    """The place that ``store`` names.  Raises BadInput."""
    try:
        return places.at(typed)
    except BadInput as error:
        raise BadInput(f"store={error}") from None


def settings(cfg: DictConfig) -> RunSettings:
    """The settings of a composed config.  Raises BadInput."""
    needed = [key for key in schema.Run.__dataclass_fields__ if key not in schema.SCIENCE]
    for key in needed:
        if not hydra_private.holds(cfg, key) or OmegaConf.is_missing(cfg, key):
            raise BadInput(f"~{key}: cannot be removed; leave it out for the default")
    given = {key: compose.plain(cfg, key) for key in needed}
    engine = given["engine"] if isinstance(given["engine"], dict) else {}
    chosen = RunSettings(
        engine=str(engine.get("name")),
        n_jobs=engine.get("n_jobs"),
        address=engine.get("address"),
        store=None if given["store"] is None else store_at(given["store"]),
        fail_on=str(given["fail_on"]),
        fail_fast=bool(given["fail_fast"]),
        cell_timeout=given["cell_timeout"],
        progress=str(given["progress"]),
        dry_run=bool(given["dry_run"]),
        max_cells=given["max_cells"],
        max_memory=float(given["max_memory"]),
        allow=tuple(given["allow"] or ()),
    )
    _refuse(chosen)
    if given["store"] == "":
        raise BadInput("store=: must be a folder or a URI such as s3://bucket/prefix, or null")
    return chosen


def _refuse(chosen: RunSettings) -> None:
    """Raise BadInput for settings that have no meaning, one by one or together."""
    for key, value, allowed in (
        ("engine", chosen.engine, schema.ENGINES),
        ("fail_on", chosen.fail_on, schema.FAIL_ON),
        ("progress", chosen.progress, schema.PROGRESS),
    ):
        if value not in allowed:
            raise BadInput(f"{key}={value}: must be one of {', '.join(allowed)}")
    if chosen.n_jobs == 0:
        raise BadInput("engine.n_jobs=0: must be a number of processes, or -1 for one per core")
    if chosen.address is not None and chosen.engine != "dask":
        raise BadInput(f"engine.address={chosen.address}: only engine=dask has an address")
    if chosen.address is not None and set("@?#") & set(chosen.address):
        raise BadInput("engine.address: must be as tcp://host:port; credentials have no place in it")
    if chosen.address is not None and chosen.n_jobs is not None:
        raise BadInput(f"engine.n_jobs={chosen.n_jobs}: the cluster at engine.address has its own number of workers")
    if chosen.cell_timeout is not None and not 0 < chosen.cell_timeout < float("inf"):
        raise BadInput(f"cell_timeout={chosen.cell_timeout}: must be a finite number of seconds > 0, or null")
    if chosen.max_cells < 1:
        raise BadInput(f"max_cells={chosen.max_cells}: must be a whole number >= 1")
    if not chosen.max_memory > 0:
        raise BadInput(f"max_memory={chosen.max_memory}: must be a number of bytes > 0")


def allowed(typed: Sequence[Override]) -> tuple[str, ...]:
    """What ``model=function`` may import: modules typed in ``allow=``, and functions typed and their modules.

    Only the command line counts.  Config files and interpolations allow nothing.
    """
    names: list[object] = []
    functions: list[object] = []
    for override in typed:
        key = override.key_or_group
        if key not in ("allow", "model", "model.fun", "model.jac"):
            continue
        if isinstance(hydra_private.parsed_value(override), RangeSweep):
            continue  # numbers name nothing, and they may be without end
        values = list(override.sweep_iterator()) if override.is_discrete_sweep() else [override.value()]
        for value in values:
            if key == "allow":
                names += value if isinstance(value, list) else [value]
            elif key in ("model.fun", "model.jac"):
                functions.append(value)
            elif key == "model" and isinstance(value, dict):
                functions += [value.get("fun"), value.get("jac")]
    typed_functions, typed_names = _literal(functions), _literal(names)
    return tuple(dict.fromkeys([*typed_names, *typed_functions, *filter(None, map(module_of, typed_functions))]))


def _literal(values: Sequence[object]) -> list[str]:
    """The values that are text without an interpolation."""
    return [value for value in values if isinstance(value, str) and "${" not in value]
