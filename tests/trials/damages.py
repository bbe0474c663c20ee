"""Parts of a run are lost, doubled, cut, exchanged or changed at random: what `resume=` makes of it is the undisturbed run.

Each damage is named before it is mended, readers say or refuse it, and once it is mended nothing is said any more.
"""

from __future__ import annotations

import contextlib
import io
import random
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from .kills import Failure, same

SWEEP = ["init.seed=range(12)", "bug=none,scale", "eps=1e-4", "-m", "engine=serial", "progress=none"]
Damage = Callable[[random.Random, Path, Path], str]  # of a run, with another run's parts at hand; what is to be named


def run(*typed: str) -> tuple[int, str]:
    """A command line in this process, in parts of five cells: status and what is printed."""
    from gradcheck.experiment.results.writer import Writer
    from gradcheck.run import main

    kwargs, out = Writer.__init__.__kwdefaults__, io.StringIO()
    before = kwargs["part_cells"]
    kwargs["part_cells"] = 5
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            status = main(list(typed))
    finally:
        kwargs["part_cells"] = before
    return status, out.getvalue()


def _parts(run: Path, folder: str) -> list[Path]:
    """The parts that have rows."""
    return [path for path in sorted((run / folder).glob("part-*")) if pq.read_metadata(path).num_rows]


def _one(chance: random.Random, run: Path) -> Path:
    return chance.choice(_parts(run, chance.choice(["cells", "errors"])))


def _named(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def lost(chance: random.Random, run: Path, other: Path) -> str:
    path = _one(chance, run)
    path.unlink()
    number = path.name.split("-")[1]
    return f"cells/part-{number}-*" if path.parent.name == "cells" else _named(path)


def lost_pair(chance: random.Random, run: Path, other: Path) -> str:
    # the last pair of all is that of a run which was stopped before it
    path = chance.choice(_parts(run, "cells")[:-1])
    number = path.name.split("-")[1]
    for found in run.glob(f"*/part-{number}-*"):
        found.unlink()
    return f"cells/part-{number}-*"


def doubled(chance: random.Random, run: Path, other: Path) -> str:
    path = _one(chance, run)
    kept = path.name.removeprefix("part-").partition("-")[2]
    name = chance.choice(["copy.parquet", f"part-00077-{kept}", "part-00077.parquet", f"zz {path.name}"])
    shutil.copy(path, path.with_name(name))
    # of two copies either may count
    return f"{path.parent.name}/"


def cut(chance: random.Random, run: Path, other: Path) -> str:
    path = _one(chance, run)
    content = path.read_bytes()
    path.write_bytes(content[: chance.choice([0, 1, 4, 11, chance.randrange(len(content)), len(content) - 1])])
    return _named(path)


def flipped(chance: random.Random, run: Path, other: Path) -> str:
    path = _one(chance, run)
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    return _named(path)


def exchanged(chance: random.Random, run: Path, other: Path) -> str:
    one, two = chance.sample([*_parts(run, "cells"), *_parts(run, "errors")], 2)
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)
    return _named(one)


def foreign(chance: random.Random, run: Path, other: Path) -> str:
    """The content of a part of another run under the name of ours."""
    path = _one(chance, run)
    path.write_bytes(chance.choice(_parts(other, path.parent.name)).read_bytes())
    return _named(path)


def foreign_name(chance: random.Random, run: Path, other: Path) -> str:
    """A part of errors replaced by another run's, with its own name."""
    path = chance.choice(_parts(run, "errors"))
    path.unlink()
    shutil.copy(chance.choice(_parts(other, "errors")), path.parent)
    return _named(path)


def rewritten(chance: random.Random, run: Path, other: Path) -> str:
    """Some rows lost or doubled by a tool that wrote the part anew, under a name of its own."""
    path = chance.choice(_parts(run, "errors"))
    table = pq.read_table(path)
    path.unlink()
    some = table.slice(chance.randrange(1, table.num_rows))
    pq.write_table(
        chance.choice([some, pa.concat_tables([some, some]), pa.concat_tables([table, table])]),
        path.with_name(f"{path.name[:10]}.parquet"),
    )
    return f"errors/{path.name[:10]}"


def emptied(chance: random.Random, run: Path, other: Path) -> str:
    folder = chance.choice(["cells", "errors"])
    names = _parts(run, folder)
    for path in names:
        path.unlink()
    return f"cells/part-{names[0].name.split('-')[1]}-*" if folder == "cells" else _named(names[0])


DAMAGES: list[Damage] = [
    *(lost, lost_pair, doubled, cut, flipped, exchanged, foreign, foreign_name, rewritten, emptied),
]


def originals(folder: Path) -> tuple[Path, Path]:
    """A run, and another one of other cells."""
    for name, more in (("whole", []), ("other", ["init.scale=0.5"])):
        status, said = run(*SWEEP, *more, f"hydra.sweep.dir={folder / name}")
        if status:
            raise Failure(said)
    return folder / "whole", folder / "other"


def said_by_a_reader(run: Path) -> str:
    """What loading a run says, and reading all of it."""
    import gradcheck

    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            found = gradcheck.load(run)
            found.errors.to_table()
        except ValueError as error:
            return str(error)
    return "; ".join(str(one.message) for one in heard)


def attempt(chance: random.Random, whole: Path, other: Path, there: Path, damage: Damage | None = None) -> str:
    """One damage, mended; its name.  Raises Failure."""
    shutil.copytree(whole, there)
    damage = damage or chance.choice(DAMAGES)
    kind = damage.__name__
    named = damage(chance, there, other)
    read = said_by_a_reader(there)
    if not read and kind not in ("lost_pair", "lost", "emptied"):  # without cells a run is one that goes on
        raise Failure(f"{kind}: a reader says nothing")
    status, said = run(f"resume={there}", "engine=serial", "progress=none")
    if status:
        raise Failure(f"{kind}: status {status}: {said}")
    if not any(line.startswith("repair") and named in line for line in said.splitlines()):
        raise Failure(f"{kind}: {named} is not named: {said}")
    if not same(there, whole):
        raise Failure(f"{kind}: rows differ from those of the undisturbed run")
    if again := said_by_a_reader(there):
        raise Failure(f"{kind}: after the repair: {again}")
    status, said = run(f"resume={there}", "engine=serial", "progress=none")
    if status or "repair" in said:
        raise Failure(f"{kind}: resumed once more: {status}: {said}")
    shutil.rmtree(there)
    return kind


def trial(folder: Path, n: int, seed: int = 0) -> str:
    """So many damages.  Raises Failure."""
    whole, other = originals(folder)
    chance = random.Random(seed)
    kinds = {attempt(chance, whole, other, folder / f"damaged-{i}") for i in range(n)}
    return f"{n} damages of {len(kinds)} kinds, each named; rows identical to those of an undisturbed run"
