"""Resume a run: compute the cells of its plan that it has not stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gradcheck.columns import lock, places
from gradcheck.columns.store import PLAN
from gradcheck.columns.weights import SCHEMA_VERSION
from gradcheck.errors import BadInput
from gradcheck.experiment import patches
from gradcheck.experiment.config import command_line, compose
from gradcheck.experiment.config.harmless import harmless
from gradcheck.experiment.engines import engines
from gradcheck.experiment.grid.record import read_plan
from gradcheck.experiment.results import repair
from gradcheck.experiment.results.part import locate
from gradcheck.experiment.results.stored import Stored
from gradcheck.views.commands.caller import Caller
from gradcheck.views.commands.compute import compute_left
from gradcheck.views.commands.settings import RESUMABLE, allowed, settings


def resume(path: str, arguments: Sequence[str], caller: Caller) -> int:
    """Compute the cells that a run has not stored; returns the exit status.

    Nothing recorded is executed, and Hydra's record of the run is not changed.
    """
    if not path:
        raise BadInput("resume=: must be a run folder, a URI of one, or latest")
    for text in arguments:
        if text.lstrip("+").partition("=")[0].partition(".")[0] not in RESUMABLE:
            raise BadInput(
                f"{text}: cannot stand beside resume=, only {', '.join(RESUMABLE)} can; the run is as it was recorded"
            )
    word, others = _without_replace(arguments)
    with compose.opened(overrides=others) as hydra:
        parsed = command_line.parse(hydra, others)
        command_line.unswept(parsed)
        chosen = replace(settings(compose.compose(hydra, others)), allow=allowed(parsed), caller=caller)
    patches.collect_from_now(caller.alone)
    place = places.at(path)
    if not (place / PLAN).is_file():
        place = locate(path)
    caller.runs.append(place)
    with lock.locked(place) as run_dir:
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
            caller.note(line)
        # the record may be a stranger's
        return compute_left(jobs, run_dir, chosen, overrides, stored, proposed=all(map(harmless, overrides)))


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
