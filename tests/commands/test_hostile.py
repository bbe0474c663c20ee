"""Records of strangers: nothing in them is executed, nothing outside is read or written, and one line says what is wrong."""

from __future__ import annotations

import os
import runpy
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from trials import hostile
from trials.hostile import COMMANDS, RECORDS, WATCH, attempt, scene

pytestmark = pytest.mark.skipif(
    not hasattr(os, "mkfifo"), reason="links, pipes and the kernel's notes are those of Linux"
)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile.original(tmp_path_factory.mktemp("record"))


def test_there_are_enough_of_them() -> None:
    assert len(RECORDS) >= 30
    assert set(COMMANDS) >= {"show", "reproduce", "resume", "load"}


@pytest.mark.parametrize("name", RECORDS)
def test_a_hostile_record_does_nothing(original: Path, tmp_path: Path, name: str) -> None:
    for i, command in enumerate(COMMANDS):
        assert (command, attempt(scene(tmp_path / str(i), original, name), command)[1]) == (command, [])


def test_the_watch_begins_with_its_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process that collects the tests imports it, and a hook slows down all that follows by a sixth."""
    hooks: list[Any] = []
    monkeypatch.setattr(sys, "addaudithook", hooks.append)
    anew = runpy.run_path(hostile.__file__, run_name="hostile_anew")
    assert hooks == []
    for _ in range(2):
        with anew["watching"]():
            assert len(hooks) == 1


# ------------------------------------------------------------------------------------------------ the watch can bark


def connection(made: Any) -> None:
    with socket.socket() as made:
        made.connect_ex(("127.0.0.1", 9))


MISDEEDS: dict[str, Any] = {
    "a process": lambda made: subprocess.run(["true"], check=True),
    "the shell": lambda made: os.system("true"),
    "a connection": connection,
    "a module": lambda made: __import__("owned"),
    "unpickling": lambda made: __import__("pickle").loads(hostile.PICKLE),
    "reading outside": lambda made: (made.outside / "secret.csv").read_text(),
    "reading outside from C": lambda made: __import__("pyarrow.csv").csv.read_csv(made.outside / "secret.csv"),
    "writing outside": lambda made: (made.outside / "new").write_text("x"),
    "writing beside": lambda made: (made.here.parent / "new").write_text("x"),
    "removing outside": lambda made: (made.outside / "secret.csv").unlink(),
    "telling the secret": lambda made: print(hostile.SECRET),
    "escape sequences": lambda made: print(hostile.ESCAPES),
    "a traceback": lambda made: 1 / 0,
    "another status": lambda made: 3,
}


@pytest.mark.parametrize("deed", MISDEEDS)
def test_a_misdeed_is_seen(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deed: str) -> None:
    made = scene(tmp_path, original, "deep nesting")

    def command(run: Path) -> int:
        done = MISDEEDS[deed](made)
        return done if isinstance(done, int) and deed == "another status" else 0

    monkeypatch.setitem(COMMANDS, "misdeed", command)
    assert attempt(made, "misdeed")[1]
    assert not WATCH.on


def test_an_honest_record_is_resumed_and_reproduced(original: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(RECORDS, "honest", lambda run, outside: None)
    for command in COMMANDS:
        assert attempt(scene(tmp_path / command, original, "honest"), command) == (0, [])
