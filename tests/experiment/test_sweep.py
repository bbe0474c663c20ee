"""The plan of a sweep: point by point what Hydra itself would compose, no cell twice, the record read back."""

from __future__ import annotations

import copy
import itertools
import json
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hydra._internal.hydra import Hydra
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf
from trials import interpolations
from trials.composing import remembering, sources

from gradcheck.columns.store import PLAN
from gradcheck.errors import BadInput
from gradcheck.experiment.config import compose, registration
from gradcheck.experiment.config.build import build
from gradcheck.experiment.config.canonical import canonical_json
from gradcheck.experiment.grid import axes, sweep
from gradcheck.experiment.grid.dimensions import grid
from gradcheck.experiment.grid.points import points
from gradcheck.experiment.grid.record import read_plan, write_plan
from gradcheck.experiment.results.plan import Planned

LIMIT = 1_000_000


@pytest.fixture(scope="module")
def hydra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hydra]:
    """Hydra over our configs and some experiments, in a folder where jobs of its own may write.

    Each choice of configs is composed once by Hydra, and once by what composes the points.
    """
    with interpolations.arranged(tmp_path_factory.mktemp("sweep")) as opened, remembering({}, sources):
        yield opened


@cache
def composed(hydra: Hydra, *overrides: str) -> DictConfig:
    return compose.compose(hydra, overrides, multirun=True)


def ours(hydra: Hydra, overrides: list[str]) -> list[dict[str, Any]]:
    master = interpolations.masters(hydra, overrides)
    return list(points(hydra, master, grid(hydra, axes.typed(master), LIMIT)))


def hydras(hydra: Hydra, overrides: list[str]) -> list[dict[str, Any]]:
    """What the jobs of Hydra's own multirun are given."""
    return interpolations.hydras(hydra, overrides)


