"""Blocks of work on all cores, in threads: NumPy releases the interpreter's lock within a call.

The slow way, one thread, is the definition.  A block's numbers depend on the block alone, so more threads give the same.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context

# Starting a thread takes about 0.1 ms, in which NumPy processes some hundred thousand numbers.
WORTH_NUMBERS = 2**19
_limit: ContextVar[int | None] = ContextVar("threads", default=None)


def count() -> int:
    """The number of threads: that of ``limit``, else one for each core that this process may use."""
    limit = _limit.get()
    if limit is not None:
        return limit
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def limit(threads: int) -> Iterator[None]:
    """Allow at most so many threads in this context: 1 where other processes use the other cores."""
    token = _limit.set(threads)
    try:
        yield
    finally:
        _limit.reset(token)


def over_blocks(work: Callable[[Iterator[slice]], None], size: int, block: int, numbers: int) -> None:
    """Cut range(size) into slices of length ``block`` and process each of them once.

    work : called once in each thread with an iterator of slices, so that it can allocate its buffers once.  A thread takes
        the next slice when it has finished one.
    numbers : how many numbers are processed in all; below half a million one thread is as fast.

    Raises what ``work`` raises, after all threads have stopped.
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
            # the other threads find no slice left and stop
            for _ in slices:
                pass

    # a copy of the context keeps NumPy's errstate
    threads = [threading.Thread(target=copy_context().run, args=(guarded,)) for _ in range(helpers)]
    for thread in threads:
        thread.start()
    guarded()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
