"""From the command line to the exit status: one run, a sweep, Hydra's own multirun, or a run that is resumed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobStatus, configure_log, run_job
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf

from gradcheck import uris
from gradcheck.errors import BadInput
from gradcheck.experiment import patches
from gradcheck.experiment.config import command_line, compose, hydra_private, recorded, schema, words
from gradcheck.experiment.config.hydra_private import Hydra
from gradcheck.experiment.engines import engines
from gradcheck.experiment.engines.early import Early
from gradcheck.experiment.grid import paired
from gradcheck.experiment.grid.sweep import plan, sweep
from gradcheck.experiment.results.plan import Plan, Planned
from gradcheck.views.commands import hydras_own, joblog
from gradcheck.views.commands.caller import Caller
from gradcheck.views.commands.compute import compute
from gradcheck.views.commands.credentials import refuse_credentials, without_store
from gradcheck.views.commands.dry_run import dry_run
from gradcheck.views.commands.folders import composing, folder_of, own_folder, refuse_used
from gradcheck.views.commands.settings import RunSettings, allowed, settings, store_at
from gradcheck.views.commands.shown import show
from gradcheck.views.terminal import say


def run(arguments: Sequence[str], caller: Caller) -> int:
    """One command line, to its exit status.  Raises BadInput, WriteError or KeyboardInterrupt."""
    if caller.alone:
        patches.log_without_tracebacks()
    refuse_credentials(arguments)
    resumed = [text for text in arguments if text.startswith("resume=")]
    if resumed:
        from gradcheck.views.commands.resume import resume  # a new run reads no record

        others = [text for text in arguments if not text.startswith("resume=")]
        return resume(resumed[-1].partition("=")[2], others, caller)
    options = command_line.parse_arguments(arguments)
    if (options.cfg or options.info is not None) and options.multirun:
        raise BadInput("-m: cannot stand beside --cfg and --info, which show one run; leave it out")
    if options.help:
        from gradcheck.experiment.config.bug_help import bug_help  # no run needs it

        if pages := bug_help(options.overrides):
            say(pages.rstrip())
            return 0
    if options.help or options.hydra_help or options.cfg or options.info is not None or options.shell_completion:
        return show(options) if caller.alone else _show_within(options)
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
        patches.collect_from_now(caller.alone)
        chosen = replace(settings(cfg), allow=allowed(parsed), caller=caller)
        if typed_store is not None:
            chosen = replace(chosen, store=store_at(typed_store))
        elif chosen.store is not None:  # a config file may hold a password too
            cfg.store = uris.shown(str(cfg.store))
        recorded.without_credentials(cfg)
        if chosen.dry_run and caller.quiet:
            raise BadInput("dry_run=true: computes nothing, so that there are no results; leave it out")
        if not multirun:
            command_line.unswept(parsed)
            paired.refuse(cfg, "there is no sweep; give each key a list of values, and write -m")
            return _single(hydra, cfg, chosen)
        own = hydras_own.chosen(cfg, overrides)
        if own:
            hydras_own.refuse(cfg, chosen, own)
        if chosen.dry_run or own:
            jobs = sweep(hydra, cfg, chosen.max_cells, chosen.allow, chosen.max_memory)
            return dry_run(jobs) if chosen.dry_run else hydras_own.multirun(hydra, cfg, overrides, chosen, own)
        with Early[Planned](chosen.engine, chosen.computing, caller.alone) as early:
            jobs = sweep(hydra, cfg, chosen.max_cells, chosen.allow, chosen.max_memory, early.planned)
            return _sweep(hydra, cfg, jobs, replace(chosen, early=early))


def _show_within(options: argparse.Namespace) -> int:
    """Help, a config and the like within another program, whose logging stays as it is."""
    if options.help or options.hydra_help:  # for which Hydra sets up its logging
        options.overrides += joblog.UNLOGGED
    with patches.handlers_set_aside():
        return show(options)


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

    here = Path.cwd()

    def task(_: DictConfig) -> int:
        job = HydraConfig.get()
        # hydra.job.chdir moves none of the paths that were typed, or that are printed
        with chdir(here), joblog.logged(job, chosen) as logged:  # type: ignore[arg-type]
            return compute(jobs, Path(job.runtime.output_dir), logged, overrides)

    with composing(folder, about="hydra.job_logging"):
        done = run_job(
            task_function=task,
            config=cfg,
            job_dir_key="hydra.run.dir",
            job_subdir_key=None,
            hydra_context=HydraContext(config_loader=hydra.config_loader, callbacks=callbacks),
            configure_logging=chosen.caller.alone,
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
        logged = joblog.in_folder(cfg, folder)
        if chosen.caller.alone:
            configure_log(logged.hydra.job_logging, logged.hydra.verbose)
    with joblog.logged(logged.hydra, chosen) as known:
        status = compute(jobs, folder, known, compose.as_typed(cfg.hydra.overrides.task))
    callbacks.on_multirun_end(config=cfg, config_name=compose.CONFIG_NAME)
    return status
