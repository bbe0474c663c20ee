"""What holds for the package as a whole: what loads what, which room may know which, and what is shipped."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import gradcheck

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "gradcheck"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MODULES = sorted(PACKAGE.rglob("*.py"))

# --- which room may know which ---------------------------------------------------------------------------------------

LEAVES = {"errors", "printable", "uris"}  # modules at the top that know no room
# Each folder, and the folders that it may import beside itself and the leaves.
ROOMS: dict[str, set[str]] = {
    "numerics": set(),
    "models": {"numerics"},
    "bugs": {"numerics", "models"},
    "columns": {"numerics"},
    "functions": {"numerics", "models", "columns"},
    "experiment": {"numerics", "models", "bugs", "columns", "functions"},
    "views": {"numerics", "models", "columns", "functions", "experiment"},
    "calibration": {"numerics", "models", "bugs", "columns", "functions", "experiment", "views"},
}
# What stands at the top is typed by a user, or imported by name: it may know every room.
FACES = {"__init__", "__main__", "run", "show", "report", "reproduce", "diff", "textbook"}
# Who may import a library, even inside a function or for its types: folders and single modules.  NumPy is everybody's.
LIBRARIES: dict[str, set[str]] = {
    "hydra": {"run", "views/commands", "experiment/config", "experiment/grid"},
    "omegaconf": {"run", "views/commands", "experiment/config", "experiment/grid"},
    "yaml": {"experiment/config"},  # Hydra's own
    "joblib": {"experiment/engines", "experiment/patches"},
    "dask": {"experiment/engines"},
    "distributed": {"experiment/engines"},
    "cryptography": {"experiment/engines"},
    "threadpoolctl": {"experiment/engines", "experiment/results/provenance"},
    "pyarrow": {
        "columns",
        "experiment/results",
        "experiment/grid",
        "experiment/replay",
        "experiment/sources/tables",
        "views",
        "calibration",
        "functions/frames",
    },
    "pandas": {
        "experiment/results",
        "experiment/sources/tables/text",
        "experiment/truth",
        "views",
        "functions/frames",
        "functions/layers/chain_outcome",
        "functions/outcome",
        "functions/second_order/outcome",
        "functions/second_order/adjoint_outcome",
        "functions/trees/frames",
        "textbook",
    },
    "torch": {"functions/trees/tensors"},
    "jax": {"functions/trees/jax_arrays"},
    "sklearn": {"experiment/sources"},
    "pytest": {"functions/testing/plugin"},
    "_pytest": {"functions/testing/plugin"},
    "pluggy": {"functions/testing/plugin"},
    "mpmath": {"calibration/zoo"},
    "scipy": {"calibration/zoo", "functions/trees/sparse"},
    "numdifftools": {"calibration/zoo/others"},
    "jacobi": {"calibration/zoo/others"},
    "altair": {"views", "calibration"},
    "vl_convert": {"views"},
}
COMMANDS = ("run", "show", "report", "reproduce", "diff", "__main__")


def place(path: Path) -> str:
    """Where a module stands in the package: ``numerics/check``, ``errors``."""
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def found_in_modules(look: Callable[[str, str], list[str]]) -> dict[str, list[str]]:
    """What is found in the source of each module at its place, where anything is."""
    found = {place(path): look(place(path), path.read_text(encoding="utf-8")) for path in MODULES}
    return {own: there for own, there in found.items() if there}


@cache
def nodes(source: str) -> list[ast.AST]:
    """All nodes of a module; six tests look at each."""
    return list(ast.walk(ast.parse(source)))


def imports(module: Iterable[ast.AST], package: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Dotted names that the nodes of a module of ``package`` import, ``import_module("…")`` included."""
    found: list[tuple[str, ...]] = []
    for node in module:
        match node:
            case ast.Import(names=names):
                found += [tuple(alias.name.split(".")) for alias in names]
            case ast.ImportFrom(module=module, names=names, level=level):
                base = package[: len(package) - level + 1] if level else ()
                base += tuple(module.split(".")) if module else ()
                found += [(*base, alias.name) for alias in names]
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                found.append(tuple(name.split(".")))
    return found


