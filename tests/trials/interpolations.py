"""Random sweeps whose overrides refer to other keys: each point is what Hydra's own multirun hands to its job.

Hydra's part is played by Hydra: its master config, its sweeper, its composing of each job and its ``run_job``.
"""

# ruff: noqa: SIM905  (words of a list, not code)
from __future__ import annotations

import gc
import io
import json
import math
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext, redirect_stderr, suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra._internal.hydra import Hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, run_job
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from gradcheck.errors import BadInput
from gradcheck.experiment.config import command_line, compose, schema
from gradcheck.experiment.grid import axes
from gradcheck.experiment.grid.dimensions import grid, in_groups, job_number
from gradcheck.experiment.grid.points import points
from gradcheck.views.commands import launch

from .composing import remembering
from .kills import Failure

LIMIT = 1_000_000
SHARE = 250  # sets that one process compares before it reports
OUTPUT = "hydra.sweep.dir=jobs"  # the same folder for both: the usual one holds the time
CHECKED = 50  # one set in so many is composed without remembering anything
MOST = 4  # jobs of a set: Hydra composes each anew
VARIABLE = "GRADCHECK_TRIAL"
# what Hydra raises for an input that it does not take
REFUSED = (HydraException, OmegaConfBaseException, ValueError, TypeError, AssertionError, AttributeError, KeyError)

# ----------------------------------------------------------------------------------------------------------- the truth


class _Jobs:
    """A launcher that keeps what each job is given."""

    def __init__(self, hydra: Hydra, master: DictConfig) -> None:
        self._hydra, self._master = hydra, master
        self.given: list[dict[str, Any]] = []

    def launch(self, jobs: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        context = HydraContext(config_loader=self._hydra.config_loader, callbacks=Callbacks())
        returned = []
        for number, job in enumerate(jobs, initial_job_idx):
            cfg = self._hydra.config_loader.load_sweep_config(self._master, list(job))
            with open_dict(cfg):
                cfg.hydra.job.id, cfg.hydra.job.num = str(number), number
                cfg.hydra.output_subdir = None  # nothing need be written
            returned.append(
                run_job(
                    task_function=self.task,
                    config=cfg,
                    job_dir_key="hydra.sweep.dir",
                    job_subdir_key="hydra.sweep.subdir",
                    hydra_context=context,
                    configure_logging=False,
                )
            )
        return returned

    def task(self, cfg: DictConfig) -> None:
        resolved = OmegaConf.to_container(cfg, resolve=True)
        assert isinstance(resolved, dict)
        self.given.append({key: resolved[key] for key in schema.SCIENCE if key in cfg})


def hydras(hydra: Hydra, overrides: Sequence[str], master: DictConfig | None = None) -> list[dict[str, Any]]:
    """What the jobs of Hydra's own multirun get, in its order.

    master : where Hydra would not begin: another one, whose list of overrides is the same.
    """
    if master is None:
        master = hydra.compose_config(
            compose.CONFIG_NAME,
            [*overrides, OUTPUT, "hydra.mode=MULTIRUN"],
            run_mode=RunMode.MULTIRUN,
            with_log_configuration=False,
        )
    context, jobs = HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks()), _Jobs(hydra, master)
    sweeper: Any = Plugins.instance().instantiate_sweeper(hydra_context=context, task_function=jobs.task, config=master)
    sweeper.launcher = jobs
    sweeper.validate_batch_is_legal = lambda batch: None  # composes all once more, to no other end
    with redirect_stderr(io.StringIO()):  # a job that fails is printed
        sweeper.sweep(OmegaConf.to_container(master.hydra.overrides.task, resolve=False))
    return jobs.given


def masters(hydra: Hydra, overrides: Sequence[str]) -> DictConfig:
    """Our master config of a sweep."""
    typed = [*overrides, OUTPUT]
    return launch._master(hydra, typed, command_line.parse(hydra, typed), typed=True)[0]


def ours(hydra: Hydra, overrides: Sequence[str]) -> list[dict[str, Any]]:
    """The points of the same sweep as we plan them, in Hydra's order.  Raises BadInput, also for too many of them."""
    master = masters(hydra, overrides)
    ordered = in_groups(grid(hydra, axes.typed(master), LIMIT))
    if math.prod(map(len, ordered)) > MOST:
        raise TooMany
    found = {job_number(ordered, i): point for i, point in enumerate(points(hydra, master, ordered))}
    return [found[number] for number in range(len(found))]


class TooMany(Exception):
    """More jobs than a trial waits for."""


