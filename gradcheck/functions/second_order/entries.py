"""How the entries of a Hessian are called: ``H[0,1]``, or ``H[beta,sigma]`` where the parameters have names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcheck.numerics.layout import Layout

Array = np.ndarray


@dataclass(frozen=True)
class Labels:
    """The names of the n entries of x, in the flat order.

    shape : of x where it is one array; then an entry of the Hessian is called by its indices.   given : whether somebody gave
        the names.
    """

    names: tuple[str, ...]
    given: bool
    shape: tuple[int, ...] | None = None

    @property
    def n(self) -> int:
        """How many there are."""
        return len(self.names)

    def entry(self, i: int, j: int) -> str:
        """``H[beta,sigma]``, the second derivative by the entries i and j of x."""
        if self.shape == () and not self.given:
            return "H"
        return f"H[{self.names[i]},{self.names[j]}]"

    def product(self, i: int, k: int) -> str:
        """``(H v0)[beta]``, an entry of the product with the drawn vector k."""
        return f"(H v{k})[{self.names[i]}]"


def labels_of(layout: Layout, single: bool) -> Labels:
    """The labels of the entries of one array, or its indices; of several arrays their names with the place of each entry.

    single : whether x0 is one array.
    """
    names, positions = layout.columns(np.arange(layout.size))
    places = [layout.place(name, position) for name, position in zip(names, positions, strict=True)]
    if not single:
        return Labels(tuple(name + place for name, place in zip(names, places, strict=True)), True)
    # of one array x[age] is called age, and x[0,1] is (0,1)
    inner = [place[1:-1] for place in places]
    known = bool(layout.labels)
    return Labels(tuple(f"({p})" if "," in p and not known else p for p in inner), known, layout.shapes[0])
