"""A real Dask scheduler and workers on loopback: the same outcomes as elsewhere, whatever becomes of the processes."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from commands import QUICK, finished, rows, started
from jobs import MISHAPS, Job, have_blas_threads, square
from trials.clusters import Cluster, cluster
from waiting import PATIENCE, start_seconds, until

import gradcheck
from gradcheck.errors import Meaningless
from gradcheck.experiment.engines import cluster as engines_cluster
from gradcheck.experiment.engines import engines, sharing
from gradcheck.experiment.engines.base import CellFailed, EngineLost, EngineSettings, TimedOut, WorkerDied
from gradcheck.experiment.engines.cells import CHUNK_CELLS
from gradcheck.run import main

# Dask's own, of Python 3.11 and later
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], Cluster]]:
    """A cluster with so many workers, whose processes may be killed: nobody starts them anew before the next test."""
    with ExitStack() as ends:
        made: Cluster | None = None

        def restored(workers: int) -> Cluster:
            nonlocal made
            if made is None or made.scheduler.poll() is not None:
                made = ends.enter_context(cluster(tmp_path_factory.mktemp("own"), workers, nanny=False))
            made.restore(workers)
            return made

        yield restored


@pytest.fixture
def own(killed: Callable[[int], Cluster]) -> Cluster:
    return killed(2)


@pytest.fixture
def empty(killed: Callable[[int], Cluster]) -> Cluster:
    """A scheduler without workers, but for those that a test adds."""
    return killed(0)


def outcomes(given: list[Any], address: str | None, **options: Any) -> dict[Any, Any]:
    jobs = [one if isinstance(one, Job) else Job(one) for one in given]
    n_jobs = 2 if address is None else None
    found = list(engines.run(jobs, n_jobs, "dask", compute=square, address=address, **options))
    assert sorted(str(job.config) for job, _, _ in found) == sorted(str(job.config) for job in jobs)
    return {job.config: outcome for job, outcome, _ in found}


# ------------------------------------------------------------------------------------------------------- one by one


def test_every_cell_comes_back_once_whatever_the_others_do(shared: Cluster) -> None:
    found = outcomes([*range(40), *MISHAPS, Job("skipped", "no meaning"), "threads"], shared.address)
    for i in range(40):
        assert found[i] == i * i
    assert have_blas_threads(found["threads"])
    for name, (kind, message) in {**MISHAPS, "skipped": (Meaningless, "no meaning")}.items():
        assert type(found[name]) is kind
        assert str(found[name]) == message


def test_a_local_cluster_ends_with_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    found = outcomes([*range(20), "process", "killed", "threads"], None)
    assert isinstance(found["killed"], WorkerDied)
    assert have_blas_threads(found["threads"])
    assert found["process"] != os.getpid()
    with pytest.raises(ProcessLookupError):
        os.kill(found["process"], 0)


def test_a_cell_that_kills_its_worker_fails_alone(shared: Cluster) -> None:
    found = outcomes([*range(30), "killed", *range(30, 60)], shared.address)
    assert isinstance(found.pop("killed"), WorkerDied)
    assert found == {i: i * i for i in range(60)}


@pytest.mark.parametrize("how", ["spins", "hangs"])
def test_a_cell_that_takes_too_long_fails(shared: Cluster, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how == "hangs":  # its worker is given up, and the others are computed by one that has just been started anew
        monkeypatch.setattr(sharing, "GRACE_SECONDS", max(2.0, 4 * start_seconds("jobs")))
    monkeypatch.setattr(sharing, "START_SECONDS", 0.0)  # what comes back too late the first time is computed again
    found = outcomes([1, how, 2], shared.address, timeout=0.5)
    assert isinstance(found[how], TimedOut)
    assert (found[1], found[2]) == (1, 4)
    assert outcomes([3, 4], shared.address) == {3: 9, 4: 16}  # nobody is left stuck


def test_a_worker_is_freed_of_what_it_began_when_it_was_taken_back(shared: Cluster) -> None:
    """The scheduler may hand a chunk out while it is told that nobody wants it: it no longer knows of it then."""
    with engines_cluster.opened(shared.address) as client:
        pool = engines_cluster.Tasks(client, EngineSettings(compute=square))
        begun = pool.submit([[Job("hangs")]])
        until(lambda: pool._holders() != [])
        (stuck,) = pool._holders()
        begun.cancel()
        assert begun.cancelled()
        pool.end(stuck=True)
        again = engines_cluster.Tasks(client, EngineSettings(compute=square))
        until(lambda: again.workers == 2)
        assert again._holders() == []
        assert stuck not in client.scheduler_info(n_workers=-1)["workers"]
    assert outcomes([3, 4], shared.address) == {3: 9, 4: 16}


def test_fail_fast_stops_at_the_first_failure(shared: Cluster) -> None:
    jobs = [Job(1), Job("meaningless"), Job("raises"), *(Job(0.05 + i / 100_000) for i in range(2000))]
    found = list(engines.run(jobs, None, "dask", compute=square, fail_fast=True, address=shared.address))
    assert isinstance(found[-1][1], CellFailed)
    assert len(found) < len(jobs)


def test_what_is_under_way_is_bounded(shared: Cluster) -> None:
    taken = 0

    def jobs() -> Iterator[Job]:
        nonlocal taken
        for i in range(5000):
            taken += 1
            yield Job(i)

    ahead = 0
    for done, _ in enumerate(engines.run(jobs(), None, "dask", compute=square, address=shared.address), 1):
        ahead = max(ahead, taken - done)
    assert taken == 5000
    assert ahead <= 2 * 2 * CHUNK_CELLS + CHUNK_CELLS


def test_a_worker_with_other_files_computes_nothing(
    shared: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    typed = ["data=file", "data.path=same.csv,other.csv", "data.target=y", "-m", "hydra.sweep.dir=run", "progress=none"]
    for name, here, there in (("same.csv", 3, 3), ("other.csv", 4, 5)):
        (tmp_path / name).write_text(f"a,y\n1,0\n2,1\n{here},1\n")
        (shared.folder / name).write_text(f"a,y\n1,0\n2,1\n{there},1\n")
    assert main([*typed, "engine=dask", f"engine.address={shared.address}"]) == 1
    stored, weights = rows(tmp_path / "run")
    found = {json.loads(row["config"])["data"]["path"]: row for row in stored}
    assert found["same.csv"]["status"] == "ok"
    assert {row["cell"] for row in weights} == {found["same.csv"]["cell"]}
    assert found["other.csv"]["status"] == "failed"
    why = "the content where this cell was computed is not that with which the run was planned"
    assert found["other.csv"]["message"] == f"data.path=other.csv: {why}"
    assert f"FAILED  1 of 2 cells, the first: data.path=other.csv: {why[:20]}" in capfd.readouterr().out


def test_a_worker_with_another_function_computes_nothing(
    shared: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = "def fun(x):\n    return {} * float(x @ x)\n\n\ndef jac(x):\n    return {} * x\n"
    (tmp_path / "planned_with.py").write_text(source.format(1, 2))
    (shared.folder / "planned_with.py").write_text(source.format(2, 4))
    typed = ["model=function", "model.fun=planned_with.fun", "model.jac=planned_with.jac", "model.x0=[1.0,2.0]"]
    more = ["hydra.run.dir=run", "progress=none", "engine=dask", f"engine.address={shared.address}"]
    assert main([*typed, *more]) == 1
    ((stored,), weights) = rows(tmp_path / "run")
    assert (stored["status"], weights) == ("failed", [])
    assert stored["message"].startswith("model.fun=planned_with.fun, model.jac=planned_with.jac: the content where")


# ------------------------------------------------------------------------------------------------------------- faults


def test_killed_workers_cost_nothing_while_one_is_left(own: Cluster) -> None:
    found = {}
    jobs = [Job(0.01 + i / 100_000) for i in range(300)]
    for n, (job, outcome, _) in enumerate(engines.run(jobs, None, "dask", compute=square, address=own.address)):
        found[job.config] = outcome
        if n == 100:
            own.kill(own.workers[0])
    assert found == {job.config: job.config for job in jobs}


def test_a_scheduler_that_goes_away_is_said(own: Cluster) -> None:
    found = []

    def run() -> None:
        jobs = [Job(0.01 + i / 100_000) for i in range(1000)]
        for n, (job, outcome, _) in enumerate(engines.run(jobs, None, "dask", compute=square, address=own.address)):
            found.append((job.config, outcome))
            if n == 50:
                own.kill(own.scheduler)

    with pytest.raises(EngineLost, match="scheduler is gone"):
        run()
    assert 50 < len(found) < 1000
    assert all(given == outcome for given, outcome in found)


@contextmanager
def frozen(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """A process that is there and does nothing, as one behind a network that swallows what is sent."""
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


@pytest.mark.parametrize("timeout", [None, 1.0])
def test_a_scheduler_that_does_not_answer_is_said(
    own: Cluster, monkeypatch: pytest.MonkeyPatch, timeout: float | None
) -> None:
    for name, seconds in (("START_SECONDS", 2.0), ("GRACE_SECONDS", 1.0), ("LOOK_SECONDS", 0.2)):
        monkeypatch.setattr(sharing, name, seconds)
    monkeypatch.setattr(engines_cluster, "COUNT_SECONDS", 0.2)
    jobs = [Job(0.2 + i / 100_000) for i in range(200)]
    found, stop = [], ExitStack()

    def run() -> None:
        for n, (job, outcome, _) in enumerate(
            engines.run(jobs, None, "dask", compute=square, address=own.address, timeout=timeout)
        ):
            found.append((job.config, outcome))
            if n == 5:
                monkeypatch.setattr(engines_cluster, "SILENT_SECONDS", 4.0)
                stop.enter_context(frozen(own.scheduler))

    start = time.monotonic()
    with stop, pytest.raises(EngineLost, match=r"the scheduler (has not answered for 4 seconds|does not answer)"):
        run()
    assert time.monotonic() - start < 60
    assert 5 < len(found) < 200


def test_a_scheduler_that_is_slow_is_not_accused(own: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stops whenever it is asked, and answers a second later."""
    asked, waits, pid = engines_cluster.Tasks._asked, [], own.scheduler.pid

    def slowly(self: Any, *given: Any, **options: Any) -> Any:
        os.kill(pid, signal.SIGSTOP)
        threading.Timer(1.0, os.kill, (pid, signal.SIGCONT)).start()
        start = time.monotonic()
        try:
            return asked(self, *given, **options)
        finally:
            waits.append(time.monotonic() - start)

    monkeypatch.setattr(engines_cluster, "SILENT_SECONDS", 6.0)
    monkeypatch.setattr(engines_cluster.Tasks, "_asked", slowly)
    jobs = [0.05 + i / 100_000 for i in range(60)]
    assert outcomes(jobs, own.address) == {job: job for job in jobs}
    assert max(waits) > 0.5


