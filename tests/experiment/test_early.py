"""Processes that compute while a grid is planned: the same outcomes, nothing is seen of a plan that is refused, and they end.

A fork is tried in a process of its own, since pytest has threads.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from commands import command, rows, started
from jobs import Job, square
from waiting import PATIENCE, TESTS, alive, until

from gradcheck.experiment.engines import cores, early, engines, forked
from gradcheck.experiment.engines.base import EngineSettings
from gradcheck.experiment.engines.early import Early

SETTINGS = EngineSettings(2, compute=square)
# a plan is large once it has ten cells
PRELUDE = f"""
import os, signal, sys, threading, time
sys.path[:0] = [{str(TESTS)!r}, {str(TESTS.parent)!r}]
from jobs import Job, square
from waiting import alive
from gradcheck.experiment.engines import early, engines, forked
from gradcheck.experiment.engines.base import CellFailed, EngineSettings, WorkerDied
early.MANY_FORKED = early.MANY_CELLS = 10
early.LOOK_CELLS = early.CHUNK_CELLS = 1

def outcomes(jobs, plan=lambda known: None, compute=square, processes=2, engine="auto"):
    '''The outcome of each job; `plan` is called with the processes when all jobs are planned.'''
    settings, found = EngineSettings(processes, compute=compute), []
    with early.Early(engine, settings, alone=True) as known:
        for job in jobs:
            known.planned(job)
        assert known.started
        assert type(known._pool) is forked.Forked
        plan(known)
        for job, outcome, _ in engines.run(jobs, processes, engine, compute=compute, early=known):
            found.append((job.config, outcome))
    assert sorted(str(one) for one, _ in found) == sorted(str(job.config) for job in jobs)
    return dict(found)

def where(given):
    time.sleep(0.001)
    return os.getpid()
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are made on Linux alone")


