"""Engines: the same outcomes everywhere, and nothing a cell does harms the others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jobs import MISHAPS, Job, have_blas_threads, outcomes, square
from waiting import PATIENCE, alive, start_seconds, until

from gradcheck.columns.weights import errors_table
from gradcheck.errors import BadInput, Meaningless
from gradcheck.experiment.cell import check_cells
from gradcheck.experiment.config import identity
from gradcheck.experiment.config.form import canonical
from gradcheck.experiment.engines import cells, engines, sharing
from gradcheck.experiment.engines.base import CellFailed, EngineLost, EngineSettings, TimedOut, WorkerDied
from gradcheck.experiment.engines.cells import CHUNK_CELLS, compute, differing_in_eps, one_blas_thread, outcomes_of
from gradcheck.experiment.engines.chunks import CHUNK_SECONDS, LAST_CELLS, Chunks
from gradcheck.experiment.engines.interrupts import sigterm_interrupts
from gradcheck.experiment.results.plan import Planned
from gradcheck.experiment.results.rows import cell_row, cells_table
from gradcheck.numerics import plain

ENGINES = ["serial", "loky", "auto"]


@pytest.mark.parametrize("engine", ENGINES)
def test_every_cell_comes_back_once_whatever_the_others_do(engine: str) -> None:
    found = outcomes([*range(40), *MISHAPS, Job("skipped", "no meaning")], engine)
    for i in range(40):
        assert found[i] == i * i
    for name, (kind, message) in {**MISHAPS, "skipped": (Meaningless, "no meaning")}.items():
        assert type(found[name]) is kind
        assert str(found[name]) == message


@pytest.mark.parametrize("engine", ENGINES)
def test_one_blas_thread_in_every_engine(engine: str) -> None:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(2, user_api="blas"):  # more than the engine allows, whatever they are here
        assert have_blas_threads(outcomes(["threads"], engine)["threads"])


def test_the_number_of_blas_threads_is_put_back() -> None:
    from threadpoolctl import threadpool_info, threadpool_limits

    with threadpool_limits(2, user_api="blas"):
        outcomes([1, 2], "serial")
        assert have_blas_threads({pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}, 2)


@pytest.mark.parametrize(
    ("blas", "found", "good"),
    [
        ("openblas", {1}, True),
        ("openblas", set(), False),
        ("openblas", {1, 2}, False),
        ("none", {1}, True),
        ("none", set(), True),
        ("none", {2}, False),
    ],
)
def test_a_blas_of_several_threads_is_seen_where_there_is_one(
    blas: str, found: set[int], good: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.NUMPY_BLAS", blas)
    assert have_blas_threads(found) == good


@pytest.mark.parametrize("engine", ["serial", "loky"])
def test_rows_do_not_depend_on_the_engine(engine: str) -> None:
    jobs = []
    for bug in ("sign_flip", "scale"):
        for eps in (1e-3, 1e-4, 1e-6, "auto"):
            form = canonical(
                {
                    "model": {"name": "mlp", "layers": [3]},
                    "data": {"source": "gaussian", "n": 30, "d": 4},
                    "init": {"name": "normal"},
                    "bug": {"name": bug},
                    "eps": eps,
                    "scheme": "central",
                    "dtype": "float64",
                    "match_at": 1e-2,
                }
            )
            jobs.append(Planned(identity.cell_id(form), form, {}))
    found = {job.cell: cell_row(job, outcome, 0.0) for job, outcome, _ in engines.run(jobs, 2, engine)}
    for job in jobs:
        with one_blas_thread():
            want = cell_row(job, compute(job.config), 0.0)
        assert want.weights is not None
        assert cells_table([found[job.cell]]).equals(cells_table([want]))
        assert errors_table([found[job.cell]]).equals(errors_table([want]))


FORM = {
    "model": {"name": "logistic"},
    "data": {"source": "gaussian", "n": 20, "d": 2},
    "init": {"name": "values", "values": {"W": [[0.0], [0.5]], "b": [1.0]}},
    "bug": {"name": "none"},
    "eps": 1e-4,
    "scheme": "central",
    "dtype": "float64",
    "match_at": 1e-2,
}


def planned(*changes: dict[str, Any], skip: str | None = None) -> list[Planned]:
    forms = [canonical(FORM | change) for change in changes]
    return [Planned(identity.cell_id(form), form, skip=skip) for form in forms]


def sizes(jobs: list[Planned]) -> list[int]:
    groups = list(differing_in_eps(jobs))
    assert [job for group in groups for job in group] == jobs
    return [len(group) for group in groups]


def test_neighbours_that_differ_in_eps_alone_are_computed_together(tmp_path: Path) -> None:
    steps = planned({"eps": 1e-3}, {"eps": 1e-4}, {"eps": 1e-5})
    assert sizes(steps) == [3]
    assert sizes([*steps, *planned({"scheme": "forward"}), *steps]) == [3, 1, 3]
    assert sizes([*steps, *planned({"eps": "auto"})]) == [3, 1]
    assert sizes([*steps[:2], *planned({"eps": 1e-6}, skip="no meaning"), *steps[2:]]) == [2, 1, 1]
    # equal in a comparison, but another weight
    minus = {"name": "values", "values": {"W": [[-0.0], [0.5]], "b": [1.0]}}
    assert FORM["init"] == minus
    assert sizes([*steps[:1], *planned({"init": minus, "eps": 1e-4})]) == [1, 1]
    # a file may change from one cell to the next
    (tmp_path / "data.csv").write_text("a,b,y\n1,2,0\n2,5,1\n")
    source = {"source": "file", "path": str(tmp_path / "data.csv"), "target": "y"}
    assert sizes(planned({"data": source}, {"data": source, "eps": 1e-3})) == [1, 1]
    many = planned(*({"eps": 1e-3 / i} for i in range(1, 2 * CHUNK_CELLS)))
    assert sizes(many) == [CHUNK_CELLS, CHUNK_CELLS - 1]


def test_chunks_keep_together_what_is_computed_together() -> None:
    jobs = planned(*({"eps": eps, "match_at": m} for m in (0.1, 0.2, 0.3) for eps in (1e-3, 1e-4, 1e-5, 1e-6)))
    chunks = Chunks(jobs)
    lengths = [[len(group) for group in chunks.take()]]  # nothing is known of them yet
    chunks.adapt([CHUNK_SECONDS / 6])
    while chunk := chunks.take():
        lengths.append([len(group) for group in chunk])
    assert lengths == [[1], [3], [4], [4]]
    assert chunks.empty
    # cells that take long are handed out one by one
    chunks = Chunks(jobs)
    chunks.adapt([CHUNK_SECONDS])
    assert [chunks.take() for _ in jobs] == [[[job]] for job in jobs]


def test_a_cell_that_fails_leaves_its_neighbours_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = planned(*({"eps": eps} for eps in (1e-3, 1e-4, 1e-5, 1e-6)))
    want = [compute(job.config) for job in jobs]
    compare = plain.compare

    def failing(*arguments: Any) -> Any:
        if arguments[-1][0] == pytest.approx(1e-5):
            raise ArithmeticError("planted")
        return compare(*arguments)

    monkeypatch.setattr(plain, "compare", failing)
    groups = [[job] for job in jobs[:1]] + [jobs[1:]]  # one alone to begin with, then the others together
    found = [(job, outcome) for group in groups for job, outcome, _ in outcomes_of(group, EngineSettings())]
    assert [job for job, _ in found] == jobs
    for (job, outcome), result in zip(found, want, strict=True):
        if job.config["eps"] == 1e-5:
            assert isinstance(outcome, CellFailed)
            assert "planted" in str(outcome)
        else:
            assert errors_table([cell_row(job, outcome, 0.0)]).equals(errors_table([cell_row(job, result, 0.0)]))


def test_large_cells_are_computed_a_few_at_a_time_with_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = planned(*({"eps": eps} for eps in (1e-3, 1e-4, 1e-5)))
    want = [cell_row(job, compute(job.config), 0.0) for job in jobs]
    asked: list[int] = []

    def counted(cell: Any, eps: list[float], *others: Any) -> Any:
        asked.append(len(eps))
        return check_cells(cell, eps, *others)

    monkeypatch.setattr("gradcheck.experiment.cell.check_cells", counted)
    monkeypatch.setattr(cells, "TOGETHER_WEIGHTS", 2 * 3)  # two steps of three weights
    found = [cell_row(job, result, 0.0) for job, result, _ in outcomes_of(jobs, EngineSettings())]
    assert asked == [2, 1]
    assert errors_table(found).equals(errors_table(want))
    assert cells_table(found).equals(cells_table(want))


@pytest.mark.parametrize("engine", ["serial", "loky"])
@pytest.mark.parametrize("changed", ["data.csv", "init.npz", None])
def test_a_file_that_is_not_the_one_that_was_planned_with_is_a_failed_cell(
    tmp_path: Path, engine: str, changed: str | None
) -> None:
    (tmp_path / "data.csv").write_text("a,y\n1,0\n2,1\n3,1\n")
    np.savez(tmp_path / "init.npz", W=[[0.5]], b=[0.25])
    form = canonical(
        {
            "model": {"name": "logistic"},
            "data": {"source": "file", "path": str(tmp_path / "data.csv"), "target": "y"},
            "init": {"name": "file", "path": str(tmp_path / "init.npz")},
            "bug": {"name": "none"},
            "eps": 1e-5,
            "scheme": "central",
            "dtype": "float64",
            "match_at": 1e-2,
        }
    )
    planned = Planned(identity.cell_id(form), form, {})
    (tmp_path / "other").mkdir()
    (tmp_path / "other/data.csv").write_text("a,y\n1,0\n2,1\n4,1\n")
    np.savez(tmp_path / "other/init.npz", W=[[0.5]], b=[0.75])
    if changed is not None:
        (tmp_path / "other" / changed).replace(tmp_path / changed)
    ((_, outcome, _),) = engines.run([planned], 1, engine)
    if changed is None:
        assert outcome.summary["verdict"] == "match"
    else:
        assert isinstance(outcome, CellFailed)
        assert str(tmp_path / changed) in str(outcome)
        assert str(outcome).endswith("is not that with which the run was planned")


# ------------------------------------------------------------------------------------------------------------ faults


def test_a_worker_that_is_killed_costs_its_cell_only() -> None:
    found = outcomes([*range(30), "killed", *range(30, 60)], "loky")
    assert isinstance(found.pop("killed"), WorkerDied)
    assert found == {i: i * i for i in range(60)}


class Leaving:
    """A pool whose processes go away one after the other: one chunk is lost with the first, another never comes back."""

    def __init__(self) -> None:
        self.asked, self._futures = 0, list[Future[Any]]()

    @property
    def workers(self) -> int:
        self.asked += 1
        if len(self._futures) < 2:
            return 1
        if self.asked > 100:
            raise EngineLost("nobody is left")
        return 0

    def submit(self, chunk: Any) -> Future[Any]:
        self._futures.append(Future())
        if len(self._futures) == 2:
            self._futures[0].set_exception(RuntimeError("its process died"))
        return self._futures[-1]

    def wait_until_up(self) -> None: ...

    def killed(self, error: BaseException) -> bool:
        return True

    def end(self, stuck: bool = False) -> None: ...


def test_what_runs_where_nobody_is_left_is_not_waited_for_though_a_chunk_was_lost_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sharing, "LOOK_SECONDS", 0.001)
    pool, found = Leaving(), []

    def run() -> None:
        try:
            list(sharing.share([Job(i) for i in range(9)], EngineSettings(), lambda workers: pool))
        except EngineLost as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(30.0)
    assert [str(error) for error in found] == ["nobody is left"]


def test_a_worker_killed_from_outside_costs_nothing() -> None:
    jobs = [Job("process"), *(Job(0.02 + i / 10_000) for i in range(60))]
    results: dict[Any, Any] = {}
    for job, outcome, _ in engines.run(jobs, 2, "loky", compute=square):
        results[job.config] = outcome
        if job.config == "process":
            os.kill(outcome, signal.SIGKILL)
    assert len(results) == 61
    assert not [outcome for outcome in results.values() if isinstance(outcome, Exception)]


def test_processes_end_where_no_tool_finds_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no pgrep, as in slim containers
    found = outcomes([*range(10), "killed", "process"], "loky")
    assert isinstance(found["killed"], WorkerDied)
    assert not alive(found["process"])


def test_a_result_that_cannot_be_sent_fails_its_cell_only() -> None:
    found = outcomes([*range(20), "unpicklable"], "loky")
    assert isinstance(found.pop("unpicklable"), CellFailed)
    assert found == {i: i * i for i in range(20)}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("how", ["hangs", "swallows"])
def test_a_cell_that_takes_too_long_fails(engine: str, how: str) -> None:
    start = time.monotonic()
    found = outcomes([1, how, 2], engine, timeout=0.3)
    assert isinstance(found[how], TimedOut)
    assert str(found[how]) == "not done after cell_timeout=0.3 seconds"
    assert (found[1], found[2]) == (1, 4)
    assert time.monotonic() - start < PATIENCE  # and not as long as the cell would take


def test_no_alarm_rings_after_a_cell_in_time() -> None:
    outcomes([1, 2, 3], "serial", timeout=0.2)
    time.sleep(0.4)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_cell_that_not_even_an_alarm_wakes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "START_SECONDS", 0.0)
    monkeypatch.setattr(sharing, "GRACE_SECONDS", max(2.0, 4 * start_seconds("joblib, jobs")))
    jobs = [Job(1), Job("deaf"), Job(2)]
    found = {job.config: outcome for job, outcome, _ in engines.run(jobs, 2, "loky", timeout=0.2, compute=deaf)}
    assert isinstance(found["deaf"], TimedOut)
    assert (found[1], found[2]) == (1, 2)


def deaf(given: Any) -> Any:
    """A call into C that does not come back is not woken by Python's handler; blocking the signal does the same."""
    if given == "deaf":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        time.sleep(2 * PATIENCE)
    return given