def offences(own: str, source: str) -> list[str]:
    """What a module at the place ``own`` imports and must not know."""
    package = ("gradcheck", *own.split("/")[:-1])
    room = own.split("/")[0]
    known = ROOMS.get(room, set()) | LEAVES | {room, "__version__"}
    found = []
    for name in imports(nodes(source), package):
        if name[0] == "gradcheck":
            allowed = room in FACES or (len(name) > 1 and name[1] in known)
        else:
            may = LIBRARIES.get(name[0], set())
            allowed = (
                name[0] in sys.stdlib_module_names
                or name[0] == "numpy"
                or any(f"{own}/".startswith(f"{one}/") for one in may)
            )
        if not allowed:
            found.append(".".join(name))
    return found


def test_rooms_import_only_what_they_may_know() -> None:
    assert len(MODULES) > 100
    assert found_in_modules(offences) == {}


@pytest.mark.parametrize(
    ("own", "source"),
    [
        ("models/mlp", "import pyarrow"),
        ("models/mlp", "from gradcheck.bugs import BUGS"),
        ("models/mlp", "from gradcheck import bugs"),
        ("models/mlp", "from ..experiment.cell import check_cell"),
        ("models/mlp", "import gradcheck"),
        ("bugs/base", "from gradcheck.experiment.sources.data import DATA"),
        ("numerics/schemes", "from gradcheck.models import MODELS"),
        ("numerics/check", "def f():\n    import hydra"),
        ("numerics/check", "from gradcheck import functions"),
        ("numerics/check", "from importlib import import_module\nimport_module('joblib')"),
        ("numerics/diagnosis/fits", "import importlib\nimportlib.import_module('gradcheck.models.mlp')"),
        ("functions/gradient", "from gradcheck.experiment.config.build import build"),
        ("functions/gradient", "import pandas"),
        ("functions/outcome", "from gradcheck.views.runs import load"),
        ("columns/weights", "from gradcheck.experiment.config import columns"),
        ("experiment/results/writer", "from omegaconf import OmegaConf"),
        ("experiment/grid/sweep", "from gradcheck.views.summary import text"),
        ("experiment/cell", "from gradcheck.views.commands.launch import run"),
        ("errors", "from gradcheck.columns import store"),
        ("show", "import torch"),
    ],
)
def test_a_wrong_arrow_is_seen(own: str, source: str) -> None:
    assert len(offences(own, source)) == 1


def test_a_right_arrow_is_let_pass() -> None:
    source = "import math, numpy as np\nfrom gradcheck.numerics.layout import Layout\n"
    assert offences("bugs/base", f"{source}from gradcheck.models.parts import Parts") == []
    assert offences("numerics/verdict", source) == []
    assert offences("views/page", "from gradcheck.experiment.truth import Truth\nimport pandas") == []
    assert offences("show", "from gradcheck.views import terminal") == []


def test_rooms_stand_in_the_order_of_their_arrows() -> None:
    above: set[str] = set()
    for room, known in ROOMS.items():
        assert known <= above, room
        above.add(room)
    assert above == {path.name for path in PACKAGE.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert {path.stem for path in PACKAGE.glob("*.py")} == FACES | LEAVES


def graph() -> dict[str, set[str]]:
    """The modules that each module imports, wherever in the file, but for those that only a type checker reads."""
    names = {".".join(("gradcheck", *place(path).split("/"))).removesuffix(".__init__"): path for path in MODULES}
    found = {}
    for name, path in names.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                node.body = [ast.Pass()]
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        deps = {
            ".".join(one[:end])
            for one in imports(ast.walk(tree), tuple(package.split(".")))
            for end in (len(one) - 1, len(one))
        }
        found[name] = {dep for dep in deps if dep in names and not f"{name}.".startswith(f"{dep}.")}
    return found


def circles(known: dict[str, set[str]]) -> list[str]:
    """Modules that cannot be put in an order in which each imports earlier ones only."""
    left = dict(known)
    while free := [name for name, deps in left.items() if deps.isdisjoint(left)]:
        for name in free:
            del left[name]
    return sorted(left)


def test_no_module_imports_itself_through_others() -> None:
    assert circles(graph()) == []


def test_a_circle_is_seen() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]


