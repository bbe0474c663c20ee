"""From the command line to the exit status: one run, a sweep, Hydra's own multirun, a run that is taken up again."""

from __future__ import annotations

import argparse
import gc
import hashlib
import io
import json
import logging
import os
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra._internal.hydra import Hydra
from hydra._internal.utils import _run_hydra, get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override, Quote, QuotedString, RangeSweep
from hydra.core.utils import JobStatus, configure_log, run_job
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict, read_write

from gradcheck import uris
from gradcheck.columns import store
from gradcheck.columns.store import PLAN, Place
from gradcheck.columns.weights import SCHEMA_VERSION, tabled
from gradcheck.errors import BadInput, Meaningless, WriteError
from gradcheck.experiment.config import compose, config, recorded
from gradcheck.experiment.config.harmless import harmless
from gradcheck.experiment.engines import engines
from gradcheck.experiment.engines.base import EngineLost
from gradcheck.experiment.engines.interrupts import sigterm_interrupts
from gradcheck.experiment.footprint import MAX_MEMORY, layout
from gradcheck.experiment.grid.sweep import plan, read_plan, sweep, write_plan
from gradcheck.experiment.results import provenance, repair, results
from gradcheck.experiment.results.plan import Ids, Left, Plan, Planned
from gradcheck.experiment.results.rows import cell_row
from gradcheck.experiment.results.stored import Stored
from gradcheck.functions.imports import module_of
from gradcheck.printable import printable
from gradcheck.views import summary
from gradcheck.views.progress import Progress
from gradcheck.views.terminal import Harmless, say

log = logging.getLogger(__name__)

INTERRUPTED = 130
RESUMABLE = (
    "engine",
    "progress",
    "fail_on",
    "fail_fast",
    "cell_timeout",
    "allow",
    "max_memory",
    "replace",
)  # may be typed beside resume=


@dataclass(frozen=True)
class Settings:
    """What is no part of the science: where and how cells are computed, and what counts as a failure."""

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


def _stored(typed: str) -> store.Place:
    """The place that ``store`` names.  Raises BadInput."""
    try:
        return store.at(typed)
    except BadInput as error:
        raise BadInput(f"store={error}") from None


