"""A function and its gradient that somebody else wrote, found by their names.

The names come from a config, and a config may come from anywhere, so nothing is imported before ``permit`` was told the
modules that the person at the keyboard has named.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from gradcheck.batch import Batch
from gradcheck.layout import Layout
from gradcheck.target import NoTarget

Array = np.ndarray

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*(:[^\W\d]\w*|\.[^\W\d]\w*)(\.[^\W\d]\w*)*")


@dataclass
class Function:
    """J(x) = fun(x, *args) with the gradient jac(x, *args).

    fun, jac : where they are found, as ``scipy.optimize.rosen`` or ``package.module:name``; ``jac=true``: fun returns
        the value and the gradient.
    x0 : nested lists of numbers, the parameter ``x``; or a mapping from names to nested lists, which the functions get
        as a dict in the order of the sorted names.  Its shapes are those of the parameters, its numbers those of theta
        unless ``init`` says otherwise.
    args : further arguments.  Lists of numbers become arrays, fractions in the dtype of theta.
    """

    fun: str = "???"
    jac: str = "???"
    x0: Any = "???"
    args: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._allowed: tuple[str, ...] = ()
        self._found: dict[str, Callable[..., Any]] = {}

    @property
    def opaque(self) -> bool:
        """It says nothing of its rounding errors, its kinks and its scale: they are measured."""
        return True

    @property
    def smooth(self) -> bool:
        """Nothing is known against it; whether it takes complex arguments is tried."""
        return True

    @property
    def has_bias(self) -> bool:
        return False

    @property
    def n_hidden(self) -> int:
        return 0

    @property
    def target(self) -> NoTarget:
        return NoTarget()

    @property
    def both(self) -> bool:
        """Whether ``fun`` returns value and gradient."""
        return self.jac in ("true", "True")

    def validate(self) -> None:
        """Raise ValueError, naming the key, unless every setting has an allowed value.  Nothing is imported."""
        for key, name in self._names():
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise _no_name(f"model.{key}", name)
        self.start()

    def permit(self, modules: Iterable[str]) -> None:
        """Allow functions of these modules (or one function by its whole name) to be imported."""
        self._allowed = tuple(modules)

    def start(self) -> Any:
        """x0 as float64 arrays: one, or a dict of them in the order of the names."""
        if isinstance(self.x0, dict):
            if not self.x0:
                raise ValueError("model.x0={}: must map names of parameters to nested lists of numbers")
            return {str(name): _numbers(f"model.x0.{name}", self.x0[name]) for name in sorted(self.x0, key=str)}
        return _numbers("model.x0", self.x0)

    def values(self) -> dict[str, Any]:
        """x0 as a mapping from parameters' names to nested lists."""
        return dict(self.x0) if isinstance(self.x0, dict) else {"x": self.x0}

    def arguments(self, dtype: np.dtype[Any]) -> tuple[Any, ...]:
        """What the functions get after x."""
        return tuple(_argument(value, dtype) for value in self.args)

    def layout(self, batch: Batch) -> Layout:
        """The parameters of x0."""
        start = self.start()
        named = start if isinstance(start, dict) else {"x": start}
        return Layout(tuple(named), tuple(array.shape for array in named.values()))

    def check_batch(self, batch: Batch) -> None:
        """There are no data to check."""

    def loss(self, theta: Array, batch: Batch) -> Array:
        """fun at theta; scalar of theta's dtype."""
        out = self.function("fun")(self._x(theta, batch), *self.arguments(theta.real.dtype))
        value = np.asarray(out[0] if self.both else out).reshape(-1)[0]
        return value.astype(np.result_type(value, theta.dtype) if value.dtype.kind == "c" else theta.dtype)

    def gradient(self, theta: Array, batch: Batch) -> Array:
        """jac at theta, flat, in theta's dtype."""
        function = self.function("fun" if self.both else "jac")
        out = function(self._x(theta, batch), *self.arguments(theta.dtype))
        out = out[1] if self.both else out
        named = out if isinstance(self.x0, dict) else {"x": np.asarray(out).reshape(self.layout(batch).shapes[0])}
        return self.layout(batch).join(named, theta.dtype)

    def _x(self, theta: Array, batch: Batch) -> Any:
        named = {name: part.copy() for name, part in self.layout(batch).split(theta).items()}
        return named if isinstance(self.x0, dict) else named["x"]

    def _names(self) -> Iterator[tuple[str, str]]:
        yield "fun", self.fun
        if not self.both:
            yield "jac", self.jac

    def function(self, key: str) -> Callable[..., Any]:
        """The function that ``fun`` or ``jac`` names.

        Raises ValueError, naming key and value, where its module is not permitted, cannot be imported or has no such
        function.
        """
        if key not in self._found:
            self._found[key] = _find(f"model.{key}", getattr(self, key), self._allowed)
        return self._found[key]

    def digests(self) -> dict[str, str]:
        """sha256 of the source file of each function, by its key; of what is compiled, of its name and its package's
        version.
        """
        return {key: _digest(self.function(key)) for key, _ in self._names()}