@pytest.mark.parametrize("engine", ENGINES)
def test_fail_fast_stops_at_the_first_failure(engine: str) -> None:
    jobs = [Job(1), Job("meaningless"), Job("raises"), *(Job(0.05 + i / 100_000) for i in range(2000))]
    found = list(engines.run(jobs, 2, engine, compute=square, fail_fast=True))
    assert isinstance(found[-1][1], CellFailed)
    assert len(found) < len(jobs)
    assert sum(isinstance(outcome, CellFailed) for _, outcome, _ in found) == 1


# ------------------------------------------------------------------------------------------------------------ the end


def interrupted(jobs: Iterator[Job]) -> Iterator[Job]:
    for i, job in enumerate(jobs):
        if i == 20:
            raise KeyboardInterrupt
        yield job


@pytest.mark.parametrize("engine", ENGINES)
def test_an_interrupt_passes_and_what_was_done_stands(engine: str) -> None:
    done = []

    def run() -> None:
        for job, outcome, _ in engines.run(interrupted(Job(i) for i in range(100)), 2, engine, compute=square):
            done.append((job.config, outcome))

    with pytest.raises(KeyboardInterrupt):
        run()
    assert done
    assert all(outcome == given * given for given, outcome in done)


@pytest.mark.usefixtures("own_handlers")
def test_sigterm_interrupts() -> None:
    def run() -> None:
        with sigterm_interrupts():
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
            list(engines.run([Job("hangs")], 1, "serial", compute=square))

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.fixture
def own_handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("own_handlers")
def test_handlers_are_put_back_where_nothing_came() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with sigterm_interrupts():
        pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.usefixtures("own_handlers")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_does_not_strike_while_the_first_is_answered(number: signal.Signals) -> None:
    reached = False
    with sigterm_interrupts():
        try:
            os.kill(os.getpid(), number)
            time.sleep(1)
        except KeyboardInterrupt:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)
            reached = True
    assert reached


