"""``gradcheck.run_experiment``: a run or a sweep from within another program."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from gradcheck.errors import BadInput, Meaningless, one_line
from gradcheck.printable import printable

if TYPE_CHECKING:
    from gradcheck.columns.places import Place
    from gradcheck.views.runs import Runs

_SHOWN = ("help", "hydra_help", "version", "cfg", "info", "shell_completion", "resolve", "package")


def run_experiment(overrides: Sequence[str] = (), multirun: bool = False) -> Runs:
    """Run what ``python -m gradcheck.run`` runs, from a program or a notebook, and read the results.

    The results are stored as those of the command are.  What the command prints is not printed; what is to be known of the
    run is warned of.  Logging, the working folder, signal handlers, warning filters, the environment and Hydra's state are
    afterwards as they were, also in an application of Hydra.  Several threads may call it; one run goes on at a time.

    Parameters
    ----------
    overrides : sequence of str
        What is typed after the command: ``["model=mlp", "eps=1e-4,1e-6"]``, ``["+experiment=eps_sweep"]``,
        ``["resume=runs/seeds"]``, ``--config-dir`` included.
    multirun : bool
        Whether comma lists are the axes of a grid, as ``-m`` says.

    Returns
    -------
    Runs
        The results, as ``load`` reads them.  ``status`` is the exit status of the command: 0, or 1 where a cell failed or a
        gradient without an injected bug is wrong.

    Raises
    ------
    BadInput
        If something typed cannot be used.  It is a ValueError whose text is the line that the command prints.
    WriteError
        If results could not be stored.  What was stored before is intact.
    KeyboardInterrupt
        After Ctrl-C, when every finished cell is stored.

    See Also
    --------
    load : Reads runs that were stored before.

    Examples
    --------
    >>> import tempfile
    >>> import gradcheck
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     runs = gradcheck.run_experiment(["eps=1e-4,1e-6", f"hydra.sweep.dir='{folder}'"], multirun=True)
    >>> runs.status
    0
    >>> runs.cells[["eps", "verdict"]].values.tolist()
    [[0.0001, 'match'], [1e-06, 'match']]
    """
    from gradcheck.views.commands.caller import guest

    listed = isinstance(overrides, Iterable) and not isinstance(overrides, str | Mapping)
    if not listed or not all(isinstance(text, str) for text in overrides):
        raise BadInput(f"overrides={one_line(overrides)[:100]}: must be a list of texts, such as ['eps=1e-4,1e-6']")
    with guest():
        status, places, notes = _done([*overrides, *(["-m"] if multirun else [])])
    from gradcheck.views.runs import read

    for note in notes:
        warnings.warn(note, stacklevel=2)
    return read(places, status=status)


def _done(typed: list[str]) -> tuple[int, list[Place], list[str]]:
    """The exit status of a run, where its results are, and what is to be known of it."""
    from gradcheck.experiment.config import command_line
    from gradcheck.views.commands.caller import Caller
    from gradcheck.views.commands.compute import INTERRUPTED
    from gradcheck.views.commands.launch import run

    caller = Caller(alone=False, quiet=True)
    try:
        if not any(text.startswith("resume=") for text in typed):
            options = vars(command_line.parse_arguments(typed))
            for name in _SHOWN:
                if options.get(name):
                    raise BadInput(
                        f"--{name.replace('_', '-')}: shows something instead of running; type it in a terminal"
                    )
        status = run(typed, caller)
    except (BadInput, Meaningless) as error:
        raise BadInput(printable(one_line(error))) from error
    if status == INTERRUPTED:
        interrupt = KeyboardInterrupt()
        interrupt.add_note(f"what was finished is stored in {', '.join(map(str, caller.runs))}; resume= finishes it")
        raise interrupt
    return status, caller.runs, caller.notes