SETS = [
    "eps=1e-4,1e-6",
    "eps=1e-4",
    "eps=[1e-4,1e-6],[1e-5]",
    "eps=auto,1e-5 scheme=central,forward",
    "eps=1e-4 eps=1e-5,1e-6 dtype=float32",
    "dtype=float32,float64 eps=1e-3 dtype=float64,longdouble",
    "init.seed=range(4)",
    "init.seed=range(0,6,2) init.scale=0.5,1",
    "init.seed=range(3,0,-1)",
    "eps=range(0.1,0.4,0.1)",
    "model.l2=choice(0,0.1,1) model.bias=true,false",
    "model.l2=sort(3,1,2)",
    "data.n=sort(20,10,reverse=true)",
    "model=linear,logistic",
    "model=one_d,linear init.scale=2",
    "model=glob(*,exclude=function)",
    "model=glob(l*) data.n=7",
    "model=mlp model.layers=[3],[4,2]",
    "model=mlp model.layers=[3],[] model.activation=relu,tanh",
    "model=mlp,softmax init.seed=1,2",
    "bug=none,scale,label_flip",
    "bug=scale bug.magnitude=0.1,0.2",
    "bug=none,scale bug.seed=0,1",
    "bug=scale,sign_flip bug.param=W,b",
    "bug.magnitude=null,0.5 bug=scale",
    "init=normal,zeros",
    "init=values init.values={W:[[1],[2]],b:[0]},{W:[[3],[4]],b:[1]} data.d=2",
    "init=values +init.values.W=[[1],[2]],[[3],[4]]",
    "data=values data.X=[[1,2]],[[3,4]] data.y=[1]",
    "data=gaussian,values",
    "data=sklearn data.name=iris,wine",
    "data=sklearn,gaussian",
    "data=file data.path=a.csv,'b c.csv' data.target=y,[y,z]",
    "data.n=10,20 data.d=2,3 data.seed=1",
    "model={l2:1},{l2:2}",
    "model={l2:1},{l2:2} model.bias=false",
    "model={bias:false} model.l2=1,2",
    "eps=${match_at},1e-3",
    "match_at=1e-2,1e-3 eps=${match_at}",
    "model.l2=${match_at},3 match_at=0.5,0.25",
    "eps=${logspace:-3,-1,3}",
    "eps=${logspace:-3,-1,3} init.seed=1,2",
    "eps=${logspace:-3,-1,3},${logspace:-5,-4,2}",
    "eps=1e-4,1e-5 init.seed=${hydra:job.num}",
    "bug=none,scale init.seed=${hydra:job.num} eps=1e-4,1e-5 model=linear,mlp",
    "match_at=1,2 data.path=${hydra:job.override_dirname} data=file data.target=${hydra:runtime.output_dir}",
    "data.seed=0,1,2 init.seed=${data.seed}",
    "init.seed=${data.seed} data.seed=range(3)",
    "init.seed=${data.seed},5 data.seed=1,2",
    "init.seed='${data.seed}' data.seed=choice(1,${data.n})",
    "data.seed=1,2 eps=[1e-4,${match_at}] match_at=1e-2,1e-3",
    "match_at=1,2 model.l2=${oc.select:match_at} init.scale='${oc.select:nope,${model.l2}}'",
    "data.n=2,3 eps='${logspace:-3,-1,${data.n}}'",
    "data.n=2,3 data.d=${.n} init.seed=${..data[n]}",
    "data=none model=one_d bug=scale,${data}",
    "bug=none,${oc.env:GRADCHECK_TRIAL} bug.seed=${init.seed} init.seed=1,2",
    "scheme='\\${dtype}' dtype=float32,float64",
    "model={l2:1},linear,{l2:2} model.bias=true,false",
    "++model.l2=${match_at} match_at=2,3",
    "+hydra.job.env_set.GRADCHECK_TRIAL=7 init.seed=${oc.env:GRADCHECK_TRIAL} data.seed=1,2",
    "hydra.job.name=a${data.seed} scheme=${hydra:job.name} data.seed=1,2",
    *(f"+experiment={name} bug=scale bug.magnitude=1,2" for name in interpolations.FILES),
    "++eps=1e-4,1e-5",
    "++model.l2=1,2",
    "+model.extra=1,2",
    "++model.extra=1,2 eps=1e-4,1e-5",
    "~eps init.seed=1,2",
    "~bug eps=1e-4,1e-5",
    "scheme='central',\"forward\"",
    "init.seed=1,1,2",
    "match_at=1,1.0,1e0",
    "engine=serial eps=1e-4,1e-5",
    "fail_on=never eps=1e-4,1e-5 progress=none",
    "+experiment=textbook_1d",
    "+experiment=textbook_1d eps=1e-2",
    "+experiment=textbook_1d model.curve=sin,exp",
    "+experiment=course_net",
    "+experiment=course_net bug=none",
    "+experiment=logistic_layer data.n=5,6",
    "+experiment=eps_sweep bug=none",
    "+experiment=eps_sweep eps=1e-3 scheme=central",
    "+experiment=linear_five_features init.seed=1",
    "hydra/job_logging=default eps=1e-4,1e-5",
]


@pytest.mark.parametrize("typed", SETS)
def test_every_point_is_what_hydra_itself_composes_in_the_same_order(hydra: Hydra, typed: str) -> None:
    overrides = split(typed)
    expected = hydras(hydra, overrides)
    assert ours(hydra, overrides) == expected
    assert expected


def split(typed: str) -> list[str]:
    """Words, but for a blank within quotes."""
    return [word.replace("\0", " ") for word in typed.replace("b c.csv", "b\0c.csv").split(" ")]


REFERRING = """
defaults:
  - /schema/model/linear@_here_
  - _self_
l2: ${len:${hydra:job.name}}
"""