# --- who may change what is not the package's own ----------------------------------------------------------------------

# One module; but Hydra's settings, which it reads when it is imported, stand in its room, the command line of a command
# where commands are told apart, and the import of a stranger's module where it is imported.
PATCHING = ("experiment/patches", "experiment/config/", "__main__", "functions/imports")


def changes(source: str) -> list[str]:
    """What a module changes outside itself: attributes and items set on what it imports, and the switches of CPython."""
    imported, found = set(), []
    for node in nodes(source):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
            imported |= set(names)
            found += [name for name in names if name in ("gc", "ctypes")]
    for node in nodes(source):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            root = target
            while isinstance(root, ast.Attribute | ast.Subscript):
                root = root.value
            if root is not target and isinstance(root, ast.Name) and root.id in imported:
                found.append(ast.unparse(target))
    return found


def test_what_is_not_the_packages_own_is_changed_in_one_module() -> None:
    assert found_in_modules(lambda own, source: [] if own.startswith(PATCHING) else changes(source)) == {}


@pytest.mark.parametrize(
    "source",
    [
        "import threading\nthreading.excepthook = print",
        "def f():\n    from joblib.externals.loky.backend.process import LokyProcess\n    LokyProcess.kill = None",
        "import os\nos.environ['A'] = 'b'",
        "import logging as log\nlog.raiseExceptions: bool = False",
        "def f():\n    import gc",
    ],
)
def test_a_change_of_what_is_not_the_packages_own_is_seen(source: str) -> None:
    assert len(changes(source)) == 1


def test_a_module_may_change_its_own() -> None:
    assert changes("import numpy as np\na = np.zeros(3)\na[0] = 1\nclass A:\n    b = 1\nA.b = 2\n") == []


# --- what is asked of an interface, and what by name ------------------------------------------------------------------

# rooms in which ``self`` is an object of a config section
SECTIONS = ("models", "bugs", "experiment/sources", "functions/model")
OBJECTS = {"model", "bug", "data", "init", "source", "start", "target", "cell", "net", "head"}


def asked_by_name(own: str, source: str) -> list[str]:
    """Calls that ask a model, a source, a start or a bug by name what it can do, instead of through its interface."""
    found = []
    for node in nodes(source):
        if isinstance(node, ast.Call) and node.args:
            words = set(re.findall(r"\w+", ast.unparse(node.args[0])))
            asks = ast.unparse(node.func) in ("getattr", "hasattr", "signature", "inspect.signature")
            if asks and words & (OBJECTS | ({"self", "cls"} if own.startswith(SECTIONS) else set())):
                found.append(ast.unparse(node))
    return found


def test_what_a_config_names_is_asked_through_its_interface() -> None:
    assert found_in_modules(asked_by_name) == {}


@pytest.mark.parametrize(
    ("own", "source"),
    [
        ("check", "if getattr(cell.model, 'opaque', False): pass"),
        ("check", "hasattr(cell.init, 'refine')"),
        ("config", "hasattr(parts['model'], 'permit')"),
        ("bugs", "'parts' in inspect.signature(model.gradient).parameters"),
        ("bugs", "getattr(self, key)"),
        ("footprint", "hasattr(getattr(cell, section), name)"),
    ],
)
def test_a_question_by_name_is_seen(own: str, source: str) -> None:
    assert asked_by_name(own, source)
    assert not asked_by_name("terminal", "getattr(self._stream, name)")