def test_a_cell_may_take_longer_than_the_scheduler_may_be_silent(own: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines_cluster, "SILENT_SECONDS", 3.0)
    monkeypatch.setattr(engines_cluster, "COUNT_SECONDS", 0.1)
    monkeypatch.setattr(sharing, "LOOK_SECONDS", 0.1)
    assert outcomes([3.5, 0.01], own.address) == {3.5: 3.5, 0.01: 0.01}


@pytest.mark.parametrize("local", [False, True])
def test_no_forgotten_client_is_collected_amid_the_start_or_the_end_of_another(
    shared: Cluster, monkeypatch: pytest.MonkeyPatch, local: bool
) -> None:
    """distributed would wait for its own lock, for ever."""
    from distributed.utils import LoopRunner

    collecting = []
    for name in ("start", "stop"):
        plain = getattr(LoopRunner, name)

        def watched(self: Any, *given: Any, plain: Any = plain, **options: Any) -> Any:
            if threading.current_thread() is threading.main_thread():
                collecting.append(gc.isenabled())
            return plain(self, *given, **options)

        monkeypatch.setattr(LoopRunner, name, watched)
    assert outcomes([1, 2], None if local else shared.address) == {1: 1, 2: 4}
    assert len(collecting) >= 2
    assert not any(collecting)
    assert gc.isenabled()


