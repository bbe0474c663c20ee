"""The exam: every family is drawn until its share of derivatives was asked for, on two processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from typing import NamedTuple

import numpy as np

from gradcheck.calibration.zoo.asked import Answer, asked
from gradcheck.calibration.zoo.draw import FAMILIES, name
from gradcheck.calibration.zoo.tally import Tally
from gradcheck.errors import BadInput
from gradcheck.views.progress import Progress

PROCESSES = 2
# Derivatives of one piece of work.
PIECE = 2_000
# Seeds of one piece are below those of the next, those of one exam below those of the next.
PIECES_APART, EXAMS_APART = 10_000, 1_000_000_000


class Piece(NamedTuple):
    """Some draws of a family: from this seed on, until so many derivatives of right gradients were asked for."""

    family: str
    seed: int
    derivatives: int


def pieces(n: int, seed: int, families: Sequence[str]) -> Iterator[Piece]:
    """The work of an exam with n derivatives: the first piece of each family, the second of each, and so on."""
    share = -(-n // len(families))
    for number, done in enumerate(range(0, share, PIECE)):
        for family in families:
            yield Piece(family, seed * EXAMS_APART + number * PIECES_APART, min(PIECE, share - done))


def sat(piece: Piece) -> Tally:
    """The tally of one piece."""
    tally, done, seed = Tally(), 0, piece.seed
    while done < piece.derivatives:
        for answer in asked(name(piece.family, seed)):
            tally.add(answer)
            if isinstance(answer, Answer):
                done += 0 if answer.mistake else int(np.size(answer.verdict))
        done += 1  # a family whose every call raises comes to an end
        seed += 1
    return tally


def known(families: Sequence[str]) -> list[str]:
    """These families, or all if there are none.  Raises BadInput for one that is not there."""
    if unknown := sorted(set(families) - set(FAMILIES)):
        raise BadInput(
            f"--families={','.join(families)}: no family {unknown[0]}; there are {', '.join(sorted(FAMILIES))}"
        )
    return list(families) or sorted(FAMILIES)


def exam(n: int, seed: int = 0, families: Sequence[str] = (), processes: int = PROCESSES) -> Tally:
    """Ask about n derivatives of right gradients, shared by the families, and about as many mistakes as come with them."""
    work, total = list(pieces(n, seed, known(families))), Tally()
    with ExitStack() as stack:
        spread = map if processes == 1 else stack.enter_context(ProcessPoolExecutor(processes)).map
        progress = stack.enter_context(Progress(len(work), unit="pieces"))
        for tally in spread(sat, work):
            total.merge(tally)
            progress.advance()
    return total
