"""The browser in which pages are opened, and pages of runs in it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from visits import CHROMIUM, OFF, Visit
from waiting import PATIENCE

from gradcheck import report

STARTED: list[Any] = []  # the browser of this process
ENDS = ExitStack()


@pytest.fixture(scope="module")
def browser() -> Any:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install 'gradcheck[test]'")
    pytest.importorskip("altair", reason="needs Altair: pip install 'gradcheck[charts]'")
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    if STARTED and not STARTED[0].is_connected():  # it crashed
        end()
    if not STARTED:
        playwright = ENDS.enter_context(sync_api.sync_playwright())
        STARTED.append(playwright.chromium.launch(executable_path=CHROMIUM, args=list(OFF), timeout=1000 * PATIENCE))
        ENDS.callback(STARTED[0].close)
    return STARTED[0]


def end() -> None:
    STARTED.clear()
    ENDS.close()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Modules that open pages follow one another and share a browser, which takes a second to start.  It ends after them:
    Playwright keeps an event loop in this thread, beside which others cannot run.
    """
    if not STARTED or (nextitem is not None and nextitem.path == item.path):
        return
    opening = {one.path for one in item.session.items if "browser" in getattr(one, "fixturenames", ())}
    if nextitem is None or nextitem.path not in opening:
        end()


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[Path], Any]], Path]:
    """The page of the run that a function makes; each is made once."""

    @functools.cache
    def page_of(make: Callable[[Path], Any]) -> Path:
        folder = tmp_path_factory.mktemp("run")
        make(folder)
        assert report.main([str(folder)]) == 0
        return folder / "report.html"

    return page_of


@pytest.fixture(scope="module")
def visit(browser: Any, reported: Callable[[Callable[[Path], Any]], Path]) -> Iterator[Callable[..., Visit]]:
    """Open the report of a run that a function makes; at the end nothing may have been complained of or asked for.

    Loading takes longest: a page is opened once, unless a test is to change it for good (``fresh``).
    """
    opened: list[tuple[Visit, Path]] = []
    shared: dict[Any, Visit] = {}

    def open_(
        make: Callable[[Path], Any],
        fresh: bool = False,
        color_scheme: str = "light",
        address: str = "",
        **settings: Any,
    ) -> Visit:
        page = reported(make)
        if fresh or address or settings or (make, color_scheme) not in shared:
            found = Visit(browser, page, address, color_scheme=color_scheme, **settings)
            opened.append((found, page))
            if not (fresh or address or settings):
                shared[make, color_scheme] = found
            return found.wait()
        found = shared[make, color_scheme]
        found.page.fill("#cells input", "")
        for words in ("all squares", "clear the filter"):
            if (button := found.page.locator(f"#square button, #filters button >> text='{words}'").first).is_visible():
                with found.answered():
                    button.click()
        return found

    yield open_
    for seen, path in opened:
        seen.page.close()
        assert seen.complaints == []
        assert [url.partition("#")[0] for url in seen.requests] == [path.as_uri()]
