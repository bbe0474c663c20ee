"""Runs as a user sees them: what is stored, what is printed, how they end, how they are taken up again."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import QUICK, ROOT, interrupted_after, rows, started
from omegaconf import DictConfig, OmegaConf
from waiting import PATIENCE, until

from gradcheck import __version__
from gradcheck.experiment.results.part import locate
from gradcheck.experiment.results.stored import Stored
from gradcheck.run import main


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str, status: int = 0) -> Path:
    assert main([*arguments, *QUICK]) == status
    return locate("latest")


def files(run_dir: Path) -> set[str]:
    return {str(path.relative_to(run_dir)) for path in run_dir.rglob("*") if path.is_file()}


def test_a_list_in_one_run_and_a_sweep_store_the_same_rows() -> None:
    assert rows(run("eps=[1e-4,1e-6]")) == rows(run("eps=1e-4,1e-6", "-m")) == rows(run("-m", "eps=1e-6,1e-4"))


def test_a_run_leaves_its_results_and_the_records_of_hydra() -> None:
    single = run("eps=1e-4")
    assert {
        ".hydra/config.yaml",
        ".hydra/overrides.yaml",
        ".hydra/hydra.yaml",
        "gradcheck.log",
        "plan.parquet",
    } <= files(single)
    assert list(OmegaConf.load(single / ".hydra/overrides.yaml")) == ["eps=1e-4", *QUICK]
    sweep = run("eps=1e-4,1e-6", "-m")
    assert {"multirun.yaml", "gradcheck.log", "plan.parquet"} <= files(sweep)
    assert not any(name.startswith(".hydra") for name in files(sweep))
    assert list(OmegaConf.load(sweep / "multirun.yaml").hydra.overrides.task) == ["eps=1e-4,1e-6", *QUICK]
    for folder in (single, sweep):
        assert not (folder / ".tmp").exists()
        assert len(folder.relative_to("runs").parts) == 2
        assert "cells planned" in (folder / "gradcheck.log").read_text()


def test_the_folder_is_where_hydra_is_told_to_put_it(tmp_path: Path) -> None:
    assert main(["hydra.run.dir=here", *QUICK]) == 0
    assert main(["hydra.sweep.dir=there", "eps=1e-4,1e-5", "-m", *QUICK]) == 0
    assert (tmp_path / "here/cells").is_dir()
    assert (tmp_path / "there/cells").is_dir()
    assert not (tmp_path / "runs").exists()


def test_a_folder_that_holds_a_run_is_not_mixed_with_another(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["hydra.run.dir=here", *QUICK]) == 0
    assert main(["hydra.run.dir=here", "eps=1e-4", *QUICK]) == 2
    assert "resume=here" in capfd.readouterr().err
    assert len(rows(Path("here"))[0]) == 1


@pytest.mark.parametrize("path", ["there", "a=b", "with blank", "quo'te", "${HOME}", "comma,list"])
def test_all_after_store_is_the_path_literally(path: str) -> None:
    assert main([f"store={path}", *QUICK]) == 0
    assert (Path(path) / "cells").is_dir()
    assert not list(Path("runs").glob("*/*/cells"))


def test_hydras_own_multirun_stores_each_job_in_a_folder_of_its_own() -> None:
    typed = ("eps=1e-4,1e-6", "-m", "hydra/launcher=basic", "hydra/sweeper=basic", "hydra.sweep.dir=own")
    assert main([*typed, *QUICK]) == 0
    ours = rows(run("eps=1e-4,1e-6", "-m"))
    own = [rows(Path("own") / str(job)) for job in range(2)]
    assert sorted((c for cells, _ in own for c in cells), key=lambda row: row["cell"]) == ours[0]
    assert sorted((e for _, errors in own for e in errors), key=lambda row: (row["cell"], row["flat_index"])) == ours[1]
    assert (Path("own") / "0/.hydra/config.yaml").is_file()


OWN = ("hydra/launcher=basic", "hydra/sweeper=basic", "hydra.sweep.dir=own")


def test_a_reference_is_resolved_at_each_point_and_recorded_as_it_was_typed() -> None:
    typed = ("data.seed=0,1,2", "init.seed=${data.seed}")
    ours = run(*typed, "-m")
    cells, _ = rows(ours)
    assert sorted((cell["data_seed"], cell["init_seed"]) for cell in cells) == [(0, 0), (1, 1), (2, 2)]
    assert Stored(ours).provenance["overrides"][:2] == list(typed)
    assert main([*typed, "-m", *OWN, *QUICK]) == 0
    own = [Path("own") / str(job) for job in range(3)]
    assert sorted((cell for job in own for cell in rows(job)[0]), key=lambda row: row["cell"]) == cells
    assert Stored(own[1]).provenance["overrides"][:2] == [
        "data.seed=1",
        typed[1].replace("{", r"\{").replace("}", r"\}"),
    ]
    single = run("data.seed=4", typed[1])
    assert [cell["init_seed"] for cell in rows(single)[0]] == [4]
    assert Stored(single).provenance["overrides"][:2] == ["data.seed=4", typed[1]]


OVERFLOW = ("model=one_d", "model.curve=exp", "init=values", "init.values={theta: 1000}")


def test_a_cell_that_overflows_has_failed_and_the_rest_goes_on() -> None:
    run_dir = run(*OVERFLOW[:3], "init.values={theta: 1000},{theta: 1}", "-m", status=1)
    cells, errors = rows(run_dir)
    assert sorted(cell["status"] for cell in cells) == ["failed", "ok"]
    (failed,) = (cell for cell in cells if cell["status"] == "failed")
    assert failed["message"]
    assert {row["cell"] for row in errors} == {cell["cell"] for cell in cells} - {failed["cell"]}


@pytest.mark.parametrize("mode", [(), ("-m", "hydra/launcher=basic", "hydra/sweeper=basic")])
def test_a_failed_cell_ends_in_status_one_however_it_is_run(mode: tuple[str, ...]) -> None:
    assert main([*OVERFLOW, *mode, *QUICK]) == 1


def test_a_mismatch_without_a_bug_is_status_one_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    from gradcheck.models import Logistic

    right = Logistic.gradient
    monkeypatch.setattr(Logistic, "gradient", lambda self, *arguments: 2 * right(self, *arguments))
    run(status=1)
    run("fail_on=never")


def test_an_injected_bug_is_no_failure() -> None:
    cells, _ = rows(run("bug=sign_flip"))
    assert [(cell["verdict"], cell["bug_injected"]) for cell in cells] == [("mismatch", True)]


def test_a_bug_without_effect_is_skipped_in_a_single_run_too() -> None:
    cells, errors = rows(run("bug=missing_l2", "model.l2=0"))
    assert [cell["status"] for cell in cells] == ["skipped"]
    assert "no effect here" in cells[0]["message"]
    assert errors == []


def test_a_sweep_stores_cells_without_meaning_as_skipped() -> None:
    cells, _ = rows(run("bug=none,detached_layer", "-m"))
    assert sorted((cell["bug"], cell["status"]) for cell in cells) == [("detached_layer", "skipped"), ("none", "ok")]


def test_every_setting_is_a_column() -> None:
    cells, _ = rows(run("bug=scale", "bug.magnitude=0.5,2", "model.l2=0.1", "-m"))
    assert sorted(cell["bug_magnitude"] for cell in cells) == [0.5, 2.0]
    assert [cell["model_l2"] for cell in cells] == [0.1, 0.1]
    assert {cell["model_layers"] for cell in cells} == {None}


def test_dry_run_shows_the_plan_and_stores_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bug=none,scale,detached_layer", "eps=1e-4,1e-5", "-m", "dry_run=true"]) == 0
    out = capfd.readouterr().out
    assert "6 cells planned: 4 to compute with 24 weights, 2 skipped" in out
    assert "detached_layer" in out
    assert list(tmp_path.iterdir()) == []


def test_an_axis_may_belong_to_the_models_of_the_grid_only() -> None:
    cells, _ = rows(run("model=mlp,softmax", "model.layers=[2]", "-m"))
    assert sorted(cell["model"] for cell in cells) == ["mlp", "softmax"]


def test_an_interrupted_run_is_resumed_to_the_same_rows_and_hydras_record_stays() -> None:
    typed = ("init.seed=range(6)", "bug=none,detached_layer", "model.l2=0,1", "-m")
    whole = rows(run(*typed))
    with interrupted_after(5):
        run_dir = run(*typed, status=130)
    assert len(rows(run_dir)[0]) == 5
    before = (run_dir / "multirun.yaml").read_bytes()
    parts = {path: path.stat().st_mtime_ns for path in run_dir.rglob("part-*.parquet")}
    folders = sorted(Path("runs").glob("*/*"))
    assert main(["resume=latest", *QUICK]) == 0
    assert rows(run_dir) == whole
    assert (run_dir / "multirun.yaml").read_bytes() == before
    assert not (run_dir / ".hydra").exists()
    assert sorted(Path("runs").glob("*/*")) == folders
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in parts.items())


def test_resuming_a_finished_run_computes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    run_dir = run("eps=1e-4,1e-5", "-m")
    first, names = rows(run_dir), files(run_dir)
    assert main([f"resume={run_dir}"]) == 0
    assert rows(run_dir) == first
    assert files(run_dir) == names
    assert "2 cells x 6 weights" in capfd.readouterr().out


def test_a_run_killed_before_its_first_cell_can_be_resumed() -> None:
    run_dir = run("eps=1e-4,1e-5", "-m")
    whole = rows(run_dir)
    for path in run_dir.rglob("part-*.parquet"):
        path.unlink()
    assert main([f"resume={run_dir}", *QUICK]) == 0
    assert rows(run_dir) == whole


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stores_what_is_finished_and_says_how_to_go_on(number: int) -> None:
    prelude = (
        "from gradcheck.experiment.results.writer import Writer\nWriter.__init__.__kwdefaults__['part_cells'] = 20"
    )
    running = started(
        "gradcheck.run", "init.seed=range(2000)", "data.n=2000", "data.d=50", "-m", *QUICK, prelude=prelude, new=True
    )
    until(lambda: list(Path("runs").glob("*/*/cells/part-00001*.parquet")) or running.poll() is not None)
    running.send_signal(number)
    out, err = running.communicate(timeout=PATIENCE)
    assert running.returncode == 130, err
    assert "Traceback" not in err
    assert "resume=" in out
    assert 0 < len(rows(locate("latest"))[0]) < 2000


def shown(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 0
    return capfd.readouterr().out


def test_help_is_our_own_text_with_examples_and_groups(capfd: pytest.CaptureFixture[str]) -> None:
    out = shown(capfd, "--help")
    assert out.count("python -m gradcheck.run") >= 3
    text = " ".join(out.split())
    for words in ("linear, logistic, mlp", "+experiment=NAME a ready grid; one of bug_zoo", "--cfg job", "resume="):
        assert words in text
    assert "schema" not in out


def test_cfg_shows_the_composed_config_as_yaml(capfd: pytest.CaptureFixture[str]) -> None:
    shown_ = OmegaConf.create(shown(capfd, "--cfg", "job", "model=mlp", "eps=1e-5"))
    assert (shown_.model.name, shown_.eps) == ("mlp", 1e-5)
    assert "hydra" not in shown_
    out = shown(capfd, "match_at=0.5", "eps=${match_at}", "--cfg", "job", "--resolve")
    assert OmegaConf.create(out).eps == 0.5


def test_info_and_version(capfd: pytest.CaptureFixture[str]) -> None:
    assert "conf" in shown(capfd, "--info", "searchpath")
    assert shown(capfd, "--version") == f"gradcheck {__version__}\n"


def test_a_config_dir_adds_choices(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "model").mkdir(parents=True)
    (folder / "model/wide.yaml").write_text("defaults:\n  - /schema/model/mlp@_here_\n  - _self_\nlayers: [9]\n")
    cells, _ = rows(run("--config-dir", str(folder), "model=wide"))
    assert '"layers":[9]' in cells[0]["config"]


@pytest.mark.parametrize("arguments", [("gradcheck", "run"), ("gradcheck.run",)])
def test_both_commands_run_from_any_folder(arguments: tuple[str, ...]) -> None:
    running = started(*arguments, "eps=1e-4,1e-6", "-m", *QUICK)
    out, err = running.communicate(timeout=PATIENCE)
    assert (running.returncode, err) == (0, "")
    assert out.startswith("2 cells x 6 weights: logistic")
    assert locate("latest").is_dir()


def test_the_console_script_knows_its_commands() -> None:
    for arguments, status, words in [
        (["--version"], 0, __version__),
        (["--help"], 0, "reproduce"),
        (["dance"], 2, "reproduce"),
    ]:
        running = started("gradcheck", *arguments)
        out, err = running.communicate(timeout=PATIENCE)
        assert running.returncode == status
        assert words in out + err


SLOW = ["pandas", "matplotlib", "sklearn", "scipy", "pyarrow.compute"]
# what reads a record, what measures a function of somebody else's, what says in words what a bug is
OTHERS = ["gradcheck.experiment.results.stored", "gradcheck.functions.problems", "gradcheck.bugs.page"]


@pytest.mark.parametrize(
    ("typed", "unwanted"),
    [
        (["dry_run=true"], [*SLOW, *OTHERS, "joblib"]),
        (list(QUICK), [*SLOW, *OTHERS, "joblib"]),
        (["eps=1e-4,1e-6", "-m"], [*SLOW, *OTHERS]),
    ],
)
def test_slow_imports_are_not_on_the_way_of_a_run(typed: list[str], unwanted: list[str]) -> None:
    code = (
        f"import sys; from gradcheck.run import main; main({typed}); print([m for m in {unwanted} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_what_a_run_leaves_behind_in_a_process_that_goes_on_is_found_by_an_ordinary_collection() -> None:
    def left() -> int:
        for _ in range(3):
            assert main([*QUICK, "eps=1e-4", "dry_run=true"]) == 0
        gc.collect(1)
        return sum(isinstance(one, DictConfig) for one in gc.get_objects())

    first = left()
    assert left() <= first + 10


@pytest.mark.usefixtures("frozen_again")
def test_a_collector_that_is_off_stays_off_and_what_is_frozen_stays_frozen() -> None:
    gc.disable()
    gc.freeze()
    try:
        before = gc.get_freeze_count()
        assert main([*QUICK, "eps=1e-4", "dry_run=true"]) == 0
        assert not gc.isenabled()
        assert gc.get_freeze_count() >= 0.9 * before
    finally:
        gc.unfreeze()
        gc.enable()