# --- what is private of Hydra and OmegaConf ---------------------------------------------------------------------------

PRIVATE = "experiment/config/hydra_private"


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def private_attributes(source: str) -> set[str]:
    """Private names that are asked of another object than the module's own ``self`` and ``cls``."""
    return {
        node.attr
        for node in nodes(source)
        if isinstance(node, ast.Attribute) and is_private(node.attr) and ast.unparse(node.value) not in ("self", "cls")
    }


# what this one module asks of nodes, overrides and loaders, nobody else may ask
ASKED = private_attributes((PACKAGE / f"{PRIVATE}.py").read_text(encoding="utf-8"))


def private_parts(own: str, source: str) -> list[str]:
    """Private parts of Hydra and OmegaConf that a module imports, or asks of their objects."""
    if own == PRIVATE:
        return []
    theirs = [
        name
        for name in imports(nodes(source), ("gradcheck", *own.split("/")[:-1]))
        if name[0] in ("hydra", "omegaconf")
    ]
    asked = private_attributes(source)
    return [".".join(name) for name in theirs if any(map(is_private, name))] + sorted(
        asked if theirs else asked & ASKED
    )


def test_private_parts_of_hydra_are_touched_in_one_module() -> None:
    assert found_in_modules(private_parts) == {}


@pytest.mark.parametrize(
    ("own", "source"),
    [
        ("views/commands/launch", "from hydra._internal.hydra import Hydra"),
        ("views/commands/launch", "import hydra._internal.utils"),
        ("views/commands/launch", "from hydra import _internal"),
        ("experiment/config/compose", "def f():\n    from omegaconf._utils import get_omega_conf_dumper"),
        ("experiment/grid/points", "cfg._get_node('eps')"),
        ("experiment/grid/axes", "override._value"),
        ("experiment/config/recorded", "node._val = 1"),
        ("views/commands/launch", "from omegaconf import DictConfig\ncfg._set_parent(None)"),
        ("views/commands/launch", "from hydra.core.plugins import Plugins\nPlugins.instance()._instantiate(cfg)"),
    ],
)
def test_a_private_part_is_seen(own: str, source: str) -> None:
    assert len(private_parts(own, source)) == 1
    assert private_parts(PRIVATE, source) == []
    assert private_parts(own, "import omegaconf\nomegaconf.__version__\nself._value") == []


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_are_thin(name: str) -> None:
    assert len((PACKAGE / f"{name}.py").read_text(encoding="utf-8").splitlines()) < 60


def test_no_config_is_code() -> None:
    """A recorded config is data: nothing in it, or in what reads it, names a callable to be run."""
    forbidden = re.compile(r"_target_|hydra\.utils\.instantiate|import instantiate|pickle\.loads?\b")
    files = [*MODULES, *(ROOT / "conf").rglob("*.yaml")]
    assert [str(file) for file in files if forbidden.search(file.read_text(encoding="utf-8"))] == []


HEAVY = ("hydra", "omegaconf", "pyarrow", "pandas", "joblib", "dask", "sklearn", "rich", "matplotlib", "altair")


def loaded(statement: str) -> set[str]:
    """Which heavy libraries a new interpreter holds after ``statement``."""
    code = f"{statement}\nimport sys\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


OWN = "import gradcheck, numpy as np; str(gradcheck.check_gradient(lambda x: x @ x, lambda x: 3 * x, np.ones(3)))"


@pytest.mark.parametrize(
    "statement", ["import gradcheck", "import gradcheck.numerics.check", "import gradcheck.textbook", OWN]
)
def test_the_checker_loads_numpy_alone(statement: str) -> None:
    assert loaded(statement) == set()


def test_a_heavy_import_is_seen() -> None:
    assert loaded("import pyarrow") == {"pyarrow"}