def settings(cfg: DictConfig) -> Settings:
    """The settings of a composed config.  Raises BadInput."""
    needed = [key for key in config.Run.__dataclass_fields__ if key not in config.SCIENCE]
    for key in needed:
        if cfg._get_node(key, validate_access=False) is None or OmegaConf.is_missing(cfg, key):
            raise BadInput(f"~{key}: cannot be removed; leave it out for the default")
    given = {key: compose.plain(cfg, key) for key in needed}
    engine = given["engine"] if isinstance(given["engine"], dict) else {}
    chosen = Settings(
        engine=str(engine.get("name")),
        n_jobs=engine.get("n_jobs"),
        address=engine.get("address"),
        store=None if given["store"] is None else _stored(given["store"]),
        fail_on=str(given["fail_on"]),
        fail_fast=bool(given["fail_fast"]),
        cell_timeout=given["cell_timeout"],
        progress=str(given["progress"]),
        dry_run=bool(given["dry_run"]),
        max_cells=given["max_cells"],
        max_memory=float(given["max_memory"]),
        allow=tuple(given["allow"] or ()),
    )
    for key, value, allowed in (
        ("engine", chosen.engine, config.ENGINES),
        ("fail_on", chosen.fail_on, config.FAIL_ON),
        ("progress", chosen.progress, config.PROGRESS),
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
    if given["store"] == "":
        raise BadInput("store=: must be a folder or a URI such as s3://bucket/prefix, or null")
    return chosen


def allowed(typed: Sequence[Override]) -> tuple[str, ...]:
    """What may be imported for ``model=function``: modules typed in ``allow=``, and functions typed and their modules.

    Only the command line counts.  What a file says, or an interpolation brings in, allows nothing.
    """
    names: list[Any] = []
    functions: list[Any] = []
    for override in typed:
        key = override.key_or_group
        if key not in ("allow", "model", "model.fun", "model.jac"):
            continue
        if isinstance(override._value, RangeSweep):
            continue  # numbers name nothing, and they may be without end
        values = list(override.sweep_iterator()) if override.is_discrete_sweep() else [override.value()]
        for value in values:
            if key == "allow":
                names += value if isinstance(value, list) else [value]
            elif key in ("model.fun", "model.jac"):
                functions.append(value)
            elif key == "model" and isinstance(value, dict):
                functions += [value.get("fun"), value.get("jac")]
    functions = [name for name in functions if isinstance(name, str) and "${" not in name]
    names = [name for name in names if isinstance(name, str) and "${" not in name]
    return tuple(dict.fromkeys([*names, *functions, *filter(None, map(module_of, functions))]))


# ------------------------------------------------------------------------------------------------------------ commands


def run(arguments: Sequence[str], *, alone: bool = False) -> int:
    """One command line, to its exit status.  Raises BadInput, WriteError or KeyboardInterrupt.

    alone : nothing else is done in this process, before or after.
    """
    logging.raiseExceptions = False  # a log that cannot be written (disk full) is no reason for a traceback
    _refuse_credentials(arguments)
    resumed = [text for text in arguments if text.startswith("resume=")]
    if resumed:
        others = [text for text in arguments if not text.startswith("resume=")]
        return resume(resumed[-1].partition("=")[2], others, alone=alone)
    options = compose.parse_arguments(arguments)
    if options.experimental_rerun is not None or options.config_path is not None or options.config_name is not None:
        raise BadInput(
            "--experimental-rerun, --config-path and --config-name are not supported; add configs with --config-dir"
        )
    if (options.cfg or options.info is not None) and options.multirun:
        raise BadInput("-m: cannot stand beside --cfg and --info, which show one run; leave it out")
    if options.help:
        from gradcheck.experiment.config.bug_help import bug_help  # no run needs it

        if pages := bug_help(options.overrides):
            say(pages.rstrip())
            return 0
    if options.help or options.hydra_help or options.cfg or options.info is not None or options.shell_completion:
        return _show(options)
    if options.resolve or options.package:
        raise BadInput("--resolve and --package go with --cfg only")
    typed_store, overrides = _without_store(options.overrides)
    with compose.opened(options.config_dir) as hydra:
        parsed = compose.parse(hydra, overrides)
        for override in parsed:
            if override.is_hydra_override() and override.is_sweep_override():
                raise BadInput(f"{override.input_line}: keys of Hydra cannot be swept; give one value")
        cfg, multirun = _master(hydra, overrides, parsed, typed=options.multirun)
        if not isinstance(cfg.hydra.verbose, bool | str | ListConfig):
            raise BadInput(
                f"hydra.verbose={cfg.hydra.verbose}: must be true, false, the name of a logger or a list of them"
            )
        _collect(alone)
        chosen = replace(settings(cfg), allow=allowed(parsed))
        if typed_store is not None:
            chosen = replace(chosen, store=_stored(typed_store))
        elif chosen.store is not None:  # a config file may hold a password too
            cfg.store = uris.shown(str(cfg.store))
        recorded.without_credentials(cfg)
        if not multirun:
            compose.unswept(parsed)
            return _single(hydra, cfg, chosen)
        jobs = sweep(hydra, cfg, chosen.max_cells, chosen.allow, chosen.max_memory)
        if chosen.dry_run:
            return _dry_run(jobs)
        if any(text.startswith(("hydra/launcher=", "hydra/sweeper=")) for text in overrides):
            if chosen.store is not None:
                raise BadInput(f"store={chosen.store}: Hydra's own multirun keeps each job in a folder of its own")
            folder = _own_folder(cfg, "hydra.sweep.dir", chosen)
            return _own(hydra, [*overrides, f"hydra.sweep.dir={_quoted(str(folder))}"], chosen.allow, folder)
        return _sweep(hydra, cfg, jobs, chosen)


def _refuse_credentials(arguments: Sequence[str]) -> None:
    """Raise BadInput for credentials in an argument where none are expected: what follows would print and record them."""
    for text in arguments:
        key, equals, _ = text.partition("=")
        if key.lstrip("+") in ("store", "resume") or not uris.is_uri(text) or uris.hide(text) == text:
            continue
        named = key if equals and not uris.is_uri(key) else "a URI"
        raise BadInput(f"{named}: a URI with credentials or a query may stand in store= and resume= alone")


def _without_store(typed: Sequence[str]) -> tuple[str | None, list[str]]:
    """What ``store=`` says, and the overrides in which it has no password: Hydra records them.

    In ``store=`` all that follows is the path, whatever it means to Hydra.
    """
    found, overrides = None, []
    for text in typed:
        key, _, path = text.partition("=")
        if key.lstrip("+") == "store":
            found = None if path in ("", "null") else path
            if found is not None:
                text = f"{key}={_quoted(uris.shown(found))}"
        overrides.append(text)
    return found, overrides


def _collect(alone: bool) -> None:
    """From here on cells come and go; what is there stays.

    It need not be looked through where the process ends with the run.  Of another one it would never be: what is frozen
    is old when it thaws, and does not count as new there.
    """
    if alone:
        gc.freeze()
    gc.enable()


def _show(typed: argparse.Namespace) -> int:
    """What Hydra prints about an application instead of running it.

    Hydra would read the command line once more, its own way: options in one place, errors over several lines.
    """
    compose.prepare(with_help=True)
    typed.overrides = _without_store(typed.overrides)[1]
    typed.overrides += _hidden(typed)
    said = io.StringIO()
    shown: Any = Harmless(sys.stdout)
    try:
        with redirect_stdout(shown), redirect_stderr(said), compose.quoting():
            _run_hydra(typed, get_args_parser(), _nothing, str(config.conf_dir()), compose.CONFIG_NAME)
    except SystemExit as end:
        if end.code:
            raise BadInput(said.getvalue().strip()) from None
    except compose.COMPOSE_ERRORS as error:
        raise BadInput(compose.one_line(error, typed.overrides)) from error
    Harmless(sys.stderr).write(said.getvalue())
    return 0


def _hidden(typed: argparse.Namespace) -> list[str]:
    """Overrides that hide the credentials which config files put into what is shown."""
    if not typed.cfg:
        return []
    try:
        with compose.opened(typed.config_dir) as hydra:
            cfg = compose.compose(hydra, typed.overrides)
            place = None if cfg.store is None else str(cfg.store)
    except (BadInput, *compose.COMPOSE_ERRORS):
        return []  # Hydra says so
    if place is None or uris.shown(place) == place:
        return []
    return [f"store={_quoted(uris.shown(place))}"]


def _nothing(cfg: DictConfig) -> None:
    raise AssertionError("Hydra was asked to show, not to run")


def _master(hydra: Hydra, overrides: list[str], parsed: Sequence[Override], *, typed: bool) -> tuple[DictConfig, bool]:
    """The composed config without its axes, and whether it is one of a sweep."""
    try:
        cfg = compose.compose(hydra, overrides, multirun=True)
    except BadInput as error:
        # A value may fit the groups of the grid and not those that stand there by default: leave it to the points.
        try:
            cfg = compose.compose(hydra, _outline(hydra, parsed), multirun=True)
            if "${" in str(OmegaConf.to_container(cfg.hydra.sweeper, resolve=False)):
                raise error  # the grid may depend on the values that do not fit
            cfg.hydra.overrides.task = [o.input_line for o in parsed if not o.is_hydra_override()]
        except (BadInput, *compose.COMPOSE_ERRORS):  # text that can be no interpolation cannot be recorded either
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
    repository = hydra.config_loader.repository  # type: ignore[attr-defined]
    return [
        override.input_line or ""
        for override in overrides
        if repository.group_exists(override.key_or_group)
        or override.key_or_group.partition(".")[0] not in config.SCIENCE
    ]


def _single(hydra: Hydra, cfg: DictConfig, chosen: Settings) -> int:
    jobs = plan(
        [compose.science(cfg)],
        chosen.max_cells,
        single=True,
        allow=chosen.allow,
        max_memory=chosen.max_memory,
    )
    if chosen.dry_run:
        return _dry_run(jobs)
    _refuse_used(_folder(cfg, "hydra.run.dir"), chosen)
    engines.refuse(chosen.engine, chosen.address)
    folder = _own_folder(cfg, "hydra.run.dir", chosen)
    callbacks = Callbacks(cfg)
    callbacks.on_run_start(config=cfg, config_name=compose.CONFIG_NAME)
    overrides = compose.as_typed(cfg.hydra.overrides.task)

    def task(_: DictConfig) -> int:
        return compute(jobs, Path(HydraConfig.get().runtime.output_dir), chosen, overrides)

    with _composing(folder):
        done = run_job(
            task_function=task,
            config=cfg,
            job_dir_key="hydra.run.dir",
            job_subdir_key=None,
            hydra_context=HydraContext(config_loader=hydra.config_loader, callbacks=callbacks),
        )
    callbacks.on_run_end(config=cfg, config_name=compose.CONFIG_NAME, job_return=done)
    if done.status is JobStatus.FAILED:
        raise done._return_value
    return int(done.return_value)


def _sweep(hydra: Hydra, cfg: DictConfig, jobs: Plan, chosen: Settings) -> int:
    _refuse_used(_folder(cfg, "hydra.sweep.dir"), chosen)
    engines.refuse(chosen.engine, chosen.address)
    folder = _own_folder(cfg, "hydra.sweep.dir", chosen)
    callbacks = Callbacks(cfg)
    callbacks.on_multirun_start(config=cfg, config_name=compose.CONFIG_NAME)
    with _composing(folder):
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

    with _composing(folder):
        hydra.multirun(
            config_name=compose.CONFIG_NAME, task_function=task, overrides=[*overrides, "hydra.mode=MULTIRUN"]
        )
    return max(statuses, default=0)


def resume(path: str, arguments: Sequence[str], *, alone: bool = False) -> int:
    """Compute what a run has not stored.  Nothing recorded is executed, and Hydra's record of the run stays."""
    if not path:
        raise BadInput("resume=: must be a run folder, a URI of one, or latest")
    for text in arguments:
        if text.lstrip("+").partition("=")[0].partition(".")[0] not in RESUMABLE:
            raise BadInput(
                f"{text}: cannot stand beside resume=, only {', '.join(RESUMABLE)} can; the run is as it was recorded"
            )
    with compose.opened() as hydra:
        word, others = _without_replace(arguments)
        parsed = compose.parse(hydra, others)
        compose.unswept(parsed)
        chosen = replace(settings(compose.compose(hydra, others)), allow=allowed(parsed))
    _collect(alone)
    place = store.at(path)
    if not (place / PLAN).is_file():
        place = results.locate(path)
    with store.locked(place) as run_dir:
        jobs, overrides = read_plan(run_dir, chosen.allow)
        engines.refuse(chosen.engine, chosen.address)
        stored = Stored(run_dir, repair=True)
        version = stored.provenance.get("schema_version", SCHEMA_VERSION)
        if version != SCHEMA_VERSION:
            raise BadInput(
                f"{run_dir}: was stored with schema version {version}, this gradcheck writes {SCHEMA_VERSION};"
                " resume it with the gradcheck that made it, or run it anew"
            )
        repair.require_word(stored, jobs, word)
        for line in repair.findings(stored, jobs):
            print(printable(line))
        # the record may be a stranger's
        return _compute(jobs, run_dir, chosen, overrides, stored, proposed=all(map(harmless, overrides)))


def _without_replace(arguments: Sequence[str]) -> tuple[bool, list[str]]:
    """What ``replace=`` says, and the other arguments.  Raises BadInput."""
    found, others = False, []
    for text in arguments:
        key, _, value = text.partition("=")
        if key.lstrip("+") != "replace":
            others.append(text)
        elif value not in ("true", "false"):
            raise BadInput(f"{text}: must be true (rows whose data file or source changed since may go) or false")
        else:
            found = value == "true"
    return found, others


@contextmanager
def _composing(folder: Path | None = None) -> Any:
    """Errors of Hydra and of the run folder, in one line; of the disk, as WriteError, where the `folder` is known."""
    try:
        yield
    except (BadInput, Meaningless, WriteError):
        raise
    except compose.COMPOSE_ERRORS as error:
        fault = next((link for link in compose.chain(error) if store.is_fault(link)), None)
        if folder is not None and isinstance(fault, OSError):
            if fault.filename is None:  # it was open already
                fault.filename = _newest(folder)
            raise store.not_stored(folder, fault) from error
        if isinstance(error, OSError) and error.filename is not None:
            raise BadInput(
                f"{error.filename}: {error.strerror}; choose another folder with hydra.run.dir= or hydra.sweep.dir="
            ) from error
        raise BadInput(compose.one_line(error)) from error


def _newest(folder: Path) -> str | None:
    """The file that was written last."""
    files = [(path.stat().st_mtime_ns, str(path)) for path in folder.rglob("*") if path.is_file()]
    return max(files)[1] if files else None


def _own_folder(cfg: DictConfig, key: str, chosen: Settings) -> Path:
    """Make the run's folder, before anything is written there.

    Where its name is made of the time, another run may have it already, begun in the same moment: the next suffix is
    taken then, and what is taken stands in the config, for Hydra.
    """
    folder = _folder(cfg, key)
    section, _, last = key.rpartition(".")
    written = OmegaConf.select(cfg, section)._get_node(last)._value()
    made_of_time = "${now:" in str(written) and not any(
        str(line).startswith(f"{key}=") for line in cfg.hydra.overrides.hydra
    )
    with _composing(folder):
        for n in count():
            own = folder.with_name(f"{folder.name}-{n:03d}") if n else folder
            try:
                own.mkdir(parents=True, exist_ok=not made_of_time)
                break
            except FileExistsError:
                if not made_of_time:
                    raise
    with read_write(cfg), open_dict(cfg):
        OmegaConf.update(cfg, key, str(own))
    return own


def _quoted(text: str) -> str:
    """Text as an override that Hydra reads as it is."""
    return QuotedString(text.replace("${", chr(92) + "${"), Quote.single).with_quotes()


def _folder(cfg: DictConfig, key: str) -> Path:
    with _composing():
        named = str(OmegaConf.select(cfg, key))
    if uris.is_uri(named):
        raise BadInput(f"{key}={uris.shown(named)}: must be a folder of this machine; a URI goes with store=")
    return Path(named)


def _refuse_used(folder: Path, chosen: Settings) -> None:
    target = folder if chosen.store is None else chosen.store
    _refuse_run(target)
    if not isinstance(target, Path):
        target.require_bucket()
        return
    above = target
    while not above.exists() and above != above.parent:
        above = above.parent
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise BadInput(
            f"{target}: cannot be made or written; choose another folder with hydra.run.dir= or hydra.sweep.dir="
        )


# ------------------------------------------------------------------------------------------------------------- compute


def compute(jobs: Plan, run_dir: Path, chosen: Settings, overrides: Sequence[str]) -> int:
    """Compute the cells of a plan in a new run, store them as they come, print the summary; returns the exit status."""
    with store.locked(run_dir if chosen.store is None else chosen.store) as target:
        _refuse_run(target)  # another process may have made it meanwhile
        return _compute(jobs, target, chosen, overrides, None)


def _refuse_run(target: Place) -> None:
    if any((target / name).exists() for name in ("cells", "errors", PLAN)):
        resumed = shlex.quote(f"resume={target}")
        raise BadInput(f"{target}: holds a run already; finish it with {resumed} or choose another folder")


@contextmanager
def _storing(target: Place) -> Any:
    """What a disk or a network says while a run is stored, as WriteError."""
    try:
        yield
    except OSError as error:
        raise store.not_stored(target, error) from error


def _compute(
    jobs: Plan,
    target: Place,
    chosen: Settings,
    overrides: Sequence[str],
    stored: Stored | None,
    proposed: bool = True,
) -> int:
    """Compute what is not `stored` of a plan, in a run that this process holds.

    proposed : whether the overrides may stand in a command that is proposed.
    """
    done = Ids() if stored is None else stored.done()
    left = Left(jobs, done)
    tally = summary.Tally()
    for table in () if stored is None else stored.cell_tables(summary.COLUMNS):
        for row in table.to_pylist():
            if row["cell"] in done and row["cell"] in jobs.ids:
                tally.add(row)
    log.info("%d cells planned, %d to compute, engine %s", len(jobs), len(left), chosen.engine)
    interrupted, lost = False, ""
    with sigterm_interrupts():
        try:
            if stored is None:
                with _storing(target):  # first: whatever has results can be taken up again
                    write_plan(target, jobs, overrides)
            with (
                results.Writer(target, provenance.collect(overrides)) as writer,
                Progress(len(left), chosen.progress) as progress,
            ):
                for job, outcome, seconds in _outcomes(left, chosen):
                    rows = cell_row(job, outcome, seconds)
                    writer.add(rows)
                    tally.add(rows.cell, rows.reasons)
                    progress.advance(rows.cell["status"] == "failed")
                    if rows.cell["status"] == "failed":
                        log.warning("cell %s failed: %s", job.cell, printable(rows.cell["message"]))
        except KeyboardInterrupt:
            interrupted = True
        except EngineLost as error:
            lost = f"engine={chosen.engine}: {error}; what was finished is stored"
            print(f"gradcheck: {printable(lost)}", file=sys.stderr)
    if stored is not None and not interrupted:
        with _storing(target):
            _settle(jobs, target, overrides, stored)
    for note in jobs.notes:
        log.info("%s", printable(note))
        print(printable(note))
    say(summary.text(tally, target, overrides if proposed else None, planned=len(jobs)))
    log.info(
        "%s: %s",
        "interrupted" if interrupted else printable(lost) or "done",
        ", ".join(f"{n} {word}" for word, n in tally.status.items()),
    )
    if interrupted:
        return INTERRUPTED
    return 0 if tally.ok(chosen.fail_on) and not lost else 1


def _settle(jobs: Plan, target: Place, overrides: Sequence[str], stored: Stored) -> None:
    """Remove what has successors; when all that is planned is stored, record under which ids it is."""
    complete = not repair.untidy(stored, jobs) or repair.tidy(target, jobs.ids, len(jobs))
    if complete and jobs.former:
        write_plan(target, jobs, overrides)


def _outcomes(jobs: Left, chosen: Settings) -> Iterable[tuple[Planned, Any, float]]:
    options: dict[str, Any] = {"allow": chosen.allow} if chosen.allow else {}
    if chosen.max_memory != MAX_MEMORY:
        options["max_memory"] = chosen.max_memory
    return engines.run(
        jobs,
        chosen.n_jobs,
        chosen.engine,
        timeout=chosen.cell_timeout,
        fail_fast=chosen.fail_fast,
        address=chosen.address,
        pack=tabled,
        **options,
    )


def _dry_run(jobs: Plan) -> int:
    say(plan_text(jobs))
    return 0


class _Names:
    """Values in the order in which they appear, counted: the first few by name, of the others their number."""

    def __init__(self) -> None:
        self._shown: Counter[str] = Counter()
        self._others = Ids()

    def add(self, name: str) -> None:
        if name in self._shown or len(self._shown) < 8:
            self._shown[name] += 1
        else:
            self._others.add(hashlib.sha256(name.encode()).hexdigest()[:16])

    def __str__(self) -> str:
        total = len(self._shown) + len(self._others)
        more = f", … ({total} values)" if self._others else ""
        return ", ".join(f"{name} ({n})" for name, n in self._shown.items()) + more


def plan_text(jobs: Plan) -> str:
    """What a run would do: its cells, their weights, what is skipped and why."""
    weigh = _weights()
    keys = sorted({key for values in jobs.swept for key in values})
    names = {name: _Names() for name in ("model", "data", "init", "bug", "eps", "scheme", "dtype", *keys)}
    skipped: Counter[str] = Counter()
    weights = 0
    for job in jobs:
        if job.skip is None:
            weights += weigh(job.config) or 0
        else:
            skipped[job.skip] += 1
        for key, value in job.config.items():
            if key in names:
                names[key].add(str(value[config.LOOKUP[key]] if isinstance(value, dict) else value))
        for key in keys:
            names[key].add(json.dumps(job.swept.get(key)))
    planned = f"{len(jobs)} cell{'s' * (len(jobs) != 1)} planned"
    lines = [f"{planned}: {len(jobs) - skipped.total()} to compute with {weights} weights, {skipped.total()} skipped"]
    lines += [f"  {key}  {found}" if key in keys else f"  {key:<6} {found}" for key, found in names.items()]
    lines += [printable(note) for note in jobs.notes]
    lines += [f"skipped {n}: {reason}" for reason, n in skipped.most_common(10)]
    if len(skipped) > 10:
        lines.append(f"skipped for {len(skipped) - 10} more reasons")
    return "\n".join(lines)


def _weights() -> Callable[[dict[str, Any]], int | None]:
    known: dict[str, int | None] = {}

    def weigh(form: dict[str, Any]) -> int | None:
        data = {key: value for key, value in form["data"].items() if key != "seed"}
        key = json.dumps([form["model"], data])
        if key not in known:
            try:
                known[key] = layout(config.build(form)).size
            except (ValueError, OSError):
                known[key] = None
        return known[key]

    return weigh
