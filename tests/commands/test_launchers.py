"""Launchers of plugins: they send the jobs of Hydra's own multirun to other processes, or one line says what to use instead."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import QUICK, one_by_one, rows

from gradcheck.errors import BadInput, WriteError
from gradcheck.run import main
from gradcheck.views.commands import hydras_own

# It sends what the launchers of joblib and submitit send, and gets back what they get back.
PLUGIN = """
import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import run_job, setup_globals
from hydra.plugins.launcher import Launcher
from omegaconf import open_dict


class Elsewhere(Launcher):
    def __init__(self, words):
        self.words = words

    def setup(self, *, hydra_context, config, task_function):
        self.given = hydra_context, config, task_function

    def launch(self, job_overrides, initial_job_idx):
        from joblib.externals.loky.backend.reduction import dumps

        if self.words:
            raise RuntimeError(self.words)
        jobs = [(initial_job_idx + i, list(typed)) for i, typed in enumerate(job_overrides)]
        Path("sent").write_bytes(dumps((self.given, Singleton.get_state(), jobs)))
        code = "from hydra_plugins import elsewhere; elsewhere.work()"
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
        return pickle.loads(Path("back").read_bytes())


def work():
    from joblib.externals.loky.backend.reduction import dumps

    setup_globals()
    (context, config, task), state, jobs = pickle.loads(Path("sent").read_bytes())
    Singleton.set_state(state)
    returned = []
    for number, typed in jobs:
        cfg = context.config_loader.load_sweep_config(config, typed)
        with open_dict(cfg):
            cfg.hydra.job.id, cfg.hydra.job.num = str(number), number
        HydraConfig.instance().set_config(cfg)
        returned.append(
            run_job(
                hydra_context=context,
                config=cfg,
                task_function=task,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
        )
    Path("back").write_bytes(dumps(returned))


@dataclass
class Config:
    _target_: str = "hydra_plugins.elsewhere.Elsewhere"
    words: str = ""


ConfigStore.instance().store(group="hydra/launcher", name="elsewhere", node=Config, provider="elsewhere")
"""
EXPERIMENT = """# @package _global_
defaults:
  - override /hydra/launcher: elsewhere
hydra:
  mode: MULTIRUN
  launcher:
    words: "no\\nqueue"
  sweeper:
    params:
      eps: 1e-4,1e-5
"""


def test_a_plugin_computes_the_cells_of_a_sweep_elsewhere_or_one_line_names_the_engines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hydra_plugins").mkdir()
    (tmp_path / "hydra_plugins/elsewhere.py").write_text(PLUGIN)
    (tmp_path / "conf/experiment").mkdir(parents=True)
    (tmp_path / "conf/experiment/mine.yaml").write_text(EXPERIMENT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    typed = ["model=one_d", "model.curve=exp", "init=values", "init.values={theta: 1000},{theta: 1}", "-m", *QUICK]
    own = [*typed, "hydra/launcher=elsewhere", "hydra/sweeper=basic", "hydra.sweep.dir=own"]
    in_file = ["--config-dir=conf", "+experiment=mine", *QUICK]
    ours, sent, refused, paired = one_by_one(
        [
            (tmp_path, [*typed, "hydra.sweep.dir=ours"]),
            (tmp_path, own),
            (tmp_path, in_file),
            (tmp_path, [*in_file, "zip=[eps]"]),
        ]
    )
    assert (ours[0], sent[0]) == (1, 1), sent  # one of the two cells overflows
    assert "saved  own  (2 jobs" in sent[1]
    found = [rows(tmp_path / "own" / job) for job in "01"]
    expected = rows(tmp_path / "ours")
    assert sorted((cell for cells, _ in found for cell in cells), key=lambda row: row["cell"]) == expected[0]
    assert [row for _, errors in found for row in errors] == expected[1]
    said = (
        "gradcheck: conf/experiment/mine.yaml, line 3: hydra/launcher=elsewhere: RuntimeError: no queue; leave it out:"
        " engine=loky computes in several processes, engine=dask on a cluster\n"
    )
    assert refused[0] == 2
    assert refused[2] == said
    assert paired[0] == 2
    assert "leave hydra/launcher=elsewhere out" in paired[2]


@pytest.mark.parametrize(("error", "status"), [(BadInput("data.path=x: gone"), 2), (WriteError("own: disk full"), 1)])
def test_what_a_job_raises_is_one_line(
    error: Exception, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> int:
        raise error

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hydras_own, "compute", fail)
    assert main(["eps=1e-4,1e-5", "-m", "hydra/launcher=basic", "hydra.sweep.dir=own", *QUICK]) == status
    assert [line for line in capfd.readouterr().err.splitlines() if "HYDRA" not in line] == [f"gradcheck: {error}"]


def test_a_launcher_that_is_not_installed_is_refused_with_the_engines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["eps=1e-4,1e-5", "-m", "hydra/launcher=nobody"]) == 2
    err = capfd.readouterr().err
    assert "hydra/launcher=nobody: must be one of basic" in err
    assert "engine=loky" in err
    assert err.count("\n") == 1