def test_a_cluster_without_workers_is_waited_for_and_given_up(own: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines_cluster, "NOBODY_SECONDS", 4.0)
    jobs = [Job(0.01 + i / 100_000) for i in range(1000)]

    def run() -> None:
        for n, _ in enumerate(engines.run(jobs, None, "dask", compute=square, address=own.address)):
            if n == 50:
                for worker in own.workers:
                    own.kill(worker)

    with pytest.raises(EngineLost, match="no worker"):
        run()


@pytest.mark.parametrize("case", ["nobody", "no address", "no workers", "another", "none at all"])
def test_a_cluster_that_cannot_be_used_is_refused(
    empty: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], case: str
) -> None:
    monkeypatch.chdir(tmp_path)
    address = {"nobody": "tcp://127.0.0.1:9", "no address": "ftp:/x"}.get(case, empty.address)
    if case in ("another", "none at all"):
        shutil.copytree(Path(gradcheck.__file__).parent, tmp_path / "theirs/gradcheck")
        there = tmp_path / "theirs/gradcheck/__init__.py"
        added = "\n# changed\n" if case == "another" else "\nraise ImportError('broken')\n"
        there.write_text(there.read_text() + added)
        empty.add_worker(tmp_path / "theirs")
        empty.wait_for_workers(1)
    # it runs out where nobody answers or works; a scheduler that does answer must have the time for it
    if case in ("nobody", "no address"):
        seconds = 2.0
    else:
        seconds = max(2.0, 4 * start_seconds("jobs")) if case == "no workers" else PATIENCE
    monkeypatch.setattr(engines_cluster, "CONNECT_SECONDS", seconds)
    before = sorted(tmp_path.iterdir())
    status = main(["engine=dask", f"engine.address={address}", "eps=1e-4,1e-6", "-m", "progress=none"])
    out, err = capfd.readouterr()
    assert status == 2, err
    assert out == ""
    assert err.startswith(f"gradcheck: engine.address={address}: ")
    assert err.count("\n") == 1
    words = {"another": "install the same", "none at all": "cannot import", "no workers": "has no workers"}
    assert words.get(case, "no scheduler answers") in err
    assert sorted(tmp_path.iterdir()) == before


