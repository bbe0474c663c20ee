"""The pytest plugin: the fixture ``gradient_check``, and what pytest says of a gradient that is wrong.

pytest loads this module in every project beside which gradcheck is installed.  So it imports nothing but pytest; NumPy is
loaded when the fixture is used.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _pytest.reports import TestReport
    from _pytest.terminal import TerminalReporter
    from pluggy import Result

    from gradcheck.functions.testing.check import GradientCheck

# How pytest names the error in a summary.
NAME = "gradcheck.GradientMismatch: "


@pytest.fixture
def gradient_check(request: pytest.FixtureRequest) -> GradientCheck:
    """Check a gradient in a test: ``gradient_check(fun, jac, x0, ...)`` fails the test unless the gradient is right.

    It takes what ``gradcheck.assert_gradient`` takes and returns the outcome.  Unless ``seed`` is given, what is drawn is
    drawn by a checksum of the test's id, the same in every run, process and machine.
    """
    from gradcheck.functions.testing.check import GradientCheck, seed_of

    node = request.node
    # the last name apart: a distribution of tests to processes may add to the id of an item, not to that of its parent
    test = f"{node.parent.nodeid}::{node.name}" if node.parent is not None else node.nodeid
    return GradientCheck(seed_of(test), node.user_properties)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Iterator[None]:
    """Put the finding, one line, where pytest has the message of the error: in the summary and in JUnit."""
    made: Result[TestReport] = yield  # type: ignore[assignment]
    errors = sys.modules.get("gradcheck.errors")
    if call.excinfo is None or errors is None or not isinstance(call.excinfo.value, errors.GradientMismatch):
        return
    crash = getattr(made.get_result().longrepr, "reprcrash", None)
    if crash is not None:
        crash.message = NAME + call.excinfo.value.finding


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """The findings in full: the short summary cuts its lines at the width of the terminal."""
    lines = []
    for found in (*terminalreporter.stats.get("failed", ()), *terminalreporter.stats.get("error", ())):
        message = getattr(getattr(found.longrepr, "reprcrash", None), "message", "")
        if message.startswith(NAME):
            lines.append(f"{found.nodeid}: {message.removeprefix(NAME)}")
    if lines:
        terminalreporter.section("gradients")
        for line in lines:
            terminalreporter.line(line)