# --- what is shipped -------------------------------------------------------------------------------------------------


def test_version_is_that_of_the_installed_package() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+)?", gradcheck.__version__)
    try:
        installed = importlib.metadata.version("gradcheck")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("runs from a checkout that is not installed")
    assert installed == gradcheck.__version__


def test_changelog_and_citation_name_the_version() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    changes = (ROOT / "gradcheck" / "CHANGELOG.md").read_text(encoding="utf-8")
    release, _, development = gradcheck.__version__.partition(".dev")
    first = re.search(r"(?m)^## (.*)\n\n(.*)", changes)
    assert first is not None
    assert first[1] == release
    assert (first[2] == "In development.") == bool(development)
    assert re.search(rf"version\s*=\s*\{{{re.escape(gradcheck.__version__)}\}}", page)


def test_types_are_announced() -> None:
    assert (Path(gradcheck.__file__).parent / "py.typed").is_file()


def test_console_script_is_there() -> None:
    module, _, name = PROJECT["scripts"]["gradcheck"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))


def requirements() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(line) for line in [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]]


# the peers of the benchmarks, some of them large, are installed by who wants to measure them; no test needs them
BENCH = [Requirement(line) for extra in ("bench", "referee") for line in PROJECT["optional-dependencies"][extra]]


def test_every_dependency_has_a_floor_and_a_pin_that_fits() -> None:
    lines = (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines)
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+]+", line) for line in lines)
    assert lines == sorted(lines, key=str.lower)
    pinned = {canonicalize_name(name): version for name, version in pins.items()}
    assert len(pinned) == len(lines)
    for requirement in requirements():
        if requirement.name == "gradcheck":
            continue
        assert any(part.operator == ">=" for part in requirement.specifier), requirement
        if requirement not in BENCH:
            assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


def shipped() -> list[Path]:
    """The files under version control, or about to be; without git, all that an unpacked archive holds."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return [path for path in ROOT.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def machine_paths() -> list[bytes]:
    """How an absolute path of the machine that made a file, or of this one, would begin."""
    places = {"/" + name + "/" for name in ("root", "work")}
    places |= {str(place) + "/" for place in (ROOT, Path.home()) if len(place.parts) > 1}
    return [place.encode() for place in sorted(places)]


def leaks(content: bytes) -> bool:
    """Does a path of a machine stand in it?  (A longer path may contain such a word: only its beginning counts.)"""
    return any(re.search(rb"(?<![\w.*-])" + re.escape(place), content) for place in machine_paths())


def test_no_path_of_a_machine_is_shipped() -> None:
    files = shipped()
    assert ROOT / "pyproject.toml" in files
    assert [str(file.relative_to(ROOT)) for file in files if leaks(file.read_bytes())] == []


def test_a_path_of_a_machine_is_seen() -> None:
    assert leaks(f'cwd: "{ROOT}/conf"'.encode())
    assert leaks(("file:///" + "root/x").encode())
    assert not leaks(("the root of the tree, runs/" + "work/x").encode())


def test_every_test_that_continuous_integration_names_is_there() -> None:
    files = [ROOT / ".ci" / name for name in ("common", "hydra-1.4", "processors", "release", "run")]
    named = {name for file in files for name in re.findall(r"tests/[\w/]+\.py", file.read_text(encoding="utf-8"))}
    assert len(named) > 10
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []
    processors = importlib.import_module("processors")
    stems = [Path(name).stem.removeprefix("test_") for name in processors.NUMERIC]
    assert sorted(stems) == sorted(processors.NUMERIC_STEMS)


def test_top_level_holds_nothing_else() -> None:
    top = {path.relative_to(ROOT).parts[0] for path in shipped()}
    known = {"conf", "gradcheck", "runs", "tests", "pyproject.toml", "README.md", "LICENSE", "PKG-INFO"}
    assert {name for name in top if not name.startswith(".")} <= known
