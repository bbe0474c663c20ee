"""`gradcheck.run_experiment`, and `run` within another program: the results, the errors, and what stays as it was."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
from commands import QUICK, ROOT, rows
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobRuntime
from hydra.version import VersionBase
from omegaconf.basecontainer import BaseContainer

import gradcheck
from gradcheck.experiment import patches
from gradcheck.experiment.config import hydra_private
from gradcheck.run import main as run

SWEEP = ["eps=1e-4,1e-6", "bug=none,scale", *QUICK]
FUNCTIONS = """
import signal

calls = 0


def f(x):
    return float(x @ x)


def g(x):
    return 2 * x


def interrupting(x):
    global calls
    calls += 1
    if calls > 3:
        signal.raise_signal(signal.SIGINT)
    return 2 * x
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def module(tmp_path: Path) -> Iterator[str]:
    name = f"functions_{os.getpid()}_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(FUNCTIONS, encoding="utf-8")
    yield name
    sys.modules.pop(name, None)


@pytest.fixture(scope="module", autouse=True)
def older_objects_are_looked_through_once() -> None:
    """``state`` collects garbage twice a test: what thousands of tests before these have left cannot become any here."""
    gc.collect()
    gc.freeze()


def state() -> dict[str, Any]:
    """What a program may have set up, and what it would find changed."""
    gc.collect()  # handlers of earlier tests that nothing holds
    loggers = [
        logging.getLogger(),
        *(one for one in logging.root.manager.loggerDict.values() if isinstance(one, logging.Logger)),
    ]
    log = {one.name: (one.level, list(one.handlers), one.propagate, one.disabled, list(one.filters)) for one in loggers}
    return {
        "loggers": {name: found for name, found in log.items() if found != (0, [], True, False, [])},
        "handlers": [found for ref in logging._handlerList if (found := ref())],  # type: ignore[attr-defined]
        "errors of logging": logging.raiseExceptions,
        "folder": os.getcwd(),
        "signals": {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)},
        "warnings": list(warnings.filters),
        "environment": dict(os.environ),
        "arguments": list(sys.argv),
        "path": list(sys.path),
        "hook": threading.excepthook,
        "garbage": gc.isenabled(),
        "streams": (sys.stdout, sys.stderr),
        "hydra": GlobalHydra.instance().hydra,
        "job": (HydraConfig.instance().cfg, JobRuntime.instance().conf),
        "base": VersionBase.instance().version_base,
        "store": {
            name: sorted(node) if isinstance(node, dict) else node for name, node in ConfigStore.instance().repo.items()
        },
        "resolvers": dict(BaseContainer._resolvers),
    }


class Program:
    """A program with a logging, handlers of signals and an application of Hydra of its own."""

    def __init__(self, folder: Path) -> None:
        Plugins.instance()  # which enter their configs into Hydra's store when they are found
        self.before = logging.root.level, list(logging.root.handlers)
        self.log = folder / "program.log"
        self.handler = logging.FileHandler(self.log, mode="w")  # once closed it would write no more
        logging.root.addHandler(self.handler)
        logging.root.setLevel(logging.WARNING)
        self.repo = ConfigStore.instance().repo
        ConfigStore.instance().repo = {**self.repo, "schema": {"run.yaml": None}, "model": {"resnet.yaml": None}}
        self.resolver = BaseContainer._resolvers.get("logspace")
        BaseContainer._resolvers["logspace"] = lambda *_: "the program's own"
        self.base, VersionBase.instance().version_base = VersionBase.instance().version_base, "the program's own"

    def end(self) -> None:
        logging.root.removeHandler(self.handler)
        self.handler.close()
        logging.root.setLevel(self.before[0])
        ConfigStore.instance().repo = self.repo
        VersionBase.instance().version_base = self.base
        BaseContainer._resolvers.pop("logspace")
        if self.resolver is not None:
            BaseContainer._resolvers["logspace"] = self.resolver


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    found = Program(tmp_path)
    yield found
    found.end()


# -------------------------------------------------------------------------------------------------------- the results


