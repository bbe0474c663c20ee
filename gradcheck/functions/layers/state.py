"""What objects hold, so that it can be put back: contents of containers, bits of arrays, states of random generators.

A layer keeps things between calls: a cache, running statistics, a recurrent state, a mask, a random generator.  A call may
change all of them.  ``State`` walks through everything that a layer or a function can reach of the caller's own, and keeps
it.  ``restore`` puts the contents back into the same objects, so that whoever else holds one of them sees it unchanged too.
"""

from __future__ import annotations

import functools
import random
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from gradcheck.functions.layers.held import attributes, slots
from gradcheck.functions.layers.tensors import is_module, random_state
from gradcheck.functions.layers.tensors import kept as kept_tensor

# Bytes of an array that is reached only through a global name.  A larger one is data rather than a state.
LARGE = 2**27
# Values that cannot change, and libraries whose objects are no state of a layer.
_FIXED = (str, bytes, int, float, complex, bool, type(None), np.generic, np.dtype, range, slice, types.ModuleType)
_FOREIGN = frozenset(sys.stdlib_module_names | {"numpy", "torch", "jax", "jaxlib", "pytest", "gradcheck"}) - {
    "__main__",
    "this",
}
# Folders of installed libraries.  A layer that is passed may come from one; what it names there is no state of its own.
_INSTALLED = frozenset({"site-packages", "dist-packages"})

_Kept = TypeVar("_Kept")
_Key = TypeVar("_Key")
Restore = Callable[[], None]