def compare(hydra: Hydra, overrides: Sequence[str]) -> tuple[str, str | None]:
    """How both took a set of overrides, and in what they differ."""
    found: dict[str, Any] = {}
    for name, expand in (("ours", ours), ("hydra", hydras)):
        try:
            found[name] = expand(hydra, overrides)
        except TooMany:
            return "too many jobs", None
        except BadInput as error:
            found[name] = error
        except REFUSED as error:
            if name == "ours":
                return "raised", f"{overrides}: {type(error).__name__}: {error}"
            found[name] = error
    kind = "points"
    if isinstance(found["hydra"], Exception) and not isinstance(found["ours"], Exception):
        # a value that fits the groups of the points but not the default ones: Hydra does not begin, we do
        kind = "points where Hydra does not begin"
        try:
            found["hydra"] = hydras(hydra, overrides, masters(hydra, overrides))
        except REFUSED:
            pass
    if isinstance(found["hydra"], Exception) and isinstance(found["ours"], BadInput):
        return "refused by both", None if "\n" not in str(found["ours"]) else f"{overrides}: {found['ours']}"
    told = {name: repr(one) if isinstance(one, Exception) else _text(one) for name, one in found.items()}
    if told["hydra"] != told["ours"]:
        return kind, f"{overrides}: Hydra {told['hydra'][:400]} :: we {told['ours'][:400]}"
    return kind, None


def _text(points: list[dict[str, Any]]) -> str:
    """Points with the types of their values: 1, 1.0 and true are three."""
    return json.dumps(points, sort_keys=True, default=repr)


# ------------------------------------------------------------------------------------------------------- the overrides

GROUPS = {
    "model": ["one_d", "linear", "logistic", "mlp", "softmax"],
    "data": ["gaussian", "values", "file", "none"],
    "init": ["normal", "zeros", "values"],
    "bug": ["none", "scale", "label_flip"],
}
NUMBERS = "data.seed init.seed bug.seed data.n data.d data.noise data.scale init.scale model.l2 bug.magnitude match_at".split()
TEXTS = "scheme dtype model.activation model.name bug.name bug.param data.source data.path".split()
OTHERS = "eps model.layers init.values data.X data.features model data init bug".split()
HYDRAS = (
    "job.num job.name job.id runtime.choices.model runtime.cwd runtime.output_dir job.override_dirname overrides.task"
).split()
FILES = {
    "shared": "init:\n  seed: ${data.seed}\nhydra:\n  sweeper:\n    params:\n      data.seed: 1,2\n",
    "early": "hydra:\n  sweeper:\n    params:\n      data.seed: 1,2\n      init.seed: ${data.seed}\n",
    "late": "hydra:\n  sweeper:\n    params:\n      data.seed: 1,2\n      init.seed: \\${data.seed}\n",
    "chosen": "defaults:\n  - override /bug: scale\nbug:\n  seed: ${data.seed}\n  magnitude: ${match_at}\n",
    "named": "scheme: ${oc.env:GRADCHECK_TRIAL,central}\nmodel:\n  l2: ${oc.select:bug.magnitude,0.5}\n",
    "numbered": "data:\n  seed: ${hydra:job.num}\n",
}


PARAMETERS = "hydra:\n  sweeper:\n    params:\n      {}: 1,2\n      {}: {}\n"


def put_experiments(folder: Path) -> None:
    """A config folder whose experiments refer to other keys, some of them in the parameters of the sweeper."""
    (folder / "experiment").mkdir(parents=True)
    texts = dict(FILES)
    for i, key in enumerate([*KEYS, *FIXED, *(f"hydra:{key}" for key in HYDRAS), *(f"hydra.{key}" for key in HYDRAS)]):
        swept = ("data.seed", "match_at", "model.l2")[i % 3]
        for j, form in enumerate(("${{{}}}", "'\\${{{}}}'", "'\\${{{}}},2'", "'[\\${{{}}}]'")):
            texts[f"p{i}_{j}"] = PARAMETERS.format(swept, "init.seed", form.format(key))
    for name, text in texts.items():
        (folder / "experiment" / f"{name}.yaml").write_text(f"# @package _global_\n{text}")
    EXPERIMENTS[:] = texts


