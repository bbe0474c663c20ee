"""What the pages list is what there is."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest
from readme import blocks
from test_package import FACES, LEAVES, ROOMS

from gradcheck.columns.weights import AXES, ERRORS
from gradcheck.experiment.config.schema import TABLES, settings
from gradcheck.experiment.engines.engines import ENGINES
from gradcheck.experiment.results.rows import CELLS, SETTINGS
from gradcheck.experiment.sources.init import INITS
from gradcheck.numerics import rules
from gradcheck.numerics.bounds import evaluations
from gradcheck.numerics.diagnosis.kinds import KINDS
from gradcheck.numerics.schemes import SCHEMES
from gradcheck.numerics.verdict import OF_MANY, REASONS

ROOT = Path(__file__).resolve().parent.parent
CONF, PACKAGE = "conf", "gradcheck"
NUMERICS, COLUMNS = "gradcheck/numerics", "gradcheck/columns"


@cache
def text(folder: str) -> str:
    """The page of a folder."""
    return (ROOT / folder / "README.md").read_text(encoding="utf-8")


def rows(folder: str, heading: str) -> list[list[str]]:
    """The table of a page whose first line begins with these columns: the cells of its rows."""
    lines = text(folder).splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    found = []
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return found


def column(folder: str, heading: str) -> list[str]:
    return [row[0].strip("`") for row in rows(folder, heading)]


def names(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


def stems(folder: str) -> set[str]:
    return {path.stem for path in (ROOT / "conf" / folder).glob("*.yaml")}


KEYS = {row[0]: row[1] for row in rows(CONF, "key | values")}

# --- the map ---------------------------------------------------------------------------------------------------------


def test_every_room_has_its_row_in_the_order_of_the_arrows_with_what_it_may_import() -> None:
    found = {re.sub(r"\[(\w+)\].*", r"\1", row[0]): row[2] for row in rows(PACKAGE, "room | what it is for")}
    assert list(found) == list(ROOMS)
    assert {room: set(imports.split(", ")) - {""} for room, imports in found.items()} == ROOMS


def test_every_module_at_the_top_has_its_row() -> None:
    assert set(column(PACKAGE, "module | does")) == FACES | LEAVES


@pytest.mark.parametrize("room", ROOMS)
def test_the_page_of_a_room_says_what_it_may_import(room: str) -> None:
    said = re.search(r"(?m)^- \*\*What it may import\.\*\*(.*(?:\n  .*)*)", text(f"gradcheck/{room}"))
    assert said is not None
    linked = {name for name in re.findall(r"\[(\w+)\]\(\.\./(?:\w+)/README\.md\)", said[1]) if name in ROOMS}
    assert linked == ROOMS[room]


@pytest.mark.parametrize(
    "folder", sorted({path.parent for path in (ROOT / PACKAGE).rglob("*.py")}), ids=lambda f: f.name
)
def test_the_way_through_a_room_names_modules_that_are_there(folder: Path) -> None:
    page = (folder / "README.md").read_text(encoding="utf-8")
    said = re.search(r"(?m)^- \*\*The way through it\.\*\*(.*(?:\n  .*)*)", page)
    assert said is not None
    there = {path.stem for path in folder.rglob("*") if path.suffix in ("", ".py")}
    # two tables have names that look like those of modules
    assert {name for name in names(said[1]) if re.fullmatch(r"[a-z_]+", name)} - there <= {"cells", "errors", "eps"}


# --- configs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("`init`", stems("init")),
        ("`engine`", stems("engine")),
    ],
)
def test_every_choice_of_a_group_is_listed_and_no_other(key: str, expected: Iterable[str]) -> None:
    listed = re.sub(r"\[.*?\]\(.*?\)", "", KEYS[key])  # the text of a link is no choice
    assert {name for name in names(listed) if "." not in name} == set(expected)


@pytest.mark.parametrize(
    ("section", "folder", "heading"),
    [("model", "conf/bug", "model | what it is"), ("data", CONF, "source | examples")],
)
def test_every_choice_has_its_row_with_its_settings(section: str, folder: str, heading: str) -> None:
    found = {row[0].strip("`"): names(row[2]) for row in rows(folder, heading)}
    assert found == {name: {f"{section}.{key}" for key in settings(cls)} for name, cls in TABLES[section].items()}
    assert set(found) == stems(section)


@pytest.mark.parametrize(
    ("folder", "heading", "expected"),
    [
        (CONF, "experiment | what it shows", stems("experiment")),
        ("gradcheck/experiment/sources", "start | parameters", set(INITS)),
        ("gradcheck/experiment/engines", "engine | cells are computed", set(ENGINES)),
        ("gradcheck/numerics/diagnosis", "kind | what it looks like", set(KINDS)),
        (NUMERICS, "of many", set(OF_MANY)),
    ],
)
def test_every_name_has_its_row(folder: str, heading: str, expected: set[str]) -> None:
    assert sorted(column(folder, heading)) == sorted(expected)


# --- what is compared, and how ----------------------------------------------------------------------------------------


def test_every_rule_has_its_row_with_its_source() -> None:
    expected = [[f"`{row['rule']}`", row["accuses when"], row["source"]] for row in rules.table()]
    assert rows(NUMERICS, "rule | accuses when") == expected


def test_every_reason_is_explained() -> None:
    assert rows(NUMERICS, "reason | what it says") == [
        [f"`{code}`", reason.what, reason.advice(False) or "-", reason.advice(True) or "-"]
        for code, reason in REASONS.items()
    ]


def test_every_scheme_has_its_row_with_its_order_and_cost() -> None:
    found = {row[0].strip("`"): row[1:] for row in rows(NUMERICS, "scheme | order")}
    assert list(found) == list(SCHEMES)
    for name, scheme in SCHEMES.items():
        assert found[name][:2] == [str(scheme.order), str(scheme.evaluations)]
        if not scheme.complex_valued:
            assert found[name][2] == str(evaluations(scheme))


def test_every_kind_of_mistake_is_in_the_words_of_the_diagnosis() -> None:
    assert rows("gradcheck/numerics/diagnosis", "kind | what it looks like") == [
        [f"`{kind}`", words] for kind, words in KINDS.items()
    ]


def test_the_page_of_mathematics_names_the_functions_of_the_error_analysis() -> None:
    said = {name for name in names(text("gradcheck/models")) if re.fullmatch(r"_[a-z_]+", name)}
    module = (ROOT / "gradcheck" / "models" / "rounding.py").read_text(encoding="utf-8")
    assert said
    assert said <= set(re.findall(r"(?m)^def (\w+)", module))


# --- what is stored ---------------------------------------------------------------------------------------------------


def listed(table: int) -> set[str]:
    """The names of the first column of one of the two tables of columns."""
    lines = text(COLUMNS).split("| columns | content |")[table].splitlines()[2:]
    first = [line.split("|")[1] for line in lines[: next(i for i, line in enumerate(lines) if not line)]]
    return names(" ".join(first))


def test_every_column_of_a_weight_is_listed() -> None:
    assert listed(1) == set(ERRORS.names)


def test_every_column_of_a_cell_is_listed() -> None:
    rule = {name for name in CELLS.names if name.startswith("rule_")}
    expected = set(CELLS.names) - set(AXES.names) - set(SETTINGS.names) - rule | {"rule_<name>"}
    assert listed(2) - set(SETTINGS.names) == expected
    assert listed(2) & set(SETTINGS.names)


# --- figures ----------------------------------------------------------------------------------------------------------


def test_the_calibration_table_is_that_of_the_committed_figures() -> None:
    figures = json.loads((ROOT / "runs" / "calibration" / "figures.json").read_text(encoding="utf-8"))
    expected = [[row["figure"], row["required"], row["found"], f"{row['of']:,}"] for row in figures["requirements"]]
    table = rows("runs", "figure | required | found | of")
    assert [[cell.strip("*") for cell in row] for row in table] == expected
    # what is printed in bold holds
    assert [row[2].startswith("**") for row in table] == [bool(row["holds"]) for row in figures["requirements"]]
    counted = f"{figures['requirements'][0]['of']:,} correct weights"
    assert f"{counted} in {figures['cells']:,} cells" in text("runs").replace("\n", " ")
    # the front page says no more than the figures do
    assert f"Of {counted} gradcheck accused [none]" in text(".").replace("\n", " ")
    assert figures["requirements"][0]["found"] == "0"


def test_the_table_of_the_zoo_is_that_of_the_committed_figures() -> None:
    figures = json.loads((ROOT / "runs" / "calibration" / "functions.json").read_text(encoding="utf-8"))
    expected = [[row["figure"], row["required"], row["found"], f"{row['of']:,}"] for row in figures["requirements"]]
    table = rows("runs", "figure on the zoo | required | found | of")
    assert [[cell.strip("*") for cell in row] for row in table] == expected
    assert [row[2].startswith("**") for row in table] == [bool(row["holds"]) for row in figures["requirements"]]
    assert f"has {len(figures['families'])} families" in text("runs").replace("\n", " ")


def test_the_comparison_on_the_front_page_is_what_its_run_prints() -> None:
    (shown,) = [b.shown for b in blocks(text("gradcheck/views")) if "runs/steps" in b.text]
    assert shown is not None
    printed = dict(re.findall(r"(?m)^ (\w+) +((?:\d+/\d+ +){4})", shown))
    table = rows(".", "rule | correct gradients accused")
    assert len(table) >= 5
    for row in table:
        false_alarms, caught, _, _ = printed[row[0].strip("`")].split()
        assert row[1:] == [false_alarms, caught]


def test_every_trial_and_every_benchmark_has_its_row() -> None:
    listed = {name.split()[0] for row in rows("tests", "name | what it does") for name in names(row[0])}
    source = ast.parse((ROOT / "tests" / "trials" / "__main__.py").read_text(encoding="utf-8"))
    (table,) = [node.value for node in source.body if isinstance(node, ast.AnnAssign)]
    assert isinstance(table, ast.Dict)
    assert listed == {*(ast.literal_eval(key) for key in table.keys if key is not None), "identical"}
    modules = {path.stem for path in (ROOT / "tests" / "benchmarks").glob("[!_]*.py")} - {"frame"}
    assert set(column("tests/benchmarks", "benchmark | what is compared")) == modules


def test_the_speed_on_the_front_page_is_a_figure_of_the_benchmarks() -> None:
    said = re.search(r"it is \[(\d+) times faster\]", text("."))
    figures = rows("tests/benchmarks", "work | required | Xeon, 22 November | EPYC, 28 November")
    measured = {row[0]: row[2:] for row in figures}["logistic: SciPy's 3-point differences against the full verdict"]
    assert said is not None
    assert all(int(said[1]) <= float(one) for one in measured)
