"""``gradcheck run|show|report|reproduce|diff``: the commands under one name."""

from __future__ import annotations

import sys
from importlib import import_module

from gradcheck.experiment.patches import freeze_before_exit

COMMANDS = {
    "run": "check gradients: one config, or a grid with -m or +experiment=NAME",
    "show": "tables of a run in the terminal",
    "report": "a run as one HTML page, and its charts as files",
    "reproduce": "run the recorded configs again and compare every number",
    "diff": "what differs between two runs: cells, verdicts, numbers, seconds",
}


def main() -> int:
    """Hand the rest of the command line to a command; returns its exit status."""
    arguments = sys.argv[1:]
    if arguments[:1] in (["--version"], ["-V"]):
        from gradcheck import __version__

        print(f"gradcheck {__version__}")
        return 0
    if arguments[:1] in ([], ["--help"], ["-h"]):
        lines = [f"  gradcheck {name:<10} {words}" for name, words in COMMANDS.items()]
        print(
            "\n".join(
                ["usage: gradcheck COMMAND ...", *lines, "  gradcheck --version", "Each command has its own --help."]
            )
        )
        return 0 if arguments else 2
    if arguments[0] not in COMMANDS:
        from gradcheck.printable import printable

        print(f"gradcheck: {printable(arguments[0])}: must be one of {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    sys.argv = [f"gradcheck {arguments[0]}", *arguments[1:]]
    return int(import_module(f"gradcheck.{arguments[0]}").main() or 0)


def script() -> int:
    """The console script: ``main`` in a process that ends with it."""
    status = main()
    freeze_before_exit()
    return status


if __name__ == "__main__":
    sys.exit(script())
