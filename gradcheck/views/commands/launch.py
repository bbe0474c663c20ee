"""From the command line to the exit status: one run, a sweep, Hydra's own multirun, or a run that is resumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobStatus, configure_log, run_job
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict, read_write

from gradcheck import uris
from gradcheck.errors import BadInput
from gradcheck.experiment import patches
from gradcheck.experiment.config import command_line, compose, hydra_private, recorded, schema, words
from gradcheck.experiment.config.hydra_private import Hydra
from gradcheck.experiment.engines import engines
from gradcheck.experiment.grid.sweep import plan, sweep
from gradcheck.experiment.results.plan import Plan
from gradcheck.views.commands.compute import compute
from gradcheck.views.commands.credentials import refuse_credentials, without_store
from gradcheck.views.commands.dry_run import dry_run
from gradcheck.views.commands.folders import composing, folder_of, own_folder, quoted, refuse_used
from gradcheck.views.commands.settings import RunSettings, allowed, settings, store_at
from gradcheck.views.commands.shown import show
from gradcheck.views.terminal import say


def run(arguments: Sequence[str], *, alone: bool = False) -> int:
    """One command line, to its exit status.  Raises BadInput, WriteError or KeyboardInterrupt.

    alone : nothing else is done in this process, before or after.
    """
    patches.log_without_tracebacks()
    refuse_credentials(arguments)
    resumed = [text for text in arguments if text.startswith("resume=")]
    if resumed:
        from gradcheck.views.commands.resume import resume  # a new run reads no record

        others = [text for text in arguments if not text.startswith("resume=")]
        return resume(resumed[-1].partition("=")[2], others, alone=alone)
    options = command_line.parse_arguments(arguments)
    if (options.cfg or options.info is not None) and options.multirun:
        raise BadInput("-m: cannot stand beside --cfg and --info, which show one run; leave it out")
    if options.help:
        from gradcheck.experiment.config.bug_help import bug_help  # no run needs it

        if pages := bug_help(options.overrides):
            say(pages.rstrip())
            return 0
    if options.help or options.hydra_help or options.cfg or options.info is not None or options.shell_completion:
        return show(options)
    if options.resolve or options.package:
        raise BadInput("--resolve and --package go with --cfg only")
    typed_store, overrides = without_store(options.overrides)
    with compose.opened(options.config_dir, overrides) as hydra:
        parsed = command_line.parse(hydra, overrides)
        for override in parsed:
            if override.is_hydra_override() and override.is_sweep_override():
                raise BadInput(f"{override.input_line}: keys of Hydra cannot be swept; give one value")
        cfg, multirun = _master(hydra, overrides, parsed, typed=options.multirun)
        if not isinstance(cfg.hydra.verbose, bool | str | ListConfig):
            raise BadInput(
                f"hydra.verbose={cfg.hydra.verbose}: must be true, false, the name of a logger or a list of them"
            )
        for key in ("launcher", "sweeper"):
            if not isinstance(cfg.hydra[key], DictConfig):
                raise BadInput(f"hydra.{key}={cfg.hydra[key]}: must be chosen by name, as hydra/{key}=basic")
        patches.collect_from_now(alone)
        chosen = replace(settings(cfg), allow=allowed(parsed))
        if typed_store is not None:
            chosen = replace(chosen, store=store_at(typed_store))
        elif chosen.store is not None:  # a config file may hold a password too
            cfg.store = uris.shown(str(cfg.store))
        recorded.without_credentials(cfg)
        if not multirun:
            command_line.unswept(parsed)
            return _single(hydra, cfg, chosen)
        jobs = sweep(hydra, cfg, chosen.max_cells, chosen.allow, chosen.max_memory)
        if chosen.dry_run:
            return dry_run(jobs)
        if any(text.startswith(("hydra/launcher=", "hydra/sweeper=")) for text in overrides):
            if chosen.store is not None:
                raise BadInput(f"store={chosen.store}: Hydra's own multirun keeps each job in a folder of its own")
            folder = own_folder(cfg, "hydra.sweep.dir")
            return _own(hydra, [*overrides, f"hydra.sweep.dir={quoted(str(folder))}"], chosen.allow, folder)
        return _sweep(hydra, cfg, jobs, chosen)


def _master(hydra: Hydra, overrides: list[str], parsed: Sequence[Override], *, typed: bool) -> tuple[DictConfig, bool]:
    """The composed config without its axes, and whether it is one of a sweep."""
    try:
        cfg = compose.compose(hydra, overrides, multirun=True)
    except BadInput as error:
        # A value may fit the groups of the grid and not the default ones: then each point of the grid checks it.
        try:
            cfg = compose.compose(hydra, _outline(hydra, parsed), multirun=True)
            if "${" in str(OmegaConf.to_container(cfg.hydra.sweeper, resolve=False)):
                raise error  # the grid may depend on the values that do not fit
            cfg.hydra.overrides.task = [o.input_line for o in parsed if not o.is_hydra_override()]
        except Exception:
            raise error from None
        if not typed and cfg.hydra.mode != RunMode.MULTIRUN:
            raise
    multirun = typed or cfg.hydra.mode == RunMode.MULTIRUN
    if cfg.hydra.mode is None or (multirun and cfg.hydra.mode != RunMode.MULTIRUN):
        cfg.hydra.mode = RunMode.MULTIRUN if multirun else RunMode.RUN
        cfg.hydra.overrides.hydra.append(f"hydra.mode={cfg.hydra.mode.name}")
    return cfg, multirun


def _outline(hydra: Hydra, overrides: Sequence[Override]) -> list[str]:
    """The overrides without the values of scientific keys."""
    repository = hydra_private.repository_of(hydra)
    return [
        override.input_line or ""
        for override in overrides
        if repository.group_exists(override.key_or_group)
        or override.key_or_group.partition(".")[0] not in schema.SCIENCE
    ]


def _single(hydra: Hydra, cfg: DictConfig, chosen: RunSettings) -> int:
    """One run, which may have several values of eps."""
    jobs = plan(
        [compose.science(cfg)],
        chosen.max_cells,
        single=True,
        allow=chosen.allow,
        max_memory=chosen.max_memory,
    )
    if chosen.dry_run:
        return dry_run(jobs)
    refuse_used(folder_of(cfg, "hydra.run.dir"), chosen)
    engines.refuse(chosen.engine, chosen.address)
    folder = own_folder(cfg, "hydra.run.dir")
    with words.in_one_line(about="hydra.callbacks"):
        callbacks = hydra_private.callbacks_of(cfg)
    callbacks.on_run_start(config=cfg, config_name=compose.CONFIG_NAME)
    overrides = compose.as_typed(cfg.hydra.overrides.task)

    def task(_: DictConfig) -> int:
        return compute(jobs, Path(HydraConfig.get().runtime.output_dir), chosen, overrides)

    with composing(folder, about="hydra.job_logging"):
        done = run_job(
            task_function=task,
            config=cfg,
            job_dir_key="hydra.run.dir",
            job_subdir_key=None,
            hydra_context=HydraContext(config_loader=hydra.config_loader, callbacks=callbacks),
        )
    callbacks.on_run_end(config=cfg, config_name=compose.CONFIG_NAME, job_return=done)
    if done.status is JobStatus.FAILED:
        raise hydra_private.failure(done)
    return int(done.return_value)


def _sweep(hydra: Hydra, cfg: DictConfig, jobs: Plan, chosen: RunSettings) -> int:
    """A sweep: all cells in one run."""
    refuse_used(folder_of(cfg, "hydra.sweep.dir"), chosen)
    engines.refuse(chosen.engine, chosen.address)
    folder = own_folder(cfg, "hydra.sweep.dir")
    with words.in_one_line(about="hydra.callbacks"):
        callbacks = hydra_private.callbacks_of(cfg)
    callbacks.on_multirun_start(config=cfg, config_name=compose.CONFIG_NAME)
    with composing(folder, about="hydra.job_logging"):
        OmegaConf.save(cfg, folder / "multirun.yaml")
        logged = cfg.copy()
        with read_write(logged.hydra.runtime), open_dict(logged.hydra.runtime):
            logged.hydra.runtime.output_dir = str(folder.absolute())
        configure_log(logged.hydra.job_logging, logged.hydra.verbose)
    status = compute(jobs, folder, chosen, compose.as_typed(cfg.hydra.overrides.task))
    callbacks.on_multirun_end(config=cfg, config_name=compose.CONFIG_NAME)
    return status


def _own(hydra: Hydra, overrides: list[str], allow: tuple[str, ...], folder: Path) -> int:
    """Hydra's own multirun: each job a single run in a folder of its own."""
    statuses = []

    def task(cfg: DictConfig) -> int:
        chosen = replace(settings(cfg), allow=allow)
        jobs = plan([compose.science(cfg)], chosen.max_cells, allow=allow, max_memory=chosen.max_memory)
        job = HydraConfig.get()
        overrides = compose.as_typed(job.overrides.task)  # type: ignore[arg-type]
        statuses.append(compute(jobs, Path(job.runtime.output_dir), chosen, overrides))
        return statuses[-1]

    with composing(folder, about="hydra.launcher"):
        hydra.multirun(
            config_name=compose.CONFIG_NAME, task_function=task, overrides=[*overrides, "hydra.mode=MULTIRUN"]
        )
    return max(statuses, default=0)
