"""What a sweep has made for some keys, kept for the next points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar

RECENT = 1000

K = TypeVar("K")
V = TypeVar("V")
P = ParamSpec("P")


class Recent(dict[K, V], Generic[K, V]):
    """A cache that is emptied when it holds RECENT entries."""

    def get_or(self, key: K, make: Callable[P, V], *arguments: P.args, **named: P.kwargs) -> V:
        """The entry of a key, made of the arguments where there is none."""
        if key not in self:
            if len(self) >= RECENT:
                self.clear()
            self[key] = make(*arguments, **named)
        return self[key]
