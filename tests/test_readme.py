"""What a README says can be typed runs, in the order of the page, and prints what the page shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest
from readme import PAGES, README, ROOT, blocks, differences, install_commands
from waiting import PATIENCE

PAGE = README.read_text(encoding="utf-8")
# What of a fresh clone the blocks may use: the package, its configs, the reference run and the tests.
CLONE = ("gradcheck", "conf", "runs/reference", "tests", "pyproject.toml")
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    folder.mkdir()
    for name in CLONE:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, target)
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An activated environment: `python` is the one that runs the tests, from any folder."""
    scripts = tmp_path_factory.mktemp("scripts")
    python = scripts / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    path = os.pathsep.join([str(scripts), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    # A terminal of a fixed width: what is printed must not depend on where the tests run.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**inherited, "PATH": path, "COLUMNS": "120", "NO_COLOR": "1"}


@EVERY_PAGE
def test_every_block_runs_and_prints_what_the_page_shows(page: Path, clone: Path, environment: dict[str, str]) -> None:
    """Typed at the top of a clone, whichever page it is."""
    text, name, wrong = page.read_text(encoding="utf-8"), page.relative_to(ROOT), []
    for block in blocks(text):
        if block.installs or block.elsewhere or (block.needs is not None and find_spec(block.needs) is None):
            continue
        command = ["sh", "-eu", "-c", block.text] if block.language == "sh" else ["python", "-c", block.text]
        done = subprocess.run(
            command,
            cwd=clone,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        if done.returncode != block.status:
            wrong.append(f"{name}:{block.line}: exit {done.returncode}, not {block.status}\n{done.stdout}{done.stderr}")
        elif block.shown is not None:
            wrong += [f"{name}:{block.line}: {line}" for line in differences(block.shown, done.stdout)]
    assert not wrong, "\n".join(wrong)
    if page != README:
        return
    shown = re.findall(r"\]\((runs/figures/[^)]+)\)", text)
    assert shown
    for picture in shown:
        made = clone / "figures" / Path(picture).name
        assert drawing((ROOT / picture).read_text(encoding="utf-8")) == drawing(made.read_text(encoding="utf-8"))


def drawing(svg: str) -> tuple[set[str], Counter[str]]:
    """The words of a chart and how many marks it has of each colour; where they stand is rounding noise to some extent."""
    words = {word for text in re.findall(r">([^<>]+)</text>", svg) for word in re.findall(r"[a-z_]{2,}", text)}
    marks = re.findall(r'<path [^>]*(?:fill|stroke)="(#\w{6})"', svg)
    return words, Counter(marks)


def test_another_drawing_is_seen() -> None:
    svg = (ROOT / "runs" / "figures" / "v_curve.svg").read_text(encoding="utf-8")
    words, marks = drawing(svg)
    assert {"central", "forward", "five_point", "observed", "bound", "eps", "relative"} <= words
    assert sum(marks.values()) > 69  # a mark for each of 23 steps and 3 schemes
    assert drawing(svg.replace("five_point", "backward")) != drawing(svg)
    assert drawing(re.sub(r"<path [^>]*fill=[^>]*>", "", svg, count=1)) != drawing(svg)


def test_only_the_two_commands_are_not_run() -> None:
    commands = install_commands(PAGE)
    assert len(commands) == 2
    for command in commands:
        assert "\n" not in command
        assert "pip install" in command
    assert commands[0].endswith("python -m gradcheck.run eps=1e-4,1e-6 -m")
    assert "pytest" in commands[1]


def test_a_block_that_needs_a_module_is_the_exception() -> None:
    assert {block.needs for block in blocks(PAGE)} <= {None, "torch"}
    assert sum(block.needs is not None for block in blocks(PAGE)) <= 1


@EVERY_PAGE
def test_every_shell_and_python_fence_of_the_page_is_found(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    fences = re.findall(r"(?m)^ *(?:```|~~~)+ *(?:sh|bash|console|shell|python|py|pycon)\b", text)
    assert len(fences) == len(blocks(text))


@EVERY_PAGE
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_pages_for_users_and_for_contributors_are_among_them() -> None:
    assert PAGES[0] == README
    assert ROOT / "tests" / "README.md" in PAGES


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page != README], ids=lambda page: str(page.relative_to(ROOT))
)
def test_a_further_page_leaves_out_only_what_cannot_be_run_here(page: Path) -> None:
    for block in blocks(page.read_text(encoding="utf-8")):
        assert not block.installs or "pip install" in block.text


EXAMPLE = """\
text

<!-- not run: installs -->
```sh
pip install .
```

```sh
one
two
```

```text
printed
```

<!-- exits 1 -->
```python
three
```
words between
```text
of nothing
```

<!-- needs torch -->
```python
four
```
"""


def test_blocks_are_read_with_their_marks_and_output() -> None:
    first, second, third, fourth = blocks(EXAMPLE)
    assert (first.language, first.text, first.line, first.installs) == ("sh", "pip install .\n", 4, True)
    assert (second.text, second.installs, second.status, second.shown) == ("one\ntwo\n", False, 0, "printed\n")
    assert (third.language, third.status, third.shown) == ("python", 1, None)
    assert (fourth.needs, fourth.status, fourth.installs) == ("torch", 0, False)


SAME = [
    ("a  b", "a b"),
    ("a\n\nb", "a\nb\n"),
    ("saved runs/2026-03-01/14-02-11-384012  (12 rows)", "saved runs/2027-11-30/01-59-59-000001 (12 rows)"),
    ("from /home/me/project/run.csv", "from /tmp/x/run.csv"),
    ("done in 0.3 s", "done in 12.8 s"),
    ("float64; 282 loss evaluations", "float64; 290 loss evaluations"),
    ("at 2026-03-01T14:02:11", "at 2026-03-02T10:00:00"),
    ("worst 2.3e-09", "worst 9.8e-10"),
    ("eps 1e-06  loss 0.6931", "eps 1e-06  loss 0.6932"),
    ("0.5000", "0.5001"),
    ("3.33e-01", "3.34e-01"),
    ("cell 0123456789abcdef", "cell 0123456789abcdef"),
    ("first\n...\nlast", "first\n1\n2\n3\nlast"),
    ("first\n...", "first\nanything"),
    ("...\nmiddle 1\n...\nlast", "a\nb\nmiddle 1\nc\nlast"),
    ("...", ""),
]
OTHER = [
    ("match", "mismatch"),
    ("6", "7"),
    ("6", "6.0"),
    ("(12 rows)", "(12 rows"),
    ("one\ntwo", "one"),
    ("one", "one\ntwo"),
    ("worst 2.3e-09", "worst 2.4e-08"),
    ("worst 2.3e-09", "worst 2.2e-10"),
    ("worst 2.3e-09", "worst -2.3e-09"),
    ("worst 2.3e-09", "worst 0"),
    ("worst 2.3e-09", "worst nan"),
    ("loss 0.6931", "loss 0.6933"),
    ("eps 1e-04", "eps 1e-06"),
    ("3.33e-01", "3.35e-01"),
    ("cell 0123456789abcdef", "cell 0123456789abcdee"),
    ("saved runs/2026-03-01/14-02-11-384012", "saved runs/latest"),
    ("done in 0.3 s", "done in a s"),
    ("282 loss evaluations", "282 evaluations"),
    ("version 0.1.0", "version 0.1.1"),
    ("first\n...\nlast", "first\n1\n2\nother"),
    ("first\n...\nlast", "first"),
    ("...\nmiddle 1\n...\nlast", "a\nmiddle 2\nlast"),
]


@pytest.mark.parametrize(("shown", "printed"), SAME)
def test_output_that_may_differ_agrees(shown: str, printed: str) -> None:
    assert differences(shown, printed) == []


@pytest.mark.parametrize(("shown", "printed"), OTHER)
def test_output_that_must_not_differ_is_refused(shown: str, printed: str) -> None:
    assert differences(shown, printed)