def test_impatient_interrupts_of_the_whole_group_leave_nothing_behind() -> None:
    script = f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parents[1])!r})
        from jobs import Job, square
        from gradcheck.experiment.engines import engines
        from gradcheck.experiment.engines.interrupts import sigterm_interrupts
        jobs = [Job("process"), *(Job(0.1 + i) for i in range(20))]
        try:
            with sigterm_interrupts():
                for job, outcome, _ in engines.run(jobs, 2, "loky", compute=square):
                    print(outcome, flush=True)
        except KeyboardInterrupt:
            sys.exit(130)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        assert process.stdout is not None
        worker = next(int(line) for line in process.stdout if "." not in line)
        for _ in range(3):
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.005)
        _, complaints = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert complaints == ""
    assert not alive(worker)


def test_the_thread_that_holds_the_last_semaphores_ends_with_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    from joblib.externals.loky.backend.queues import Queue

    feed, fed = Queue._feed, []

    def slowly(*arguments: Any) -> None:
        feed(*arguments)
        time.sleep(0.3)
        fed.append(True)

    monkeypatch.setattr(Queue, "_feed", staticmethod(slowly))
    assert len(list(engines.run([Job(0.1), Job(0.2)], 2, "loky", compute=square))) == 2
    assert fed


def test_workers_end_with_a_parent_that_is_killed() -> None:
    script = f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parents[1])!r})
        from jobs import Job, square
        from gradcheck.experiment.engines import engines
        jobs = [Job("process"), Job(0.1), *(Job(20.0 + i) for i in range(8))]
        for job, outcome, _ in engines.run(jobs, 2, "loky", compute=square):
            print(outcome, flush=True)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        worker = next(int(line) for line in process.stdout if "." not in line)
        process.kill()
    until(lambda: not alive(worker))


