"""The speed of two checkouts side by side: what users type, in a process for each, and the processor's time that it takes.

The checkouts take turns, and the least of the rounds counts: a machine that is busy with other work only adds to it.
Commands and public names are used alone, so that modules may have moved between the two.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.frame import Row, at_most, skipped
from tests.benchmarks.million import write

ROUNDS, SLOWER = 5, 1.05
RUN = ("-m", "gradcheck.run")
SWEEP = (*RUN, "data.n=100", "data.d=10", "engine=serial", "progress=none", "fail_on=never", "-m")
FOUR = "eps=1e-3,1e-4,1e-5,1e-6"
# a function of one's own, and its gradient; the size is the last argument
OWN = """
import sys
import numpy as np
import gradcheck
size = int(sys.argv[1])
rng = np.random.default_rng(0)
X, y, w = rng.standard_normal((200, size)), rng.integers(0, 2, 200), rng.standard_normal(size) / size**0.5
def loss(w):
    z = X @ w
    return float(np.mean(np.logaddexp(0, z) - y * z))
def gradient(w):
    return X.T @ (1 / (1 + np.exp(-(X @ w))) - y) / 200
assert gradcheck.check_gradient(loss, gradient, w).ok
"""


@dataclass(frozen=True)
class Work:
    """What a Python of each checkout is told to do.

    ``{run}`` is a sweep of 4,000 cells that the older one stored, ``{record}`` a record of 100,000 cells.
    """

    name: str
    arguments: Sequence[str]
    rounds: int = ROUNDS


WORKS = (
    Work("import gradcheck", ("-c", "import gradcheck"), 15),
    Work("the check of a gradient of one's own, 3 weights", ("-c", OWN, "3"), 15),
    Work("the check of a gradient of one's own, 1,000 weights", ("-c", OWN, "1000")),
    Work("the check of a gradient of one's own, 200,000 weights", ("-c", OWN, "200000")),
    Work("a single run, tiny model, start to exit", (*RUN, "model=one_d", "data=none"), 15),
    Work("a plan of 10,000 cells", (*SWEEP, "data.seed=range(2500)", FOUR, "dry_run=true")),
    Work("a sweep of 4,000 cells, four eps", (*SWEEP, "data.seed=range(1000)", FOUR)),
    Work("a sweep of 1,000 cells, eps=auto", (*SWEEP, "data.seed=range(1000)")),
    Work("a sweep of 300 nets, eps=auto", (*SWEEP, "model=mlp", "data.seed=range(300)")),
    Work(
        "a sweep of 1,000 cells with planted bugs", (*SWEEP, "data.seed=range(250)", "bug=none,scale,sign_flip,clipped")
    ),
    Work(
        "the verdict of a logistic problem, n = 5000, d = 1000", (*RUN, "data.n=5000", "data.d=1000", "engine=serial")
    ),
    Work(
        "the verdict of a net 100-64-32-1, n = 1000",
        (*RUN, "model=mlp", "model.layers=[64,32]", "data.n=1000", "data.d=100", "engine=serial"),
    ),
    *(
        Work(f"{name}, {cells} cells", (*arguments, folder, *more))
        for cells, folder in (("4,000", "{run}"), ("100,000", "{record}"))
        for name, arguments, more in (
            ("show", ("-m", "gradcheck.show"), ()),
            ("load", ("-c", "import gradcheck, sys; gradcheck.load(sys.argv[1])"), ()),
            ("report", ("-m", "gradcheck.report"), ("--out", "page.html")),
        )
    ),
    Work("reproduce, 200 cells of 4,000", ("-m", "gradcheck.reproduce", "{run}", "--sample", "200")),
)


def spent(checkout: Path, arguments: Sequence[str], folder: str) -> float:
    """Seconds of the processor that a Python of the checkout takes, its children included."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    # compiled modules lie beside no source; one thread of BLAS, since threads that wait take time of the processor
    environment |= {"PYTHONPYCACHEPREFIX": str(Path(folder) / "compiled"), "PYTHONPATH": str(checkout)}
    environment |= {"OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory(dir=folder) as work, open(Path(folder) / "said", "w+b") as said:
        process = subprocess.Popen([sys.executable, *arguments], cwd=work, env=environment, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{checkout}: {said.read().decode().splitlines()[-1]}")
    return usage.ru_utime + usage.ru_stime


def rows(old: Path, new: Path, parts: int = 200) -> Iterator[Row]:
    """Each work in the new checkout over the old one; first everything is done once, which compiles and warms."""
    with tempfile.TemporaryDirectory() as folder:
        places = {name: str(Path(folder) / name) for name in ("run", "record")}
        spent(old, (*SWEEP, "data.seed=range(1000)", FOUR, f"hydra.sweep.dir={places['run']}"), folder)
        write(Path(places["record"]), parts)
        for work in WORKS:
            arguments = [places.get(argument.strip("{}"), argument) for argument in work.arguments]
            try:
                for checkout in (old, new):
                    spent(checkout, arguments, folder)
            except RuntimeError as error:
                # what the older one cannot do yet is no slower now
                yield skipped(work.name, f"{SLOWER:g} or less", str(error))
                continue
            taken = [[spent(checkout, arguments, folder) for checkout in (old, new)] for _ in range(work.rounds)]
            before, after = (min(own) for own in zip(*taken, strict=True))
            note = f"{before:.3g} s, then {after:.3g} s; least of {work.rounds}"
            yield at_most(work.name, SLOWER, after / before, note)
