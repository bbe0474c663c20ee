"""The log of a run within another program: the run's own file, and the program's logging as the program has set it up."""

from __future__ import annotations

import logging
import logging.config
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from gradcheck.errors import BadInput
from gradcheck.views.commands.folders import composing
from gradcheck.views.commands.settings import RunSettings

# With these Hydra leaves the logging of the process as it is.
UNLOGGED = ("hydra/job_logging=none", "hydra/hydra_logging=none", "hydra.verbose=false")


class _HandedOn(logging.Handler):
    """Gives each record to the logger of its name in the program's logging, which takes it or not."""

    def emit(self, record: logging.LogRecord) -> None:
        own = logging.getLogger(record.name)
        if own.isEnabledFor(record.levelno):
            own.handle(record)


class _Files(logging.Handler):
    """Gives each record to a handler of Hydra's configuration.  A file that cannot be written is no reason to say more."""

    def __init__(self, handler: logging.Handler, level: int) -> None:
        super().__init__(level)
        self._handler = handler
        handler.handleError = self.handleError  # type: ignore[method-assign]

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= self._handler.level:
            self._handler.handle(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Say nothing."""

    def close(self) -> None:
        with suppress(OSError, ValueError):  # what could not be written is tried once more
            self._handler.close()
        super().close()


@contextmanager
def opened(job: DictConfig) -> Iterator[logging.Logger]:
    """A logger that is none of the program's: it writes to the files which Hydra's configuration of a job names.

    Hydra would configure the logging of the whole process, and close the program's own handlers for that.

    job : Hydra's own part of a config.
    """
    found = None if job.job_logging is None else OmegaConf.to_container(job.job_logging, resolve=True)
    config = {str(key): value for key, value in found.items()} if isinstance(found, dict) else {}
    log = logging.Logger("gradcheck", logging.DEBUG)
    log.addHandler(_HandedOn())
    try:
        for handler in _handlers(config):
            log.addHandler(_Files(handler, logging.DEBUG if job.verbose is True else _level(config)))
        yield log
    finally:
        for one in log.handlers:
            one.close()


def _handlers(config: Mapping[str, object]) -> Iterator[logging.Handler]:
    """The handlers of a configuration that write to a file."""
    root, handlers, formatters = (config.get(key) for key in ("root", "handlers", "formatters"))
    named = root.get("handlers") if isinstance(root, dict) else None
    if handlers is None:
        return
    if not isinstance(handlers, dict):
        raise BadInput(f"hydra.job_logging: its handlers={handlers} must be a mapping of names to handlers")
    made = logging.config.DictConfigurator(dict(config))
    if isinstance(formatters, dict):
        made.config["formatters"] = {
            name: made.configure_formatter(one) for name, one in made.config["formatters"].items()
        }
    for name, one in handlers.items():
        if isinstance(one, dict) and "filename" in one and name in (named or ()):
            yield made.configure_handler(made.config["handlers"][name])


def _level(config: Mapping[str, object]) -> int:
    root = config.get("root")
    named = root.get("level", "INFO") if isinstance(root, dict) else "INFO"
    return logging.getLevelNamesMapping().get(str(named), logging.INFO)


def in_folder(cfg: DictConfig, folder: Path) -> DictConfig:
    """The config of a job that writes into a folder."""
    found = cfg.copy()
    with read_write(found.hydra.runtime), open_dict(found.hydra.runtime):
        found.hydra.runtime.output_dir = str(folder.absolute())
    return found


@contextmanager
def logged(job: DictConfig, chosen: RunSettings) -> Iterator[RunSettings]:
    """The settings with a log for this run; alone, the logging is that of the process, which Hydra has set up."""
    if chosen.caller.alone:
        yield chosen
        return
    with ExitStack() as ends:
        with composing(Path(job.runtime.output_dir)):
            log = ends.enter_context(opened(job))
        yield replace(chosen, caller=replace(chosen.caller, log=log))
