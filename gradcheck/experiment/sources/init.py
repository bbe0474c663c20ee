"""Where the parameters at which a gradient is checked come from.

Every source is a dataclass of settings, a ``Start``; ``INITS`` finds it by name.
"""

import math
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from gradcheck.columns.places import local
from gradcheck.experiment.sources.numbers import as_dtype
from gradcheck.experiment.sources.settings import require_number, require_text
from gradcheck.models.interfaces import Start
from gradcheck.numerics.layout import Layout
from gradcheck.numerics.streams import stream, validate_seed

# A step of descent may raise the loss, but not above the highest of the last MEMORY losses (Grippo, Lampariello, Lucidi).
MEMORY = 10
# Descent ends after PATIENCE steps in a row without a new smallest gradient.
PATIENCE = 50
HALVINGS = 30


@dataclass
class Normal(Start):
    """Independent normal parameters, biases too: theta = scale * N(0, 1), drawn in the order of the layout."""

    seed: int = 0
    scale: float = 1.0

    def validate(self) -> None:
        validate_seed("init.seed", self.seed)
        require_number("init.scale", self.scale, low=0.0)

    def theta(self, layout: Layout, dtype: DTypeLike) -> np.ndarray:
        return as_dtype("init.scale", self.scale * stream(self.seed, "weights").standard_normal(layout.size), dtype)


@dataclass
class Zeros(Start):
    """All parameters 0."""

    def validate(self) -> None:
        pass

    def theta(self, layout: Layout, dtype: DTypeLike) -> np.ndarray:
        return np.zeros(layout.size, dtype=dtype)


@dataclass
class Optimum(Start):
    """Near a minimum of the loss: descent from normal parameters, in the dtype, until the gradient stops shrinking.

    theta <- theta - t g with the step t = s.s / s.y of Barzilai and Borwein (IMA J. Numer. Anal. 8, 1988), s and y the
    last changes of theta and g, halved until the loss is no higher than the highest of the last ten (Raydan, SIAM J.
    Optim. 7, 1997).  The parameters with the smallest gradient on the way are kept.  That gradient is rounding,
    unless `steps` did not suffice or the loss has no minimum.

    seed, scale : of the start, as in ``normal``.
    steps : the largest number of steps.
    """

    seed: int = 0
    scale: float = 1.0
    steps: int = 500

    def validate(self) -> None:
        validate_seed("init.seed", self.seed)
        require_number("init.scale", self.scale, low=0.0)
        if isinstance(self.steps, bool) or not isinstance(self.steps, int) or self.steps < 0:
            raise ValueError(f"init.steps={self.steps}: must be a whole number >= 0")

    def theta(self, layout: Layout, dtype: DTypeLike) -> np.ndarray:
        return Normal(self.seed, self.scale).theta(layout, dtype)

    def refine(
        self,
        theta: np.ndarray,
        loss: Callable[[np.ndarray], Any],
        gradient: Callable[[np.ndarray], np.ndarray],
    ) -> np.ndarray:
        """The parameters (size,) with the smallest gradient that descent from ``theta`` has found."""
        with np.errstate(all="ignore"):
            g = gradient(theta)
            best, smallest, since = theta, _norm(g), 0
            if not 0 < smallest < math.inf:
                return theta
            losses = [loss(theta)]
            t = theta.dtype.type(1 / smallest)
            for _ in range(self.steps):
                for _ in range(HALVINGS):
                    new = theta - t * g
                    found = loss(new)
                    if found <= max(losses[-MEMORY:]):
                        break
                    t = t / 2
                else:
                    break
                new_g = gradient(new)
                s, y = new - theta, new_g - g
                curvature = s @ y
                if curvature > 0:
                    t = s @ s / curvature
                theta, g = new, new_g
                losses.append(found)
                since += 1
                norm = _norm(g)
                if norm < smallest:
                    best, smallest, since = theta, norm, 0
                if norm == 0 or since >= PATIENCE or not (np.isfinite(t) and t > 0):
                    break
        return best


@dataclass
class StartValues(Start):
    """Parameters written in the config: name of the parameter to nested lists in its shape."""

    values: dict[str, Any] = field(default_factory=dict)

    def validate(self) -> None:
        _validate_mapping(self.values)

    def theta(self, layout: Layout, dtype: DTypeLike) -> np.ndarray:
        return _joined("init.values", self.values, layout, dtype)


@dataclass
class StartFile(Start):
    """Parameters from an npz file that holds one array a parameter, under its name (pickled objects are refused).

    max_bytes : files that are larger when unpacked are refused.
    """

    path: str = "???"
    max_bytes: int = 2**30

    def validate(self) -> None:
        require_text("init.path", self.path, "the path of an npz file")
        if isinstance(self.max_bytes, bool) or not isinstance(self.max_bytes, int) or self.max_bytes < 1:
            raise ValueError(f"init.max_bytes={self.max_bytes}: must be a whole number >= 1")

    def sources(self) -> list[Path]:
        return [local(self.path)]

    def theta(self, layout: Layout, dtype: DTypeLike) -> np.ndarray:
        return _joined(f"init.path={self.path}", self._arrays(), layout, dtype)

    def _arrays(self) -> dict[str, np.ndarray]:
        key = f"init.path={self.path}"
        try:
            path = local(self.path)
            if not zipfile.is_zipfile(path):
                path.open("rb").close()  # says why a file cannot be opened
                raise ValueError(f"{key}: is not a complete npz file")
            with np.load(path, allow_pickle=False) as archive:
                unpacked = sum(member.file_size for member in archive.zip.infolist())
                if unpacked > self.max_bytes:
                    raise ValueError(f"{key}: unpacks to {unpacked} bytes, more than init.max_bytes={self.max_bytes}")
                arrays = {}
                for name in archive.files:
                    try:
                        array = archive[name]
                    except ValueError:
                        raise ValueError(f"{key}: {name} is not an array of numbers") from None
                    except MemoryError:  # its header claims more than there is
                        raise ValueError(f"{key}: {name} does not fit into memory") from None
                    if not isinstance(array, np.ndarray):  # a member that is no npy file comes as bytes
                        raise ValueError(f"{key}: {name} is not an array of numbers")
                    arrays[name] = array
                return arrays
        except OSError as error:
            raise ValueError(f"{key}: {error.strerror or error}") from None
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError):
            raise ValueError(f"{key}: is not a complete npz file") from None


INITS: dict[str, type[Start]] = {
    "normal": Normal,
    "zeros": Zeros,
    "optimum": Optimum,
    "values": StartValues,
    "file": StartFile,
}


def _norm(gradient: np.ndarray) -> float:
    """Largest absolute entry; infinite where an entry is not a number."""
    largest = float(np.abs(gradient).max(initial=0.0))
    return math.inf if math.isnan(largest) else largest


def _validate_mapping(values: object) -> None:
    if not isinstance(values, Mapping) or not values:
        given = "null" if values is None else values
        raise ValueError(f"init.values={given}: must map parameter names to nested lists of numbers")


def _joined(key: str, values: Mapping[str, ArrayLike], layout: Layout, dtype: DTypeLike) -> np.ndarray:
    try:
        theta = layout.join(values)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
    if theta.dtype.kind == "c":
        raise ValueError(f"{key}: holds complex numbers, must hold real numbers only")
    if not np.isfinite(theta).all():
        raise ValueError(f"{key}: holds {theta[~np.isfinite(theta)][0]}, must hold finite numbers only")
    return as_dtype(key, theta, dtype)