KEYS = [*NUMBERS, *TEXTS, *OTHERS, "nope", "data.nope"]
NEAR = [".seed", "..data.seed", "..match_at", "...eps", "data[seed]", "[init][seed]", ".scale"]
FIXED = [
    f"oc.env:{VARIABLE}",
    "oc.env:GRADCHECK_NOT_SET",
    "oc.env:GRADCHECK_NOT_SET,3",
    "oc.env:GRADCHECK_NOT_SET,null",
    "oc.select:nope,2",
    "oc.select:data.seed",
    "oc.create:[1,2]",
    "oc.decode:'[3,4]'",
    "oc.dict.keys:init",
    "oc.dict.values:init",
    "logspace:-3,-1,3",
    "now:%Y",
    "python_version:major",
    "nobody:1",
]
AROUND = [
    "oc.env:GRADCHECK_NOT_SET,{}",
    "oc.select:nope,{}",
    "oc.select:{}.seed,4",
    "oc.decode:{}",
    "oc.select:bug.{},0",
    "oc.create:[{},1]",
    "logspace:-3,-1,{}",
    "{}",
    "data.{}",
    "hydra:job.{}",
]
EXPERIMENTS = [*FILES]
PLAIN = "0 1 2 3 0.5 1e-3 true null central forward float32 relu W b x.csv [1,2] [3] {} {seed:1} auto".split()
FORMS = (
    "{0} {0} {0} {0} '{0}' \"{0}\" '\\{0}' \\{0} a{0} '{0},{1}' {0}{1} [{0}] [{0},{1}] {{seed:{0}}} {{W:{0}}}".split()
)
CALLS = ["str({})", "int({})", "float({})", "json_str({})"]


@st.composite
def references(draw: st.DrawFn, depth: int = 2) -> str:
    """An interpolation: of keys of all kinds, by resolvers, and these within each other."""
    kind = draw(st.integers(0, 9))
    if kind < 4:
        inner = draw(st.sampled_from([*NUMBERS, *KEYS]))
    elif kind < 6:
        inner = draw(st.sampled_from(FIXED))
    elif kind < 7:
        inner = draw(st.sampled_from(["hydra:", "hydra."])) + draw(st.sampled_from(HYDRAS))
    elif kind < 8 or not depth:
        inner = draw(st.sampled_from(NEAR))
    else:
        inner = draw(st.sampled_from(AROUND)).format(draw(references(depth - 1)))
    return f"${{{inner}}}"


@st.composite
def values(draw: st.DrawFn) -> str:
    """A value that refers to another key, or several, or a plain one."""

    def one() -> str:
        if draw(st.integers(0, 4)) == 0:
            return draw(st.sampled_from(PLAIN))
        text = draw(st.sampled_from(FORMS)).format(draw(references()), draw(st.sampled_from([*PLAIN, "${data.seed}"])))
        return draw(st.sampled_from(CALLS)).format(text) if draw(st.integers(0, 14)) == 0 else text

    kind = draw(st.integers(0, 9))
    if kind < 5:
        return one()
    if kind < 8:
        return f"{one()},{one()}"
    if kind < 9:
        return f"choice({one()},{one()})"
    return draw(st.sampled_from(["range(2)", "range(1,3)", "0,1", "1,2", "choice(0,1)", "sort(2,1)", "5,6,7"]))


# references that fit, of keys of each type
FITTING = {
    "int": [
        *"data.seed init.seed bug.seed data.n data.d data[seed] init[seed] hydra:job.num".split(),
        "oc.select:nope,4",
    ],
    "float": [*"match_at model.l2 init.scale data.scale data.noise init.seed".split(), "oc.decode:'0.5'"],
    "text": [*"scheme dtype model.name bug.name init.name hydra:job.name".split(), f"oc.env:{VARIABLE}"],
}
KINDS = {key: "int" if key.endswith(("seed", ".n", ".d")) else "float" for key in NUMBERS} | dict.fromkeys(
    TEXTS, "text"
)
SOUND = "{0} {0} {0} '{0}' \"{0}\" {0},{1} {0},{1} {1},{0} choice({0},{1}) choice({1},{0})".split()
STEADY = {"int": ["1", "2", "5"], "float": ["0.5", "1e-3", "2"], "text": ["central", "forward", "float32"]}


@st.composite
def fitting(draw: st.DrawFn) -> str:
    """A key and a value that it takes: a reference, or several values with or without one."""
    key = draw(st.sampled_from([*NUMBERS, *NUMBERS, "scheme", "dtype", "eps"]))
    kind = KINDS.get(key, "float")
    form = draw(st.sampled_from([*SOUND, "{1},{2}", "{1},{2}", "{1}", "[{0},{1}]" if key == "eps" else "{0}"]))
    reference = draw(st.sampled_from([one for one in FITTING[kind] if one != key]))
    if draw(st.integers(0, 5)) == 0:  # Hydra reads an interpolation within another one in quotes only
        reference = draw(st.sampled_from(["oc.env:GRADCHECK_NOT_SET,${{{}}}", "oc.select:nope,${{{}}}"])).format(
            reference
        )
        form = draw(st.sampled_from(["'{0}'", '"{0}"', "'{0}',{1}", "{1},'{0}'"]))
    return f"{key}={form.format(f'${{{reference}}}', *draw(st.permutations(STEADY[kind])))}"


