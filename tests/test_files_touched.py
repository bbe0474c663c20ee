"""Whoever adds a model, a bug, a scheme, a rule or a data source touches at most three files, and all else follows."""

from __future__ import annotations

import ast
import filecmp
import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import additions
import forkserver
import pytest
from commands import QUICK, ROOT, command, rows

from gradcheck.numerics.rules import RULES

PARTS = ("gradcheck", "conf")
PAGE = "conf/bug/README.md"
NUMERICS = "gradcheck/numerics/README.md"
# the tests that hold pages and types equal to the tables of the package
IN_STEP, OF_TABLES = ("tests/test_readme_tables.py", "tests/test_public.py"), "row or listed or type_of_a_name"
# the page of the bugs is made by a program: written anew, it says what the classes say
WRITE = f"""
from pathlib import Path
from gradcheck.bugs.page import catalogue, header
from gradcheck.experiment.config.bug_help import bugs, models
Path({PAGE!r}).write_text(catalogue(bugs(), models()), encoding="utf-8")
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the package and its configs, to be changed; what was compiled holds for the files that are not."""
    for part in PARTS:
        shutil.copytree(ROOT / part, tmp_path / part)
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


def found_by(checkout: Path, *typed: str) -> list[dict[str, Any]]:
    """The cells that a sweep of the copy stores."""
    run = checkout / "run"
    folder = f"hydra.sweep.dir={run}"
    status, _, err = command("gradcheck.run", *typed, "-m", "fail_on=never", folder, *QUICK, cwd=checkout)
    assert status == 0, err
    return rows(run)[0]


def verdicts(checkout: Path, *typed: str) -> dict[tuple[str, str], str]:
    """What a sweep of the copy finds, by model and bug."""
    return {(cell["model"], cell["bug"]): cell["verdict"] for cell in found_by(checkout, *typed)}


def out_of_step(checkout: Path) -> set[str]:
    """The tests of pages and public names that fail in the copy: what was added has no row, or a row that is not true."""
    for part in ("tests", "README.md", "pyproject.toml", "runs/README.md", "runs/calibration/figures.json"):
        (checkout / part).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, checkout / part)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *IN_STEP, "-k", OF_TABLES],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )
    shutil.rmtree(checkout / "tests")
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return set(re.findall(r"(?m)^FAILED \S+::(\w+)", done.stdout))


def add_row(checkout: Path, page: str, after: str, row: str) -> None:
    """A row below the one that begins so, in a table of a page."""
    file = checkout / page
    text = file.read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines(keepends=True) if line.startswith(after)]
    file.write_text(text.replace(line, f"{line}{row}\n"), encoding="utf-8")


def write_page(checkout: Path) -> str:
    subprocess.run([*forkserver.python(), "-c", WRITE], cwd=checkout, check=True)
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


def add_model(checkout: Path) -> None:
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
    table.write_text(re.sub(r"(for model in \(OneD, .*)\)", r"\1, Poisson)", text), encoding="utf-8")
    add_config(checkout, "model", "poisson")


def test_a_model_is_a_module_with_its_entry_and_a_config(checkout: Path) -> None:
    add_model(checkout)
    assert touched(checkout) == {
        "gradcheck/models/poisson.py",
        "gradcheck/models/__init__.py",
        "conf/model/poisson.yaml",
    }
    # the page is written anew by a program: in every bug's table there is a line for it, which nobody has written
    page = write_page(checkout)
    assert touched(checkout) - {PAGE} == {
        "gradcheck/models/poisson.py",
        "gradcheck/models/__init__.py",
        "conf/model/poisson.yaml",
    }
    assert page.count("\n| `poisson` |") == page.count("\n## ")
    found = verdicts(checkout, "model=poisson,linear", "data.n=30", "bug=none,missing_mean,dropped_bias,label_flip")
    assert found == {
        (model, bug): {"none": "match", "label_flip": None}.get(bug, "mismatch")
        for model in ("poisson", "linear")
        for bug in ("none", "missing_mean", "dropped_bias", "label_flip")
    }


