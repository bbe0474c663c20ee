"""What a README says can be typed runs, in the order of the page, and prints what the page shows."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import forkserver
import pytest
from readme import PAGES, README, ROOT, Block, anchors, blocks, dead_links, differences, install_commands
from waiting import PATIENCE

PAGE = README.read_text(encoding="utf-8")
# What of a fresh clone the blocks may use: the package, its configs, the reference run and the tests.  No block writes into
# the package, which is a link, so that the server of forks may have imported it (`forkserver.py`).
CLONE = ("gradcheck", "conf", "runs/reference", "tests", "pyproject.toml")
LINKED = ("gradcheck",)
# The page whose commands draw the committed figures.
DRAWS = ROOT / "gradcheck" / "views" / "README.md"
FIGURES = {path.name: path for path in (ROOT / "runs" / "figures").glob("*.svg")}
# The front page stays one that is read; whatever else there is to say stands on the pages of the rooms.
FRONT_BYTES = 12_000
# A first screen: so many lines of so many characters.
SCREEN = 4_000
LEADS = ("What it is for.", "The way through it.", "How to add to it.")
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    folder.mkdir()
    for name in CLONE:
        source, target = ROOT / name, folder / name
        if name in LINKED:
            target.symlink_to(source)
        elif source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, target)
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An activated environment: `python` is the one that runs the tests, from any folder, as `forkserver.py` starts it."""
    scripts = tmp_path_factory.mktemp("scripts")
    python = scripts / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.join(forkserver.python())} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    path = os.pathsep.join([str(scripts), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    # A terminal of a fixed width: what is printed must not depend on where the tests run.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**inherited, "PATH": path, "COLUMNS": "120", "NO_COLOR": "1"}


def runs_here(block: Block) -> bool:
    return not block.installs and not block.elsewhere and (block.needs is None or find_spec(block.needs) is not None)


def has_blocks(page: Path) -> bool:
    return any(map(runs_here, blocks(page.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("page", list(filter(has_blocks, PAGES)), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_runs_and_prints_what_the_page_shows(page: Path, clone: Path, environment: dict[str, str]) -> None:
    """Typed at the top of a clone, whichever page it is."""
    text, name, wrong = page.read_text(encoding="utf-8"), page.relative_to(ROOT), []
    began = changed(ROOT / "gradcheck")
    for block in blocks(text):
        if not runs_here(block):
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
    assert changed(ROOT / "gradcheck") <= began
    made = {path.name: path for path in (clone / "figures").glob("*.svg")}
    assert page != DRAWS or set(FIGURES) <= set(made)
    for name in set(FIGURES) & set(made):
        assert drawing(FIGURES[name].read_text(encoding="utf-8")) == drawing(made[name].read_text(encoding="utf-8"))


def changed(folder: Path) -> int:
    """When any file of a folder was changed last, but for what Python compiles of them."""
    files = (path for path in folder.rglob("*") if "__pycache__" not in path.parts and path.is_file())
    return max(path.stat().st_mtime_ns for path in files)


def test_a_change_of_the_package_is_seen_and_what_python_compiles_is_none(tmp_path: Path) -> None:
    for name, second in (("a.py", 1), ("room/b.yaml", 2), ("__pycache__/a.pyc", 9)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (second, second))
    assert changed(tmp_path) == 2 * 10**9
    os.utime(tmp_path / "a.py", (3, 3))
    assert changed(tmp_path) == 3 * 10**9


def test_figures_that_a_page_shows_are_those_that_are_drawn_anew() -> None:
    shown = re.findall(r"\]\((runs/figures/[^)]+)\)", PAGE)
    assert len(shown) == 1
    assert {Path(picture).name for picture in shown} <= set(FIGURES)


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
    needs = [block.needs for page in PAGES for block in blocks(page.read_text(encoding="utf-8"))]
    assert {need for need in needs if need is not None} == {"torch", "jax"}


@EVERY_PAGE
def test_every_shell_and_python_fence_of_the_page_is_found(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    fences = re.findall(r"(?m)^ *(?:```|~~~)+ *(?:sh|bash|console|shell|python|py|pycon)\b", text)
    assert len(fences) == len(blocks(text))


@EVERY_PAGE
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert dead_links(page) == []


@pytest.mark.parametrize(
    ("link", "dead"),
    [
        ("[x](README.md)", False),
        ("[x](conf/README.md#keys)", False),
        ("[x](README.md#licence)", False),
        ("[x](#licence)", False),
        ("[x](gradcheck/numerics/README.md#definitions)", False),
        ("[x](runs/figures/v_curve.svg)", False),
        ("[x](https://example.org/nothing.md#here)", False),
        ("[x](nowhere.md)", True),
        ("[x](conf/nowhere/README.md#data)", True),
        ("[x](README.md#no-such-heading)", True),
        ("[x](#no-such-heading)", True),
        ("![x](runs/figures/nothing.svg)", True),
        ("[x](runs/figures/v_curve.svg#part)", True),
    ],
)
def test_a_dead_link_is_seen(link: str, dead: bool) -> None:
    text = f"# Licence\n\n```sh\n# comment\n[x](nowhere)\n```\n\nSee {link}.\n"
    assert dead_links(README, text) == ([link.removeprefix("!")[2:]] if dead else [])


def test_anchors_are_those_of_the_headings() -> None:
    text = "# A `code`, and *more*!\n## [Two](x.md) words\n## same\n## same\n```sh\n# no heading\n```\n"
    assert anchors(text) == {"a-code-and-more", "two-words", "same", "same-1"}


def test_the_front_page_is_short() -> None:
    assert len(PAGE.encode()) <= FRONT_BYTES


def folders() -> list[Path]:
    """The folders that people open: those of the package, and those at the top."""
    rooms = {path.parent for path in (ROOT / "gradcheck").rglob("*.py")}
    return sorted({*rooms, ROOT / "conf", ROOT / "runs", ROOT / "tests", ROOT / "tests" / "benchmarks"})


def first_screen(markdown: str) -> str:
    return re.split(r"(?m)^## ", markdown)[0]


@pytest.mark.parametrize("folder", folders(), ids=lambda folder: str(folder.relative_to(ROOT)))
def test_every_folder_has_a_page_that_begins_with_what_it_is_for(folder: Path) -> None:
    screen = first_screen((folder / "README.md").read_text(encoding="utf-8"))
    leads = re.findall(r"(?m)^- \*\*(.*?)\*\* ", screen)
    wanted = (*LEADS, "What it may import.") if folder.is_relative_to(ROOT / "gradcheck") else LEADS
    assert tuple(leads[: len(wanted)]) == wanted
    assert len(screen) <= SCREEN


@EVERY_PAGE
def test_every_page_can_be_reached_from_the_front_page(page: Path) -> None:
    seen, left = {README}, [README]
    while left:
        here = left.pop()
        for name in re.findall(r"\]\(((?:[\w./-]+/)?README\.md)", here.read_text(encoding="utf-8")):
            there = (here.parent / name).resolve()
            if there not in seen and there.exists():
                seen.add(there)
                left.append(there)
    assert page in seen


def missing_paths(markdown: str) -> list[str]:
    """Files of the repository that a page names in `code`, and that are not there; <name> and * stand for any name."""
    named = re.findall(r"`((?:gradcheck|conf|tests|\.ci)/[^`\s]*)`", markdown)
    return [name for name in named if not any(ROOT.glob(re.sub(r"<\w+>", "*", name).rstrip("/")))]


def missing_names(markdown: str) -> list[str]:
    """Names of which a page says in which file they are, `name` in `file.py` or `name` (`file.py`), and that are not."""
    said = re.findall(r"`([\w.]+)`\s+(?:in\s+|\()`((?:gradcheck|tests)/[\w/]+\.py)`", markdown)
    there = {file: (ROOT / file).read_text(encoding="utf-8") for _, file in said if (ROOT / file).exists()}
    return [
        f"{name} in {file}" for name, file in said if not re.search(rf"\b{name.split('.')[-1]}\b", there.get(file, ""))
    ]


@EVERY_PAGE
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert missing_paths(text) == []
    assert missing_names(text) == []


def test_a_file_that_is_not_there_is_seen() -> None:
    text = "`gradcheck/errors.py` `conf/<name>/*.yaml` `tests/` `gradcheck/nothing.py` `conf/<name>.yml`"
    assert missing_paths(text) == ["gradcheck/nothing.py", "conf/<name>.yml"]


def test_a_name_that_is_not_in_its_file_is_seen() -> None:
    text = "`Block` in `tests/readme.py`, `readme.anchors` (`tests/readme.py`), `Nothing` in\n`tests/readme.py`"
    assert missing_names(text) == ["Nothing in tests/readme.py"]


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
