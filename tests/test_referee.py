"""The benchmark of other tools: its corpus, what it makes of an answer, what it counts, and that it goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf

from gradcheck.experiment.results.rows import CELLS
from gradcheck.numerics.rules import RULES
from tests.benchmarks.referee import child, corpus, count, nets, originals, page, parts, ports, run, tools, zoo
from tests.benchmarks.referee.case import Answer, Array, Case, Tool
from tests.benchmarks.referee.entry import Entry
from tests.benchmarks.referee.requirements import requirements
from tests.benchmarks.referee.rows import ANSWERS, row, table

ROOT = Path(__file__).resolve().parents[1]
STORED = ROOT / "runs" / "referee"
CONF = ROOT / "conf"
# families with little work, in each kind of case; "sum_abs" has a kink at x
SOME = (
    Entry("zoo", "rosenbrock", "random", "float64", wrong=False),
    Entry("zoo", "rosenbrock", "random", "float64", wrong=True),
    Entry("zoo", "sum_exp", "random", "float32", wrong=False),
    Entry("zoo", "sum_exp", "random", "float32", wrong=True),
    Entry("zoo", "sum_abs", "kink", "float64", wrong=False),
    Entry("zoo", "sum_exp", "random", "float64", wrong=False, noise="white", seed=2),
)
# Compiling for Ceres takes longer than all tests here.
MODULES = [name for name in tools.modules() if name != "ceres"]


def quadratic(dtype: str, error: float = 0.0) -> Case:
    """sum(x^2) / 2 with a gradient whose last entry is wrong by this part of it."""
    x = np.array([1.0, -2.0, 0.5], dtype)
    factor = np.array([1, 1, 1 + error], dtype)
    return Case(
        name="quadratic",
        source="zoo",
        family="quadratic",
        point="random",
        noise="none",
        scale="one",
        mistake="scaled" if error else "",
        x=x,
        fun=lambda at: (at * at).sum() / at.dtype.type(2),
        grad=lambda at: at * factor,
        correct=x.astype(float),
        parameters=(("x", (3,)),),
        kinds=frozenset({"entries"}) if error else frozenset(),
    )


def tool(check: Callable[[Case], Answer], name: str = "fake") -> Tool:
    return Tool(name, "", "a rule", check, version="1")


def truthful(case: Case) -> Answer:
    """A tool that knows the right gradient and looks at the last entry."""
    off = case.size
    return Answer(off > 1e-3, "said", score=off / 1e-3, entry=case.x.size - 1, size=True, cause="entries")


# ------------------------------------------------------------------------------------------------------------- corpus


@pytest.mark.parametrize("entry", SOME, ids=lambda e: f"{e.family}-{e.dtype}-{e.point}-{e.wrong}")
def test_a_case_is_drawn_again_bit_by_bit_in_its_own_dtype(entry: Entry) -> None:
    first, second = corpus.case(entry), corpus.case(replace(entry))
    assert first.x.dtype == entry.dtype
    assert np.asarray(first.fun(first.x)).dtype == entry.dtype
    assert np.asarray(first.grad(first.x)).dtype == entry.dtype
    for key in ("x", "claim", "correct"):
        np.testing.assert_array_equal(getattr(first, key), getattr(second, key))
    assert bool(first.mistake) is entry.wrong


@pytest.mark.parametrize("entry", SOME, ids=lambda e: f"{e.family}-{e.dtype}-{e.point}-{e.wrong}")
def test_a_claim_is_right_up_to_its_rounding_or_wrong_by_its_size(entry: Entry) -> None:
    case = corpus.case(entry)
    # terms of the formula that are as large as the largest entry may cancel, some tens of them; then one more rounding
    rounding = 64 * float(np.finfo(entry.dtype).eps) * np.max(np.abs(case.correct))
    if entry.wrong:
        assert 0 < case.size <= 2
    elif entry.point != "kink":  # where any value between both slopes is right
        assert np.all(case.off <= rounding)


def test_the_entries_have_every_source_dtype_point_and_different_ids() -> None:
    found = list(zoo.entries())
    assert len({entry.id for entry in found}) == len(found)
    assert {(entry.dtype, entry.wrong) for entry in found} == {(d, w) for d in ("float32", "float64") for w in (0, 1)}
    assert {"random", "optimum", "saturated", "zeros", "kink", "near_kink"} <= {entry.point for entry in found}
    assert not [entry for entry in found if entry.wrong and entry.point in zoo.KINKED]


def test_a_net_has_its_own_gradient_or_the_one_with_its_mistake() -> None:
    with nets.compose.opened() as hydra:
        form = nets._composed(hydra, ["+net=rnn", "bug=sign_flip"])
    right, wrong = (corpus.case(nets._entry(nets.NETS, "rnn", "random", form, wrong=w)) for w in (False, True))
    np.testing.assert_array_equal(wrong.claim, -right.claim)
    # the right gradient has more digits: sums over the examples round, 4096 units of the largest entry at most
    np.testing.assert_allclose(right.claim, right.correct, rtol=0, atol=2.0**-40 * np.abs(right.correct).max())
    assert (right.mistake, wrong.mistake, wrong.named) == ("", "sign_flip", True)
    assert "constant_factor" in wrong.kinds
    assert sum(int(np.prod(shape)) for _, shape in wrong.parameters) == wrong.x.size


def test_the_ready_grid_has_each_net_right_and_each_mistake_of_layers() -> None:
    def pairs(name: str) -> list[tuple[str, str]]:
        params = OmegaConf.load(CONF / "experiment" / f"{name}.yaml").hydra.sweeper.params
        listed = [[word.strip() for word in str(params[key]).split(",")] for key in ("+net", "bug")]
        return list(zip(*listed, strict=True))

    grid = pairs("referee")
    assert {net for net, bug in grid if bug == "none"} == {path.stem for path in (CONF / "net").glob("*.yaml")}
    assert [pair for pair in grid if pair[1] != "none"] == pairs("layer_mistakes")


# -------------------------------------------------------------------------------------------------------------- tools


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.filterwarnings("ignore")
def test_a_tool_accuses_a_wrong_sign_and_not_the_right_gradient(module: str) -> None:
    try:
        found = tools.of(module)
    except ImportError as missing:
        pytest.skip(str(missing))
    for one in found:
        if one.name in ("jacobi", "numdifftools", "scipy differentiate", "textbook"):
            continue  # too strict for this gradient: an estimate of 0, or a step of 1e-7
        assert not one.check(quadratic("float64")).accused, one.name
    for one in found:
        told = one.check(quadratic("float64", error=-2.0))
        assert told.accused, one.name
        assert told.said, one.name
        assert told.entry in (None, 2), one.name
        assert told.score is None or told.score > 1, one.name


def test_gradcheck_names_the_entry_the_size_and_the_kind() -> None:
    (own,) = tools.of("own")
    told = own.check(quadratic("float32", error=0.5))
    assert (told.accused, told.verdict, told.entry, told.size, told.missed) == (True, "mismatch", 2, True, 0)
    assert told.cause
    below = own.check(quadratic("float32", error=1e-6))
    assert not below.accused  # an error that float32 differences cannot show
    assert below.missed == 0


def test_what_a_tool_raises_or_takes_too_long_for_is_no_answer() -> None:
    def fails(case: Case) -> Answer:
        raise RuntimeError("broken")

    def hangs(case: Case) -> Answer:
        while True:
            case.fun(case.x)

    for check, words in ((fails, "RuntimeError: broken"), (hangs, "TooLong: more than 0.05 seconds")):
        found = row(child.ask(tool(check), SOME[0], seconds=0.05))
        assert (found["status"], found.get("accused")) == ("failed", None)
        assert words in found["message"]


def test_calls_are_counted_and_the_function_is_called_by_the_tool_alone() -> None:
    def five(case: Case) -> Answer:
        return Answer(bool(np.isnan([case.fun(case.x) for _ in range(5)]).any()), "")

    assert child.ask(tool(five), SOME[0]).calls == 5


# ------------------------------------------------------------------------------------------------------------- parts


def test_a_run_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def check(case: Case) -> Answer:
        asked.append(case.name)
        return truthful(case)

    monkeypatch.setattr(tools, "of", lambda module: (tool(check),))
    monkeypatch.setattr(parts, "CHUNK", 4)
    parts.store_plan(tmp_path, list(SOME))
    assert parts.plan(tmp_path) == list(SOME)
    child.main("fake", tmp_path, [0])
    assert parts.read(tmp_path, "fake", range(2)) is None
    before = parts.path(tmp_path, "fake", 0).read_bytes()
    child.main("fake", tmp_path, [1])
    found = run.answers(tmp_path, ["fake"])
    assert found.column("cell").to_pylist() == [entry.id for entry in SOME] == asked
    assert parts.path(tmp_path, "fake", 0).read_bytes() == before
    done = run._module(tmp_path, {}, "fake")
    assert (done.words, len(asked)) == ("", len(SOME))


def test_a_tool_that_is_not_installed_is_skipped_with_a_word(tmp_path: Path) -> None:
    parts.store_plan(tmp_path, list(SOME[:1]))  # the one test that starts a process
    done = run._module(tmp_path, {}, "no_such_tool")
    assert done.words.startswith("skipped, No module named")


def test_the_answers_have_the_columns_of_a_run_and_of_a_tool() -> None:
    rows = [row(child.ask(tool(truthful), entry)) for entry in SOME[:2]]
    found = table(rows)
    assert found.schema.names[: len(CELLS)] == CELLS.names
    assert set(ANSWERS.names) > {"tool", "tool_version", "accused", "said", "calls", "seconds"}
    assert found.column("bug_injected").to_pylist() == [False, True]
    assert found.column("cell").to_pylist() == [entry.id for entry in SOME[:2]]
    assert Entry(**json.loads(found.column("config")[1].as_py())) == SOME[1]


def test_an_entry_that_is_right_is_not_counted_as_named() -> None:
    wrong = corpus.case(SOME[1])
    right_place, wrong_place = int(np.argmax(wrong.off)), int(np.argmin(wrong.off))
    for place, named in ((right_place, True), (wrong_place, False)):
        asked = child.ask(tool(lambda case, at=place: Answer(True, "", entry=at)), SOME[1])  # type: ignore[misc]
        assert row(asked)["names_entry"] is named


# ------------------------------------------------------------------------------------------------------------- counts


def drawn(seed: int, n: int = 60) -> pd.DataFrame:
    """Rows of a tool whose scores are drawn."""
    rng = np.random.default_rng(seed)
    wrong, score = rng.random(n) < 0.5, np.exp(rng.normal(size=n))
    status = np.where(rng.random(n) < 0.1, "failed", "ok")
    return pd.DataFrame(
        {
            "status": status,
            "bug_injected": wrong,
            "score": score,
            "accused": np.where(status == "ok", score > 1, None),
            "mistake_size": np.where(wrong, 10.0 ** rng.uniform(-8, 0, n), 0.0),
        }
    )


@pytest.mark.parametrize("seed", range(5))
def test_false_alarms_and_catches_are_those_that_a_loop_counts(seed: int) -> None:
    of = drawn(seed)
    rows = [r for r in of.to_dict("records") if r["status"] == "ok"]
    found = count.plane(of)
    assert found.alarms == sum(r["accused"] and not r["bug_injected"] for r in rows)
    assert found.caught == sum(r["accused"] and r["bug_injected"] for r in rows)
    assert (found.right + found.wrong, found.silent) == (len(rows), len(of) - len(rows))
    sizes = count.by_size(of).values()
    assert sum(p.caught for p in sizes) == found.caught
    assert {p.alarms for p in sizes} == {found.alarms}


@pytest.mark.parametrize("seed", range(5))
def test_loosened_limits_are_the_least_without_a_false_alarm(seed: int) -> None:
    of = drawn(seed)
    found = count.loosened(of)
    assert found is not None
    assert found.plane.alarms == 0
    told = of[of["status"] == "ok"]
    closer = told["score"] > found.factor * (1 - 1e-9)
    assert found.factor == 1 or (closer & ~told["bug_injected"]).any()
    assert found.plane.caught == int(((told["score"] > found.factor) & told["bug_injected"]).sum())
    of.loc[of["accused"].eq(True).idxmax(), "score"] = np.nan
    assert count.loosened(of) is None  # an accusation without a figure


# -------------------------------------------------------------------------------------------------------------- ports


def near_limits(rng: np.random.Generator, dtype: str) -> tuple[Array, Array]:
    """A claim and a numeric gradient that differ by about what the rules allow."""
    n = rng.normal(size=4) * 10.0 ** rng.uniform(-6, 3)
    limit = 10.0 ** rng.uniform(-9, -1)
    a = n + rng.choice([-1, 1], 4) * limit * np.maximum(np.abs(n), rng.choice([0, 1])) * rng.uniform(0.5, 1.5)
    return a.astype(dtype), n.astype(dtype)


@pytest.mark.parametrize("rule", sorted(set(originals.ORIGINALS) - {"ceres"}))
def test_a_port_agrees_with_the_comparison_of_its_tool(rule: str) -> None:
    try:
        original = originals.ORIGINALS[rule]()
    except ImportError as missing:
        pytest.skip(str(missing))
    rng, port = np.random.default_rng(3), ports.Port()
    for k in range(300):
        port.add(rule, original, *near_limits(rng, ("float64", "float32")[k % 2]), {})
    # a comparison within a rounding of the limit may fall on either side, since the tool computes in the dtype
    assert port.compared == 300
    assert port.share <= 0.01, port.examples


def test_a_port_with_another_limit_is_found() -> None:
    def original(a: Array, n: Array) -> bool:
        return bool((np.abs(a - n) > 3e-5 + 3e-3 * np.abs(n)).any())

    rng, port = np.random.default_rng(3), ports.Port()
    for _ in range(300):
        port.add("pytorch", original, *near_limits(rng, "float64"), {})
    assert port.share > 0.01
    assert port.examples
    assert set(originals.ORIGINALS) <= set(RULES)


# ------------------------------------------------------------------------------------------------------ what is stored


def test_the_stored_figures_and_page_are_made_of_the_stored_answers() -> None:
    answers, figures = pq.read_table(STORED / "answers.parquet").to_pandas(), json.loads(stored("figures.json"))
    assert figures["tools"] == json.loads(
        json.dumps({tool: page.of_tool(of) for tool, of in answers.groupby("tool", sort=True)})
    )
    must = requirements(answers, figures["ports"])
    assert figures["requirements"] == [one._asdict() for one in must]

    def tables(text: str) -> list[str]:
        return [line for line in text.splitlines() if line.startswith(("|", "#", "!"))]

    assert tables(page.page(answers, must, figures["ports"], figures["absent"])) == tables(stored("README.md"))


def test_every_tool_was_asked_the_same() -> None:
    answers = pq.read_table(STORED / "answers.parquet", columns=["tool", "cell"]).to_pandas()
    asked = answers.groupby("tool")["cell"].agg(lambda cells: tuple(sorted(cells)))
    assert len(set(asked)) == 1
    assert len(set(asked.iloc[0])) == len(asked.iloc[0]) == json.loads(stored("figures.json"))["cases"]


def stored(name: str) -> str:
    return (STORED / name).read_text(encoding="utf-8")
