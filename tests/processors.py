"""The numerics on other processors, emulated in processes of their own, one on each core.

    python -m tests.processors [--short]

NumPy leaves out instructions that NPY_DISABLE_CPU_FEATURES names, and OpenBLAS takes as many threads as it is told.  The
kernel of OpenBLAS is the one that the machine has.  With ``--short`` each setting runs ``tests/test_processors.py``; without,
all tests of the numerics, a calibration of more than 100,000 weights and ``reproduce runs/reference``.  What is printed at the
end is the table of ``runs/README.md``.
"""

from __future__ import annotations

import argparse
import datetime
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradcheck.numerics import threads

ROOT = Path(__file__).resolve().parent.parent
SHORT = ["tests/test_processors.py"]
NUMERIC_STEMS = (
    *("processors", "rounding", "bounds", "differences", "gradients", "lines", "kinks", "check", "check_gradient"),
    *("directional", "diagnose", "verdict", "rules", "bugs", "calibration", "intervals", "public_figures"),
    *("real_gradients", "textbook", "reproduce", "reference", "samples"),
)
NUMERIC = [str(path.relative_to(ROOT)) for name in NUMERIC_STEMS for path in (ROOT / "tests").rglob(f"test_{name}.py")]
STEPS = "eps=auto,1e-10,1e-6,1e-3,1"
CALIBRATION = {
    "calibration": [STEPS, "data.scale=0.1,1000", "init.scale=1"],
    "calibration_linear": [STEPS, "data.d=6", "data.scale=1,1000", "data.noise=0.1"],
    "calibration_optimum": [STEPS, "data.scale=1", "model=mlp"],
    "calibration_one_d": [STEPS, "model.l2=0.1"],
    "calibration_bugs": ["eps=auto,1e-6,1e-3", "bug.magnitude=1e-6,1e-3,1"],
}
QUIET = ["engine=serial", "progress=none", "fail_on=never"]


@dataclass(frozen=True)
class Setting:
    """Instructions that NumPy does without, and threads of BLAS."""

    off: tuple[str, ...]
    threads: int

    @property
    def environment(self) -> dict[str, str]:
        threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(self.threads))
        inherited = {name: value for name, value in os.environ.items() if name != "NPY_DISABLE_CPU_FEATURES"}
        return inherited | threads | ({"NPY_DISABLE_CPU_FEATURES": " ".join(self.off)} if self.off else {})

    def __str__(self) -> str:
        off = f"without {' '.join(self.off)}" if self.off else "all instructions"
        return f"{off}, {self.threads} thread{'s'[: self.threads != 1]}"


def features() -> list[str]:
    """Instructions that NumPy uses here beyond those that it was built for."""
    found: dict[str, Any] = np.show_config(mode="dicts")["SIMD Extensions"]  # type: ignore[call-overload, index]
    return list(found.get("found", []))


def missing() -> list[str]:
    """Instructions for which NumPy has code that this processor cannot run, or was told not to."""
    found: dict[str, Any] = np.show_config(mode="dicts")["SIMD Extensions"]  # type: ignore[call-overload, index]
    return list(found.get("not found", []))


def settings(found: Sequence[str]) -> list[Setting]:
    """All instructions, without the 512 bits wide ones, without any; each with one thread and with two."""
    wide = tuple(name for name in found if "512" in name or name == "X86_V4")
    levels = dict.fromkeys([(), wide, tuple(found)])
    return [Setting(off, threads) for off in levels for threads in (1, 2)]


def _run(setting: Setting, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=setting.environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def tests(setting: Setting, files: Sequence[str]) -> tuple[bool, str]:
    """Whether they pass, and how many."""
    status, out = _run(setting, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files)
    last = out.strip().splitlines()[-1] if out.strip() else f"exit {status}"
    if status:
        print(out)
    counts = ", ".join(re.findall(r"\d+ (?:passed|failed|errors?)", last))
    return status == 0, counts or last


def calibration(setting: Setting, folder: Path) -> tuple[bool, str]:
    """Whether nothing that must hold fails: false alarms of how many correct weights."""
    for grid, typed in CALIBRATION.items():
        status, out = _run(
            setting, "-m", "gradcheck.run", f"+experiment={grid}", *typed, *QUIET, f"hydra.sweep.dir={folder / grid}"
        )
        if status:
            print(out)
            return False, f"{grid}: exit {status}"
    # how tight the bounds are, and at how many weights, is a question to the full grids
    _, out = _run(setting, "-m", "gradcheck.calibration", *(str(folder / grid) for grid in CALIBRATION))
    row = re.search(r"correct weights judged mismatch\s+0\s+(\d[\d,]*)\s+(\d[\d,]*)", out)
    if row is None:
        print(out)
        return False, "no figures"
    alarms, weights = (int(value.replace(",", "")) for value in row.groups())
    if alarms or weights < 100_000:
        print(out)
    return alarms == 0 and weights >= 100_000, f"{alarms} false alarms of {weights:,}"


def reproduce(setting: Setting, run: str, *more: str) -> tuple[bool, str]:
    """Whether a run is reproduced, and how."""
    status, out = _run(setting, "-m", "gradcheck.reproduce", run, *more)
    if status:
        print(out)
        return False, "not reproduced"
    return True, "to the bit" if "REPRODUCED  every" in out else "within the bound"


def row(setting: Setting, short: bool) -> tuple[bool, str, float]:
    """Whether all is well in one setting, its row of the table, and the seconds that it took."""
    begin, today = time.monotonic(), datetime.date.today().isoformat()
    with tempfile.TemporaryDirectory() as folder:
        found = [tests(setting, SHORT if short else NUMERIC)]
        if not short:
            found += [calibration(setting, Path(folder)), reproduce(setting, "runs/reference")]
    line = f"| {setting} | {' | '.join(said for _, said in found)} | {today} |"
    return all(good for good, _ in found), line, time.monotonic() - begin


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every setting, as many at a time as there are cores; 0 if all is well in all of them."""
    parser = argparse.ArgumentParser(prog="tests.processors", description="The numerics on emulated processors.")
    parser.add_argument("--short", action="store_true", help="tests/test_processors.py alone")
    typed = parser.parse_args(arguments)
    table, well = [], True
    with ThreadPoolExecutor(threads.count()) as pool:
        for good, line, seconds in pool.map(lambda setting: row(setting, typed.short), settings(features())):
            well = well and good
            table.append(line)
            print(f"{line}  {seconds:.0f} s", flush=True)
    for name in missing():
        table.append(f"| with {name} | not run here{' |' if typed.short else ' | | |'} |")
    print("\n".join(["", *table]))
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
