"""``python -m gradcheck.run``: check gradients as the config says, one run or a grid of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from gradcheck.experiment import patches


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status: 0 done, 1 something failed, 2 bad input, 130 interrupted."""
    if arguments is None:
        with patches.collector_paused(alone=True):
            return _status(sys.argv[1:], alone=True)
    from gradcheck.views.commands.caller import guest  # a process of its own does without

    with guest():
        return _status(list(arguments), alone=False)


def _status(typed: list[str], *, alone: bool) -> int:
    try:
        if "--version" in typed:
            from gradcheck import __version__

            print(f"gradcheck {__version__}")
            return 0
        from gradcheck.errors import BadInput, Meaningless, WriteError, one_line
        from gradcheck.printable import printable
        from gradcheck.views.commands.caller import Caller
        from gradcheck.views.commands.launch import run

        try:
            status = run(typed, Caller(alone))
            sys.stdout.flush()
            return status
        except (BadInput, Meaningless, WriteError) as error:
            print(f"gradcheck: {printable(one_line(error))}", file=sys.stderr)
            return 1 if isinstance(error, WriteError) else 2
    except MemoryError:
        from gradcheck.views.terminal import out_of_memory

        return out_of_memory()
    except OSError as error:
        from gradcheck.views.terminal import unprinted

        return unprinted(error)
    except KeyboardInterrupt:
        print("gradcheck: interrupted; what was finished is stored", file=sys.stderr)
        return 130


if __name__ == "__main__":
    status = main()
    patches.freeze_before_exit()
    sys.exit(status)
