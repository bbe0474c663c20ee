"""The folder of a run: its name, whether it can be used, and the error where it cannot."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from gradcheck import uris
from gradcheck.columns import places, store
from gradcheck.columns.places import Place
from gradcheck.columns.store import PLAN
from gradcheck.errors import BadInput, Meaningless, WriteError
from gradcheck.experiment.config import hydra_private, words
from gradcheck.views.commands.settings import RunSettings


@contextmanager
def composing(folder: Path | None = None, about: str = "") -> Iterator[None]:
    """Raise BadInput, in one line, for errors of Hydra and of the run folder; WriteError for those of the disk where the
    `folder` is known.

    about : the key that the block reads, for an error that names none.
    """
    try:
        yield
    except (BadInput, Meaningless, WriteError):
        raise
    except Exception as error:
        if not words.is_theirs(error) and not isinstance(error, OSError):
            raise
        fault = next((link for link in words.chain(error) if store.is_fault(link)), None)
        if folder is not None and isinstance(fault, OSError):
            if fault.filename is None:  # it was open already
                fault.filename = _newest(folder)
            raise store.not_stored(folder, fault) from error
        if isinstance(error, OSError) and error.filename is not None:
            raise BadInput(
                f"{error.filename}: {error.strerror}; choose another folder with hydra.run.dir= or hydra.sweep.dir="
            ) from error
        raise BadInput(words.one_line(error, about=about)) from error


def _newest(folder: Path) -> str | None:
    """The file that was written last."""
    files = [(path.stat().st_mtime_ns, str(path)) for path in folder.rglob("*") if path.is_file()]
    return max(files)[1] if files else None


def own_folder(cfg: DictConfig, key: str) -> Path:
    """Make the run's folder and put its name into the config, where Hydra reads it.

    A name made of the time may belong to another run that began in the same moment: then this one gets a suffix.
    """
    folder = folder_of(cfg, key)
    section, _, last = key.rpartition(".")
    written = hydra_private.raw(OmegaConf.select(cfg, section), last)
    made_of_time = "${now:" in str(written) and not any(
        str(line).startswith(f"{key}=") for line in cfg.hydra.overrides.hydra
    )
    with composing(folder):
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


def quoted(text: str) -> str:
    """Text quoted for an override, so that Hydra takes every character as it is."""
    return QuotedString(text.replace("${", chr(92) + "${"), Quote.single).with_quotes()


def folder_of(cfg: DictConfig, key: str) -> Path:
    """The folder that a key of the config names.  Raises BadInput."""
    with composing():
        named = str(OmegaConf.select(cfg, key))
    if uris.is_uri(named):
        raise BadInput(f"{key}={uris.shown(named)}: must be a folder of this machine; a URI goes with store=")
    return places.local(named)


def refuse_used(folder: Path, chosen: RunSettings) -> None:
    """Raise BadInput where the run's place holds a run already or cannot be written."""
    target = folder if chosen.store is None else chosen.store
    refuse_run(target)
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


def refuse_run(target: Place) -> None:
    """Raise BadInput where a place holds a run already."""
    if any((target / name).exists() for name in ("cells", "errors", PLAN)):
        resumed = shlex.quote(f"resume={target}")
        raise BadInput(f"{target}: holds a run already; finish it with {resumed} or choose another folder")
