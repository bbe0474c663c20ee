"""The plan of a run: its cells in the order in which they are computed, in a few dozen bytes each."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import pyarrow as pa

from gradcheck.experiment.config.canonical import canonical_json

PIECE = 1000  # cells that are packed together
Record: TypeAlias = tuple[str, str, str, str | None]  # id, config and swept values as JSON, why it is skipped


@dataclass(slots=True)
class Planned:
    """A cell of the grid.

    cell : its id;  config : canonical;
    swept : the keys of the grid that have no column of their own, and their values here;
    skip : why it is not computed, if it is not;
    text : the config as canonical JSON; made from it where it is not known.
    """

    cell: str
    config: dict[str, object]
    swept: dict[str, object] = field(default_factory=dict)
    skip: str | None = None
    text: str = ""

    def __post_init__(self) -> None:
        self.text = self.text or canonical_json(self.config)


class Ids:
    """A set of cell ids, 16 hex digits each, in 10 to 20 bytes an id: a hash table of the ids as numbers."""

    def __init__(self, cells: Iterable[str] = ()) -> None:
        self._table = array("Q", [0]) * 16
        self._count = 0
        self._zero = False  # 0 marks an empty place
        for cell in cells:
            self.add(cell)

    def __len__(self) -> int:
        return self._count + self._zero

    def __iter__(self) -> Iterator[str]:
        if self._zero:
            yield f"{0:016x}"
        yield from (f"{number:016x}" for number in self._table if number)

    def __contains__(self, cell: object) -> bool:
        number = _number(str(cell))
        return self._zero if number == 0 else self._table[self._place(number)] == number

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Ids | set | frozenset):
            return NotImplemented
        return len(self) == len(other) and all(cell in self for cell in other)

    __hash__ = None  # type: ignore[assignment]

    def add(self, cell: str) -> bool:
        """Add a cell; returns whether it is new."""
        number = _number(cell)
        if number == 0:
            new, self._zero = not self._zero, True
            return new
        place = self._place(number)
        if self._table[place] == number:
            return False
        self._table[place] = number
        self._count += 1
        if 5 * self._count > 4 * len(self._table):
            numbers, self._table = self._table, array("Q", [0]) * (2 * len(self._table))
            for known in numbers:
                if known:
                    self._table[self._place(known)] = known
        return True

    def _place(self, number: int) -> int:
        """The index in the table where a number stands, or would stand."""
        table, last = self._table, len(self._table) - 1
        place = number & last
        while table[place] and table[place] != number:
            place = (place + 1) & last
        return place


def _number(cell: str) -> int:
    """The id as a number; text that is no id, from a damaged record, gets a number by its hash."""
    try:
        number = int(cell, 16)
    except ValueError:
        number = -1
    return number if 0 <= number < 2**64 else int.from_bytes(hashlib.sha256(cell.encode()).digest()[:8], "big")


class Plan:
    """The cells of a run, each once and in order, compressed a thousand at a time.

    notes : what the user should know of their files, in the order in which it was found.
    former : ids under which cells were recorded that have others now, since a file or a source changed.
    changed : the key that names such a file or source, and its value.
    """

    def __init__(self, cells: Iterable[Planned] = ()) -> None:
        self.ids = Ids()
        self.notes: dict[str, None] = {}
        self.former = Ids()
        self.changed = ""
        self._packed: list[tuple[int, bytes]] = []
        self._open: list[Planned] = []
        self._kinds: dict[tuple[str, type], object] = {}
        for planned in cells:
            self.add(planned)

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Planned]:
        for records in self._pieces():
            cells, texts, swept, skips = zip(*records, strict=True)
            columns = cells, _read(texts), _read(swept), skips, texts
            yield from (Planned(*cell) for cell in zip(*columns, strict=True))
        yield from self._open

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Plan) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    @property
    def swept(self) -> list[dict[str, object]]:
        """One value of each swept key and type, from which the types of its column follow."""
        return [{key: value} for (key, _), value in self._kinds.items()]

    def records(self) -> Iterator[list[Record]]:
        """The cells as they are recorded, a thousand at a time."""
        yield from self._pieces()
        if self._open:
            yield [_record(cell) for cell in self._open]

    def add(self, planned: Planned) -> bool:
        """Append a cell; returns whether it is new."""
        if not self.ids.add(planned.cell):
            return False
        for key, value in planned.swept.items():
            self._kinds.setdefault((key, type(value)), value)
        self._open.append(planned)
        if len(self._open) == PIECE:
            text = json.dumps([_record(cell) for cell in self._open]).encode()
            self._packed.append((len(text), pa.compress(text, codec="zstd", asbytes=True)))
            self._open = []
        return True

    def _pieces(self) -> Iterator[list[Record]]:
        for size, packed in self._packed:
            yield json.loads(pa.decompress(packed, size, codec="zstd", asbytes=True))


def _read(texts: Sequence[str]) -> list[dict[str, object]]:
    """The values of many JSON texts; parsed as one text, which takes half the time."""
    found: list[dict[str, object]] = json.loads("[" + ",".join(texts) + "]")
    return found


def _record(planned: Planned) -> Record:
    return planned.cell, planned.text, json.dumps(planned.swept), planned.skip


class Left:
    """The cells of a plan that are not done yet."""

    def __init__(self, plan: Plan, done: Ids) -> None:
        self._plan, self._done = plan, done
        self._size = len(plan) - sum(cell in plan.ids for cell in done)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Planned]:
        return (planned for planned in self._plan if planned.cell not in self._done)
