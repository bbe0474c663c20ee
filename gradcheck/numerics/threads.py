"""Blocks of work on all cores: NumPy releases the interpreter's lock within a call, so that threads are enough.

A block's numbers may depend on the block alone, so the result is the same for any number of threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context

# Starting a thread takes about 0.1 ms, as long as NumPy needs for some hundred thousand numbers.
WORTH_NUMBERS = 2**19
_limit: ContextVar[int | None] = ContextVar("threads", default=None)


def count() -> int:
    """Number of threads: ``limit``'s, else one for each core that this process may use."""
    limit = _limit.get()
    if limit is not None:
        return limit
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def limit(threads: int) -> Iterator[None]:
    """At most so many threads in this context: 1 where other processes keep the cores busy."""
    token = _limit.set(threads)
    try:
        yield
    finally:
        _limit.reset(token)


def over_blocks(work: Callable[[Iterator[slice]], None], size: int, block: int, numbers: int) -> None:
    """Cut range(size) into slices of ``block`` and have each of them worked on once.

    work : called in each thread with an iterator of the slices that fall to it, so that it can allocate its buffers once;
        takes a slice when it has done the one before.
    numbers : how many numbers the whole work goes over; below half a million one thread is as fast.

    Raises what ``work`` raises, when all threads have stopped.
    """
    slices = iter([slice(start, min(start + block, size)) for start in range(0, size, block)])
    helpers = min(count(), -(-size // block)) - 1 if numbers >= WORTH_NUMBERS else 0
    if helpers <= 0:
        work(slices)
        return
    errors: list[BaseException] = []

    def guarded() -> None:
        try:
            work(slices)
        except BaseException as error:
            errors.append(error)
            # the others stop when they have done the slice they are at
            for _ in slices:
                pass

    # the context carries NumPy's errstate along
    threads = [threading.Thread(target=copy_context().run, args=(guarded,)) for _ in range(helpers)]
    for thread in threads:
        thread.start()
    guarded()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
