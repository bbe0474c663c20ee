"""Configs of a folder of one's own as an axis of a grid: what Hydra's own multirun would run."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import QUICK, rows
from hydra._internal.hydra import Hydra
from trials import interpolations
from trials.composing import remembering

from gradcheck.experiment.cell import check_cell
from gradcheck.experiment.config.build import build
from gradcheck.experiment.config.registration import conf_dir
from gradcheck.experiment.grid import axes
from gradcheck.experiment.grid.dimensions import grid
from gradcheck.experiment.grid.points import points
from gradcheck.run import main

LIMIT = 1000
REPORTS = ("bias_mean_kvfrans", "covariance_sign_autograd", "softmax_factor_two_fromscratchtoml")
ONE = """# @package _global_
defaults:
  - override /model: {model}
  - override /bug: {bug}

data:
  n: {n}
"""


@pytest.fixture(scope="module")
def hydra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hydra]:
    with interpolations.arranged(tmp_path_factory.mktemp("groups")) as opened:
        yield opened


def ours(hydra: Hydra, overrides: list[str]) -> list[dict[str, Any]]:
    master = interpolations.masters(hydra, overrides)
    return list(points(hydra, master, grid(hydra, axes.typed(master), LIMIT)))


@pytest.mark.parametrize("seed", range(2))
def test_each_point_is_what_hydra_composes_of_the_same_choices(hydra: Hydra, seed: int) -> None:
    draw = random.Random(seed)
    lists = {
        "+report": draw.sample(REPORTS, 2),
        "init.seed": ["1", "2"],
        "bug": draw.sample(["none", "scale", "sign_flip"], draw.randint(1, 2)),
        "data.n": ["5", "7"],
    }
    keys = draw.sample(list(lists), 3)
    keys += [] if "+report" in keys else ["+report"]
    typed = [f"{key}={','.join(lists[key])}" for key in keys]
    with remembering(interpolations.MADE):
        assert ours(hydra, typed) == interpolations.hydras(hydra, typed)


def test_a_folder_of_ones_own_is_an_axis_whose_choices_set_scientific_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("conf/mine").mkdir(parents=True)
    chosen = {"a": ("linear", "scale", 5), "b": ("mlp", "none", 6), "c": ("softmax", "sign_flip", 7)}
    for name, (model, bug, n) in chosen.items():
        Path(f"conf/mine/{name}.yaml").write_text(ONE.format(model=model, bug=bug, n=n))
    assert main(["--config-dir=conf", "+mine=glob(*)", "init.seed=1,2", "-m", "hydra.sweep.dir=run", *QUICK]) == 0
    cells = rows(Path("run"))[0]
    found = sorted((cell["model"], cell["bug"], cell["data_n"], cell["init_seed"]) for cell in cells)
    assert found == sorted((*one, seed) for one, seed in itertools.product(chosen.values(), (1, 2)))
    capfd.readouterr()
    assert main(["--config-dir=conf", "+mine=a,b", "-m", "dry_run=true"]) == 0
    assert "mine" not in capfd.readouterr().out  # a choice of configs is no setting of a cell


def test_the_zoo_of_layers_holds_every_net_and_every_bug_and_the_corpus_every_report(hydra: Hydra) -> None:
    def axes_of(name: str) -> dict[str, set[Any]]:
        lines = axes.typed(interpolations.masters(hydra, [f"+experiment={name}"]))
        return {one.axes[0].path: {o.value() for (o,) in one} for one in grid(hydra, lines, LIMIT * LIMIT)}

    stems = {group: {path.stem for path in (conf_dir() / group).glob("*.yaml")} for group in ("net", "bug", "report")}
    zoo, corpus = axes_of("layer_zoo"), axes_of("real_mistakes")
    assert (zoo["net"], zoo["bug"], corpus["report"]) == (stems["net"], stems["bug"], stems["report"])
    assert zoo["dtype"] == corpus["dtype"] == {"float32", "float64"}
    assert min(len(zoo["init.seed"]), len(corpus["init.seed"])) >= 2


@pytest.mark.parametrize("net", sorted(path.stem for path in (conf_dir() / "net").glob("*.yaml")))
def test_the_gradient_of_each_net_is_right(hydra: Hydra, net: str) -> None:
    (form,) = ours(hydra, [f"+net={net}"])
    found = check_cell(build(form))
    assert found.summary["n_mismatch"] == 0
    assert found.summary["n_match"] > 0


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["report=bias_mean_kvfrans"], "write +report=bias_mean_kvfrans"),
        (["--report=bias_mean_kvfrans"], "type +report=bias_mean_kvfrans"),
        (["+report=nope"], "+report=nope: must be one of "),
        (["engine=serial,loky", "-m"], "is no scientific key and cannot be swept"),
        (["+experiment=bug_zoo,precision", "-m"], "must be one name"),
        (["hydra/launcher=basic,joblib", "-m"], "keys of Hydra cannot be swept"),
        (["+nope=a,b", "-m"], "no such key; axes of a grid are"),
    ],
)
def test_other_folders_are_no_axes(typed: list[str], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(typed) == 2
    assert said in capfd.readouterr().err
