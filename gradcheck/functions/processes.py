"""Who evaluates somebody's function: this process, several others, or a map that the caller gives."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Iterable
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import NamedTuple, Protocol

import numpy as np

from gradcheck.errors import ContractError, one_line
from gradcheck.functions.evaluation import Batch, Evaluation
from gradcheck.functions.points import Points, one
from gradcheck.functions.surroundings import quiet

Array = np.ndarray
Map = Callable[[Callable[[Array], Batch], Iterable[Array]], Iterable[object]]
Workers = int | Map

# Parts of a batch for each process: small enough that all end at about the same time.
PARTS = 4
# Parts that a process has at once: that at which it works and the next one, if that is so small that the pipe holds it.
AHEAD, AHEAD_BYTES = 2, 2**15
DIED = "workers: a process died while it called fun (killed, out of memory or crashed): try workers=None"
PICKLED = "define it at the top level of a module, or let threads do it: workers=multiprocessing.pool.ThreadPool(n).map"


class Crew(Protocol):
    """Whoever evaluates."""

    def many(self, points: Points) -> Batch:
        """The numbers that are differentiated, at all points, in their order."""

    def close(self) -> None:
        """End what was started."""


class Alone:
    """This process."""

    def __init__(self, evaluation: Evaluation) -> None:
        self.many = evaluation.many

    def close(self) -> None:
        pass


class Mapped:
    """A map-like callable of the caller."""

    def __init__(self, evaluation: Evaluation, mapping: Map) -> None:
        self._evaluation, self._mapping = evaluation, mapping

    def many(self, points: Points) -> Batch:
        at = points.at
        thetas = [at(j) for j in range(points.count)]
        try:
            found = list(self._mapping(partial(_at_one, self._evaluation), thetas))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            if not any(word in str(error) for word in ("pickle", "local object")):
                raise
            raise ContractError(f"workers: {one_line(error)}; {PICKLED}") from None
        batches = [each for each in found if isinstance(each, Batch)]
        if len(batches) != points.count:
            raise ContractError(
                f"workers: must map as the builtin map does, but {points.count} points became {len(batches)} values"
            )
        return joined(batches, points, self._evaluation)

    def close(self) -> None:
        pass


class Processes:
    """Processes of its own, which are started with the first points."""

    def __init__(self, evaluation: Evaluation, n: int) -> None:
        require_pickled(evaluation, n)
        self._evaluation, self._n = evaluation, n
        self._started: list[_Worker] = []

    def many(self, points: Points) -> Batch:
        if not self._started:
            self._start()
        parts = _Parts(points, min(points.count, PARTS * self._n))
        found: dict[int, Batch] = {}
        # the places of the parts that each process has
        has: dict[Connection, list[int]] = {worker.connection: [] for worker in self._started}
        while len(found) < parts.count:
            parts.hand_out(has)
            for ready in wait([connection for connection, places in has.items() if places]):
                assert isinstance(ready, Connection)
                found[has[ready].pop(0)] = _received(ready)
        return joined([found[place] for place in range(parts.count)], points, self._evaluation)

    def close(self) -> None:
        for worker in self._started:
            worker.connection.close()
            worker.process.kill()
        for worker in self._started:
            worker.process.join()
        self._started = []

    def _start(self) -> None:
        for _ in range(self._n):
            here, there = multiprocessing.Pipe()
            process = multiprocessing.Process(target=_serve, args=(self._evaluation, there), daemon=True)
            process.start()
            # the other end is the process's alone, so that this end sees when it dies
            there.close()
            self._started.append(_Worker(process, here))


class _Parts:
    """The parts of a batch, handed out one after the other."""

    def __init__(self, points: Points, count: int) -> None:
        self._points, self._parts, self.count = points, np.array_split(np.arange(points.count), count), count
        self._sent = 0
        self._message: bytes | None = None

    def hand_out(self, has: dict[Connection, list[int]]) -> None:
        """Send a part to every process that has none, and then the next one, so that no process waits for this one.

        A large part is not sent before it is asked for: this process would wait until it is read.
        """
        for already in range(AHEAD):
            for connection, places in has.items():
                if len(places) > already or self._sent == self.count:
                    continue
                if self._message is None:
                    self._message = pickle.dumps(self._points.some(self._parts[self._sent]), protocol=5)
                if already and len(self._message) > AHEAD_BYTES:
                    return
                try:
                    connection.send_bytes(self._message)
                except OSError:
                    raise ContractError(DIED) from None
                places.append(self._sent)
                self._sent, self._message = self._sent + 1, None


class _Worker(NamedTuple):
    process: BaseProcess
    connection: Connection


def crew(evaluation: Evaluation, workers: Workers | None) -> Crew:
    """Whoever evaluates with ``workers``: None or 1 for this process, -1 for a process for each core.  ValueError."""
    if workers is None or (workers == 1 and not isinstance(workers, bool)):
        return Alone(evaluation)
    if callable(workers):
        return Mapped(evaluation, workers)
    if isinstance(workers, bool) or not isinstance(workers, (int, np.integer)) or (workers < 1 and workers != -1):
        raise ValueError(
            f"workers={workers!r}: must be a number of processes, -1 for all cores, or a map-like callable"
        )
    n = os.cpu_count() or 1 if workers == -1 else int(workers)
    return Processes(evaluation, n) if n > 1 else Alone(evaluation)


def require_pickled(evaluation: Evaluation, n: int) -> None:
    """Raise ContractError where ``fun`` or an argument cannot be sent to another process."""
    parts = {"fun": evaluation.fun, **{f"args[{i}]": value for i, value in enumerate(evaluation.args)}}
    parts |= {f"kwargs[{name!r}]": value for name, value in evaluation.kwargs.items()}
    for name, part in (*parts.items(), ("x0", evaluation.parameters)):
        try:
            # large arrays are not copied for this
            pickle.dumps(part, protocol=5, buffer_callback=lambda _: None)
        except Exception as error:  # whatever the caller's object raises
            raise ContractError(f"workers={n}: {name} cannot be pickled ({one_line(error)}): {PICKLED}") from None


def joined(batches: list[Batch], points: Points, evaluation: Evaluation) -> Batch:
    """One batch after the other as one."""
    values = np.concatenate([b.values for b in batches]) if batches else np.empty((0, evaluation.width), points.dtype)
    kinds = [b.precision for b in batches if b.precision is not None]
    coarsest = max(kinds, key=lambda kind: float(np.finfo(kind).eps), default=None)
    return Batch(values, sum(b.calls for b in batches), [words for b in batches for words in b.raised], coarsest)


def _at_one(evaluation: Evaluation, theta: Array) -> Batch:
    with quiet():
        return evaluation.many(one(theta))


def _serve(evaluation: Evaluation, connection: Connection) -> None:
    """Evaluate what comes through the connection until it closes, or whoever sends has died.

    An error goes back instead of values.
    """
    # Ctrl-C reaches every process of the terminal; this one is ended by the one that started it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    with quiet():
        while connection in wait([connection, parent.sentinel]):
            try:
                points = connection.recv()
            except EOFError:
                return
            try:
                answer: Batch | Exception = evaluation.many(points)
            except Exception as error:
                answer = error
            connection.send(answer)


def _received(connection: Connection) -> Batch:
    try:
        answer = connection.recv()
    except (EOFError, OSError):
        raise ContractError(DIED) from None
    if isinstance(answer, Exception):
        raise answer
    assert isinstance(answer, Batch)
    return answer