class State:
    """The state that can be reached from some objects, and the global random states of NumPy and ``random``.

    Containers and arrays keep their identity: what is put back is their contents.
    """

    def __init__(self, *roots: object) -> None:
        self._roots = roots
        self._seen: dict[int, object] = {}
        self._contents: list[Restore] = []
        self._generators: list[tuple[Callable[[], object], Callable[[], None]]] = []
        self._drawn_from = self._generators
        self._keep_global_random()
        waiting: list[tuple[object, bool]] = [(root, False) for root in roots]
        while waiting:
            value, distant = waiting.pop()
            if isinstance(value, _FIXED) or id(value) in self._seen or (distant and _is_installed(value)):
                continue
            # a reference to each object that was seen, so that no other gets its id
            self._seen[id(value)] = value
            waiting.extend(self._keep(value, distant))

    def restore(self) -> None:
        """Put everything back, but for random generators of which ``settle`` has seen that nobody draws from them."""
        for put_back in self._contents:
            put_back()
        for _, put_back in self._drawn_from:
            put_back()

    def again(self) -> State:
        """The state that can be reached from the same objects now."""
        return State(*self._roots)

    def settle(self, before: list[object]) -> bool:
        """Whether anything was drawn since ``before``, what ``drawn`` said.  The generators that stood still are left alone.

        Putting back the global state of NumPy takes longer than most layers.
        """
        pairs = zip(self._generators, before, self.drawn(), strict=True)
        self._drawn_from = [generator for generator, then, now in pairs if not same(then, now)]
        return bool(self._drawn_from)

    def surprises(self, before: list[object]) -> bool:
        """Whether somebody has drawn since ``before`` from a generator that was left alone.  If so, all are put back again."""
        alone = [not any(one is other for other in self._drawn_from) for one in self._generators]
        moved = [not same(then, now) for then, now in zip(before, self.drawn(), strict=True)]
        if not any(a and m for a, m in zip(alone, moved, strict=True)):
            return False
        self._drawn_from = self._generators
        return True

    def drawn(self) -> list[object]:
        """The states of all random generators now, to be compared: whoever draws changes one of them."""
        return [now() for now, _ in self._generators]

    @property
    def reached(self) -> list[object]:
        """The objects that were reached."""
        return list(self._seen.values())

    def owns(self, array: np.ndarray) -> bool:
        """Whether this very array, or the memory that it shows, was reached."""
        if id(array) in self._seen:
            return True
        arrays = [value for value in self.reached if isinstance(value, np.ndarray)]
        return any(np.may_share_memory(array, other) and np.shares_memory(array, other) for other in arrays)

    # ------------------------------------------------------------------------------------------ what is kept, and how

    def _keep(self, value: object, distant: bool) -> Iterable[tuple[object, bool]]:
        """Keep the contents of one object.  Returns what it refers to.   distant : reached through a global name."""
        if isinstance(value, np.ndarray):
            return self._keep_array(value, distant)
        if isinstance(value, (list, deque, set, bytearray, dict)):
            parts = [(part, distant) for part in self._keep_container(value)]
            # one of a class of the caller's may have attributes as well
            return [*parts, *self._keep_object(value, distant)]
        if isinstance(value, (tuple, frozenset)):
            return [(part, distant) for part in value]
        if isinstance(value, (np.random.Generator, np.random.RandomState, np.random.BitGenerator, random.Random)):
            self._keep_generator(value)
            return []
        if isinstance(value, types.MethodType):
            return [(value.__self__, distant), (value.__func__, distant)]
        if isinstance(value, functools.partial):
            return [(value.func, distant), (value.args, distant), (value.keywords, distant)]
        if isinstance(value, types.FunctionType):
            return self._keep_function(value)
        if isinstance(value, type):
            return self._keep_class(value, distant)
        put_back = kept_tensor(value)
        if put_back is not None:
            self._contents.append(put_back)
            return []
        return self._keep_object(value, distant)

    def _keep_array(self, array: np.ndarray, distant: bool) -> list[tuple[object, bool]]:
        if array.dtype.hasobject:
            return [(part, distant) for part in array.reshape(-1).tolist()]
        if array.flags.writeable and not (distant and array.nbytes > LARGE):
            self._contents.append(functools.partial(_fill, array, array.copy()))
        return []

    def _keep_container(self, value: list | deque | set | bytearray | dict) -> list[object]:  # type: ignore[type-arg]
        if isinstance(value, dict):
            self._contents.append(functools.partial(_refill_dict, value, list(value.items())))
            return [*value.keys(), *value.values()]
        saved = list(value)
        if isinstance(value, set):
            self._contents.append(functools.partial(_refill_set, value, set(value)))
        else:
            self._contents.append(functools.partial(_refill_list, value, saved))
        return saved

    def _keep_global_random(self) -> None:
        self._keep_numpy(np.random.get_state, np.random.set_state)
        self._generators.append((random.getstate, functools.partial(random.setstate, random.getstate())))
        of_torch = random_state()
        if of_torch is not None:
            self._generators.append(of_torch)

    def _keep_generator(
        self, value: np.random.Generator | np.random.RandomState | np.random.BitGenerator | random.Random
    ) -> None:
        if isinstance(value, random.SystemRandom):
            return
        if isinstance(value, random.Random):
            self._generators.append((value.getstate, functools.partial(value.setstate, value.getstate())))
            return
        if isinstance(value, np.random.RandomState):
            self._keep_numpy(value.get_state, value.set_state)
            return
        bits = value if isinstance(value, np.random.BitGenerator) else value.bit_generator
        self._generators.append((lambda: repr(bits.state), functools.partial(setattr, bits, "state", bits.state)))

    def _keep_numpy(self, get_state: Callable[[], _Kept], set_state: Callable[[_Kept], None]) -> None:
        def now() -> object:
            state = get_state()
            parts = state if isinstance(state, tuple) else (state,)
            return [part.tobytes() if isinstance(part, np.ndarray) else part for part in parts]

        self._generators.append((now, functools.partial(set_state, get_state())))

    def _keep_function(self, function: types.FunctionType) -> list[tuple[object, bool]]:
        """What a function keeps in its attributes, closure and defaults, and the caller's global objects that it names."""
        if _is_foreign(function.__module__):
            return []
        own: dict[str, object] = dict(function.__dict__)
        self._contents.append(functools.partial(_refill_dict, vars(function), list(own.items())))
        return [*self._referred(function), *((part, False) for part in own.values())]

    def _referred(self, function: types.FunctionType) -> list[tuple[object, bool]]:
        """What a function refers to.  What stands in its closure is put back."""
        found: list[tuple[object, bool]] = [(function.__defaults__, False), (function.__kwdefaults__, False)]
        for cell in function.__closure__ or ():
            try:
                content = cell.cell_contents
            except ValueError:  # not filled yet
                continue
            self._contents.append(functools.partial(setattr, cell, "cell_contents", content))
            found.append((content, False))
        space = function.__globals__
        for name in _names(function.__code__):
            if name in space and not isinstance(space[name], _FIXED):
                found.append((space[name], True))
        return found

    def _keep_class(self, kind: type, distant: bool) -> list[tuple[object, bool]]:
        """The attributes of a class that are no methods, and what its methods refer to."""
        if _is_foreign(kind.__module__):
            return []
        plain = {n: v for n, v in vars(kind).items() if not n.startswith("__") and not _is_descriptor(v)}
        self._contents.append(functools.partial(_reset_class, kind, len(vars(kind)), plain))
        found: list[tuple[object, bool]] = [(base, distant) for base in kind.__bases__]
        functions = (getattr(v, "__func__", None) or getattr(v, "fget", None) or v for v in vars(kind).values())
        for function in functions:
            if isinstance(function, types.FunctionType) and not _is_foreign(function.__module__):
                found += self._referred(function)
        return found + [(value, distant) for value in plain.values()]

    def _keep_object(self, value: object, distant: bool) -> list[tuple[object, bool]]:
        kind = type(value)
        if _is_foreign(kind.__module__) and not (isinstance(value, types.SimpleNamespace) or is_module(value)):
            return []
        found: list[tuple[object, bool]] = [(kind, distant)]
        held = attributes(value)
        if held is not None:
            self._contents.append(functools.partial(_refill_dict, held, list(held.items())))
            found += [(part, distant) for part in held.values()]
        in_slots = slots(value)
        if in_slots:
            self._contents.append(functools.partial(_reset_slots, value, in_slots))
            found += [(part, distant) for part in in_slots.values()]
        return found


