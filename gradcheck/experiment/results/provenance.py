"""How a run was made: versions, platform, processor, BLAS, commit.

It contains no environment variables, user names, host names or paths.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from gradcheck import __version__
from gradcheck.columns.weights import SCHEMA_VERSION
from gradcheck.uris import hide

PACKAGES = ("numpy", "pyarrow", "hydra-core", "omegaconf", "joblib", "threadpoolctl", "pandas", "scikit-learn", "scipy")
# Overrides that say where results go and which machines compute them: they change no number, and may name people and hosts.
_NOT_SCIENCE = ("hydra.", "store=", "resume=", "engine.address=")


def collect(overrides: Sequence[str] = ()) -> dict[str, object]:
    """All that the numbers of a run may depend on, as JSON values; None where it cannot be known.

    overrides : as typed; those that only say where results go or where they are computed are left out.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "gradcheck": __version__,
        "python": {"implementation": platform.python_implementation(), "version": platform.python_version()},
        "packages": versions(PACKAGES),
        "platform": {"system": platform.system(), "release": platform.release(), "machine": platform.machine()},
        "cpu": {"model": _cpu_model(), "features": _cpu_features(), "cores": os.cpu_count()},
        "blas": _blas(),
        "longdouble_bits": int(np.finfo(np.longdouble).nmant) + 1,
        "git": _git(Path(__file__).resolve().parents[3]),
        "overrides": [hide(text) for text in overrides if not text.lstrip("+~").startswith(_NOT_SCIENCE)],
    }


def differences(
    old: Mapping[str, object], new: Mapping[str, object], prefix: str = ""
) -> list[tuple[str, object, object]]:
    """(key, old value, new value) for each key in which two provenances differ; the overrides are left out."""
    found: list[tuple[str, object, object]] = []
    for key in sorted({*old, *new} - {"overrides"}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            found += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            found.append((f"{prefix}{key}", before, after))
    return found


def versions(packages: Iterable[str]) -> dict[str, str | None]:
    """The versions of some packages; None for those that are not installed.

    ``importlib.metadata`` is the definition.  It loads the package ``email``, for which a short run would wait.
    """
    folders: dict[str, str] = {}
    for folder in sys.path:
        with suppress(OSError), os.scandir(folder or ".") as entries:
            for entry in entries:
                if entry.name.endswith((".dist-info", ".egg-info")):
                    folders.setdefault(_normal(entry.name.rpartition(".")[0].partition("-")[0]), entry.path)
    return {name: _version(name, folders[_normal(name)]) if _normal(name) in folders else None for name in packages}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _version(package: str, folder: str) -> str | None:
    """The version of a package whose metadata lie in a folder."""
    found = None
    with suppress(OSError):
        headers = Path(folder, "METADATA").read_text(encoding="utf-8", errors="replace")
        found = re.search(r"^Version:[ \t]*(\S+)", headers, re.MULTILINE)
    if found:
        return found[1]
    from importlib import metadata  # of an older form

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str | None:
    """The processor's name; from /proc/cpuinfo on Linux, where platform.processor() is mostly empty."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip() or None
    except OSError:
        pass
    return platform.processor() or None


def _cpu_features() -> list[str] | None:
    """The instruction sets of this processor for which NumPy has code."""
    found = _numpy_config().get("SIMD Extensions", {})
    features = [*found.get("baseline", []), *found.get("found", [])]
    return [str(name) for name in features] or None


def _blas() -> dict[str, object]:
    """The BLAS of NumPy, the kernel it chose for this processor, and the threads that computing uses."""
    built = _numpy_config().get("Build Dependencies", {}).get("blas", {})
    found: dict[str, object] = {
        "name": built.get("name"),
        "version": built.get("version"),
        "kernel": None,
        "threads": None,
    }
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return found
    for library in threadpool_info():
        if library.get("user_api") == "blas":  # NumPy's comes first: it is loaded before all others
            found |= {
                "name": library.get("internal_api") or found["name"],
                "version": library.get("version") or found["version"],
                "kernel": library.get("architecture"),
                "threads": 1,  # each engine computes on one BLAS thread, whatever the library would take
            }
            break
    return found


def _numpy_config() -> dict[str, Any]:
    config = np.show_config(mode="dicts")
    return dict(config) if isinstance(config, dict) else {}


def _git(root: Path) -> dict[str, object] | None:
    """The commit of the checkout that the package runs from, and whether its sources differ from it; None where the
    package is installed.
    """
    if not (root / ".git").exists() or not (root / "pyproject.toml").exists():
        return None
    options = ("--porcelain=v2", "--branch", "--no-ahead-behind")
    said = _run_git(root, "status", *options, "--", "gradcheck", "conf", "pyproject.toml")
    if said is None:
        return {"commit": None, "dirty": None}
    headers = dict(line[2:].split(" ", 1) for line in said.splitlines() if line.startswith("# "))
    commit = headers.get("branch.oid", "(initial)")
    dirty = any(not line.startswith("# ") for line in said.splitlines())
    return {"commit": None if commit == "(initial)" else commit, "dirty": dirty}


def _run_git(root: Path, *arguments: str) -> str | None:
    # Git's own variables (set within a hook, for one) would point it at another repository.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