def test_a_config_that_refers_to_hydra_gives_what_hydra_composes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Points are composed without Hydra's own configs, unless one is asked for."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text(REFERRING)
    registration.register_resolver("len", lambda values: len(values))
    try:
        monkeypatch.chdir(tmp_path)
        with compose.opened(str(tmp_path)) as extended:
            overrides = ["model=linear,mine", "hydra.job.name=abc", "bug=none,scale"]
            found = ours(extended, overrides)
            assert found == interpolations.hydras(extended, overrides)
            assert [point["model"]["l2"] for point in found] == [0.0, 0.0, 3, 3]
    finally:
        OmegaConf.clear_resolver("len")


def test_points_are_composed_without_the_configs_of_hydra(hydra: Hydra) -> None:
    master = compose.compose(hydra, ["bug=none,scale"], multirun=True)
    assert "launcher" not in compose.compose_point(hydra, master, ["bug=scale"], []).hydra
    assert "launcher" in compose.compose_point(hydra, master, ["bug=scale"], ["eps=${hydra.job.name}"]).hydra


def test_the_comparison_can_fail(hydra: Hydra) -> None:
    assert ours(hydra, ["eps=1e-4,1e-6"]) != hydras(hydra, ["eps=1e-6,1e-4"])
    assert ours(hydra, ["model.l2=1,2"]) != hydras(hydra, ["model.l2=1,3"])


VALUES = {
    "eps": ["1e-4", "auto", "[1e-4,1e-5]", "${match_at}"],
    "match_at": ["1", "0.5", "1e-3"],
    "model": ["linear", "logistic", "mlp", "one_d"],
    "model.l2": ["0", "1.5", "${match_at}"],
    "bug": ["none", "scale", "label_flip"],
    "bug.seed": ["0", "7"],
    "bug.magnitude": ["null", "0.5"],
    "init": ["normal", "zeros"],
    "init.seed": ["1", "range(2)"],
    "data.n": ["5", "6"],
    "scheme": ["central", "forward"],
    "++model.l2": ["3", "4"],
    "~bug.seed": ["0"],
}
override = st.sampled_from(sorted(VALUES)).flatmap(
    lambda key: st.lists(st.sampled_from(VALUES[key]), min_size=1, max_size=2, unique=True).map(
        lambda values: f"{key}={','.join(values)}" if not any("range" in v for v in values) else f"{key}={values[0]}"
    )
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(
    # Hydra composes each job anew: no more than four of them
    overrides=st.lists(override, min_size=1, max_size=4).filter(
        lambda chosen: sum("," in one or "range" in one for one in chosen) <= 2
    )
)
def test_mixed_overrides_give_what_hydra_composes_or_are_refused_by_both(hydra: Hydra, overrides: list[str]) -> None:
    assert difference(hydra, overrides) is None


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(overrides=interpolations.override_sets())
def test_overrides_that_refer_to_keys_give_what_hydra_composes_or_are_refused_by_both(
    hydra: Hydra, overrides: list[str]
) -> None:
    """In full: ``python -m tests.trials interpolations``."""
    assert difference(hydra, overrides) is None


def difference(hydra: Hydra, overrides: list[str]) -> str | None:
    return interpolations.compare(hydra, overrides)[1]


def test_a_list_of_overrides_that_is_resolved_too_early_is_seen(hydra: Hydra, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = ["data.seed=0,1,2", "init.seed=${data.seed}"]
    assert [point["init"]["seed"] for point in ours(hydra, overrides)] == [0, 1, 2]
    assert difference(hydra, overrides) is None
    monkeypatch.setattr(compose, "as_typed", list)
    assert [point["init"]["seed"] for point in ours(hydra, overrides)] == [0, 0, 0]
    assert difference(hydra, overrides) is not None


def test_an_environment_that_no_job_can_have_is_refused(hydra: Hydra, tmp_path: Path) -> None:
    overrides = [f"+hydra.job.env_set.{interpolations.VARIABLE}=${{data.seed}}", "data.seed=1,2"]
    assert difference(hydra, overrides) is None
    if registration.ASKS_FOR_A_BASE:  # later Hydras let it refer to other keys
        # a config that is opened once more: one remembers the files that other tests had composed, and names them
        with interpolations.arranged(tmp_path) as anew, pytest.raises(BadInput, match="env_set"):
            ours(anew, overrides)


@pytest.mark.parametrize("overrides", [["init.seed=${hydra.job.num}"], ["data.seed=0,1", "eps=${hydra.job.id}"]])
def test_keys_of_hydra_are_read_by_its_resolver_only_as_in_its_own_jobs(hydra: Hydra, overrides: list[str]) -> None:
    assert difference(hydra, overrides) is None
    with pytest.raises(BadInput, match=r"a run does not see Hydra's own keys; write \$\{hydra:job\.(num|id)\}"):
        ours(hydra, overrides)


def plan_of(hydra: Hydra, overrides: list[str]) -> list[Planned]:
    return sweep.sweep(hydra, copy.deepcopy(composed(hydra, *overrides)), LIMIT)


def ids(planned: list[Planned]) -> list[str]:
    return [job.cell for job in planned]


def test_a_list_of_eps_in_one_run_and_a_sweep_over_eps_are_the_same_cells(hydra: Hydra) -> None:
    single = sweep.plan([compose.science(compose.compose(hydra, ["eps=[1e-4,1e-6]"]))], LIMIT, single=True)
    assert ids(single) == ids(plan_of(hydra, ["eps=1e-4,1e-6"]))


def test_the_order_of_overrides_changes_no_id(hydra: Hydra) -> None:
    overrides = ["eps=1e-4,1e-6", "bug=none,scale", "model.l2=1"]
    expected = sorted(ids(plan_of(hydra, overrides)))
    for order in itertools.permutations(overrides):
        assert sorted(ids(plan_of(hydra, list(order)))) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["eps=0.0001"], ["eps=1e-4"]),
        (["eps='1e-4'"], ["eps=1e-4"]),
        (["model.l2=1"], ["model.l2=1.0"]),
        (["data=values", "data.X=[[1,2]]", "data.y=[1]"], ["data=values", "data.X=[[1.0,2.0]]", "data.y=[1.0]"]),
        (["engine=serial"], ["engine=loky", "progress=none", "fail_on=never", "store=x"]),
    ],
)
def test_the_same_science_in_other_words_has_the_same_id(hydra: Hydra, one: list[str], other: list[str]) -> None:
    assert ids(plan_of(hydra, one)) == ids(plan_of(hydra, other))


