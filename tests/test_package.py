"""What holds for the package as a whole: what loads what, which room may know which, and what is shipped."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import re
import subprocess
import sys
import tomllib
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

VALUES = {"batch", "errors", "interfaces", "layout", "problem", "rounding", "steps", "streams", "target", "uris"}
# Pure rooms, numbers in and numbers out, and the rooms (or modules of a room) that each may import beside itself.
ROOMS: dict[str, set[str]] = {
    **dict.fromkeys(VALUES, VALUES),
    "threads": VALUES,
    "models": VALUES | {"threads"},
    "bugs": VALUES | {"models"},
    "tables": VALUES,
    "data": VALUES | {"tables"},
    "init": VALUES | {"tables"},
    "numeric": VALUES,
    "compare": VALUES,
    "rules": VALUES | {"compare"},
    "quotients": VALUES | {"numeric"},
    "ladder": VALUES | {"numeric", "quotients"},
    "auto": VALUES | {"numeric", "ladder", "quotients"},
    "bounds": VALUES | {"numeric", "auto", "ladder", "quotients"},
    "plain": VALUES | {"quotients"},
    "verdict": VALUES | {"quotients", "compare"},
    "intervals": VALUES | {"numeric", "quotients", "compare"},
    "evidence": VALUES | {"verdict"},
    "fits": VALUES | {"evidence", "verdict"},
    "wording": VALUES | {"evidence", "fits"},
    "diagnose": VALUES | {"evidence", "fits", "verdict", "wording"},
    "exempt": VALUES,
    "footprint": VALUES | {"check"},
    "check": VALUES
    | {
        "bugs",
        "numeric",
        "bounds",
        "compare",
        "auto",
        "plain",
        "quotients",
        "rules",
        "exempt",
        "verdict",
        "diagnose",
    },
    "imports": VALUES,
    "given": VALUES | {"domain", "function", "imports", "parameters"},
    # somebody's own functions
    "noise": VALUES,
    "parameters": VALUES,
    "function": VALUES | {"quotients", "noise", "parameters"},
    "domain": VALUES | {"numeric", "auto", "quotients", "function"},
    "store": VALUES,
    "outcome": VALUES | {"verdict", "weights"},
    "directional": VALUES | {"numeric", "check", "diagnose", "verdict", "outcome"},
    "gradient": VALUES
    | {"numeric", "check", "diagnose", "verdict", "parameters", "function", "domain", "outcome", "directional"},
    "textbook": VALUES | {"models", "numeric", "compare"},
}
# Who may import a library, even inside a function or for its types.  NumPy is everybody's.
LIBRARIES: dict[str, set[str]] = {
    "hydra": {"overrides", "config", "compose", "sweep", "launch", "run"},
    "omegaconf": {"recorded", "config", "compose", "sweep", "launch", "run"},
    "yaml": {"compose"},  # Hydra's own
    "joblib": {"engines"},
    "dask": {"cluster"},
    "distributed": {"cluster"},
    "cryptography": {"cluster"},
    "threadpoolctl": {"engines", "provenance"},
    "pyarrow": {
        *(
            "limits",
            "arrow",
            "plan",
            "tables",
            "rows",
            "weights",
            "parquet",
            "part",
            "counted",
            "stored",
            "repair",
            "results",
            "store",
            "sweep",
        ),
        *("analysis", "chart_data", "outcome"),
    },
    "pandas": {"outcome", "textbook", "results", "analysis", "chart_data", "plots", "page", "truth"},
    "sklearn": {"data"},
    "rich": {"terminal"},
    "altair": {"plots"},
    "vl_convert": {"plots"},
}
COMMANDS = ("run", "show", "report", "reproduce", "__main__")


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(source: str, package: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Dotted names that a module of ``package`` imports, wherever in the file, ``import_module("…")`` included."""
    found: list[tuple[str, ...]] = []
    for node in ast.walk(ast.parse(source)):
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