def script(text: str, status: int = 0) -> str:
    """What a process that runs this prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PRELUDE + textwrap.dedent(text)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (status, "")
    return done.stdout


# ---------------------------------------------------------------------------------------------------------- outcomes


def test_every_cell_comes_back_once_from_a_fork_or_from_here() -> None:
    script("""
        found = outcomes([Job(i) for i in range(600)], compute=where)
        processes = set(found.values())
        assert os.getpid() in processes and len(processes) == 2, processes
        assert not any(map(alive, processes - {os.getpid()}))
    """)


@pytest.mark.parametrize("processes", [1, 2])
def test_engine_loky_computes_in_forks_alone(processes: int) -> None:
    script(f"""
        found = outcomes([Job(i) for i in range(600)], compute=where, processes={processes}, engine="loky")
        assert os.getpid() not in found.values()
        assert len(set(found.values())) == {processes}
    """)


@pytest.mark.parametrize("processes", [2, 3, 6])
@pytest.mark.parametrize(("first", "kind"), [("killed", "WorkerDied"), ("unpicklable", "CellFailed")])
def test_mishaps_are_the_outcomes_of_their_cells_alone(processes: int, first: str, kind: str) -> None:
    script(f"""
        given = [0, {first!r}, *range(1, 30), "raises", "meaningless", "exits", *range(30, 60)]
        found = outcomes([Job("skipped", "no meaning"), *map(Job, given)], processes={processes})
        assert type(found.pop({first!r})) is {kind}
        assert type(found.pop("raises")) is type(found.pop("exits")) is CellFailed
        assert str(found.pop("skipped")) == "no meaning"
        assert str(found.pop("meaningless")) == "no effect here"
        assert found == {{i: i * i for i in range(60)}}
    """)


@pytest.mark.parametrize("when", ["while it is planned", "when it is planned", "while it is computed"])
def test_a_fork_that_is_killed_costs_nothing(when: str) -> None:
    script(f"""
        def plan(known):
            if {when!r} == "when it is planned":
                os.kill(known._pool._forks[0].pid, signal.SIGKILL)
        look = early.Early._look
        def looked(self):
            look(self)
            if {when!r} == "while it is planned" and self._seen == 50:
                os.kill(self._pool._forks[0].pid, signal.SIGKILL)
        early.Early._look = looked
        def killing(given):
            if {when!r} == "while it is computed" and given == 300 and os.getpid() != here and not os.path.exists("killed"):
                open("killed", "w").close()
                os.kill(os.getpid(), signal.SIGKILL)
            return where(given)
        import tempfile
        os.chdir(tempfile.mkdtemp())
        here = os.getpid()
        found = outcomes([Job(i) for i in range(600)], plan, killing)
        assert not any(isinstance(one, Exception) for one in found.values())
    """)


def test_a_fork_computes_on_one_blas_thread_and_knows_of_no_interrupt() -> None:
    script("""
        from jobs import have_blas_threads
        def asked(given):
            time.sleep(0.001)
            return os.getpid(), square("threads"), signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        found = outcomes([Job(i) for i in range(300)], compute=asked)
        others = [one for one in found.values() if one[0] != os.getpid()]
        assert others
        assert all(have_blas_threads(threads) and deaf for _, threads, deaf in others)
    """)


def test_what_this_process_has_not_yet_written_is_written_once() -> None:
    said = script("""
        sys.stdout.write("once")
        outcomes([Job(i) for i in range(300)])
    """)
    assert said == "once"


def test_cells_that_take_long_are_left_to_one_process_more() -> None:
    script("""
        found = outcomes([*(Job(0.03 + i / 10_000) for i in range(30)), *(Job("process", cell=str(i)) for i in range(1))])
        assert found["process"] != os.getpid()
    """)


def test_a_function_that_the_engine_may_not_call_early_is_not_called() -> None:
    known: Early[Job] = Early("auto", SETTINGS, alone=False)
    with known:
        for k in range(2 * early.MANY_CELLS):
            known.planned(Job({"model": {"name": "function"}, "k": k}))
        assert not known.started


@pytest.mark.parametrize(
    ("engine", "changes"),
    [("serial", {}), ("dask", {}), ("auto", {"n_jobs": 1}), ("auto", {"n_jobs": 0}), ("auto", {"timeout": 1.0})],
)
def test_nothing_starts_early_where_nobody_would_take_it(engine: str, changes: dict[str, Any]) -> None:
    with Early[Job](engine, EngineSettings(**{"n_jobs": 2, "compute": square} | changes), alone=False) as known:
        for k in range(2 * early.MANY_CELLS):
            known.planned(Job(k))
        assert not known.started


def test_only_a_process_with_one_thread_is_forked_and_on_linux_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    assert forked.possible()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not forked.possible()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(threading, "active_count", lambda: 2)
    assert not forked.possible()


# ------------------------------------------------------------------------------- where this process may not be forked


def where(given: int) -> int:
    """Stands for a cell that takes a moment: in which process it was computed."""
    time.sleep(0.002)
    return os.getpid()


@pytest.mark.parametrize("killed", [False, True])
def test_new_interpreters_share_the_cells_with_this_process(killed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early, "MANY_CELLS", 20)
    monkeypatch.setattr(early, "CHUNK_CELLS", 1)
    jobs = [Job(i) for i in range(600)]
    with Early[Job]("auto", EngineSettings(2, compute=where), alone=False) as known:
        for job in jobs:
            known.planned(job)
        pool = known._pool
        assert pool is not None
        pool.wait_until_up()
        found: dict[int, Any] = {}
        for job, outcome, _ in engines.run(jobs, 2, "auto", compute=where, early=known):
            if killed and outcome != os.getpid():
                os.kill(outcome, signal.SIGKILL)
                killed = False
            assert job.config not in found
            found[job.config] = outcome
    assert len(found) == 600
    others = set(found.values()) - {os.getpid()}
    assert others
    assert not any(alive(process) for process in others)


def test_what_started_early_ends_where_nobody_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early, "MANY_CELLS", 20)
    monkeypatch.setattr(early, "CHUNK_CELLS", 1)
    with Early[Job]("auto", EngineSettings(2, compute=where), alone=False) as known:
        for k in range(40):
            known.planned(Job(k))
        (future, *_) = known._running
        ((process, _),) = future.result()
        assert alive(process)
    assert not alive(process)


# ------------------------------------------------------------------------------------------------------------ the end


def test_a_fork_ends_with_a_plan_that_is_refused() -> None:
    script("""
        with early.Early("auto", EngineSettings(2, compute=where), alone=True) as known:
            for i in range(200):
                known.planned(Job(i))
            (fork,) = known._pool._forks
            assert alive(fork.pid)
        assert not alive(fork.pid)
        assert threading.active_count() == 1
    """)


def test_a_fork_ends_with_a_parent_that_is_killed() -> None:
    text = """
        with early.Early("auto", EngineSettings(2, compute=square), alone=True) as known:
            for i in range(40):
                known.planned(Job(20.0 + i))
            print(known._pool._forks[0].pid, flush=True)
            time.sleep(1000)
    """
    with subprocess.Popen(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(text)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        fork = int(process.stdout.readline())
        process.kill()
    until(lambda: not alive(fork))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_forks_and_what_was_done_stands(number: signal.Signals) -> None:
    text = """
        from gradcheck.experiment.engines.interrupts import sigterm_interrupts
        jobs = [Job(0.001 + i / 1e6) for i in range(100_000)]
        try:
            with sigterm_interrupts(), early.Early("auto", EngineSettings(2, compute=square), alone=True) as known:
                for job in jobs[:500]:
                    known.planned(job)
                print(known._pool._forks[0].pid, flush=True)
                for job, outcome, _ in engines.run(jobs, 2, "auto", compute=square, early=known):
                    assert job.config == outcome
        except KeyboardInterrupt:
            sys.exit(130)
    """
    with subprocess.Popen(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(text)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        assert process.stdout is not None
        fork = int(process.stdout.readline())
        time.sleep(0.3)
        os.killpg(process.pid, number)  # as a terminal does; a scheduler ends the whole group, too
        _, complaints = process.communicate(timeout=PATIENCE)
    assert (process.returncode, complaints) == (130, "")
    assert not alive(fork)


# ------------------------------------------------------------------------------------------------------------ commands

GRID = ("data.n=20", "data.d=2", "data.seed=range(300)", "eps=1e-3,1e-5,auto", "progress=none", "-m")
# that a run has begun to compute before its plan was complete, and in a fork
FORKED = """
from gradcheck.experiment.engines import early, forked
taken, forks = early.Early.taken, []
def counted(self):
    pool, running = taken(self)
    assert type(pool) is forked.Forked and running
    print("forked")
    return pool, running
