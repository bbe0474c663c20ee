"""Whoever adds a model or a bug to the package touches three files of it and its configs, and all else follows."""

from __future__ import annotations

import ast
import filecmp
import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path

import additions
import pytest
from commands import QUICK, ROOT, command, rows

PARTS = ("gradcheck", "conf")
PAGE = "conf/bug/README.md"
# the page of the bugs is made by a program: written anew, it says what the classes say
WRITE = f"""
from pathlib import Path
from gradcheck.bugs.page import catalogue, header
from gradcheck.experiment.config.bug_help import bugs, models
Path({PAGE!r}).write_text(catalogue(bugs(), models()), encoding="utf-8")
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the package and its configs, to be changed."""
    for part in PARTS:
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def touched(checkout: Path) -> set[str]:
    """The files that are new or not what they were."""
    files = {
        path.relative_to(checkout).as_posix(): path
        for part in PARTS
        for path in (checkout / part).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return {
        name
        for name, path in files.items()
        if not (ROOT / name).is_file() or not filecmp.cmp(path, ROOT / name, shallow=False)
    }


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1, old
    file.write_text(text.replace(old, new), encoding="utf-8")


def add_config(checkout: Path, section: str, name: str) -> None:
    file = checkout / "conf" / section / f"{name}.yaml"
    file.write_text(f"defaults:\n  - /schema/{section}/{name}@_here_\n  - _self_\n", encoding="utf-8")


def verdicts(checkout: Path, *typed: str) -> dict[tuple[str, str], str]:
    """What a sweep of the copy finds, by model and bug."""
    run = checkout / "run"
    folder = f"hydra.sweep.dir={run}"
    status, _, err = command("gradcheck.run", *typed, "-m", "fail_on=never", folder, *QUICK, cwd=checkout)
    assert status == 0, err
    return {(cell["model"], cell["bug"]): cell["verdict"] for cell in rows(run)[0]}


def write_page(checkout: Path) -> str:
    subprocess.run([sys.executable, "-c", WRITE], cwd=checkout, check=True)
    return (checkout / PAGE).read_text(encoding="utf-8")


def test_a_copy_is_not_touched(checkout: Path) -> None:
    assert touched(checkout) == set()
    write_page(checkout)
    assert touched(checkout) == set()
    (checkout / "conf" / "bug" / "scale.yaml").write_text("", encoding="utf-8")
    assert touched(checkout) == {"conf/bug/scale.yaml"}


def test_a_bug_is_a_class_with_its_entry_and_a_config(checkout: Path) -> None:
    table = "BACKWARD_BUGS: tuple[type[Bug], ...] = (\n"
    source = inspect.getsource(additions.HalvedBias)
    edit(checkout / "gradcheck" / "bugs" / "backward.py", table, f"{source}\n\n{table}    HalvedBias,\n")
    add_config(checkout, "bug", "halved_bias")
    page = write_page(checkout)
    assert touched(checkout) == {"gradcheck/bugs/backward.py", "conf/bug/halved_bias.yaml", PAGE}
    said = page[page.index("## halved_bias") :].partition("\n## ")[0]
    assert "| `logistic` | `db = sum_i delta_i / n / 2` |" in said
    assert said.count("no meaning") >= 1
    found = verdicts(checkout, "model=linear,softmax", "bug=none,halved_bias")
    assert found == {
        (model, bug): "match" if bug == "none" else "mismatch"
        for model in ("linear", "softmax")
        for bug in ("none", "halved_bias")
    }


def test_a_model_is_a_module_with_its_entry_and_a_config(checkout: Path) -> None:
    names = {
        node for node in ast.parse(inspect.getsource(additions)).body if isinstance(node, ast.Import | ast.ImportFrom)
    }
    imports = [ast.unparse(node) for node in names if "gradcheck.bugs" not in ast.unparse(node)]
    imports = sorted((line for line in imports if "experiment" not in line), key=lambda line: "__future__" not in line)
    classes = [inspect.getsource(cls) for cls in (additions.Counts, additions.Poisson)]
    module = checkout / "gradcheck" / "models" / "poisson.py"
    module.write_text("\n".join([*imports, "", "Array = np.ndarray", *classes]), encoding="utf-8")
    table = checkout / "gradcheck" / "models" / "__init__.py"
    text = table.read_text(encoding="utf-8")
    text = text.replace("MODELS: dict", "from gradcheck.models.poisson import Poisson\n\nMODELS: dict")
    table.write_text(re.sub(r"(for model in \(OneD, .*Softmax)\)", r"\1, Poisson)", text), encoding="utf-8")
    add_config(checkout, "model", "poisson")
    assert touched(checkout) == {
        "gradcheck/models/poisson.py",
        "gradcheck/models/__init__.py",
        "conf/model/poisson.yaml",
    }
    # in every bug's table there is a line for it, which nobody has written
    page = write_page(checkout)
    assert page.count("\n| `poisson` |") == page.count("\n## ")
    found = verdicts(checkout, "model=poisson,linear", "data.n=30", "bug=none,missing_mean,dropped_bias,label_flip")
    assert found == {
        (model, bug): {"none": "match", "label_flip": None}.get(bug, "mismatch")
        for model in ("poisson", "linear")
        for bug in ("none", "missing_mean", "dropped_bias", "label_flip")
    }
