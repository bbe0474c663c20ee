"""A Dask scheduler and workers on loopback, each a process that can be killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gradcheck.experiment.patches import uncollected

TESTS = Path(__file__).resolve().parent.parent
PATIENCE = 600.0  # seconds, for what never happens
# Each process of Dask looks at itself fifty to a hundred times a second, for a dashboard: a tenth of a core for a cluster that
# waits.  Nobody looks at the dashboard.
UNWATCHED = {
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "1s",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "5s",
}


class Cluster:
    """A scheduler and its workers, one thread each where nothing else is said."""

    def __init__(self, folder: Path, workers: int = 2, *, nanny: bool = True) -> None:
        self.folder = folder
        self._nanny = nanny
        self.processes: list[subprocess.Popen[bytes]] = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{port}"
        # work that ends its worker is given to one more, not to three: each of them must be started anew
        once = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
        typed = ("--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
        self.scheduler = self._start("dask_scheduler", *typed, **once)
        self.workers = [self.add_worker() for _ in range(workers)]

    def add_worker(self, path: Path | None = None, nthreads: int = 1, **environment: str) -> subprocess.Popen[bytes]:
        """One more worker; `path` comes before all else in its PYTHONPATH."""
        options = ["--nthreads", str(nthreads), "--no-dashboard", "--memory-limit", "0"]
        options += ["--local-directory", str(self.folder), "--nanny" if self._nanny else "--no-nanny"]
        return self._start("dask_worker", self.address, *options, path=path, **environment)

    def _start(self, name: str, *arguments: str, path: Path | None = None, **more: str) -> subprocess.Popen[bytes]:
        found = [path, TESTS.parent, TESTS, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{name}", *arguments],
            cwd=self.folder,
            env={**os.environ, **UNWATCHED, "PYTHONPATH": os.pathsep.join(str(one) for one in found if one), **more},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        self.processes.append(process)
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL to a process and what it has started, as when a machine goes away."""
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()

    def wait_for_workers(self, count: int) -> None:
        """Wait until so many have announced themselves, and no others are known any more."""
        from distributed import Client

        end = time.monotonic() + PATIENCE
        while True:
            try:
                with uncollected():
                    client = Client(self.address, timeout=PATIENCE, set_as_default=False)
                try:
                    while len(client.nthreads()) != count:
                        if time.monotonic() > end:
                            raise TimeoutError(f"there are not {count} workers")
                        time.sleep(0.05)
                finally:
                    with uncollected():
                        client.close()
                return
            except OSError:
                if time.monotonic() > end:
                    raise

    def restore(self, count: int) -> None:
        """As many ordinary workers as are wanted and no others, whatever became of those that there were."""
        self.workers = [worker for worker in self.workers if worker.poll() is None][:count]
        for process in self.processes:
            if process is not self.scheduler and process not in self.workers and process.poll() is None:
                self.kill(process)
        self.workers += [self.add_worker() for _ in range(count - len(self.workers))]
        self.wait_for_workers(count)


@contextmanager
def cluster(folder: Path, workers: int = 2, *, nanny: bool = True) -> Iterator[Cluster]:
    """A cluster that is up, and ends with the block."""
    made = Cluster(folder, workers, nanny=nanny)
    try:
        made.wait_for_workers(workers)
        yield made
    finally:
        for process in made.processes:
            made.kill(process)