@pytest.mark.parametrize(
    "typed", ["eps=1e-5", "model.l2=1", "init.seed=1", "data.n=101", "dtype=float32", "match_at=1e-3", "bug=scale"]
)
def test_another_science_has_another_id(hydra: Hydra, typed: str) -> None:
    assert ids(plan_of(hydra, [typed])) != ids(plan_of(hydra, ["eps=auto"]))


def test_no_cell_is_planned_twice(hydra: Hydra) -> None:
    planned = plan_of(hydra, ["eps=[1e-4,1e-5],[1e-5,1e-6]", "model.l2=0,0.0"])
    assert len(planned) == 3
    assert len(set(ids(planned))) == 3


def test_cells_without_meaning_are_skipped_with_the_reason_and_the_others_stay(hydra: Hydra) -> None:
    planned = plan_of(
        hydra, ["model=linear,mlp", "bug=none,detached_layer", "scheme=central,complex_step", "dtype=float32"]
    )
    reasons = {
        (job.config["model"]["name"], job.config["bug"]["name"], job.config["scheme"]): job.skip for job in planned
    }
    assert len(reasons) == 8
    assert reasons["mlp", "none", "central"] is None
    assert reasons["mlp", "detached_layer", "central"] is None
    assert "detached_layer" in str(reasons["linear", "detached_layer", "central"])
    assert "complex_step" in str(reasons["mlp", "none", "complex_step"])


