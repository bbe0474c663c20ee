"""Blocks on several threads: each worked on once, errors and NumPy's error state carried over, limits obeyed."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from waiting import PATIENCE

from gradcheck.numerics import threads
from gradcheck.numerics.threads import WORTH_NUMBERS, over_blocks


@pytest.mark.parametrize("n_threads", [1, 2, 7])
@pytest.mark.parametrize(("size", "block"), [(0, 3), (1, 3), (3, 3), (1000, 3), (1000, 7)])
def test_every_item_is_worked_on_once(n_threads, size, block):
    done = np.zeros(size, int)
    idents = set()

    def work(blocks):
        idents.add(threading.get_ident())
        for b in blocks:
            assert b.stop - b.start <= block
            done[b] += 1

    with threads.limit(n_threads):
        over_blocks(work, size, block, WORTH_NUMBERS)
    assert (done == 1).all()
    assert len(idents) <= n_threads


def test_several_threads_work_at_the_same_time():
    together = threading.Barrier(3, timeout=PATIENCE)

    def work(blocks):
        for _ in blocks:
            together.wait()

    with threads.limit(3):
        over_blocks(work, 3, 1, WORTH_NUMBERS)


@pytest.mark.parametrize("numbers", [0, WORTH_NUMBERS - 1])
def test_small_work_stays_in_the_callers_thread(numbers):
    found = set()
    with threads.limit(4):
        over_blocks(lambda blocks: found.update((threading.get_ident(), b.start) for b in blocks), 40, 1, numbers)
    assert found == {(threading.get_ident(), k) for k in range(40)}


def test_a_limit_holds_in_its_context_alone():
    free = threads.count()
    assert free >= 1
    with threads.limit(1):
        assert threads.count() == 1
        with threads.limit(5):
            assert threads.count() == 5
        assert threads.count() == 1
    assert threads.count() == free


@pytest.mark.parametrize("failing", [0, 5, 99])
def test_an_error_stops_the_others_and_is_raised(failing):
    alive = threading.active_count()

    def work(blocks):
        for b in blocks:
            if b.start == failing:
                raise ZeroDivisionError(str(b.start))

    with threads.limit(3), pytest.raises(ZeroDivisionError, match=f"^{failing}$"):
        over_blocks(work, 100, 1, WORTH_NUMBERS)
    assert threading.active_count() == alive


def test_threads_inherit_the_error_state_of_numpy():
    together = threading.Barrier(2, timeout=PATIENCE)

    def work(blocks):
        for _ in blocks:
            together.wait()
            np.exp(np.full(3, 1e4))

    with threads.limit(2):
        with np.errstate(over="ignore"):
            over_blocks(work, 2, 1, WORTH_NUMBERS)
        with np.errstate(over="raise"), pytest.raises(FloatingPointError):
            over_blocks(work, 2, 1, WORTH_NUMBERS)
