"""Ceres: ``ceres::GradientChecker`` of a cost function that calls back to Python; ``ceres.cpp`` is compiled when imported."""

from __future__ import annotations

import ctypes
import re
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.benchmarks.referee.case import Answer, Array, Case, Fun, Grad, Tool

SOURCE = Path(__file__).with_suffix(".cpp")
# Solver::Options::gradient_check_relative_precision
PRECISION = 1e-8
ROOM = 2**16
_Numbers = ctypes.POINTER(ctypes.c_double)
_Value = ctypes.CFUNCTYPE(ctypes.c_double, _Numbers)
_Gradient = ctypes.CFUNCTYPE(None, _Numbers, _Numbers)


def _compiled() -> ctypes.CDLL:
    """The library.  Raises ImportError where there is no compiler or no Ceres."""
    target = Path(tempfile.mkdtemp(prefix="referee-")) / "ceres.so"
    command = ["g++", "-O1", "-shared", "-fPIC", "-I/usr/include/eigen3", str(SOURCE), "-o", str(target), "-lceres"]
    try:
        subprocess.run([*command, "-lglog"], check=True, capture_output=True)
        return ctypes.CDLL(str(target))
    except (OSError, subprocess.CalledProcessError):
        raise ImportError("Ceres needs g++ and Debian's libceres-dev") from None


_LIBRARY = _compiled()
_LIBRARY.version.restype = ctypes.c_char_p


class Probed(NamedTuple):
    """Whether the check passed, its largest relative error, and what it says."""

    good: bool
    error: float
    said: str


def probed(x: Array, fun: Fun, grad: Grad) -> Probed:
    """The check of a function and its gradient at x.  What ``fun`` or ``grad`` raises is raised when C++ has ended."""
    n = x.size
    raised: list[Exception] = []

    def value(at: object) -> float:
        try:
            return float(fun(np.ctypeslib.as_array(at, (n,)).copy()))
        except Exception as error:  # it cannot pass through C++
            raised.append(error)
            return float("nan")

    def gradient(at: object, out: object) -> None:
        try:
            np.ctypeslib.as_array(out, (n,))[:] = grad(np.ctypeslib.as_array(at, (n,)).copy())
        except Exception as error:
            raised.append(error)

    start = np.ascontiguousarray(x, float)
    error, said = ctypes.c_double(), ctypes.create_string_buffer(ROOM)
    callbacks = _Value(value), _Gradient(gradient)
    good = _LIBRARY.probe(
        n, start.ctypes.data_as(_Numbers), *callbacks, ctypes.c_double(PRECISION), ctypes.byref(error), said, ROOM
    )
    if raised:
        raise raised[0]
    return Probed(bool(good), error.value, said.value.decode(errors="replace"))


def check(case: Case) -> Answer:
    """A Probe that fails accuses."""
    dtype = case.x.dtype
    good, error, said = probed(case.x, lambda x: case.fun(x.astype(dtype)), lambda x: case.grad(x.astype(dtype)))
    return Answer(not good, said, error / PRECISION, None if good else _entry(said), size=True)


def _entry(text: str) -> int | None:
    """The column of the first entry that it marks."""
    marked = re.search(r"\(\d+,\d+,(\d+)\) Relative error worse", text)
    return int(marked[1]) if marked else None


RULE = "Probe fails: |a - n| / max(|a|, |n|) >= 1e-8, n by Ridders' method"
TOOLS = (Tool("ceres", "", RULE, check, version=_LIBRARY.version().decode()),)