def same(before: object, after: object) -> bool:
    """Whether two random states are equal."""
    return repr(before) == repr(after)


def _is_foreign(module: str | None) -> bool:
    return module is not None and module.partition(".")[0] in _FOREIGN


def _is_installed(value: object) -> bool:
    """Whether an object, a function or a class comes from a library that is installed, rather than from the caller's files."""
    if isinstance(value, (np.ndarray, np.random.Generator, np.random.RandomState, np.random.BitGenerator)):
        return False
    named = value if isinstance(value, (type, types.FunctionType)) else type(value)
    file = getattr(sys.modules.get(named.__module__ or ""), "__file__", None)
    return file is not None and not _INSTALLED.isdisjoint(Path(file).parts)


def _is_descriptor(value: object) -> bool:
    return hasattr(type(value), "__get__") or isinstance(value, (staticmethod, classmethod, property))


def _names(code: types.CodeType) -> Iterator[str]:
    """The global names that a function uses, those of functions inside it included."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _fill(array: np.ndarray, saved: np.ndarray) -> None:
    if array.shape != saved.shape:
        array.resize(saved.shape, refcheck=False)
    if array.flags.writeable:
        array[...] = saved


def _refill_dict(held: dict[_Key, object], saved: Sequence[tuple[_Key, object]]) -> None:
    if len(held) == len(saved):
        for (key, value), (own, content) in zip(held.items(), saved, strict=True):
            if key is not own or value is not content:
                break
        else:
            return
    held.clear()
    held.update(saved)


def _refill_list(held: list[object] | deque[object] | bytearray, saved: list[object]) -> None:
    if len(held) == len(saved) and all(a is b for a, b in zip(held, saved, strict=True)):
        return
    held.clear()
    held.extend(saved)  # type: ignore[arg-type]


def _refill_set(held: set[object], saved: set[object]) -> None:
    if held != saved:
        held.clear()
        held.update(saved)


def _reset_slots(value: object, saved: dict[str, object]) -> None:
    now = slots(value)
    for name in now.keys() - saved.keys():
        delattr(value, name)
    for name, content in saved.items():
        if name not in now or now[name] is not content:
            object.__setattr__(value, name, content)


def _reset_class(kind: type, size: int, saved: dict[str, object]) -> None:
    now = vars(kind)
    for name, content in saved.items():
        if now.get(name) is not content:
            setattr(kind, name, content)
    if len(now) != size:
        for name in [n for n, v in now.items() if n not in saved and not _is_descriptor(v) and not n.startswith("__")]:
            delattr(kind, name)