def test_a_model_without_data_joins_a_grid_of_models_with_data(hydra: Hydra) -> None:
    planned = plan_of(hydra, ["model=one_d,linear"])
    assert [job.config["data"]["source"] for job in planned] == ["none", "gaussian"]
    assert [job.skip for job in planned] == [None, None]


def test_keys_without_a_column_of_their_own_are_told_with_their_values(hydra: Hydra) -> None:
    planned = plan_of(hydra, ["bug=none,scale", "bug.magnitude=0.5", "model.l2=0,1", "eps=1e-4,1e-5", "init.seed=1,2"])
    assert {tuple(job.swept) for job in planned} == {("model.l2",)}
    planned = plan_of(hydra, ["bug=scale", "bug.magnitude=0.5,2", "data.noise=0,1"])
    assert [job.swept for job in planned] == [
        {"bug.magnitude": m, "data.noise": noise} for m, noise in itertools.product([0.5, 2.0], [0.0, 1.0])
    ]


def test_the_limit_is_refused_before_anything_is_expanded(hydra: Hydra) -> None:
    start = time.process_time()
    with pytest.raises(BadInput, match="max_cells"):
        grid(hydra, ["init.seed=range(1000000000000)"], LIMIT)
    with pytest.raises(BadInput, match="max_cells"):
        grid(hydra, [f"{key}=range(10000)" for key in ("init.seed", "data.seed", "bug.seed")], LIMIT)
    assert time.process_time() - start < 5


def test_a_cell_is_planned_in_a_few_milliseconds(hydra: Hydra) -> None:
    start = time.process_time()
    planned = plan_of(hydra, ["data.d=10", "eps=1e-4,1e-5,1e-6,1e-7", "init.seed=range(500)"])
    spent = time.process_time() - start
    assert len(planned) == 2000
    assert spent / len(planned) < 2e-3  # Hydra's own way takes some 100 ms


def experiments() -> list[str]:
    return sorted(path.stem for path in (registration.conf_dir() / "experiment").glob("*.yaml"))


def test_there_are_ready_grids() -> None:
    assert {
        *("textbook_1d", "linear_five_features", "logistic_layer", "course_net"),
        *("eps_sweep", "bug_zoo", "precision", "real_data"),
    } <= set(experiments())


# a part of each is planned elsewhere: calibrations in tests/calibration, layers in test_group_axes.py and test_referee.py
LARGE = ("bug_zoo", "real_data", "layer_zoo", "real_mistakes", "referee")
SMALL = [n for n in experiments() if n not in LARGE and not n.startswith("calibration")]


@pytest.mark.parametrize("name", SMALL)
def test_a_ready_grid_is_a_sweep_without_minus_m_whose_cells_all_build(hydra: Hydra, name: str) -> None:
    master = compose.compose(hydra, [f"+experiment={name}"], multirun=True)
    assert master.hydra.mode.name == "MULTIRUN"
    planned = sweep.sweep(hydra, master, LIMIT)
    assert planned
    for job in planned:
        assert job.text == canonical_json(job.config)
        if job.skip is None:
            build(job.config)


def test_the_zoo_holds_every_bug_and_every_model(hydra: Hydra) -> None:
    lines = axes.typed(interpolations.masters(hydra, ["+experiment=bug_zoo"]))
    found = {one.axes[0].key: [o.value() for (o,) in one] for one in grid(hydra, lines, LIMIT)}
    assert set(found["bug"]) == {path.stem for path in (registration.conf_dir() / "bug").glob("*.yaml")}
    assert set(found["model"]) == {path.stem for path in (registration.conf_dir() / "model").glob("*.yaml")} - {
        "function"
    }
    assert len(found["init.seed"]) >= 3


