"""Who runs an experiment: a process of its own, or another program, which keeps what is its own."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from gradcheck.columns.places import Place
from gradcheck.experiment import patches
from gradcheck.printable import printable
from gradcheck.views import terminal
from gradcheck.views.layout import Table

# Hydra has one state for the process: of several threads one runs at a time.
_one_at_a_time = threading.RLock()


@dataclass(frozen=True)
class Caller:
    """Who runs an experiment, and what it hears.

    alone : nothing else is done in this process, before or after: its logging, its signals and Hydra's state are ours.
    quiet : what a person would read is not printed; the notes are kept for the caller.
    log : where the run's log goes; it reaches the files of the run by Hydra's configuration, or by `joblog`.
    runs : where the results are.
    """

    alone: bool = True
    quiet: bool = False
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("gradcheck"))
    runs: list[Place] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def show(self, blocks: Sequence[Table | str]) -> None:
        """What a person reads at the end of a run."""
        if not self.quiet:
            terminal.show(blocks)

    def note(self, text: str) -> None:
        """What is to be known of a run, on one line."""
        if self.quiet:
            self.notes.append(text)
        else:
            print(printable(text))

    def fail(self, text: str) -> None:
        """Why a run ended before it was done, on one line."""
        if self.quiet:
            self.notes.append(text)
        else:
            print(f"gradcheck: {printable(text)}", file=sys.stderr)


@contextmanager
def guest() -> Iterator[None]:
    """Within another program: what a run changes in its process is put back when the block ends; one block at a time."""
    with _one_at_a_time, patches.put_back():
        from gradcheck.experiment.config.hydra_private import put_back

        with put_back():
            yield