def test_the_rows_are_those_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    runs = gradcheck.run_experiment([*SWEEP, "hydra.sweep.dir=here"], multirun=True)
    assert capsys.readouterr() == ("", "")
    assert run([*SWEEP, "hydra.sweep.dir=there", "-m"]) == runs.status == 0
    assert rows(Path("here")) == rows(Path("there"))
    assert set(runs.cells["cell"]) == {row["cell"] for row in rows(Path("here"))[0]}
    assert runs.errors.count_rows() == 24
    assert "run" not in runs.cells
    assert {path.name for path in Path("here").iterdir()} == {path.name for path in Path("there").iterdir()}
    assert "4 cells planned" in Path("here/gradcheck.log").read_text()


def test_the_status_is_that_of_the_command(module: str) -> None:
    typed = ["model=function", f"model.fun={module}:f", f"model.jac={module}:f", "model.x0=[1.0]", *QUICK]
    runs = gradcheck.run_experiment(typed)
    assert runs.status == 1
    assert runs.cells["status"].tolist() == ["failed"]
    assert gradcheck.load("runs/latest").status is None


def test_several_calls_and_resume() -> None:
    first = gradcheck.run_experiment([*SWEEP, "hydra.sweep.dir=here"], multirun=True)
    again = gradcheck.run_experiment(["resume=here"])
    assert again.status == 0
    assert again.cells.drop(columns="seconds").equals(first.cells.drop(columns="seconds"))
    assert len(gradcheck.run_experiment(["eps=[1e-3,1e-4]", *QUICK]).cells) == 2


def test_results_elsewhere_and_a_ready_grid() -> None:
    runs = gradcheck.run_experiment(["+experiment=textbook_1d", "store=elsewhere", *QUICK])
    assert len(runs.cells) == 3
    assert len(rows(Path("elsewhere"))[0]) == 3


def test_jobs_of_hydra_are_read_together() -> None:
    runs = gradcheck.run_experiment(["eps=1e-4,1e-6", "hydra/launcher=basic", *QUICK], multirun=True)
    assert runs.status == 0
    assert sorted(runs.cells["eps"]) == [1e-6, 1e-4]
    assert [Path(one).name for one in runs.cells["run"]] == ["0", "1"]
    assert all((Path(one) / "gradcheck.log").read_text() for one in runs.cells["run"])


