"""The caller's own arrays as parameters: changed in place, and restored to the bit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gradcheck.errors import ContractError, one_line
from gradcheck.functions.parameters import Convention, Leaf, Parameters, Start, joined
from gradcheck.functions.trees.kinds import Number
from gradcheck.functions.trees.live import Live, LiveNumber
from gradcheck.functions.trees.paths import at, put
from gradcheck.functions.trees.start import Found, exact, taken_apart
from gradcheck.numerics.layout import Layout

Array = np.ndarray


@dataclass(frozen=True)
class WithoutPoint:
    """A function that computes with the caller's own arrays, called as one of x."""

    function: Callable[..., object]

    def __call__(self, x: object, *args: object, **kwargs: object) -> object:
        return self.function(*args, **kwargs)


@dataclass(frozen=True)
class InPlace(Parameters):
    """Parameters that are the caller's own arrays.

    x0 : the caller's structure.   live : what changes each array.   held : the array as it stood at each of its places.
    """

    x0: object = None
    held: tuple[tuple[object, ...], ...] = ()
    live: tuple[Live, ...] = ()

    def views(self, theta: Array) -> object:
        """The caller's structure, its arrays set to theta."""
        parts = self.split(theta)
        for leaf, live in zip(self.arrays, self.live, strict=True):
            live.write(parts[leaf.slots[0]] if not leaf.is_complex else joined([parts[slot] for slot in leaf.slots]))
        return self.x0

    def entries(self, value: object, what: str, outer: tuple[int, ...] = ()) -> list[tuple[Leaf, list[object]]]:
        """As of other parameters; the one gradient of a tensor that stands in several places counts once."""
        found = []
        for (leaf, claims), live in zip(super().entries(value, what, outer), self.live, strict=True):
            found.append((leaf, claims[:1] if all(map(live.accumulates, claims)) else claims))
        return found

    def changed(self, x: object, theta: Array) -> str | None:
        """The name of the first array that the caller's functions changed, or replaced in x0; None where none was."""
        parts = self.split(theta)
        for leaf, live, held in zip(self.arrays, self.live, self.held, strict=True):
            then = joined([parts[slot] for slot in leaf.slots])
            now = live.read()
            # the bytes differ too where they are no part of a number, as in longdouble
            if now.tobytes() != then.tobytes() and not np.array_equal(now, then, equal_nan=True):
                return leaf.name
            if not isinstance(live, LiveNumber) and any(
                at(self.x0, p) is not h for p, h in zip(leaf.paths, held, strict=True)
            ):
                raise ContractError(
                    f"an array of x0 is replaced while fun and jac are called: {leaf.name} is another one now; let them change"
                    " it in place and back, or leave it out of x0 if it is no parameter"
                )
        return None

    def restore(self) -> None:
        """Bring the arrays back to the bit, and to their places in x0.  A second Ctrl-C meanwhile does not stop it."""
        try:
            self._restore()
        except BaseException:
            self._restore()
            raise

    def _restore(self) -> None:
        failed: list[Exception] = []
        for leaf, live, held in zip(self.arrays, self.live, self.held, strict=True):
            try:
                live.restore()
                for path, array in zip(leaf.paths, held, strict=True):
                    if path and at(self.x0, path) is not array and not isinstance(live, LiveNumber):
                        put(at(self.x0, path[:-1]), path[-1], array)
            except Exception as error:  # the others are to be brought back all the same
                failed.append(error)
        if failed:
            raise ContractError(f"x0 could not be brought back to what it was: {one_line(failed[0])}")