def test_the_course_net_holds_the_numbers_of_the_course(hydra: Hydra) -> None:
    np = pytest.importorskip("numpy")
    (first, *_) = plan_of(hydra, ["+experiment=course_net"])
    np.random.seed(1)
    X, *weights = (np.random.randn(*shape) for shape in [(4, 3), (5, 4), (5, 1), (3, 5), (3, 1), (1, 3), (1, 1)])
    assert np.array_equal(first.config["data"]["X"], X.T)
    values = first.config["init"]["values"]
    for name, value in zip(("W1", "b1", "W2", "b2", "W3", "b3"), weights, strict=True):
        assert np.array_equal(values[name], value.T if name[0] == "W" else value.ravel())


def record(run_dir: Path, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), run_dir / PLAN)


def test_a_stored_plan_is_read_back_as_it_was(hydra: Hydra, tmp_path: Path) -> None:
    planned = plan_of(hydra, ["bug=scale,detached_layer", "model.l2=0,0.5", "eps=auto,1e-4"])
    assert any(job.skip for job in planned)
    write_plan(tmp_path, planned, ["eps=auto,1e-4"])
    assert read_plan(tmp_path) == (planned, ["eps=auto,1e-4"])
    assert not list((tmp_path / ".tmp").iterdir())


def row(hydra: Hydra, **changes: Any) -> dict[str, Any]:
    (job,) = plan_of(hydra, ["eps=1e-4"])
    return {"cell": job.cell, "config": json.dumps(job.config), "swept": "{}", "skip": None} | changes


@pytest.mark.parametrize(
    "changes",
    [
        {"config": "no json"},
        {"config": "[1]"},
        {"config": "{}"},
        {"config": "[" * 100_000},
        {"config": '{"_target_": "os.system"}'},
        {"config": '{"model": {"name": "logistic", "_target_": "os.system"}}'},
        {"swept": "[1]"},
        {"swept": "nothing"},
    ],
)
def test_a_damaged_or_hostile_plan_is_refused_in_one_line(
    hydra: Hydra, tmp_path: Path, changes: dict[str, Any]
) -> None:
    record(tmp_path, [row(hydra)])
    assert len(read_plan(tmp_path)[0]) == 1
    record(tmp_path, [row(hydra, **changes)])
    with pytest.raises(BadInput) as refused:
        read_plan(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_recorded_file_outside_the_current_folder_is_not_read(
    hydra: Hydra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "secret.csv"
    inside.mkdir()
    outside.write_text("a,y\n1,0\n2,1\n")
    monkeypatch.chdir(tmp_path)
    planned = plan_of(hydra, ["data=file", f"data.path={outside}", "data.target=y"])
    write_plan(inside, planned, [])
    assert read_plan(inside)[0] == planned
    monkeypatch.chdir(inside)
    with pytest.raises(BadInput, match="outside the current folder"):
        read_plan(inside)


def test_a_file_that_changed_makes_another_cell(hydra: Hydra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    typed = ["data=file", "data.path=d.csv", "data.target=y"]
    Path("d.csv").write_text("a,y\n1,0\n2,1\n")
    first = ids(plan_of(hydra, typed))
    Path("moved.csv").write_bytes(Path("d.csv").read_bytes())
    assert ids(plan_of(hydra, [typed[0], "data.path=moved.csv", typed[2]])) == first
    # an id holds no path, the record does
    assert all(job.text == canonical_json(job.config) for job in plan_of(hydra, typed))
    Path("d.csv").write_text("a,y\n1,0\n2.5,1\n")
    assert ids(plan_of(hydra, typed)) != first


def test_each_cell_of_a_plan_is_announced_once_in_its_order(hydra: Hydra) -> None:
    (point,) = ours(hydra, [])
    seen: list[Planned] = []
    found = sweep.plan([point | {"eps": [1e-3, 1e-4, 1e-5, 1e-3]}], LIMIT, seen=seen.append)
    assert [job.cell for job in seen] == [job.cell for job in found]
    assert len(seen) == 3
