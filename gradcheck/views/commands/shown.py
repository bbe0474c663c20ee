"""Help, configs and completion, which are printed instead of a run: our own help, and what Hydra prints."""

from __future__ import annotations

import argparse
import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import TextIO, cast

from omegaconf import DictConfig

from gradcheck import uris
from gradcheck.errors import BadInput
from gradcheck.experiment.config import compose, hydra_private, registration, words
from gradcheck.views.commands.credentials import without_store
from gradcheck.views.commands.folders import quoted
from gradcheck.views.terminal import Harmless, say


def show(typed: argparse.Namespace) -> int:
    """Print what was asked for, or let Hydra do it; returns the exit status.  Raises BadInput.

    Hydra gets the parsed command line: reading it once more, it would expect options in one place and print errors over
    several lines.
    """
    if typed.help:
        from gradcheck.views.commands.help import help_text  # no run needs it

        say(help_text(typed.overrides, typed.config_dir))
        return 0
    registration.prepare()
    typed.overrides = without_store(typed.overrides)[1]
    typed.overrides += _hidden(typed)
    said = io.StringIO()
    shown = cast(TextIO, Harmless(sys.stdout))
    try:
        with redirect_stdout(shown), redirect_stderr(said), hydra_private.quoting():
            hydra_private.run_main(typed, _nothing, str(registration.conf_dir()), compose.CONFIG_NAME)
    except SystemExit as end:
        if end.code:
            raise BadInput(said.getvalue().strip()) from None
    except Exception as error:
        if not words.is_theirs(error):
            raise
        with compose.opened(typed.config_dir, typed.overrides) as hydra:
            compose.compose(hydra, typed.overrides)  # says where it is
        raise BadInput(words.one_line(error, typed.overrides)) from error
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
    except Exception:
        return []  # Hydra says so
    if place is None or uris.shown(place) == place:
        return []
    return [f"store={quoted(uris.shown(place))}"]


def _nothing(cfg: DictConfig) -> None:
    raise AssertionError("Hydra was asked to show, not to run")
