"""The plan of a run: its cells in the order in which they are computed, in a few dozen bytes each."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import add
from typing import Any, NamedTuple, TypeAlias, TypeVar

import pyarrow as pa

from gradcheck.experiment.config.canonical import canonical_json

PIECE = 1000  # cells that are packed together
Record: TypeAlias = tuple[str, str, str, str | None]  # id, config and swept values as JSON, why it is skipped


V = TypeVar("V")


@dataclass(slots=True)
class Planned:
    """A cell of the grid.

    cell : its id;  config : canonical;
    swept : the keys of the grid that have no column of their own, and their values here;
    skip : why it is not computed, if it is not;
    texts : each value of the config as canonical JSON, by its key; made from it where they are not known.
    """

    cell: str
    config: dict[str, object]
    swept: dict[str, object] = field(default_factory=dict)
    skip: str | None = None
    texts: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.texts = self.texts or {key: canonical_json(value) for key, value in self.config.items()}

    @property
    def text(self) -> str:
        """The config as canonical JSON."""
        return _text(sorted(self.texts), self.texts)


def _text(keys: Sequence[str], texts: Mapping[str, str]) -> str:
    """A config as canonical JSON from its sorted keys and the texts of its values."""
    return "{" + ",".join([f'"{key}":{texts[key]}' for key in keys]) + "}"


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
        self._packed: list[_Piece] = []
        self._open: list[Planned] = []
        self._kinds: dict[tuple[str, type], object] = {}
        for planned in cells:
            self.add(planned)

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Planned]:
        for piece in self._packed:
            yield from piece.cells()
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
        yield from (piece.records() for piece in self._packed)
        if self._open:
            yield [(cell.cell, cell.text, json.dumps(cell.swept), cell.skip) for cell in self._open]

    def add(self, planned: Planned) -> bool:
        """Append a cell; returns whether it is new."""
        if not self.ids.add(planned.cell):
            return False
        for key, value in planned.swept.items():
            self._kinds.setdefault((key, type(value)), value)
        self._open.append(planned)
        if len(self._open) == PIECE:
            self._packed.append(_Piece.of(self._open))
            self._open = []
        return True


class _Piece(NamedTuple):
    """Cells of a plan in little memory.

    keys : of their configs; () where these are not the same.   size : of what is packed, in bytes.
    """

    keys: tuple[str, ...]
    size: int
    packed: bytes

    @staticmethod
    def of(cells: Sequence[Planned]) -> _Piece:
        """These cells: what many of them share is written once."""
        keys = tuple(sorted(cells[0].texts))
        alike = bool(keys) and all(cell.texts.keys() == cells[0].texts.keys() for cell in cells)
        rows = ([cell.texts[key] for key in keys] if alike else [cell.text] for cell in cells)
        columns = [
            *zip(*rows, strict=True),
            [json.dumps(cell.swept) if cell.swept else "{}" for cell in cells],
            [cell.skip for cell in cells],
        ]
        text = json.dumps([[cell.cell for cell in cells], *map(_distinct, columns)]).encode()
        return _Piece(keys if alike else (), len(text), pa.compress(text, codec="zstd", asbytes=True))

    def cells(self) -> Iterator[Planned]:
        """The cells; equal values of their configs are one and the same object."""
        ids, *columns, swept, skips = self._columns()
        values = zip(*(_spread(_read(distinct), places) for distinct, places in columns), strict=True)
        texts = _rows(columns)
        more = _spread([json.loads(text) for text in swept[0]], swept[1]), _spread(*skips)
        for cell, value, text, keys, skip in zip(ids, values, texts, *more, strict=True):
            if self.keys:
                config, own = dict(zip(self.keys, value, strict=True)), dict(zip(self.keys, text, strict=True))
                yield Planned(cell, config, dict(keys), skip, own)
            else:
                yield Planned(cell, value[0], dict(keys), skip)

    def records(self) -> list[Record]:
        """The cells as they are recorded."""
        ids, *columns, swept, skips = self._columns()
        names = [f'"{key}":' for key in self.keys]
        whole = ["{" + ",".join(map(add, names, row)) + "}" if names else row[0] for row in _rows(columns)]
        return list(zip(ids, whole, _spread(*swept), _spread(*skips), strict=True))

    def _columns(self) -> list[Any]:
        """The ids; of each column, with those of ``swept`` and ``skip``, the distinct values and where they stand."""
        found: list[Any] = json.loads(pa.decompress(self.packed, self.size, codec="zstd", asbytes=True))
        return found


def _distinct(values: Sequence[object]) -> tuple[list[object], list[int]]:
    """The distinct values, and of each value which of them it is."""
    places: dict[object, int] = {}
    where = [places.setdefault(value, len(places)) for value in values]
    return list(places), where


def _spread(distinct: Sequence[V], places: Sequence[int]) -> list[V]:
    return [distinct[place] for place in places]


def _rows(columns: Sequence[tuple[Sequence[str], Sequence[int]]]) -> Iterator[tuple[str, ...]]:
    return zip(*(_spread(*column) for column in columns), strict=True)


def _read(texts: Sequence[str]) -> list[object]:
    """The values of many JSON texts; parsed as one text, which takes half the time."""
    found: list[object] = json.loads("[" + ",".join(texts) + "]")
    return found


class Left:
    """The cells of a plan that are not done yet."""

    def __init__(self, plan: Plan, done: Ids) -> None:
        self._plan, self._done = plan, done
        self._size = len(plan) - sum(cell in plan.ids for cell in done)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Planned]:
        return (planned for planned in self._plan if planned.cell not in self._done)