def test_what_is_to_be_known_is_warned_of(tmp_path: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame({"a": [1.0, 2.0, 4.0], "y": [0, 1, 0]}, index=pd.Index([5, 6, 9], name="__index_level_0__"))
    frame.reset_index().to_parquet("sheet.parquet")
    frame.to_parquet("sheet.parquet")
    typed = ["data=file", "data.path=sheet.parquet", "data.target=y", *QUICK]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gradcheck.run_experiment(typed)
    found = [(str(one.message), one.filename) for one in caught if "is no feature" in str(one.message)]
    assert [place for _, place in found] in ([__file__], [])
    assert run(typed) == 0


# --------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "typed",
    [
        ["eps=x"],
        ["modle=mlp"],
        ["bug=dropped_bias", "model.bias=false"],
        ["eps=1e-4,1e-6"],
        ["resume=nowhere"],
        ["--wrong"],
    ],
    ids=str,
)
def test_bad_input_says_what_the_command_says(typed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    before = state()
    with pytest.raises(gradcheck.BadInput) as error:
        gradcheck.run_experiment(typed)
    assert state() == before
    assert capsys.readouterr() == ("", "")
    assert run(typed) == 2
    assert capsys.readouterr().err == f"gradcheck: {error.value}\n"
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "typed", ["eps=1e-4", None, 1, {"eps=1e-4": 1}, [1e-4], ["--help"], ["--cfg", "job"], ["--info"], ["dry_run=true"]]
)
def test_what_is_no_experiment_is_refused(typed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(gradcheck.BadInput):
        gradcheck.run_experiment(typed)
    assert capsys.readouterr() == ("", "")
    assert not Path("runs").exists()


# ------------------------------------------------------------------------------------------------ what stays as it was

WAYS: dict[str, tuple[list[str], bool]] = {
    "one run": (["eps=1e-4", *QUICK], False),
    "a sweep": (SWEEP, True),
    "jobs of Hydra": (["eps=1e-4,1e-6", "hydra/launcher=basic", "hydra.verbose=true", *QUICK], True),
    "a loud log": (["hydra.verbose=true", *QUICK], False),
    "no log": (["hydra/job_logging=disabled", *QUICK], False),
    "Hydra's log": (["hydra/job_logging=default", *QUICK], False),
    "another folder": (["hydra.job.chdir=true", "eps=1e-4", *QUICK], False),
    "an environment": (["+hydra.job.env_set.HERE=there", "cell_timeout=60", *QUICK], False),
    "bad input": (["eps=nan"], False),
    "a broken sweep": (["eps=1e-4,x", *QUICK], True),
}


SHOWN = ("--info", "--info all", "--cfg job", "--hydra-help", "--help")


@pytest.mark.parametrize(
    ("way", "command"),
    [*((way, False) for way in WAYS), *((way, True) for way in ("a sweep", "bad input", *SHOWN))],
    ids=str,
)
def test_nothing_of_the_program_is_changed(way: str, command: bool, program: Program) -> None:
    """command : by ``gradcheck.run.main`` instead."""
    typed, multirun = WAYS.get(way, ([*way.split()], False))
    before = state()
    if command:
        assert run([*typed, *(["-m"] if multirun else [])]) in (0, 2)
    else:
        with suppress(gradcheck.BadInput):
            gradcheck.run_experiment(typed, multirun)
    after = state()
    assert {key: after[key] for key in after if after[key] != before[key]} == {}
    logging.getLogger("the program").warning("still here")
    assert program.log.read_text() == "still here\n"  # and nothing of ours, which is no warning


def test_a_change_is_seen(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what puts things back, the states before and after are told apart."""
    before = state()
    with monkeypatch.context() as patched:
        patched.setattr(patches, "put_back", nullcontext)
        patched.setattr(hydra_private, "put_back", nullcontext)
        gradcheck.run_experiment(["eps=1e-4", *QUICK])
    after = state()
    changed = {key for key in after if after[key] != before[key]}
    ConfigStore.instance().repo = {**program.repo}
    assert {"base", "store", "resolvers"} <= changed


def test_the_program_hears_what_it_has_asked_for(program: Program) -> None:
    logging.getLogger("gradcheck").setLevel(logging.INFO)
    try:
        gradcheck.run_experiment(["eps=1e-4", *QUICK, "hydra.run.dir=here"])
    finally:
        logging.getLogger("gradcheck").setLevel(logging.NOTSET)
    heard = program.log.read_text().splitlines()
    own = [line.partition(" - ")[2] for line in Path("here/gradcheck.log").read_text().splitlines()]
    assert heard == own
    assert own[-1] == "done: 1 ok, 0 failed, 0 skipped"


@pytest.mark.parametrize("own", [False, True], ids=["Python's handler", "a handler of its own"])
def test_ctrl_c_stores_what_is_finished_and_is_raised(module: str, own: bool, program: Program) -> None:
    caught: list[int] = []

    def handler(number: int, _: Any) -> None:
        caught.append(number)
        raise KeyboardInterrupt

    usual = signal.signal(signal.SIGINT, handler if own else signal.default_int_handler)
    typed = ["model=function", f"model.fun={module}:f", f"model.jac={module}:interrupting", "model.x0=[1.0,2.0]"]
    try:
        before = state()
        with pytest.raises(KeyboardInterrupt) as error:
            gradcheck.run_experiment(
                [*typed, "match_at=range(1,20)", "eps=1e-4", *QUICK, "hydra.sweep.dir=here"], multirun=True
            )
        assert state() == before
    finally:
        signal.signal(signal.SIGINT, usual)
    assert bool(caught) == own
    assert "what was finished is stored in here" in " ".join(error.value.__notes__)
    stored = len(gradcheck.load("here").cells)
    assert 0 < stored < 19


def test_an_error_of_a_callback_leaves_all_as_it_was(program: Program, tmp_path: Path) -> None:
    name = f"callback_{os.getpid()}"
    Path(f"{name}.py").write_text(
        "from hydra.experimental.callback import Callback\n\n\nclass Raising(Callback):\n"
        "    def on_job_start(self, config, **kwargs):\n        raise ZeroDivisionError('a callback')\n",
        encoding="utf-8",
    )
    sys.path.insert(0, str(tmp_path))
    try:
        before = state()
        with suppress(Exception):
            gradcheck.run_experiment([f"+hydra.callbacks.one._target_={name}.Raising", *QUICK])
        assert state() == before
    finally:
        sys.path.remove(str(tmp_path))


# ---------------------------------------------------------------------------------------------- where it may be called


def test_it_runs_in_a_notebook() -> None:
    """Whose event loop is running."""

    async def cell() -> Any:
        return gradcheck.run_experiment(["eps=1e-4", "engine=loky", "engine.n_jobs=1", "progress=none"])

    before = state()
    assert asyncio.run(cell()).status == 0
    after = state()
    assert {key: after[key] for key in after if after[key] != before[key]} == {}


def test_it_runs_in_threads() -> None:
    before = state()

    def one(i: int) -> Any:
        return gradcheck.run_experiment([f"data.seed={i}", "cell_timeout=60", *QUICK])

    with ThreadPoolExecutor(4) as threads:
        found = [runs.cells["data_seed"].tolist() for runs in threads.map(one, range(6))]
    assert found == [[i] for i in range(6)]
    after = state()
    assert {key: after[key] for key in after if after[key] != before[key]} == {}


APPLICATION = """
import json, logging, os, sys
import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobRuntime
from hydra.version import getbase
from omegaconf import OmegaConf

ConfigStore.instance().store(name="config", node={"eps": "the application's own", "size": "${logspace:3}"})
ConfigStore.instance().store(group="model", name="mlp", node={"name": "the application's own"})
ConfigStore.instance().store(group="schema", name="run", node={"a": 1})
OmegaConf.register_new_resolver("logspace", lambda n: n + 1)


def found(cfg):
    loader = GlobalHydra.instance().config_loader()
    return [
        cfg.size, HydraConfig.get().job.name, JobRuntime.instance().get("name"), str(getbase()), os.getcwd(),
        sorted(loader.list_groups("")), loader.get_group_options("schema"), sorted(os.environ),
        len(logging.root.handlers), logging.root.level, sys.argv,
    ]


@hydra.main(version_base="1.2", config_name="config", config_path=None)
def main(cfg):
    import gradcheck

    before = found(cfg)
    runs = gradcheck.run_experiment(["model=mlp", "eps=1e-4", "engine=serial", "progress=none"])
    swept = gradcheck.run_experiment(["eps=1e-4,1e-5", "engine=serial", "progress=none"], multirun=True)
    logging.getLogger(__name__).warning("still here")
    print(json.dumps([before == found(cfg), before, found(cfg), runs.status, runs.cells["model"].tolist(), len(swept.cells)]))


main()
"""


def test_it_runs_in_an_application_of_hydra(tmp_path: Path) -> None:
    Path("application.py").write_text(APPLICATION, encoding="utf-8")
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "application.py", "hydra.run.dir=own", "hydra.job.chdir=false"],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, check=True,
    )  # fmt: skip
    same, before, after, *rest = json.loads(done.stdout.splitlines()[-1])
    assert same, (before, after)
    assert before[0] == 4
    assert rest == [0, ["mlp"], 2]
    log = Path("own/application.log").read_text()
    assert "still here" in log
    assert log.count("cells planned") == 2  # the application's level is INFO: it hears what it has asked for


FRESH = """
import json, os, sys, warnings
before = [dict(os.environ), list(map(str, warnings.filters)), sys.path[:]]
import gradcheck
gradcheck.run_experiment
runs = gradcheck.run_experiment(json.loads(sys.argv[1]), multirun=True)
after = [dict(os.environ), list(map(str, warnings.filters)), sys.path[:]]
print(json.dumps([before == after, before, after, runs.status]))
"""


def test_the_environment_is_the_same_though_all_is_imported_for_the_first_time() -> None:
    typed = json.dumps(["eps=1e-4,1e-6", "engine=loky", "engine.n_jobs=1", "progress=none"])
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    ours = ("HYDRA_", "ARROW_", "KMP_")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        [sys.executable, "-c", FRESH, typed],
        capture_output=True, text=True, env={**variables, "PYTHONPATH": path}, check=True,
    )  # fmt: skip
    same, before, after, status = json.loads(done.stdout)
    assert same, [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert status == 0
    assert done.stderr == ""