def test_the_threads_of_a_worker_compute_one_after_the_other(empty: Cluster) -> None:
    empty.add_worker(nthreads=4)
    empty.wait_for_workers(1)
    found = outcomes([*range(100), "threads"], empty.address)
    assert have_blas_threads(found.pop("threads"))
    assert found == {i: i * i for i in range(100)}


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (("engine=serial", "engine.address=tcp://127.0.0.1:9"), "only engine=dask"),
        (("engine=dask", "engine.address=tcp://127.0.0.1:9", "engine.n_jobs=2"), "own number of workers"),
    ],
)
def test_settings_without_meaning_are_refused(
    typed: tuple[str, ...], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(typed) == 2
    assert words in capfd.readouterr().err


def test_without_dask_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main(["engine=dask"]) == 2
    err = capfd.readouterr().err
    assert "pip install 'gradcheck[dask]'" in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


# --------------------------------------------------------------------------------------------------------- whole runs

# some seconds of work in small parts, so that they are stored while it goes on
GRID = ("model=mlp", "data.n=300", "data.d=10", "init.seed=range(20)", "bug=none,scale", "eps=1e-4,auto", "-m")
SWEEP = (*GRID, "progress=none")
SMALL_PARTS = "from gradcheck.experiment.results.writer import Writer\nWriter.__init__.__kwdefaults__['part_cells'] = 5"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("serial")
    assert main([*SWEEP, f"hydra.sweep.dir={folder}/run", "engine=serial"]) == 0
    return rows(folder / "run")


def sweep(folder: Path, *more: str) -> subprocess.Popen[str]:
    where = {"cwd": folder, "process_group": 0}
    return started("gradcheck.run", *SWEEP, "hydra.sweep.dir=run", "engine=dask", *more, prelude=SMALL_PARTS, **where)


def stored(run_dir: Path) -> int:
    return len(finished(run_dir)) if list(run_dir.glob("cells/*.parquet")) else 0


def wait_for(run_dir: Path, cells: int) -> None:
    until(lambda: stored(run_dir) >= cells)


def test_a_worker_that_dies_in_mid_sweep_changes_no_row(own: Cluster, tmp_path: Path, undisturbed: Any) -> None:
    done = sweep(tmp_path, f"engine.address={own.address}")
    wait_for(tmp_path / "run", 1)
    own.kill(own.workers[0])
    _, err = done.communicate(timeout=PATIENCE)
    assert (done.returncode, err) == (0, "")
    assert rows(tmp_path / "run") == undisturbed


def resumed(folder: Path) -> Any:
    assert main([f"resume={folder}/run", *QUICK]) == 0
    return rows(folder / "run")


def test_a_run_whose_scheduler_died_can_be_resumed(own: Cluster, tmp_path: Path, undisturbed: Any) -> None:
    done = sweep(tmp_path, f"engine.address={own.address}")
    wait_for(tmp_path / "run", 1)
    own.kill(own.scheduler)
    out, err = done.communicate(timeout=PATIENCE)
    assert done.returncode == 1
    assert err == "gradcheck: engine=dask: the scheduler is gone; what was finished is stored\n"
    assert "resume=" in out
    assert 0 < stored(tmp_path / "run") < 80
    assert resumed(tmp_path) == undisturbed


def test_a_run_whose_scheduler_is_frozen_ends_in_one_line_and_can_be_resumed(
    own: Cluster, tmp_path: Path, undisturbed: Any
) -> None:
    cluster = (
        "from gradcheck.experiment.engines import cluster\ncluster.SILENT_SECONDS = 4.0\ncluster.CONNECT_SECONDS = 5.0"
    )
    soon = f"{SMALL_PARTS}\n{cluster}"
    where: Any = {"cwd": tmp_path, "process_group": 0}
    typed = ("hydra.sweep.dir=run", "engine=dask", f"engine.address={own.address}", "cell_timeout=600")
    done = started("gradcheck.run", *SWEEP, *typed, prelude=soon, **where)
    wait_for(tmp_path / "run", 1)
    with frozen(own.scheduler):
        out, err = done.communicate(timeout=60)
    assert done.returncode == 1
    assert err == (
        "gradcheck: engine=dask: the scheduler has not answered for 4 seconds; what was finished is stored\n"
    )
    assert "resume=" in out
    assert 0 < stored(tmp_path / "run") < 80
    assert resumed(tmp_path) == undisturbed


@pytest.mark.parametrize("where", ["local", "elsewhere"])
def test_an_interrupt_ends_in_a_run_that_can_be_resumed(
    shared: Cluster, tmp_path: Path, undisturbed: Any, where: str
) -> None:
    done = sweep(tmp_path, *(["engine.n_jobs=2"] if where == "local" else [f"engine.address={shared.address}"]))
    wait_for(tmp_path / "run", 1)
    for _ in range(2):
        os.killpg(done.pid, signal.SIGINT)
        time.sleep(0.05)
    _, err = done.communicate(timeout=PATIENCE)
    assert (done.returncode, err) == (130, "")
    assert resumed(tmp_path) == undisturbed
