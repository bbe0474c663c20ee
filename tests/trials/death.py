"""A sweep on two Dask workers, one of which is killed halfway: its rows are those of the same sweep on one process."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow.parquet as pq

from .clusters import cluster
from .kills import Failure, same, start


def trial(folder: Path, cells: int) -> str:
    """Returns the figures in words.  Raises Failure."""
    sweep = [f"init.seed=range({cells // 2})", "bug=none,scale", "eps=1e-5", "data.n=50", "-m"]
    whole, run = folder / "undisturbed", folder / "run"
    undisturbed = start(whole, *sweep, f"hydra.sweep.dir={whole}", "engine=serial")
    if undisturbed.communicate()[1] or undisturbed.returncode:
        raise Failure("the undisturbed run failed")
    with cluster(folder) as there:
        done = start(run, *sweep, f"hydra.sweep.dir={run}", "engine=dask", f"engine.address={there.address}")
        at = 0
        while at < cells / 2 and done.poll() is None:
            time.sleep(0.1)
            at = sum(pq.ParquetFile(path).metadata.num_rows for path in (run / "cells").glob("*.parquet"))
        if done.poll() is not None:
            raise Failure("it was done before a worker was killed")
        there.kill(there.workers[0])
        _, err = done.communicate()
    if done.returncode or err:
        raise Failure(f"exit {done.returncode}: {err}")
    if not same(run, whole):
        raise Failure("rows differ from those of the undisturbed run")
    return f"one of two workers killed at {at} of {cells} cells: rows identical"
