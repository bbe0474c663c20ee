"""Settings that all tests share."""

from __future__ import annotations

import compileall
import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from gradcheck.numerics import threads

# two busy cores: a deadline would measure the machine, and derandomized runs give the same examples everywhere
settings.register_profile("gradcheck", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("gradcheck")

# Ten thousand tests are a million objects that all last to the end: looking through them again and again for what may go
# is two fifths of collecting them.
gc.disable()

STORED = pytest.StashKey[bool]()  # what Python was told of storing what it compiles
IN_MEMORY = pytest.StashKey[Path]()  # the folder for all folders of tests
ROOM = 8 * 2**30  # bytes: eight times what they hold at the end

# What takes longest, and mostly waits, comes first: while it lasts there is other work for whoever is free.  What opens
# pages stands together: it shares a browser.
FIRST = (
    "cluster",
    "trials",
    "readme",
    "faults",
    "store",
    "engines",
    "sizes",
    "report_page",
    "page_filters",
    "page_first_look",
    "page_weights",
    "charts_of_little",
    "labels",
    "sweep",
    "plots",
    "resume",
)
# What watches all that Python does cannot be taken away again, and slows down whatever follows in its process.
LAST = ("hostile",)


def room_in_memory() -> Path | None:
    """Where folders of tests are in memory, if there is room enough.

    Each run of a test waits a dozen times until the disk has what was written.  That the right files are synced in the right
    order is tested by itself, and what a disk has received by images that are mounted anew.
    """
    place = Path("/dev/shm")
    try:
        free = shutil.disk_usage(place).free
        told = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    available = 1024 * int(told.partition("MemAvailable:")[2].split()[0])
    return place if min(free, available) >= ROOM and os.access(place, os.W_OK) else None


@pytest.hookimpl(tryfirst=True)  # before pytest chooses a folder
def pytest_configure(config: pytest.Config) -> None:
    """The package is compiled once, and not in each process that a test starts, where Python was told not to store that;
    and the tests, whose assertions pytest rewrites, not in each worker of each run.
    """
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(Path(__file__).parent.parent / "gradcheck", quiet=2)
        if config.option.basetemp is None and (memory := room_in_memory()) is not None:
            config.stash[IN_MEMORY] = Path(tempfile.mkdtemp(prefix="gradcheck-tests-", dir=memory))
            config.option.basetemp = config.stash[IN_MEMORY] / "t"
    config.stash[STORED] = sys.dont_write_bytecode
    sys.dont_write_bytecode = False


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """What failed may be looked at; else nothing stays in memory."""
    place = session.config.stash.get(IN_MEMORY, None)
    if place is not None and exitstatus != pytest.ExitCode.TESTS_FAILED:
        shutil.rmtree(place, ignore_errors=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    place = config.stash.get(IN_MEMORY, None)
    if place is not None and place.exists():
        terminalreporter.write_line(
            f"The folders of the tests are in memory, remove them when you have seen them: {place}"
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow files first, the others as they were."""
    order = (*FIRST, None, *LAST)
    place = {f"test_{name}": place for place, name in enumerate(order)}
    items.sort(key=lambda item: place.get(item.path.stem, order.index(None)))


def pytest_collection_finish(session: pytest.Session) -> None:
    """What the tests themselves leave behind is looked for; what was there before them is left out of it."""
    sys.dont_write_bytecode = session.config.stash[STORED]
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture
def frozen_again() -> Iterator[None]:
    """For what takes the process for its own, and unfreezes at its end what all tests hold: else every full collection
    after it would look through all of that again.
    """
    yield
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def one_thread_of_blas_in_each_worker(request: pytest.FixtureRequest) -> Iterator[None]:
    """The cores are shared by processes: a product in two threads waits for the one whose core another process has, and
    burns the other meanwhile.  Without ``-n``, and in processes that a test starts, BLAS takes the threads that it takes.
    """
    if not hasattr(request.config, "workerinput"):
        yield
        return
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture(scope="session", autouse=True)
def configs_are_read_and_composed_once() -> Iterator[None]:
    """The package's own config files and Hydra's are the same for all tests; most of composing is reading and merging
    them.  `test_composing.py` asks for the same config with and without this.
    """
    from trials.composing import remembering, without_a_folder_of_a_user

    from gradcheck.experiment.config.repository import Remembering

    initialize, read = Remembering.initialize_sources, {}

    def shared(self: Remembering, search_path: Any) -> None:
        initialize(self, search_path)
        found = [(entry.provider, entry.path) for entry in search_path.get_path()]
        known = read.setdefault(str([one for one in found if one[0] in ("hydra", "main", "schema")]), {})
        if len(found) == 3:
            self._read = known
        elif search_path.get_path()[-1].provider == "schema":  # what stands in a folder of a user comes after these two
            firm = {path: one for path, one in known.items() if one is not None and one.provider in ("hydra", "main")}
            self._read = firm

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Remembering, "initialize_sources", shared)
        with remembering({}, without_a_folder_of_a_user):
            yield


@pytest.fixture(scope="session", autouse=True)
def charts_of_equal_pages_are_specified_once() -> Iterator[None]:
    """Altair validates each part of a chart against its whole schema: half a second a page, of which most are alike."""
    if find_spec("altair") is None:
        yield
        return
    from gradcheck.views.charts import page_specs

    specified: dict[str, Any] = {}
    specify = page_specs.specifications

    def once(*given: Any) -> Any:
        if repr(given) not in specified:
            specified[repr(given)] = specify(*given)
        return deepcopy(specified[repr(given)])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page_specs, "specifications", once)
        yield


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One process more than there are cores: some tests mostly wait for those that they started."""
    return threads.count() + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With ``-n``: neighbours stay together, since they share what was costly to start, and whoever is done first takes
    from the others' ends.
    """
    if config.getoption("dist") != "load":  # another one was asked for
        return None
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)
