"""Provenance: what may matter for the numbers is there, what tells of people and machines is not."""

from __future__ import annotations

import getpass
import json
import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import gradcheck
from gradcheck.columns.weights import SCHEMA_VERSION
from gradcheck.experiment.results import provenance


def test_what_is_recorded() -> None:
    found = provenance.collect(["eps=1e-4,1e-6", "+bug.magnitude=2"])
    assert json.loads(json.dumps(found)) == found
    assert found["schema_version"] == SCHEMA_VERSION
    assert found["gradcheck"] == gradcheck.__version__
    assert found["python"]["version"] == platform.python_version()
    assert found["packages"]["numpy"] == np.__version__
    assert found["platform"]["machine"] == platform.machine()
    assert found["blas"]["threads"] in (1, None)
    assert found["overrides"] == ["eps=1e-4,1e-6", "+bug.magnitude=2"]


def test_the_kernel_of_openblas_is_known() -> None:
    blas = provenance.collect()["blas"]
    if blas["name"] != "openblas":
        pytest.skip(f"NumPy uses {blas['name']} here")
    assert blas["kernel"]
    assert blas["version"]


def test_a_package_that_is_not_installed_is_null(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "PACKAGES", ("numpy", "no-such-package-at-all"))
    assert provenance.collect()["packages"] == {"numpy": np.__version__, "no-such-package-at-all": None}


def test_nothing_tells_of_people_machines_or_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRADCHECK_SECRET", "hunter2hunter2")
    monkeypatch.chdir(tmp_path)
    typed = [
        f"hydra.run.dir={tmp_path}/out",
        "store=s3://bucket/prefix",
        "engine.address=tcp://node17:8786",
        "eps=1e-4",
    ]
    text = json.dumps(provenance.collect([*typed, f"+hydra.sweep.dir={tmp_path}"]))
    user = getpass.getuser()
    secrets = ["hunter2hunter2", str(tmp_path), str(Path.home()), "bucket", "node17", str(Path(np.__file__).parent)]
    for secret in [*secrets, platform.node(), f"/{user}"]:
        assert secret == "" or secret not in text, secret


def checkout(folder: Path) -> Path:
    (folder / "gradcheck").mkdir(parents=True)
    (folder / "pyproject.toml").write_text("")
    (folder / "gradcheck" / "model.py").write_text("x = 1\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "-m", "first")
    return folder


def git(folder: Path, *arguments: str) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_commit_and_whether_the_sources_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = checkout(tmp_path / "a")
    commit = git(folder, "rev-parse", "HEAD")
    assert provenance._git(folder) == {"commit": commit, "dirty": False}
    (folder / "notes.txt").write_text("no source")
    monkeypatch.setenv("GIT_DIR", str(checkout(tmp_path / "b") / ".git"))  # as within a hook of another repository
    assert provenance._git(folder) == {"commit": commit, "dirty": False}
    (folder / "gradcheck" / "new.py").write_text("y = 2\n")
    assert provenance._git(folder) == {"commit": commit, "dirty": True}


def test_an_installed_package_has_no_commit(tmp_path: Path) -> None:
    assert provenance._git(tmp_path) is None


def test_differences_name_the_key_and_both_values() -> None:
    old = {"packages": {"numpy": "2.0", "pyarrow": "18"}, "git": None, "overrides": ["a"]}
    new = {"packages": {"numpy": "2.1", "pyarrow": "18"}, "git": {"commit": "x"}, "overrides": ["b"], "cpu": 1}
    assert provenance.differences(old, new) == [
        ("cpu", None, 1),
        ("git", None, {"commit": "x"}),
        ("packages.numpy", "2.0", "2.1"),
    ]
    assert provenance.differences(new, new) == []


def test_versions_are_those_of_importlib() -> None:
    names = ["numpy", "PyArrow", "hydra_core", "pytest", "no-such-package-at-all"]
    assert provenance.versions(names) == {name: version_in_metadata(name) for name in names}


def version_in_metadata(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