# ------------------------------------------------------------------------------------------------------------ choices


def test_auto_starts_no_process_for_little_work() -> None:
    found = outcomes(["process", *range(100)], "auto")
    assert found["process"] == os.getpid()


def test_auto_starts_processes_for_much_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "SERIAL_SECONDS", 0.1)
    monkeypatch.setattr(engines, "WORTH_SECONDS", 0.5)
    found = outcomes([*(0.02 + i / 10_000 for i in range(50)), "process"], "auto")
    assert found["process"] != os.getpid()


def test_the_last_chunks_are_small() -> None:
    chunks = Chunks([Job(i) for i in range(2000)])
    chunks.adapt([1e-4])
    chunks.processes = 2
    sizes = [sum(map(len, chunk)) for chunk in iter(chunks.take, [])]
    assert sum(sizes) == 2000
    assert sizes[0] == 2000 // 6
    assert max(sizes[-2:]) <= LAST_CELLS


def test_a_first_cell_that_imports_does_not_make_the_next_chunks_small() -> None:
    chunks = Chunks([Job(i) for i in range(2000)])
    chunks.adapt([0.05])
    chunks.adapt([1e-4] * 50)
    assert sum(map(len, chunks.take())) > 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"engine": "threads"}, "engine=threads: must be one of auto, serial, loky"),
        ({"n_jobs": 0}, "engine.n_jobs=0: must be"),
        ({"timeout": 0.0}, "cell_timeout=0.0: must be"),
        ({"timeout": float("nan")}, "cell_timeout=nan: must be"),
    ],
)
def test_settings_without_meaning_are_bad_input(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        engines.run([], **arguments)