def _numbers(key: str, value: Any) -> Array:
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(f"{key}: is ragged, its rows have different lengths") from None
    if array.size == 0 or array.dtype.kind not in "iuf":
        raise ValueError(f"{key}={value}: must be numbers in nested lists")
    return array.astype(np.float64)


def _argument(value: Any, dtype: np.dtype[Any]) -> Any:
    if isinstance(value, float):
        return dtype.type(value)
    if not isinstance(value, list):
        return value
    try:
        array = np.asarray(value)
    except ValueError:  # ragged: it stays a list
        return value
    return array.astype(dtype) if array.dtype.kind == "f" else array if array.dtype.kind in "iub" else value


# ------------------------------------------------------------------------------------------------------------- imports


def permitted(name: str, allowed: Iterable[str]) -> bool:
    """Whether a function's name lies in one of the allowed modules, or is allowed itself."""
    plain = name.replace(":", ".")
    return any(plain == one or plain.startswith(f"{one}.") for one in (a.replace(":", ".") for a in allowed))


def module_of(name: str) -> str:
    """The module that a function's name speaks of."""
    return name.partition(":")[0] if ":" in name else name.rpartition(".")[0]


def _find(key: str, name: str, allowed: tuple[str, ...]) -> Callable[..., Any]:
    if not permitted(name, allowed):
        module = module_of(name)
        raise ValueError(
            f"{key}={name}: named by a file or a record, not typed; to import it allow its module with allow={module}"
            f" (reproduce: --allow {module})"
        )
    module, path = _module(key, name)
    found: Any = module
    for attribute in path:
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise ValueError(f"{key}={name}: {module.__name__} has no {'.'.join(path)}") from None
        # another module that this one has imported was not meant by whoever allowed this one
        if isinstance(found, type(re)) and not permitted(found.__name__, allowed):
            raise ValueError(f"{key}={name}: leads through the module {found.__name__}, which is not allowed")
    if not callable(found):
        raise ValueError(f"{key}={name}: is a {type(found).__name__}, must be a function")
    function: Callable[..., Any] = found
    return function


def _module(key: str, name: str) -> tuple[Any, list[str]]:
    """The module and the attributes that lead to the function: of a dotted name the longest part that is a module."""
    import importlib
    import os
    import sys

    before, _, after = name.partition(":")
    parts = before.split(".")
    # the folder of the command is looked through last, as a script beside the data would expect
    here = os.getcwd()
    added = here not in sys.path and "" not in sys.path
    if added:
        sys.path.append(here)
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
                words = f"importing {candidate} raised {type(error).__name__}: {' '.join(str(error).split())}"
                raise ValueError(f"{key}={name}: {words}") from None
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
    raise _no_name(key, name)


def _no_name(key: str, name: object) -> ValueError:
    also = ", or true where fun returns (value, gradient)" if key == "model.jac" else ""
    return ValueError(f"{key}={name}: must be module.function or module:function{also}")


def _digest(function: Callable[..., Any]) -> str:
    import inspect
    import sys

    plain = inspect.unwrap(getattr(function, "func", function))
    for thing in (plain, type(plain)):
        try:
            # the whole file: a function is what its helpers are, too
            return _file_digest(inspect.getsourcefile(thing) or "", sys.modules.get(thing.__module__))
        except (OSError, TypeError):
            continue
    return hashlib.sha256(_compiled(plain).encode()).hexdigest()


@lru_cache(maxsize=1024)
def _file_digest(path: str, module: Any) -> str:
    """Of the file as it is when a module is first asked about: what is loaded stays, whatever becomes of the file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _compiled(function: Any) -> str:
    import importlib
    import platform

    module = getattr(function, "__module__", None) or type(function).__module__
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", type(function).__qualname__)
    package = importlib.import_module(module.partition(".")[0])
    return f"{module}.{name} {getattr(package, '__version__', platform.python_version())}"
