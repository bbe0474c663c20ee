"""Settings that all tests share."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings

# two busy cores: a deadline would measure the machine, and derandomized runs give the same examples everywhere
settings.register_profile("gradcheck", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("gradcheck")

# What takes longest, and mostly waits, comes first: while it lasts there is other work for whoever is free.
SLOW = ("cluster", "trials", "readme", "faults", "store", "engines", "sizes", "report_page", "sweep", "plots", "resume")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow files first, the others as they were."""
    first = {f"test_{name}": place for place, name in enumerate(SLOW)}
    items.sort(key=lambda item: first.get(item.path.stem, len(SLOW)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With ``-n``: neighbours stay together, since they share what was costly to start, and whoever is done first takes
    from the others' ends.
    """
    if config.getoption("dist") != "load":  # another one was asked for
        return None
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)