# the page, the row above, the row
SCHEME_ROW = NUMERICS, "| `seven_point` |", "| `nine_point` | 8 | 8 | 20 |"
RULE_ROW = NUMERICS, "| `autograd` |", "| `mine` | \\|a-n\\| > 1e-3 in some entry | a book |"
SOURCE_ROW = "conf/README.md", "| `values` |", "| `circle` | a circle | `data.n`, `data.radius` |"


def add_scheme(checkout: Path) -> None:
    schemes = checkout / "gradcheck" / "numerics" / "schemes.py"
    line = '        symmetric("seven_point", 1, 2, 3),\n'
    edit(schemes, line, line + '        symmetric("nine_point", 1, 2, 3, 4),\n')
    edit(schemes, '"seven_point", "richardson"', '"seven_point", "nine_point", "richardson"')


def add_rule(checkout: Path) -> None:
    line = "RULES: dict[str, Rule]"
    rule = 'Rule("mine", "|a-n| > 1e-3 in some entry", "a book", partial(_allclose, atol=1e-3, rtol=0.0))'
    edit(checkout / "gradcheck" / "numerics" / "rules.py", line, f"_RULES = (*_RULES, {rule})\n\n{line}")


def add_source(checkout: Path) -> None:
    data = checkout / "gradcheck" / "experiment" / "sources" / "data.py"
    table = "DATA: dict[str, type[DataSource]] = {\n"
    edit(data, table, f'{inspect.getsource(additions.Circle)}\n\n{table}    "circle": Circle,\n')
    first = "from dataclasses import dataclass\n"
    edit(data, first, f"import math\n{first}from typing import Any\n\nimport numpy as np\n")
    add_config(checkout, "data", "circle")


def test_a_scheme_is_a_line_with_its_name_and_a_row(checkout: Path) -> None:
    add_scheme(checkout)
    add_row(checkout, *SCHEME_ROW)
    assert touched(checkout) == {"gradcheck/numerics/schemes.py", NUMERICS}
    found = found_by(checkout, "scheme=central,nine_point", "bug=none,sign_flip", "eps=auto,1e-2")
    assert {(cell["scheme"], cell["bug"]): cell["verdict"] for cell in found} == {
        (scheme, bug): "match" if bug == "none" else "mismatch"
        for scheme in ("central", "nine_point")
        for bug in ("none", "sign_flip")
    }


def test_a_rule_is_an_entry_and_a_row(checkout: Path) -> None:
    add_rule(checkout)
    add_row(checkout, *RULE_ROW)
    assert touched(checkout) == {"gradcheck/numerics/rules.py", NUMERICS}
    found = found_by(checkout, "bug=none,sign_flip")
    assert {cell["bug"]: cell["rule_mine"] for cell in found} == {"none": False, "sign_flip": True}
    _, shown, _ = command("gradcheck.show", str(checkout / "run"), cwd=checkout)
    # where all say the same, one row says how many: those of the package, this one, and the verdict of gradcheck
    assert re.search(rf"(?m)^ *each of {len(RULES) + 2} +0/1 +1/1 ", shown)


def test_a_data_source_is_a_class_with_its_entry_a_config_and_a_row(checkout: Path) -> None:
    add_source(checkout)
    add_row(checkout, *SOURCE_ROW)
    assert touched(checkout) == {
        "gradcheck/experiment/sources/data.py",
        "conf/data/circle.yaml",
        "conf/README.md",
    }
    found = found_by(checkout, "data=circle", "model=linear,softmax", "data.radius=0.5,2")
    assert {(cell["model"], cell["data_radius"], cell["verdict"]) for cell in found} == {
        (model, radius, "match") for model in ("linear", "softmax") for radius in (0.5, 2.0)
    }


def test_no_page_has_to_be_kept_in_step_but_those(checkout: Path) -> None:
    """The planted fault: without the rows, the tests of the pages fail."""
    for add in (add_model, add_scheme, add_rule, add_source):
        add(checkout)
    write_page(checkout)
    assert out_of_step(checkout) == {
        "test_every_scheme_has_its_row_with_its_order_and_cost",
        "test_every_rule_has_its_row_with_its_source",
        "test_every_choice_has_its_row_with_its_settings",
    }
    add_row(checkout, *SCHEME_ROW)
    add_row(checkout, *RULE_ROW)
    add_row(checkout, *SOURCE_ROW)
    assert out_of_step(checkout) == set()