early.Early.taken = counted
"""


def test_rows_are_the_same_to_the_bit_from_forks_and_from_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = []
    for engine in ("auto", "loky", "serial"):
        typed = [*GRID, f"engine={engine}", "engine.n_jobs=2", f"hydra.sweep.dir={engine}"]
        status, out, err = command("gradcheck.run", *typed, prelude=FORKED)
        assert (status, err) == (0, "")
        assert out.startswith("forked") == (engine != "serial")
        found.append(json.dumps(rows(Path(engine))))
    assert found[0] == found[1] == found[2]


def test_a_plan_that_is_refused_at_its_last_cell_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    seeds = f"data.seed={','.join(map(str, range(900)))},-1"
    status, out, err = command("gradcheck.run", "data.n=5", "data.d=1", seeds, "eps=1e-5", "engine.n_jobs=2", "-m")
    assert (status, out) == (2, "")
    assert "data.seed=-1" in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_a_grid_is_planned_ends_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    typed = ["data.n=5", "data.d=1", "data.seed=range(200000)", "eps=1e-5", "engine.n_jobs=2", "-m"]
    prelude = """
import os, signal
from gradcheck.experiment.engines import forked
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell switches it off for what runs beside it
start = forked.Forked.__init__
def said(self, *given):
    start(self, *given)
    print(*[fork.pid for fork in self._forks], flush=True)
forked.Forked.__init__ = said
"""
    process = started("gradcheck.run", *typed, prelude=prelude, new=True, process_group=0)
    assert process.stdout is not None
    fork = int(process.stdout.readline())
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err.count("\n")) == (130, 1)
    assert not alive(fork)
    assert list(tmp_path.iterdir()) == []


# --------------------------------------------------------------------------------------------------------------- cores


@pytest.mark.parametrize("limit", ["1", "2", "64", None])
def test_cores_are_counted_as_joblib_counts_them(limit: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    from joblib import cpu_count

    if limit is not None:
        monkeypatch.setenv("LOKY_MAX_CPU_COUNT", limit)
    assert cores.cores() == cpu_count()
    assert [cores.n_processes(n) for n in (None, -1, 3, -1000)] == [cpu_count(), cpu_count(), 3, 1]


@pytest.mark.parametrize(
    ("files", "granted"),
    [
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu.max": "100000 100000", "cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ({"cpu.max": "nothing"}, None),
        ({}, None),
    ],
)
def test_a_container_has_the_cores_that_it_was_granted(
    tmp_path: Path, files: dict[str, str], granted: int | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert cores.granted(tmp_path) == granted
