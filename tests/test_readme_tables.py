"""What the README lists is what there is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from gradcheck.bugs.kinds import KINDS
from gradcheck.experiment.config.schema import TABLES
from gradcheck.numerics import rules
from gradcheck.numerics.numeric import SCHEMES
from gradcheck.numerics.verdict import REASONS

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "README.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The table whose first line begins with these columns: the cells of its rows."""
    lines = PAGE.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    found = []
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return found


def column(heading: str) -> list[str]:
    return [row[0].strip("`") for row in rows(heading)]


def names(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


def stems(folder: str) -> set[str]:
    return {path.stem for path in (ROOT / "conf" / folder).glob("*.yaml")}


KEYS = {row[0]: row[1] for row in rows("key | values")}


def test_every_bug_has_its_row_in_the_words_of_its_file_and_its_kind() -> None:
    expected = []
    for name in sorted(stems("bug") - {"none"}):
        first = (ROOT / "conf" / "bug" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
        expected.append([f"`{name}`", first.removeprefix("# "), f"`{KINDS[name].name}`: {KINDS[name].why}"])
    assert rows("bug | mistake") == expected


def test_every_rule_has_its_row_with_its_source() -> None:
    expected = [[f"`{row['rule']}`", row["accuses when"], row["source"]] for row in rules.table()]
    assert rows("rule | accuses when") == expected


def test_every_module_has_its_row_and_every_row_its_module() -> None:
    modules = sorted(str(path.relative_to(ROOT / "gradcheck")) for path in (ROOT / "gradcheck").rglob("*.py"))
    assert sorted(column("module | does")) == modules
    assert all(len(row) == 2 and len(row[1]) > 10 for row in rows("module | does"))


def test_every_reason_is_explained() -> None:
    assert rows("reason | what it says") == [[f"`{code}`", words] for code, words in REASONS.items()]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("`model`", stems("model")),
        ("`data`", stems("data")),
        ("`init`", stems("init")),
        ("`scheme`", set(SCHEMES)),
        ("`+experiment`", stems("experiment")),
    ],
)
def test_every_choice_of_a_group_is_listed_and_no_other(key: str, expected: Iterable[str]) -> None:
    assert {name for name in names(KEYS[key]) if "." not in name} == set(expected)


def test_every_setting_of_a_model_and_of_data_is_listed() -> None:
    from gradcheck.experiment.config.schema import settings

    for section in ("model", "data"):
        for name, cls in TABLES[section].items():
            missing = set(settings(cls)) - names(KEYS[f"`{section}.*`"])
            assert not missing, f"{section}={name}: {missing}"


def test_links_within_the_page_lead_somewhere() -> None:
    headings = re.findall(r"(?m)^#+ (.*)$", PAGE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= anchors


def test_the_calibration_table_is_that_of_the_committed_figures() -> None:
    figures = json.loads((ROOT / "runs" / "calibration" / "figures.json").read_text(encoding="utf-8"))
    expected = [[row["figure"], row["required"], row["found"], f"{row['of']:,}"] for row in figures["requirements"]]
    table = rows("figure | required | found | of")
    assert [[cell.strip("*") for cell in row] for row in table] == expected
    # what is printed in bold holds
    assert [row[2].startswith("**") for row in table] == [bool(row["holds"]) for row in figures["requirements"]]
    counted = f"{figures['requirements'][0]['of']:,} correct weights in {figures['cells']:,} cells"
    assert counted in PAGE.replace("\n", " ")
