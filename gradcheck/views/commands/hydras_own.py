"""Hydra's own multirun: each job a single run in a folder of its own, started by a launcher of Hydra or of a plugin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from omegaconf import DictConfig

from gradcheck.errors import BadInput, Meaningless, WriteError
from gradcheck.experiment.config import compose
from gradcheck.experiment.config.hydra_private import Hydra
from gradcheck.experiment.config.sentences import ENGINES_INSTEAD
from gradcheck.experiment.config.words import cut
from gradcheck.experiment.grid import paired
from gradcheck.experiment.grid.sweep import plan
from gradcheck.views.commands import joblog
from gradcheck.views.commands.compute import compute
from gradcheck.views.commands.folders import composing, own_folder, quoted
from gradcheck.views.commands.settings import RunSettings, settings

BASIC = "basic"
_CHOICES = ("hydra/launcher", "hydra/sweeper")


def chosen(cfg: DictConfig, overrides: Sequence[str]) -> str:
    """The choice that asks for Hydra's own multirun, as it is typed; empty where none does.

    Typed, each choice does; named in a file, one that is not Hydra's default.
    """
    for text in overrides:
        if text.startswith(tuple(f"{key}=" for key in _CHOICES)):
            return text
    for key in _CHOICES:
        named = cfg.hydra.runtime.choices.get(key)
        if named not in (None, BASIC):
            return f"{key}={named}"
    return ""


def refuse(cfg: DictConfig, run: RunSettings, own: str) -> None:
    """Raise BadInput for what Hydra's own multirun does not know.  own : the choice that asks for it."""
    if run.store is not None:
        raise BadInput(f"store={run.store}: Hydra's own multirun keeps each job in a folder of its own")
    paired.refuse(cfg, f"Hydra's own multirun, which {own} asks for, varies each key alone; leave {own} out")


@dataclass(frozen=True)
class Job:
    """What each job does with its config.  A launcher of a plugin may send it to another process.

    It returns its exit status, or what it raised: Hydra would print more than one line of an error.
    """

    whole: DictConfig  # with the logging of the jobs, which Hydra does not set up within another program
    given: RunSettings
    here: Path  # hydra.job.chdir moves none of the paths that were typed, or that are printed

    def __call__(self, cfg: DictConfig) -> int | Exception:
        try:
            with chdir(self.here):
                return self._status(cfg)
        except Exception as error:
            return error

    def _status(self, cfg: DictConfig) -> int:
        run = replace(settings(cfg), allow=self.given.allow, caller=self.given.caller)
        jobs = plan([compose.science(cfg)], run.max_cells, allow=run.allow, max_memory=run.max_memory)
        job = HydraConfig.get()
        overrides = compose.as_typed(job.overrides.task)  # type: ignore[arg-type]
        output = Path(job.runtime.output_dir)
        with joblog.logged(joblog.in_folder(self.whole, output).hydra, run) as logged:
            return compute(jobs, output, logged, overrides)


def multirun(hydra: Hydra, cfg: DictConfig, overrides: Sequence[str], run: RunSettings, own: str) -> int:
    """Let Hydra's sweeper make the jobs and its launcher start them; returns the highest exit status of a job."""
    folder = own_folder(cfg, "hydra.sweep.dir")
    lines = [*overrides, f"hydra.sweep.dir={quoted(str(folder))}", "hydra.mode=MULTIRUN"]
    lines += [] if run.caller.alone else joblog.UNLOGGED
    with composing(folder, about="hydra.launcher"), _naming(cfg):
        task = Job(cfg, run, Path.cwd())
        returned = hydra.multirun(config_name=compose.CONFIG_NAME, task_function=task, overrides=lines)
        statuses = [job.return_value for job in _jobs(returned)]
        for status in statuses:
            if isinstance(status, Exception):
                raise status
    if launcher_of(cfg) != BASIC:  # what the jobs print may stand elsewhere
        run.caller.show([f"saved  {folder}  ({len(statuses)} jobs, each in a folder of its own below)"])
    if not run.caller.runs:  # the launcher of a plugin may have started other processes
        run.caller.runs.extend(sorted(path.parent for path in folder.rglob("cells") if path.is_dir()))
    return max(map(int, statuses), default=0)


def launcher_of(cfg: DictConfig) -> str:
    """The name of the launcher."""
    return str(cfg.hydra.runtime.choices.get("hydra/launcher", BASIC))


def _jobs(returned: object) -> Iterator[JobReturn]:
    """The jobs in what a sweeper returns: Hydra's own returns them in batches."""
    if isinstance(returned, JobReturn):
        yield returned
    elif isinstance(returned, list | tuple):
        for one in returned:
            yield from _jobs(one)


@contextmanager
def _naming(cfg: DictConfig) -> Iterator[None]:
    """Name the launcher of a plugin for whatever it raises: it is somebody else's code."""
    launcher = launcher_of(cfg)
    try:
        yield
    except (BadInput, Meaningless, WriteError):
        raise
    except Exception as error:
        if launcher == BASIC:
            raise
        words = f"hydra/launcher={launcher}: {type(error).__name__}: {error}"
        raise BadInput(f"{cut(words)}; leave it out: {ENGINES_INSTEAD}") from error
