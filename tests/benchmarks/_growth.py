"""How a sweep of so many cells grows: ``python -m tests.benchmarks._growth 1000000``."""

from __future__ import annotations

import sys
import tempfile

from tests.benchmarks.frame import HEAD, line, machine
from tests.benchmarks.sweep import growth

if __name__ == "__main__":
    print(machine(), "", HEAD, sep="\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for row in growth(folder, [int(word) for word in sys.argv[1:]]):
            print(line(row), flush=True)