def offences(own: str, source: str, package: tuple[str, ...] = ("gradcheck",)) -> list[str]:
    """What a module of the room ``own`` imports and must not know."""
    found = []
    for name in imports(source, package):
        top = name[0]
        if top == "gradcheck":
            known = ROOMS.get(own, set()) | {own, "__version__"}
            allowed = own not in ROOMS or not known.isdisjoint(".".join(name[1:end]) for end in range(2, len(name) + 1))
        else:
            allowed = top in sys.stdlib_module_names or top == "numpy" or own in LIBRARIES.get(top, set())
        if not allowed:
            found.append(".".join(name))
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_rooms_import_only_what_they_may_know(path: Path) -> None:
    package = ("gradcheck", *path.relative_to(PACKAGE).parent.parts)
    assert offences(room(path), path.read_text(encoding="utf-8"), package) == []


@pytest.mark.parametrize(
    ("own", "source"),
    [
        ("models", "import pyarrow"),
        ("models", "from gradcheck.numeric import central"),
        ("models", "from gradcheck import bugs"),
        ("models", "from ..check import check_cell"),
        ("models", "import gradcheck"),
        ("bugs", "from gradcheck.data import DATA"),
        ("numeric", "from gradcheck.models import MODELS"),
        ("check", "def f():\n    import hydra"),
        ("check", "from gradcheck import config"),
        ("check", "from importlib import import_module\nimport_module('joblib')"),
        ("verdict", "from gradcheck.models.mlp import MLP"),
        ("noise", "from gradcheck.check import check"),
        ("parameters", "from gradcheck.function import Function"),
        ("function", "from gradcheck.gradient import check_gradient"),
        ("gradient", "from gradcheck.config import build"),
        ("gradient", "import pandas"),
        ("outcome", "from gradcheck.analysis import load"),
        ("verdict", "import importlib\nimportlib.import_module('gradcheck.diagnose')"),
        ("results", "from omegaconf import OmegaConf"),
        ("show", "import torch"),
    ],
)
def test_a_wrong_arrow_is_seen(own: str, source: str) -> None:
    assert len(offences(own, source, ("gradcheck", own))) == 1


def test_a_right_arrow_is_let_pass() -> None:
    source = "import math, numpy as np\nfrom gradcheck.layout import Layout\nfrom gradcheck.models.parts import Parts\n"
    assert offences("bugs", source) == []
    assert offences("verdict", "from gradcheck.rounding import Rounding") == []


# --- what is asked of an interface, and what by name ------------------------------------------------------------------

# rooms in which ``self`` is an object of a config section
SECTIONS = {"models", "bugs", "data", "init", "given", "interfaces", "target"}
OBJECTS = {"model", "bug", "data", "init", "source", "start", "target", "cell", "net", "head"}


def asked_by_name(own: str, source: str) -> list[str]:
    """Calls that ask a model, a source, a start or a bug by name what it can do, instead of through its interface."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and node.args:
            words = set(re.findall(r"\w+", ast.unparse(node.args[0])))
            asks = ast.unparse(node.func) in ("getattr", "hasattr", "signature", "inspect.signature")
            if asks and words & (OBJECTS | ({"self", "cls"} if own in SECTIONS else set())):
                found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_a_config_names_is_asked_through_its_interface(path: Path) -> None:
    assert asked_by_name(room(path), path.read_text(encoding="utf-8")) == []


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


@pytest.mark.parametrize("statement", ["import gradcheck", "import gradcheck.check", "import gradcheck.textbook", OWN])
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
BENCH = [Requirement(line) for line in PROJECT["optional-dependencies"]["bench"]]


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


def test_top_level_holds_nothing_else() -> None:
    top = {path.relative_to(ROOT).parts[0] for path in shipped()}
    known = {"conf", "gradcheck", "runs", "tests", "pyproject.toml", "README.md", "LICENSE", "PKG-INFO"}
    assert {name for name in top if not name.startswith(".")} <= known
