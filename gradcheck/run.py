"""``python -m gradcheck.run``: check gradients as the config says, one run or a grid of them."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status: 0 done, 1 something failed, 2 bad input, 130 interrupted."""
    typed = sys.argv[1:] if arguments is None else list(arguments)
    # What is imported and composed stays: to look for garbage in it takes a fifth of a small run.
    alone, collecting = arguments is None, gc.isenabled()
    gc.disable()
    try:
        if "--version" in typed:
            from gradcheck import __version__

            print(f"gradcheck {__version__}")
            return 0
        from gradcheck.commands.launch import run
        from gradcheck.errors import BadInput, Meaningless, WriteError
        from gradcheck.printable import printable

        try:
            status = run(typed, alone=alone)
            sys.stdout.flush()
            return status
        except (BadInput, Meaningless, WriteError) as error:
            print(f"gradcheck: {printable(' '.join(str(error).split()))}", file=sys.stderr)
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
    finally:
        if alone:
            gc.unfreeze()
        (gc.enable if collecting else gc.disable)()


if __name__ == "__main__":
    status = main()
    gc.freeze()  # the interpreter would look for garbage in all of it once more before it ends
    sys.exit(status)
