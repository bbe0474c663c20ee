"""Functions that somebody else wrote, found by their names.

The names come from a config, and a config may come from anywhere.  Only modules that the person at the keyboard has named are
imported.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from gradcheck.errors import one_line

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*(:[^\W\d]\w*|\.[^\W\d]\w*)(\.[^\W\d]\w*)*")


def require_name(key: str, name: object) -> None:
    """Raise ValueError unless this can be the name of a function.  Nothing is imported."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _no_name(key, name)


def permitted(name: str, allowed: Iterable[str]) -> bool:
    """Whether a function's name lies in one of the allowed modules, or is allowed itself."""
    plain = name.replace(":", ".")
    return any(plain == one or plain.startswith(f"{one}.") for one in (a.replace(":", ".") for a in allowed))


def module_of(name: str) -> str:
    """The module in the name of a function."""
    return name.partition(":")[0] if ":" in name else name.rpartition(".")[0]


def find(key: str, name: str, allowed: tuple[str, ...]) -> Callable[..., object]:
    """The function of this name.

    Raises ValueError, naming key and value, where its module is not allowed, cannot be imported or has no such function.
    """
    if not permitted(name, allowed):
        of = module_of(name)
        raise ValueError(
            f"{key}={name}: named by a file or a record, not typed; to import it allow its module with allow={of}"
            f" (reproduce: --allow {of})"
        )
    module, path = _module(key, name)
    found: object = module
    for attribute in path:
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise ValueError(f"{key}={name}: {module.__name__} has no {'.'.join(path)}") from None
        # to allow a module does not allow the modules that it imports
        if isinstance(found, ModuleType) and not permitted(found.__name__, allowed):
            raise ValueError(f"{key}={name}: leads through the module {found.__name__}, which is not allowed")
    if not callable(found):
        raise ValueError(f"{key}={name}: is a {type(found).__name__}, must be a function")
    function: Callable[..., object] = found
    return function


def _module(key: str, name: str) -> tuple[ModuleType, list[str]]:
    """The module and the attributes that lead to the function: of a dotted name the longest part that is a module."""
    import importlib
    import os
    import sys

    before, _, after = name.partition(":")
    parts = before.split(".")
    # modules in the current folder are found too, after all others
    here = os.getcwd()
    added = here not in sys.path and "" not in sys.path
    if added:
        sys.path.append(here)
    # Python reuses bytecode if the source has the same size and second: a gradient corrected at once would not be imported
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        for n in range(len(parts) if after else len(parts) - 1, 0, -1):
            candidate = ".".join(parts[:n])
            try:
                return importlib.import_module(candidate), [*parts[n:], *filter(None, after.split("."))]
            except ModuleNotFoundError as error:
                missing = error.name or ""
                if not (candidate == missing or candidate.startswith(f"{missing}.")):
                    words = f"importing {candidate} needs {missing}, which is not installed"
                    raise ValueError(f"{key}={name}: {words}") from None
                if n == 1 or after:
                    raise ValueError(f"{key}={name}: there is no module {missing}") from None
            except (Exception, SystemExit) as error:
                words = f"importing {candidate} raised {type(error).__name__}: {one_line(error)}"
                raise ValueError(f"{key}={name}: {words}") from None
    finally:
        sys.dont_write_bytecode = written
        if added and here in sys.path:
            sys.path.remove(here)
    raise _no_name(key, name)


def _no_name(key: str, name: object) -> ValueError:
    also = ", or true where fun returns (value, gradient)" if key == "model.jac" else ""
    return ValueError(f"{key}={name}: must be module.function or module:function{also}")


def digest(function: Callable[..., object]) -> str:
    """sha256 of the source file of a function; of a compiled one, sha256 of its name and its package's version."""
    import inspect
    import sys

    plain = inspect.unwrap(getattr(function, "func", function))
    for thing in (plain, type(plain)):
        try:
            # of the whole file, since the function may call others in it
            return _file_digest(inspect.getsourcefile(thing) or "", sys.modules.get(thing.__module__))
        except (OSError, TypeError):
            continue
    return hashlib.sha256(_compiled(plain).encode()).hexdigest()


@lru_cache(maxsize=1024)
def _file_digest(path: str, module: ModuleType | None) -> str:
    """sha256 of the file when its module is first asked about: a loaded module stays as it is when the file changes."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _compiled(function: object) -> str:
    import importlib
    import platform

    module = getattr(function, "__module__", None) or type(function).__module__
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", type(function).__qualname__)
    package = importlib.import_module(module.partition(".")[0])
    return f"{module}.{name} {getattr(package, '__version__', platform.python_version())}"
