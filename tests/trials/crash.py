"""Power fails the moment after "saved": what the disk had received by then, mounted anew, holds every row.

The disk is a file behind a loop device.  What the filesystem has sent to it is in the file; what waits in memory is not.
So a copy of the file is what a loss of power leaves.  Needs root, `losetup` and `mkfs.ext4`.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .damages import run
from .kills import Failure, table

# How ext4 writes: what it orders, whether it has a journal at all; never by itself within the time of a run.
WAYS = (
    ([], "commit=300"),
    ([], "commit=300,data=writeback"),
    ([], "commit=300,data=journal"),
    ([], "commit=300,noauto_da_alloc"),
    (["-O", "fast_commit"], "commit=300"),
)
TYPED = [
    ["eps=1e-4"],
    ["bug=none,scale", "-m"],
    ["init.seed=range(20)", "-m"],
    ["init.seed=range(12)", "eps=1e-4,1e-6", "-m"],
]


def _do(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


@contextmanager
def mounted(image: Path, where: Path, options: str) -> Iterator[Path]:
    """The filesystem in a file.  Raises OSError where it cannot be mounted."""
    where.mkdir(exist_ok=True)
    _do("mount", "-o", f"loop,{options}", str(image), str(where))
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", str(where)], check=False)


def crash(folder: Path, typed: list[str], way: int) -> int:
    """One run on a disk of its own, whose power fails after "saved"; how many rows survived.  Raises Failure, OSError."""
    features, options = WAYS[way % len(WAYS)]
    home = Path(tempfile.mkdtemp(dir=folder))  # the log of the run keeps its disk in use
    image, after = home / "disk", home / "after"
    with image.open("wb") as file:
        file.truncate(48 * 2**20)
    _do("mkfs.ext4", "-q", "-F", *features, str(image))
    with mounted(image, home / "mnt", options) as there:
        key = "hydra.sweep.dir" if "-m" in typed else "hydra.run.dir"
        status, said = run(*typed, "engine=serial", "progress=none", f"{key}={there / 'runs' / 'day' / 'run'}")
        shutil.copy(image, after)
        if status or "saved" not in said:
            raise Failure(f"{typed}: {status}: {said}")
        want = {name: table(there / "runs/day/run", name) for name in ("cells", "errors")}
    with mounted(after, home / "mnt-after", "defaults") as there:
        found = there / "runs/day/run"
        for name, rows in want.items():
            if not (found / name).is_dir() or not list((found / name).iterdir()):
                raise Failure(f"{typed}, {options}: {name} is gone")
            if not table(found, name).equals(rows):
                raise Failure(f"{typed}, {options}: rows of {name} are gone")
        if not (found / "plan.parquet").is_file():
            raise Failure(f"{typed}, {options}: the plan is gone")
    image.unlink()
    after.unlink()
    return sum(rows.num_rows for rows in want.values())


def trial(folder: Path, n: int, seed: int = 0) -> str:
    """So many losses of power.  Raises Failure."""
    chance, rows = random.Random(seed), 0
    try:
        for i in range(n):
            rows += crash(folder, chance.choice(TYPED), i)
    except OSError as error:
        raise Failure(f"no disks can be made here: {error}") from error
    return f'{n} images of ext4 (5 ways to mount it) right after "saved": none lacks one of {rows} rows'