@st.composite
def overrides(draw: st.DrawFn) -> str:
    """A value of a key, a choice of configs (maybe named after another choice), or a word to Hydra."""
    kind = draw(st.integers(0, 19))
    if kind < 11:
        return draw(fitting())
    if kind < 15:
        prefix = draw(st.sampled_from(["", "", "", "", "", "+", "++", "~"]))
        key = draw(st.sampled_from([*NUMBERS, *NUMBERS, *TEXTS, *OTHERS, "model.extra", "eps.0"]))
        return f"{prefix}{key}={draw(values())}"
    if kind < 18:
        group = draw(st.sampled_from(sorted(GROUPS)))
        others = {"data": ["bug", "init"], "bug": ["data", f"oc.env:{VARIABLE}"], "init": ["data"], "model": ["bug"]}
        named = [f"${{{key}}}" for key in (*others[group] * 3, group, draw(st.sampled_from(KEYS)))]
        names = draw(st.lists(st.sampled_from([*GROUPS[group] * 4, *named, "{seed:1}"]), min_size=1, max_size=2))
        return f"{group}={','.join(names)}"
    form = [
        "~model.l2",
        "~bug.seed",
        "~bug",
        "~init",
        "~eps",
        "hydra.job.name=a{0}",
        f"+hydra.job.env_set.{VARIABLE}={{0}}",
        f"+hydra.job.env_set.{VARIABLE}={{2}}",
        "+experiment={1}",
        "+experiment={1}",
        "+experiment={1}",
    ]
    words = draw(references()), draw(st.sampled_from(EXPERIMENTS)), draw(st.sampled_from(["b", "forward", "2"]))
    return draw(st.sampled_from(form)).format(*words)


def override_sets() -> st.SearchStrategy[list[str]]:
    """Overrides of a sweep, at least one of which refers to another key."""
    sets = st.one_of(st.lists(one, min_size=1, max_size=4) for one in (fitting(), overrides()))
    return sets.filter(
        lambda typed: (
            any("${" in text or "experiment" in text for text in typed)
            and sum("," in text or "range" in text for text in typed) <= 3
        )
    )


# ---------------------------------------------------------------------------------------------------------- the trials


@contextmanager
def arranged(folder: Path) -> Iterator[Hydra]:
    """Hydra over our configs and the experiments, in a folder of its own."""
    put_experiments(folder / "conf")
    before, variable = os.getcwd(), os.environ.get(VARIABLE)
    os.chdir(folder)
    os.environ[VARIABLE] = "scale"
    try:
        with compose.opened(str(folder / "conf")) as hydra:
            HydraConfig.instance().cfg = None
            yield hydra
    finally:
        os.chdir(before)
        os.environ.pop(VARIABLE)
        if variable is not None:
            os.environ[VARIABLE] = variable


def run(folder: Path, sets: int, number: int) -> tuple[Counter[str], list[str]]:
    """So many sets, drawn from a seed: how often both did what, and each difference."""
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    seen: set[tuple[str, ...]] = set()

    @seed(number)
    @settings(
        max_examples=20 * sets, deadline=None, database=None, derandomize=False, suppress_health_check=list(HealthCheck)
    )
    @given(override_sets())
    def one(typed: list[str]) -> None:
        if tuple(typed) in seen or counts.total() >= sets:
            return
        with remembering(MADE) if (len(seen) + 1) % CHECKED else nullcontext():
            kind, difference = compare(hydra, typed)
        seen.add(tuple(typed))
        if kind != "too many jobs":
            counts[kind] += 1
        if difference is not None:
            wrong.append(difference)
        if counts.total() >= sets:
            raise _Enough

    with arranged(folder) as hydra, suppress(_Enough):
        one()
    return counts, wrong


class _Enough(BaseException):
    """All sets of a share are compared."""


MADE: dict[Any, Any] = {}  # what Hydra has composed in this process


def _share(work: tuple[str, int, int]) -> tuple[Counter[str], list[str]]:
    folder, sets, number = work
    gc.set_threshold(100_000, 50, 50)  # a config is all cycles: looking for them takes a fifth of the time
    return run(Path(tempfile.mkdtemp(dir=folder)), sets, number)


def trial(folder: Path, sets: int, processes: int = 2) -> str:
    """So many sets that were compared, in some processes.  Raises Failure."""
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    shares = [(str(folder), min(SHARE, sets - done), number) for number, done in enumerate(range(0, sets, SHARE))]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for found, differences in pool.map(_share, shares):
            counts += found
            wrong += differences
    told = ", ".join(f"{n} {kind}" for kind, n in counts.most_common())
    if wrong:
        raise Failure(f"{len(wrong)} of {counts.total()} ({told}): " + " ;; ".join(wrong[:20]))
    return f"{counts.total()} sets: {told}; none differs"