def in_place(
    x0: Start, names: object, convention: Convention | None, thawed: Collection[str] = ()
) -> tuple[InPlace, Array]:
    """The caller's own arrays as parameters, and what stands in them.  Nothing is changed yet.

    An array that stands in several places is one parameter under its first name.
    thawed : names of whole numbers that are parameters; the others, and arrays of them, are frozen.
    Raises ContractError for arrays that overlap, or cannot be changed.
    """
    flat = taken_apart(x0, names=names, convention=convention, thawed=thawed)
    doubtful = [(name, path) for name, path in flat.parameters.doubtful if isinstance(at(x0, path), (int, np.integer))]
    live = [_live(x0, found) for found in flat.found]
    first = _aliases(flat.found, live)
    kept = [k for k in range(len(live)) if first[k] == k]
    dtype = _dtype([flat.found[k] for k in kept])
    leaves: list[Leaf] = []
    parts: list[int] = []
    held: list[tuple[object, ...]] = []
    for k in kept:
        leaf = flat.parameters.arrays[k]
        places = [found for found, to in zip(flat.found, first, strict=True) if to == k]
        held.append(tuple(found.value for found in places))
        paths = tuple(found.path for found in places)
        leaves.append(replace(leaf, paths=paths, slots=tuple(range(len(parts), len(parts) + len(leaf.slots)))))
        parts += leaf.slots
    whole = flat.parameters.layout
    layout = Layout(tuple(whole.names[k] for k in parts), tuple(whole.shapes[k] for k in parts), whole.labels)
    pieces = [flat.theta[whole.slices[name]] for name in layout.names]
    parameters = InPlace(
        layout=layout,
        arrays=tuple(leaves),
        pack=flat.parameters.pack,
        kind=flat.parameters.kind,
        words=flat.parameters.words,
        frozen=flat.parameters.frozen,
        doubtful=tuple(doubtful),
        convention=flat.parameters.convention,
        shares=False,
        x0=x0,
        held=tuple(held),
        live=tuple(live[k] for k in kept),
    )
    return parameters, np.concatenate(pieces).astype(dtype) if pieces else np.empty(0)


def _live(x0: Start, found: Found) -> Live:
    """What changes a leaf in place.  Raises ContractError for one that cannot be changed."""
    where = f"inplace=True: x0 ({found.name})" if found.path else "inplace=True: x0"
    if isinstance(found.read.kind, Number) and found.path:
        live: Live = LiveNumber(found.value, at(x0, found.path[:-1]), found.path[-1])
    elif found.read.alive is not None:
        live = found.read.alive()
    else:
        kind = type(found.value).__name__
        raise ContractError(
            f"{where} is a {kind}, which cannot be changed in place: let fun and jac take x, without inplace"
        )
    if not isinstance(live, LiveNumber) and live.read().dtype.kind not in "fc":
        raise ContractError(f"{where} holds whole numbers, which move by no small step: pass it with astype(float)")
    try:
        live.require_writable()
    except ValueError as error:
        raise ContractError(f"{where} {error}") from None
    return live


def _dtype(found: Sequence[Found]) -> np.dtype[np.floating]:
    """The one floating type of all arrays; a number of Python's takes that of the arrays.  ContractError."""
    kinds = {f.read.numbers.real.dtype: f for f in found if not f.read.weak}
    if len(kinds) > 1:
        (one, here), (two, there), *_ = kinds.items()
        raise ContractError(
            f"inplace=True: x0 mixes {one} ({here.name}) and {two} ({there.name}): give all arrays one floating type"
        )
    dtype = next(iter(kinds), np.dtype(np.float64))
    for f in found:
        if f.read.weak and not exact(f.read.numbers, dtype):
            raise ContractError(
                f"inplace=True: x0 ({f.name}) is {f.value!r}, which {dtype} does not hold: make it an array"
            )
    return dtype


def _aliases(found: Sequence[Found], live: Sequence[Live]) -> list[int]:
    """For each leaf the first one over the same memory, often itself.  ContractError where two overlap otherwise."""
    first: list[int] = []
    seen: dict[object, int] = {}
    memory = [each.memory() for each in live]
    for k, (leaf, array) in enumerate(zip(found, memory, strict=True)):
        place: object = (k,)
        if array is not None and array.size:
            steps = tuple(step for step, n in zip(array.strides, array.shape, strict=True) if n > 1)
            place = (array.ctypes.data, array.shape, steps, array.dtype.str)
        elif not isinstance(live[k], LiveNumber):
            place = id(leaf.value)
        first.append(seen.setdefault(place, k))
    ends = {
        k: np.lib.array_utils.byte_bounds(array)
        for k, array in enumerate(memory)
        if array is not None and array.size and first[k] == k
    }
    own = sorted(ends, key=lambda k: ends[k])
    for i, k in enumerate(own):
        for other in own[i + 1 :]:
            if ends[other][0] >= ends[k][1]:
                break
            if np.shares_memory(memory[k], memory[other]):
                raise ContractError(
                    f"inplace=True: {found[min(k, other)].name} and {found[max(k, other)].name} overlap in memory: pass the"
                    " array that both are views of, or arrays of their own"
                )
    return first
