"""What a user can type wrong: exit status 2, one line that names key and value, nothing left behind."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from commands import command

from gradcheck.printable import printable
from gradcheck.run import main

FILE = ("data=file", "data.target=y")
INIT = ("model=linear", "init=values", "data.d=2")

# overrides, and what the line must say: each of the words, key and value first
CASES: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    (("eps=0",), ("eps=0", "> 0")),
    (("eps=-1e-4",), ("eps=-0.0001", "> 0")),
    (("eps=nan",), ("eps=nan", "finite")),
    (("eps=inf",), ("eps=inf", "finite")),
    (("eps=small",), ("eps=small", "number", "auto")),
    (("eps=true",), ("eps=true", "number")),
    (("eps=null",), ("eps=null", "number")),
    (("eps=[]",), ("eps=[]", "at least one")),
    (("eps=[1e-4,0]",), ("eps=0", "> 0")),
    (("eps=[1e-4,[1e-5]]",), ("eps=[1e-05]", "number")),
    (("eps={a:1}",), ("eps={'a': 1}", "number")),
    (("eps=1e-4,1e-5",), ("eps=1e-4,1e-5", "-m", "eps=[1e-4,1e-5]")),
    (("eps=1e-4,0", "-m"), ("eps=0", "> 0")),
    (("data.max_bytes=${,0.0,{}", "-m"), ("data.max_bytes=${", "no such key")),
    (("data.max_bytes=a,${x,{}", "-m"), ("data.max_bytes=a,${x,{}", "interpolation")),
    (("eps=${nope}",), ("eps=${nope}", "no key nope")),
    (("eps=${logspace:-12,-1}",), ("eps=${logspace:-12,-1}", "n")),
    (("eps=${logspace:-12,-1,0}",), ("eps=${logspace:-12,-1,0}", "count")),
    (("eps=${unknown:3}",), ("eps=${unknown:3}", "unknown")),
    (("eps=[1e-4",), ("eps=[1e-4", "key=value")),
    (("eps",), ("eps", "key=value")),
    (("data.n=0",), ("data.n=0", ">= 1")),
    (("data.n=-3",), ("data.n=-3", ">= 1")),
    (("data.n=1.5",), ("data.n=1.5", "whole number")),
    (("data.n=ten",), ("data.n=ten", "whole number")),
    (("data.n=true",), ("data.n=true", "whole number")),
    (("data.n=null",), ("data.n=null", "null")),
    (("data.n=1000000000000",), ("data.n", "memory")),
    (("data.d=0",), ("data.d=0", ">= 1")),
    (("data.d=-1",), ("data.d=-1", ">= 1")),
    (("data.d=2.5",), ("data.d=2.5", "whole number")),
    (("data.seed=-1",), ("data.seed=-1", ">= 0")),
    (("data.noise=-1",), ("data.noise=-1", ">= 0")),
    (("data.scale=0",), ("data.scale=0", "> 0")),
    (("data.scale=nan",), ("data.scale=nan", "finite")),
    (("data.correlation=2",), ("data.correlation=2", "<= 1")),
    (("init.seed=a",), ("init.seed=a", "whole number")),
    (("init.scale=inf",), ("init.scale=inf", "finite")),
    (("model.l2=-1",), ("model.l2=-1", ">= 0")),
    (("model.l2=nan",), ("model.l2=nan", "finite")),
    (("model.bias=maybe",), ("model.bias=maybe", "true or false")),
    (("match_at=0",), ("match_at=0", "> 0")),
    (("match_at=inf",), ("match_at=inf", "finite")),
    (("model=perceptron",), ("model=perceptron", "logistic", "mlp")),
    (("bug=typo",), ("bug=typo", "must be one of", "label_flip")),
    (("data=cloud",), ("data=cloud", "gaussian", "file")),
    (("init=ones",), ("init=ones", "normal", "zeros")),
    (("scheme=midpoint",), ("scheme=midpoint", "central", "complex_step")),
    (("dtype=float16",), ("dtype=float16", "float32", "float64")),
    (("engine=gpu",), ("engine=gpu", "serial", "loky")),
    (("engine.n_jobs=0",), ("engine.n_jobs=0", "number of processes")),
    (("fail_on=always",), ("fail_on=always", "mismatch", "never")),
    (("progress=loud",), ("progress=loud", "auto", "none")),
    (("cell_timeout=0",), ("cell_timeout=0", "> 0")),
    (("max_cells=0",), ("max_cells=0", ">= 1")),
    (("epsilon=1e-4",), ("epsilon=1e-4", "no such key", "did you mean eps")),
    (("seed=1",), ("seed=1", "no such key", "data.seed or init.seed or bug.seed")),
    (("seed=1,2", "-m"), ("seed=1,2", "no such key (did you mean data.seed or init.seed or bug.seed?)")),
    (("bug=zeroparam",), ("bug=zeroparam", "must be one of zero_param")),  # the end of the list is cut
    (("model.layer=[3]", "model=mlp"), ("model.layer=[3]", "did you mean model.layers")),
    (("+model.foo=1",), ("model.foo=1", "no such key", "model.l2")),
    (("++data.rows=3",), ("data.rows=3", "no such key", "data.n")),
    (("~data.n",), ("~data.n",)),
    (("+eps=1e-4",), ("+eps=1e-4",)),
    (("model=mlp", "model.layers=3"), ("model.layers=3", "a list")),
    (("model=mlp", "model.layers=[0]"), ("model.layers", "0")),
    (("model=mlp", "model.layers=[2.5]"), ("model.layers", "2.5", "whole number")),
    (("model=mlp", "model.activation=swish"), ("model.activation=swish", "relu", "tanh")),
    (("model=mlp", "model.loss=hinge"), ("model.loss=hinge", "cross_entropy")),
    (("model=softmax", "model.n_classes=1"), ("model.n_classes=1", ">= 2")),
    (("model=linear", "model.reduction=max"), ("model.reduction=max", "half_sum")),
    (("model=one_d", "model.curve=log"), ("model.curve=log", "exp")),
    (("model=one_d", "data=gaussian"), ("data=gaussian", "data=none")),
    (("data=none",), ("data=none", "data=gaussian")),
    (("bug=scale", "bug.magnitude=nan"), ("bug.magnitude", "finite")),
    (("bug=scale", "bug.magnitude=big"), ("bug.magnitude=big", "a number")),
    (("bug=label_flip", "bug.fraction=2"), ("bug.fraction=2", "(0, 1]")),
    (("bug=scale", "bug.param=V"), ("bug.param=V", "W, b")),
    (("bug=single_entry", "bug.index=99"), ("bug.index=99", "0 to 5")),
    (("bug=dropped_bias", "model.bias=false"), ("bug=dropped_bias", "bias")),
    (("bug=detached_layer",), ("bug=detached_layer", "logistic", "layer")),
    (("bug=label_flip", "model=linear"), ("bug=label_flip", "linear")),
    (("bug=missing_mean", "model=linear", "model.reduction=sum"), ("bug=missing_mean", "sum")),
    (("bug=none", "bug.magnitude=2"), ("bug.magnitude=2", "bug=none")),
    (("scheme=complex_step", "dtype=float32"), ("complex_step", "float32")),
    (("scheme=complex_step", "model=mlp", "model.activation=relu"), ("complex_step", "relu")),
    ((*INIT, "init.values=3"), ("init.values=3", "parameter names")),
    ((*INIT, "init.values={W: [[1], [2], [3]], b: [0]}"), ("init.values", "W")),
    ((*INIT, "init.values={V: [1]}"), ("init.values", "V")),
    ((*INIT, "init.values={W: [[1], [x]], b: [0]}"), ("init.values.W", "x", "numbers")),
    ((*INIT, "init.values={W: [[1], [nan]], b: [0]}"), ("init.values.W", "nan", "finite")),
    (("init=file",), ("init.path", "must be given")),
    (("init=file", "init.path=none.npz"), ("init.path=none.npz", "No such file")),
    (("init=file", "init.path=text.npz"), ("init.path=text.npz", "npz")),
    (("data=values", "data.X=[[1,2],[3]]", "data.y=[0,1]"), ("data.X", "different lengths")),
    (("data=values", "data.X=[[1,2],[3,4]]", "data.y=[0,1,1]"), ("data.y", "3 rows", "equally many")),
    (("data=values", "data.X=[[1],[2]]", "data.y=[0,2]"), ("data.y=2", "logistic")),
    (("data=values", "data.X=[[1],[a]]", "data.y=[0,1]"), ("data.X", "a", "numbers")),
    (("data=values",), ("data.X", "must be given")),
    (("data=file",), ("data.path", "must be given")),
    (("data=file", "data.path=good.csv"), ("data.target", "column")),
    ((*FILE, "data.path=missing.csv"), ("data.path=missing.csv", "No such file")),
    ((*FILE, "data.path=empty.csv"), ("data.path=empty.csv", "empty")),
    ((*FILE, "data.path=header.csv"), ("data.path=header.csv", "no rows")),
    ((*FILE, "data.path=nan.csv"), ("data.features=a", "row 2")),
    ((*FILE, "data.path=inf.csv"), ("data.features=a", "inf")),
    ((*FILE, "data.path=text.csv"), ("data.features=a", "apple", "numbers only")),
    ((*FILE, "data.path=ragged.csv"), ("data.path=ragged.csv", "cannot be read")),
    ((*FILE, "data.path=labels.csv"), ("data.y=2", "logistic")),
    ((*FILE, "data.path=truncated.parquet"), ("data.path=truncated.parquet", "cannot be read")),
    ((*FILE, "data.path=good.txt"), ("data.path=good.txt", "Excel")),
    ((*FILE, "data.path=folder.csv"), ("data.path=folder.csv", "is a folder")),
    (("data=file", "data.target=z", "data.path=good.csv"), ("data.target=z", "no such column", "a, y")),
    ((*FILE, "data.path=good.csv", "data.features=[b]"), ("data.features=b", "no such column")),
    ((*FILE, "data.path=good.csv", "data.n=99"), ("data.n=99", "4 rows")),
    (("data=sklearn", "data.name=boston"), ("data.name=boston", "iris")),
    (("data=sklearn", "data.name=diabetes"), ("data.name=diabetes", "classes")),
    (("+experiment=nothing",), ("+experiment=nothing", "bug_zoo")),
    (("experiment=bug_zoo",), ("experiment=bug_zoo", "+experiment=bug_zoo")),
    (("+experiment=bug_zoo,precision", "-m"), ("+experiment=bug_zoo,precision", "one name")),
    (("+experiment=[bug_zoo,precision]",), ("+experiment=[bug_zoo,precision]", "one name")),
    (("progress=auto,none", "-m"), ("progress=auto,none", "cannot be swept")),
    (("engine=serial,loky", "-m"), ("engine=serial,loky", "cannot be swept")),
    (("engine.n_jobs=1,2", "-m"), ("engine.n_jobs=1,2", "cannot be swept")),
    (("dry_run=true,false", "-m"), ("dry_run=true,false", "cannot be swept")),
    (("hydra.run.dir=a,b", "-m"), ("hydra.run.dir=a,b", "cannot be swept")),
    (("rows=1,2", "-m"), ("rows=1,2", "no such key")),
    (("model.l2=interval(0,1)", "-m"), ("model.l2=interval(0,1)", "interval")),
    (("init.seed=range(1000000000)", "-m"), ("init.seed=range(1000000000)", "max_cells=1000000")),
    (("eps=range(1e-9,1,1e-12)", "-m"), ("eps=range(1e-9,1,1e-12)", "max_cells")),
    (("eps=range(0,1,0)", "-m"), ("eps=range(0,1,0)",)),
    (("eps=1e-4,1e-5", "max_cells=1", "-m"), ("eps=1e-4,1e-5", "max_cells=1")),
    (("init.seed=range(3,3)", "-m"), ("init.seed=range(3,3)", "no value")),
    (("bug=glob(x*)", "-m"), ("bug=glob(x*)", "no value")),
    (("data.n=10,0", "-m"), ("data.n=0", ">= 1")),
    (("model=mlp,linear", "model.layers=[3]", "-m"), ("model.layers=[3]", "no such key")),
    (("hydra.run.dir=good.csv/inside",), ("good.csv/inside", "hydra.run.dir")),
    (("hydra.sweep.dir=good.csv/inside", "eps=1,2", "-m"), ("good.csv/inside", "hydra.sweep.dir")),
    (("hydra.run.dir=${nope}",), ("nope",)),
    (("hydra.wrong=1",), ("hydra.wrong=1", "no such key")),
    (("hydra.mode=SOMETIMES",), ("hydra.mode", "SOMETIMES")),
    (("store=s4://bucket",), ("store=s4://bucket",)),
    (("schema/model=mlp",), ("schema/model=mlp",)),
    (("model@data=mlp",), ("model@data=mlp",)),
    (("model=3",), ("model=3",)),
    (("model=[linear,mlp]",), ("model=[linear,mlp]",)),
    (("data.n=8", "-m", "-m", "model.x=1,2"), ("model.x=1", "no such key", "model.l2")),
    (("model.layers=1,2", "--multirun", "-m"), ("model.layers=1", "no such key")),
    (("bug.x.y=1,2", "-m"), ("bug.x.y=1",)),
    (("init=values", "init.values.x=1,2", "-m"), ("init.values.x=1",)),
    (("model=mlp", "model.layers.x=1"), ("model.layers.x=1", "a list")),
    (("model=mlp", "model.layers.x.y=1,2", "-m"), ("model.layers.x.y=1", "a list")),
    (("~allow=[]",), ("~allow", "cannot be removed")),
    (("~max_cells", "-m"), ("~max_cells", "cannot be removed")),
    (("~engine",), ("~engine", "cannot be removed", "default")),
    (("~nope",), ("~nope", "no such key")),
    (("model=mlp", "model.layers.7=1"), ("model.layers.7=1", "no item 7", "model.layers=[...]")),
    (("model.layers.7=1",), ("model.layers.7=1", "no such key", "model.l2")),
    (("model=mlp", "model.layers={a:1}"), ("model.layers={a:1}", "a list")),
    (("scheme=[central]",), ("scheme=[central]", "one word, not a list")),
    (("scheme=null",), ("scheme=null", "not be null", "central")),
    (("dtype={a:1}",), ("dtype={a:1}", "one word, not a mapping")),
    (("bug=scale", "bug.param=[W]"), ("bug.param=[W]", "one word, not a list")),
    (("data=file", "data.path=[good.csv]", "data.target=y"), ("data.path=[good.csv]", "one word, not a list")),
    (("data=file", "data.path=good.csv", "data.target=null"), ("data.target=null", "name of a column")),
    (("init=values",), ("init.values=null", "parameter names")),
    (("eps=1e-4,",), ("eps=1e-4,:", "key=value", "quoted")),
    (("eps=1e-4;1e-5",), ("eps=1e-4;1e-5:", "key=value", "eps='...'")),
    (("eps==1e-4",), ("eps==1e-4:", "key=value")),
    (("eps", "=", "1e-4"), ("eps: must be key=value", "blanks")),
    (("+bug=scale",), ("+bug=scale", "write bug=scale")),
    (("++model=mlp",), ("++model=mlp", "write model=mlp")),
    (("hydra.verbose=3",), ("hydra.verbose=3", "true, false")),
    (("eps=1e-4,1e-6", "-m", "--cfg", "job"), ("-m:", "--cfg", "leave it out")),
    (("eps=1e-4,1e-6", "-m", "--info"), ("-m:", "--info", "leave it out")),
    (("eps=1e-4,1e-6", "--cfg", "job"), ("eps=1e-4,1e-6", "one value")),
    (("resume=",), ("resume=", "run folder", "latest")),
    (("--cfg=job", "--package=no.such"), ("no.such", "not found")),
    (("--frobnicate",), ("--frobnicate", "--help")),
    (("--config-dir=nowhere",), ("--config-dir=nowhere", "no such folder")),
    (("--experimental-rerun", "x.pickle"), ("--experimental-rerun", "reproduce RUN_DIR", "resume=RUN_DIR")),
    (("--resolve",), ("--resolve", "--cfg")),
    (("resume=nowhere",), ("nowhere", "no such run folder")),
    (("resume=latest",), ("latest", "no run")),
    (("resume=.",), (".", "not a run folder")),
    (("resume=latest", "eps=1e-4"), ("eps=1e-4", "resume=")),
    (("resume=latest", "dry_run=true"), ("dry_run=true", "resume=")),
]


def put_files(folder: Path) -> None:
    """The data files that the cases name."""
    texts = {
        "good.csv": "a,y\n1,0\n2,1\n3,0\n4,1\n",
        "good.txt": "PK\x03\x04 a workbook",
        "empty.csv": "",
        "header.csv": "a,y\n",
        "nan.csv": "a,y\n1,0\nnan,1\n",
        "inf.csv": "a,y\n1,0\ninf,1\n",
        "text.csv": "a,y\n1,0\napple,1\n",
        "ragged.csv": "a,y\n1,0\n2\n",
        "labels.csv": "a,y\n1,0\n2,2\n3,1\n",
        "text.npz": "no archive",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "folder.csv").mkdir()
    pq.write_table(pa.table({"a": np.arange(1000.0), "y": np.arange(1000) % 2}), folder / "whole.parquet")
    (folder / "truncated.parquet").write_bytes((folder / "whole.parquet").read_bytes()[:-100])


def test_the_table_is_long_enough_and_has_no_case_twice() -> None:
    assert len(CASES) >= 60
    assert len({arguments for arguments, _ in CASES}) == len(CASES)


@pytest.mark.parametrize(("arguments", "words"), CASES, ids=[" ".join(arguments) for arguments, _ in CASES])
def test_bad_input_is_refused_in_one_line_and_leaves_nothing_behind(
    arguments: tuple[str, ...],
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    put_files(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    status = main(arguments)
    out, err = capfd.readouterr()
    assert status == 2, err
    assert out == ""
    assert err.startswith("gradcheck: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    for word in words:
        assert word.lower() in err.lower()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "arguments", [("eps=0",), ("model=perceptron",), ("bug=scale,typo", "-m"), ("hydra.run.dir=/proc/none",)]
)
def test_a_real_process_says_the_same(arguments: tuple[str, ...], tmp_path: Path) -> None:
    status, out, err = command("gradcheck.run", *arguments, cwd=tmp_path)
    assert (status, out) == (2, "")
    assert err.startswith("gradcheck: ")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [("model.fun=tag(range(1e300))",), ("allow=range(0,1,0)",)])
def test_a_range_without_end_is_not_followed(arguments: tuple[str, ...], tmp_path: Path) -> None:
    status, out, err = command("gradcheck.run", *arguments, cwd=tmp_path)
    assert (status, out, err) == (2, "", f"gradcheck: {arguments[0]}: several values need -m\n")


ACTS = "\x1b[2J\r\x06\x9b\u202e"  # clears the screen, goes back, rings, clears once more, turns the line around
ESCAPED = "\\x1b[2J"


@pytest.mark.usefixtures("frozen_again")
@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("run", (f"tag({ACTS})", "-h", "data=values", f"tag({ACTS})")),
        ("run", (f"sort({ACTS})", "--hydra-help", f"sort({ACTS})")),
        ("run", (f"[{ACTS}]", "--cfg=job", f"{{{ACTS}}}")),
        ("run", (f"--{ACTS}",)),
        ("run", (f"--cfg={ACTS}",)),
        ("run", ("--cfg=job", f"--package={ACTS}")),
        ("run", ("--info", f"--config-dir={ACTS}")),
        ("show", ("run", f"--{ACTS}")),
        ("report", ("run", f"--{ACTS}")),
        ("reproduce", ("run", f"--{ACTS}")),
        ("reproduce", ("run", f"--sample={ACTS}")),
        ("calibration.__main__", ("run", f"--{ACTS}")),
        ("__main__", (ACTS,)),
        ("__main__", ("show", ACTS)),
    ],
)
def test_what_is_typed_does_not_act_on_the_terminal(
    module: str,
    arguments: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["gradcheck", *arguments])
    try:
        status = import_module(f"gradcheck.{module}").main()
    except SystemExit as end:
        status = end.code
    out, err = capfd.readouterr()
    assert (status, out) == (2, "")
    assert err.startswith("gradcheck: ")
    assert ESCAPED in err
    assert err.endswith("\n")
    assert err[:-1].isprintable()


@pytest.mark.parametrize("typed", [("--cfg", "job"), ("--info", "config"), ("--help",)])
def test_a_config_that_is_shown_does_not_act_on_the_terminal_and_means_the_same(
    typed: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = "a\u202e\x85\u200cb"
    folder = tmp_path / "\x1b[2J"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    assert main([*typed, f"store={path}", f"--config-dir={folder}"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert all(line.isprintable() for line in out.replace("\t", " ").split("\n"))
    if typed == ("--help",):
        assert f"store={printable(path)}" in out
    else:
        assert yaml.safe_load(next(line for line in out.splitlines() if line.startswith("store:"))) == {"store": path}


def test_the_test_can_fail_because_good_input_is_not_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put_files(tmp_path)
    assert main(("data=file", "data.target=y", "data.path=good.csv", "eps=1e-4", "engine=serial", "progress=none")) == 0


PLUGIN = """
import pickle

from hydra.core.config_store import ConfigStore
from hydra.plugins.launcher import Launcher


class Sends(Launcher):
    def setup(self, *, hydra_context, task_function, config):
        self.task = lambda: task_function

    def launch(self, job_overrides, initial_job_idx):
        pickle.dumps(self.task)


node = {"_target_": "hydra_plugins.sends.launcher.Sends"}
ConfigStore.instance().store(group="hydra/launcher", name="sends", node=node)
"""


def test_a_launcher_that_cannot_send_its_jobs_is_named_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = tmp_path / "plugins/hydra_plugins/sends"
    plugin.mkdir(parents=True)
    (plugin / "__init__.py").touch()
    (plugin / "launcher.py").write_text(PLUGIN)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "plugins"), os.environ.get("PYTHONPATH", "")]))
    typed = ("hydra/launcher=sends", "eps=1e-4,1e-6", "-m")
    status, _, err = command("gradcheck.run", *typed, cwd=tmp_path)
    assert status == 2
    assert err.startswith("gradcheck: hydra/launcher=sends: ")
    assert "pickle" in err
    assert err.count("\n") == 1
